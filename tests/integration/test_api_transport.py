"""What a network can do to a call: a real socket on the other side that misbehaves on purpose."""

import gzip
import io
import logging
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
import requests
from certificates import self_signed
from pydantic import SecretStr
from tenacity import RetryError
from typing_extensions import override

from watchfolder.api import Pace, Service
from watchfolder.api.deadline import Deadline, DeadlineAdapter
from watchfolder.config import ApiSection
from watchfolder.errors import FolderFault, Reject, Resync, Retry, WatchfolderError

KEY = "sk_0123456789abcdef"
SECRET = "X-Amz-Signature=0123456789"  # noqa: S105 (what must not show)
ONCE = Pace(connect_seconds=2, read_seconds=3, total_seconds=5, transfer_seconds=5, attempts=1)
HASTY = Pace(connect_seconds=1, read_seconds=0.4, total_seconds=0.3, transfer_seconds=0.3, attempts=1)
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"data": 1}'

HANGS_SECONDS = 60.0  # what it takes to wait for a server; by half of that nobody has waited, on a slow machine too

OPENED: list[Service] = []
Talk = Callable[[socket.socket], None]


class Server:
    """Takes calls on loopback and hands each connection to `talk`."""

    def __init__(self, talk: Talk, context: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self._talk = talk
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.leaving = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        with line, suppress(OSError):
            line.settimeout(10)
            if self._context is None:
                self._talk(line)
            else:
                with self._context.wrap_socket(line, server_side=True) as secured:
                    self._talk(secured)

    def close(self) -> None:
        self.leaving.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)


@contextmanager
def serving(talk: Talk, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(talk, context)
    try:
        yield server
    finally:
        server.close()


def request_of(line: socket.socket) -> bytes:
    """Read one request, its body included."""
    heard = b""
    while b"\r\n\r\n" not in heard:
        block = line.recv(65536)
        if not block:
            return heard
        heard += block
    head, _, body = heard.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]):
        block = line.recv(65536)
        if not block:
            break
        body += block
    return head + b"\r\n\r\n" + body


def saying(answer: bytes, *, heard: list[bytes] | None = None) -> Talk:
    def talk(line: socket.socket) -> None:
        request = request_of(line)
        if heard is not None:
            heard.append(request)
        line.sendall(answer)

    return talk


def keeping(answer: bytes, *, heard: list[bytes] | None = None) -> Talk:
    """Like `saying`, but to every request on the line: a line closed unannounced may fail the next call."""

    def talk(line: socket.socket) -> None:
        while request := request_of(line):
            if heard is not None:
                heard.append(request)
            line.sendall(answer)

    return talk


def dripping(beginning: bytes, drop: bytes) -> Talk:
    def talk(line: socket.socket) -> None:
        request_of(line)
        line.sendall(beginning)
        until = time.monotonic() + HANGS_SECONDS
        while time.monotonic() < until:
            line.sendall(drop)
            threading.Event().wait(0.05)

    return talk


def silent(line: socket.socket) -> None:
    line.recv(1)
    threading.Event().wait(HANGS_SECONDS)


def service_at(base_url: str, pace: Pace = ONCE, **settings: object) -> Service:
    section = ApiSection.model_validate(
        {"base_url": base_url, "key": SecretStr(KEY), "requests_per_minute": 0} | settings
    )
    OPENED.append(Service(section, transfers=2, stop=threading.Event(), pace=pace))
    return OPENED[-1]


@pytest.fixture(autouse=True)
def _close_services() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


@contextmanager
def service_of(talk: Talk, pace: Pace = ONCE) -> Iterator[tuple[Service, str, Server]]:
    with serving(talk) as server:
        yield service_at(f"http://127.0.0.1:{server.port}", pace), f"http://127.0.0.1:{server.port}/a?{SECRET}", server


def fetch(service: Service, url: str, limit_bytes: int = 1000) -> bytes:
    parts: list[bytes] = []
    count = service.fetch(url, parts.append, limit_bytes=limit_bytes)
    assert count == sum(map(len, parts))
    return b"".join(parts)


