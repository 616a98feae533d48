"""How are the pixels of a picture stored? Read from its head, for services that do not take every mode. Pure.

What cannot be read is left to the service to judge: an answer is never a guess.
"""

import struct
from collections.abc import Callable
from enum import StrEnum

from watchfolder.images import bmp, jpeg, tiff
from watchfolder.images.formats import Format
from watchfolder.images.source import BYTES_AT_MOST, Incomplete, ReadAt, Source

_PLAIN_BITMAPS = frozenset({1, 8, 24})  # bits a pixel
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TIFF_PALETTE, _TIFF_CMYK = 3, 5  # values of COLOURS


class Mode(StrEnum):
    """What is out of the ordinary; the value completes "this picture is …"."""

    ANIMATED = "animated"
    PAGES = "of several pages"
    PALETTE = "in the colours of a palette"
    CMYK = "in CMYK"
    DEEP = "of more than 8 bits a channel"
    GREY_ALPHA = "grey with transparency"
    ALPHA = "transparent, in a format that has that seldom"
    PACKED = "a BMP of a rare kind"


def mode_of(form: Format, read_at: ReadAt, size: int) -> Mode | None:
    """Tell what is out of the ordinary in a whole picture; None: nothing is, or it cannot be told."""
    read = _READERS.get(form)
    if read is None:
        return None
    try:
        return read(Source(read_at, size, lambda _offset: None, BYTES_AT_MOST))
    except (Incomplete, struct.error, IndexError):
        return None


def _of_png(source: Source) -> Mode | None:
    depth, colour = source.read(24, 2)
    found = {3: Mode.PALETTE, 4: Mode.GREY_ALPHA}.get(colour) or (Mode.DEEP if depth > 8 else None)  # noqa: PLR2004 - bits
    at = 8
    while True:
        length, kind = struct.unpack(">I4s", source.read(at, 8))
        if kind in {b"acTL", b"IDAT"}:
            return Mode.ANIMATED if kind == b"acTL" else found
        at += 12 + length


def _of_jpeg(source: Source) -> Mode | None:
    at = 2
    while True:
        marker, at = jpeg.next_marker(source, at, source.size, is_scan=False)
        length, depth, components = struct.unpack(">HB4xB", source.read(at, 8))
        if marker in _START_OF_FRAME:
            return Mode.DEEP if depth > 8 else Mode.CMYK if components == 4 else None  # noqa: PLR2004 - bits, channels
        at += length


def _of_webp(source: Source) -> Mode | None:
    head = source.read(12, 9)
    return Mode.ANIMATED if head[:4] == b"VP8X" and head[8] & 2 else None


def _of_bmp(source: Source) -> Mode | None:
    header = bmp.read_header(source)
    if header.length < 40:  # noqa: PLR2004 - bytes: of OS/2, which knows no packing
        return None
    if header.depth not in _PLAIN_BITMAPS or header.compression:
        return Mode.PACKED
    return Mode.PALETTE if _has_palette(source, header) else None


def _has_palette(source: Source, header: bmp.Header) -> bool:
    """Has a BMP a palette with anything but greys in it?"""
    palette = source.read(bmp.FILE_HEADER_BYTES + header.length, bmp.size_of_palette(header))
    return any(blue != green or green != red for blue, green, red, _ in struct.iter_unpack("4B", palette))


def _of_tiff(source: Source) -> Mode | None:
    pages = tiff.Tiff(source)
    values = pages.read_first_page((tiff.BITS, tiff.COLOURS, tiff.EXTRA_SAMPLES))
    by_colour = {_TIFF_PALETTE: Mode.PALETTE, _TIFF_CMYK: Mode.CMYK}.get(values.get(tiff.COLOURS, -1))
    is_deep = values.get(tiff.BITS, 1) > 8  # noqa: PLR2004 - bits
    found = by_colour or (Mode.DEEP if is_deep else Mode.ALPHA if tiff.EXTRA_SAMPLES in values else None)
    return found or (Mode.PAGES if pages.has_another_page() else None)


_READERS: dict[Format, Callable[[Source], Mode | None]] = {
    Format.PNG: _of_png,
    Format.JPEG: _of_jpeg,
    Format.WEBP: _of_webp,
    Format.BMP: _of_bmp,
    Format.TIFF: _of_tiff,
}
