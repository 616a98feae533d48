"""The visible mark on each picture that the sandbox gives back, and the hidden tokens of its watermarks."""

import filecmp
import functools
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from watchfolder.sandbox.examination import format_of

_TEXT = "SANDBOX - not protected"

_MARKABLE = {"JPEG": ("L", "RGB", "CMYK"), "BMP": ("L", "RGB")}
_MARKABLE_ELSE = ("L", "RGB", "RGBA")
_SAVE_OPTIONS: Mapping[str, Mapping[str, object]] = {
    "JPEG": {"quality": 90},
    "PNG": {"compress_level": 1},
    "WEBP": {"quality": 85, "method": 0},
}
_BLANK_SIZE = (640, 480)
_TRAILER = re.compile(rb"\n%MORI-SANDBOX-MARK ([0-9a-f]{32})\n")  # to PDFs a comment
_TRAILER_BYTES = 4096


def write_with_mark(source: Path, target: Path) -> None:
    """Write the picture at `source` to `target` with the mark: in the same format, and never with the same bytes.

    Its size is kept as well, unless this machine cannot decode it: then the mark is on a blank picture.
    """
    kind = format_of(source.read_bytes())
    try:
        marked, facts = _opened(source, kind)
        _write_mark(marked, target, kind, facts)
    except Exception:  # noqa: BLE001 - Pillow's decoders raise whatever strange bytes lead them to
        marked, facts = Image.new("RGB", _BLANK_SIZE, "gray"), {}
        _write_mark(marked, target, kind, facts)
    tokens = [token.encode("ascii") for token in marks_in(source)]  # a watermark outlives protection
    _append(target, tokens)
    if filecmp.cmp(source, target, shallow=False):  # it bore this very mark already
        _write_mark(ImageOps.invert(marked.convert("RGB")).convert(marked.mode), target, kind, facts)
        _append(target, tokens)


def write_with_token(source: Path, target: Path, token: str) -> None:
    """Write what is at `source` to `target` with the visible mark, if it is a picture, and with `token` to be found."""
    if format_of(source.read_bytes()):
        write_with_mark(source, target)
    else:
        shutil.copyfile(source, target)
    _append(target, [token.encode("ascii")])


def marks_in(path: Path) -> list[str]:
    """Return the tokens that were embedded, oldest first. They stand behind the picture, where readers do not look."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TRAILER_BYTES))
        return [token.decode("ascii") for token in _TRAILER.findall(file.read())]


def _append(path: Path, tokens: Iterable[bytes]) -> None:
    with path.open("ab") as file:
        file.writelines(b"\n%%MORI-SANDBOX-MARK %s\n" % token for token in tokens)


def _opened(source: Path, kind: str) -> tuple[Image.Image, dict[str, object]]:
    """Return the picture in a mode that can be marked, and the facts about it that its format keeps."""
    with Image.open(source) as image:
        marked = _in_mode(image, kind)
        facts: dict[str, object] = {name: image.info[name] for name in ("icc_profile", "dpi") if name in image.info}
        if kind in ("JPEG", "PNG", "WEBP") and "exif" in image.info:
            facts["exif"] = image.info["exif"]
        if kind == "TIFF":  # a fax's coding takes no other mode
            facts["compression"] = "raw" if image.info.get("compression") == "raw" else "tiff_lzw"
        if marked.mode != image.mode:
            facts.pop("icc_profile", None)
    marked.info = {}  # else the encoders would use what is in it
    return marked, facts


def _in_mode(image: Image.Image, format_name: str) -> Image.Image:
    modes = _MARKABLE.get(format_name, _MARKABLE_ELSE)
    if image.mode in modes:
        return image.copy()
    if image.mode == "La":  # which converts to nothing else
        image = image.convert("LA")
    if image.mode in ("1", "I", "F") or image.mode.startswith("I;16"):
        return image.convert("L")
    has_transparency = image.has_transparency_data and "RGBA" in modes
    return image.convert("RGBA" if has_transparency else "RGB")


def _write_mark(image: Image.Image, target: Path, kind: str, facts: Mapping[str, object]) -> None:
    """Lay a dark band with the text across the middle: this cannot be mistaken for a protected picture."""
    lettering = _text_picture()
    height = min(image.height, max(1, image.width * lettering.height // lettering.width))
    band = ImageOps.colorize(lettering.resize((image.width, height)), "darkred", "white")
    image.paste(band.convert(image.mode), (0, (image.height - height) // 2))
    image.save(target, kind, **_SAVE_OPTIONS.get(kind, {}), **facts)


@functools.lru_cache(maxsize=1)
def _text_picture() -> Image.Image:
    font = ImageFont.load_default(64)
    lettering = Image.new("L", (int(64 + font.getlength(_TEXT)), 112))
    ImageDraw.Draw(lettering).text((32, 56), _TEXT, font=font, fill=255, anchor="lm")
    return lettering
