"""Pictures as real writers leave them: odd, but all there, or with more to come behind them."""

import struct
from collections.abc import Mapping
from io import BytesIO
from types import MappingProxyType

import pytest
from PIL import Image
from test_images import SAMPLES, kind_of, noise, reader, saved

from watchfolder.images import Kind, judge

JPEG = SAMPLES["baseline.jpg"]
PIXELS = bytes(range(1, 241)) * 4  # 40 × 24, grey

Entry = tuple[int, int, int]  # type, how many, value or pointer


def grey_tiff(
    changes: Mapping[int, Entry | None] = MappingProxyType({}), *, directory_first: bool = False, following: int = 0
) -> bytes:
    """Build a TIFF of one strip; `changes` are entries by tag, None leaves one out."""
    entries: dict[int, Entry | None] = {
        256: (3, 1, 40),
        257: (3, 1, 24),
        258: (3, 1, 8),
        262: (3, 1, 1),
        277: (3, 1, 1),
        278: (3, 1, 24),
    }
    entries |= {259: (3, 1, 1), 279: (4, 1, len(PIXELS))}
    entries |= changes
    directory_bytes = 2 + 12 * (len([each for each in entries.values() if each]) + 1) + 4
    start, pixels = (8, 8 + directory_bytes) if directory_first else (8 + len(PIXELS), 8)
    entries[273] = (4, 1, pixels)
    directory = b"".join(
        struct.pack("<HHI", tag, entry[0], entry[1]) + struct.pack("<I", entry[2])
        for tag, entry in sorted(entries.items())
        if entry
    )
    directory = struct.pack("<H", directory_bytes // 12) + directory + struct.pack("<I", following)
    return b"II*\0" + struct.pack("<I", start) + (directory + PIXELS if directory_first else PIXELS + directory)


# TIFF: what is wrong beside the pixels is no reason to call it cut

ODD_TIFFS = {
    "EXIF outside the file": grey_tiff({34665: (4, 1, 3_478_276)}),
    "GPS outside the file": grey_tiff({34853: (4, 1, 3_478_276)}),
    "EXIF without entries": grey_tiff(
        {34665: (4, 1, 8 + len(PIXELS) + 2 + 12 * 10 + 4)},
    )
    + bytes(6),
    "a text outside the file": grey_tiff({270: (2, 100, 3_000_000)}),
    "a strip of length 0": grey_tiff({279: (4, 1, 0)}),
    "a strip of length 0, packed": grey_tiff({279: (4, 1, 0), 259: (3, 1, 4)}),
    "a strip that is too long": grey_tiff({279: (4, 1, 9_000_000)}),
    "a strip that is too long, at the end": grey_tiff({279: (4, 1, 9_000_000)}, directory_first=True),
    "a strip that is too long, packed": grey_tiff({279: (4, 1, 9_000_000), 259: (3, 1, 4)}),
    "no lengths": grey_tiff({279: None}),
    "a next page outside the file": grey_tiff(following=0x1301_0000),
    "a next page that begins where nothing is": grey_tiff(following=8 + len(PIXELS) + 150) + b"\0\0\xff\xff" * 20,
    "no pointer to a next page": grey_tiff()[:-4],
    "an entry of zeros": grey_tiff({0: (0, 0, 0)}),
    "a thumbnail outside the file": grey_tiff({513: (4, 1, 500_000), 514: (4, 1, 7000)}),
}


@pytest.mark.parametrize("what", ODD_TIFFS)
def test_a_tiff_with_trouble_beside_its_pixels_is_suspect(what: str) -> None:
    data = ODD_TIFFS[what]
    verdict = judge(reader(data), len(data), "a.tif")
    assert verdict.kind is Kind.SUSPECT
    assert verdict.detail


@pytest.mark.parametrize("directory_first", [True, False])
def test_a_tiff_without_that_trouble_is_whole(directory_first: bool) -> None:
    assert kind_of(grey_tiff(directory_first=directory_first)) is Kind.WHOLE


@pytest.mark.parametrize("packing", [1, 4])
@pytest.mark.parametrize("length", [len(PIXELS), 0, 9_000_000])
def test_a_tiff_whose_pixels_are_cut_is_partial_whatever_it_says(length: int, packing: int) -> None:
    data = grey_tiff({279: (4, 1, length), 259: (3, 1, packing)}, directory_first=True)
    if packing == 1 or length:
        assert kind_of(data[:-100]) is Kind.PARTIAL
    assert kind_of(data[: -len(PIXELS)]) is Kind.PARTIAL


@pytest.mark.parametrize("tag", [320, 347])
def test_a_tiff_whose_palette_or_tables_are_cut_off_is_partial(tag: int) -> None:
    assert kind_of(grey_tiff({tag: (3, 768, 3_000_000)})) is Kind.PARTIAL


def test_a_tiff_whose_second_page_lost_its_pixels_is_partial() -> None:
    first = grey_tiff(following=8 + len(PIXELS) + 2 + 12 * 9 + 4)
    second = grey_tiff()[8 + len(PIXELS) :]
    second = second.replace(struct.pack("<HHII", 273, 4, 1, 8), struct.pack("<HHII", 273, 4, 1, 70_000))
    assert kind_of(first + grey_tiff()[8 + len(PIXELS) :]) is Kind.WHOLE
    assert kind_of(first + second) is Kind.PARTIAL


@pytest.mark.parametrize("tag", [256, 257, 258, 259, 278])
@pytest.mark.parametrize("kind", [1, 6, 8, 9, 77])
def test_a_measure_of_an_odd_type_is_no_reason_to_doubt_a_tiff(tag: int, kind: int) -> None:
    assert kind_of(grey_tiff({tag: (kind, 1, 1)})) is Kind.WHOLE


def test_a_directory_that_does_not_close_hides_no_page_that_lost_its_pixels() -> None:
    first, page_bytes = 8 + len(PIXELS), 2 + 12 * 10 + 4
    exif = first + 3 * page_bytes
    pages = [
        grey_tiff({34665: (4, 1, exif)}, following=following)[first:]
        for following in (first + page_bytes, first + 2 * page_bytes, 0)
    ]
    lost = pages[2].replace(struct.pack("<HHII", 273, 4, 1, 8), struct.pack("<HHII", 273, 4, 1, 70_000))
    head = b"II*\0" + struct.pack("<I", first) + PIXELS + pages[0] + pages[1]
    unclosed = struct.pack("<HHHII", 1, 0x9000, 7, 4, 0x30333230)
    assert kind_of(head + pages[2] + unclosed) is Kind.SUSPECT
    assert kind_of(head + lost + unclosed) is Kind.PARTIAL


def test_a_tiff_whose_tiles_are_left_out_for_the_background_is_suspect() -> None:
    assert kind_of(grey_tiff({322: (3, 1, 40), 323: (3, 1, 24), 324: (4, 1, 0), 325: (4, 1, 0)})) is Kind.SUSPECT


# WebP


def webp_with(kind: bytes) -> bytes:
    plain = SAMPLES["lossy.webp"]
    extended = b"VP8X" + struct.pack("<I", 10) + b"\4\0\0\0\x15\0\0\x10\0\0"
    remark = kind + struct.pack("<I", 6) + b"<xmp/>"
    body = b"WEBP" + extended + plain[12:] + remark
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("kind", [b"XMP ", b"XMP\0", b"abcd", b"\1\2\3\4", b"\xff\xff\xff\xff"])
def test_a_webp_chunk_of_any_name_is_passed_over(kind: bytes) -> None:
    with Image.open(BytesIO(webp_with(kind))) as picture:
        picture.load()
    assert kind_of(webp_with(kind)) is Kind.WHOLE


def test_a_webp_chunk_that_is_not_written_yet_makes_it_partial() -> None:
    data = webp_with(b"XMP ")
    assert kind_of(data[:-14] + bytes(14)) is Kind.PARTIAL


# BMP


def test_a_bmp_that_leaves_the_palette_out_of_its_offset_is_measured_with_it() -> None:
    data = bytearray(saved(noise("P"), "BMP"))
    data[10:14] = struct.pack("<I", 54)
    assert kind_of(bytes(data)) is Kind.WHOLE
    assert kind_of(bytes(data[:-5])) is Kind.PARTIAL


def test_a_bmp_of_os2_that_leaves_its_palette_out_is_measured_with_it() -> None:
    header = struct.pack("<IIIIHHHH", 0, 0, 26, 12, 8, 5, 1, 8)
    data = b"BM" + header + bytes(range(1, 4)) * 256 + b"\x07" * (8 * 5)
    assert kind_of(data) is Kind.WHOLE
    assert kind_of(data[:-1]) is Kind.PARTIAL


@pytest.mark.parametrize(("form", "compression"), [("JPEG", 4), ("PNG", 5)])
def test_a_bmp_that_holds_a_jpeg_or_png_has_no_palette(form: str, compression: int) -> None:
    inside = saved(noise(), form)
    header = struct.pack("<IIIIiiHHII16x", 54 + len(inside), 0, 54, 40, 40, 30, 1, 0, compression, len(inside))
    assert kind_of(b"BM" + header + inside) is Kind.WHOLE
    assert kind_of(b"BM" + header + inside[:-1]) is Kind.PARTIAL


BARE = struct.pack("<IiiHHIIiiII", 40, 22, 17, 1, 24, 0, 0, 2835, 2835, 0, 0) + bytes(range(1, 69)) * 17
ODD_BITMAPS = {
    "clipboard.dib": BARE,
    "short.bmp": b"BM" + struct.pack("<IHHIIIIHH", 30 + 100, 0, 0, 30, 16, 5, 6, 1, 24) + b"x" * 100,
    "array.bmp": b"BA" + struct.pack("<IIHH", 40, 0, 640, 480) + b"BM" + b"x" * 100,
    "icons.bmp": b"BA" + struct.pack("<IIHH", 40, 0, 640, 480) + b"CI" + b"x" * 100,
}


@pytest.mark.parametrize("name", ODD_BITMAPS)
def test_a_kind_of_bitmap_that_is_not_taken_is_told_so(name: str) -> None:
    data = ODD_BITMAPS[name]
    verdict = judge(reader(data), len(data), name)
    assert verdict.kind is Kind.FOREIGN_PICTURE
    assert verdict.foreign is not None
    assert verdict.foreign.advice


@pytest.mark.parametrize("text", [b"BMW and BAR, a text that begins so\n", b"BACK to BM in a line of text\n"])
def test_a_text_that_begins_like_a_bitmap_is_a_text(text: bytes) -> None:
    assert kind_of(text, "a.txt") is Kind.OTHER


def test_bytes_like_a_bare_bitmap_are_none_of_ours_unless_named_so() -> None:
    assert kind_of(BARE, "table.dat") is Kind.OTHER


# JPEG: a phone's trailer


def phone_trailer(payload: bytes = b"\xff\xd8 no picture \xff\xd9" * 30) -> bytes:
    """A block with a name, an index of blocks from its own begin backwards, its length, an end mark."""
    block = b"\0\0\x30\x0a" + struct.pack("<I", 16) + b"MotionPhoto_Data" + payload
    index = b"SEFH" + struct.pack("<IIHHII", 107, 1, 0, 0x0A30, len(block), len(block))
    return block + index + struct.pack("<I", len(index)) + b"SEFT"


def test_a_picture_with_a_phones_trailer_is_whole() -> None:
    assert kind_of(JPEG + phone_trailer()) is Kind.WHOLE
    for payload in (b"", b"\xff\xd9" * 40, b"\xff\xd8\xff" * 40):  # whatever the trailer holds
        assert kind_of(JPEG[:-2] + phone_trailer(payload)) is Kind.SUSPECT
    assert kind_of(JPEG[:20] + phone_trailer()) is Kind.PARTIAL


@pytest.mark.parametrize("index", [b"SEFH", b"SEFX" + bytes(20), b"SEFH" + b"\xff" * 20])
def test_what_only_looks_like_a_phones_trailer_is_none(index: bytes) -> None:
    data = JPEG + b"x" * 50 + index + struct.pack("<I", len(index)) + b"SEFT"
    assert kind_of(data) is Kind.WHOLE
    assert kind_of(JPEG[:-2] + b"x" * 50 + index + struct.pack("<I", len(index)) + b"SEFT") is Kind.PARTIAL


# What stands behind the first picture, and announces its own length


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", 8 + len(payload)) + kind + payload


def segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(payload)) + payload


