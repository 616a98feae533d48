"""The stand-in service answers as contract.md says, and writes down who did not ask as it says."""

import contextlib
import io
import time
import uuid
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sandbox_client import PICTURE, Client, answer, client, data, sandbox, tester
from waiting import wait_until

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.options import Dialect

__all__ = ["client", "sandbox", "tester"]

VERSIONS = pytest.mark.parametrize("version", ["v2", "v3"])


def test_an_order_walks_the_quickstart_way_without_a_sin(client: Client, sandbox: Sandbox) -> None:
    sandbox.dialect = "v2"
    order = client.created(orderName="wf-1")
    assert order["status"] == "pending"
    assert isinstance(order["files"][0]["fileId"], int)
    assert len(order["orderId"]) == 19

    assert client.put(order["files"][0]["uploadUrl"]).status_code == 200
    assert client.confirm(order["orderId"]).ok
    assert client.status(order["orderId"])["status"] == "complete"
    link = data(client.link(order["orderId"]))

    assert link.keys() == {"downloadUrl", "expiresIn"}
    assert link["expiresIn"] == 3600
    assert client.get(link["downloadUrl"]).headers["Content-Type"] == "image/jpeg"
    assert sandbox.sins == []
    assert sandbox.requests_by_operation() == dict.fromkeys(
        ["create", "upload", "confirm", "status", "link", "fetch"], 1
    )


def test_the_v3_reads_tie_each_output_to_its_input(client: Client) -> None:
    order = client.created("a.jpg", "a.jpg")
    first, second = order["files"]
    client.put(first["uploadUrl"])
    before = client.status(order["orderId"], "v3")
    assert before["result"] is None
    assert ["uploadUrl" in file for file in before["inputFiles"]] == [False, True]

    client.put(before["inputFiles"][1]["uploadUrl"])
    client.confirm(order["orderId"])
    after = client.status(order["orderId"], "v3")
    outputs = after["result"]["outputFiles"]
    files = data(client.link(order["orderId"], "v3"))["files"]

    assert [output["inputFileId"] for output in outputs] == [str(first["fileId"]), str(second["fileId"])]
    assert [file["fileId"] for file in files] == [output["fileId"] for output in outputs]
    assert after["retentionDays"] == 7


def test_processing_takes_its_time(client: Client, sandbox: Sandbox) -> None:
    sandbox.processing_seconds = 3600
    order_id = client.confirmed()
    assert client.status(order_id)["status"] == "inProgress"
    assert answer(client.link(order_id)) == (400, "ORDER_NOT_COMPLETED")


@VERSIONS
def test_several_files_can_be_had_as_one_archive(client: Client, version: str) -> None:
    order_id = client.confirmed("a.jpg", "b.jpg", "a.jpg")
    link = data(client.link(order_id, version))
    with zipfile.ZipFile(io.BytesIO(client.get(link.get("archiveUrl") or link["url"]).content)) as archive:
        assert len(set(archive.namelist())) == 3
        assert PICTURE not in [archive.read(name) for name in archive.namelist()]


def test_the_v2_download_beside_v3_has_nothing_but_a_url(client: Client) -> None:
    link = data(client.link(client.confirmed()))
    assert link.keys() == {"url"}
    assert client.get(link["url"]).headers["Content-Type"] == "image/jpeg"


def test_every_create_answers_200_with_numbers_for_file_ids(client: Client, sandbox: Sandbox) -> None:
    made = client.create("a.jpg", "b.jpg", orderName="wf-1")
    assert made.status_code == 200
    order = data(made)
    assert order.keys() == {"orderId", "orderName", "status", "files"}
    assert [file.keys() for file in order["files"]] == [{"fileId", "fileName", "fileKey", "uploadUrl"}] * 2
    assert all(isinstance(file["fileId"], int) for file in order["files"])
    assert order["orderId"].isdigit()
    assert sandbox.sins == []


DETAILS = {
    *("type", "orderId", "orderName", "channel", "status", "createdAt", "updatedAt", "expiresAt", "retentionDays"),
    *("thumbnailImageUrl", "processingDelayed", "errors", "inputFiles", "result"),
}