def test_the_key_and_our_name_go_to_the_api_and_only_there() -> None:
    heard: list[bytes] = []
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 11\r\n\r\n" + b'{"data": 1}'
    with service_of(keeping(cookie, heard=heard)) as (service, url, _):
        service.ping()
        service.ping()
        service.upload(url, io.BytesIO(b"abc"), 3, "image/png", b"\0" * 16)
        fetch(service, url)

    api, again, put, get = heard
    assert f"Authorization: Bearer {KEY}".encode() in api
    assert b"User-Agent: watchfolder/" in api
    assert b"Accept-Encoding: identity" in api
    for request in (again, put, get):
        assert b"cookie" not in request.lower()
    for request in (put, get):
        assert b"authorization" not in request.lower()
        assert KEY.encode() not in request
    assert b"Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==" in put
    assert b"Content-Type: image/png" in put


@pytest.mark.parametrize("content", [b"", b"a", b"0123456789" * 100_000])
def test_an_upload_has_its_real_length_and_is_never_chunked(content: bytes) -> None:
    heard: list[bytes] = []
    with service_of(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", heard=heard)) as (service, url, _):
        service.upload(url, io.BytesIO(content), len(content), "image/png", None)

    head, _, body = heard[0].partition(b"\r\n\r\n")
    assert f"Content-Length: {len(content)}".encode() in head
    assert b"chunked" not in head.lower()
    assert b"md5" not in head.lower()
    assert body == content


@pytest.mark.parametrize(
    ("content", "size"), [(b"abc", 4), (b"abcde", 4), (b"a", 0), (b"", 1), (b"x" * 300_000, 299_999)]
)
def test_a_file_that_changed_its_length_is_never_uploaded_whole(content: bytes, size: int) -> None:
    heard: list[bytes] = []
    talk = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", heard=heard)
    with service_of(talk) as (service, url, _), pytest.raises(Retry, match="changed while it was sent"):
        service.upload(url, io.BytesIO(content), size, "image/png", None)

    bodies = [request.partition(b"\r\n\r\n")[2] for request in heard]
    assert all(len(body) < size for body in bodies)


def test_a_storage_that_is_content_before_it_has_the_file_is_not_believed() -> None:
    def hasty(line: socket.socket) -> None:
        line.recv(100)
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    content = b"x" * 50_000_000
    with service_of(hasty) as (service, url, _), pytest.raises(Retry):
        service.upload(url, io.BytesIO(content), len(content), "image/png", None)


class Broken(io.BytesIO):
    @override
    def read(self, _size: int | None = -1, /) -> bytes:
        raise OSError(5, "Input/output error")


def test_a_file_that_cannot_be_read_is_its_folders_fault() -> None:
    with service_of(saying(OK)) as (service, url, _), pytest.raises(FolderFault, match="Input/output error"):
        service.upload(url, Broken(b"abc"), 3, "image/png", None)


def test_an_upload_is_tried_again_from_its_beginning() -> None:
    heard: list[bytes] = []
    pace = Pace(attempts=3, first_wait_seconds=0.01, max_wait_seconds=0.02)
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 36\r\n\r\n<Error><Code>SlowDown</Code></Error>"
    source = io.BytesIO(b"abc")
    source.read(2)
    with service_of(keeping(busy, heard=heard), pace) as (service, url, _), pytest.raises(Retry) as fault:
        service.upload(url, source, 3, "image/png", None)

    assert fault.value.code == "SlowDown"
    assert [request.partition(b"\r\n\r\n")[2] for request in heard] == [b"abc"] * 3


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 403 No\r\nContent-Length: 45\r\n\r\n<Error><Code>SignatureDoesNotMatch</Code>....", Resync),
        (b"HTTP/1.1 403 No\r\n\r\n" + b"x" * 2_000_000, Resync),
    ],
)
def test_the_storages_refusal_is_understood(answer: bytes, kind: type[WatchfolderError]) -> None:
    with service_of(keeping(answer)) as (service, url, _):
        with pytest.raises(kind):
            service.upload(url, io.BytesIO(b"abc"), 3, "image/png", None)
        with pytest.raises(kind):
            fetch(service, url)


