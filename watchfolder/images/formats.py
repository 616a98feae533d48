"""Which format are these bytes? The supported ones, and by name those that people drop instead."""

import os
import re
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Format(StrEnum):
    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    TIFF = "tiff"
    BMP = "bmp"
    PDF = "pdf"  # no picture, but some services take it

    @property
    def label(self) -> str:
        return "WebP" if self is Format.WEBP else self.value.upper()

    @property
    def media_type(self) -> str:
        return "application/pdf" if self is Format.PDF else f"image/{self.value}"

    @property
    def word(self) -> str:
        return "PDF" if self is Format.PDF else "picture"

    @property
    def extension(self) -> str:
        """The canonical one, for names that we make."""
        return EXTENSIONS[self][0]


EXTENSIONS: Final = {  # all that the service takes, in lower case; the canonical one first
    Format.JPEG: (".jpg", ".jpeg"),
    Format.PNG: (".png",),
    Format.WEBP: (".webp",),
    Format.TIFF: (".tif", ".tiff"),
    Format.BMP: (".bmp",),
    Format.PDF: (".pdf",),
}
_ALIASES = frozenset({".jpe", ".jfif", ".apng", ".dib", ".btf"})  # not taken by the service under these names
_PICTURE_EXTENSIONS = _ALIASES.union(*(EXTENSIONS[form] for form in Format if form is not Format.PDF))


@dataclass(frozen=True)
class Foreign:
    """Something else. `label` completes "this is …"; `advice` tells the owner what to do."""

    label: str
    is_picture: bool
    advice: str
    is_raw: bool = False  # a camera's sensor data, not yet developed


def _picture(label: str, advice: str = "Save it as JPEG, PNG or TIFF, and drop that file instead.") -> Foreign:
    return Foreign(label, is_picture=True, advice=advice)


def _other(label: str) -> Foreign:
    return Foreign(label, is_picture=False, advice="Only JPEG, PNG, WebP, TIFF and BMP pictures can be sent.")


def _raw(kind: str) -> Foreign:
    advice = "Export it as JPEG or TIFF from your RAW converter, and drop that file instead."
    return Foreign(f"a camera RAW picture ({kind})", is_picture=True, advice=advice, is_raw=True)


_HEIC = _picture(
    "a HEIC picture",
    "Export it as JPEG, and drop that file instead. (An iPhone takes JPEGs with Settings, Camera, Formats, "
    "Most Compatible.)",
)
_AVIF = _picture("an AVIF picture")
_JPEG_XL = _picture("a JPEG XL picture")
_JPEG_2000 = _picture("a JPEG 2000 picture")
_JPEG_XR = _picture("a JPEG XR picture")
_GIF = _picture("a GIF picture", "Save it as PNG, and drop that file instead.")
_PSD = _picture("a Photoshop document", "Save a copy as TIFF, PNG or JPEG in Photoshop, and drop that copy instead.")
_EPS = _picture("a PostScript drawing", "Export it as PNG or TIFF, and drop that file instead.")
_SVG = _picture("an SVG drawing", "Export it as PNG, and drop that file instead.")
_ILLUSTRATOR = _picture("an Illustrator drawing", "Export it as PNG or TIFF, and drop that file instead.")
_EXR = _picture("an OpenEXR picture")
_XCF = _picture("a GIMP document", "Export it as TIFF, PNG or JPEG from GIMP, and drop that file instead.")
_BITMAP_ADVICE = "Save it as BMP, PNG or TIFF from a program that shows it, and drop that file instead."
_BARE_BITMAP = _picture("a bitmap without its file header, as the clipboard holds it", _BITMAP_ADVICE)
_BITMAP_ARRAY = _picture("an OS/2 bitmap array", _BITMAP_ADVICE)
_OTHER_BITMAP = _picture("a rare kind of BMP", _BITMAP_ADVICE)
_PDF = _other("a PDF document")
LOCKED_PDF = _picture("a PDF that is locked", "Save it without its password, and drop that file instead.")
_VIDEO = _other("a video")
_SOUND = _other("a sound recording")
_ARCHIVE = _other("an archive")
_OFFICE = _other("an office document")
_WEB_PAGE = _other("a web page")
_XML = _other("an XML or sidecar file")
_TEXT = _other("a text file")

