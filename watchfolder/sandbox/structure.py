"""Whether a file is all there by what it says of itself: for the kinds of picture that this machine cannot decode."""

import re
import struct
import zlib
from collections.abc import Callable, Mapping

Data = bytes  # or a file mapped into memory

_BEGINNINGS = (
    ("JPEG", re.compile(rb"\xff\xd8")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("WEBP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("TIFF", re.compile(rb"II[*+]\0|MM\0[*+]")),
    ("BMP", re.compile(rb"BM")),
)
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # not FF 00, a data byte, nor a restart between data
_TEM, _EOI, _SOS = 0x01, 0xD9, 0xDA
PHONES_TRAILER = b"SEFT"  # some phones close a panorama with it, and leave the end marker out
_CODING, _STRIPS, _TILES = 259, (273, 279), (324, 325)  # offsets and lengths
_WEBP_IN_TIFF = (50001,)  # a coding that few builds of libtiff have
_RIFF_HEADER = 8  # bytes, which its length leaves out
_NUMBERS: Mapping[int, str] = {3: "H", 4: "I"}
_FIRST_HEADER = 12  # bytes, of the first OS/2
_UNCOMPRESSED = (0, 3, 6)


def kind_of(data: Data) -> str:
    """Return Pillow's name of the format that the bytes begin as, or an empty text."""
    return next((kind for kind, beginning in _BEGINNINGS if beginning.match(data)), "")


def is_whole(kind: str, data: Data) -> bool:
    try:
        return kind in _CHECKS and _CHECKS[kind](data)
    except (struct.error, IndexError, ZeroDivisionError):  # it ends in the middle of what was to be read
        return False


def is_settled(kind: str, data: Data) -> bool:
    """Does nothing more come of decoding what `is_whole` calls whole? Then a decoder that refuses it lacks something.

    So it is with the pixels of a BMP that are not coded, and with strips of WebP, each of which says its length.
    """
    if kind == "BMP":
        return _bmp_coding(data) in _UNCOMPRESSED
    return kind == "TIFF" and _tiff_values(data).get(_CODING) == _WEBP_IN_TIFF


def _jpeg(data: Data) -> bool:
    position, has_scan = 2, False
    while found := _MARKER.search(data, position):
        marker, position = data[found.start() + 1], found.end()
        if marker == _EOI:
            return has_scan
        has_scan = has_scan or marker == _SOS
        position += 0 if marker == _TEM else int.from_bytes(data[position : position + 2], "big")
    return bytes(data[-len(PHONES_TRAILER) :]) == PHONES_TRAILER


def _png(data: Data) -> bool:
    position, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        (checksum,) = struct.unpack_from(">I", data, position + 8 + length)
        if zlib.crc32(data[position + 4 : position + 8 + length]) != checksum:
            return False
        position += 12 + length
    return True


def _bmp(data: Data) -> bool:
    start, header = struct.unpack_from("<II", data, 10)
    form = "<HHHH" if header == _FIRST_HEADER else "<iiHHII"
    width, height, _, bits, *coding = struct.unpack_from(form, data, 18)
    size = coding[1] if coding else 0
    if _bmp_coding(data) in _UNCOMPRESSED:
        size = (width * bits + 31) // 32 * 4 * abs(height)
    return bool(size >= 0 and start + size <= len(data))


def _bmp_coding(data: Data) -> int:
    (header,) = struct.unpack_from("<I", data, 14)
    return 0 if header == _FIRST_HEADER else int(struct.unpack_from("<I", data, 30)[0])


def _tiff(data: Data) -> bool:
    values = _tiff_values(data)
    pieces = [pair for tags in (_STRIPS, _TILES) for pair in zip(*(values.get(tag, ()) for tag in tags), strict=False)]
    if not pieces or any(offset + length > len(data) for offset, length in pieces):
        return False
    return values.get(_CODING) != _WEBP_IN_TIFF or all(_is_webp(data[at : at + length]) for at, length in pieces)


def _is_webp(piece: Data) -> bool:
    return kind_of(piece) == "WEBP" and struct.unpack_from("<I", piece, 4)[0] + _RIFF_HEADER <= len(piece)


def _tiff_values(data: Data) -> dict[int, tuple[int, ...]]:
    order = "<" if data[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, directory)
    values: dict[int, tuple[int, ...]] = {}
    for number in range(count):
        entry = directory + 2 + 12 * number
        tag, type_, length = struct.unpack_from(f"{order}HHI", data, entry)
        if tag in (_CODING, *_STRIPS, *_TILES):
            form = f"{order}{length}{_NUMBERS.get(type_, 'I')}"
            is_inside = struct.calcsize(form) <= 4  # noqa: PLR2004 - the entry's own last bytes
            place = entry + 8 if is_inside else struct.unpack_from(f"{order}I", data, entry + 8)[0]
            values[tag] = struct.unpack_from(form, data, place)
    return values


# Every kind of WebP can be decoded.
_CHECKS: Mapping[str, Callable[[Data], bool]] = {"JPEG": _jpeg, "PNG": _png, "TIFF": _tiff, "BMP": _bmp}