@pytest.mark.parametrize("name", ["a.jpg", "a_fail.jpg"])
def test_the_v3_read_has_a_closed_set_of_keys_at_every_stage(client: Client, name: str) -> None:
    order = client.created(name)
    before = client.status(order["orderId"], "v3")
    client.put(order["files"][0]["uploadUrl"])
    client.confirm(order["orderId"])
    after = client.status(order["orderId"], "v3")
    assert before.keys() == after.keys() == DETAILS
    assert (after["type"], after["channel"], after["thumbnailImageUrl"]) == ("antiAi", "api", None)
    assert (after["retentionDays"], after["processingDelayed"]) == (7, False)
    assert before["inputFiles"][0].keys() == {"fileId", "fileName", "uploadUrl"}
    assert after["inputFiles"][0].keys() == {"fileId", "fileName"}


def test_the_file_ids_of_v3_are_digits_and_outputs_have_their_own(client: Client) -> None:
    order_id = client.confirmed("a.jpg", "b.jpg")
    order, link = client.status(order_id, "v3"), data(client.link(order_id, "v3"))
    inputs = [file["fileId"] for file in order["inputFiles"]]
    outputs = [file["fileId"] for file in order["result"]["outputFiles"]]
    assert all(isinstance(id_, str) and id_.isdigit() for id_ in inputs + outputs)
    assert len({*inputs, *outputs}) == 4
    assert [file.keys() for file in order["result"]["outputFiles"]] == [{"fileId", "fileName", "inputFileId"}] * 2
    assert link.keys() == {"archiveUrl", "files", "expiresInSeconds"}
    assert [file.keys() for file in link["files"]] == [{"fileId", "downloadUrl"}] * 2


@pytest.mark.parametrize("order_id", ["abc", "1" * 21, "1-1", "-1", "١"])
def test_v3_refuses_what_is_no_order_id(client: Client, sandbox: Sandbox, order_id: str) -> None:
    assert answer(client.call("GET", f"/api/v3/orders/{order_id}")) == (400, "VALIDATION_FAILED")
    assert answer(client.link(order_id, "v3")) == (400, "VALIDATION_FAILED")
    assert len(sandbox.sins) == 2


def test_an_order_that_never_was_is_no_resource_to_confirm(client: Client) -> None:
    assert answer(client.confirm("1")) == (404, "RESOURCE_NOT_FOUND")
    assert answer(client.call("POST", "/api/v2/orders/1/refresh-urls")) == (404, "ORDER_NOT_FOUND")


def test_v3_has_no_link_while_the_retention_is_unknown(client: Client, sandbox: Sandbox) -> None:
    sandbox.retention_days = None
    order_id = client.confirmed()
    order = client.status(order_id, "v3")
    assert (order["status"], order["expiresAt"], order["retentionDays"]) == ("complete", None, None)
    assert answer(client.link(order_id, "v3")) == (409, "FILE_RETENTION_UNKNOWN")
    assert data(client.link(order_id, "v2"))["url"]


def test_the_same_key_gives_back_the_same_order(client: Client, sandbox: Sandbox) -> None:
    key = str(uuid.uuid4())
    first, second = (client.created(idempotencyKey=key) for _ in range(2))
    assert first["orderId"] == second["orderId"]
    assert len(sandbox.orders) == 1
    assert sandbox.sins == []


def test_the_same_key_for_another_body_is_refused_and_a_sin(client: Client, sandbox: Sandbox) -> None:
    key = str(uuid.uuid4())
    client.created(idempotencyKey=key)
    assert client.create("other.jpg", idempotencyKey=key).status_code == 409
    assert "idempotency key of another body" in sandbox.sins[0]


def test_a_confirm_under_the_orders_own_key_is_a_sin(client: Client, sandbox: Sandbox) -> None:
    key = str(uuid.uuid4())
    order = client.uploaded(idempotencyKey=key)
    assert client.confirm(order["orderId"], key).status_code == 409
    assert len(sandbox.sins) == 1
    assert sandbox.paid == 0


