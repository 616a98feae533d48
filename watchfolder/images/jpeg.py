"""A JPEG is whole when a walk over its markers meets the end-of-image marker after a scan."""

import re

from watchfolder.images import behind
from watchfolder.images.source import BLOCK_BYTES, PAGE, ZEROS_AT_MOST, Incomplete, Lack, Source

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_REMARKS = frozenset({*range(0xE0, 0xF0), 0xFE})  # APP0 to APP15 and comments: no pixel depends on them
_START = b"\xff\xd8\xff"

# FF 00 is a data byte of 255, FF 01 stands alone, FF D0-D7 is a restart inside the data, FF FF a fill byte: the search
# passes over them all.
# It also passes over stray bytes between segments, as libjpeg does.
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")

_PEEK = 256
_EMPTY = bytes(BLOCK_BYTES)
# What it means to meet one of these between the beginning and the end; 0: no marker at all.
_OUT_OF_PLACE = {0: Lack.CUT, _EOI: Lack.WITHOUT_PICTURE, _SOI: Lack.DAMAGED}


def check(source: Source) -> None:
    trailer, announced = behind.start_of_trailer(source), behind.Announced()
    end = _find_end(source, 0, trailer, announced)
    if end is None:  # some phones write none in a panorama
        source.doubt("the end mark of the {label} is missing")
        return
    last = end
    try:
        while source.read(last, min(len(_START), source.size - last)) == _START:
            last = _find_end(source, last, trailer, behind.Announced()) or source.size
    except Incomplete:
        source.doubt(behind.MISSING)
    behind.check(source, last, announced.end(end))


def _find_end(source: Source, start: int, limit: int, announced: behind.Announced) -> int | None:
    """Return where the picture that begins at `start` ends; None where it reaches to a trailer without an end mark.

    Segments are skipped by their length, so that a thumbnail's own end inside EXIF is never met; scans are searched.
    """
    position, marker, has_scan = start + 2, _SOI, False
    while True:
        before, (marker, position) = position, next_marker(source, position, limit, is_scan=marker == _SOS)
        if source.has_hole(before, position):
            raise Incomplete(Lack.UNWRITTEN)
        if marker == _EOI and has_scan:
            return position
        if not marker and has_scan and limit < source.size:
            return None
        if marker in _OUT_OF_PLACE:
            raise Incomplete(_OUT_OF_PLACE[marker])
        has_scan |= marker == _SOS
        length = max(int.from_bytes(source.read(position, 2), "big"), 2)
        _check_segment(source, marker, position, length, announced)
        position += length


def _check_segment(source: Source, marker: int, start: int, length: int, announced: behind.Announced) -> None:
    if source.has_hole(start, start + length):
        if marker not in _REMARKS:
            raise Incomplete(Lack.UNWRITTEN)
        source.doubt(Lack.EMPTY_PART)
    elif marker in _REMARKS and start + length <= source.size:
        announced.note(source, start + 2, length - 2)


def next_marker(source: Source, position: int, limit: int, *, is_scan: bool) -> tuple[int, int]:
    """Return the next marker at or after `position` and the offset behind it; marker 0 where there is none."""
    length, zeros = _PEEK, 0
    while position + 1 < limit and zeros < ZEROS_AT_MOST:
        block = source.read(position, min(length, limit - position))
        found = _MARKER.search(block)
        if found and length == _PEEK:
            return block[found.start() + 1], position + found.end()
        if length != _PEEK:
            if is_scan:
                source.doubt_empty(block[: found.end()] if found else block, position)
            if found:
                return block[found.start() + 1], position + found.end()
            zeros = zeros + len(block) if block == _EMPTY[: len(block)] else 0
            position += len(block) - 1  # a marker may lie across two blocks
        length = BLOCK_BYTES - position % PAGE  # no page lies across two
    return 0, limit