def with_segment(payload: bytes, marker: int) -> bytes:
    return JPEG[:2] + segment(marker, payload) + JPEG[2:]


FILM = box(b"ftyp", b"mp42\0\0\0\0isommp42") + box(b"moov", b"m" * 40) + box(b"mdat", b"\x11" * 3000)
WIDE_FILM = box(b"ftyp", b"mp42") + struct.pack(">I4sQ", 1, b"mdat", 16 + 900) + b"w" * 900 + box(b"moov", b"m" * 40)
SECOND = SAMPLES["progressive.jpg"]
XMP = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>%b</x:xmpmeta>"
ITEM = b'<rdf:li><Container:Item Item:Mime="%b" Item:Semantic="%b" Item:Length="%d" Item:Padding="%d"/></rdf:li>'


def with_index(second: bytes) -> bytes:
    """A JPEG whose Multi-Picture index tells of itself and of another picture behind it."""
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<HHHIII", 1, 0xB002, 7, 32, 26, 0)
    own = len(with_segment(b"MPF\0" + head + bytes(32), 0xE2))
    entries = struct.pack("<IIIHH", 0x30000, own, 0, 0, 0) + struct.pack("<IIIHH", 0, len(second), own - 10, 0, 0)
    return with_segment(b"MPF\0" + head + entries, 0xE2) + second


