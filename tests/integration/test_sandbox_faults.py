"""Each fault on demand does to a request what it says, when it says, and the sandbox outlives it."""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
import requests
from free_ports import free_port
from sandbox_client import PICTURE, Client, client, sandbox
from waiting import wait_until

from watchfolder.sandbox import Sandbox

__all__ = ["client", "sandbox"]


def test_an_answer_in_place_of_the_work(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("create", "answer", status=503, code="SERVICE_UNAVAILABLE", headers={"Retry-After": "7"})
    response = client.create()
    assert (response.status_code, response.json()) == (503, {"code": "SERVICE_UNAVAILABLE"})
    assert response.headers["Retry-After"] == "7"
    assert sandbox.orders == {}
    assert sandbox.requests[0].status == 503


def test_an_answer_that_hides_the_work_done(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("create", "answer_after", status=504)
    assert client.create().status_code == 504
    assert len(sandbox.orders) == 1


@pytest.mark.parametrize(
    ("code", "sentence"),
    [("ORDER_TIMEOUT", "처리 시간이 초과되었습니다."), ("SOMETHING_NEW", "요청을 처리할 수 없습니다.")],
)
def test_an_order_is_made_to_fail_with_a_code_and_its_sentence(
    client: Client, sandbox: Sandbox, code: str, sentence: str
) -> None:
    sandbox.faults.add("confirm", "fail", code=code)
    failed, next_one = client.confirmed(), client.confirmed()
    for version in ("v2", "v3"):
        order = client.status(failed, version)
        assert (order["status"], order["errors"]) == ("failed", {"errorCode": code, "errorMessage": sentence})
    assert client.status(next_one)["status"] == "complete"
    assert (sandbox.paid, sandbox.paid_failed) == (2, 1)


def test_an_order_is_made_to_fail_without_a_word(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("confirm", "fail")
    order = client.status(client.confirmed(), "v3")
    assert (order["status"], order["errors"]) == ("failed", None)


def test_a_fault_befalls_the_requests_it_is_meant_for(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("list", "answer", nth=2, times=2)
    statuses = [client.call("GET", "/api/v2/orders").status_code for _ in range(5)]
    assert statuses == [200, 500, 500, 200, 200]
    sandbox.faults.add("any", "answer", times=None)
    assert [client.create().status_code for _ in range(3)] == [500, 500, 500]
    sandbox.faults.clear()
    assert client.create().ok


def test_a_fault_can_be_in_store_for_one_file_alone(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("upload", "answer", times=None, path="b.jpg", status=503)
    slots = client.created("a.jpg", "b.jpg", "c.jpg")["files"]
    assert [client.put(slot["uploadUrl"]).status_code for slot in slots] == [200, 503, 200]


ROUTES: dict[str, tuple[str, str, object]] = {  # operation, path, body
    "embed": ("create", "/api/v3/orders/wtr-embed", {}),
    "extract": ("create", "/api/v3/orders/wtr-extract", {}),
    "detection": ("create", "/api/v2/orders/ai-detection", {}),
    "its confirm": ("confirm", "/api/v2/orders/ai-detection/confirm", {}),
    "report": ("report", "/api/v3/orders/1/reports", {}),
    "look at a report": ("report", "/api/v3/orders/1/reports/en-US", None),
    "usage": ("stats", "/api/v2/orders/stats/recent", None),
}


@pytest.mark.parametrize("route", ROUTES)
def test_a_fault_can_befall_each_service_alone(client: Client, sandbox: Sandbox, route: str) -> None:
    operation, path, body = ROUTES[route]
    method = "GET" if body is None else "POST"
    sandbox.faults.add(operation, "html", path=path, times=None)
    assert client.call(method, path, body).headers["Content-Type"].startswith("text/html")
    assert [record.operation for record in sandbox.requests] == [operation]
    assert client.create().ok
    sandbox.faults.clear()
    sandbox.faults.add(operation, "reset_before", path=path)
    with pytest.raises(requests.ConnectionError):
        client.call(method, path, body)


def test_a_link_to_a_map_can_go_wrong_as_a_download_does(client: Client, sandbox: Sandbox) -> None:
    url = client.status(client.detected(options={"generateHeatmap": True}), "v3")["result"]["heatmapUrl"]
    whole = client.get(url).content
    sandbox.faults.add("fetch", "truncated")
    assert client.get(url).content == whole[: len(whole) // 2]
    sandbox.faults.add("fetch", "empty")
    assert client.get(url).content == b""


@pytest.mark.parametrize(("does", "orders"), [("reset_before", 0), ("reset_after", 1)])
def test_a_connection_is_really_reset(client: Client, sandbox: Sandbox, does: str, orders: int) -> None:
    sandbox.faults.add("create", does)
    with pytest.raises(requests.ConnectionError) as caught:
        client.create()
    assert "ConnectionResetError" in repr(caught.value)
    assert len(sandbox.orders) == orders
    assert sandbox.requests[0].status == 0
    assert client.create().ok


def test_the_reset_is_one_on_the_wire(sandbox: Sandbox) -> None:
    sandbox.faults.add("any", "reset_before")
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=10) as wire:
        wire.sendall(b"GET /api/v2/orders HTTP/1.1\r\nHost: sandbox\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            wire.recv(1)


def test_a_reset_of_a_client_that_was_killed_meanwhile_is_none(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("create", "reset_after")
    with sandbox._state.lock:  # the work is held up until its client is gone
        with pytest.raises(requests.ReadTimeout):
            client.call("POST", "/api/v2/orders/anti-ai", valid_body(), timeout=0.2)
        wait_until(lambda: not sandbox._server._server.active_channels)
    wait_until(lambda: sandbox.requests[0].status == 0)
    assert client.create().ok


@pytest.mark.parametrize(("does", "orders"), [("hang", 0), ("hang_after", 1)])
def test_a_hang_ends_when_the_client_goes(client: Client, sandbox: Sandbox, does: str, orders: int) -> None:
    sandbox.faults.add("create", does)
    with pytest.raises(requests.ReadTimeout):
        client.call("POST", "/api/v2/orders/anti-ai", valid_body(), timeout=0.2)
    wait_until(lambda: sandbox.requests[0].status == 0)
    assert len(sandbox.orders) == orders


def test_a_short_hang_only_takes_time(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("create", "hang", seconds=0.3)
    began = time.monotonic()
    assert client.create().ok
    assert time.monotonic() - began >= 0.3


def test_a_drip_is_slow_but_whole(client: Client, sandbox: Sandbox) -> None:
    url = client.result_url(client.confirmed())
    whole = client.get(url).content
    sandbox.faults.add("fetch", "drip", bytes_per_second=len(whole) * 2)
    began = time.monotonic()
    assert client.get(url).content == whole
    assert time.monotonic() - began > 0.4


def test_a_gateway_answers_in_html(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("status", "html", status=200)
    response = client.call("GET", "/api/v2/orders/1")
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_json_breaks_off(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("create", "truncated")
    response = client.create()
    assert response.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(response.text)


def test_json_has_another_shape(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("create", "other_json", body="[]")
    assert client.create().json() == []


def test_a_body_has_no_end(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("list", "endless")
    response = client.call("GET", "/api/v2/orders", stream=True)
    assert "Content-Length" not in response.headers
    received = sum(len(chunk) for chunk, _ in zip(response.iter_content(1 << 20), range(640), strict=False))
    assert received > 30 << 20
    response.close()
    assert client.create().ok


def test_a_body_is_huge_and_says_so(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("list", "endless", size=1 << 30)
    response = client.call("GET", "/api/v2/orders", stream=True)
    assert response.headers["Content-Length"] == str(1 << 30)
    response.close()


def test_who_follows_a_redirect_sins(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("list", "redirect")
    response = client.call("GET", "/api/v2/orders")
    assert response.status_code == 307
    assert sandbox.sins == []
    client.get(response.headers["Location"], headers=client.headers)
    assert sandbox.sins == ["GET: a redirect was followed and the API key was sent along"]


def test_a_redirect_leads_where_it_is_told(client: Client, sandbox: Sandbox) -> None:
    sandbox.faults.add("list", "redirect", status=301, location="http://example.invalid/")
    response = client.call("GET", "/api/v2/orders")
    assert (response.status_code, response.headers["Location"]) == (301, "http://example.invalid/")


def test_downloads_go_wrong_in_every_way(client: Client, sandbox: Sandbox) -> None:
    url = client.result_url(client.confirmed())
    whole = client.get(url).content

    sandbox.faults.add("fetch", "truncated")
    assert client.get(url).content == whole[: len(whole) // 2]
    sandbox.faults.add("fetch", "empty")
    assert client.get(url).content == b""
    sandbox.faults.add("fetch", "same_bytes")
    assert client.get(url).content == PICTURE
    sandbox.faults.add("fetch", "another_picture")
    assert client.get(url).content.startswith(b"\x89PNG")
    sandbox.faults.add("fetch", "html")
    assert client.get(url).content.startswith(b"<html>")
    sandbox.faults.add("fetch", "wrong_length")
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.get(url)
    assert client.get(url).content == whole


def test_an_upload_is_lost_and_the_client_not_to_blame(client: Client, sandbox: Sandbox) -> None:
    order = client.created()
    sandbox.faults.add("upload", "lose")
    assert client.put(order["files"][0]["uploadUrl"]).ok
    assert client.confirm(order["orderId"]).json() == {"code": "ORDER_FILE_NOT_UPLOADED"}
    assert client.put(order["files"][0]["uploadUrl"]).ok
    assert client.confirm(order["orderId"]).ok
    assert sandbox.sins == []


def test_an_order_is_forgotten_from_a_request_on(client: Client, sandbox: Sandbox) -> None:
    order_id = client.created()["orderId"]
    sandbox.faults.add("link", "forget")
    for _ in range(2):
        assert client.link(order_id).status_code == 404
        assert client.link(order_id).json() == {"code": "ORDER_NOT_FOUND"}
    assert sandbox.sins == []


def test_another_process_can_order_faults_and_read_the_record(client: Client) -> None:
    fault = {"operation": "create", "does": "answer", "status": 500}
    assert client.call("POST", "/_sandbox/faults", [fault, fault | {"status": 502}]).ok
    assert [client.create().status_code for _ in range(3)] == [500, 502, 200]

    record = client.call("GET", "/_sandbox/record").json()
    assert record["requests_by_operation"] == {"create": 3}
    assert [request["status"] for request in record["requests"]] == [500, 502, 200]
    assert [order["status"] for order in record["orders"].values()] == ["pending"]
    assert (record["paid"], record["sins"]) == (0, [])

    assert client.call("POST", "/_sandbox/reset").ok
    assert client.call("GET", "/_sandbox/record").json()["orders"] == {}


def test_a_fault_that_does_not_exist_is_refused(client: Client) -> None:
    response = client.call("POST", "/_sandbox/faults", {"operation": "create", "does": "explode"})
    assert response.status_code == 400
    assert "explode" in response.json()["error"]


@pytest.fixture
def own_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_stopping_leaves_no_thread_no_file_and_no_open_port(own_temporary: Path) -> None:
    threads = set(threading.enumerate())
    with Sandbox() as sandbox:
        client = Client(sandbox)
        order = client.created()
        sandbox.faults.add("list", "hang")
        sandbox.faults.add("list", "endless")
        hanging = threading.Thread(target=call_in_vain, args=(sandbox,))
        hanging.start()
        wait_until(lambda: len(sandbox.requests) == 2)
        endless = client.call("GET", "/api/v2/orders", stream=True)
        half = half_an_upload(sandbox, order["files"][0]["uploadUrl"])
        began = time.monotonic()
    assert time.monotonic() - began < 30
    hanging.join(10)
    endless.close()
    half.close()
    client.close()
    gc.collect()  # a file that nobody closed would warn now
    assert set(threading.enumerate()) <= threads
    assert list(own_temporary.iterdir()) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", sandbox.port), timeout=1)


def test_an_upload_that_waits_for_its_turn_when_it_stops_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchfolder.sandbox.waitress_door._THREADS", 1)
    with Sandbox() as sandbox:
        client = Client(sandbox)
        url = client.created()["files"][0]["uploadUrl"]
        sandbox.faults.add("list", "hang")
        hanging = threading.Thread(target=call_in_vain, args=(sandbox,))
        hanging.start()
        wait_until(lambda: len(sandbox.requests) == 2)
        waiting = half_an_upload(sandbox, url)
        waiting.sendall(b"\0" * 2_000_000)  # the rest
        wait_until(lambda: sandbox._server._workers.queue)
    hanging.join(10)
    waiting.close()
    client.close()
    gc.collect()  # a file that nobody closed would warn now


def test_a_client_that_leaves_in_the_middle_of_an_upload_leaves_nothing(client: Client, sandbox: Sandbox) -> None:
    half_an_upload(sandbox, client.created()["files"][0]["uploadUrl"]).close()
    assert client.create().ok
    gc.collect()
    assert "upload" not in sandbox.requests_by_operation()


def test_two_sandboxes_live_side_by_side() -> None:
    with Sandbox() as one, Sandbox() as other:
        client = Client(one)
        client.created()
        client.close()
        assert (len(one.orders), len(other.orders)) == (1, 0)


def test_a_port_that_is_taken_is_an_error_that_leaves_nothing(sandbox: Sandbox, own_temporary: Path) -> None:
    threads = set(threading.enumerate())
    with pytest.raises(OSError, match="in use"), Sandbox(port=sandbox.port):
        pass
    gc.collect()
    assert set(threading.enumerate()) <= threads
    assert list(own_temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_told_to_stop_and_leaves_nothing(tmp_path: Path, number: int) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "watchfolder", "sandbox", "--port", str(port)],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()  # it says that it serves only when it knows how to end
            process.send_signal(number)
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, output.splitlines()[-1]) == (0, b"The sandbox has ended.")
    assert list(tmp_path.iterdir()) == []


def valid_body() -> dict[str, object]:
    return {"idempotencyKey": "7b3c1e52-65a7-4f0e-9d3b-0c1f0a7e8d11", "files": [{"fileName": "a.jpg"}]}


def call_in_vain(sandbox: Sandbox) -> None:
    client = Client(sandbox)
    with pytest.raises(requests.ConnectionError):
        client.call("GET", "/api/v2/orders", timeout=30)
    client.close()


def half_an_upload(sandbox: Sandbox, url: str) -> socket.socket:
    wire = socket.create_connection(("127.0.0.1", sandbox.port), timeout=10)
    path = url.removeprefix(sandbox.url)
    wire.sendall(f"PUT {path} HTTP/1.1\r\nHost: sandbox\r\nContent-Length: 4000000\r\n\r\n".encode())
    wire.sendall(b"\0" * 2_000_000)
    return wire
