"""One HTTP exchange, with every bound it needs: deadlines, lengths, no redirect, no cookie, nothing of the environment.

No exception of requests, urllib3 or http.client leaves here. They are dropped, not chained: their texts quote URLs with
signatures, and their frames hold sockets. So what is raised in their place is raised after their `except`.
"""

import errno
import http.client
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlsplit

import requests
import urllib3

from watchfolder import __version__
from watchfolder.api.deadline import Deadline, DeadlineAdapter
from watchfolder.config import ApiSection
from watchfolder.errors import FolderFault, Retry

JSON_LIMIT_BYTES = 8 * 1024 * 1024
_REFUSAL_LIMIT_BYTES = 64 * 1024  # of the storage's answers, which are read for a code only
_BLOCK_BYTES = 128 * 1024
_FOREIGN = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError)


@dataclass(frozen=True)
class Pace:
    """How long a call may take, and how often it is tried before the caller hears of it."""

    connect_seconds: float = 10.0
    read_seconds: float = 30.0  # between two packets
    total_seconds: float = 60.0  # of a call in JSON, whatever drips in
    transfer_seconds: float = 300.0  # the same for an upload or a download of any size …
    transfer_floor_bytes_per_second: float = 16 * 1024.0  # … and a larger one may take as long as this needs
    attempts: int = 3
    first_wait_seconds: float = 0.5
    max_wait_seconds: float = 8.0
    patience_seconds: float = 30.0  # how long a call waits for its turn at the rate limiter

    def seconds_for(self, size: int) -> float:
        return max(self.transfer_seconds, size / self.transfer_floor_bytes_per_second)


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]  # by name in any case
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004 (all of 2xx)


class FileChanged(Retry):
    """Not worth a second try at once: the file's writer has hardly finished."""

    def __init__(self) -> None:
        super().__init__("the file changed while it was sent", code="FILE_CHANGED")


class Body:
    """Exactly `size` bytes of a source, each time from its beginning.

    The last of them leave only when the source ends there: a file whose length changed meanwhile breaks the upload, it
    never becomes a wrong one.
    """

    def __init__(self, source: BinaryIO, size: int) -> None:
        self._source = source
        self.size = size
        self.is_sent = False

    def __iter__(self) -> Iterator[bytes]:
        self.is_sent = False
        self._source.seek(0)
        held, left = b"", self.size
        while left:
            block = self._read(min(_BLOCK_BYTES, left))
            if not block:
                raise FileChanged
            if held:
                yield held
            held, left = block, left - len(block)
        if self._read(1):
            raise FileChanged
        if held:
            yield held
        self.is_sent = True

    def _read(self, size: int) -> bytes:
        try:
            return self._source.read(size)
        except OSError as error:
            code = errno.errorcode.get(error.errno or 0, "EUNKNOWN")
            raise FolderFault(f"cannot read the file to be sent: {error.strerror}", code=code) from None


