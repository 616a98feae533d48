"""What comes from the service is taken by what it is to be: a result, or a report, which may be locked."""

import pytest

from watchfolder.errors import OrderRetry
from watchfolder.images import Format
from watchfolder.publish import report_format, result_format
from watchfolder.sandbox.pictures import sample, sample_pdf

PICTURE = sample("jpeg", width=40, height=30, seed=1)
PDF = sample_pdf("a report")
LOCKED = PDF.replace(b"/Root", b"/Encrypt 9 0 R /Root")  # an owner's password: against changes, for all to read


def found(content: bytes, *, is_report: bool = False) -> Format | str:
    def read_at(offset: int, length: int) -> bytes:
        return content[offset : offset + length]

    try:
        if is_report:
            return report_format(read_at, len(content))
        return result_format(read_at, len(content), is_pdf=None)
    except OrderRetry as error:
        return error.code


@pytest.mark.parametrize("report", [PDF, LOCKED])
def test_a_report_may_be_locked_against_changes(report: bytes) -> None:
    assert found(report, is_report=True) is Format.PDF


@pytest.mark.parametrize("content", [PDF[:-20], LOCKED[:-20], PICTURE, b"<html>sorry</html>", b""])
def test_what_is_no_whole_pdf_is_no_report(content: bytes) -> None:
    assert found(content, is_report=True) == "REPORT_NOT_WHOLE"


def test_a_result_is_whole_and_not_locked() -> None:
    assert found(PICTURE) is Format.JPEG
    assert found(PDF) is Format.PDF
    assert {found(content) for content in (LOCKED, PICTURE[:-20], PDF[:-20], b"")} == {"RESULT_NOT_WHOLE"}