_RAW_EXTENSIONS = (
    "3fr arw bay cap cr2 cr3 crw dcr dng erf fff gpr iiq k25 kdc mef mos mrw nef nrw orf pef ptx raf raw rw2 rwl sr2 "
    "srf srw x3f"
)
_RAW_BY_EXTENSION = {f".{extension}": _raw(extension.upper()) for extension in _RAW_EXTENSIONS.split()}
_FOREIGN_BY_EXTENSION = _RAW_BY_EXTENSION | {
    ".heic": _HEIC,
    ".heif": _HEIC,
    ".hif": _HEIC,
    ".avif": _AVIF,
    ".jxl": _JPEG_XL,
    ".jp2": _JPEG_2000,
    ".j2k": _JPEG_2000,
    ".jpf": _JPEG_2000,
    ".jpx": _JPEG_2000,
    ".jxr": _JPEG_XR,
    ".gif": _GIF,
    ".psd": _PSD,
    ".psb": _PSD,
    ".eps": _EPS,
    ".svg": _SVG,
    ".ai": _ILLUSTRATOR,
    ".exr": _EXR,
    ".xcf": _XCF,
}

_BY_START: tuple[tuple[bytes, Format | Foreign], ...] = (
    (b"II*\0\x10\0\0\0CR", _raw("CR2")),
    (b"\xff\xd8\xff", Format.JPEG),
    (b"\x89PNG\r\n\x1a\n", Format.PNG),
    (b"II*\0", Format.TIFF),
    (b"MM\0*", Format.TIFF),
    (b"II+\0\x08\0\0\0", Format.TIFF),  # BigTIFF
    (b"MM\0+\0\x08\0\0", Format.TIFF),
    (b"IIRO", _raw("ORF")),
    (b"IIRS", _raw("ORF")),
    (b"MMOR", _raw("ORF")),
    (b"IIU\0", _raw("RW2")),
    (b"II\x1a\0\0\0HEAPCCDR", _raw("CRW")),
    (b"FUJIFILMCCD-RAW", _raw("RAF")),
    (b"FOVb", _raw("X3F")),
    (b"\0MRM", _raw("MRW")),
    (b"II\xbc\x01", _JPEG_XR),
    (b"\xff\x0a", _JPEG_XL),
    (b"\0\0\0\x0cJXL \r\n\x87\n", _JPEG_XL),
    (b"\0\0\0\x0cjP  \r\n\x87\n", _JPEG_2000),
    (b"\xff\x4f\xff\x51", _JPEG_2000),
    (b"8BPS", _PSD),
    (b"GIF87a", _GIF),
    (b"GIF89a", _GIF),
    (b"%!PS", _EPS),
    (b"\xc5\xd0\xd3\xc6", _EPS),
    (b"\x76\x2f\x31\x01", _EXR),
    (b"gimp xcf", _XCF),
    (b"%PDF-", _PDF),
    (b"\x1a\x45\xdf\xa3", _VIDEO),  # Matroska, WebM
    (b"\0\0\1\xba", _VIDEO),  # MPEG
    (b"\0\0\1\xb3", _VIDEO),
    (b"FLV\1", _VIDEO),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", _VIDEO),  # Windows Media
    (b"ID3", _SOUND),
    (b"OggS", _SOUND),
    (b"fLaC", _SOUND),
    (b"PK\3\4", _ARCHIVE),
    (b"PK\5\6", _ARCHIVE),
    (b"Rar!\x1a\7", _ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", _ARCHIVE),
    (b"\x1f\x8b\x08", _ARCHIVE),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OFFICE),
)
_BY_RIFF_KIND: dict[bytes, Format | Foreign] = {b"WEBP": Format.WEBP, b"AVI ": _VIDEO, b"WAVE": _SOUND}
_VIDEO_BOXES = frozenset({b"moov", b"mdat", b"wide", b"pnot"})  # QuickTime of old has no ftyp

