"""What is a picture, and is it all there? Judged on pictures that Pillow made and on bytes made to deceive."""

import random
import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import pytest
from PIL import Image, ImageDraw

from watchfolder.images import EXTENSIONS, Format, Kind, ReadAt, identify, judge
from watchfolder.images.formats import foreign_named, is_named_picture
from watchfolder.sandbox.pictures import sample_pdf

GIB = 1 << 30
PAGE = 4096


def reader(data: bytes) -> ReadAt:
    return lambda offset, length: data[offset : offset + length]


def kind_of(data: bytes, name: str = "picture.jpg") -> Kind:
    return judge(reader(data), len(data), name).kind


def noise(mode: str = "RGB", width: int = 22, height: int = 17, seed: int = 1) -> Image.Image:
    """Make a picture without a single zero byte, so that its end is never taken for an empty one."""
    picture = Image.new(mode, (width, height))
    count = len(picture.tobytes())
    picture.frombytes(bytes(random.Random(seed).choices(range(1, 256), k=count)))  # noqa: S311 - a picture, no secret
    return picture


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    stream = BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def with_thumbnail(inner: bytes, outer: bytes) -> bytes:
    """Put a whole JPEG into an EXIF segment, where cameras keep it."""
    payload = b"Exif\0\0" + inner
    return outer[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + outer[2:]


def tiff(order: str, *, fields: list[tuple[int, int, list[int]]], pixels: bytes, following: int = 0) -> bytes:
    """Build a TIFF with its pixels at 8, then the directory, then the values that do not fit into it."""
    codes = {3: "H", 4: "I"}
    mark = b"II*\0" if order == "<" else b"MM\0*"
    at = 8 + len(pixels)
    behind = at + 2 + 12 * len(fields) + 4
    entries, values = b"", b""
    for tag, kind, numbers in fields:
        packed = struct.pack(f"{order}{len(numbers)}{codes[kind]}", *numbers)
        inside = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack(f"{order}I", behind + len(values))
        values += b"" if len(packed) <= 4 else packed
        entries += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + inside
    head = mark + struct.pack(f"{order}I", at)
    directory = struct.pack(f"{order}H", len(fields)) + entries + struct.pack(f"{order}I", following)
    return head + pixels + directory + values


def tiled(order: str) -> bytes:
    tiles = [bytes([n]) * 256 for n in (1, 2, 3, 4)]
    return tiff(
        order,
        fields=[
            (256, 3, [32]),
            (257, 3, [32]),
            (258, 3, [8]),
            (262, 3, [1]),
            (322, 3, [16]),
            (323, 3, [16]),
            (324, 4, [8 + 256 * n for n in range(4)]),
            (325, 4, [256] * 4),
            (305, 4, [0x01010101] * 8),
        ],
        pixels=b"".join(tiles),
    )


def bmp_upside_down() -> bytes:
    data = bytearray(saved(noise(), "BMP"))
    data[22:26] = struct.pack("<i", -17)
    return bytes(data)


def bmp_of_os2() -> bytes:
    pixels = bytes([7]) * (3 * 8 * 5)
    return b"BM" + struct.pack("<IIIIHHHH", 26 + len(pixels), 0, 26, 12, 8, 5, 1, 24) + pixels


FRAMES = {"save_all": True, "append_images": [noise(seed=2), noise(seed=3)], "duration": 40}
SOLID = Image.new("RGB", (64, 64), "orange")

SAMPLES: dict[str, bytes] = {
    "baseline.jpg": saved(noise(), "JPEG"),
    "progressive.jpg": saved(noise(), "JPEG", progressive=True),
    "restarts.jpg": saved(noise(width=60), "JPEG", restart_marker_blocks=1),
    "cmyk.jpeg": saved(noise("CMYK"), "JPEG"),
    "grey.jpg": saved(noise("L"), "JPEG", optimize=True),
    "solid.jpg": saved(SOLID, "JPEG", optimize=True),
    "thumbnail.jpg": with_thumbnail(saved(noise(), "JPEG"), saved(noise(seed=2), "JPEG")),
    "colour.png": saved(noise(), "PNG"),
    "palette.png": saved(noise("P"), "PNG"),
    "animated.png": saved(noise(), "PNG", **FRAMES),
    "lossy.webp": saved(noise(), "WEBP"),
    "lossless alpha.webp": saved(noise("RGBA"), "WEBP", lossless=True),
    "lossy alpha.webp": saved(noise("RGBA"), "WEBP"),
    "animated.webp": saved(noise(), "WEBP", **FRAMES),
    "metadata.webp": saved(noise(), "WEBP", xmp=b"<x:xmpmeta/>", icc_profile=b"icc"),
    "plain.tif": saved(noise(), "TIFF"),
    "lzw.tif": saved(noise(), "TIFF", compression="tiff_lzw"),
    "deflate.tiff": saved(noise(), "TIFF", compression="tiff_adobe_deflate"),
    "jpeg.tif": saved(noise(), "TIFF", compression="jpeg"),
    "strips.tif": saved(noise(height=90), "TIFF", compression="tiff_lzw", strip_size=200),
    "pages.tif": saved(noise(), "TIFF", **FRAMES).rstrip(b"\0"),  # Pillow pads the last page
    "big-endian.tif": saved(noise("I;16B"), "TIFF"),
    "big.tif": saved(noise(), "TIFF", big_tiff=True),
    "big pages.tif": saved(noise(), "TIFF", big_tiff=True, **FRAMES).rstrip(b"\0"),
    "tiled.tif": tiled("<"),
    "tiled big-endian.tif": tiled(">"),
    "1.bmp": saved(noise("1"), "BMP"),
    "8.bmp": saved(noise("P"), "BMP"),
    "24.bmp": saved(noise(), "BMP"),
    "32.bmp": saved(noise("RGBA"), "BMP"),
    "upside down.bmp": bmp_upside_down(),
    "os2.bmp": bmp_of_os2(),
}
EVERY_SAMPLE = pytest.mark.parametrize("name", SAMPLES)
HAS_NO_END_MARK = pytest.mark.parametrize("name", [n for n in SAMPLES if n.endswith(("webp", "tif", "tiff", "bmp"))])
HAS_END_MARK = pytest.mark.parametrize("name", [n for n in SAMPLES if n.endswith(("jpg", "jpeg", "png"))])


@EVERY_SAMPLE
def test_a_complete_picture_is_whole_and_of_its_format(name: str) -> None:
    data = SAMPLES[name]
    verdict = judge(reader(data), len(data), name)
    assert verdict.kind is Kind.WHOLE
    assert verdict.format is not None
    assert name.endswith(EXTENSIONS[verdict.format])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of what is cut off beside the pixels
@EVERY_SAMPLE
def test_a_picture_cut_at_any_byte_is_partial_and_says_so(name: str) -> None:
    data = SAMPLES[name]
    for size in range(1, len(data)):
        verdict = judge(reader(data[:size]), size, name)
        assert verdict.kind is Kind.PARTIAL or (verdict.kind is Kind.SUSPECT and first_page_is_there(data[:size])), size
        assert verdict.detail
        assert "{" not in verdict.detail  # not yet said of which format


def first_page_is_there(data: bytes) -> bool:
    """Can the first page of this TIFF be decoded? What is missing then lies beside its pixels."""
    if not data.startswith((b"II", b"MM")):
        return False
    with Image.open(BytesIO(data)) as picture:
        picture.load()
    return True


@HAS_END_MARK
def test_a_file_of_full_size_filled_to_any_byte_is_partial(name: str) -> None:
    data = SAMPLES[name]
    for filled in range(len(data)):
        assert kind_of(data[:filled].ljust(len(data), b"\0"), name) is Kind.PARTIAL, filled


@HAS_NO_END_MARK
def test_a_file_of_full_size_that_lacks_sixteen_bytes_or_more_is_never_whole(name: str) -> None:
    data = SAMPLES[name]
    for filled in range(len(data) - 24):  # sixteen, a padding, a pointer to a page that does not follow
        assert kind_of(data[:filled].ljust(len(data), b"\0"), name) in {Kind.PARTIAL, Kind.SUSPECT}, filled


@pytest.mark.parametrize("form", ["BMP", "TIFF", "WEBP", "PNG", "JPEG"])
def test_a_file_filled_in_whole_pages_is_partial_until_the_last_page(form: str) -> None:
    data = saved(noise(width=120, height=119), form)
    for filled in range(PAGE, len(data), PAGE):
        assert kind_of(data[:filled].ljust(len(data), b"\0"), f"a.{form.lower()}") is Kind.PARTIAL, filled


@pytest.mark.parametrize("missing", range(1, 16))
def test_even_one_zero_is_suspect_when_a_page_begins_with_it(missing: int) -> None:
    row = bytes([9]) * (PAGE - 58 + missing)
    header = b"BM" + struct.pack("<IIIIiiHH24x", 0, 0, 54 + 4, 40, len(row), 1, 1, 8) + b"blue"  # a palette of one
    padding = bytes(-len(row) % 4)
    assert kind_of(header + row + padding) is Kind.WHOLE
    assert kind_of(header + row[:-missing] + bytes(missing) + padding) is Kind.SUSPECT


@pytest.mark.parametrize("form", ["BMP", "TIFF"])
def test_a_black_picture_is_suspect_and_not_partial(form: str) -> None:
    data = saved(Image.new("RGB", (300, 200)), form)
    verdict = judge(reader(data), len(data), "black")
    assert verdict.kind is Kind.SUSPECT
    assert verdict.detail


@EVERY_SAMPLE
@pytest.mark.parametrize("garbage", [b"x" * 40, b"\xff\xda and the rest of a buffer", b"PK\3\4 a polyglot"])
def test_bytes_behind_a_complete_picture_do_not_matter(name: str, garbage: bytes) -> None:
    assert kind_of(SAMPLES[name] + garbage, name) is Kind.WHOLE


@HAS_END_MARK
def test_zeros_behind_an_end_mark_do_not_matter(name: str) -> None:
    assert kind_of(SAMPLES[name] + bytes(100_000), name) is Kind.WHOLE


@EVERY_SAMPLE
@pytest.mark.parametrize("wrong", ["x.jpg", "x.png", "x.webp", "x.tif", "x.bmp", "x.txt", "x", "x.pdf"])
def test_the_bytes_decide_whatever_the_name_says(name: str, wrong: str) -> None:
    data = SAMPLES[name]
    right = judge(reader(data), len(data), name)
    assert judge(reader(data), len(data), wrong) == right


# JPEG


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_picture() -> None:
    thumbnail = SAMPLES["baseline.jpg"]
    data = SAMPLES["thumbnail.jpg"]
    cut = data[: data.rindex(b"\xff\xda") + 40]
    assert b"\xff\xd9" in cut
    assert kind_of(cut) is Kind.PARTIAL
    assert kind_of(with_thumbnail(thumbnail, SAMPLES["baseline.jpg"][:2])) is Kind.PARTIAL


def test_stray_bytes_between_segments_are_passed_over() -> None:
    data = SAMPLES["baseline.jpg"]
    assert kind_of(data[:2] + b"\xff\xff\xff" + data[2:]) is Kind.WHOLE
    assert kind_of(data[:-2] + b"\xff\xff\xff\xd9") is Kind.WHOLE
    assert kind_of(data[:20] + b"stray" + data[20:]) is Kind.WHOLE
    assert kind_of(data[:20] + b"\xff\x01" + data[20:]) is Kind.WHOLE  # a marker without a length


@pytest.mark.parametrize("before", [*range(240, 270), *range(65_500, 65_830)])
def test_an_end_mark_across_two_reads_is_seen(before: int) -> None:
    scan = b"\xff\xd8\xff\xda\0\2"
    assert kind_of(scan + b"\x11" * before + b"\xff\xd9") is Kind.WHOLE
    assert kind_of(scan + b"\x11" * before + b"\xff\x00") is Kind.PARTIAL


@pytest.mark.parametrize("end", [b"\xff\x00\xd9", b"\xff\xd0\xd9", b"\xff\xff", b"\xd9", b"\xff"])
def test_what_only_looks_like_an_end_mark_is_none(end: bytes) -> None:
    assert kind_of(b"\xff\xd8\xff\xda\0\2data" + end) is Kind.PARTIAL


def test_a_jpeg_without_a_scan_is_no_picture_yet() -> None:
    assert kind_of(b"\xff\xd8\xff\xd9") is Kind.PARTIAL
    assert kind_of(b"\xff\xd8\xff\xfe\0\4hi\xff\xd9") is Kind.PARTIAL


def test_a_second_picture_does_not_lend_its_end_to_the_first() -> None:
    first = SAMPLES["baseline.jpg"][:-60]
    assert kind_of(first + saved(noise(width=400, height=400), "JPEG")) is Kind.PARTIAL


def test_a_large_jpeg_is_walked_in_long_strides() -> None:
    data = saved(noise(width=700, height=700), "JPEG", quality=97)
    scan = data.index(b"\xff\xda") + 14
    data = data[:scan] + data[scan:-2] * 10 + b"\xff\xd9"
    reads = CountedReader(data, len(data))
    assert judge(reads, len(data), "a.jpg").kind is Kind.WHOLE
    assert reads.bytes < len(data) + 100_000
    assert reads.count < len(data) / 60_000 + 40


# PNG


def test_a_png_whose_end_chunk_is_damaged_is_partial() -> None:
    data = SAMPLES["colour.png"]
    for place in range(len(data) - 12, len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        assert kind_of(bytes(changed)) is Kind.PARTIAL, place


def test_a_png_without_pixels_is_partial() -> None:
    data = SAMPLES["colour.png"]
    assert kind_of(data[:33] + data[-12:]) is Kind.PARTIAL


def test_an_end_chunk_inside_a_comment_is_not_the_end() -> None:
    comment = b"tEXt" + SAMPLES["colour.png"][-12:]
    chunk = struct.pack(">I", 12) + comment + struct.pack(">I", zlib.crc32(comment))
    data = SAMPLES["colour.png"]
    assert kind_of(data[:33] + chunk + data[33:]) is Kind.WHOLE
    assert kind_of(data[:33] + chunk + data[33:-12]) is Kind.PARTIAL


# WebP


def test_a_webp_whose_chunks_do_not_fill_its_length_is_partial() -> None:
    data = bytearray(SAMPLES["lossy.webp"])
    data[16:20] = struct.pack("<I", struct.unpack("<I", data[16:20])[0] + 2)
    assert kind_of(bytes(data) + b"more") is Kind.PARTIAL


def test_a_webp_of_metadata_alone_is_partial() -> None:
    assert kind_of(b"RIFF" + struct.pack("<I", 4 + 12) + b"WEBP" + b"XMP \4\0\0\0text") is Kind.PARTIAL


# TIFF


def page(*extra: tuple[int, int, list[int]], offset: int = 8, length: int = 100, following: int = 0) -> bytes:
    fields = [(256, 3, [10]), (257, 3, [10]), (273, 4, [offset]), (279, 4, [length]), *extra]
    return tiff("<", fields=[*fields, (305, 4, [0x01010101] * 4)], pixels=b"p" * 100, following=following)


def test_a_tiff_needs_every_strip_inside_the_file() -> None:
    assert kind_of(page()) is Kind.WHOLE
    assert kind_of(page((259, 3, [5]), offset=120, length=1000)) is Kind.PARTIAL
    assert kind_of(page(offset=4_000_000_000)) is Kind.PARTIAL


def test_a_tiff_whose_further_pages_or_directories_are_not_there_is_suspect() -> None:
    assert kind_of(page(following=5000)) is Kind.SUSPECT
    for tag in (330, 34665, 34853, 40965):
        assert kind_of(page((tag, 4, [5000]))) is Kind.SUSPECT, tag


def test_a_tiff_with_nothing_but_a_header_or_without_pixels_is_partial() -> None:
    assert kind_of(b"II*\0\0\0\0\0" + b"x" * 100) is Kind.PARTIAL
    assert kind_of(tiff("<", fields=[(256, 3, [10])], pixels=b"p" * 100)) is Kind.PARTIAL


def test_a_tiff_with_an_empty_strip_is_suspect() -> None:
    assert kind_of(tiff("<", fields=[(273, 4, [8, 8]), (279, 4, [100, 0])], pixels=b"p" * 100) + b"end") is Kind.SUSPECT


def test_a_tiff_without_strip_lengths_is_suspect() -> None:
    assert kind_of(tiff("<", fields=[(273, 4, [9000])], pixels=b"p" * 100) + b"end") is Kind.PARTIAL
    assert kind_of(tiff("<", fields=[(273, 4, [8])], pixels=b"p" * 100) + b"end") is Kind.SUSPECT


def test_a_tiff_whose_last_page_points_back_to_its_first_is_whole() -> None:
    assert kind_of(page(following=108)) is Kind.WHOLE


def test_a_directory_that_is_not_written_yet_makes_a_tiff_partial_or_suspect() -> None:
    assert kind_of(page(following=600) + bytes(600) + b"end") is Kind.SUSPECT
    half = bytearray(page())
    half[134:146] = bytes(12)  # where the pixels begin
    assert kind_of(bytes(half)) is Kind.PARTIAL
    half = bytearray(page())
    half[110:122] = bytes(12)
    assert kind_of(bytes(half)) is Kind.SUSPECT


@pytest.mark.parametrize("pixels", [100, PAGE - 46])  # there, a page begins with the last four bytes
def test_a_directory_at_the_end_may_close_with_zeros(pixels: int) -> None:
    data = tiff("<", fields=[(273, 4, [8]), (279, 4, [100]), (65000, 4, [0])], pixels=b"p" * pixels)
    assert data.endswith(bytes(11))
    assert kind_of(data) is Kind.WHOLE


def test_a_tiff_that_lost_the_pointer_to_its_second_page_is_suspect() -> None:
    data = SAMPLES["pages.tif"]
    (first,) = struct.unpack_from("<I", data, 4)
    pointer = first + 2 + 12 * struct.unpack_from("<H", data, first)[0]
    end_of_first = pointer + 4 + 22 * 17 * 3 + 100
    assert kind_of(data[:pointer] + bytes(4) + data[pointer + 4 : end_of_first] + bytes(2000)) is Kind.SUSPECT


# BMP


@pytest.mark.parametrize("claimed", [0, 1, 54])
def test_a_bmp_with_a_wrong_length_in_its_header_is_whole_by_its_rows(claimed: int) -> None:
    data = bytearray(SAMPLES["24.bmp"])
    data[2:6] = struct.pack("<I", claimed)
    assert kind_of(bytes(data)) is Kind.WHOLE
    assert kind_of(bytes(data[:-1])) is Kind.PARTIAL


def test_a_bmp_that_announces_more_than_its_rows_is_suspect() -> None:
    data = bytearray(SAMPLES["24.bmp"])
    data[2:6] = struct.pack("<I", len(data) + 500)
    assert kind_of(bytes(data)) is Kind.SUSPECT


def test_a_packed_bmp_is_measured_by_its_announced_length() -> None:
    packed = bytes([5, 1]) * 20 + b"\0\1"
    header = struct.pack("<IIIIiiHHII16x", 58 + len(packed), 0, 58, 40, 100, 1, 1, 8, 1, len(packed))
    data = b"BM" + header + b"blue" + packed
    assert kind_of(data) is Kind.WHOLE
    assert kind_of(data[:-1]) is Kind.PARTIAL


@pytest.mark.parametrize(("place", "value"), [(18, 0), (18, -5), (22, 0), (28, 7), (28, 0)])
def test_a_bmp_with_impossible_measures_is_partial(place: int, value: int) -> None:
    data = bytearray(SAMPLES["24.bmp"])
    struct.pack_into("<h" if place == 28 else "<i", data, place, value)
    assert kind_of(bytes(data)) is Kind.PARTIAL


# Something else


def media(*brands: bytes) -> bytes:
    return struct.pack(">I", 12 + 4 * len(brands)) + b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:]) + bytes(40)


