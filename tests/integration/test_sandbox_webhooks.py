"""The stand-in tells of the end of orders: signed, again until it was taken, and with every fault of contract.md."""

import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from operator import itemgetter
from typing import Any, cast

import pytest
from receiver import Call, Receiver, receiving
from sandbox_client import PICTURE, Client, answer, client, data, sandbox, tester
from waiting import wait_until

from watchfolder.sandbox import Sandbox

__all__ = ["client", "sandbox", "tester"]

PATH = "/api/v2/orders/webhooks"


@pytest.fixture
def ear() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def events(ear: Receiver) -> list[dict[str, Any]]:
    return [json.loads(call.body) for call in ear.calls]


def is_signed(call: Call, secret: str) -> bool:
    return call.headers["X-MoriBiz-Signature"] == hmac.new(secret.encode(), call.body, hashlib.sha256).hexdigest()


def register(client: Client, url: str, **changes: object) -> dict[str, Any]:
    return data(client.call("POST", PATH, {"url": url, **changes}))


def listed(client: Client, path: str) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", data(client.call("GET", path))[path.rpartition("/")[2]])


def test_a_completed_order_is_told_signed_over_the_raw_body(client: Client, sandbox: Sandbox, ear: Receiver) -> None:
    made = register(client, f"{ear.url}/ear?of=mine", name="mine")
    assert made["secret"].startswith("whsec_")
    order_id = client.confirmed("a.jpg", "b.jpg")
    wait_until(lambda: sandbox.pushes)
    (call,) = ear.calls
    assert (call.path, is_signed(call, made["secret"])) == ("/ear?of=mine", True)
    (event,) = events(ear)
    assert (event["eventType"], event["data"]["orderId"]) == ("order.antiAi.completed", order_id)
    assert event["data"]["status"] == "complete"
    assert event["data"]["fileCount"] == 2
    assert client.get(event["data"]["downloadUrl"]).ok
    assert [(push.order_id, push.status) for push in sandbox.pushes] == [(order_id, 200)]
    assert sandbox.record()["pushes"]
    assert sandbox.sins == []


def test_a_failed_order_is_told_with_its_reason(client: Client, ear: Receiver) -> None:
    register(client, ear.url)
    client.confirmed("a_fail.jpg")
    wait_until(lambda: ear.calls)
    (event,) = events(ear)
    assert event["eventType"] == "order.antiAi.failed"
    assert event["data"]["errorCode"] == "PROCESSING_ERROR"


def test_a_picture_that_was_judged_is_told_with_its_probability(
    client: Client, sandbox: Sandbox, ear: Receiver
) -> None:
    register(client, ear.url)
    order_id = client.detected("a_ai.jpg", options={"generateHeatmap": True})
    client.detected("a_fail.jpg")
    wait_until(lambda: len(ear.calls) == 2)
    told = {event["eventType"]: event["data"] for event in events(ear)}
    assert told.keys() == {"order.aiDetection.completed", "order.aiDetection.failed"}
    judged = told["order.aiDetection.completed"]
    assert (judged["orderId"], judged["probability"], judged["overlayUrl"]) == (order_id, 0.98, None)
    assert client.get(judged["heatmapUrl"]).ok
    assert judged.keys() & {"fileCount", "downloadUrl"} == set()
    assert sandbox.sins == []


def test_watermarks_are_told_in_words_of_their_own(client: Client, ear: Receiver) -> None:
    register(client, ear.url)
    picture = (PICTURE, "image/jpeg")
    order_id = client.sent(data(client.embed(texts=("dpa", "afp"))), picture)
    copy = client.get(client.result_url(order_id)).content
    client.sent(data(client.extract()), picture, (copy, "image/jpeg"))
    client.sent(data(client.extract()), picture, (PICTURE + b"\0", "image/jpeg"))
    wait_until(lambda: len(ear.calls) == 3)
    embedded, *extracted = sorted(((event["eventType"], event["data"]) for event in events(ear)), key=itemgetter(0))
    assert embedded[0] == "order.watermarkEmbed.completed"
    assert (embedded[1]["fileCount"], client.get(embedded[1]["downloadUrl"]).ok) == (1, True)
    assert [kind for kind, _ in extracted] == ["order.watermarkExtract.completed"] * 2
    told = {facts["statusCode"]: (facts["watermarkFound"], facts.get("watermarkInfo")) for _, facts in extracted}
    assert told == {"detected": (True, {"text": "dpa"}), "undetected": (False, None)}
    assert all(facts["status"] == "complete" for _, facts in extracted)


