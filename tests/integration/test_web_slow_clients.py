"""Clients that take their time, and clients that guess: neither takes page, health or webhook away from the others."""

import base64
import contextlib
import http.client
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from test_web_webhook import PASSWORD, Office, delivery, office

from watchfolder.config import WEBHOOK_PATH
from watchfolder.web.security import WrongPasswords

__all__ = ["office"]

SLOW_CLIENTS = """
import select, socket, sys, time
port, number = int(sys.argv[1]), int(sys.argv[2])
begun = [b"", b"GET / HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nX-Slow: "]
begun += [b"POST /webhooks/bizmori HTTP/1.1\\r\\nContent-Length: 99\\r\\n\\r\\n"]

def connected(which):
    line = socket.create_connection(("127.0.0.1", port))
    line.sendall(begun[which % 3])
    return line

lines = {}
said = False
while True:
    for which in range(number):
        if which not in lines:
            lines[which] = connected(which)
    if not said:
        print("all here", flush=True)
        said = True
    for which, line in list(lines.items()):
        try:
            line.setblocking(False)
            if which % 3:
                line.send(b"x")  # it drips
            if not line.recv(1000):
                raise ConnectionError
        except BlockingIOError:
            pass
        except OSError:
            line.close()
            del lines[which]  # and comes again
    time.sleep(0.2)
"""


@contextlib.contextmanager
def slow_clients(port: int, number: int) -> Iterator[None]:
    command = [sys.executable, "-c", SLOW_CLIENTS, str(port), str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"all here\n"
            yield
            assert process.poll() is None, "the clients have given up"
        finally:
            process.kill()


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()}


def answered(office: Office, path: str, password: str = PASSWORD) -> tuple[int, float]:
    began = time.monotonic()
    return office.ask("GET", path, None, basic(password)), time.monotonic() - began


def test_five_hundred_slow_clients_take_nothing_away_from_the_others(office: Office) -> None:
    with slow_clients(office.port, 500):
        for number in range(5):
            for path, status in (("/", 200), ("/healthz", 503), ("/main", 200)):  # nothing was seen of the daemon yet
                told, took = answered(office, path)
                assert told == status
                assert took < 10, f"{path}: {took:.1f} s"
            assert office.push(delivery(f"e-{number}")) == 204
    assert len(office.pushes.take()) == 5


def test_a_connection_that_drips_ends_although_there_is_room(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchfolder.web.server._WAITING_SECONDS", 1.0)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", office.port, timeout=30)) as connection:
        connection.connect()
        line = connection.sock
        line.settimeout(0.2)
        line.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        deadline = time.monotonic() + 60
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < deadline:
                line.sendall(b"x")
                with contextlib.suppress(TimeoutError):
                    if line.recv(100) == b"":
                        break
        assert time.monotonic() < deadline, "it drips for ever"


def test_the_right_password_waits_for_no_wrong_ones(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    lines = [http.client.HTTPConnection("127.0.0.1", office.port, timeout=30) for _ in range(30)]
    try:
        for number, line in enumerate(lines):
            line.request("GET", "/", headers=basic(f"guess-{number}"))
        told, took = answered(office, "/")
        assert told == 200
        assert took < 10
        assert lines[0].getresponse().status == 401
    finally:
        for line in lines:
            line.close()
    told_of = [record for record in caplog.records if record.getMessage() == "page.wrong_password"]
    assert 1 <= len(told_of) <= 6
    assert "guess-" not in "".join(str(vars(record)) for record in caplog.records)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_the_webhook_s_path_is_no_way_around_the_wait(office: Office, method: str) -> None:
    began = time.monotonic()
    assert office.ask(method, WEBHOOK_PATH, None, basic("guess")) == 401
    assert time.monotonic() - began >= 0.5


def test_each_wrong_password_is_answered_later_than_the_one_before() -> None:
    wrong = WrongPasswords(PASSWORD)
    guess, right = basic("guess")["Authorization"], basic(PASSWORD)["Authorization"]
    assert [wrong.seconds_for("one", guess, 100.0) for _ in range(4)] == [0.5, 1.5, 3.5, 7.5]
    assert wrong.seconds_for("other", guess, 100.0) == 0.5
    assert wrong.seconds_for("one", right, 100.0) == 0
    assert wrong.seconds_for("one", "", 100.0) == 0
    assert max(wrong.seconds_for("one", guess, 100.0) for _ in range(100)) == 60.0
    assert wrong.seconds_for("one", guess, 5000.0) == 0.5


def test_addresses_that_guess_are_remembered_within_bounds() -> None:
    wrong = WrongPasswords(PASSWORD)
    for number in range(5000):
        wrong.seconds_for(f"2001:db8::{number:x}", basic("guess")["Authorization"], 100.0)
    assert len(wrong._tries) <= 1000