TIFF_HEAD = b"II*\0\x08\0\0\0" + bytes([9]) * 60

FOREIGN_PICTURES = {
    "a.cr2": b"II*\0\x10\0\0\0CR\x02\0" + bytes(60),
    "renamed-cr2.tif": b"II*\0\x10\0\0\0CR\x02\0" + bytes(60),
    "a.NEF": b"MM\0*" + TIFF_HEAD[4:],
    "a.arw": TIFF_HEAD,
    "a.Dng": TIFF_HEAD,
    "a.pef": TIFF_HEAD,
    "a.srw": TIFF_HEAD,
    "orf.jpg": b"IIRO\x08\0\0\0" + bytes(60),
    "rw2.jpg": b"IIU\0\x18\0\0\0" + bytes(60),
    "crw.jpg": b"II\x1a\0\0\0HEAPCCDR" + bytes(60),
    "cr3.jpg": media(b"crx ", b"isom"),
    "raf.jpg": b"FUJIFILMCCD-RAW 0201" + bytes(60),
    "x3f.jpg": b"FOVb" + bytes(60),
    "iphone.jpg": media(b"heic", b"mif1"),
    "generic.heif": media(b"mif1", b"heic"),
    "avif.png": media(b"mif1", b"avif"),
    "psd.jpg": b"8BPS\0\1" + bytes(60),
    "gif.jpg": b"GIF89a" + bytes(60),
    "jxl.jpg": b"\xff\x0a" + bytes(60),
    "jxl-in-boxes.jpg": b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60),
    "jp2.jpg": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
    "svg.png": b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- x --><svg xmlns="http://www.w3.org/2000/svg"/>',
    "eps.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "drawing.ai": b"%PDF-1.6\n%\xe2\xe3\xcf\xd3",
    "unknown-bytes.cr3": b"\x01\x02\x03\x04" * 20,
}
NO_PICTURES = {
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "MP4": media(b"mp42", b"isom"),
    "MOV": media(b"qt  "),
    "old MOV": struct.pack(">I", 1000) + b"mdat" + bytes(60),
    "AVI": b"RIFF\0\1\0\0AVI LIST",
    "MKV": b"\x1a\x45\xdf\xa3" + bytes(60),
    "M4A": media(b"M4A ", b"isom"),
    "ZIP": b"PK\3\4\x14\0" + bytes(60),
    "gzip": b"\x1f\x8b\x08\0" + bytes(60),
    "web page": b"<!DOCTYPE html><html><title>404 Not Found</title>",
    "XMP": b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>',
    "text": "Grüße, das ist kein Bild.".encode(),
    "UTF-16 text": "just some words".encode("utf-16"),
    "text cut within a character": "äöüäöüäöüäöü".encode()[:-1],
}


