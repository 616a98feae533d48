"""The operations on the service that an order needs, each in words of our own and raising only our own errors."""

import ipaddress
import itertools
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeVar
from urllib.parse import quote, urlsplit

from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_when_event_set, wait_random_exponential
from tenacity.nap import sleep_using_event

from watchfolder import __version__
from watchfolder.api.answers import (
    Created,
    Found,
    Links,
    Listed,
    OrderView,
    ReportView,
    Slot,
    faulty,
    read_created,
    read_envelope,
    read_found,
    read_links,
    read_listed,
    read_look,
    read_looks,
    read_report,
    read_slots,
    report_body,
    start_body,
)
from watchfolder.api.rate_limiter import Priority, RateLimiter
from watchfolder.api.table import Call, NoRoute, Retired, error_of, storage_error_of
from watchfolder.api.transport import Body, FileChanged, Pace, Transport
from watchfolder.counters import Counters
from watchfolder.errors import FolderFault, OrderMissing, OrderRetry, Retry, SlowDown, WatchfolderError

if TYPE_CHECKING:
    from watchfolder.config import ApiSection

Reads = Literal["v2", "v3"]
_T = TypeVar("_T")
_EXPIRED = "ORDER_EXPIRED"
_NO_RETENTION = "FILE_RETENTION_UNKNOWN"
_NO_ORDER = "0"  # an id that no order has
_TEST_KEYS_WORD = "PROCESSED_FILE_NOT_FOUND"  # a live key's order that is complete has results, if not yet
_PAGES = 10  # of the order list, at most: a server that obeys the keyword has one


