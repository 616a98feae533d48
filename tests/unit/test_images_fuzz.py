"""Whatever the bytes, an answer comes, after a bounded number of reads, and no damaged picture passes by accident."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from test_images import SAMPLES, CountedReader

from watchfolder.images import Format, Kind, Wholeness, inspect, wholeness

names = st.one_of(st.sampled_from(["a.jpg", "a.tif", "a.nef", "a.heic", "a.txt", "a", ""]), st.text(max_size=12))
samples = st.sampled_from(sorted(SAMPLES.values()))
PICTURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF",
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"II+\0\x08\0\0\0",
    b"BM",
)
OTHERS = (b"", b"\0\0\0\x20ftyp", b"<?xml", b"\xff\xfe")
heads = st.sampled_from(PICTURES + OTHERS)


def assert_is_answered(data: bytes, name: str) -> None:
    reads = CountedReader(data, len(data))
    verdict = inspect(reads, len(data), name)
    assert verdict.kind in Kind
    assert bool(verdict.detail) == (verdict.kind in {Kind.PARTIAL, Kind.SUSPECT})
    assert (verdict.format is not None) >= (verdict.kind in {Kind.WHOLE, Kind.SUSPECT})
    assert reads.count <= len(data) + 200
    assert reads.bytes <= 600 * len(data) + 10_000


@given(st.binary(max_size=600), heads, names)
def test_random_bytes_are_answered(data: bytes, head: bytes, name: str) -> None:
    assert_is_answered(head + data, name)


@given(st.binary(max_size=300), st.sampled_from(Format))
def test_random_bytes_are_answered_when_taken_for_any_format(data: bytes, form: Format) -> None:
    assert wholeness(form, CountedReader(data, len(data)), len(data)) in Wholeness


@settings(max_examples=400)
@given(samples, st.integers(0, 2**32), st.integers(1, 12), names)
def test_mutated_pictures_are_answered(sample: bytes, seed: int, changes: int, name: str) -> None:
    chance = random.Random(seed)  # noqa: S311 - a mutation, no secret
    data = bytearray(sample)
    for _ in range(changes):
        place = chance.randrange(min(len(data), chance.choice([60, 400, len(data)])))
        data[place : place + chance.choice([0, 1, 1, 1, 4])] = chance.randbytes(chance.choice([0, 1, 1, 1, 4]))
    assert_is_answered(bytes(data), name)


@given(samples, st.data())
def test_a_picture_that_was_cut_and_filled_with_zeros_at_once_is_never_whole(
    sample: bytes, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(sample) - 25))
    length = data.draw(st.integers(cut, len(sample)))
    torn = sample[:cut].ljust(length, b"\0")
    assert inspect(CountedReader(torn, length), length, "a.jpg").kind in {Kind.PARTIAL, Kind.SUSPECT}
