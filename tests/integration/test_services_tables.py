"""To whom was a text given? Read from the table of an embed inbox, which anybody on the share can have changed."""

from pathlib import Path

import pytest

from watchfolder import spreadsheet
from watchfolder.config import Inbox
from watchfolder.services.tables import given_out_by, recipient_of

HEAD = "time,file,recipient,text,order,sha256_source,sha256_result"


@pytest.fixture
def lender(tmp_path: Path) -> Inbox:
    paths = {role: str(tmp_path / role) for role in ("path", "outbox", "quarantine")}
    for path in paths.values():
        Path(path).mkdir()
    return Inbox.model_validate({"name": "press", "service": "watermark-embed", **paths})


def write(lender: Inbox, *lines: str) -> None:
    Path(lender.outbox, "watermarks.csv").write_text("\n".join([HEAD, *lines]) + "\n", "utf-8")


def line(recipient: str, text: str) -> str:
    return spreadsheet.row(["2026-11-28", f"{recipient}/a.jpg", recipient, text, "wf-1", "s", "r"])


def test_the_one_who_got_the_text_is_named(lender: Inbox) -> None:
    write(lender, line("dpa", "© Berg 1"), line("=Ärzte, Blatt", "© Berg 2"), line("", "© Berg 3"))
    assert recipient_of("© Berg 1", lender) == "dpa"
    assert recipient_of("© Berg 2", lender) == "=Ärzte, Blatt"
    assert recipient_of("© Berg 3", lender) is None
    assert recipient_of("© Berg", lender) is None


def test_of_several_who_got_the_same_text_nobody_is_named(lender: Inbox) -> None:
    write(lender, line("dpa", "© Berg"), line("afp", "© Berg"))
    assert recipient_of("© Berg", lender) is None


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x00", b"a,b\n1,2\n", b'"' + b"x" * 200_000])
def test_a_table_that_is_none_names_nobody(lender: Inbox, content: bytes) -> None:
    Path(lender.outbox, "watermarks.csv").write_bytes(content)
    assert recipient_of("© Berg", lender) is None


def test_without_a_table_nothing_was_given_out(lender: Inbox) -> None:
    assert list(given_out_by(lender)) == []
    Path(lender.outbox, "watermarks.csv").mkdir()
    assert list(given_out_by(lender)) == []
