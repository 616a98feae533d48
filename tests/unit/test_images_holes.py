"""Holes in a picture, told by the file system or not: a downloader with several connections leaves them anywhere."""

import struct
import zlib
from collections.abc import Callable, Sequence

import pytest
from PIL import Image
from test_images import GIB, PAGE, SAMPLES, CountedReader, noise, reader, saved
from test_images_in_the_field import FILM, segment

from watchfolder.images import FindHole, Kind, judge

BIG = {form: saved(noise(width=160, height=150), form) for form in ("JPEG", "PNG", "WEBP", "TIFF", "BMP")}
PACKED = pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
PLAIN = pytest.mark.parametrize("form", ["TIFF", "BMP"])


def telling(size: int, *holes: tuple[int, int]) -> FindHole:
    """Be a file system that knows every hole."""

    def find_hole(offset: int) -> int:
        return min((max(start, offset) for start, end in holes if offset < end), default=size)

    return find_hole


def silent(_offset: int) -> None:
    """Be a file system without holes: its zeros may have been written, or not."""


def emptied(data: bytes, start: int, length: int = PAGE) -> bytes:
    return data[:start] + bytes(length) + data[start + length :]


def kind_of(data: bytes, find_hole: FindHole = silent) -> Kind:
    verdict = judge(reader(data), len(data), "a.jpg", find_hole)
    assert bool(verdict.detail) == (verdict.kind in {Kind.PARTIAL, Kind.SUSPECT})
    return verdict.kind


def pages(data: bytes) -> Sequence[int]:
    return range(PAGE, len(data) - PAGE, PAGE)


@PACKED
def test_a_hole_before_the_end_of_a_packed_picture_is_never_whole(form: str) -> None:
    data = BIG[form]
    for start in pages(data):
        assert kind_of(emptied(data, start), telling(len(data), (start, start + PAGE))) is Kind.PARTIAL, start


@PLAIN
def test_a_hole_where_black_pixels_may_be_is_suspect(form: str) -> None:
    data = BIG[form]
    for start in pages(data):
        assert kind_of(emptied(data, start), telling(len(data), (start, start + PAGE))) is Kind.SUSPECT, start


@pytest.mark.parametrize(("form", "expected"), [("JPEG", Kind.SUSPECT), ("WEBP", Kind.SUSPECT), ("PNG", Kind.PARTIAL)])
def test_an_empty_page_is_seen_where_the_file_system_tells_of_no_holes(form: str, expected: Kind) -> None:
    data = BIG[form]
    assert kind_of(data) is Kind.WHOLE
    for start in pages(data):
        assert kind_of(emptied(data, start)) is expected, start


@pytest.mark.parametrize(("start", "length"), [(PAGE - 7, 3 * PAGE), (2 * PAGE + 1, 20 * PAGE), (PAGE - 1, PAGE + 2)])
def test_zeros_that_were_written_are_the_pictures_own(start: int, length: int) -> None:
    """A white page at 600 dpi with tables of its own has a hundred thousand on end."""
    data = emptied(b"\xff\xd8\xff\xda\0\2" + b"\x55" * (40 * PAGE) + b"\xff\xd9", start, length)
    assert kind_of(data) is Kind.SUSPECT
    assert kind_of(data, telling(len(data))) is Kind.WHOLE


@pytest.mark.parametrize(("start", "length"), [(PAGE, PAGE), (16 * PAGE, 3 * PAGE), (PAGE + 9, 2 * PAGE - 9)])
def test_written_zeros_that_begin_or_end_with_a_page_are_suspect(start: int, length: int) -> None:
    """Some writers fill the file with zeros before they begin, and stop at a page."""
    data = emptied(b"\xff\xd8\xff\xda\0\2" + b"\x55" * (40 * PAGE) + b"\xff\xd9", start, length)
    assert kind_of(data, telling(len(data))) is Kind.SUSPECT


@pytest.mark.parametrize("before", range(0, 300, 7))
def test_an_empty_page_is_seen_wherever_the_data_begin(before: int) -> None:
    data = b"\xff\xd8" + segment(0xFE, b"c" * before) + b"\xff\xda\0\2" + b"\x55" * (80 * PAGE) + b"\xff\xd9"
    assert kind_of(data) is Kind.WHOLE
    for page in (1, 2, 15, 16, 17, 33, 79):
        assert kind_of(emptied(data, page * PAGE)) is Kind.SUSPECT, page


