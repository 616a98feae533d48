"""A PDF is whole when its end mark stands at its end, the table lies where it says, and no change begins behind it."""

import re

from watchfolder.images.source import Source

_END_BYTES = 1024  # readers look so far back for the end mark
_END = re.compile(rb"startxref\s+(\d{1,12})\s+%%EOF")
_CHANGE = re.compile(rb"(?:\s|%[^\r\n]*[\r\n])*[\dx]")  # begins with an object's number, or with xref
_TABLE_BYTES = 4096
_TABLE = re.compile(rb"\s*(xref\b|\d+\s+\d+\s+obj\b)")
_LOCKED = re.compile(rb"/Encrypt\b")


def examine(source: Source) -> None:
    table, behind = _end(source)
    if source.has_hole(0, source.size):
        raise source.unwritten()
    if not _TABLE.match(source.read(table, min(_TABLE_BYTES, source.size - table))):
        raise source.damaged()
    if _CHANGE.match(behind):
        source.doubt("a change that was begun behind the end of the {label} is not all there")


def is_locked(source: Source) -> bool:
    """Does the whole PDF say that it is locked? It does so beside its table, or behind it."""
    table, _ = _end(source)
    near = source.read(table, min(_TABLE_BYTES, source.size - table))
    last = source.read(max(0, source.size - _TABLE_BYTES), min(_TABLE_BYTES, source.size))
    return bool(_LOCKED.search(near) or _LOCKED.search(last))


def _end(source: Source) -> tuple[int, bytes]:
    """Return where the table is that the last end mark names, and what stands behind the mark."""
    start = max(0, source.size - _END_BYTES)
    last = source.read(start, source.size - start)
    found = list(_END.finditer(last))
    if not found:
        raise source.cut()
    table = int(found[-1][1])
    if table >= source.size:
        raise source.damaged()
    return table, last[found[-1].end() :]