def test_a_confirm_repeated_under_its_key_is_paid_once(client: Client, sandbox: Sandbox) -> None:
    order, key = client.uploaded(), str(uuid.uuid4())
    assert client.confirm(order["orderId"], key).ok
    assert client.confirm(order["orderId"], key).ok
    assert sandbox.paid == 1
    assert list(sandbox.paid_files.values()) == [1]
    assert sandbox.sins == []


def test_a_confirm_under_a_second_key_is_refused_and_a_sin(client: Client, sandbox: Sandbox) -> None:
    sandbox.processing_seconds = 3600
    order_id = client.confirmed()
    assert answer(client.confirm(order_id)) == (400, "ORDER_ALREADY_CONFIRMED")
    assert len(sandbox.sins) == 1
    assert sandbox.paid == 1


def test_a_confirm_before_every_upload_is_refused_and_a_sin(client: Client, sandbox: Sandbox) -> None:
    order = client.created("a.jpg", "b.jpg")
    client.put(order["files"][0]["uploadUrl"])
    assert answer(client.confirm(order["orderId"])) == (400, "ORDER_FILE_NOT_UPLOADED")
    assert "before all files were uploaded" in sandbox.sins[0]


def test_an_order_that_expired_before_its_confirm_costs_nothing(client: Client, sandbox: Sandbox) -> None:
    order_id = str(client.uploaded()["orderId"])
    sandbox._state.orders[order_id].retention_days = 0.0
    assert answer(client.confirm(order_id)) == (400, "ORDER_EXPIRED")
    assert (sandbox.paid, sandbox.sins) == (0, [])


def test_the_same_bytes_paid_twice_are_counted_twice(client: Client, sandbox: Sandbox) -> None:
    client.confirmed()
    client.confirmed()
    assert list(sandbox.paid_files.values()) == [2]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"idempotencyKey": "1"}, "VALIDATION_IDEMPOTENCY_KEY_INVALID"),
        ({"idempotencyKey": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}, "VALIDATION_IDEMPOTENCY_KEY_INVALID"),
        ({"options": {"strength": "maximal"}}, "VALIDATION_FAILED"),
        ({"options": {"force": 1}}, "VALIDATION_FAILED"),
        ({"orderName": "x" * 65}, "VALIDATION_FAILED"),
        ({"surprise": 1}, "VALIDATION_FAILED"),
        ({"files": []}, "VALIDATION_FAILED"),
        ({"files": [{"fileName": "a.jpg"}] * 101}, "VALIDATION_FAILED"),
        ({"files": ["a.jpg"]}, "VALIDATION_FAILED"),
        ({"files": [{"fileName": "a.gif"}]}, "VALIDATION_FAILED"),
        ({"files": [{"fileName": "jpg"}]}, "VALIDATION_FAILED"),
        ({"files": [{"fileName": ".jpg"}]}, "VALIDATION_FAILED"),
        ({"files": [{"fileName": "a/b.jpg"}]}, "VALIDATION_FAILED"),
        ({"files": [{"fileName": "a\\b.jpg"}]}, "VALIDATION_FAILED"),
        ({"files": [{"fileName": "a\nb.jpg"}]}, "VALIDATION_FAILED"),
        ({"files": [{"fileName": "größe.jpg"}]}, "VALIDATION_FAILED"),
        ({"files": [{"fileName": "-rf.jpg"}]}, "VALIDATION_FAILED"),
        ({"files": [{"fileName": "con.jpg"}]}, "VALIDATION_FAILED"),
        ({"files": [{"fileName": "a:b.jpg"}]}, "VALIDATION_FAILED"),
        ({"files": [{"fileName": " a.jpg"}]}, "VALIDATION_FAILED"),
        ({"files": [{"fileName": "a.jpg", "originalFileUrl": "http://a/b.jpg"}]}, "INVALID_PARAMETER"),
    ],
)
def test_a_create_that_breaks_the_contract_is_refused_and_a_sin(
    client: Client, sandbox: Sandbox, changes: dict[str, object], code: str
) -> None:
    assert answer(client.create(**changes)) == (400, code)
    assert len(sandbox.sins) == 1
    assert sandbox.orders == {}