def with_items(*behind: bytes, padding: int = 0) -> bytes:
    items = ITEM % (b"image/jpeg", b"Primary", 7_000_000, padding)
    items += b"".join(ITEM % (b"video/mp4", b"MotionPhoto", len(each), 0) for each in behind)
    return with_segment(XMP % items, 0xE1) + bytes(padding) + b"".join(behind)


def with_offset(film: bytes) -> bytes:
    return with_segment(XMP % (b'<rdf:Description GCamera:MicroVideoOffset="%d"/>' % len(film)), 0xE1) + film


BEHIND = {
    "a film": (JPEG + FILM, len(JPEG)),
    "a film after padding": (JPEG + bytes(50) + FILM, len(JPEG) + 50),
    "a film of wide boxes, its index last": (JPEG + WIDE_FILM, len(JPEG)),
    "a second picture": (JPEG + SECOND, len(JPEG)),
    "a third picture": (JPEG + SECOND + JPEG, len(JPEG + SECOND)),
    "a picture of an index": (with_index(SECOND), len(with_index(SECOND)) - len(SECOND)),
    "items that are listed": (with_items(b"g" * 500, b"f" * 900), len(with_items(b"g" * 500, b"f" * 900)) - 1400),
    "an item after padding": (with_items(b"g" * 500, padding=40), len(with_items(b"g" * 500, padding=40)) - 540),
    "a film at an offset": (with_offset(b"f" * 900), len(with_offset(b"f" * 900)) - 900),
    "a phone's trailer": (JPEG + phone_trailer(), len(JPEG)),
    "a film behind a PNG": (SAMPLES["colour.png"] + FILM, len(SAMPLES["colour.png"])),
}


