"""A BMP is whole when its last row of pixels is there and does not end in zeros: it has no end mark."""

import struct
from typing import NamedTuple

from watchfolder.images.source import Incomplete, Lack, Source

_FILE_HEADER_BYTES = 14
_OS2_HEADER_BYTES = 12
_PLAIN = frozenset({0, 3, 6})  # pixels as they are, with or without colour masks
_DEPTHS = frozenset({1, 2, 4, 8, 16, 24, 32, 64})
_DEPTHS_WHEN_PACKED = _DEPTHS | {0}  # 0: a JPEG or PNG inside
_WITH_PALETTE = frozenset({1, 2, 4, 8})


class _Header(NamedTuple):
    width: int
    height: int  # negative when the first row is the top one
    depth: int  # bits per pixel
    compression: int = 0
    packed_bytes: int = 0
    colours: int = 0  # in the palette; 0: as many as the depth allows


def check(source: Source) -> None:
    file_bytes, pixels, header_bytes = struct.unpack("<2xI4xII", source.read(0, _FILE_HEADER_BYTES + 4))
    header = _read(source, header_bytes)
    start = pixels
    if pixels <= _FILE_HEADER_BYTES + header_bytes:  # some writers name no place, or leave the palette out of it
        start = _FILE_HEADER_BYTES + header_bytes + _size_of_palette(header, header_bytes)
    if header.compression in _PLAIN:
        row_bits = header.width * header.depth
        stride = (row_bits + 31) // 32 * 4
        end = start + stride * abs(header.height)
        written_end = end - stride + (row_bits + 7) // 8  # behind it the last row is padded with zeros
    else:
        end = written_end = max(file_bytes, start + max(header.packed_bytes, 1))
    source.require(end)
    if source.has_hole(0, end):  # black that a sparing copy left out, or not written yet
        source.doubt(Lack.EMPTY_PART)
    if file_bytes > source.size:  # it is 0 or wrong in many files, so it cannot convict; but it is a reason to wait
        source.doubt(Lack.EMPTY_END)
    source.check_end(written_end)


def _size_of_palette(header: _Header, header_bytes: int) -> int:
    if header.depth not in _WITH_PALETTE:
        return 0
    if header_bytes == _OS2_HEADER_BYTES:
        return 3 << header.depth
    return 4 * min(header.colours or 1 << header.depth, 1 << header.depth)


def _read(source: Source, header_bytes: int) -> _Header:
    if header_bytes == _OS2_HEADER_BYTES:
        header = _Header(*struct.unpack("<HH2xH", source.read(_FILE_HEADER_BYTES + 4, 8)))
    else:
        header = _Header(*struct.unpack("<ii2xHII8xI", source.read(_FILE_HEADER_BYTES + 4, 32)))
    depths = _DEPTHS if header.compression in _PLAIN else _DEPTHS_WHEN_PACKED
    if header.width <= 0 or header.height == 0 or header.depth not in depths:
        raise Incomplete(Lack.DAMAGED)
    return header