def test_no_json_is_a_sin(client: Client, sandbox: Sandbox) -> None:
    assert answer(client.call("POST", "/api/v2/orders/anti-ai", data=b"{")) == (400, "VALIDATION_FAILED")
    assert len(sandbox.sins) == 2


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "AUTH_NOT_AUTHENTICATED"),
        ({"Authorization": "Basic sk_1"}, "AUTH_TOKEN_INVALID_FORMAT"),
        ({"Authorization": "Bearer pk_1"}, "AUTH_TOKEN_INVALID_FORMAT"),
        ({"Authorization": "Bearer sk_1"}, "AUTH_TOKEN_INVALID"),
    ],
)
def test_keys_that_are_not_let_in(client: Client, sandbox: Sandbox, headers: dict[str, str], code: str) -> None:
    sandbox.keys = {"sk_good"}
    assert sandbox.key == "sk_good"
    assert answer(client.call("GET", "/api/v2/orders", headers=headers)) == (401, code)


@pytest.mark.parametrize("key", ["sk_another", "sk_test_sandbox_0123456789abcdef"])
def test_anothers_order_is_unknown_to_v3_and_only_v2_says_whose_it_is(
    client: Client, sandbox: Sandbox, key: str
) -> None:
    sandbox.keys = {sandbox.key: "ours", sandbox.test_key: "ours", "sk_another": "theirs"}
    order = f"orders/{client.confirmed()}"
    with contextlib.closing(Client(sandbox, key)) as other:
        for path in (order, f"{order}/download"):
            assert answer(other.call("GET", f"/api/v3/{path}")) == (404, "ORDER_NOT_FOUND")
            assert answer(other.call("GET", f"/api/v2/{path}")) == (403, "ORDER_NOT_OWNER")
        assert answer(other.call("POST", f"/api/v2/{order}/refresh-urls")) == (403, "ORDER_NOT_OWNER")
        assert data(other.call("GET", "/api/v2/orders"))["orders"] == []


@VERSIONS
def test_a_second_key_of_the_account_sees_its_orders(client: Client, sandbox: Sandbox, version: str) -> None:
    sandbox.keys = {sandbox.key: "ours", "sk_second": "ours"}
    order_id = client.confirmed()
    with contextlib.closing(Client(sandbox, "sk_second")) as second:
        assert second.status(order_id, version)["status"] == "complete"


def test_a_test_keys_order_is_shown_to_no_other_key(tester: Client, sandbox: Sandbox) -> None:
    sandbox.keys = dict.fromkeys([sandbox.key, sandbox.test_key, "sk_test_second"], "ours")
    order_id = tester.confirmed()
    for key in (sandbox.key, "sk_test_second"):
        with contextlib.closing(Client(sandbox, key)) as other:
            assert answer(other.call("GET", f"/api/v3/orders/{order_id}")) == (404, "ORDER_NOT_FOUND")
            assert answer(other.call("GET", f"/api/v2/orders/{order_id}")) == (403, "ORDER_NOT_OWNER")


def test_more_requests_than_the_plan_allows_in_any_minute_are_refused(client: Client, sandbox: Sandbox) -> None:
    sandbox.requests_per_minute = 3
    began = time.monotonic()
    answers = [client.call("GET", "/api/v2/orders") for _ in range(4)]
    assert [response.status_code for response in answers] == [200, 200, 200, 429]
    assert answer(answers[3]) == (429, "RATE_LIMIT_EXCEEDED")

    sandbox.minute_seconds = 0.5
    wait_until(lambda: client.call("GET", "/api/v2/orders").ok)
    assert time.monotonic() - began >= 0.5


def test_credits_are_taken_at_confirm_and_never_more_than_there_are(client: Client, sandbox: Sandbox) -> None:
    sandbox.credits_left = 2
    first, second = client.uploaded("a.jpg", "b.jpg"), client.uploaded()
    assert client.confirm(first["orderId"]).ok
    assert answer(client.confirm(second["orderId"])) == (400, "USAGE_NOT_ENOUGH")
    assert answer(client.create()) == (400, "USAGE_NOT_ENOUGH")
    assert client.status(second["orderId"])["status"] == "pending"

    sandbox.credits_left = 1
    assert client.confirm(second["orderId"]).ok
    assert sandbox.paid == 3


