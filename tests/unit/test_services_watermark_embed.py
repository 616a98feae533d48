"""What is asked of watermark embed, and which text each copy gets."""

import json
from datetime import UTC, date, datetime

import pytest

from watchfolder.config import Inbox
from watchfolder.order import Result
from watchfolder.services import FLOWS, Stage, named
from watchfolder.services.watermark_embed import WATERMARK_EMBED

KEY = "6f1f0a53-5ad3-4d0e-9a53-0f5b7c7a2f11"
TODAY = date(2026, 11, 29)


def inbox(**watermark: object) -> Inbox:
    paths = {"path": "/srv/in", "outbox": "/srv/out", "quarantine": "/srv/quarantine"}
    return Inbox.model_validate({"name": "press", **paths, "service": "watermark-embed", "watermark": watermark})


def issued(inbox: Inbox, name: str, *serials: str) -> tuple[Result, ...]:
    (file,) = WATERMARK_EMBED.asked(inbox, [named(name)], lambda _inbox, _count: serials, TODAY)
    return file.results


def test_of_a_file_that_is_ordered_again_a_delivered_copy_keeps_its_text() -> None:
    press = inbox(text="{recipient} {serial}", recipients=["dpa", "afp"])
    dpa, afp = issued(press, "a.jpg", "S-1", "S-2")
    half_done = named("a.jpg", results=(dpa.having(delivered_at=datetime.now(UTC)), afp))
    (file,) = WATERMARK_EMBED.asked(press, [half_done], lambda _inbox, _count: ("S-3", "S-4"), TODAY)
    assert [result.recipient for result in file.results] == ["dpa", "afp"]
    assert [result.text for result in file.results] == ["dpa S-1", "afp S-4"]


def test_a_text_for_each_copy_is_asked_for_and_nothing_else() -> None:
    files = [
        named("a.jpg", results=(Result(text="x 1"), Result(text="y 2"))),
        named("b.png", results=(Result(text="z"),)),
    ]
    body = WATERMARK_EMBED.body(KEY, files, {})
    assert json.loads(body) == {
        "idempotencyKey": KEY,
        "files": [
            {"fileName": "a.jpg", "watermarks": [{"text": "x 1"}, {"text": "y 2"}]},
            {"fileName": "b.png", "watermarks": [{"text": "z"}]},
        ],
    }
    assert WATERMARK_EMBED.has_made(body, KEY, {})
    assert [[result.text for result in file.results] for file in WATERMARK_EMBED.read_body(body)] == [
        ["x 1", "y 2"],
        ["z"],
    ]


def test_what_has_an_address_is_fetched_from_there_and_is_bought_by_the_create() -> None:
    address = "https://example.com/brochure.pdf?token=1"
    file = named("brochure.pdf", address=address, results=(Result(text="x 1"),))
    body = WATERMARK_EMBED.body(KEY, [file], {})
    asked = {"fileName": "brochure.pdf", "originalFileUrl": address, "watermarks": [{"text": "x 1"}]}
    assert json.loads(body) == {"idempotencyKey": KEY, "files": [asked]}
    assert WATERMARK_EMBED.has_made(body, KEY, {})
    assert WATERMARK_EMBED.read_body(body) == [file]


def test_the_last_upload_is_the_purchase() -> None:
    assert (WATERMARK_EMBED.charged_at, WATERMARK_EMBED.start_path) == (Stage.UPLOAD, "")


def test_each_recipient_has_a_copy_with_a_text_of_its_own() -> None:
    press = inbox(text="© Berg {year} {recipient} {serial}", recipients=["dpa", "Süddeutsche"])
    assert issued(press, "sub/a.jpg", "K-1", "K-2") == (
        Result(recipient="dpa", folder="dpa", text="© Berg 2026 dpa K-1"),
        Result(recipient="Süddeutsche", folder="Süddeutsche", text="© Berg 2026 Süddeutsche K-2"),
    )


def test_without_recipients_there_is_one_copy_which_lies_where_the_original_did() -> None:
    assert issued(inbox(text="{stem} {date} {folder} {serial}"), "sub/a.jpg", "K-1") == (
        Result(text="a 2026-11-29 sub K-1"),
    )


def test_the_first_folder_is_the_recipient_where_that_is_said() -> None:
    press = inbox(text="{recipient} {folder} {serial}", recipients="folder")
    assert issued(press, "dpa/spring/a.jpg", "K-1") == (Result(recipient="dpa", text="dpa spring K-1"),)
    assert WATERMARK_EMBED.recipients_of(press, "a.jpg") == ()


def test_a_text_has_the_spelling_in_which_it_comes_back() -> None:
    (result,) = issued(inbox(text="{stem} {serial}"), "Fu\u0308ße\udcff.jpg", "K-1")
    assert result.text == "Füße\\xff K-1"


@pytest.mark.parametrize("name", FLOWS)
def test_no_other_service_makes_more_than_one_result(name: str) -> None:
    plain = Inbox.model_validate({"name": "a", "path": "/a", "outbox": "/b", "quarantine": "/c", "service": name})
    assert len(FLOWS[name].recipients_of(plain, "sub/a.jpg")) == 1
