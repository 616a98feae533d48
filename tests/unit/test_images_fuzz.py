"""Whatever the bytes, an answer comes, after a bounded number of reads, and no damaged picture passes by accident."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from test_images import PAGE, SAMPLES, CountedReader
from test_images_holes import BIG, emptied, silent, telling
from test_images_in_the_field import BEHIND, ODD_BITMAPS, ODD_TIFFS

from watchfolder.images import FindHole, Kind, judge

names = st.one_of(st.sampled_from(["a.jpg", "a.tif", "a.nef", "a.heic", "a.txt", "a", ""]), st.text(max_size=12))
ODD = [*ODD_TIFFS.values(), *ODD_BITMAPS.values(), *(data for data, _ in BEHIND.values())]
samples = st.sampled_from(sorted(SAMPLES.values()))
holes = st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 5000)), max_size=4)
PICTURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF",
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"II+\0\x08\0\0\0",
    b"BM",
    b"%PDF-",
)
OTHERS = (b"", b"\0\0\0\x20ftyp", b"<?xml", b"\xff\xfe")
heads = st.sampled_from(PICTURES + OTHERS)


def assert_is_answered(data: bytes, name: str, find_hole: FindHole = silent) -> None:
    reads = CountedReader(data, len(data))
    verdict = judge(reads, len(data), name, find_hole, takes_pdf=True)
    assert verdict.kind in Kind
    assert bool(verdict.detail) == (verdict.kind in {Kind.PARTIAL, Kind.SUSPECT})
    assert (verdict.format is not None) >= (verdict.kind in {Kind.WHOLE, Kind.SUSPECT})
    assert reads.count <= len(data) + 200
    assert reads.bytes <= 600 * len(data) + 10_000


@given(st.binary(max_size=600), heads, names)
def test_random_bytes_are_answered(data: bytes, head: bytes, name: str) -> None:
    assert_is_answered(head + data, name)


@settings(max_examples=400)
@given(samples | st.sampled_from(ODD), st.integers(0, 2**32), st.integers(1, 12), names, holes)
def test_mutated_pictures_are_answered(
    sample: bytes, seed: int, changes: int, name: str, missing: list[tuple[int, int]]
) -> None:
    chance = random.Random(seed)  # noqa: S311 - a mutation, no secret
    data = bytearray(sample)
    for _ in range(changes):
        place = chance.randrange(min(len(data), chance.choice([60, 400, len(data)])))
        data[place : place + chance.choice([0, 1, 1, 1, 4])] = chance.randbytes(chance.choice([0, 1, 1, 1, 4]))
    assert_is_answered(bytes(data), name)
    assert_is_answered(bytes(data), name, telling(len(data), *((at, at + length) for at, length in missing)))


@given(st.sampled_from(sorted(BIG)), st.data(), st.booleans())
def test_a_picture_that_lacks_a_page_in_its_middle_is_never_whole(form: str, data: st.DataObject, tells: bool) -> None:
    picture = BIG[form]
    start = PAGE * data.draw(st.integers(1, len(picture) // PAGE - 2))
    length = PAGE * data.draw(st.integers(1, 3))
    torn = emptied(picture, start, min(length, len(picture) - start))
    find_hole = telling(len(picture), (start, start + length)) if tells else silent
    kind = judge(CountedReader(torn, len(torn)), len(torn), "a.jpg", find_hole).kind
    assert kind is not Kind.WHOLE or (form in {"BMP", "TIFF"} and not tells)  # there, black pixels look the same


@given(samples, st.data())
def test_a_picture_that_was_cut_and_filled_with_zeros_at_once_is_never_whole(
    sample: bytes, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(sample) - 25))
    length = data.draw(st.integers(cut, len(sample)))
    torn = sample[:cut].ljust(length, b"\0")
    assert judge(CountedReader(torn, length), length, "a.jpg").kind in {Kind.PARTIAL, Kind.SUSPECT}