def test_a_file_named_fail_fails_its_order_and_is_counted_apart(client: Client, sandbox: Sandbox) -> None:
    client.confirmed()
    order_id = client.confirmed("a.jpg", "b_fail.jpg")
    status = client.status(order_id)
    assert (status["status"], status["errors"]["errorCode"]) == ("failed", "PROCESSING_ERROR")
    assert answer(client.link(order_id)) == answer(client.link(order_id, "v3")) == (400, "ORDER_NOT_COMPLETED")
    assert (sandbox.paid, sandbox.paid_failed) == (3, 2)


@pytest.mark.parametrize(("dialect", "v2", "v3"), [("both", 200, 200), ("v2", 200, 404), ("v3", 410, 200)])
def test_a_service_may_know_only_one_dialect(
    client: Client, sandbox: Sandbox, dialect: Dialect, v2: int, v3: int
) -> None:
    sandbox.dialect = dialect
    order_id = client.confirmed()
    answers = {version: client.call("GET", f"/api/{version}/orders/{order_id}") for version in ("v2", "v3")}
    assert {version: response.status_code for version, response in answers.items()} == {"v2": v2, "v3": v3}
    assert {client.link(order_id, "v2").status_code, client.link(order_id, "v3").status_code} == {v2, v3}
    assert sandbox.sins == []
    if v3 == 404:
        assert not answers["v3"].headers["Content-Type"].startswith("application/json")
    if v2 == 410:
        assert f"/api/v3/orders/{order_id}>" in answers["v2"].headers["Link"]


def test_the_list_is_searched_newest_first_page_by_page(client: Client) -> None:
    ids = [client.created(orderName=f"wf-{number}")["orderId"] for number in range(3)]
    done = client.confirmed(orderName="other")

    page = data(client.call("GET", "/api/v2/orders?keyword=WF-&limit=2&page=1"))
    assert [order["orderId"] for order in page["orders"]] == [ids[2], ids[1]]
    assert page["pageInfo"] == {"totalItems": 3, "totalPages": 2, "currentPage": 1, "itemsPerPage": 2}
    assert [
        order["orderId"] for order in data(client.call("GET", "/api/v2/orders?keyword=wf-&limit=2&page=2"))["orders"]
    ] == [ids[0]]
    assert [order["orderId"] for order in data(client.call("GET", "/api/v2/orders?status=complete"))["orders"]] == [
        done
    ]


def test_the_list_is_chosen_from_by_status_type_and_channel(client: Client) -> None:
    order_id = client.confirmed("a.jpg", "b.jpg")
    for query in ("", "status=all&type=all&channel=all", "status=complete&type=antiAi&channel=api"):
        (listed,) = data(client.call("GET", f"/api/v2/orders?{query}"))["orders"]
        assert listed["orderId"] == order_id
        assert (listed["type"], listed["channel"], listed["fileCount"]) == ("antiAi", "api", 2)
        assert listed["thumbnailImageUrl"] is None
    for query in ("status=failed", "type=aiDetection", "channel=web"):
        assert data(client.call("GET", f"/api/v2/orders?{query}"))["orders"] == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "page=0", "page=x", "status=done", "type=other", "channel=fax", "q=1"]
)
def test_a_list_asked_for_wrongly_is_refused_and_a_sin(client: Client, sandbox: Sandbox, query: str) -> None:
    assert answer(client.call("GET", f"/api/v2/orders?{query}")) == (400, "INVALID_PARAMETER")
    assert len(sandbox.sins) == 1


def test_upload_links_are_renewed_only_while_the_order_is_pending(client: Client) -> None:
    order = client.created()
    path = f"/api/v2/orders/{order['orderId']}/refresh-urls"
    fresh = data(client.call("POST", path))["files"][0]
    assert fresh["uploadUrl"] != order["files"][0]["uploadUrl"]
    assert client.put(fresh["uploadUrl"]).ok
    client.confirm(order["orderId"])
    assert answer(client.call("POST", path)) == (400, "ORDER_NOT_PENDING")


