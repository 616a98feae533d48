"""Photograph-like sample pictures, made quickly and the same for the same seed."""

import io
import random
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw

FORMATS = ("jpeg", "png", "webp", "tiff", "bmp")

_NOISE = 512  # edge of the noise tile, in pixels
_SKETCH = 4  # the scene is drawn this much smaller
_ZENITH, _HORIZON, _LIGHT = (80, 125, 195), (225, 205, 190), (240, 220, 170)
_HILLS = ((120, 140, 150), (95, 125, 105), (70, 95, 65), (45, 55, 40))
_MAKER, _MODEL, _TAKEN = 0x010F, 0x0110, 0x0132  # EXIF


def sample(format: str, *, width: int, height: int, seed: int) -> bytes:  # noqa: A002 - Pillow's own word
    """Return a sky, hills, a few lights and a sensor's grain, encoded as one of FORMATS."""
    image = _landscape(width, height, random.Random(seed))  # noqa: S311 - a picture, no secret
    ways: dict[str, dict[str, object]] = {
        "jpeg": {"quality": 88, "exif": _exif(seed)},
        "png": {"compress_level": 1},
        "webp": {"quality": 80, "method": 0},
        "tiff": {"compression": "raw"},
        "bmp": {},
    }
    encoded = io.BytesIO()
    image.save(encoded, format, **ways[format])
    return encoded.getvalue()


def write_samples(folder: Path) -> list[Path]:
    """Write one picture of each format into `folder` and return where they are."""
    written = []
    for seed, format_name in enumerate(FORMATS):
        path = folder / f"landscape {seed + 1}.{ {'jpeg': 'jpg', 'tiff': 'tif'}.get(format_name, format_name) }"
        path.write_bytes(sample(format_name, width=1280, height=960, seed=seed))
        written.append(path)
    return written


def _landscape(width: int, height: int, chance: random.Random) -> Image.Image:
    small = -(-width // _SKETCH), -(-height // _SKETCH)
    sketch = _sketch(*small, chance).resize((width, height), Image.Resampling.BILINEAR)  # a lens's soft edges
    return _grained(sketch, chance)


def _sketch(width: int, height: int, chance: random.Random) -> Image.Image:
    image = _sky(width, height, chance)
    draw = ImageDraw.Draw(image)
    for layer in range(len(_HILLS)):
        draw.polygon(_ridge(width, height, layer, chance), fill=_near(chance, _HILLS[layer]))
    for _ in range(12):
        x, y, radius = chance.randrange(width), chance.randrange(height), chance.randrange(1, width // 30 + 2)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_near(chance, _LIGHT))
    return image


def _sky(width: int, height: int, chance: random.Random) -> Image.Image:
    ramp = Image.linear_gradient("L").resize((width, height))
    top, bottom = _near(chance, _ZENITH), _near(chance, _HORIZON)
    bands = [
        ramp.point([int(low + (high - low) * step / 255) for step in range(256)])
        for low, high in zip(top, bottom, strict=True)
    ]
    return Image.merge("RGB", bands)


def _ridge(width: int, height: int, layer: int, chance: random.Random) -> list[tuple[int, int]]:
    base, steps = height * (4 + layer) // 8, 24
    line = [(width * step // steps, base - chance.randrange(max(1, height // 8))) for step in range(steps + 1)]
    return [(0, height), *line, (width, height)]


def _near(chance: random.Random, color: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, level + chance.randrange(-25, 26))) for level in color)
    return red, green, blue


def _grained(image: Image.Image, chance: random.Random) -> Image.Image:
    noise = Image.frombytes("L", (_NOISE, _NOISE), chance.randbytes(_NOISE * _NOISE))
    tile = Image.merge("RGB", [noise.point([116 + level // 11 for level in range(256)])] * 3)
    grain = Image.new("RGB", image.size)
    for left in range(0, image.width, _NOISE):
        for top in range(0, image.height, _NOISE):
            grain.paste(tile, (left, top))
    return ImageChops.add(image, grain, offset=-128)


def _exif(seed: int) -> bytes:
    exif = Image.Exif()
    exif[_MAKER], exif[_MODEL] = "watchfolder sandbox", f"sample {seed}"
    exif[_TAKEN] = "2026:01:01 12:00:00"
    return exif.tobytes()
