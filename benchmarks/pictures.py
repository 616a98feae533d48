"""The pictures of the benchmarks: of a given size, all different, and cheap for the sandbox to look at."""

import struct
from pathlib import Path

from watchfolder.sandbox.pictures import sample

TINY, SMALL, MEDIUM, LARGE = 1 << 10, 10 << 10, 500 << 10, 20 << 20
SIZES = {SMALL: "10 KiB", MEDIUM: "500 KiB", LARGE: "20 MiB"}

_JPEG_PIXELS = {TINY: (16, 12), SMALL: (180, 130), MEDIUM: (1500, 1125)}
_TIFF_PIXELS = (2700, 2588)  # 3 bytes each: 20 MiB
_NUMBER_BYTES = 8


def fill(card: Path, size: int, count: int) -> None:
    """Write `count` pictures of `size` bytes: JPEG with stray bytes behind its end, or an uncompressed TIFF."""
    for number in range(count):
        (card / f"picture-{number:05}{suffix(size)}").write_bytes(picture(size, number))


def suffix(size: int) -> str:
    return ".tif" if size == LARGE else ".jpg"


def picture(size: int, number: int, _made: dict[int, bytes] = {}) -> bytes:  # noqa: B006 - drawn once a size
    if size not in _made:
        _made[size] = _tiff() if size == LARGE else _jpeg(size)
    return _made[size][:-_NUMBER_BYTES] + b"%08d" % number


def _jpeg(size: int) -> bytes:
    width, height = _JPEG_PIXELS[size]
    drawn = sample("jpeg", width=width, height=height, seed=1)
    return drawn + b" " * (size - len(drawn))


def _tiff() -> bytes:
    width, height = _TIFF_PIXELS
    return sample("tiff", width=width, height=height, seed=1) + b" " * _NUMBER_BYTES


def write_huge_tiff(path: Path, size: int) -> None:
    """Write a TIFF of `size` bytes, most of them a hole: a small grey picture in front, its directory at the end."""
    width = height = 64
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),  # bits a sample
        (259, 3, 1, 1),  # not compressed
        (262, 3, 1, 1),  # black is zero
        (273, 4, 1, 8),  # where its one strip begins
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, width * height),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    directory += struct.pack("<I", 0)
    with path.open("wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, size - len(directory)))
        file.write(bytes(range(256)) * (width * height // 256))
        file.seek(size - len(directory))
        file.write(directory)
