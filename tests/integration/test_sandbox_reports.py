"""Reports as services.md, section e, tells them: asked for by POST, looked at by GET, fetched by a link of 300 s."""

import contextlib
import uuid
from typing import Any

import pytest
import requests
from sandbox_client import PICTURE, Client, answer, client, data, sandbox, tester

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample_pdf

__all__ = ["client", "sandbox", "tester"]

JPEG, PDF = (PICTURE, "image/jpeg"), (sample_pdf("a brochure"), "application/pdf")


def ask(client: Client, order_id: str, locale: str | None = "en-US") -> requests.Response:
    body = {"locale": locale} if locale else {}
    return client.call("POST", f"/api/v3/orders/{order_id}/reports", body)


def look(client: Client, order_id: str, locale: str = "en-US") -> requests.Response:
    return client.call("GET", f"/api/v3/orders/{order_id}/reports/{locale}")


def found(client: Client, original: tuple[bytes, str] = JPEG, kind: str = "jpg") -> str:
    """Return an extract order that has found a mark."""
    embed = data(client.embed(f"a.{kind}", texts=(str(uuid.uuid4()),)))
    copy = client.get(client.result_url(client.sent(embed, original))).content
    order = data(client.extract(f"found.{kind}", f"a.{kind}"))
    return client.sent(order, original, (copy, original[1]))


def test_a_report_is_queued_processed_and_completed(client: Client, sandbox: Sandbox) -> None:
    order_id = found(client)
    sandbox.report_seconds = 3600
    response = ask(client, order_id)
    assert (response.status_code, data(response)) == (
        202,
        {
            "orderId": order_id,
            "reportType": "watermarkDetection",
            "locale": "en-US",
            "status": "queued",
            "download": None,
            "failure": None,
        },
    )
    assert data(look(client, order_id))["status"] == "processing"
    assert (ask(client, order_id).status_code, data(ask(client, order_id))["status"]) == (202, "processing")
    assert client.status(order_id, "v3")["result"]["reports"] == [{"locale": "en-US", "status": "processing"}]
    assert sandbox.requests_by_operation()["report"] == 4
    assert sandbox.credits["watermarkReport"] == 1
    assert sandbox.sins == []


def test_a_completed_report_is_a_pdf_behind_a_new_link_each_time(client: Client, sandbox: Sandbox) -> None:
    sandbox.report_seconds = 0
    order_id = found(client)
    response = ask(client, order_id)
    assert (response.status_code, data(response)["status"]) == (200, "completed")
    first, second = (data(look(client, order_id))["download"] for _ in range(2))
    assert first["expiresInSeconds"] == 300
    assert first["url"] != second["url"]
    fetched = client.get(first["url"])
    assert (fetched.headers["Content-Type"], fetched.content[:5]) == ("application/pdf", b"%PDF-")
    assert first["url"] in sandbox.links
    sandbox.end_links()
    assert client.get(first["url"]).status_code == 403
    assert client.get(data(look(client, order_id))["download"]["url"]).ok
    assert sandbox.credits["watermarkReport"] == 1


def test_each_language_is_a_report_of_its_own_and_korean_the_default(client: Client, sandbox: Sandbox) -> None:
    sandbox.report_seconds = 0
    order_id = found(client)
    assert data(ask(client, order_id, locale=None))["locale"] == "ko-KR"
    assert answer(look(client, order_id)) == (404, "REPORT_NOT_FOUND")
    assert ask(client, order_id, "ja-JP").ok
    assert sandbox.credits["watermarkReport"] == 2


def test_a_report_on_ai_detection_costs_nothing(client: Client, sandbox: Sandbox) -> None:
    sandbox.report_seconds = 0
    order_id = client.detected()
    report = data(ask(client, order_id))
    assert (report["reportType"], report["status"]) == ("aiDetection", "completed")
    assert client.get(report["download"]["url"]).ok
    assert sandbox.credits == {"aiDetection": 1}
    assert sandbox.sins == []


def test_a_report_that_fails_may_be_tried_three_times_in_all(client: Client, sandbox: Sandbox) -> None:
    sandbox.report_seconds = 0
    order_id = found(client)
    for is_retryable in (True, True, False):
        sandbox.faults.add("report", "fail")
        response = ask(client, order_id)
        told = data(response)
        assert (response.status_code, told["status"], told["download"]) == (200, "failed", None)
        assert told["failure"] == {"code": "REPORT_GENERATION_FAILED", "retryable": is_retryable}
    assert data(ask(client, order_id))["status"] == data(look(client, order_id))["status"] == "failed"
    assert "watermarkReport" not in sandbox.credits


