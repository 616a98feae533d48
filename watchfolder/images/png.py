"""A PNG is whole when its chunks lead, one behind the other, to IEND."""

import struct

from watchfolder.images.source import Source, Wholeness

_SIGNATURE_BYTES = 8
_FRAME_BYTES = 12  # length, type, CRC
_LENGTH_AT_MOST = (1 << 31) - 1
_END = b"\0\0\0\0IEND\xaeB`\x82"


def examine(source: Source) -> Wholeness:
    position, has_picture = _SIGNATURE_BYTES, False
    while (frame := source.read(position, _FRAME_BYTES)) != _END:
        length, kind = struct.unpack_from(">I4s", frame)
        if length > _LENGTH_AT_MOST or not kind.isalpha() or kind == b"IEND":
            raise source.damaged()
        has_picture |= kind == b"IDAT"
        position += _FRAME_BYTES + length
    if not has_picture:
        raise source.without_picture()
    return Wholeness.WHOLE