class Service:
    """The BIZ MORI API for every thread of ours: one budget of requests, one pool of connections.

    Once `stop` is set no request begins (Retry "stopping"); one under way goes on to its end.
    """

    def __init__(
        self,
        settings: "ApiSection",
        *,
        transfers: int,
        stop: threading.Event,
        pace: Pace | None = None,
        counters: Counters | None = None,
    ) -> None:
        pace = pace or Pace()
        self._tally = counters or Counters(())
        self.answered_at: float | None = None  # time.monotonic() of the last answer that was the API's own
        self._base_url = settings.base_url.rstrip("/")
        self._is_loopback = settings.is_loopback
        self._is_live = settings.mode == "live"
        self.fingerprint = settings.fingerprint  # of the key
        self._authorization = {"Authorization": f"Bearer {settings.key.get_secret_value()}"}
        self._reads: Reads | None = None if settings.reads == "auto" else settings.reads
        self._is_auto = settings.reads == "auto"
        self._was_v2 = False  # before it was doubted
        self._stop = stop
        self._budget = RateLimiter(settings.requests_per_minute, stop, patience_seconds=pace.patience_seconds)
        self._calls = threading.Semaphore(transfers)  # no host sees more connections than that
        self._transport = Transport(
            connections=2 * transfers,  # where API and storage are one host
            proxy=settings.proxy,
            ca_file=settings.ca_file,
            agent=f"watchfolder/{__version__}",
            pace=pace,
        )
        self._persist = Retrying(
            sleep=sleep_using_event(stop),
            stop=stop_after_attempt(pace.attempts) | stop_when_event_set(stop),
            wait=wait_random_exponential(
                multiplier=2 * pace.first_wait_seconds, min=pace.first_wait_seconds, max=pace.max_wait_seconds
            ),
            retry=retry_if_exception(_is_worth_another_try),
            reraise=True,
        )

    @property
    def reads(self) -> Reads:
        """Which reads the server knows. If no order has shown it yet, an order that cannot exist is asked for."""
        if self._reads is None:
            with suppress(OrderMissing):  # as it should be
                self._read(Call.LOOK, _path_of(_NO_ORDER), lambda _: None)
        return self._reads or "v3"

    @property
    def known_reads(self) -> Reads | None:
        """Which reads the server knows, as far as that has shown."""
        return self._reads

    def doubt_reads(self) -> None:
        """Find out anew which reads the server knows, unless the configuration says it."""
        if self._is_auto:
            self._was_v2 = self.lacks_v3
            self._reads = None

    @property
    def lacks_v3(self) -> bool:
        """Has it shown that it lacks the v3 reads? So it is until it shows that it has them."""
        return self._reads == "v2" or (self._reads is None and self._was_v2)

    @property
    def waited_at(self) -> float:
        """When (monotonic seconds) a request last had to wait for the budget."""
        return self._budget.waited_at

    @property
    def is_slowed(self) -> bool:
        """Whether the service's refusals, not the configuration, set the pace."""
        return self._budget.is_limiting()

    def create(self, path: str, body: str, sent_names: Sequence[str]) -> Created:
        return self._ask(Call.CREATE, "POST", path, lambda data: read_created(data, sent_names), body=body)

    def refresh(self, order_id: str) -> tuple[Slot, ...]:
        return self._ask(Call.ORDER, "POST", f"/api/v2{_path_of(order_id)}/refresh-urls", read_slots)

    def confirm(self, path: str, start_key: str, order_id: str) -> None:
        """Start the processing. What the answer holds differs between servers; look at the order instead."""
        self._ask(Call.CONFIRM, "POST", path, lambda _: None, body=start_body(start_key, order_id))

    def look(self, order_id: str) -> OrderView:
        """Raises Blocked for another account's order, as far as the server can tell that from one that is gone."""
        try:
            return self._read(Call.LOOK, _path_of(order_id), read_look)
        except OrderMissing as gone:
            if gone.code != _EXPIRED and self._reads == "v3":
                self._require_ours(order_id)
            raise

    def links(self, order_id: str, *, or_of_v2: bool = False) -> Links:
        """Return where the results lie. `or_of_v2`: asked too when v3 does not know yet for how long it keeps them."""
        path = f"{_path_of(order_id)}/download"
        try:
            return self._read(Call.ORDER, path, read_links)
        except OrderRetry as trouble:
            if not or_of_v2 or trouble.code != _NO_RETENTION or self._reads == "v2":
                raise
            with suppress(NoRoute, Retired):  # a server without them
                return self._ask(Call.ORDER, "GET", f"/api/v2{path}", read_links)
            raise

    def ask_for_report(self, order_id: str, locale: str) -> ReportView:
        """Have a report made; repeated, it is the same one, and one that failed is begun again."""
        return self._ask(
            Call.REPORT, "POST", f"/api/v3{_path_of(order_id)}/reports", read_report, body=report_body(locale)
        )

    def report(self, order_id: str, locale: str) -> ReportView:
        """Raises Resync for one that nobody has asked for."""
        path = f"/api/v3{_path_of(order_id)}/reports/{quote(locale, safe='')}"
        return self._ask(Call.REPORT, "GET", path, read_report)

    def find(self, order_name: str) -> Found | None:
        for page in range(1, _PAGES + 1):
            path = f"/api/v2/orders?page={page}&limit=100&keyword={quote(order_name, safe='')}"
            found, pages = self._ask(Call.LIST, "GET", path, lambda data: read_found(data, order_name))
            if found or page >= pages:
                return found
        return None

    def newest(self) -> Mapping[str, OrderView]:
        """Return what the list shows of the newest hundred orders, by id: cheaper than a look at each of several."""
        path = "/api/v2/orders?page=1&limit=100"
        return self._ask(Call.LIST, "GET", path, read_looks, turn=Priority.DELIVERY)

    def orders(self, keyword: str, page: int) -> tuple[list[Listed], int]:
        """Return one page of the list of orders, newest first, and how many pages there are."""
        path = f"/api/v2/orders?page={page}&limit=100&keyword={quote(keyword, safe='')}"
        return self._ask(Call.LIST, "GET", path, read_listed)

    def ping(self) -> None:
        self._ask(Call.LIST, "GET", "/api/v2/orders?page=1&limit=1", lambda _: None)

    def upload(self, url: str, source: BinaryIO, size: int, media_type: str, md5: bytes | None) -> None:
        """Send what `source` holds from where it stands. Tried again here only if it can be wound back to there."""
        self._check_storage_url(url)
        headers = {"Content-Type": media_type}
        if md5 is not None:
            headers["Content-MD5"] = b64encode(md5).decode("ascii")
        body = Body(source, size)

        def send() -> None:
            answer = self._transport.put(url, headers, body)
            if not answer.is_success:
                raise storage_error_of(answer.status, answer.body)

        def send_once() -> None:
            self._check_stop()
            self._tally.count("upload", send)

        if body.is_repeatable:
            self._repeat(send_once)
        else:
            send_once()
        self._tally.moved("sent", size)

    def fetch(self, url: str, sink: Callable[[bytes], object], *, limit_bytes: int) -> int:
        """Pour the file into `sink` and return its length. Never tried again here: the sink remembers."""
        self._check_storage_url(url)
        self._check_stop()

        def receive() -> int:
            got = self._transport.get(url, sink, limit_bytes)
            if isinstance(got, int):
                return got
            raise storage_error_of(got.status, got.body, is_upload=False)

        received = self._tally.count("fetch", receive)
        self._tally.moved("received", received)
        return received

    def close(self) -> None:
        """Cut what is under way and let every connection go."""
        self._transport.close()

    def _read(self, call: Call, path: str, read: Callable[[object], _T]) -> _T:
        """Read an order in the server's dialect; the first order that is read shows which one that is.

        v3 is asked first: when an order's own handler answers, the server has it, and nothing was asked in vain. When
        nobody does (a 404 of the web server's, 405, 501), v2 is asked for the same order, and only its answer for that
        order settles for v2: a gateway's passing 404 can not.
        """
        if self._reads is not None:
            try:
                return self._read_in(self._reads, call, path, read)
            except Retired:
                self._reads = None if self._is_auto else self._reads  # the server has learned v3 since
                raise
        try:
            return self._read_in("v3", call, path, read)
        except (NoRoute, OrderMissing) as error:
            if _is_of_an_order(error):
                raise
        return self._read_in("v2", call, path, read)

    def _require_ours(self, order_id: str) -> None:
        """Ask v2, which alone tells another account's order from one that is gone. Raises Blocked for the former."""
        with suppress(OrderMissing, NoRoute, Retired):  # it says the same, or is no longer there
            self._ask(Call.LOOK, "GET", f"/api/v2{_path_of(order_id)}", read_look)
            raise OrderRetry("one version of the service's API knows the order, the other does not", code="VERSIONS")

    def _read_in(self, reads: Reads, call: Call, path: str, read: Callable[[object], _T]) -> _T:
        try:
            answer = self._ask(call, "GET", f"/api/{reads}{path}", read)
        except WatchfolderError as error:
            if self._reads is None and _is_of_an_order(error):
                self._reads = reads
            raise
        self._reads = reads
        return answer

    def _ask(
        self,
        call: Call,
        method: str,
        path: str,
        read: Callable[[object], _T],
        *,
        body: str | None = None,
        turn: Priority | None = None,
    ) -> _T:
        if turn is None:
            turn = Priority.PURCHASE if call in {Call.CREATE, Call.LIST} else Priority.DELIVERY

        def ask_once() -> _T:
            self._budget.take(turn)
            return self._tally.count(call, lambda: self._ask_once(call, method, path, read, body))

        return self._repeat(ask_once)

    def _repeat(self, once: Callable[[], _T]) -> _T:
        """Try it again while that may help. What is raised says whether an earlier try may have been heard."""
        tries = itertools.count()

        def try_once() -> _T:
            was_repeated = next(tries) > 0
            try:
                return once()
            except WatchfolderError as error:
                error.was_repeated = was_repeated
                raise

        answer: _T = self._persist(try_once)
        return answer

    def _ask_once(self, call: Call, method: str, path: str, read: Callable[[object], _T], body: str | None) -> _T:
        headers = {**self._authorization, "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        sent = body.encode() if body is not None else None
        with self._calls:
            self._check_stop()
            answer = self._transport.call(method, self._base_url + path, headers, sent)
        envelope = read_envelope(answer.body)
        if envelope.is_own and answer.status < 500:  # noqa: PLR2004 (an outage that speaks JSON is still one)
            self.answered_at = time.monotonic()
        if not answer.is_success:
            error = error_of(call, answer.status, envelope.code, answer.headers, is_json=envelope.is_json)
            if isinstance(error, SlowDown):
                self._budget.slow_down(error.retry_after_seconds)
            if error.code == _TEST_KEYS_WORD and self._is_live:
                raise OrderRetry("the service has no result for a file yet", code=error.code)
            raise error
        is_plain_yes = call is Call.WEBHOOK and answer.status == 204  # noqa: PLR2004 (No Content, to a removal)
        if not envelope.has_data and not is_plain_yes:
            raise faulty("not the API's own words")
        return read(envelope.data)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Retry("stopping", code="STOPPING")

    def _check_storage_url(self, url: str) -> None:
        """Refuse a link that would carry pictures in the clear, or make us log in somewhere."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise faulty("a link that is no address") from None
        is_ours = self._is_loopback and parts.scheme == "http" and _is_loopback(host)
        if not host or port == 0 or "@" in parts.netloc or not (is_ours or parts.scheme == "https"):
            raise faulty("a link that is not plainly https")


def _path_of(order_id: str) -> str:
    return f"/orders/{quote(order_id, safe='')}"


def _is_of_an_order(error: WatchfolderError) -> bool:
    return error.code.startswith("ORDER_")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_worth_another_try(error: BaseException) -> bool:
    return isinstance(error, Retry) and not isinstance(error, SlowDown | FolderFault | NoRoute | FileChanged)
