"""A TIFF is whole when all that its directories point to lies inside the file and the file does not end in zeros.

The directories may lie anywhere, often at the end, so the length of the file proves nothing and there is no end mark.
What is wrong beside the pixels of the first page (a text, EXIF, a next page that is not there) is some writer's fault
more often than a cut: it is doubtful, and waiting will show.
"""

import contextlib
import struct
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat
from typing import NamedTuple

from watchfolder.images.source import Incomplete, Lack, Source

_BIG = 43
_VALUES_AT_ONCE = 4096

_BYTES_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_UNSIGNED = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}

_WIDTH, _HEIGHT, BITS, _COMPRESSION, _SAMPLES, _ROWS_PER_STRIP, _PLANES = 256, 257, 258, 259, 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_EACH_SAMPLE_APART = 2  # a value of _PLANES
# Tags: where the pieces of a picture begin, and how long they are.
_STRIPS, _TILES, _OLD_JPEG = 273, 324, 513
_PIECES = {_STRIPS: 279, _TILES: 325, _OLD_JPEG: 514}
# Tags that point to further directories: SubIFDs, EXIF, GPS, interoperability.
_CHILDREN = (330, 34665, 34853, 40965)
_SHAPE = (_WIDTH, _HEIGHT, BITS, _COMPRESSION, _SAMPLES, _ROWS_PER_STRIP, _PLANES, _TILE_WIDTH, _TILE_HEIGHT)
_UNLESS_SAID = {BITS: 1, _COMPRESSION: 1, _SAMPLES: 1}
COLOURS, EXTRA_SAMPLES = 262, 338
_KIND, _IS_A_COPY = 254, 1  # of the whole picture, in another size
# Tags without whose values no pixel can be decoded: further ones are the palette, the tables of a JPEG (old and new),
# and what the samples are.
_DECODING = frozenset({*_PIECES, *_PIECES.values(), *_SHAPE, 320, 338, 339, 347, 519, 520, 521, 529, 530, 532})
_TAGS = _DECODING.union(_CHILDREN, {COLOURS, _KIND})

_ASTRAY = "a part that the {label} names beside its pixels is not there"
_UNPROVEN = "the {label} does not say how long its pixels are"


class _Field(NamedTuple):
    type: int
    length: int  # how many values
    offset: int  # of its values in the file, be they in the entry itself or elsewhere


class _Directory(NamedTuple):
    offset: int
    fields: dict[int, _Field]  # those that matter here, by tag
    following: int  # the offset of the next one


_NONE = _Field(type=3, length=0, offset=0)