def test_a_hole_in_a_remark_of_a_jpeg_may_be_meant() -> None:
    """A sparing copy (cp --sparse) leaves out the zeros with which some cameras fill up their notes."""
    data = SAMPLES["baseline.jpg"]
    data = data[:2] + segment(0xE1, b"Exif\0\0" + bytes(5 * PAGE)) + data[2:]
    assert kind_of(data) is Kind.WHOLE
    assert kind_of(data, telling(len(data), (PAGE, 4 * PAGE))) is Kind.SUSPECT
    assert kind_of(data, telling(len(data), (PAGE, 4 * PAGE), (len(data) - 50, len(data)))) is Kind.PARTIAL


def test_a_hole_in_a_remark_of_a_webp_may_be_meant() -> None:
    plain = SAMPLES["lossy.webp"]
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0\x15\0\0\x10\0\0"
    body += plain[12:] + b"EXIF" + struct.pack("<I", 4 * PAGE) + bytes(4 * PAGE - 2) + b"ok"
    data = b"RIFF" + struct.pack("<I", len(body)) + body
    assert kind_of(data) is Kind.WHOLE
    assert kind_of(data, telling(len(data), (2 * PAGE, 3 * PAGE))) is Kind.SUSPECT


def test_a_png_whose_checksums_are_right_has_only_holes_that_are_meant() -> None:
    data = saved(Image.new("RGB", (200, 200)), "PNG", compress_level=0)
    assert bytes(2 * PAGE) in data
    assert kind_of(data) is Kind.WHOLE
    assert kind_of(data, telling(len(data), (4 * PAGE, 20 * PAGE))) is Kind.WHOLE


def test_a_wrong_checksum_counts_less_where_no_pixel_needs_the_chunk() -> None:
    data = SAMPLES["colour.png"]
    text = b"tEXtComment\0hello"
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text) ^ 1)
    assert kind_of(data[:33] + chunk + data[33:]) is Kind.SUSPECT
    at = data.index(b"IDAT") + 10
    assert kind_of(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) is Kind.PARTIAL


@pytest.mark.parametrize("form", ["TIFF", "BMP", "WEBP"])
def test_a_picture_that_ends_in_written_zeros_is_whole_at_once(form: str) -> None:
    data = BIG[form]
    black = saved(Image.new("RGB", (300, 200)), form) if form != "WEBP" else emptied(data, len(data) - 40, 39)
    assert kind_of(black) is Kind.SUSPECT
    assert kind_of(black, telling(len(black))) is Kind.WHOLE


@PLAIN
def test_a_rest_that_was_never_written_is_not_whole(form: str) -> None:
    data = BIG[form]
    for start in pages(data):
        assert kind_of(data[:start].ljust(len(data), b"\0"), telling(len(data), (start, len(data)))) is Kind.PARTIAL
    middle = 2 * PAGE + 100  # as a sparing copy of a picture with a black end leaves it
    assert kind_of(data[:middle].ljust(len(data), b"\0"), telling(len(data), (3 * PAGE, len(data)))) is Kind.SUSPECT


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_hole_behind_the_picture_is_suspect(form: str) -> None:
    end = len(BIG[form])
    data = (BIG[form] + FILM).ljust(end + 20 * PAGE, b"\0")
    assert kind_of(data) is Kind.WHOLE
    assert kind_of(data, telling(len(data), (end + 10 * PAGE, len(data)))) is Kind.SUSPECT


@pytest.mark.parametrize("form", BIG)
def test_a_file_system_that_knows_is_asked_once_and_nothing_more_is_read(form: str) -> None:
    data = BIG[form]
    asked = []

    def find_hole(offset: int) -> int:
        asked.append(offset)
        return len(data)

    reads = CountedReader(data, len(data))
    assert judge(reads, len(data), "a.jpg", find_hole).kind is Kind.WHOLE
    assert len(asked) <= 2
    assert reads.bytes < (len(data) + 12 * PAGE if form == "JPEG" else 12 * PAGE)


def chunks_of(length: int) -> bytes:
    return struct.pack(">I", length) + b"IDAT"


@pytest.mark.parametrize("find_hole", [silent, telling(2 * GIB)])
def test_a_png_of_two_gibibytes_is_not_read_for_its_checksums(find_hole: Callable[[int], int | None]) -> None:
    head = b"\x89PNG\r\n\x1a\n" + chunks_of(GIB)
    reads = CountedReader(head, 2 * GIB)
    judge(reads, reads.size, "a.png", find_hole)
    assert reads.bytes < 1 << 20


def test_a_file_of_very_many_holes_is_answered() -> None:
    size = 1 << 30
    segments = b"\xff\xe1" + struct.pack(">H", 2 * PAGE - 2) + bytes(2 * PAGE - 4)
    reads = CountedReader(b"\xff\xd8", size, segments)
    asked = []

    def find_hole(offset: int) -> int:
        asked.append(offset)
        return offset + PAGE - offset % PAGE

    assert judge(reads, size, "a.jpg", find_hole).kind is Kind.PARTIAL
    assert len(asked) <= 260_000