def test_looking_twice_within_a_second_is_a_sin(client: Client, sandbox: Sandbox) -> None:
    sandbox.look_seconds = 1.0
    order_id = client.confirmed()
    client.status(order_id, "v2")
    assert sandbox.sins == []
    client.status(order_id, "v3")
    assert "looked at twice" in sandbox.sins[0]


def test_an_order_past_its_retention_is_expired(client: Client, sandbox: Sandbox) -> None:
    sandbox.retention_days = 0.5 / 86400
    order_id = client.confirmed()
    expires = datetime.fromisoformat(client.status(order_id)["expiresAt"])
    while datetime.now(UTC) <= expires:
        time.sleep(0.05)
    assert client.status(order_id)["status"] == "expired"
    assert answer(client.link(order_id)) == (400, "ORDER_EXPIRED")


def test_links_live_no_longer_than_their_order(client: Client, sandbox: Sandbox) -> None:
    sandbox.retention_days = 600 / 86400
    seconds = data(client.link(client.confirmed(), "v3"))["expiresInSeconds"]
    assert isinstance(seconds, int)
    assert seconds <= 600


def test_an_order_can_be_lost(client: Client, sandbox: Sandbox) -> None:
    key = str(uuid.uuid4())
    order_id = client.created(idempotencyKey=key)["orderId"]
    sandbox.forget(order_id)
    assert answer(client.link(order_id)) == (404, "ORDER_NOT_FOUND")
    assert client.created(idempotencyKey=key)["orderId"] != order_id


def test_an_unknown_path_is_a_sin_and_no_json(client: Client, sandbox: Sandbox) -> None:
    response = client.call("DELETE", "/api/v2/orders/1")
    assert response.status_code == 405
    assert not response.headers["Content-Type"].startswith("application/json")
    assert len(sandbox.sins) == 1


def test_a_test_keys_order_has_no_files_but_a_zip_that_is_a_sample(tester: Client, sandbox: Sandbox) -> None:
    order_id = tester.confirmed("a.jpg")
    assert tester.status(order_id, "v3")["result"] == {"outputFiles": []}
    link = data(tester.link(order_id, "v3"))
    assert link["files"] == []
    assert link["archiveUrl"].startswith(f"{sandbox.url}/api/v2/test-samples/")
    answered = tester.get(link["archiveUrl"])
    assert answered.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answered.content)) as archive:
        assert archive.namelist() == ["sample.jpg"]


def test_a_test_key_walks_the_whole_way_only_with_v3_and_gets_a_sample(tester: Client, sandbox: Sandbox) -> None:
    sandbox.test_samples = True
    order = tester.created("a.jpg")
    url = order["files"][0]["uploadUrl"]
    assert url.startswith(f"{sandbox.url}/api/v2/test-uploads/")
    assert tester.put(url).ok
    assert tester.confirm(order["orderId"]).ok
    assert answer(tester.link(order["orderId"], "v2")) == (404, "PROCESSED_FILE_NOT_FOUND")

    result = tester.get(tester.result_url(order["orderId"]))
    assert result.headers["Content-Type"] == "image/jpeg"
    assert result.content != PICTURE
    assert (sandbox.paid, sandbox.sins) == (0, [])
    assert sandbox.orders[order["orderId"]].is_test


def test_a_test_keys_order_fails_by_the_files_name(tester: Client) -> None:
    assert tester.status(tester.confirmed("a_fail.jpg"))["status"] == "failed"


def test_a_test_key_gets_its_old_order_for_another_body(tester: Client, sandbox: Sandbox) -> None:
    key = str(uuid.uuid4())
    first = tester.created("a.jpg", idempotencyKey=key)
    assert tester.created("b.jpg", idempotencyKey=key)["orderId"] == first["orderId"]
    assert "idempotency key of another body" in sandbox.sins[0]


def test_an_authorization_header_on_a_test_upload_is_a_sin(tester: Client, sandbox: Sandbox) -> None:
    url = tester.created()["files"][0]["uploadUrl"]
    assert tester.put(url, headers=tester.headers).status_code == 400
    assert len(sandbox.sins) == 1


