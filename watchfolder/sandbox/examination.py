"""What a service finds wrong with the bytes of a file: a sin of the client's, or what this service does not take."""

import mmap
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, cast

from PIL import Image

from watchfolder.sandbox.orders import OrderType

_PDF = "application/pdf"
_PDF_END_BYTES = 1024  # readers look so far back for the end mark
_SIXTEEN_BITS = 16
_PNG_DEPTH, _BMP_BITS, _BMP_COMPRESSION = 24, slice(28, 30), slice(30, 34)  # offsets of these fields
_TIFF_DEPTH = 258
_MODES: Mapping[str, tuple[str, ...]] = {
    "JPEG": ("L", "RGB"),
    "PNG": ("1", "L", "RGB", "RGBA"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("1", "L", "RGB"),
    "TIFF": ("1", "L", "RGB"),
}

_Data = bytes  # or a file mapped into memory

_BEGINNINGS = (
    ("JPEG", re.compile(rb"\xff\xd8")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("WEBP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("TIFF", re.compile(rb"II[*+]\0|MM\0[*+]")),
    ("BMP", re.compile(rb"BM")),
)
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # not FF 00, a data byte, nor a restart between data
_TEM, _EOI, _SOS = 0x01, 0xD9, 0xDA
_PHONES_TRAILER = b"SEFT"  # some phones close a panorama with it, and leave the end marker out
_CODING, _STRIPS, _TILES = 259, (273, 279), (324, 325)  # tags of TIFF: compression; offsets and lengths of the pixels
_WEBP_IN_TIFF = (50001,)  # a coding that few builds of libtiff have
_RIFF_HEADER = 8  # bytes, which its length leaves out
_NUMBERS: Mapping[int, str] = {3: "H", 4: "I"}  # types of TIFF, as struct calls them
_FIRST_HEADER = 12  # bytes, of OS/2 1.x: the oldest
_UNCOMPRESSED = (0, 3, 6)  # BMP: plain, and with masks for the colours


class Flaw(NamedTuple):
    code: str = ""  # that the order fails with; empty: it does not
    sin: str = ""  # what the client should have known
    is_unsupported: bool = False  # an extract ends with this as its verdict


_NONE = Flaw()


def check(order_type: OrderType, path: Path, media_type: str) -> Flaw:
    if order_type is OrderType.WATERMARK_EMBED:
        return _watermark_flaw(path, media_type)
    if order_type is OrderType.WATERMARK_EXTRACT:
        flaw = _watermark_flaw(path, media_type)
        is_verdict = bool(flaw.code) and (not flaw.sin or media_type in ("image/bmp", "image/tiff"))
        return Flaw("", flaw.sin, is_unsupported=True) if is_verdict else flaw
    sin = flaw_of(path, media_type)
    code = "AI_DETECTION_INVALID_IMAGE" if order_type is OrderType.AI_DETECTION else "PROCESSING_ERROR"
    return Flaw(code, sin) if sin else _NONE


def _watermark_flaw(path: Path, media_type: str) -> Flaw:
    if media_type == _PDF:
        return _pdf_flaw(path.read_bytes())
    sin = flaw_of(path, media_type)
    if sin:
        is_another = format_of(path.read_bytes()) != media_type.removeprefix("image/").upper()
        return Flaw("WATERMARK_FILE_FORMAT_UNSUPPORTED" if is_another else "WATERMARK_FILE_CORRUPTED", sin)
    try:
        with Image.open(path) as image:
            return _picture_flaw(image, path)
    except Exception:  # noqa: BLE001 - Pillow's decoders raise whatever strange bytes lead them to
        return Flaw("WATERMARK_INPUT_UNSUPPORTED")


def _pdf_flaw(content: bytes) -> Flaw:
    if not content.startswith(b"%PDF-"):
        return Flaw("WATERMARK_FILE_FORMAT_UNSUPPORTED", "the bytes are no PDF, the Content-Type says so")
    if b"%%EOF" not in content[-_PDF_END_BYTES:]:
        return Flaw("WATERMARK_FILE_CORRUPTED", "the bytes are no whole PDF: no end")
    return Flaw("WATERMARK_PDF_UNSUPPORTED") if re.search(rb"/Encrypt\b", content) else _NONE


def _picture_flaw(image: Image.Image, path: Path) -> Flaw:
    if getattr(image, "n_frames", 1) > 1:  # animated, or pages
        return Flaw("WATERMARK_INPUT_UNSUPPORTED")
    has_good_mode = image.mode in _MODES.get(str(image.format), ()) and not image.info.get("transparency")
    return _NONE if has_good_mode and _may_be_taken(image, path) else Flaw("WATERMARK_IMAGE_COLOR_MODE_UNSUPPORTED")


def _may_be_taken(image: Image.Image, path: Path) -> bool:
    """Does the service take a picture of this depth? The file says it, where Pillow's mode does not."""
    with path.open("rb") as file:
        head = file.read(64)
    if image.format == "PNG":
        return head[_PNG_DEPTH] != _SIXTEEN_BITS
    if image.format == "BMP":
        bits, compression = (int.from_bytes(head[part], "little") for part in (_BMP_BITS, _BMP_COMPRESSION))
        return compression == 0 and bits in (1, 8, 24)
    if image.format == "TIFF":
        depths = image.tag_v2.get(_TIFF_DEPTH, (1,))  # type: ignore[attr-defined]  # only TIFFs have it
        return set(depths if isinstance(depths, tuple) else (depths,)) <= {1, 8}
    return True


def flaw_of(path: Path, media_type: str) -> str:
    """Return what keeps these bytes from being a whole picture of that type, or an empty text."""
    if not path.stat().st_size:
        return "there are no bytes"
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        kind = format_of(cast("bytes", data))
        is_whole = _is_all_there(kind, cast("bytes", data))
        needs_no_decoder = is_whole and _is_all_known(kind, cast("bytes", data))
    if not kind or media_type != f"image/{kind.lower()}":
        return f"the bytes are {kind or 'no picture'}, the Content-Type says {media_type!r}"
    if kind in ("PNG", "JPEG") and not is_whole:
        return "the bytes are no whole picture: no end, or a chunk that is not what its checksum says"
    return "" if needs_no_decoder else _flaw_of_pixels(path, is_whole=is_whole)


def _flaw_of_pixels(path: Path, *, is_whole: bool) -> str:
    """Return what a decoder finds wrong with the pixels, or an empty text."""
    try:
        image = Image.open(path)
    except Exception as fault:  # noqa: BLE001 - Pillow's decoders raise whatever strange bytes lead them to
        return "" if is_whole else f"the bytes are no whole picture: {fault}"
    with image:
        image.draft("L", (image.width // 8 or 1, image.height // 8 or 1))  # JPEG: every byte is read, few pixels made
        try:
            image.load()
        except Exception as fault:  # noqa: BLE001 - as above
            has_no_end = is_whole and path.read_bytes().endswith(_PHONES_TRAILER)
            return "" if has_no_end else f"the bytes are no whole picture: {fault}"
    return ""


# What a file says of itself: for the kinds of picture that this machine cannot decode.


def format_of(data: _Data) -> str:
    """Return Pillow's name of the format that the bytes begin as, or an empty text."""
    return next((kind for kind, beginning in _BEGINNINGS if beginning.match(data)), "")


def _is_all_there(kind: str, data: _Data) -> bool:
    try:
        return kind in _CHECKS and _CHECKS[kind](data)
    except (struct.error, IndexError, ZeroDivisionError):  # it ends in the middle of what was to be read
        return False


def _is_all_known(kind: str, data: _Data) -> bool:
    """Has `_is_all_there` checked all that a decoder would? Then one that refuses the file only lacks its format.

    That is so of a PNG, whose chunks have checksums, of a BMP whose pixels are not compressed, and of a TIFF with
    strips of WebP, each of which says its length.
    """
    if kind == "BMP":
        return _bmp_mode(data) in _UNCOMPRESSED
    return kind == "PNG" or (kind == "TIFF" and _read_tiff(data).get(_CODING) == _WEBP_IN_TIFF)


def _jpeg(data: _Data) -> bool:
    position, has_scan = 2, False
    while found := _MARKER.search(data, position):
        marker, position = data[found.start() + 1], found.end()
        if marker == _EOI:
            return has_scan
        has_scan = has_scan or marker == _SOS
        position += 0 if marker == _TEM else int.from_bytes(data[position : position + 2], "big")
    return bytes(data[-len(_PHONES_TRAILER) :]) == _PHONES_TRAILER


def _png(data: _Data) -> bool:
    position, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        (checksum,) = struct.unpack_from(">I", data, position + 8 + length)
        if zlib.crc32(data[position + 4 : position + 8 + length]) != checksum:
            return False
        position += 12 + length
    return True


def _bmp(data: _Data) -> bool:
    start, header = struct.unpack_from("<II", data, 10)
    form = "<HHHH" if header == _FIRST_HEADER else "<iiHHII"
    width, height, _, bits, *coding = struct.unpack_from(form, data, 18)
    is_plain = _bmp_mode(data) in _UNCOMPRESSED
    size = (width * bits + 31) // 32 * 4 * abs(height) if is_plain else coding[1]
    return bool(size >= 0 and start + size <= len(data))


def _bmp_mode(data: _Data) -> int:
    (header,) = struct.unpack_from("<I", data, 14)
    return 0 if header == _FIRST_HEADER else int(struct.unpack_from("<I", data, 30)[0])


def _tiff(data: _Data) -> bool:
    values = _read_tiff(data)
    pieces = [pair for tags in (_STRIPS, _TILES) for pair in zip(*(values.get(tag, ()) for tag in tags), strict=False)]
    if not pieces or any(offset + length > len(data) for offset, length in pieces):
        return False
    return values.get(_CODING) != _WEBP_IN_TIFF or all(_is_webp(data[at : at + length]) for at, length in pieces)


def _is_webp(piece: _Data) -> bool:
    return format_of(piece) == "WEBP" and struct.unpack_from("<I", piece, 4)[0] + _RIFF_HEADER <= len(piece)


def _read_tiff(data: _Data) -> dict[int, tuple[int, ...]]:
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


# WebP needs no check of ours: Pillow decodes every kind of it.
_CHECKS: Mapping[str, Callable[[_Data], bool]] = {"JPEG": _jpeg, "PNG": _png, "TIFF": _tiff, "BMP": _bmp}