def test_only_an_upload_can_be_too_large() -> None:
    with service_of(keeping(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")) as (service, url, _):
        with pytest.raises(Reject):
            service.upload(url, io.BytesIO(b"abc"), 3, "image/png", None)
        with pytest.raises(Retry):
            fetch(service, url)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "ProtocolError"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "ProtocolError"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 10\r\n\r\nabc", "CUT_SHORT"),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", "NO_LENGTH"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000, "FILE_TOO_LONG"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "ENCODED"),
        (b"HTTP/1.1 204 OK\r\n\r\n", ""),
        (b"HTTP/1.1 206 OK\r\nContent-Length: 3\r\n\r\nabc", ""),
        (b"HTTP/1.1 302 OK\r\nLocation: /trap\r\nContent-Length: 0\r\n\r\n", ""),
        (b"nonsense\r\n\r\n", "ConnectionError"),
        (b"", "ConnectionError"),
    ],
)
def test_a_download_that_is_not_the_whole_file_is_tried_later(answer: bytes, code: str) -> None:
    heard: list[bytes] = []
    with service_of(saying(answer, heard=heard)) as (service, url, _), pytest.raises(Retry) as fault:
        fetch(service, url)

    assert fault.value.code == code
    assert len(heard) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    ],
)
def test_a_whole_download_is_taken_however_its_end_is_told(answer: bytes) -> None:
    with service_of(saying(answer)) as (service, url, _):
        assert fetch(service, url) == b"abc"


def test_a_fault_of_the_sink_is_its_own() -> None:
    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    talk = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
    with service_of(talk) as (service, url, _), pytest.raises(OSError, match="No space left"):
        service.fetch(url, full, limit_bytes=10)


DRIPS = {
    "status line": (b"", b"H"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\nX-"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", b"x"),
    "body of a closing connection": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 999\r\n\r\n", b"x"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n"),
    "refusal": (b"HTTP/1.1 403 No\r\n\r\n", b"x"),
}


@pytest.mark.parametrize("where", DRIPS)
def test_a_drip_feed_holds_no_worker(where: str) -> None:
    with service_of(dripping(*DRIPS[where]), HASTY) as (service, url, _):
        begin = time.monotonic()
        with pytest.raises(Retry):
            service.ping()
        with pytest.raises(Retry):
            fetch(service, url, limit_bytes=2000)
        with pytest.raises(Retry):
            service.upload(url, io.BytesIO(b"abc"), 3, "image/png", None)

        assert time.monotonic() - begin < HANGS_SECONDS / 2


def test_a_call_that_was_cut_says_how_long_it_took() -> None:
    talk = dripping(*DRIPS["body"])
    with service_of(talk, HASTY) as (service, _, _server), pytest.raises(Retry, match="took longer than") as fault:
        service.ping()

    assert fault.value.code == "DEADLINE"


def test_a_connection_that_ends_at_the_deadline_is_no_end_of_the_answer() -> None:
    begun = b'HTTP/1.1 200 OK\r\n\r\n{"data": 1}'  # complete JSON already, its end is the connection's
    with service_of(dripping(begun, b" "), HASTY) as (service, _, _server), pytest.raises(Retry, match="longer"):
        service.ping()


def test_an_upload_that_nobody_reads_ends() -> None:
    content = b"x" * 30_000_000
    with service_of(
        silent, Pace(read_seconds=60, transfer_seconds=0.5, transfer_floor_bytes_per_second=1e9, attempts=1)
    ) as (
        service,
        url,
        _,
    ):
        begin = time.monotonic()
        with pytest.raises(Retry, match="longer"):
            service.upload(url, io.BytesIO(content), len(content), "image/png", None)

        assert time.monotonic() - begin < HANGS_SECONDS / 2


def test_a_large_transfer_may_take_its_time() -> None:
    pace = Pace(transfer_seconds=1.0, transfer_floor_bytes_per_second=10, attempts=1)

    def slow(line: socket.socket) -> None:
        request_of(line)
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n")
        for _ in range(6):
            threading.Event().wait(0.3)
            line.sendall(b"0123456789")

    with service_of(slow, pace) as (service, url, _):
        assert len(fetch(service, url)) == 60


def test_a_connection_that_nobody_takes_ends_with_the_connect_limit() -> None:
    pace = Pace(connect_seconds=0.3, read_seconds=60, total_seconds=60, transfer_seconds=60, attempts=1)
    with socket.socket() as full, ExitStack() as crowd:
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # room for one, and the kernel leaves later ones without an answer
        address = full.getsockname()
        crowd.enter_context(socket.create_connection(address))
        service, url = service_at(f"http://127.0.0.1:{address[1]}", pace), f"http://127.0.0.1:{address[1]}/a"
        with pytest.raises(Retry, match="did not take the call in time"):
            service.ping()
        with pytest.raises(Retry, match="did not take the call in time"):
            fetch(service, url)
        with pytest.raises(Retry, match="did not take the call in time"):
            service.upload(url, io.BytesIO(b"abc"), 3, "image/png", None)


