"""What the sandbox delivers is the picture, marked, in its own format; what it generates are pictures."""

import hashlib
import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image
from sandbox_client import Client, client, sandbox

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.bodies import media_type_of
from watchfolder.sandbox.examination import flaw_of
from watchfolder.sandbox.mark import marks_in, write_with_mark, write_with_token
from watchfolder.sandbox.pictures import FORMATS, sample, write_sample_files

__all__ = ["client", "sandbox"]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _tiff(width: int, height: int, bits: int, coding: int, colours: int, strip: bytes) -> bytes:
    facts = {256: width, 257: height, 258: bits, 259: coding, 262: 2 if colours > 1 else 1, 273: 0, 277: colours}
    facts |= {278: height, 279: len(strip)}
    facts[273] = 8 + 2 + 12 * len(facts) + 4  # where the pixels are: behind the directory
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in facts.items())
    return b"II*\0" + struct.pack("<IH", 8, len(facts)) + entries + bytes(4) + strip


# Valid, but nothing that Pillow opens: 4 bits for each of three colours; more colours than 8 bits can name; a JPEG in
# BMP; grey of 24 bits; WebP in TIFF, which its libtiff lacks; a text of two megabytes.
_JPEG = sample("jpeg", width=32, height=24, seed=1)
ODD_BITMAP = (
    b"BM"
    + struct.pack("<IHHI", 98, 0, 0, 66)
    + struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 16, 3, 32, 2835, 2835, 0, 0)
    + struct.pack("<III", 0xF00, 0x0F0, 0x00F)
    + b"\x7f" * 32
)
LONG_PALETTE = (
    b"BM"
    + struct.pack("<IHHI", 14 + 40 + 4 * 300 + 16, 0, 0, 14 + 40 + 4 * 300)
    + struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 8, 0, 16, 2835, 2835, 300, 0)
    + bytes(range(120)) * 10
    + bytes(range(16))
)
BMP_OF_JPEG = (
    b"BM"
    + struct.pack("<IHHI", 14 + 40 + len(_JPEG), 0, 0, 14 + 40)
    + struct.pack("<IiiHHIIiiII", 40, 32, 24, 1, 0, 4, len(_JPEG), 2835, 2835, 0, 0)
    + _JPEG
)
ODD_TIFF = _tiff(2, 2, 24, 1, 1, b"\x7f" * 12)
WEBP_IN_TIFF = _tiff(32, 24, 8, 50001, 3, sample("webp", width=32, height=24, seed=1))
ODD_PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0))
    + _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * (2 << 20)))
    + _chunk(b"IDAT", zlib.compress(b"\0\1\1" * 2))
    + _chunk(b"IEND", b"")
)


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
    written = write_sample_files(tmp_path)
    opened = []
    for path in written:
        with Image.open(path) as image:
            opened.append(str(image.format).lower())
    assert tuple(opened) == FORMATS


def test_protecting_what_bears_a_watermark_changes_it_and_leaves_that_in(tmp_path: Path) -> None:
    source, watermarked, protected = (tmp_path / name for name in ("source", "watermarked", "protected"))
    source.write_bytes(sample("png", width=200, height=150, seed=5))
    write_with_token(source, watermarked, "0" * 32)
    write_with_mark(watermarked, protected)
    assert digest(protected) != digest(watermarked)
    assert marks_in(protected) == marks_in(watermarked) == ["0" * 32]


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_marked_picture_keeps_format_and_size_and_never_its_bytes(tmp_path: Path, format_name: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(sample(format_name, width=200, height=150, seed=5))
    seen = {digest(source)}
    for number in range(3):  # marking what is marked already must change it as well
        marked = tmp_path / f"marked {number}"
        write_with_mark(source, marked)
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
        ("LA", "tiff"),
        ("PA", "tiff"),
        ("P", "tiff"),
        ("LAB", "tiff"),
        ("I;16B", "tiff"),
        ("I", "tiff"),
        ("RGBX", "tiff"),
        ("YCbCr", "tiff"),
        ("YCbCr", "jpeg"),
        ("1", "bmp"),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (300, 40)])