def test_test_orders_are_told_without_a_link_and_to_webhooks_for_them_alone(
    client: Client, tester: Client, ear: Receiver
) -> None:
    register(client, ear.url)
    register(tester, ear.url, isTest=True)
    tester.confirmed()
    wait_until(lambda: ear.calls)
    (event,) = events(ear)
    assert event["data"]["downloadUrl"] is None


def test_what_is_not_taken_is_sent_again_the_same_bytes_further_apart_each_time(
    client: Client, sandbox: Sandbox, ear: Receiver
) -> None:
    sandbox.push_retry_seconds = (0.1, 0.2, 0.4)
    ear.statuses = [500, 404, 301, 204]
    register(client, ear.url)
    client.confirmed()
    wait_until(lambda: len(sandbox.pushes) == 4)
    assert [push.status for push in sandbox.pushes] == [500, 404, 301, 204]
    assert len({call.body for call in ear.calls}) == 1
    waits = [(after.time - before.time).total_seconds() for before, after in pairwise(sandbox.pushes)]
    assert all(wait >= at_least for wait, at_least in zip(waits, (0.1, 0.2, 0.4), strict=True))
    time.sleep(0.3)
    assert len(sandbox.pushes) == 4


def test_a_webhook_that_was_removed_hears_no_more(client: Client, sandbox: Sandbox, ear: Receiver) -> None:
    sandbox.push_retry_seconds = (3600.0,)
    ear.statuses = [500]
    webhook = register(client, ear.url)
    client.confirmed()
    wait_until(lambda: sandbox.pushes)
    assert client.call("DELETE", f"{PATH}/{webhook['id']}").ok
    (event,) = sandbox._courier.events()
    sandbox._courier.send(event)  # as after that hour
    assert len(ear.calls) == 1


def test_a_webhook_elsewhere_is_registered_and_hears_nothing(client: Client, sandbox: Sandbox, ear: Receiver) -> None:
    register(client, ear.url.replace("http:", "https:"))
    client.confirmed()
    wait_until(lambda: sandbox.pushes)
    assert (sandbox.pushes[0].status, ear.calls) == (0, [])


def test_by_default_it_tries_as_long_as_contract_md_says() -> None:
    assert tuple(Sandbox().push_retry_seconds) == (1, 2, 4, 1800, 7200, 14400)


def test_who_does_not_answer_in_time_is_asked_again(client: Client, sandbox: Sandbox) -> None:
    sandbox.push_retry_seconds, sandbox.push_answer_seconds = (0.0,), 0.2
    register(client, "http://127.0.0.1:9/nobody")
    client.confirmed()
    wait_until(lambda: len(sandbox.pushes) == 2)
    assert [push.status for push in sandbox.pushes] == [0, 0]


def test_a_push_can_come_twice_late_never_or_with_a_wrong_signature(
    client: Client, sandbox: Sandbox, ear: Receiver
) -> None:
    secret = register(client, ear.url)["secret"]
    sandbox.faults.add("push", "duplicate")
    twice = client.confirmed()
    wait_until(lambda: len(ear.calls) == 2)
    assert [event["data"]["orderId"] for event in events(ear)] == [twice, twice]
    assert len({event["eventId"] for event in events(ear)}) == 1

    sandbox.faults.add("push", "never")
    client.confirmed()
    sandbox.faults.add("push", "late", seconds=0.5)
    began = time.monotonic()
    late = client.confirmed()
    wait_until(lambda: len(ear.calls) == 3)
    assert events(ear)[-1]["data"]["orderId"] == late
    assert time.monotonic() - began >= 0.5

    sandbox.faults.add("push", "wrong_signature")
    client.confirmed()
    wait_until(lambda: len(ear.calls) == 4)
    assert not is_signed(ear.calls[-1], secret)