def test_every_call_has_an_end_unless_somebody_changes_that() -> None:
    usual = Pace()
    assert usual.connect_seconds <= usual.read_seconds <= usual.total_seconds <= 60
    assert usual.attempts * (usual.total_seconds + usual.max_wait_seconds) < 300  # a worker's longest call in JSON
    assert usual.seconds_for(1) == 300
    assert usual.seconds_for(50 << 20) < 3600


def test_silence_ends_with_the_read_limit() -> None:
    pace = Pace(read_seconds=0.3, attempts=1)
    with service_of(silent, pace) as (service, _, _server), pytest.raises(Retry, match="stopped answering"):
        service.ping()


def test_closing_the_service_cuts_what_is_under_way() -> None:
    with service_of(silent, Pace(attempts=1)) as (service, _, _server):
        threading.Timer(0.3, service.close).start()
        begin = time.monotonic()
        with pytest.raises(Retry, match="stopping"):
            service.ping()

        assert time.monotonic() - begin < HANGS_SECONDS / 2


def test_an_endless_answer_is_not_kept() -> None:
    def endless(line: socket.socket) -> None:
        request_of(line)
        line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(200):
            line.sendall(b" " * 1_000_000)
            sent.append(1_000_000)

    sent: list[int] = []
    with service_of(endless) as (service, _, _server), pytest.raises(Retry, match="more than 8388608 bytes"):
        service.ping()

    assert sum(sent) < 50_000_000


