"""A PNG is whole when its chunks lead, one behind the other, to IEND.

Each has a checksum. It is verified where the file system cannot say that the chunk was written: a downloader with
several connections leaves pages of zeros in the middle.
"""

import struct
import zlib

from watchfolder.images import behind
from watchfolder.images.source import BLOCK_BYTES, BYTES_AT_MOST, SEARCHED_AT_MOST, Incomplete, Lack, Source

_SIGNATURE_BYTES = 8
_FRAME_BYTES = 12  # length, type, CRC
_LENGTH_AT_MOST = (1 << 31) - 1
_END = b"\0\0\0\0IEND\xaeB`\x82"


def check(source: Source) -> None:
    position, has_picture = _SIGNATURE_BYTES, False
    while (frame := source.read(position, _FRAME_BYTES)) != _END:
        length, kind = struct.unpack_from(">I4s", frame)
        if length > _LENGTH_AT_MOST or not kind.isalpha() or kind == b"IEND":
            raise Incomplete(Lack.DAMAGED)
        _check_chunk(source, kind, position, length)
        has_picture |= kind == b"IDAT"
        position += _FRAME_BYTES + length
    if not has_picture:
        raise Incomplete(Lack.WITHOUT_PICTURE)
    behind.check(source, position + _FRAME_BYTES)


def _check_chunk(source: Source, kind: bytes, position: int, length: int) -> None:
    end = position + _FRAME_BYTES + length
    source.require(end)
    if source.has_all(position, end):
        return
    if source.size > SEARCHED_AT_MOST - BYTES_AT_MOST:  # too much to be read for this
        source.doubt("nothing tells whether all of the {label} has been written")
        return
    checksum = 0
    for at in range(position + 4, end - 4, BLOCK_BYTES):
        checksum = zlib.crc32(source.read(at, min(BLOCK_BYTES, end - 4 - at)), checksum)
    if checksum == int.from_bytes(source.read(end - 4, 4), "big"):
        return
    if kind[:1].isupper():
        raise Incomplete(Lack.DAMAGED)
    source.doubt("a remark in the {label} is damaged or has not been written yet")  # no reader needs it