def test_a_fault_for_any_request_is_none_for_a_push(sandbox: Sandbox) -> None:
    fault = sandbox.faults.add("any", "answer", status=500)
    assert sandbox.faults.take("push") is None
    assert fault.seen == 0
    with pytest.raises(ValueError, match="no such fault"):
        sandbox.faults.add("push", "hang")


def test_webhooks_are_shown_without_their_secret_changed_and_removed(client: Client, sandbox: Sandbox) -> None:
    made = register(client, "https://photos.example.com/webhooks/bizmori", name="one")
    one = f"{PATH}/{made['id']}"
    assert made.keys() == {"id", "name", "secret", "isTest"}
    (shown,) = listed(client, PATH)
    assert shown.keys() == {"id", "name", "url", "isActive", "isTest", "lastSentAt", "createdAt"}
    assert (shown["name"], shown["url"]) == ("one", "https://photos.example.com/webhooks/bizmori")
    assert (shown["isActive"], shown["isTest"], shown["lastSentAt"]) == (True, False, None)
    detail = data(client.call("GET", one))
    assert {key: value for key, value in detail.items() if key != "updatedAt"} == shown
    assert detail["updatedAt"]
    changed = data(client.call("PUT", one, {"url": "https://photos.example.com/", "name": "two"}))
    assert (changed["url"], changed["name"]) == ("https://photos.example.com/", "two")
    assert client.call("DELETE", one).ok
    assert answer(client.call("GET", one)) == (404, "WEBHOOK_NOT_FOUND")
    assert answer(client.call("DELETE", one)) == (404, "WEBHOOK_NOT_FOUND")
    assert sandbox.sins == []


def test_webhooks_are_listed_ten_at_a_time_unless_asked_otherwise(client: Client, sandbox: Sandbox) -> None:
    for number in range(25):
        assert client.call("POST", PATH, {"url": f"https://{number}.example.com/"}).status_code == 200
    first = data(client.call("GET", PATH))
    assert first["pagination"] == {"page": 1, "limit": 10, "total": 25, "totalPages": 3}
    assert len(first["webhooks"]) == 10
    pages = [data(client.call("GET", f"{PATH}?page={page}"))["webhooks"] for page in (1, 2, 3, 4)]
    assert [len(page) for page in pages] == [10, 10, 5, 0]
    assert len({webhook["id"] for page in pages for webhook in page}) == 25
    assert len(data(client.call("GET", f"{PATH}?limit=100"))["webhooks"]) == 25
    (found,) = data(client.call("GET", f"{PATH}?keyword=17.EXAMPLE"))["webhooks"]
    assert found["url"] == sandbox.webhooks[found["id"]] == "https://17.example.com/"
    assert sandbox.sins == []
    assert answer(client.call("GET", f"{PATH}?limit=101")) == (400, "VALIDATION_FAILED")


def test_a_change_without_an_address_is_refused(client: Client, sandbox: Sandbox) -> None:
    one = f"{PATH}/{register(client, 'https://photos.example.com/')['id']}"
    assert answer(client.call("PUT", one, {"name": "two"})) == (400, "VALIDATION_FAILED")
    assert len(sandbox.sins) == 1


def test_a_test_key_sees_and_makes_test_webhooks_only(client: Client, tester: Client, sandbox: Sandbox) -> None:
    sandbox.keys = [sandbox.key, sandbox.test_key]
    live = register(client, "https://live.example.com/")
    assert register(tester, "https://test.example.com/")["isTest"]
    assert [webhook["url"] for webhook in listed(tester, PATH)] == ["https://test.example.com/"]
    assert len(listed(client, PATH)) == 2
    assert answer(tester.call("GET", f"{PATH}/{live['id']}")) == (404, "WEBHOOK_NOT_FOUND")
    asked = {"url": "https://test.example.com/", "isTest": False}
    assert answer(tester.call("POST", PATH, asked)) == (403, "AUTH_FORBIDDEN")
    assert len(sandbox.sins) == 1


