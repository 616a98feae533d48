"""A PDF is taken for whole when its end is there and its table lies where the end says."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfolder.images.pdf import check
from watchfolder.images.source import BYTES_AT_MOST, Incomplete, Source
from watchfolder.sandbox.pictures import sample_pdf

PDF = sample_pdf("a brochure")
UPDATE = b"\n9 0 obj\n<< /Type /Annot >>\nendobj\n" + PDF[PDF.index(b"xref") :]
"""What a program appends that saves a change: an object, and another table."""


def source(content: bytes, hole: int | None = None) -> Source:
    def read_at(offset: int, length: int) -> bytes:
        return content[offset : offset + length]

    return Source(read_at, len(content), lambda _: hole, BYTES_AT_MOST)


@pytest.mark.parametrize(
    "content",
    [
        PDF,
        PDF + b"\n%MORI-SANDBOX-MARK 00\n",
        PDF + b"\0" * 500,
        PDF.replace(b"\n", b"\r\n").replace(b"startxref", b"startxref"),
        PDF + PDF[PDF.index(b"xref") :],  # changed afterwards: another table behind the first
    ],
)
def test_a_whole_pdf_is_whole(content: bytes) -> None:
    moved = content if b"\r\n" not in content else content.replace(*_shifted(content))
    check(source(moved))


def _shifted(content: bytes) -> tuple[bytes, bytes]:
    place = content.rindex(b"startxref\r\n") + 11
    old = content[place : content.index(b"\r\n", place)]
    return b"startxref\r\n" + old, b"startxref\r\n%d" % content.index(b"xref\r\n0 ")


@pytest.mark.parametrize(
    "content",
    [
        b"%PDF-1.4\n",
        PDF[:-7],
        PDF[: len(PDF) // 2],
        PDF[: len(PDF) // 2].ljust(len(PDF), b"\0"),
        PDF + b"\0" * 2000,
        PDF[: PDF.rindex(b"startxref")] + b"startxref\n999999\n%%EOF\n",
        PDF[: PDF.rindex(b"startxref")] + b"startxref\n3\n%%EOF\n",
        PDF[: PDF.rindex(b"startxref")] + b"startxref\n-1\n%%EOF\n",
        b"",
    ],
)
def test_half_a_pdf_is_incomplete(content: bytes) -> None:
    with pytest.raises(Incomplete):
        check(source(content))


def test_a_change_that_is_cut_behind_the_older_end_is_doubted() -> None:
    for length in range(2, UPDATE.index(b"%%EOF") + 4):
        begun = source(PDF + UPDATE[:length])
        check(begun)
        assert begun.doubts, UPDATE[:length]


@pytest.mark.parametrize("behind", [b"\r\n\r\n", b"\n%MORI-SANDBOX-MARK 00\n", b"\0" * 500, b"\n--boundary--\r\n"])
def test_what_begins_no_change_behind_the_end_is_not_doubted(behind: bytes) -> None:
    whole = source(PDF + behind)
    check(whole)
    assert not whole.doubts


def test_a_pdf_with_a_hole_has_not_been_written() -> None:
    with pytest.raises(Incomplete, match="not been written"):
        check(source(PDF, hole=20))


def test_a_locked_pdf_says_so() -> None:
    for content, is_locked in ((PDF, False), (PDF.replace(b"/Root", b"/Encrypt 9 0 R /Root"), True)):
        whole = source(content)
        check(whole)
        assert whole.is_locked == is_locked


@given(st.binary(max_size=300), st.integers(0, len(PDF)), st.integers(0, 40))
def test_any_bytes_are_answered(data: bytes, at: int, length: int) -> None:
    for content in (data, PDF[:at] + data + PDF[at + length :]):
        with contextlib.suppress(Incomplete):
            check(source(content))