class Tiff:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._order = "<" if source.read(0, 2) == b"II" else ">"
        self._is_big = self._read("H", 2) == _BIG
        self._count, self._pointer = ("Q", "Q") if self._is_big else ("H", "I")
        self._pointer_bytes = 8 if self._is_big else 4
        self._has_picture = False
        self._seen = set[int]()
        self._last_end = 0  # of the directory that lies furthest back

    def check(self) -> None:
        page = self._read(self._pointer, self._pointer_bytes)
        while page and self._is_new(page):
            page = self._check_page(page)
        if not self._has_picture:  # many writers fill in the pointer to the first page last
            raise Incomplete(Lack.WITHOUT_PICTURE)
        if self._source.has_hole(0, self._source.size):  # black that a sparse copy left out, or not written yet
            self._source.doubt(Lack.EMPTY_PART)
        # The end of the file, not of the pages we know: zeros may hide the pointer to the next page. A directory at the
        # very end closes with such a pointer, and that is zero by right.
        end = self._source.size
        self._source.check_end(end - self._pointer_bytes if end == self._last_end else end)

    def read_first_page(self, tags: Iterable[int]) -> Mapping[int, int]:
        fields = self._read_page(self._read(self._pointer, self._pointer_bytes)).fields
        return {tag: self._first(fields[tag]) for tag in tags if tag in fields}

    def has_another_page(self) -> bool:
        """Is there a second page? A copy of the first one in another size is none."""
        start, seen = self._read(self._pointer, self._pointer_bytes), {0}
        while start not in seen:  # some files point back to their first page
            page = self._read_page(start)
            if len(seen) > 1 and not self._first(page.fields.get(_KIND, _NONE)) & _IS_A_COPY:
                return True
            seen.add(start)
            start = page.following
        return False

    def _check_page(self, offset: int) -> int:
        """Examine a page with all directories below it, and return the offset of the next one."""
        following, below = 0, []
        with self._beside_the_picture():
            page = self._read_page(offset)
            following, below = page.following, [page]
        is_page = True
        while below:
            directory = below.pop()
            for tag in (tag for tag in _PIECES if tag in directory.fields):
                # All else is a thumbnail, or a copy in another size.
                with contextlib.nullcontext() if is_page and tag != _OLD_JPEG else self._beside_the_picture():
                    self._has_picture |= self._has_pixels(directory, tag)
            is_page = False
            below += self._read_under(directory)
        return following

    def _read_under(self, directory: _Directory) -> Iterator[_Directory]:
        for tag in _CHILDREN:
            with self._beside_the_picture():
                for child in self._values(directory.fields.get(tag, _NONE)):
                    if self._is_new(child):
                        yield self._read_page(child)

    @contextlib.contextmanager
    def _beside_the_picture(self) -> Iterator[None]:
        """Only doubt what is not where it is said to be, once the pixels of a page have been found."""
        try:
            yield
        except Incomplete:
            if not self._has_picture:
                raise
            self._source.doubt(_ASTRAY)

    def _is_new(self, directory: int) -> bool:
        if directory in self._seen:  # some files point back to their first page
            return False
        self._seen.add(directory)
        return True

    def _has_pixels(self, directory: _Directory, tag: int) -> bool:
        """Is there a piece of this picture? Raises Incomplete when one lies outside the file."""
        offsets, lengths = directory.fields[tag], directory.fields.get(_PIECES[tag])
        if lengths is None or lengths.length != offsets.length:
            self._source.doubt(_UNPROVEN)
        all_sizes = repeat(repeat(0)) if lengths is None else self._parts(lengths)  # allowed in the oldest files
        shape = {each: self._first(directory.fields.get(each, _NONE)) or _UNLESS_SAID.get(each, 0) for each in _SHAPE}
        first, has_pixels = 0, False
        for starts, sizes in zip(self._parts(offsets), all_sizes, strict=False):
            for index, (start, size) in enumerate(zip(starts, sizes, strict=False), first):
                length = size
                if not size or start + size > self._source.size:
                    length = self._size_of(start, size, directory.offset, _bytes_of_piece(shape, tag, index))
                self._source.require(start + length)
                has_pixels |= length > 0
            first += len(starts)
        return has_pixels

    def _size_of(self, start: int, size: int, directory: int, needed: int) -> int:
        """Return the length that readers assume for a piece where the one that is named makes no sense.

        0 may be a writer's habit, or a piece that is not written yet. What reaches beyond the end of the file is wrong
        where the directory was written behind the piece, or when its pixels need less.
        """
        self._source.doubt(_UNPROVEN)
        if not start and not size:  # left out: it has only the background's colour
            return 0
        return 1 if size and start < directory else needed or size or 1

    def _read_page(self, offset: int) -> _Directory:
        count = self._read(self._count, offset)
        if not count:  # not yet written
            raise Incomplete(Lack.DAMAGED)
        entry = struct.Struct(f"{self._order}HH{self._pointer}{self._pointer}")
        start = offset + struct.calcsize(f"={self._count}")
        end = start + count * entry.size
        fields = {}
        for tag, kind, values, pointer in entry.iter_unpack(self._source.read(start, end - start)):
            start += entry.size
            field = self._field(tag, kind, values, pointer, start - self._pointer_bytes)
            if field is not None:
                fields[tag] = field
        self._last_end = max(self._last_end, end + self._pointer_bytes)
        if end + self._pointer_bytes > self._source.size:
            self._source.doubt(_ASTRAY)  # the pointer to the next page, which some writers leave out
            return _Directory(offset, fields, following=0)
        return _Directory(offset, fields, self._read(self._pointer, end))

    def _field(self, tag: int, kind: int, values: int, pointer: int, here: int) -> _Field | None:
        """Return where the values of an entry lie: `here`, if they are so few; None where they do not matter."""
        needed = _BYTES_OF_TYPE.get(kind, 0) * values  # readers shall skip a type that they do not know
        is_here = needed <= self._pointer_bytes
        is_outside = not is_here and pointer + needed > self._source.size
        if is_outside and tag in _DECODING:
            raise Incomplete(Lack.CUT)
        if is_outside or tag == kind == 0:
            self._source.doubt(_ASTRAY)
            return None
        return _Field(kind, values, here if is_here else pointer) if tag in _TAGS else None

    def _first(self, field: _Field) -> int:
        """Return the first value, 0 where there is none, or none that is a plain number."""
        return next(self._values(field), 0) if field.type in _UNSIGNED else 0

    def _values(self, field: _Field) -> Iterator[int]:
        for batch in self._parts(field):
            yield from batch

    def _parts(self, field: _Field) -> Iterator[tuple[int, ...]]:
        code = _UNSIGNED.get(field.type)
        if code is None:
            raise Incomplete(Lack.DAMAGED)
        width = _BYTES_OF_TYPE[field.type]
        for first in range(0, field.length, _VALUES_AT_ONCE):
            count = min(_VALUES_AT_ONCE, field.length - first)
            yield struct.unpack(
                f"{self._order}{count}{code}", self._source.read(field.offset + first * width, count * width)
            )

    def _read(self, code: str, offset: int) -> int:
        number = struct.Struct(self._order + code)
        (value,) = number.unpack(self._source.read(offset, number.size))
        return int(value)


def _bytes_of_piece(shape: Mapping[int, int], tag: int, index: int) -> int:
    """Return how many bytes the pixels of a piece take; 0: not known, for they are compressed."""
    if tag == _OLD_JPEG or shape[_COMPRESSION] != 1:
        return 0
    pixel_bits = shape[BITS] * (1 if shape[_PLANES] == _EACH_SAMPLE_APART else shape[_SAMPLES])
    if tag == _TILES:
        return (shape[_TILE_WIDTH] * pixel_bits + 7) // 8 * shape[_TILE_HEIGHT]
    rows = min(shape[_ROWS_PER_STRIP] or shape[_HEIGHT], shape[_HEIGHT]) or 1
    strips = -(-shape[_HEIGHT] // rows) or 1  # of a plane
    return (shape[_WIDTH] * pixel_bits + 7) // 8 * min(rows, shape[_HEIGHT] - index % strips * rows)
