"""A PDF is whole when its end mark stands at its end, and the table before it lies where it says."""

import re

from watchfolder.images.source import Source

_END_BYTES = 1024  # readers look so far back for the end mark
_END = re.compile(rb"startxref\s+(\d{1,12})\s+%%EOF")
_TABLE_BYTES = 4096
_TABLE = re.compile(rb"\s*(xref\b|\d+\s+\d+\s+obj\b)")
_LOCKED = re.compile(rb"/Encrypt\b")


def examine(source: Source) -> None:
    table = _table_before_end(source)
    if source.has_hole(0, source.size):
        raise source.unwritten()
    if not _TABLE.match(source.read(table, min(_TABLE_BYTES, source.size - table))):
        raise source.damaged()


def is_encrypted(source: Source) -> bool:
    """Does the whole PDF say that it is locked? It does so beside its table, or behind it."""
    table = _table_before_end(source)
    near = source.read(table, min(_TABLE_BYTES, source.size - table))
    last = source.read(max(0, source.size - _TABLE_BYTES), min(_TABLE_BYTES, source.size))
    return bool(_LOCKED.search(near) or _LOCKED.search(last))


def _table_before_end(source: Source) -> int:
    start = max(0, source.size - _END_BYTES)
    found = list(_END.finditer(source.read(start, source.size - start)))
    if not found:
        raise source.cut()
    table = int(found[-1][1])
    if table >= source.size:
        raise source.damaged()
    return table
