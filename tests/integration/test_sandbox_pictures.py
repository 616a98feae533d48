"""What the sandbox delivers is the picture, marked, in its own format; what it generates are pictures."""

import hashlib
from pathlib import Path

import pytest
from PIL import Image

from watchfolder.sandbox.mark import flaw_of, write_marked
from watchfolder.sandbox.pictures import FORMATS, sample, write_samples


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_sample_is_a_whole_picture_and_the_same_for_the_same_seed(tmp_path: Path, format_name: str) -> None:
    path = tmp_path / "picture"
    path.write_bytes(sample(format_name, width=200, height=150, seed=3))
    assert flaw_of(path, f"image/{format_name}") == ""
    assert path.read_bytes() == sample(format_name, width=200, height=150, seed=3)
    assert path.read_bytes() != sample(format_name, width=200, height=150, seed=4)


@pytest.mark.parametrize("format_name", FORMATS)
def test_half_a_picture_has_a_flaw(tmp_path: Path, format_name: str) -> None:
    whole = sample(format_name, width=200, height=150, seed=3)
    path = tmp_path / "picture"
    path.write_bytes(whole[: len(whole) // 2])
    assert flaw_of(path, f"image/{format_name}")


def test_a_photograph_of_1600_by_1200_has_about_500_kib() -> None:
    assert 400 * 1024 < len(sample("jpeg", width=1600, height=1200, seed=1)) < 600 * 1024


def test_samples_are_written_in_every_format(tmp_path: Path) -> None:
    written = write_samples(tmp_path)
    opened = []
    for path in written:
        with Image.open(path) as image:
            opened.append(str(image.format).lower())
    assert tuple(opened) == FORMATS


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_marked_picture_keeps_format_and_size_and_never_its_bytes(tmp_path: Path, format_name: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(sample(format_name, width=200, height=150, seed=5))
    seen = {digest(source)}
    for number in range(3):  # marking what is marked already must change it as well
        marked = tmp_path / f"marked {number}"
        write_marked(source, marked)
        assert flaw_of(marked, f"image/{format_name}") == ""
        assert digest(marked) != digest(source)
        seen.add(digest(marked))
        source = marked
    with Image.open(source) as image:
        assert image.size == (200, 150)
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("mode", "format_name"),
    [
        ("1", "png"),
        ("L", "jpeg"),
        ("LA", "png"),
        ("P", "png"),
        ("P", "bmp"),
        ("RGBA", "webp"),
        ("I;16", "png"),
        ("CMYK", "jpeg"),
        ("CMYK", "tiff"),
        ("1", "tiff"),
        ("F", "tiff"),
        ("RGBA", "tiff"),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (300, 40)])
def test_every_kind_of_picture_can_be_marked(
    tmp_path: Path, mode: str, format_name: str, size: tuple[int, int]
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    Image.new(mode, size).save(source, format_name)
    assert flaw_of(source, f"image/{format_name}") == ""
    write_marked(source, target)
    assert flaw_of(target, f"image/{format_name}") == ""
    assert digest(source) != digest(target)
    with Image.open(target) as image:
        assert image.size == size


def test_the_mark_is_seen(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    Image.new("RGB", (400, 300), "white").save(source, "png")
    write_marked(source, target)
    with Image.open(target) as image:
        assert image.getpixel((2, 150)) == (139, 0, 0)
        assert image.getpixel((2, 10)) == (255, 255, 255)


def test_the_icc_profile_is_kept(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    Image.new("RGB", (40, 30)).save(source, "jpeg", icc_profile=b"a profile")
    write_marked(source, target)
    with Image.open(target) as image:
        assert image.info["icc_profile"] == b"a profile"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