def test_another_account_s_webhooks_are_nobody_s_business(sandbox: Sandbox, client: Client) -> None:
    sandbox.keys = None
    made = register(client, "https://photos.example.com/")
    with contextlib.closing(Client(sandbox, "sk_another_0123456789")) as other:
        assert listed(other, PATH) == []
        assert answer(other.call("DELETE", f"{PATH}/{made['id']}")) == (404, "WEBHOOK_NOT_FOUND")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"url": "http://photos.example.com/"},
        {"url": "ftp://127.0.0.1/"},
        {"url": 5},
        {"url": "https://"},
        {"url": "https://a.example/", "isTest": "yes"},
        {"url": "https://a.example/", "name": 1},
        {"url": "https://a.example/", "secret": "mine"},
    ],
)
def test_a_registration_that_breaks_the_contract_is_a_sin(client: Client, sandbox: Sandbox, body: object) -> None:
    assert answer(client.call("POST", PATH, body)) == (400, "VALIDATION_FAILED")
    assert len(sandbox.sins) == 1


def test_its_events_are_listed_and_sent_again_when_asked(client: Client, sandbox: Sandbox, ear: Receiver) -> None:
    sandbox.push_retry_seconds = ()
    ear.statuses = [500, 500, 200]
    path = f"{PATH}/{register(client, ear.url)['id']}/events"
    client.confirmed()
    client.confirmed()
    wait_until(lambda: len(sandbox.pushes) == 2)
    failed = listed(client, path)
    assert [event["status"] for event in failed] == ["FAILED", "FAILED"]
    keys = {"id", "eventId", "eventType", "status", "retries", "lastSentAt", "createdAt"}
    assert [event.keys() for event in failed] == [keys] * 2
    again = f"{path}/{failed[0]['id']}/retry"
    done = {"event_id": failed[0]["id"], "success": True, "status_code": 200, "error": None}
    assert data(client.call("POST", again)) == done
    assert answer(client.call("POST", again)) == (422, "VALIDATION_FAILED")
    assert answer(client.call("POST", f"{path}/77/retry")) == (404, "WEBHOOK_EVENT_NOT_FOUND")
    today, day = datetime.now(UTC).date(), timedelta(days=1)
    span = {"fromDate": str(today - day), "toDate": str(today + day)}
    told = data(client.call("POST", f"{path}/retry-failed", span))
    assert told == {"total": 1, "succeeded": 1, "failed": 0}
    assert {event["status"] for event in listed(client, path)} == {"SENT"}
    wrong_spans: list[object] = [{}, [], {"fromDate": "20261129", "toDate": "20261129"}, span | {"all": True}]
    for wrong in wrong_spans:
        assert answer(client.call("POST", f"{path}/retry-failed", wrong)) == (400, "VALIDATION_FAILED")
    too_long = {"fromDate": str(today - 8 * day), "toDate": str(today)}
    assert answer(client.call("POST", f"{path}/retry-failed", too_long)) == (422, "VALIDATION_FAILED")
    assert sandbox.pushes[-1].status == 200


def test_events_are_listed_twenty_at_a_time_and_say_how_they_stand(
    client: Client, sandbox: Sandbox, ear: Receiver
) -> None:
    sandbox.push_retry_seconds = (3600.0,)
    ear.statuses = [500, 200]
    path = f"{PATH}/{register(client, ear.url)['id']}/events"
    client.confirmed()
    wait_until(lambda: sandbox.pushes)
    assert listed(client, path)[0]["status"] == "RETRYING"
    sandbox.faults.add("push", "late", seconds=3600.0)
    client.confirmed()
    wait_until(lambda: listed(client, path)[0]["status"] == "PENDING")
    for _ in range(20):
        client.confirmed()
    wait_until(lambda: len(sandbox.pushes) == 21)
    page = data(client.call("GET", path))
    assert page["pagination"] == {"page": 1, "limit": 20, "total": 22, "totalPages": 2}
    assert [event["status"] for event in page["events"]] == ["SENT"] * 20
    assert len(data(client.call("GET", f"{path}?page=2"))["events"]) == 2
    assert listed(client, PATH)[0]["lastSentAt"]
