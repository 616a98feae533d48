"""A PDF is whole when its end mark stands at its end, the table lies where it says, and no change begins behind it."""

import re

from watchfolder.images.source import Incomplete, Lack, Source

_END_BYTES = 1024  # readers look so far back for the end mark
_END = re.compile(rb"startxref\s+(\d{1,12})\s+%%EOF")
_CHANGE = re.compile(rb"(?:\s|%[^\r\n]*[\r\n])*[\dx]")  # begins with an object's number, or with xref
_TABLE_BYTES = 4096
_TABLE = re.compile(rb"\s*(xref\b|\d+\s+\d+\s+obj\b)")
_LOCKED = re.compile(rb"/Encrypt\b")


def check(source: Source) -> None:
    start = max(0, source.size - _TABLE_BYTES)
    last = source.read(start, source.size - start)
    ends = list(_END.finditer(last[-_END_BYTES:]))
    if not ends:
        raise Incomplete(Lack.CUT)
    end, table = ends[-1], int(ends[-1][1])
    if table >= source.size:
        raise Incomplete(Lack.DAMAGED)
    if source.has_hole(0, source.size):
        raise Incomplete(Lack.UNWRITTEN)
    near = source.read(table, min(_TABLE_BYTES, source.size - table))
    if not _TABLE.match(near):
        raise Incomplete(Lack.DAMAGED)
    if _CHANGE.match(end.string[end.end() :]):
        source.doubt("a change that was begun behind the end of the {label} is not all there")
    source.is_locked = bool(_LOCKED.search(near) or _LOCKED.search(last))  # it says so beside its table, or behind it
