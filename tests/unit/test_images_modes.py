"""What is out of the ordinary in a picture is read from its head, and an ordinary one has nothing of that."""

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from watchfolder.images import Format, Mode, mode_of
from watchfolder.sandbox.pictures import sample


def saved(form: str, mode: str, **how: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (32, 24)).save(out, form, **how)
    return out.getvalue()


def read(form: Format, content: bytes) -> Mode | None:
    return mode_of(form, lambda offset, length: content[offset : offset + length], len(content))


TWO = [Image.new("RGB", (32, 24), colour) for colour in ("red", "blue")]


@pytest.mark.parametrize(
    ("form", "mode", "found"),
    [
        ("png", "RGB", None),
        ("png", "RGBA", None),
        ("png", "L", None),
        ("png", "1", None),
        ("png", "P", Mode.PALETTE),
        ("png", "LA", Mode.GREY_ALPHA),
        ("png", "I;16", Mode.DEEP),
        ("jpeg", "RGB", None),
        ("jpeg", "L", None),
        ("jpeg", "CMYK", Mode.CMYK),
        ("webp", "RGB", None),
        ("webp", "RGBA", None),
        ("tiff", "RGB", None),
        ("tiff", "L", None),
        ("tiff", "1", None),
        ("tiff", "P", Mode.PALETTE),
        ("tiff", "CMYK", Mode.CMYK),
        ("tiff", "I;16", Mode.DEEP),
        ("tiff", "RGBA", Mode.ALPHA),
        ("bmp", "RGB", None),
        ("bmp", "L", None),
        ("bmp", "1", None),
        ("bmp", "RGBA", Mode.PACKED),
    ],
)
def test_what_the_head_says_of_the_pixels(form: str, mode: str, found: Mode | None) -> None:
    assert read(Format(form), saved(form, mode)) is found


@pytest.mark.parametrize(("mode", "found"), [("RGB", None), ("CMYK", Mode.CMYK), ("P", Mode.PALETTE)])
def test_a_big_tiff_tells_as_much_as_another(mode: str, found: Mode | None) -> None:
    content = saved("tiff", mode, big_tiff=True)
    assert content.startswith(b"II+\0")
    assert read(Format.TIFF, content) is found


@pytest.mark.parametrize("form", ["png", "webp"])
def test_a_picture_that_moves_is_animated(form: str) -> None:
    out = io.BytesIO()
    TWO[0].save(out, form, save_all=True, append_images=TWO[1:])
    assert read(Format(form), out.getvalue()) is Mode.ANIMATED


@pytest.mark.parametrize(("kind", "found"), [(None, Mode.PAGES), (0, Mode.PAGES), (2, Mode.PAGES), (1, None)])
def test_a_tiff_of_several_pages_is_told_from_one_with_a_thumbnail(kind: int | None, found: Mode | None) -> None:
    second = TWO[1].copy()
    second.encoderinfo = {"tiffinfo": {} if kind is None else {254: kind}}
    out = io.BytesIO()
    TWO[0].save(out, "tiff", save_all=True, append_images=[second])
    assert read(Format.TIFF, out.getvalue()) is found


def test_a_tiff_that_points_back_to_its_first_page_has_one() -> None:
    content = bytearray(saved("tiff", "RGB"))
    (first,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, first)
    struct.pack_into("<I", content, first + 2 + 12 * entries, first)
    assert read(Format.TIFF, bytes(content)) is None


@pytest.mark.parametrize("mode", ["1", "L"])
@pytest.mark.parametrize(("colour", "found"), [(b"\x55\x55\x55", None), (b"\xff\0\0", Mode.PALETTE)])
def test_a_bmp_has_a_palette_only_where_that_has_colours(mode: str, colour: bytes, found: Mode | None) -> None:
    content = bytearray(saved("bmp", mode))
    content[58:61] = colour  # the second of its palette
    assert read(Format.BMP, bytes(content)) is found


def test_of_a_bmp_of_os2_the_service_is_the_judge() -> None:
    greys = bytes(grey for grey in range(256) for _ in range(3))
    header = struct.pack("<IIIIHHHH", 26 + 768 + 40, 0, 26 + 768, 12, 8, 5, 1, 8)
    assert read(Format.BMP, b"BM" + header + greys + bytes(40)) is None


@pytest.mark.parametrize("remark", [b"\xff\xe1\xff\xff" + bytes(0xFFFD), b"\xff\xfe\0\4by" * 1000])
def test_a_jpeg_is_read_behind_all_that_stands_before_its_pixels(remark: bytes) -> None:
    content = saved("jpeg", "CMYK")
    assert read(Format.JPEG, content[:2] + remark + content[2:]) is Mode.CMYK


def test_a_png_is_read_behind_all_that_stands_before_its_pixels() -> None:
    out = io.BytesIO()
    TWO[0].save(out, "png", save_all=True, append_images=TWO[1:])
    remarks = (struct.pack(">I", 0) + b"tEXt" + struct.pack(">I", zlib.crc32(b"tEXt"))) * 1000
    content = out.getvalue()
    assert read(Format.PNG, content[:33] + remarks + content[33:]) is Mode.ANIMATED


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "tiff", "bmp"])
def test_every_sample_is_ordinary(form: str) -> None:
    assert read(Format(form), sample(form, width=40, height=30, seed=1)) is None


@given(st.sampled_from(list(Format)), st.binary(max_size=200), st.integers(0, 300))
def test_any_bytes_are_answered(form: Format, data: bytes, at: int) -> None:
    whole = saved(form.value, "RGB") if form is not Format.PDF else b"%PDF-1.4"
    for content in (data, whole[:at] + data + whole[at + len(data) :]):
        read(form, content)