@pytest.mark.parametrize("name", FOREIGN_PICTURES)
def test_a_picture_of_another_kind_comes_with_words_on_how_to_convert_it(name: str) -> None:
    data = FOREIGN_PICTURES[name]
    verdict = judge(reader(data), len(data), name)
    assert verdict.kind is Kind.FOREIGN_PICTURE
    assert verdict.foreign is not None
    assert verdict.foreign.is_picture
    assert "drop that" in verdict.foreign.advice


@pytest.mark.parametrize("what", NO_PICTURES)
def test_what_is_no_picture_is_only_minded_when_it_calls_itself_one(what: str) -> None:
    data = NO_PICTURES[what]
    verdict = judge(reader(data), len(data), "IMG 1.JPG")
    assert verdict.kind is Kind.NOT_A_PICTURE_BUT_NAMED_SO
    assert verdict.foreign is not None
    assert verdict.foreign.label
    assert verdict.foreign.advice
    assert judge(reader(data), len(data), "other.dat").kind is Kind.OTHER


def test_a_jpeg_that_calls_itself_raw_is_a_jpeg() -> None:
    assert identify(SAMPLES["baseline.jpg"], "a.nef") is Format.JPEG


def test_a_name_alone_is_believed_only_as_long_as_the_bytes_tell_nothing() -> None:
    assert kind_of(bytes(500), "a.jpg") is Kind.PARTIAL
    assert kind_of(bytes(500), "a.cr3") is Kind.PARTIAL
    assert kind_of(bytes(500), "a.dat") is Kind.OTHER
    assert kind_of(b"\x01\x02\x03", "a.tiff") is Kind.PARTIAL
    assert kind_of(b"\xff\xd8", "a.txt") is Kind.OTHER