def test_after_a_failure_another_try_can_succeed(client: Client, sandbox: Sandbox) -> None:
    sandbox.report_seconds = 0
    order_id = found(client)
    sandbox.faults.add("report", "fail", code="REPORT_NOT_AVAILABLE")
    assert data(ask(client, order_id))["failure"]["code"] == "REPORT_NOT_AVAILABLE"
    assert data(ask(client, order_id))["status"] == "completed"
    assert sandbox.credits["watermarkReport"] == 1


def test_a_report_on_a_pdf_is_in_korean_alone(client: Client, sandbox: Sandbox) -> None:
    order_id = found(client, PDF, "pdf")
    assert answer(ask(client, order_id, "en-US")) == (400, "REPORT_LOCALE_UNSUPPORTED")
    assert len(sandbox.sins) == 1
    assert ask(client, order_id, "ko-KR").status_code == 202


def without_find(client: Client) -> str:
    return client.sent(data(client.extract()), JPEG, JPEG)


def test_what_has_no_report_is_told_so(client: Client, sandbox: Sandbox) -> None:
    pending = str(data(client.extract())["orderId"])
    for order_id in (without_find(client), pending):
        assert answer(ask(client, order_id)) == (409, "REPORT_NOT_AVAILABLE")
        assert answer(look(client, order_id)) == (404, "REPORT_NOT_FOUND")
    assert sandbox.sins == []
    for order_id in (client.confirmed(), client.sent(data(client.embed()), JPEG)):
        assert answer(ask(client, order_id)) == (409, "REPORT_NOT_AVAILABLE")
    assert len(sandbox.sins) == 2


def test_nobody_elses_order_and_no_expired_one_has_a_report(client: Client, sandbox: Sandbox) -> None:
    order_id = found(client)
    with contextlib.closing(Client(sandbox, "sk_another")) as other:
        assert answer(ask(other, order_id)) == answer(look(other, order_id)) == (404, "ORDER_NOT_FOUND")
    sandbox.retention_days = 0
    expired = client.created()["orderId"]
    assert answer(ask(client, expired)) == answer(look(client, expired)) == (400, "ORDER_EXPIRED")
    assert sandbox.sins == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"locale": "de-DE"}, "REPORT_LOCALE_UNSUPPORTED"),
        ({"locale": "en"}, "REPORT_LOCALE_UNSUPPORTED"),
        ({"locale": 1}, "VALIDATION_FAILED"),
        ({"locale": "en-US", "idempotencyKey": "1"}, "VALIDATION_FAILED"),
        ([], "VALIDATION_FAILED"),
    ],
)
def test_a_report_asked_for_wrongly_is_refused_and_a_sin(
    client: Client, sandbox: Sandbox, body: object, code: str
) -> None:
    path = f"/api/v3/orders/{client.detected()}/reports"
    assert answer(client.call("POST", path, body)) == (400, code)
    assert len(sandbox.sins) == 1


def test_looking_at_a_report_twice_within_a_second_is_a_sin(client: Client, sandbox: Sandbox) -> None:
    order_id = client.detected()
    ask(client, order_id)
    sandbox.look_seconds = 10.0
    look(client, order_id)
    client.status(order_id, "v3")
    assert sandbox.sins == []
    look(client, order_id)
    assert "looked at twice" in sandbox.sins[0]


def test_a_service_that_knows_only_v2_has_no_reports(client: Client, sandbox: Sandbox) -> None:
    sandbox.dialect = "v2"
    assert ask(client, client.detected()).headers["Content-Type"].startswith("text/html")


def test_too_few_credits_for_a_report_are_a_limit_of_the_plan(client: Client, sandbox: Sandbox) -> None:
    order_id = found(client)
    sandbox.credits_left = 0
    assert answer(ask(client, order_id)) == (429, "PLAN_LIMIT_EXCEEDED")


def test_a_test_keys_report_is_a_sample_at_once(tester: Client, sandbox: Sandbox) -> None:
    sandbox.report_seconds = 3600
    order_id = tester.sent(data(tester.extract("a_detected.jpg")), JPEG, JPEG)
    report = data(ask(tester, order_id))
    assert report["status"] == "completed"
    assert tester.get(report["download"]["url"]).content.startswith(b"%PDF-")
    assert tester.status(order_id, "v3")["result"]["reports"] == []
    assert (sandbox.paid, sandbox.sins) == (0, [])


@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (without_find, 409, "REPORT_NOT_AVAILABLE"),
        (lambda tester: str(data(tester.extract())["orderId"]), 400, "ORDER_NOT_COMPLETED"),
        (lambda tester: tester.confirmed(), 400, "ORDER_TYPE_NOT_MATCH"),
    ],
)
def test_a_test_key_hears_other_codes(tester: Client, make: Any, status: int, code: str) -> None:  # noqa: ANN401 - a way to make an order
    assert answer(ask(tester, make(tester))) == (status, code)