@pytest.mark.parametrize("what", BEHIND)
def test_what_announces_more_behind_the_picture_is_waited_for(what: str) -> None:
    data, picture_end = BEHIND[what]
    assert kind_of(data) is Kind.WHOLE
    is_told_before = what.startswith(("a picture of", "item", "an item", "a film at"))
    for size in range(picture_end + (0 if is_told_before else 40), len(data)):
        verdict = judge(reader(data[:size]), size, "a.jpg")
        assert verdict.kind is Kind.SUSPECT, size - len(data)
        assert verdict.detail


@pytest.mark.parametrize("picture", [JPEG, SAMPLES["colour.png"]], ids=["JPEG", "PNG"])
def test_a_film_that_is_cut_in_the_head_of_a_wide_box_is_suspect(picture: bytes) -> None:
    wide = struct.pack(">I4sQ", 1, b"mdat", 916)
    for length in range(8, len(wide)):
        assert kind_of(picture + FILM + wide[:length]) is Kind.SUSPECT, length


def test_a_film_that_tells_no_length_is_whole_once_its_index_is_there() -> None:
    endless = struct.pack(">I4s", 0, b"mdat") + b"\x11" * 900
    assert kind_of(JPEG + box(b"ftyp", b"mp42") + box(b"moov", b"m" * 40) + endless) is Kind.WHOLE
    assert kind_of(JPEG + box(b"ftyp", b"mp42") + endless) is Kind.SUSPECT  # it is being written, the index comes last


def test_zeros_where_the_last_announced_bytes_belong_are_suspect() -> None:
    data = with_index(SECOND)
    assert kind_of(data[: -len(SECOND)] + bytes(len(SECOND))) is Kind.SUSPECT


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"MPF\0",
        b"MPF\0II*\0\xff\xff\xff\xff",
        b"MPF\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 30,
        XMP % b"<Item:Semantic",
    ],
)
def test_an_index_that_makes_no_sense_is_passed_over(payload: bytes) -> None:
    assert kind_of(with_segment(payload, 0xE2)) is Kind.WHOLE
    assert kind_of(with_segment(payload, 0xE1)) is Kind.WHOLE