def test_a_file_of_no_bytes_is_empty_whatever_its_name() -> None:
    assert kind_of(b"", "a.jpg") is Kind.EMPTY
    assert kind_of(b"", "a") is Kind.EMPTY


def test_a_file_that_shrinks_while_we_look_is_partial() -> None:
    for name, data in SAMPLES.items():
        assert judge(reader(data[:-5]), len(data), name).kind in {Kind.PARTIAL, Kind.SUSPECT}, name


def test_a_fault_of_the_disk_is_not_mistaken_for_a_fault_of_the_picture() -> None:
    def broken(offset: int, length: int) -> bytes:
        raise OSError(5, f"no {length} bytes at {offset}")

    with pytest.raises(OSError, match="no 100 bytes"):
        judge(broken, 100, "a.jpg")


@pytest.mark.parametrize("name", ["a.jpg", "A.JPEG", "a.b.png", "ä.webp", "x.tif", "x.TIFF", "x.bmp", "x.jfif"])
def test_names_that_call_themselves_pictures(name: str) -> None:
    assert is_named_picture(name)
    assert foreign_named(name) is None


@pytest.mark.parametrize("name", ["jpg", ".jpg", "a.jpg.txt", "a", "", "a.", "a.gif", "\udcff", "a.jpg/b"])
def test_names_that_do_not(name: str) -> None:
    assert not is_named_picture(name)


