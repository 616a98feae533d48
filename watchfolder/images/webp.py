"""A WebP is whole when its chunks fill the RIFF length exactly and it does not end in zeros: it has no end mark."""

import struct

from watchfolder.images.source import Source, Wholeness

_HEADER_BYTES = 12
_PICTURES = frozenset({b"VP8 ", b"VP8L", b"ANMF"})


def examine(source: Source) -> Wholeness:
    (length,) = struct.unpack_from("<4xI", source.read(0, _HEADER_BYTES))
    end = 8 + length
    source.require(end)
    position, payload_end, has_picture = _HEADER_BYTES, _HEADER_BYTES, False
    while position < end:
        kind, size = struct.unpack("<4sI", source.read(position, 8))
        payload_end = position + 8 + size
        position = payload_end + size % 2  # an odd chunk is followed by one zero byte
        if position > end or not _is_fourcc(kind):
            raise source.damaged()
        has_picture |= kind in _PICTURES
    if not has_picture:
        raise source.without_picture()
    return source.examine_tail(payload_end)


def _is_fourcc(kind: bytes) -> bool:
    return kind.isascii() and kind.decode("ascii").isprintable()