def test_every_kind_of_picture_can_be_marked(
    tmp_path: Path, mode: str, format_name: str, size: tuple[int, int]
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    Image.new(mode, size).save(source, format_name)
    assert flaw_of(source, f"image/{format_name}") == ""
    write_with_mark(source, target)
    assert flaw_of(target, f"image/{format_name}") == ""
    assert digest(source) != digest(target)
    with Image.open(target) as image:
        assert image.size == size


def test_a_grey_that_is_multiplied_by_its_alpha_can_be_marked(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    Image.new("LA", (64, 48)).save(source, "tiff")
    extra_sample = struct.pack("<HHI", 338, 3, 1)
    plain = source.read_bytes()
    source.write_bytes(plain.replace(extra_sample + b"\2", extra_sample + b"\1"))
    with Image.open(source) as image:
        assert image.mode == "La"
    assert flaw_of(source, "image/tiff") == ""
    write_with_mark(source, target)
    assert flaw_of(target, "image/tiff") == ""


@pytest.mark.parametrize("coding", ["group3", "group4", "tiff_ccitt", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_fax_can_be_marked(tmp_path: Path, coding: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    Image.new("1", (64, 48)).save(source, "tiff", compression=coding)
    assert flaw_of(source, "image/tiff") == ""
    write_with_mark(source, target)
    assert flaw_of(target, "image/tiff") == ""


@pytest.mark.parametrize(
    "behind",
    [b"\xff\xda" + b"\0" * 64, b"\xff\xd8\xff\xe0\0\x10", b"film" * 1000],
    ids=["a scan", "another picture", "a film"],
)
def test_what_stands_behind_a_jpeg_does_not_belong_to_it(tmp_path: Path, behind: bytes) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(sample("jpeg", width=200, height=150, seed=3) + behind)
    assert flaw_of(source, "image/jpeg") == ""
    write_with_mark(source, target)
    assert flaw_of(target, "image/jpeg") == ""


def test_a_phones_trailer_may_stand_for_the_end_of_a_jpeg(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    without_end = sample("jpeg", width=200, height=150, seed=3)[:-2]
    source.write_bytes(without_end)
    assert flaw_of(source, "image/jpeg")
    source.write_bytes(without_end + b"\0\0\x30\x0aSEFH\x6b\0\0\0SEFT")
    assert flaw_of(source, "image/jpeg") == ""
    write_with_mark(source, target)
    assert flaw_of(target, "image/jpeg") == ""


ODD = {
    "bmp": ("a.bmp", ODD_BITMAP),
    "bmp, long palette": ("a.bmp", LONG_PALETTE),
    "bmp of jpeg": ("a.bmp", BMP_OF_JPEG),
    "tiff": ("a.tif", ODD_TIFF),
    "tiff of webp": ("a.tif", WEBP_IN_TIFF),
    "png": ("a.png", ODD_PNG),
}


@pytest.mark.parametrize(("name", "content"), ODD.values(), ids=ODD)
def test_an_undecodable_picture_is_judged_by_its_structure(
    client: Client, sandbox: Sandbox, name: str, content: bytes
) -> None:
    order = client.created(name)
    media_type = media_type_of(name) or ""
    assert client.put(order["files"][0]["uploadUrl"], content, {"Content-Type": media_type}).ok
    assert client.confirm(order["orderId"]).ok
    result = client.get(client.result_url(order["orderId"]))
    assert result.status_code == 200
    with Image.open(io.BytesIO(result.content)) as image:
        assert image.get_format_mimetype() == media_type
    assert result.content != content
    assert sandbox.sins == []


@pytest.mark.parametrize(("name", "content"), ODD.values(), ids=ODD)
def test_an_undecodable_picture_without_its_last_byte_is_flawed(tmp_path: Path, name: str, content: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(content[:-1])
    assert flaw_of(source, media_type_of(name) or "")


def test_a_tiff_whose_webp_says_that_it_is_longer_has_a_flaw(tmp_path: Path) -> None:
    source = tmp_path / "source"
    strip = bytearray(sample("webp", width=32, height=24, seed=1))
    strip[4:8] = struct.pack("<I", len(strip))
    source.write_bytes(_tiff(32, 24, 8, 50001, 3, bytes(strip)))
    assert flaw_of(source, "image/tiff")


def test_a_png_with_a_chunk_that_is_not_what_its_checksum_says_has_a_flaw(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(ODD_PNG.replace(b"Comment", b"comment"))
    assert "checksum" in flaw_of(source, "image/png")


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "bmp"])
def test_a_picture_without_its_last_byte_has_a_flaw(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    source.write_bytes(sample(kind, width=200, height=150, seed=3)[:-1])
    assert flaw_of(source, f"image/{kind}")


def test_the_mark_is_seen(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    Image.new("RGB", (400, 300), "white").save(source, "png")
    write_with_mark(source, target)
    with Image.open(target) as image:
        assert image.getpixel((2, 150)) == (139, 0, 0)
        assert image.getpixel((2, 10)) == (255, 255, 255)


def test_the_icc_profile_is_kept(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    Image.new("RGB", (40, 30)).save(source, "jpeg", icc_profile=b"a profile")
    write_with_mark(source, target)
    with Image.open(target) as image:
        assert image.info["icc_profile"] == b"a profile"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
