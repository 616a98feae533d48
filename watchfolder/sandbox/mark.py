"""The visible mark on everything the sandbox gives back, and the look at what it is given."""

import filecmp
import functools
import mmap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

TEXT = "SANDBOX – not protected"

_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/tiff": "TIFF", "image/bmp": "BMP"}
_ALIASES = {"MPO": "JPEG", "DIB": "BMP"}  # a camera's JPEG with a preview behind it; a bitmap by its inner header
_MARKABLE = {"JPEG": ("L", "RGB", "CMYK"), "BMP": ("L", "RGB")}
_MARKABLE_ELSE = ("L", "RGB", "RGBA")


def flaw_of(path: Path, media_type: str) -> str:
    """Return what keeps these bytes from being a whole picture of that type, or an empty text."""
    try:
        with Image.open(path) as image:
            found = _format_of(image)
            image.draft(
                "L", (image.width // 8 or 1, image.height // 8 or 1)
            )  # JPEG: every byte is read, few pixels are made
            image.load()
        is_whole = found != "JPEG" or _ends(path)
    except Exception as fault:  # noqa: BLE001 - Pillow's decoders raise whatever broken bytes lead them to
        return f"the bytes are no whole picture: {fault}"
    if not is_whole:
        return "the bytes are no whole picture: no end marker"
    return "" if found == _FORMATS.get(media_type) else f"the bytes are {found}, the Content-Type says {media_type!r}"


def write_marked(source: Path, target: Path) -> None:
    """Write the picture at `source` to `target` with the mark: same format and size, other bytes in any case."""
    with Image.open(source) as image:
        format_name = _format_of(image)
        facts: dict[str, object] = {
            name: image.info[name] for name in ("exif", "icc_profile", "dpi") if name in image.info
        }
        marked = _in_markable_mode(image, format_name)
        if marked.mode != image.mode:
            facts.pop("icc_profile", None)
        if format_name not in ("JPEG", "PNG", "WEBP"):
            facts.pop("exif", None)
    _draw(marked)
    _save(marked, target, format_name, facts)
    if filecmp.cmp(source, target, shallow=False):  # it bore this very mark already
        _save(_inverted(marked), target, format_name, facts)


def _format_of(image: Image.Image) -> str:
    return _ALIASES.get(image.format or "", image.format or "")


def _ends(path: Path) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")  # end of image, behind the last start of scan


def _in_markable_mode(image: Image.Image, format_name: str) -> Image.Image:
    modes = _MARKABLE.get(format_name, _MARKABLE_ELSE)
    if image.mode in modes:
        return image.copy()
    if image.mode in ("1", "I", "F") or image.mode.startswith("I;16"):
        return image.convert("L")
    has_transparency = image.has_transparency_data and "RGBA" in modes
    return image.convert("RGBA" if has_transparency else "RGB")


def _draw(image: Image.Image) -> None:
    """Lay a dark band with the text across the middle: nobody mistakes this for a protected picture."""
    width = image.width
    height = min(image.height, max(1, width * _lettering().height // _lettering().width))
    top = (image.height - height) // 2
    band = Image.composite(
        Image.new("RGB", (width, height), "white"),
        Image.new("RGB", (width, height), "darkred"),
        _lettering().resize((width, height)),
    )
    image.paste(band.convert(image.mode), (0, top))


@functools.lru_cache(maxsize=1)
def _lettering() -> Image.Image:
    font = ImageFont.load_default(64)
    dash = " " * 5  # the font that comes with Pillow has no en dash: it is drawn into this gap
    left, right = TEXT.split(" – ")
    start = 32 + font.getlength(left)
    lettering = Image.new("L", (int(64 + font.getlength(left + dash + right)), 112), 0)
    draw = ImageDraw.Draw(lettering)
    draw.text((32, 56), left + dash + right, font=font, fill=255, anchor="lm")
    draw.rectangle((start + 16, 56, start + font.getlength(dash) - 16, 60), fill=255)
    return lettering


def _save(image: Image.Image, target: Path, format_name: str, facts: dict[str, object]) -> None:
    ways: dict[str, dict[str, object]] = {
        "JPEG": {"quality": 90},
        "PNG": {"compress_level": 1},
        "WEBP": {"quality": 85, "method": 0},
    }
    image.save(target, format_name, **ways.get(format_name, {}), **facts)


def _inverted(image: Image.Image) -> Image.Image:
    return ImageOps.invert(image.convert("RGB")).convert(image.mode)
