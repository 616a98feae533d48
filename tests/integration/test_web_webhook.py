"""The address that the service pushes to: what it takes, what it refuses, and that it opens no other door."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from free_ports import free_port
from prometheus_client.parser import text_string_to_metric_families

from watchfolder import config
from watchfolder.config import WEBHOOK_PATH, Config
from watchfolder.pushes import Pushes, PushResult, signature
from watchfolder.snapshot import Counts, InboxSnapshot, Snapshot
from watchfolder.web import Page

SECRET = "whsec_of_these_tests"  # noqa: S105 - of these tests
ORDER = "1900000000000000001"
PASSWORD = "correct horse battery"  # noqa: S105 - of these tests


@dataclass
class Office:
    root: Path
    port: int
    pushes: Pushes
    page: Page

    def config(self, *, secret: str | None = SECRET, password: bool = True, webhook: bool = True) -> Config:
        for name in ("inbox", "outbox", "quarantine", "state"):
            (self.root / name).mkdir(exist_ok=True)
        tree = {
            "state_dir": str(self.root / "state"),
            "inboxes": {"photos": {name: str(self.root / name) for name in ("outbox", "quarantine")}},
            "http": {"listen": f"127.0.0.1:{self.port}"},
        }
        tree["inboxes"]["photos"]["path"] = str(self.root / "inbox")  # type: ignore[index]
        secret_file, password_file = self.root / "secret", self.root / "password"
        _write_secret(password_file, PASSWORD)
        secret_file.unlink(missing_ok=True)
        if secret is not None:
            _write_secret(secret_file, secret)
        if password:
            tree["http"]["password_file"] = str(password_file)  # type: ignore[index]
        if webhook:
            tree["webhook"] = {"public_url": "https://photos.example.com", "secret_file": str(secret_file)}
        file = self.root / "config.yaml"
        file.write_text(yaml.safe_dump(tree), encoding="utf-8")
        return config.load(str(file), {"BIZMORI_API_KEY": "sk_webhook_0123456789"})

    def push(self, body: bytes, signed: str | None = None, *, path: str = WEBHOOK_PATH, method: str = "POST") -> int:
        """Come as the service does through a proxy: a foreign Host, an Origin, no password."""
        headers = {"Host": "photos.example.com", "Origin": "https://elsewhere.example"}
        headers["X-MoriBiz-Signature"] = signature(SECRET, body) if signed is None else signed
        return self.ask(method, path, body, headers)

    def ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> int:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body, headers)
            return connection.getresponse().status


def _write_secret(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(f"{text}\n", encoding="ascii")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    pushes = Pushes()
    office = Office(tmp_path, free_port(), pushes, Page(config.HttpSection(), pushes))
    with contextlib.closing(office.page):
        office.page.follow(office.config())
        yield office


def delivery(event_id: str = "e-1", **changes: object) -> bytes:
    event = {"eventId": event_id, "eventType": "order.antiAi.completed", "data": {"orderId": ORDER}}
    return json.dumps({**event, "occurredAt": datetime.now(UTC).isoformat(), **changes}).encode()


def test_a_signed_push_needs_no_password_of_the_page(office: Office) -> None:
    assert office.push(delivery()) == 204
    assert office.pushes.take() == [ORDER]


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (delivery(eventType="order.somethingElse.completed"), PushResult.OTHER_TYPE),
        (b"no JSON", PushResult.UNREADABLE),
        (b"", PushResult.UNREADABLE),
    ],
    ids=["other type", "no JSON", "nothing"],
)
def test_a_signed_push_without_news_is_taken_too(office: Office, body: bytes, result: PushResult) -> None:
    assert office.push(body) == 204
    assert office.pushes.counts()[result] == 1
    assert office.pushes.take() == []


def test_the_same_event_twice_is_taken_twice_and_nudges_once(office: Office) -> None:
    assert [office.push(delivery()), office.push(delivery())] == [204, 204]
    assert office.pushes.take() == [ORDER]
    assert office.pushes.counts()["duplicate"] == 1


@pytest.mark.parametrize("signed", ["", "0" * 64, signature("whsec_of_another", b"")])
def test_what_it_did_not_sign_is_refused(office: Office, signed: str) -> None:
    assert office.push(delivery(), signed) == 401
    assert office.pushes.counts()["wrong_signature"] == 1
    assert office.pushes.take() == []


@pytest.mark.parametrize("is_chunked", [False, True])
def test_what_is_too_large_is_refused_unread_and_counted(office: Office, is_chunked: bool) -> None:
    body = b" " * 20_000
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", office.port, timeout=30)) as connection:
        headers = {"X-MoriBiz-Signature": signature(SECRET, body)}
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sent = iter([body]) if is_chunked else body
            connection.request("POST", WEBHOOK_PATH, sent, headers, encode_chunked=is_chunked)
        assert connection.getresponse().status == 413
    assert office.pushes.counts()["oversized"] == 1
    assert office.ask("POST", "/retry", body, {}) == 413  # another address is another matter
    assert office.pushes.counts()["oversized"] == 1


@pytest.mark.parametrize("head", [f"POST {WEBHOOK_PATH} HTTP/1.1\r\nContent-Length: many", "nonsense", "\0"])
def test_what_is_malformed_is_refused_and_not_called_too_large(office: Office, head: str) -> None:
    with socket.create_connection(("127.0.0.1", office.port), 30) as line:
        line.sendall(f"{head}\r\n\r\n".encode())
        assert line.recv(100).startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert office.pushes.counts()["oversized"] == 0


def test_before_registration_a_push_is_asked_for_again_and_logged(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.page.follow(office.config(secret=None))
    assert office.push(delivery()) == 503
    assert office.pushes.counts()["not_registered"] == 1
    said = [record for record in caplog.records if record.message == "webhook.not_registered"]
    assert len(said) == 1
    assert "webhook register" in said[0].facts["effect"]  # type: ignore[attr-defined]
    office.page.follow(office.config())  # after a reload
    assert office.push(delivery()) == 204


def test_without_a_webhook_there_is_no_such_address(office: Office) -> None:
    office.page.follow(office.config(webhook=False))
    assert office.push(delivery()) == 404
    assert office.pushes.counts() == {str(result): 0 for result in PushResult}


PATHS = ("/", "/main", "/healthz", "/metrics", "/api/status", "/retry", "/release", "/thumbnails/x")
TRICKS = (f"{WEBHOOK_PATH}/", f"{WEBHOOK_PATH}/../..", "/webhooks/../main", f"{WEBHOOK_PATH}%2f")


@pytest.mark.parametrize("has_password", [True, False])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
def test_no_other_door_opens_to_whoever_comes_that_way(office: Office, method: str, has_password: bool) -> None:
    office.page.follow(office.config(password=has_password))
    refused = 401 if has_password else 403
    for path in (*PATHS, *TRICKS):
        is_for_monitors = has_password and path == "/healthz" and method in {"GET", "HEAD"}
        assert office.push(delivery(), path=path, method=method) == (503 if is_for_monitors else refused), path
    if method != "POST":
        assert office.push(delivery(), method=method) == refused


def test_a_push_is_answered_within_a_second_while_the_page_waits_for_a_disk(office: Office) -> None:
    hanging = threading.Event()
    cache = office.page._cache
    assert cache is not None
    cache.look = lambda: hanging.wait(20)  # type: ignore[method-assign,assignment,return-value]
    headers = {"Authorization": "Basic OmNvcnJlY3QgaG9yc2UgYmF0dGVyeQ=="}
    askers = [
        threading.Thread(target=lambda: office.ask("GET", "/main", None, headers), daemon=True) for _ in range(20)
    ]
    for asker in askers:
        asker.start()
    try:
        time.sleep(0.5)
        took = []
        for _ in range(3):  # the machine may be busy once
            began = time.monotonic()
            assert office.push(delivery()) == 204
            took.append(time.monotonic() - began)
        assert min(took) < 1.0
    finally:
        hanging.set()
    for asker in askers:
        asker.join(20)


def test_the_metrics_have_every_outcome_from_the_start(office: Office) -> None:
    now = datetime.now(UTC)
    counts = Counts(pushes={"nudged": 3})
    inboxes = {"photos": InboxSnapshot(is_open=True)}
    office.page.see(Snapshot(at=now, pid=1, version="1", started=now, inboxes=inboxes, counts=counts))
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", office.port, timeout=30)) as connection:
        connection.request("GET", "/metrics", headers={"Authorization": "Basic OmNvcnJlY3QgaG9yc2UgYmF0dGVyeQ=="})
        text = connection.getresponse().read().decode()
    (family,) = [each for each in text_string_to_metric_families(text) if each.name == "watchfolder_pushes"]
    values = {each.labels["outcome"]: each.value for each in family.samples if each.name.endswith("_total")}
    assert values == {str(result): 0.0 for result in PushResult} | {"nudged": 3.0}
