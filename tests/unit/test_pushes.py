"""What is taken for the service's own word, and what becomes of the rest."""

import hashlib
import hmac
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchfolder.pushes import Pushes, PushResult, signature

SECRET = "whsec_of_these_tests"  # noqa: S105 - of these tests
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ID = "1900000000000000001"


def delivery(event_id: object = "e-1", order_id: object = ID, **changes: object) -> bytes:
    event = {
        "eventId": event_id,
        "eventType": "order.antiAi.completed",
        "occurredAt": "2026-11-24T11:59:59.500Z",
        "data": {"orderId": order_id, "status": "complete", "downloadUrl": None},
    }
    return json.dumps(event | changes).encode()


def received(pushes: Pushes, body: bytes, signed: str | None = None, secret: str = SECRET) -> PushResult | None:
    return pushes.receive(body, signature(SECRET, body) if signed is None else signed, secret)


def test_the_signature_is_the_hex_hmac_of_the_raw_body() -> None:
    body = b'{"a":  1}\n'
    assert signature(SECRET, body) == hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def test_what_is_signed_well_waits_for_the_pipeline_and_rings() -> None:
    pushes, rung = Pushes(), threading.Event()
    pushes.wake_with(rung.set)
    assert received(pushes, delivery()) is None
    assert rung.is_set()
    assert pushes.take() == [ID]
    assert pushes.take() == []


@pytest.mark.parametrize("kind", ["order.antiAi.completed", "order.antiAi.failed", "order.watermarkEmbed.completed"])
def test_both_ends_of_an_order_are_news(kind: str) -> None:
    assert received(Pushes(), delivery(eventType=kind)) is None


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (delivery(eventType="order.somethingElse.completed"), PushResult.OTHER_TYPE),
        (delivery(eventType=None), PushResult.OTHER_TYPE),
        (delivery(eventType=["order.antiAi.completed"]), PushResult.OTHER_TYPE),
        (delivery(order_id=None), PushResult.UNREADABLE),
        (delivery(order_id=True), PushResult.UNREADABLE),
        (delivery(order_id="9" * 300), PushResult.UNREADABLE),
        (delivery(data=[]), PushResult.UNREADABLE),
        (b"", PushResult.UNREADABLE),
        (b"[1]", PushResult.UNREADABLE),
        (b"\xff", PushResult.UNREADABLE),
        (b"[" * 10_000, PushResult.UNREADABLE),
        (b"9" * 10_000, PushResult.UNREADABLE),
    ],
)
def test_what_the_service_signs_and_is_no_news_of_ours_nudges_nobody(body: bytes, result: PushResult) -> None:
    pushes = Pushes()
    assert received(pushes, body) is result
    assert pushes.take() == []
    assert pushes.counts()[result] == 1


@pytest.mark.parametrize(
    "occurred_at", [None, "yesterday", 5, "2026-11-24T11:00:00", "1970-01-01", "2099-01-01T00:00Z"]
)
def test_an_event_of_whatever_date_is_news_for_a_clock_may_be_wrong(occurred_at: object) -> None:
    assert received(Pushes(), delivery(occurredAt=occurred_at)) is None


def test_an_order_id_may_be_a_number() -> None:
    pushes = Pushes()
    received(pushes, delivery(order_id=int(ID)))
    assert pushes.take() == [ID]


@pytest.mark.parametrize(
    "signed", ["", "0" * 64, signature("whsec_another", delivery()), signature(SECRET, delivery() + b" "), "é\udcff"]
)
def test_what_is_not_signed_with_our_secret_is_refused_before_it_is_read(signed: str) -> None:
    pushes = Pushes()
    assert received(pushes, delivery(), signed) is PushResult.WRONG_SIGNATURE
    assert pushes.take() == []
    assert received(pushes, delivery()) is None  # and its id is not burnt


def test_the_signature_may_be_in_capitals() -> None:
    assert received(Pushes(), delivery(), signature(SECRET, delivery()).upper()) is None


def test_without_a_secret_nothing_is_right() -> None:
    assert received(Pushes(), delivery(), signature("", delivery()), secret="") is PushResult.NOT_REGISTERED


def test_a_second_time_is_a_duplicate_also_after_many_others() -> None:
    pushes = Pushes()
    assert received(pushes, delivery("e-0")) is None
    for number in range(1, 9000):
        received(pushes, delivery(f"e-{number}"))
    assert received(pushes, delivery("e-0")) is PushResult.DUPLICATE


def test_events_and_hints_that_nobody_takes_are_kept_within_bounds() -> None:
    pushes = Pushes()
    for number in range(12_000):
        received(pushes, delivery(f"e-{number}", str(number)))
    assert len(pushes.take()) == 10_000
    assert received(pushes, delivery("e-0")) is None  # forgotten: a look more, and no harm


def test_every_outcome_is_counted_from_zero() -> None:
    pushes = Pushes()
    assert pushes.counts() == {str(result): 0 for result in PushResult}
    pushes.count(PushResult.NUDGED)
    assert pushes.counts()["nudged"] == 1


@given(st.binary(max_size=200), st.text(max_size=80))
def test_nobody_guesses_a_signature_and_nothing_breaks(body: bytes, signed: str) -> None:
    assert Pushes().receive(body, signed, SECRET) is PushResult.WRONG_SIGNATURE


@settings(max_examples=50)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=10))
def test_no_signed_json_breaks_anything(value: object) -> None:
    for body in (delivery(data={"orderId": value}), delivery(value), delivery(occurredAt=value), json.dumps(value)):
        raw = body if isinstance(body, bytes) else body.encode()
        received(Pushes(), raw)


def test_a_retry_of_hours_is_not_old() -> None:
    at = (NOW - timedelta(hours=7)).isoformat()
    assert received(Pushes(), delivery(occurredAt=at)) is None