def test_a_packed_answer_is_unpacked_but_not_without_bound() -> None:
    small, bomb = gzip.compress(b'{"data": 1}'), gzip.compress(b" " * 100_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    with service_of(saying(head % len(small) + small)) as (service, _, _server):
        service.ping()
    with service_of(saying(head % len(bomb) + bomb)) as (service, _, _server), pytest.raises(Retry, match="more than"):
        service.ping()


def test_connections_are_kept_and_used_again() -> None:
    with service_of(keeping(OK)) as (service, url, server):
        for _ in range(5):
            service.ping()
            fetch(service, url)
            service.upload(url, io.BytesIO(b"abc"), 3, "image/png", None)

        assert server.connections == 1


def test_the_deadline_of_a_finished_call_leaves_the_next_one_alone() -> None:
    def patient(line: socket.socket) -> None:
        while request_of(line):
            threading.Event().wait(1.0)
            line.sendall(OK)

    with service_of(patient, Pace(total_seconds=1.8, attempts=1)) as (service, _, server):
        for _ in range(2):
            service.ping()

        assert server.connections == 1


def asked(adapter: DeadlineAdapter, url: str) -> requests.Response:
    return adapter.send(requests.Request("GET", url).prepare(), stream=True, timeout=3)


def test_a_deadline_leaves_a_connection_alone_that_works_for_another_call() -> None:
    is_cut, (head, body) = threading.Event(), OK.split(b"{")

    def talk(line: socket.socket) -> None:
        request_of(line)
        line.sendall(OK)
        request_of(line)
        line.sendall(head)
        is_cut.wait(5)
        line.sendall(b"{" + body)

    with serving(talk) as server, closing(DeadlineAdapter(1)) as adapter, Deadline(60) as first:
        url = f"http://127.0.0.1:{server.port}/"
        assert asked(adapter, url).json() == {"data": 1}
        with Deadline(60):
            later = asked(adapter, url)
            first.cut("too late")
            is_cut.set()
            assert later.json() == {"data": 1}
        assert server.connections == 1


def test_a_call_that_is_cut_while_it_connects_leaves_no_connection() -> None:
    ended = threading.Event()

    def talk(line: socket.socket) -> None:
        assert not request_of(line)
        ended.set()

    with serving(talk) as server, closing(DeadlineAdapter(1)) as adapter:
        with Deadline(60) as deadline:
            deadline.cut("stopping")
            with pytest.raises(Retry, match="stopping") as fault:
                asked(adapter, f"http://127.0.0.1:{server.port}/")
        assert ended.wait(5), fault  # whose frames hold the socket


@pytest.mark.parametrize(
    "url",
    [
        "http://storage.example/a",
        "ftp://127.0.0.1/a",
        "file:///etc/passwd",
        "//127.0.0.1/a",
        "https://",
        "https://user:password@127.0.0.1/a",
        "https://127.0.0.1:99999/a",
        "https://[::1/a",
        "nonsense",
        "",
    ],
)
def test_a_link_that_is_not_plainly_https_is_a_faulty_answer(url: str) -> None:
    service = service_at("http://127.0.0.1:9")

    with pytest.raises(Retry, match="faulty"):
        service.upload(url, io.BytesIO(b"abc"), 3, "image/png", None)
    with pytest.raises(Retry, match="faulty"):
        fetch(service, url)


def test_loopback_in_the_clear_is_for_a_loopback_service_only() -> None:
    heard: list[bytes] = []
    with serving(saying(OK, heard=heard)) as server:
        service = service_at("https://api.example")
        with pytest.raises(Retry, match="faulty"):
            fetch(service, f"http://127.0.0.1:{server.port}/a")

    assert heard == []


def test_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    heard: list[bytes] = []
    with service_of(keeping(OK, heard=heard)) as (service, url, _):
        service.ping()
        fetch(service, url)

    assert b"Basic" not in b"".join(heard)


def test_a_configured_proxy_is_asked_for_a_tunnel_and_learns_no_key() -> None:
    heard: list[bytes] = []
    refusal = b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n"
    with serving(saying(refusal, heard=heard)) as proxy:
        service = service_at("https://api.invalid", proxy=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(Retry, match=r"proxy does not connect to api\.invalid"):
            service.ping()

    assert heard[0].startswith(b"CONNECT api.invalid:443 ")
    assert KEY.encode() not in heard[0]


def test_a_proxy_that_drips_holds_no_worker() -> None:
    with serving(dripping(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n")) as proxy:
        service = service_at("https://api.invalid", HASTY, proxy=f"http://127.0.0.1:{proxy.port}")
        begin = time.monotonic()
        with pytest.raises(Retry):
            service.ping()

        assert time.monotonic() - begin < HANGS_SECONDS / 2


def test_a_closed_port_and_an_unknown_host_are_passing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    for url in (f"http://127.0.0.1:{port}", "https://service.invalid"):
        with pytest.raises(Retry):
            service_at(url).ping()


FAULTS: list[Talk] = [
    silent,
    saying(b""),
    saying(b"nonsense\r\n\r\n"),
    saying(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"),
    saying(b"HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabc"),
    saying(b"HTTP/1.1 200 OK\r\nnot a header\r\nContent-Length: 3\r\n\r\nabc"),
    saying(b"HTTP/1.1 403 No\r\nContent-Length: 37\r\n\r\n<Error><Code>AccessDen</Code></Error>"),
    dripping(*DRIPS["headers"]),
]


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_no_error_and_no_log_line_shows_a_signature_or_the_key(number: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    foreign: list[BaseException] = []
    with service_of(FAULTS[number], HASTY) as (service, url, _):
        for call in (
            lambda: fetch(service, url),
            lambda: service.upload(url, io.BytesIO(b"abc"), 3, "image/png", None),
            service.ping,
        ):
            try:
                call()
            except WatchfolderError as error:
                logging.getLogger("test").exception("failed")
                told += [error.reason, error.code, "".join(traceback.format_exception(error))]
                foreign += [link for link in chain_of(error) if not isinstance(link, WatchfolderError | RetryError)]

    assert told
    assert foreign == []
    shown = caplog.text + "".join(told)
    assert SECRET not in shown
    assert "X-Amz" not in shown
    assert KEY not in shown


@pytest.mark.parametrize("where", ["headers", "body", "body of a closing connection"])
def test_a_drip_feed_over_tls_holds_no_worker_either(where: str) -> None:
    certificate = self_signed("IP:127.0.0.1")
    with serving(dripping(*DRIPS[where]), certificate.context) as server:
        service = service_at(f"https://127.0.0.1:{server.port}", HASTY, ca_file=certificate.public)
        begin = time.monotonic()
        with pytest.raises(Retry):
            service.ping()

        assert time.monotonic() - begin < HANGS_SECONDS / 2


def test_a_handshake_that_never_comes_holds_no_worker() -> None:
    with serving(silent) as server:
        service = service_at(
            f"https://127.0.0.1:{server.port}", Pace(connect_seconds=60, total_seconds=0.5, attempts=1)
        )
        begin = time.monotonic()
        with pytest.raises(Retry, match="longer"):
            service.ping()

        assert time.monotonic() - begin < HANGS_SECONDS / 2
