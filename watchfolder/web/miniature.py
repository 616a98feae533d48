"""A program by itself: from a picture on stdin to a small JPEG on stdout. It imports nothing of the package."""

import contextlib
import io
import os
import resource
import sys

from PIL import Image, ImageOps
from PIL.Image import open as opened

_MOST_PIXELS = 60_000_000
_MOST_PIXELS_DECODED = 40_000_000  # a JPEG can be decoded at an eighth of its size, the others cannot
_MEMORY_BYTES = 1 << 30
_PROCESSOR_SECONDS = 8
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")


def main() -> None:
    with contextlib.suppress(OSError, ValueError):  # systemd's filter may say no
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR_SECONDS, _PROCESSOR_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(OSError):
        os.nice(19)
    sys.stdout.buffer.write(thumbnail(sys.stdin.buffer.read(), int(sys.argv[1])))


def thumbnail(content: bytes, edge: int) -> bytes:
    """Return a JPEG of at most `edge` by `edge` pixels, upright, without metadata. Raises ValueError for a bomb."""
    with opened(io.BytesIO(content), formats=_FORMATS) as picture:
        if picture.width * picture.height > _MOST_PIXELS:
            raise ValueError("too many pixels")
        picture.draft("RGB", (edge, edge))
        if picture.width * picture.height > _MOST_PIXELS_DECODED:
            raise ValueError("too many pixels")
        picture.thumbnail((edge, edge))
        upright = ImageOps.exif_transpose(picture).convert("RGBA")
        plain = Image.new("RGB", upright.size, "white")
        plain.paste(upright, mask=upright.getchannel("A"))
        made = io.BytesIO()
        plain.save(made, "JPEG", quality=80)
        return made.getvalue()


if __name__ == "__main__":
    main()
