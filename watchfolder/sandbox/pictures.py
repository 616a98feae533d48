"""Photograph-like sample pictures, made quickly and the same for the same seed; and a PDF with a line on it."""

import io
import random
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageOps

_EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp", "tiff": "tif", "bmp": "bmp"}
FORMATS = tuple(_EXTENSIONS)

_SKETCH = 4  # the scene is drawn this much smaller
_ZENITH, _HORIZON, _LIGHT = (80, 125, 195), (225, 205, 190), (240, 220, 170)
_HILLS = ((120, 140, 150), (95, 125, 105), (70, 95, 65), (45, 55, 40))
_GRAIN = [116 + level // 11 for level in range(256)]
_MAKER, _MODEL, _TAKEN = 0x010F, 0x0110, 0x0132  # EXIF
_SAVE_OPTIONS: Mapping[str, Mapping[str, object]] = {
    "jpeg": {"quality": 88},
    "png": {"compress_level": 1},
    "webp": {"quality": 80, "method": 0},
    "tiff": {"compression": "raw"},
}


def sample(format: str, *, width: int, height: int, seed: int) -> bytes:  # noqa: A002 - Pillow's own word
    """Return a sky, hills, a few lights and a sensor's grain, encoded as one of FORMATS."""
    chance = random.Random(seed)  # noqa: S311 - a picture, no secret
    sketch = _make_picture(-(-width // _SKETCH), -(-height // _SKETCH), chance)
    image = sketch.resize((width, height), Image.Resampling.BILINEAR)  # a lens's soft edges
    grain = Image.frombytes("L", image.size, chance.randbytes(width * height)).point(_GRAIN)
    image = ImageChops.add(image, Image.merge("RGB", [grain] * 3), offset=-128)
    exif = Image.Exif()
    exif.update({_MAKER: "watchfolder sandbox", _MODEL: f"sample {seed}", _TAKEN: "2026:01:01 12:00:00"})
    encoded = io.BytesIO()
    image.save(encoded, format, **_SAVE_OPTIONS.get(format, {}), **({"exif": exif} if format == "jpeg" else {}))
    return encoded.getvalue()


def write_sample_files(folder: Path) -> list[Path]:
    written = []
    for seed, (format_name, extension) in enumerate(_EXTENSIONS.items()):
        path = folder / f"landscape {seed + 1}.{extension}"
        path.write_bytes(sample(format_name, width=1280, height=960, seed=seed))
        written.append(path)
    return written


def _make_picture(width: int, height: int, chance: random.Random) -> Image.Image:
    sky = Image.linear_gradient("L").resize((width, height))
    image = ImageOps.colorize(sky, _another(_ZENITH, chance), _another(_HORIZON, chance))
    draw, steps = ImageDraw.Draw(image), 24
    for layer, color in enumerate(_HILLS):
        base = height * (4 + layer) // 8
        ridge = [(width * step // steps, base - chance.randrange(max(1, height // 8))) for step in range(steps + 1)]
        draw.polygon([(0, height), *ridge, (width, height)], fill=_another(color, chance))
    for _ in range(12):
        x, y, radius = chance.randrange(width), chance.randrange(height), chance.randrange(1, width // 30 + 2)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_another(_LIGHT, chance))
    return image


def _another(color: tuple[int, int, int], chance: random.Random) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, level + chance.randrange(-25, 26))) for level in color)
    return red, green, blue


def sample_pdf(text: str) -> bytes:
    """Return a whole PDF of one page with this line. `text` is plain ASCII; brackets and backslashes are left out."""
    line = text.translate(str.maketrans("", "", "()\\"))
    drawing = f"BT /F1 18 Tf 72 720 Td ({line}) Tj ET".encode("ascii")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 %s >> >> >>"
        % b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing),
    ]
    content, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, start=1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    entries = b"".join(b"%010d 00000 n \n" % place for place in places)
    table = b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(places) + 1, entries)
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(places) + 1, len(content))
    return content + table + trailer
