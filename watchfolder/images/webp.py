"""A WebP is whole when its chunks fill the RIFF length exactly and it does not end in zeros: it has no end mark."""

import struct

from watchfolder.images.source import BLOCK_BYTES, Incomplete, Lack, Source

_HEADER_BYTES = 12
_PICTURES = frozenset({b"VP8 ", b"VP8L", b"ANMF"})
_UNWRITTEN = bytes(4)


def check(source: Source) -> None:
    (length,) = struct.unpack_from("<4xI", source.read(0, _HEADER_BYTES))
    end = 8 + length
    source.require(end)
    position, payload_end, has_picture = _HEADER_BYTES, _HEADER_BYTES, False
    while position < end:
        kind, size = struct.unpack("<4sI", source.read(position, 8))
        payload_end = position + 8 + size
        following = payload_end + size % 2  # an odd chunk is followed by one zero byte
        if following > end or kind == _UNWRITTEN:  # any other name may be some writer's own: readers pass over it
            raise Incomplete(Lack.DAMAGED)
        _check_chunk(source, kind, position, payload_end)
        has_picture |= kind in _PICTURES
        position = following
    if not has_picture:
        raise Incomplete(Lack.WITHOUT_PICTURE)
    source.check_end(payload_end)


def _check_chunk(source: Source, kind: bytes, start: int, end: int) -> None:
    if source.has_hole(start, end):
        if kind in _PICTURES:
            raise Incomplete(Lack.UNWRITTEN)
        source.doubt(Lack.EMPTY_PART)
    elif kind in _PICTURES and not source.has_all(start, end):
        for offset in range(start, end, BLOCK_BYTES):
            source.doubt_empty(source.read(offset, min(BLOCK_BYTES, end - offset)), offset)
