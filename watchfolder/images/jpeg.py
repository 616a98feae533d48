"""A JPEG is whole when a walk over its markers meets the end-of-image marker after a scan."""

import re

from watchfolder.images.source import BLOCK_BYTES, ZEROS_AT_MOST, Source, Wholeness

BYTES_AT_MOST = 512 << 20  # a gigapixel; a fraction of a second to search, three when every byte is a trap

_TEM, _SOI, _EOI, _SOS = 0x01, 0xD8, 0xD9, 0xDA

# FF 00 is a data byte of 255, FF D0-D7 a restart inside the data, FF FF a fill byte: the search passes over them all.
# It also passes over stray bytes between segments, as libjpeg does.
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")

_PEEK = 256
_EMPTY = bytes(BLOCK_BYTES)


def examine(source: Source) -> Wholeness:
    """Skip segments by their length, so that a thumbnail's own end inside EXIF is never met; search the scans."""
    position, has_scan = 2, False
    while True:
        marker, position = _next_marker(source, position)
        if marker == _EOI:
            break
        if marker == _SOI:  # another picture begins inside this one
            raise source.damaged()
        if marker == _TEM:
            continue
        has_scan |= marker == _SOS
        length = int.from_bytes(source.read(position, 2), "big")
        position += max(length, 2)
    if not has_scan:
        raise source.without_picture()
    return Wholeness.WHOLE


def _next_marker(source: Source, position: int) -> tuple[int, int]:
    """Return the next marker at or after `position` and the offset behind it."""
    length, zeros = _PEEK, 0
    while position + 1 < source.size and zeros < ZEROS_AT_MOST:
        block = source.read(position, min(length, source.size - position))
        if found := _MARKER.search(block):
            return block[found.start() + 1], position + found.end()
        zeros = zeros + len(block) if block == _EMPTY else 0
        position += len(block) - 1  # a marker may lie across two blocks
        length = BLOCK_BYTES
    raise source.cut()
