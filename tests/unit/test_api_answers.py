"""Reading the API's answers: all that has been seen, and whatever else may come."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfolder.api import Link, Status
from watchfolder.api.answers import (
    Envelope,
    Failure,
    OrderView,
    read_created,
    read_found,
    read_links,
    read_slot_list,
)
from watchfolder.errors import Retry

SECRET = "X-Amz-Signature=0123456789"  # noqa: S105 (what must not show)
URL = f"https://storage.example/a?{SECRET}"


def slot(**fields: object) -> dict[str, object]:
    return {"fileId": 1, "fileName": "a.jpg", "uploadUrl": URL} | fields


def order(**fields: object) -> dict[str, object]:
    return {"orderId": "7", "status": "pending", "files": [slot()]} | fields


def parsed(text: str) -> object:
    return Envelope.read(text.encode()).data


def test_an_id_keeps_every_digit() -> None:
    text = '{"data": {"orderId": 12345678901234567890, "status": "pending", "files": [{"fileId": 9007199254740993}]}}'

    created = read_created(parsed(text), ["a.jpg"])

    assert created.order_id == "12345678901234567890"
    assert created.slots[0].file_id == "9007199254740993"


@pytest.mark.parametrize("value", [1, "1", "501-1", "12345678901234567890"])
def test_an_id_is_text(value: object) -> None:
    assert read_slot_list({"files": [slot(fileId=value)]})[0].file_id == str(value)


@pytest.mark.parametrize("value", [1.0, 1e20, True, None, "", "a b", "..", [1], {}, "\ud800", "x" * 300])
def test_what_cannot_be_an_id_is_faulty(value: object) -> None:
    with pytest.raises(Retry, match="faulty"):
        read_slot_list({"files": [slot(fileId=value)]})
    with pytest.raises(Retry, match="faulty"):
        read_created(order(orderId=value), ["a.jpg"])


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "text",
        {},
        order(files=None),
        order(files=[]),
        order(files=[slot(), slot(fileId=2)]),
        order(files=[slot(fileName="b.jpg")]),
        order(files=["a.jpg"]),
        {key: value for key, value in order().items() if key != "orderId"},
    ],
)
def test_an_order_for_other_files_than_were_sent_is_not_one_to_pay_for(answer: object) -> None:
    with pytest.raises(Retry, match="faulty"):
        read_created(answer, ["a.jpg"])


def test_two_files_need_two_ids() -> None:
    with pytest.raises(Retry, match="faulty"):
        read_created(order(files=[slot(), slot()]), ["a.jpg", "a.jpg"])


def test_a_name_may_be_missing_and_a_status_unknown() -> None:
    created = read_created(order(files=[slot(fileName=None)], status="dreaming"), ["a.jpg"])

    assert created.slots[0].file_name is None
    assert created.status is Status.UNKNOWN


def test_no_reason_and_no_repr_shows_a_signed_link() -> None:
    with pytest.raises(Retry) as fault:
        read_created(order(orderId=URL + "\n", files=[slot(uploadUrl=[URL])]), ["a.jpg"])

    assert SECRET not in str(fault.value)
    assert fault.value.__cause__ is None
    assert SECRET not in repr(read_created(order(), ["a.jpg"]))
    assert SECRET not in repr(read_links({"downloadUrl": URL}))


def test_the_current_dialect_shows_inputs_outputs_and_the_end() -> None:
    view = OrderView.read(
        {
            "status": "complete",
            "errors": None,
            "expiresAt": "2026-12-01T08:00:00.000Z",
            "inputFiles": [slot(fileName=None), {"strange": True}],
            "result": {"outputFiles": [{"fileId": "1-1", "fileName": None, "inputFileId": 1}]},
        }
    )

    assert view.status is Status.COMPLETE
    assert [found.file_id for found in view.inputs] == ["1"]
    assert [(found.file_id, found.input_file_id) for found in view.outputs] == [("1-1", "1")]
    assert view.expires_at == datetime(2026, 12, 1, 8, tzinfo=UTC)
    assert view.failure is None


def test_the_old_dialect_shows_a_status_and_that_is_enough() -> None:
    view = OrderView.read({"status": "inProgress"})

    assert (view.status, view.inputs, view.outputs, view.expires_at) == (Status.IN_PROGRESS, (), (), None)


def test_an_output_that_cannot_be_read_is_not_taken_for_none() -> None:
    with pytest.raises(Retry, match="faulty"):
        OrderView.read({"status": "complete", "result": {"outputFiles": [{"fileName": "a.jpg"}]}})


@pytest.mark.parametrize(
    ("errors", "failure"),
    [
        (None, None),
        ("", None),
        ({}, None),
        ("it went wrong", Failure("", "it went wrong")),
        ({"errorCode": "PROCESSING_ERROR", "errorMessage": "no"}, Failure("PROCESSING_ERROR", "no")),
        ({"errorMessage": "no"}, Failure("", "no")),
        ({"errorCode": 7, "errorMessage": None}, Failure("7", "")),
        ({"other": 1}, Failure("", "")),
        (["a", 1], Failure("", '["a", 1]')),
    ],
)
def test_what_there_is_of_a_failure_is_shown(errors: object, failure: Failure | None) -> None:
    assert OrderView.read({"status": "failed", "errors": errors}).failure == failure


@pytest.mark.parametrize("word", ["detected", "undetected", "", None, 7, {"a": 1}, "COMPLETE"])
def test_an_unknown_status_is_data(word: object) -> None:
    view = OrderView.read({"status": word})

    assert view.status is Status.UNKNOWN
    assert view.raw_status == (word if isinstance(word, str) else json.dumps(word))


def test_an_end_that_is_never_has_a_date_in_every_time_zone() -> None:
    never = OrderView.read({"status": "complete", "expiresAt": "9999-12-31T23:59:59.999-09:00"}).expires_at
    assert never is not None
    assert never.astimezone(UTC) + timedelta(days=1) > never


@pytest.mark.parametrize("moment", ["soon", "", 5, None, "2026-99-99T00:00:00Z"])
def test_an_unreadable_end_is_none(moment: object) -> None:
    assert OrderView.read({"status": "complete", "expiresAt": moment}).expires_at is None


@pytest.mark.parametrize("field", ["downloadUrl", "url", "archiveUrl"])
def test_the_one_link_is_taken_under_any_of_its_names(field: str) -> None:
    assert read_links({field: URL}).files == (Link(file_id=None, url=URL),)


def test_links_by_file_come_before_the_archive() -> None:
    links = read_links(
        {"archiveUrl": "https://z", "files": [{"fileId": 1, "downloadUrl": URL}], "expiresInSeconds": 300}
    )

    assert links.files == (Link(file_id="1", url=URL),)
    assert 200 <= links.expires_in_seconds < 300


@pytest.mark.parametrize("lifetime", [None, 0, -1, "soon", float("nan"), 10**400, [], 1e12])
def test_a_strange_lifetime_is_an_hour_less_a_margin(lifetime: object) -> None:
    assert 3000 <= read_links({"url": URL, "expiresIn": lifetime}).expires_in_seconds < 3600


@pytest.mark.parametrize("answer", [None, {}, {"url": ""}, {"url": 7}, {"files": [{"fileId": 1}]}])
def test_an_answer_without_a_link_is_faulty(answer: object) -> None:
    with pytest.raises(Retry, match="faulty"):
        read_links(answer)


def test_an_order_is_found_by_its_exact_name() -> None:
    page = {
        "orders": [{"orderId": 1, "orderName": "wf-kk"}, 3, {"orderId": 2, "orderName": "wf-k", "status": "pending"}]
    }

    found, _ = read_found(page, "wf-k")

    assert found is not None
    assert (found.order_id, found.status) == ("2", Status.PENDING)


def test_an_order_of_ours_of_which_little_can_be_read_is_there_all_the_same() -> None:
    found, _ = read_found({"orders": [{"orderId": 2, "orderName": "wf-k"}]}, "wf-k")
    assert found is not None
    assert found.status is Status.UNKNOWN
    with pytest.raises(Retry, match="faulty"):
        read_found({"orders": [{"orderName": "wf-k", "status": "pending"}]}, "wf-k")


def test_a_page_without_it_says_how_many_there_are() -> None:
    assert read_found({"orders": [], "pageInfo": {"totalPages": 3}}, "wf-k") == (None, 3)
    assert read_found({"orders": [], "pageInfo": None}, "wf-k") == (None, 1)


@pytest.mark.parametrize(
    ("body", "envelope"),
    [
        (b"", Envelope(is_json=False)),
        (b"<html>", Envelope(is_json=False)),
        (b"[1]", Envelope(is_json=False)),
        (b'{"data": {"a"', Envelope(is_json=False)),
        (b"[" * 200_000, Envelope(is_json=False)),
        (b"\xff\xfe\x00", Envelope(is_json=False)),
        (b'{"message": "no"}', Envelope(is_json=True)),
        (b'{"code": "X"}', Envelope(is_json=True, code="X")),
        (b'{"code": 7}', Envelope(is_json=True)),
        (b'{"data": null}', Envelope(is_json=True, has_data=True)),
    ],
)
def test_only_the_apis_own_words_count_as_its_own(body: bytes, envelope: Envelope) -> None:
    assert Envelope.read(body) == envelope
    assert envelope.is_of_service == (envelope.has_data or envelope.code is not None)


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        "orderId",
        "status",
        "files",
        "fileId",
        "fileName",
        "uploadUrl",
        "errors",
        "errorCode",
        "errorMessage",
        "inputFiles",
        "result",
        "outputFiles",
        "inputFileId",
        "expiresAt",
        "downloadUrl",
        "url",
        "archiveUrl",
        "expiresIn",
        "expiresInSeconds",
        "orders",
        "orderName",
        "pageInfo",
        "totalPages",
    ]
)
LIKELY: st.SearchStrategy[Any] = st.recursive(
    ANYTHING, lambda inner: st.dictionaries(FIELDS, inner, max_size=6) | st.lists(inner, max_size=3), max_leaves=20
)


@given(LIKELY)
def test_any_json_is_read_or_faulty_and_can_be_written_down(data: object) -> None:
    for read in (
        lambda: read_created(data, ["a.jpg"]),
        lambda: read_slot_list(data),
        lambda: OrderView.read(data),
        lambda: read_links(data),
        lambda: read_found(data, "wf-k"),
    ):
        with suppress(Retry):
            repr(read()).encode("utf-8")


@given(st.binary(max_size=200))
def test_any_bytes_are_an_envelope(body: bytes) -> None:
    assert isinstance(Envelope.read(body), Envelope)


def test_an_order_lacks_uploads_while_a_read_gives_a_link_for_one() -> None:
    there, wanted = {"fileId": "1"}, {"fileId": "2", "uploadUrl": "https://storage.example/2"}
    assert OrderView.read({"status": "pending", "inputFiles": [there, wanted]}).waits_for_upload
    assert not OrderView.read({"status": "pending", "inputFiles": [there, there]}).waits_for_upload


@pytest.mark.parametrize(("word", "is_delayed"), [(True, True), (False, False), ("yes", False), (None, False)])
def test_only_a_plain_yes_says_that_people_must_see_to_an_order(word: object, *, is_delayed: bool) -> None:
    assert OrderView.read({"status": "inProgress", "processingDelayed": word}).is_delayed is is_delayed
