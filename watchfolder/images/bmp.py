"""A BMP is whole when its last row of pixels is there and does not end in zeros: it has no end mark."""

import struct
from typing import NamedTuple

from watchfolder.images.source import Incomplete, Lack, Source

FILE_HEADER_BYTES = 14
_OS2_HEADER_BYTES = 12
_PLAIN = frozenset({0, 3, 6})  # pixels as they are, with or without colour masks
_DEPTHS = frozenset({1, 2, 4, 8, 16, 24, 32, 64})
_DEPTHS_WHEN_PACKED = _DEPTHS | {0}  # 0: a JPEG or PNG inside
_WITH_PALETTE = frozenset({1, 2, 4, 8})


class Header(NamedTuple):
    length: int  # of itself
    width: int
    height: int  # negative when the first row is the top one
    depth: int  # bits per pixel
    compression: int = 0
    packed_bytes: int = 0
    colours: int = 0  # in the palette; 0: as many as the depth allows


def check(source: Source) -> None:
    file_bytes, start = struct.unpack("<2xI4xI", source.read(0, FILE_HEADER_BYTES))
    header = read_header(source)
    palette = FILE_HEADER_BYTES + header.length
    if start <= palette:  # some writers name no place, or leave the palette out of it
        start = palette + size_of_palette(header)
    if header.compression in _PLAIN:
        row_bits = header.width * header.depth
        stride = (row_bits + 31) // 32 * 4
        end = start + stride * abs(header.height)
        written_end = end - stride + (row_bits + 7) // 8  # behind it the last row is padded with zeros
    else:
        end = written_end = max(file_bytes, start + max(header.packed_bytes, 1))
    source.require(end)
    if source.has_hole(0, end):  # black that a sparse copy left out, or not written yet
        source.doubt(Lack.EMPTY_PART)
    if file_bytes > source.size:  # it is 0 or wrong in many files, so it proves nothing; but it is a reason to wait
        source.doubt(Lack.EMPTY_END)
    source.check_end(written_end)


def size_of_palette(header: Header) -> int:
    if header.depth not in _WITH_PALETTE:
        return 0
    if header.length == _OS2_HEADER_BYTES:
        return 3 << header.depth
    return 4 * min(header.colours or 1 << header.depth, 1 << header.depth)


def read_header(source: Source) -> Header:
    (length,) = struct.unpack("<I", source.read(FILE_HEADER_BYTES, 4))
    form = "<HH2xH" if length == _OS2_HEADER_BYTES else "<ii2xHII8xI"
    header = Header(length, *struct.unpack(form, source.read(FILE_HEADER_BYTES + 4, struct.calcsize(form))))
    depths = _DEPTHS if header.compression in _PLAIN else _DEPTHS_WHEN_PACKED
    if header.width <= 0 or header.height == 0 or header.depth not in depths:
        raise Incomplete(Lack.DAMAGED)
    return header