class Transport:
    """Talks through one adapter, whose pools are made for many threads, without a Session.

    A Session would keep cookies, read the body of a redirect whole, and look into the environment.
    """

    def __init__(self, settings: ApiSection, *, connections: int, pace: Pace) -> None:
        logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)  # its lines quote whole URLs, signatures and all
        self._adapter = DeadlineAdapter(connections)
        self._proxies = {"https": settings.proxy} if settings.proxy else {}  # http is for this machine alone
        self._verify = settings.ca_file or True
        self._headers = {"User-Agent": f"watchfolder/{__version__}", "Accept-Encoding": "identity", "Accept": "*/*"}
        self._pace = pace
        self._under_way: set[Deadline] = set()

    def call(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        kind = {} if body is None else {"Content-Type": "application/json"}
        headers = {"Accept": "application/json", **kind, **headers}
        with self._open(method, url, headers, body, self._pace.total_seconds) as reply:
            answer = reply.read(JSON_LIMIT_BYTES)
        if len(answer.body) > JSON_LIMIT_BYTES:
            raise Retry(f"{_host(url)} gave an answer of more than {JSON_LIMIT_BYTES} bytes", code="ANSWER_TOO_LONG")
        return answer

    def put(self, url: str, headers: Mapping[str, str], body: Body) -> Response:
        if not body.size:  # no block will ask the source whether it is empty
            list(body)
        headers = {**headers, "Content-Length": str(body.size)}  # S3 refuses a chunked body
        seconds = self._pace.seconds_for(body.size)
        with self._open("PUT", url, headers, body if body.size else None, seconds) as reply:
            answer = reply.read(_REFUSAL_LIMIT_BYTES)
        if answer.is_success and not body.is_sent:
            raise Retry("the storage answered before it had the whole file", code="EARLY_ANSWER")
        if answer.is_success and _is_a_page(answer):
            raise Retry("that is not the storage's own answer", code="FOREIGN_ANSWER")
        return answer

    def get(self, url: str, sink: Callable[[bytes], object], limit_bytes: int) -> Response | int:
        """Copy a 200's bytes into `sink` and return their number; return any other answer."""
        with self._open("GET", url, {}, None, self._pace.transfer_seconds) as reply:
            if reply.status != 200:  # noqa: PLR2004 (206 and 204 are not what was asked for)
                return reply.read(_REFUSAL_LIMIT_BYTES)
            reply.deadline.begin_again(self._pace.seconds_for(reply.size or limit_bytes))
            return reply.copy_to(sink, limit_bytes)

    def close(self) -> None:
        for deadline in tuple(self._under_way):
            deadline.cut("stopping")
        self._adapter.close()

    @contextmanager
    def _open(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None, seconds: float
    ) -> Iterator["_Reply"]:
        with Deadline(seconds) as deadline:
            self._under_way.add(deadline)
            try:
                response = self._sent(method, url, headers, body, deadline)
                with response:
                    yield _Reply(response, deadline, _host(url))
            finally:
                self._under_way.discard(deadline)

    def _sent(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None, deadline: Deadline
    ) -> requests.Response:
        try:
            request = requests.Request(method, url, headers={**self._headers, **headers}).prepare()
            request.body = body  # type: ignore[assignment]  # any iterable of bytes; prepare() would make it chunked
            if isinstance(body, bytes):
                request.headers["Content-Length"] = str(len(body))
            timeout = (self._pace.connect_seconds, self._pace.read_seconds)
            return self._adapter.send(request, stream=True, timeout=timeout, verify=self._verify, proxies=self._proxies)
        except _FOREIGN as error:
            trouble = _retry_of(error, _host(url))
        deadline.check()
        raise trouble


class Pulse(Transport):
    """A sign of life for a monitor elsewhere, by the network settings of the API, and without its key."""

    def __init__(self, url: str, settings: ApiSection) -> None:
        super().__init__(settings, connections=1, pace=Pace(connect_seconds=5, read_seconds=10, total_seconds=20))
        self._url = url  # a secret

    def beat(self) -> None:
        """Raise Retry unless the answer is a 2xx, which a redirect is not; the body does not matter."""
        with self._open("GET", self._url, {}, None, self._pace.total_seconds) as reply:
            answer = reply.read(_REFUSAL_LIMIT_BYTES)
        if not answer.is_success:
            raise Retry(f"the answer was {answer.status}", code=str(answer.status))


class _Reply:
    """An answer whose body is still on the line."""

    def __init__(self, response: requests.Response, deadline: Deadline, host: str) -> None:
        self.status = response.status_code
        self.deadline = deadline
        self._headers = response.headers
        self._raw: urllib3.HTTPResponse = response.raw
        self._host = host

    @property
    def size(self) -> int | None:
        text = self._headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None  # noqa: PLR2004 (64 bits)

    def read(self, limit_bytes: int) -> Response:
        """Read the body until it ends or is longer than that; unpacked, even if it came packed unasked."""
        parts, size = [], 0
        for block in self._parts(decode=True):
            parts.append(block)
            size += len(block)
            if size > limit_bytes:
                break
        return Response(self.status, self._headers, b"".join(parts))

    def copy_to(self, sink: Callable[[bytes], object], limit_bytes: int) -> int:
        if self._headers.get("Content-Encoding", "identity").lower() not in {"identity", "aws-chunked"}:
            raise Retry(f"{self._host} packed the file although it was asked for plain", code="ENCODED")
        is_chunked = self._headers.get("Transfer-Encoding", "").lower() == "chunked"
        if self.size is None and not is_chunked:
            raise Retry(f"{self._host} does not say how long the file is", code="NO_LENGTH")  # half would look whole
        received = 0
        for block in self._parts(decode=False):
            received += len(block)
            if received > limit_bytes:
                raise Retry(f"{self._host} sent more than {limit_bytes} bytes", code="FILE_TOO_LONG")
            sink(block)
        if not is_chunked and received != self.size:
            raise Retry(f"{self._host} sent {received} of {self.size} bytes", code="CUT_SHORT")
        return received

    def _parts(self, *, decode: bool) -> Iterator[bytes]:
        while True:
            block, trouble = b"", None
            try:
                block = self._raw.read(_BLOCK_BYTES, decode_content=decode)
            except _FOREIGN as error:
                trouble = _retry_of(error, self._host)
            self.deadline.check()
            if trouble is not None:
                raise trouble
            if not block:
                return
            yield block


def _is_a_page(answer: Response) -> bool:
    """Did a gateway answer in the storage's place? The storage says nothing, or little, to an upload that it took.

    Some stores (Swift) call that nothing HTML, too.
    """
    is_html = bool(answer.body) and "html" in answer.headers.get("Content-Type", "").lower()
    return is_html or len(answer.body) > _REFUSAL_LIMIT_BYTES


_REASONS: tuple[tuple[type[Exception], str], ...] = (  # the first that fits
    (requests.exceptions.SSLError, "no trusted TLS with {host}: check this machine's clock and api.ca_file"),
    (requests.exceptions.ProxyError, "the proxy does not connect to {host}: check api.proxy"),
    (requests.exceptions.ConnectTimeout, "{host} did not take the call in time"),
    (requests.exceptions.ReadTimeout, "{host} stopped answering"),
    (urllib3.exceptions.ReadTimeoutError, "{host} stopped answering"),
    (requests.exceptions.InvalidURL, "not an address that can be called"),
)


def _retry_of(error: Exception, host: str) -> Retry:
    reason = next((reason for kind, reason in _REASONS if isinstance(error, kind)), "the connection with {host} failed")
    return Retry(reason.format(host=host), code=type(error).__name__)


def _host(url: str) -> str:
    return str(urlsplit(url).hostname)