def test_a_test_key_s_upload_link_ends_as_every_other(tester: Client, sandbox: Sandbox) -> None:
    order = tester.created()
    for end in (sandbox.end_links, lambda: setattr(sandbox, "link_seconds", 0.0)):
        (file,) = data(tester.call("POST", f"/api/v2/orders/{order['orderId']}/refresh-urls"))["files"]
        end()
        assert tester.put(file["uploadUrl"]).status_code == 403
    sandbox.link_seconds = 3600.0
    (file,) = data(tester.call("POST", f"/api/v2/orders/{order['orderId']}/refresh-urls"))["files"]
    assert tester.put(file["uploadUrl"]).ok
    assert sandbox.sins == []


def test_a_test_upload_has_its_limit(tester: Client) -> None:
    url = tester.created()["files"][0]["uploadUrl"]
    assert answer(tester.put(url, body=PICTURE.ljust((50 << 20) + 1, b"\0"))) == (413, "TEST_UPLOAD_TOO_LARGE")


def test_the_usage_of_seven_days_is_told(client: Client, sandbox: Sandbox) -> None:
    client.confirmed("a.jpg", "b.jpg")
    client.detected()
    today = datetime.now(UTC).date()
    usage = data(client.call("GET", f"/api/v2/orders/stats/recent?date={today}"))
    assert usage.keys() == {"dailyStats", "domain", "ticks"}
    assert len(usage["dailyStats"]) == 7
    assert usage["dailyStats"][-1] == {"usageDate": f"{today:%m.%d}", "usageCount": 3}
    assert usage["domain"] == [0, 3]
    with contextlib.closing(Client(sandbox, "sk_another")) as other:
        theirs = data(other.call("GET", f"/api/v2/orders/stats/recent?date={today}"))["dailyStats"]
        assert sum(day["usageCount"] for day in theirs) == 0
    assert sandbox.sins == []
    assert answer(client.call("GET", "/api/v2/orders/stats/recent?date=today")) == (400, "VALIDATION_FAILED")
    assert len(sandbox.sins) == 1


def embedded(client: Client) -> str:
    return client.sent(data(client.embed()), (PICTURE, "image/jpeg"))


DOWNLOADS: dict[str, tuple[Callable[[Client], str], dict[str, object], tuple[int, str]]] = {
    "of an order that is not there": (lambda _: "1", {}, (404, "ORDER_NOT_FOUND")),
    "of a judged picture, also when it is expired": (
        lambda client: client.detected(),
        {"retention_days": 0.0},
        (400, "ORDER_TYPE_CANT_DOWNLOAD"),
    ),
    "of a pair that is not there yet": (
        lambda client: str(data(client.extract())["orderId"]),
        {},
        (400, "ORDER_TYPE_CANT_DOWNLOAD"),
    ),
    "of an expired order": (embedded, {"retention_days": 0.0}, (400, "ORDER_EXPIRED")),
    "while the retention is unknown, pending or not": (
        lambda client: str(data(client.embed())["orderId"]),
        {"retention_days": None},
        (409, "FILE_RETENTION_UNKNOWN"),
    ),
    "of a pending order": (lambda client: str(data(client.embed())["orderId"]), {}, (400, "ORDER_NOT_COMPLETED")),
    "of an order in progress": (embedded, {"processing_seconds": 3600.0}, (400, "ORDER_NOT_COMPLETED")),
    "of a failed order": (lambda client: client.confirmed("a_fail.jpg"), {}, (400, "ORDER_NOT_COMPLETED")),
}


@pytest.mark.parametrize("what", DOWNLOADS)
def test_a_download_is_refused_for_the_first_reason_that_holds(client: Client, sandbox: Sandbox, what: str) -> None:
    make, options, refusal = DOWNLOADS[what]
    expired = options.get("retention_days") == 0.0
    if not expired:
        vars(sandbox).update(options)
    order_id = make(client)
    if expired:
        sandbox._state.orders[order_id].retention_days = 0.0
    assert answer(client.link(order_id, "v3")) == refusal
