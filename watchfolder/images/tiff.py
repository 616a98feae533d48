"""A TIFF is whole when all that its directories point to lies inside the file and the file does not end in zeros.

The directories may lie anywhere, often at the end, so the length of the file proves nothing and there is no end mark.
"""

import struct
from collections.abc import Iterator
from operator import add
from typing import NamedTuple

from watchfolder.images.source import Source, Wholeness

_BIG = 43
_DIRECTORIES_AT_MOST = 1 << 16  # pages are numbered in 16 bits
_VALUES_AT_ONCE = 4096

_BYTES_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_UNSIGNED = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}

# Tags: where the pieces of a picture begin, and how long they are (strips, tiles, JPEG of the old kind).
_PIECES = {273: 279, 324: 325, 513: 514}
# Tags that point to further directories: SubIFDs, EXIF, GPS, interoperability.
_CHILDREN = (330, 34665, 34853, 40965)
_TAGS = frozenset({*_PIECES, *_PIECES.values(), *_CHILDREN})


class _Field(NamedTuple):
    type: int
    length: int  # how many values
    offset: int  # of its values in the file, be they in the entry itself or elsewhere


def examine(source: Source) -> Wholeness:
    return _Tiff(source).examine()


class _Tiff:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._order = "<" if source.read(0, 2) == b"II" else ">"
        self._is_big = self._number("H", 2) == _BIG
        self._count, self._pointer = ("Q", "Q") if self._is_big else ("H", "I")
        self._pointer_bytes = 8 if self._is_big else 4
        self._has_picture = False
        self._is_proven = True
        self._seen = set[int]()
        self._last_end = 0  # of the directory that lies furthest back

    def examine(self) -> Wholeness:
        page = self._number(self._pointer, self._pointer_bytes)
        while page and self._is_new(page):
            page = self._examine_page(page)
        if not self._has_picture:  # many writers fill in the pointer to the first page last
            raise self._source.without_picture()
        tail = self._source.examine_tail(self._written_end())
        return tail if self._is_proven else Wholeness.SUSPECT

    def _examine_page(self, offset: int) -> int:
        """Examine a page with all that hangs on it, and return the offset of the next one."""
        fields, following = self._directory(offset)
        children = self._examine_fields(fields)
        while children:
            fields, _ = self._directory(children.pop())
            children += self._examine_fields(fields)
        return following

    def _examine_fields(self, fields: dict[int, _Field]) -> list[int]:
        """Examine the pieces that `fields` name, and return the offsets of the directories below."""
        for offsets, lengths in _PIECES.items():
            if offsets in fields:
                self._examine_pieces(fields[offsets], fields.get(lengths))
        return [
            child for tag in _CHILDREN if tag in fields for child in self._values(fields[tag]) if self._is_new(child)
        ]

    def _is_new(self, directory: int) -> bool:
        if directory in self._seen:  # some files point back to their first page
            return False
        if len(self._seen) >= _DIRECTORIES_AT_MOST:
            raise self._source.damaged()
        self._seen.add(directory)
        return True

    def _examine_pieces(self, offsets: _Field, lengths: _Field | None) -> None:
        if lengths is None or lengths.length != offsets.length:
            self._is_proven = False
        if lengths is None:  # allowed in the oldest files
            self._source.require(max(self._values(offsets), default=0) + 1)
            self._has_picture = True
            return
        for starts, sizes in zip(self._batches(offsets), self._batches(lengths), strict=False):
            self._source.require(max(map(add, starts, sizes)))
            self._has_picture |= any(sizes)
            self._is_proven &= all(sizes)  # an empty piece may be meant, or not yet written

    def _directory(self, offset: int) -> tuple[dict[int, _Field], int]:
        """Return the fields that matter here, by tag, and the offset of the next directory."""
        count = self._number(self._count, offset)
        if not count:  # not yet written
            raise self._source.damaged()
        entry = struct.Struct(f"{self._order}HH{self._pointer}{self._pointer}")
        start = offset + struct.calcsize(f"={self._count}")
        end = start + count * entry.size
        fields = {}
        for tag, kind, values, pointer in entry.iter_unpack(self._source.read(start, end - start)):
            start += entry.size
            if tag == kind == 0:
                raise self._source.damaged()
            needed = _BYTES_OF_TYPE.get(kind, 0) * values  # readers shall skip a type that they do not know
            is_inside = needed <= self._pointer_bytes
            self._source.require(0 if is_inside else pointer + needed)
            if tag in _TAGS:
                fields[tag] = _Field(kind, values, start - self._pointer_bytes if is_inside else pointer)
        self._last_end = max(self._last_end, end + self._pointer_bytes)
        return fields, self._number(self._pointer, end)

    def _values(self, field: _Field) -> Iterator[int]:
        for batch in self._batches(field):
            yield from batch

    def _batches(self, field: _Field) -> Iterator[tuple[int, ...]]:
        code = _UNSIGNED.get(field.type)
        if code is None:
            raise self._source.damaged()
        width = _BYTES_OF_TYPE[field.type]
        for first in range(0, field.length, _VALUES_AT_ONCE):
            count = min(_VALUES_AT_ONCE, field.length - first)
            yield struct.unpack(
                f"{self._order}{count}{code}", self._source.read(field.offset + first * width, count * width)
            )

    def _number(self, code: str, offset: int) -> int:
        number = struct.Struct(self._order + code)
        (value,) = number.unpack(self._source.read(offset, number.size))
        return int(value)

    def _written_end(self) -> int:
        """Look at the end of the file, not of the pages we know: zeros may hide the pointer to the next page.

        A directory at the very end closes with such a pointer, and that is zero by right.
        """
        end = self._source.size
        return end - self._pointer_bytes if end == self._last_end else end
