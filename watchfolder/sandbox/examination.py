"""What a service finds wrong with the bytes of a file: a sin of the client's, or what this service does not take."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from watchfolder.sandbox.mark import flaw_of
from watchfolder.sandbox.orders import OrderType
from watchfolder.sandbox.structure import kind_of

_PDF = "application/pdf"
_PDF_END_BYTES = 1024  # readers look so far back for the end mark
_SIXTEEN_BITS = 16
_PNG_DEPTH, _BMP_BITS, _BMP_COMPRESSION = 24, slice(28, 30), slice(30, 34)  # where a file says it
_TIFF_DEPTH = 258
_MODES: Mapping[str, tuple[str, ...]] = {
    "JPEG": ("L", "RGB"),
    "PNG": ("1", "L", "RGB", "RGBA"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("1", "L", "RGB"),
    "TIFF": ("1", "L", "RGB"),
}


class Flaw(NamedTuple):
    code: str = ""  # that the order fails with; empty: it does not
    sin: str = ""  # what the client should have known
    is_unsupported: bool = False  # an extract ends with this as its verdict


_NONE = Flaw()


def examine(order_type: OrderType, path: Path, media_type: str) -> Flaw:
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
        is_another = kind_of(path.read_bytes()) != media_type.removeprefix("image/").upper()
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
    return (
        _NONE if has_good_mode and _is_of_known_depth(image, path) else Flaw("WATERMARK_IMAGE_COLOR_MODE_UNSUPPORTED")
    )


def _is_of_known_depth(image: Image.Image, path: Path) -> bool:
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