_BMP_BYTES = 18
_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})
_OTHER_BMP_HEADERS = range(16, 128)  # OS/2 2.x lets a writer leave out the end of the header
_BITMAPS_IN_ARRAYS = frozenset({b"BM", b"IC", b"CI", b"PT", b"CP"})
_BARE_BITMAP_BYTES = 40
_BITMAP_DEPTHS = frozenset({1, 4, 8, 16, 24, 32})
_BITMAP_PACKINGS = range(7)
_TEXT_BYTES = 16  # no supported format begins with so many printable bytes
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def identify(head: bytes, name: str, *, takes_pdf: bool = False) -> Format | Foreign | None:
    """Say what begins with `head` (a few KiB); None: not known (yet). Bytes count for more than the name."""
    found = _identify_bytes(head)
    by_name = foreign_named(name)
    if found is None and is_named_picture(name) and _is_bmp_without_header(head):
        return _BARE_BITMAP
    if found is Format.TIFF and by_name in _RAW_BY_EXTENSION.values():
        return by_name  # most cameras' RAW formats, and DNG, are TIFFs
    if found is not _PDF:
        return found
    return by_name if by_name is _ILLUSTRATOR else Format.PDF if takes_pdf else _PDF


def is_named_picture(name: str) -> bool:
    return _extension(name) in _PICTURE_EXTENSIONS


def format_named(name: str, *, takes_pdf: bool = False) -> Format:
    """Return the format whose extension a name has; JPEG where it has none of these."""
    found = next((each for each in Format if _extension(name) in EXTENSIONS[each]), Format.JPEG)
    return found if takes_pdf or found is not Format.PDF else Format.JPEG


def foreign_named(name: str) -> Foreign | None:
    return _FOREIGN_BY_EXTENSION.get(_extension(name))


def _extension(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _identify_bytes(head: bytes) -> Format | Foreign | None:
    for start, found in _BY_START:
        if head.startswith(start):
            return found
    if head.startswith(b"RIFF"):
        return _BY_RIFF_KIND.get(head[8:12])
    if head.startswith((b"BM", b"BA")) and len(head) >= _BMP_BYTES and (bitmap := _identify_bmp(head)):
        return bitmap
    if head[4:8] == b"ftyp":
        return _identify_media(head)
    return _VIDEO if head[4:8] in _VIDEO_BOXES else _identify_text(head)


def _identify_bmp(head: bytes) -> Format | Foreign | None:
    if head.startswith(b"BA"):
        return _BITMAP_ARRAY if head[14:16] in _BITMAPS_IN_ARRAYS else None
    header_bytes = int.from_bytes(head[14:18], "little")
    if header_bytes in _BMP_HEADERS:
        return Format.BMP
    return _OTHER_BITMAP if header_bytes in _OTHER_BMP_HEADERS else None


def _is_bmp_without_header(head: bytes) -> bool:
    """Does a BITMAPINFOHEADER stand there: its own length, a size, one plane, bits per pixel, a known packing?"""
    if len(head) < _BARE_BITMAP_BYTES:
        return False
    length, planes, depth, packing = struct.unpack_from("<I8xHHI", head)
    return length == _BARE_BITMAP_BYTES and planes == 1 and depth in _BITMAP_DEPTHS and packing in _BITMAP_PACKINGS


def _identify_media(head: bytes) -> Foreign | None:
    """Read the brands of an ISO media file: the major one, its version, then the compatible ones."""
    box = head[8 : min(int.from_bytes(head[:4], "big"), 256)]
    brands = {box[at : at + 4] for at in range(0, len(box), 4)} - {b""}
    if not brands:
        return None
    if b"crx " in brands:
        return _raw("CR3")
    if brands & {b"avif", b"avis"}:
        return _AVIF
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
        return _HEIC
    return _SOUND if box.startswith((b"M4A ", b"M4B ")) else _VIDEO


def _identify_text(head: bytes) -> Foreign | None:
    text = _text_of(head)
    if text is None:
        return None
    start = text.lstrip("\ufeff \t\r\n").lower()
    if start.startswith(("<svg", "<?xml", "<!--", "<!doctype svg")) and "<svg" in start:
        return _SVG
    if start.startswith(("<!doctype html", "<html")):
        return _WEB_PAGE
    return _XML if start.startswith(("<?xml", "<?xpacket", "<x:xmpmeta")) else _TEXT


def _text_of(head: bytes) -> str | None:
    if len(head) < _TEXT_BYTES:
        return None
    coding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    for cut in range(4):  # the head may end within a character
        try:
            text = head[: len(head) - cut].decode(coding)
        except UnicodeDecodeError:
            continue
        return None if _CONTROL.search(text) else text
    return None
