"""Whatever bytes the other side sends: an answer that can be read or one of our own errors, in bounded time."""

import io
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_api_transport import SECRET, request_of, service_at, serving

from watchfolder.api import Pace, Service
from watchfolder.api.answers import Envelope, OrderView
from watchfolder.errors import Retry, WatchfolderError
from watchfolder.services.anti_ai import ANTI_AI

HASTE = Pace(connect_seconds=2, read_seconds=2, total_seconds=3, transfer_seconds=3, attempts=1, patience_seconds=0)
EXAMPLES, EXAMPLES_WHEN_THOROUGH = 200, 2000
NAMES = (b"Content-Length", b"Transfer-Encoding", b"Content-Encoding", b"Content-Type", b"Retry-After", b"Location")
VALUES = (
    *(b"0", b"1", b"7", b"-1", b"99999999999999999999", b"\xb2", b"1, 2", b"", b"chunked", b"gzip", b"deflate", b"br"),
    *(b"zstd", b"identity", b"chunked, gzip", b"text/html", b"application/json", b"Wed, 99 Foo 2026", b"1e9", b"inf"),
    *(b"http://127.0.0.1:1/x", b"//[", b"x" * 70_000),
)
BODIES = (
    b'{"data": {}}',
    b'{"code": "ORDER_NOT_FOUND"}',
    b"7\r\nabcdefg\r\n0\r\n\r\n",
    b"ffffffffff\r\nx",
    b"<Error><Code>",
)
STATUSES = (200, 201, 204, 206, 301, 304, 400, 401, 403, 404, 409, 410, 429, 500, 503, 999)

bodies = st.one_of(
    st.sampled_from(BODIES), st.binary(max_size=60), st.builds(bytes.__add__, *[st.sampled_from(BODIES)] * 2)
)
headers = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES) | st.binary(max_size=8)), max_size=4)
starts = st.one_of(
    st.builds(lambda status: b"HTTP/1.1 %d X\r\n" % status, st.sampled_from(STATUSES)),
    st.sampled_from([b"HTTP/1.1 100 Continue\r\n\r\n" * 3, b"HTTP/0.9 x\r\n", b"\r\n", b"HTTP/1.1 200\xff\r\n", b""]),
)
answers = st.builds(
    lambda start, lines, body: start + b"".join(b"%s: %s\r\n" % line for line in lines) + b"\r\n" + body,
    starts,
    headers,
    bodies,
)


def operations(service: Service, url: str) -> Iterator[Callable[[], object]]:
    yield lambda: service.create(ANTI_AI.create_path, "{}", ["a.jpg"])
    yield lambda: service.refresh("7")
    yield lambda: service.confirm(ANTI_AI.start_path, "k", "7")
    yield lambda: service.poll("7")
    yield lambda: service.links("7")
    yield lambda: service.find("wf-k")
    yield lambda: service.upload(url, io.BytesIO(b"bytes"), 5, "image/jpeg", None)
    yield lambda: service.fetch(url, lambda _block: None, limit_bytes=1000)


def told_by(operation: Callable[[], object]) -> str:
    try:
        operation()
    except WatchfolderError as error:
        return repr(error) + error.reason + error.code
    return ""


@pytest.mark.lab
@pytest.mark.thorough
def test_any_answer_is_read_or_one_of_our_errors_without_a_secret(is_thorough: bool) -> None:
    said = [b""]

    def talk(line: socket.socket) -> None:
        request_of(line)
        line.sendall(said[0])

    @settings(
        max_examples=EXAMPLES_WHEN_THOROUGH if is_thorough else EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(answers, st.binary(max_size=120)))
    def each(answer: bytes) -> None:
        said[0] = answer
        with closing(service_at(f"http://127.0.0.1:{server.port}", HASTE)) as service:  # a fresh one is in no pause
            for operation in operations(service, url):
                assert SECRET not in told_by(operation)

    with serving(talk) as server:
        url = f"http://127.0.0.1:{server.port}/a?{SECRET}"
        each()


@pytest.mark.parametrize("field", ["status", "errors", "expiresAt", "result", "inputFiles"])
@pytest.mark.parametrize("opening", ["[", '{"errorCode":', '{"x":'])
def test_an_answer_nested_to_any_depth_is_read_or_faulty(field: str, opening: str) -> None:
    end = {"[": "]"}.get(opening, "}")
    for depth in (1, 100, *range(880, 1000), 100_000):
        text = f'{{"data": {{"{field}": {opening * depth}{json.dumps(None)}{end * depth}}}}}'
        envelope = Envelope.read(text.encode())
        with suppress(Retry):
            OrderView.read(envelope.data)
