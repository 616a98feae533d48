"""What follows the first picture of a file and tells its own length: a film, further pictures, a phone's trailer.

A copy that is under way has written the first picture long before the last byte of such a file. Taken then, the
original would be torn in two.
"""

import re
import struct
from collections.abc import Iterator

from watchfolder.images.source import PAGE, Incomplete, Source

MISSING = "what stands behind the {label} (a film, or another picture) is not all there"

# JPEG APP2: a TIFF directory that lists the pictures of the file (CIPA DC-007, Multi-Picture Format).
_MPF = b"MPF\0"
_MPF_ENTRIES, _MPF_ENTRY_BYTES = 0xB002, 16
# JPEG APP1: Android's Motion Photo and Ultra HDR formats list what follows, in order; the older one has one offset.
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_FILM_BYTES = re.compile(rb"MicroVideoOffset\s*(?:=\s*[\"']|>)\s*(\d{1,12})")
_ITEM = re.compile(rb"<[^<>]*\bItem:Semantic[^<>]*>")
_ITEM_BYTES = re.compile(rb"\bItem:(Length|Padding)\s*=\s*[\"'](\d{1,12})[\"']")

_BOX = struct.Struct(">I4s")
_BOXES = frozenset(
    {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"uuid", b"moof", b"mfra", b"sidx", b"styp", b"meta"}
)
# A phone's trailer (Samsung): blocks that begin with 0, 0, a type, and the length of a name; at the very end their
# index, its length, and "SEFT".
_TRAILER_INDEX, _TRAILER_END = b"SEFH", b"SEFT"
_TRAILER_TAIL = struct.Struct("<I4s")
_TRAILER_HEAD = struct.Struct("<4s4xI")  # "SEFH", and the number of blocks
_TRAILER_ENTRY = struct.Struct("<4xI4x")  # how far before the index the block begins
_TRAILER_NAME_AT_MOST = 64
_ENTRIES_AT_MOST = 1000


class Announced:
    """What the segments of a JPEG say of what follows its end."""

    def __init__(self) -> None:
        self._until = 0  # an offset in the file
        self._more = 0  # bytes behind the picture

    def end(self, picture_end: int) -> int:
        """Return how far the file should reach, given where its first picture ends."""
        return max(self._until, picture_end + self._more)

    def note(self, source: Source, start: int, length: int) -> None:
        begin = source.read(start, min(len(_XMP), length))
        if begin.startswith(_MPF):
            index = source.read(start + len(_MPF), length - len(_MPF))
            ends = (start + len(_MPF) + end for end in _ends_of_pictures(index))
            self._until = max(self._until, *ends, 0)
        elif begin == _XMP:
            text = source.read(start, length)
            films = (int(found[1]) for found in _FILM_BYTES.finditer(text))
            self._more = max(self._more, _size_of_parts(text), *films, 0)


def _ends_of_pictures(index: bytes) -> Iterator[int]:
    """Give where each further picture ends, as an offset from the index."""
    try:
        order = "<" if index.startswith(b"II") else ">"
        (directory,) = struct.unpack_from(f"{order}I", index, 4)
        (count,) = struct.unpack_from(f"{order}H", index, directory)
        for entry in range(count):
            tag, _, length, offset = struct.unpack_from(f"{order}HHII", index, directory + 2 + 12 * entry)
            if tag == _MPF_ENTRIES:
                for at in range(offset, offset + length, _MPF_ENTRY_BYTES):
                    size, start = struct.unpack_from(f"{order}4xII", index, at)
                    yield start + size if start else 0  # the first picture has none
    except struct.error:  # not an index that we understand
        return


def _size_of_parts(text: bytes) -> int:
    """Return the bytes of all that is listed to follow the first picture."""
    found = 0
    for item in _ITEM.findall(text):
        lengths = {name: int(value) for name, value in _ITEM_BYTES.findall(item)}
        found += lengths.get(b"Padding", 0)
        found += 0 if b'"Primary"' in item else lengths.get(b"Length", 0)
    return found


def check(source: Source, end: int, announced: int = 0) -> None:
    """Record a doubt unless all is there that follows a picture which ends at `end`, up to the `announced` offset."""
    try:
        is_missing = announced > source.size or _is_part_missing(source, end)
    except Incomplete:
        is_missing = True
    if is_missing:
        source.doubt(MISSING)
    last = max(0, source.size - 16)
    is_empty = announced > end and not any(source.read(last, source.size - last))
    if source.has_hole(end, source.size) or (is_empty and not source.has_all(last, source.size)):
        source.doubt("what stands behind the {label} may not have been written yet")


def _is_part_missing(source: Source, end: int) -> bool:
    head = source.read(end, min(PAGE, source.size - end))
    if _is_trailer(head):
        return start_of_trailer(source) == source.size
    padding = head.find(b"ftyp") - 4  # before it stands its length
    is_film = padding >= 0 and not any(head[:padding])
    return is_film and not _is_all_there(source, end + padding)


def _is_all_there(source: Source, position: int) -> bool:
    """Do the boxes of a film that begins at `position` lead to its end, its pictures and their index among them?"""
    kinds = set[bytes]()
    while position + _BOX.size <= source.size:
        length, kind = _BOX.unpack(source.read(position, _BOX.size))
        if kind not in _BOXES:  # something else that follows
            break
        kinds.add(kind)
        if length == 1:
            length = int.from_bytes(source.read(position + _BOX.size, 8), "big")
        position += max(length, _BOX.size)  # 0 is: to the end of the file, wherever that will be
    return position <= source.size and b"mdat" in kinds and bool(kinds & {b"moov", b"moof"})


def _is_trailer(head: bytes) -> bool:
    name = head[8 : 8 + min(int.from_bytes(head[4:8], "little"), _TRAILER_NAME_AT_MOST)]
    return head[:2] == b"\0\0" and len(name) > 1 and name.isascii() and name.decode("ascii").isprintable()


def start_of_trailer(source: Source) -> int:
    """Return where a phone's trailer begins that ends with the file; the file's size where there is none."""
    size = source.size
    if size < _TRAILER_TAIL.size:
        return size
    length, mark = _TRAILER_TAIL.unpack(source.read(size - _TRAILER_TAIL.size, _TRAILER_TAIL.size))
    index = size - _TRAILER_TAIL.size - length
    if mark != _TRAILER_END or index < 0 or length < _TRAILER_HEAD.size:
        return size
    found, count = _TRAILER_HEAD.unpack(source.read(index, _TRAILER_HEAD.size))
    bytes_of_entries = count * _TRAILER_ENTRY.size
    if found != _TRAILER_INDEX or count > _ENTRIES_AT_MOST or length < _TRAILER_HEAD.size + bytes_of_entries:
        return size
    entries = _TRAILER_ENTRY.iter_unpack(source.read(index + _TRAILER_HEAD.size, bytes_of_entries))
    start: int = index - min(index, max((back for (back,) in entries), default=0))
    return start