def test_names_of_other_kinds_of_pictures_are_known() -> None:
    for name in ("a.CR2", "a.cr3", "a.nef", "a.arw", "a.dng", "a.heic", "a.HEIF", "a.psd", "a.gif", "a.jxl", "a.avif"):
        assert foreign_named(name), name


def test_formats_know_how_the_world_calls_them() -> None:
    assert {form: (form.media_type, form.extension) for form in Format} == {
        "jpeg": ("image/jpeg", ".jpg"),
        "png": ("image/png", ".png"),
        "webp": ("image/webp", ".webp"),
        "tiff": ("image/tiff", ".tif"),
        "bmp": ("image/bmp", ".bmp"),
        "pdf": ("application/pdf", ".pdf"),
    }
    assert {extension for form in Format for extension in EXTENSIONS[form]} == {
        *(".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".pdf")
    }


def test_a_pdf_is_a_foreign_document_where_it_is_not_taken() -> None:
    whole, locked = sample_pdf("a brochure"), sample_pdf("a brochure").replace(b"/Root", b"/Encrypt 9 0 R /Root")
    assert judge(reader(whole), len(whole), "a.pdf").kind is Kind.OTHER
    assert judge(reader(whole), len(whole), "a.jpg").kind is Kind.NOT_A_PICTURE_BUT_NAMED_SO
    taken = judge(reader(whole), len(whole), "a.pdf", takes_pdf=True)
    assert (taken.kind, taken.format) == (Kind.WHOLE, Format.PDF)
    assert judge(reader(whole[:-9]), len(whole) - 9, "a.pdf", takes_pdf=True).kind is Kind.PARTIAL
    assert judge(reader(locked), len(locked), "a.pdf", takes_pdf=True).kind is Kind.FOREIGN_PICTURE


# Made to hold us up


class CountedReader:
    """A file of `size` bytes that begins with `data` and repeats `filling`; counts what is asked of it."""

    def __init__(self, data: bytes, size: int, filling: bytes = b"\0") -> None:
        self.size = size
        self.count = self.bytes = 0
        self._data = data
        self._filling = filling * (65_536 // len(filling))

    def __call__(self, offset: int, length: int) -> bytes:
        self.count += 1
        self.bytes += length
        length = max(0, min(length, self.size - offset))
        known = self._data[offset : offset + length]
        rest = length - len(known)
        phase = (max(offset, len(self._data)) - len(self._data)) % len(self._filling)
        return known + (self._filling * (rest // len(self._filling) + 2))[phase : phase + rest]


@EVERY_SAMPLE
@pytest.mark.parametrize("kept", [0.3, 0.8])
def test_five_empty_gibibytes_behind_half_a_picture_cost_little(name: str, kept: float) -> None:
    data = SAMPLES[name]
    reads = CountedReader(data[: int(len(data) * kept)], 5 * GIB)
    assert judge(reads, 5 * GIB, name).kind is not Kind.WHOLE
    assert reads.bytes < 140 << 20
    assert reads.count < 3000


def hostile_tiff(count: int) -> bytes:
    """Name 4 billion strips, whose offsets lie in an endless file."""
    return b"II*\0\x08\0\0\0" + struct.pack("<HHHIIHHIII", 2, 273, 4, count, 100, 279, 4, count, 100, 0)


HOSTILE: dict[str, Callable[[], CountedReader]] = {
    "a JPEG of a million segments": lambda: CountedReader(b"\xff\xd8", 5 * GIB, b"\xff\xe0\0\2"),
    "a JPEG of nothing but fill bytes": lambda: CountedReader(b"\xff\xd8\xff\xda\0\2", 20 << 20, b"\xff"),
    "a JPEG scan without an end": lambda: CountedReader(b"\xff\xd8\xff\xda\0\2", 5 * GIB, b"\x55"),
    "a PNG of empty chunks": lambda: CountedReader(b"\x89PNG\r\n\x1a\n", 5 * GIB, b"\0\0\0\0teXt\0\0\0\0"),
    "a WebP of empty chunks": lambda: CountedReader(b"RIFF\xf0\xff\xff\xffWEBP", 5 * GIB, b"abcd\0\0\0\0"),
    "a TIFF of a billion strips": lambda: CountedReader(hostile_tiff(1 << 30), 5 * GIB, b"\1\0\0\0"),
    "a TIFF of directories in each other": lambda: CountedReader(b"II*\0\x08\0\0\0", 5 * GIB, b"\x01\x10"),
    "a BMP of two billion rows": lambda: CountedReader(
        b"BM" + struct.pack("<IIIIiiHH24x", 0, 0, 54, 40, 1, 2**31 - 1, 1, 1), 20 * GIB
    ),
}


@pytest.mark.parametrize("trap", HOSTILE)
def test_no_file_can_make_us_read_for_ever(trap: str) -> None:
    reads = HOSTILE[trap]()
    assert judge(reads, reads.size, "a.jpg").kind is Kind.PARTIAL
    assert reads.bytes <= 0.6 * GIB
    assert reads.count <= 250_010


def test_a_long_dark_picture_is_still_only_suspect() -> None:
    black = CountedReader(b"BM" + struct.pack("<IIIIiiHH24x", 0, 0, 54, 40, 10_000, 1_500, 1, 24), 54 + 45_000_000)
    assert judge(black, black.size, "night.bmp").kind is Kind.SUSPECT


def test_a_picture_may_be_drawn_on_white_or_half_black() -> None:
    picture = Image.new("RGB", (400, 300), "white")
    ImageDraw.Draw(picture).ellipse((50, 50, 200, 200), "black")
    for form in ("JPEG", "PNG", "TIFF", "BMP"):
        assert kind_of(saved(picture, form)) is Kind.WHOLE, form
