"""The operations on the service that an order needs, each in words of our own and raising only our own errors."""

import json
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import BinaryIO, Literal, TypeVar
from urllib.parse import quote, urlsplit

from watchfolder.api.answers import (
    Created,
    Links,
    Listed,
    OrderView,
    ReportView,
    Slot,
    faulty,
    read_created,
    read_found,
    read_links,
    read_listed,
    read_newest,
    read_of,
    read_slot_list,
)
from watchfolder.api.client import Client
from watchfolder.api.rate_limiter import Priority
from watchfolder.api.table import Call, NoRoute, Retired, storage_error_of
from watchfolder.api.transport import Body
from watchfolder.config.values import is_loopback
from watchfolder.errors import OrderMissing, OrderRetry, WatchfolderError
from watchfolder.events import event

Reads = Literal["v2", "v3"]
_T = TypeVar("_T")
_EXPIRED = "ORDER_EXPIRED"
_NO_RETENTION = "FILE_RETENTION_UNKNOWN"
_NO_ORDER = "/orders/0"  # an id that no order has
_PAGES = 10  # of the order list, at most: a server that obeys the keyword has one
_ASK_AGAIN_SECONDS = 60.0
ASK_FOR_V3_SECONDS = 3600.0  # a server that lacks what an inbox waits for may learn it
_turn_to_ask = threading.Lock()  # for one thread at a time to begin asking which reads the server knows


class Service(Client):
    _shown: Reads | None = None  # which reads the server has shown that it knows; of both, v3
    _is_asking = False  # a thread is asking which reads the server knows
    _asked_at = float("-inf")

    @property
    def reads(self) -> Reads:
        """Which reads the server knows. If no order has shown it yet, an order that cannot exist is asked for."""
        if self.known_reads is None:
            self._ask_reads()
        return self.known_reads or "v3"

    @property
    def known_reads(self) -> Reads | None:
        return self._shown if self._settings.reads == "auto" else self._settings.reads

    def most_files(self, wanted: int, now: float, tell: Callable[[], None], *, needs_v3: bool) -> int:
        """Return how many of `wanted` files an order may hold: with v2 reads one, or 0 where the service needs v3.

        0, too, while the server is being asked which it knows, in a thread which calls `tell` at its end. Where nobody
        answers, 1: an order of one file shows what is wrong. `now` is in seconds.
        """
        lacks_v3 = needs_v3 and self.known_reads == "v2"
        if self.known_reads is None or (lacks_v3 and self._settings.reads == "auto"):
            self._ask_aside(now - (ASK_FOR_V3_SECONDS if lacks_v3 else _ASK_AGAIN_SECONDS), now, tell)
        if self.known_reads == "v3":
            return wanted
        is_to_come = self.known_reads is None and self._is_asking
        return 0 if lacks_v3 or is_to_come else 1

    def create(self, path: str, body: str, sent_names: Sequence[str]) -> Created:
        read, priority = partial(read_created, sent_names=sent_names), Priority.PURCHASE
        return self._ask(Call.CREATE, "POST", path, read, body=body, priority=priority)

    def refresh(self, order_id: str) -> tuple[Slot, ...]:
        path, read = f"/api/v2{_path_of(order_id)}/refresh-urls", partial(read_of, read_slot_list, order_id)
        return self._ask(Call.ORDER, "POST", path, read)

    def confirm(self, path: str, start_key: str, order_id: str) -> None:
        """Start the processing. What the answer holds differs between servers; poll the order instead."""
        body = json.dumps({"idempotencyKey": start_key, "orderId": order_id})
        self._ask(Call.CONFIRM, "POST", path, lambda _: None, body=body)

    def poll(self, order_id: str) -> OrderView:
        """Return how the order is. Raises Blocked if it is another account's, where the server can tell that."""
        try:
            return self._read(Call.LOOK, _path_of(order_id), partial(read_of, OrderView.read, order_id))
        except OrderMissing as gone:
            if gone.code != _EXPIRED and self.known_reads == "v3":
                self._require_ours(order_id)
            raise

    def links(self, order_id: str, *, or_of_v2: bool = False) -> Links:
        """Return where the results lie. `or_of_v2`: ask v2, too, if v3 does not know yet how long it keeps them."""
        path, read = f"{_path_of(order_id)}/download", partial(read_of, read_links, order_id)
        try:
            return self._read(Call.ORDER, path, read)
        except OrderRetry as trouble:
            if not or_of_v2 or trouble.code != _NO_RETENTION or self.known_reads == "v2":
                raise
            with suppress(NoRoute, Retired):  # a server without them
                return self._ask(Call.ORDER, "GET", f"/api/v2{path}", read)
            raise

    def ask_for_report(self, order_id: str, locale: str) -> ReportView:
        """Have a report made; repeated, it is the same one, and one that failed is begun again."""
        path, body = f"/api/v3{_path_of(order_id)}/reports", json.dumps({"locale": locale})
        return self._ask(Call.REPORT, "POST", path, partial(read_of, ReportView.read, order_id), body=body)

    def report(self, order_id: str, locale: str) -> ReportView:
        """Return how far the report is. Raises Resync if nobody has asked for it."""
        path = f"/api/v3{_path_of(order_id)}/reports/{quote(locale, safe='')}"
        return self._ask(Call.REPORT, "GET", path, partial(read_of, ReportView.read, order_id))

    def find(self, order_name: str) -> Listed | None:
        found, page, pages = None, 0, 1
        while found is None and page < min(pages, _PAGES):
            page += 1
            found, pages = self._list(lambda data: read_found(data, order_name), page, keyword=order_name)
        return found

    def newest(self) -> Mapping[str, OrderView]:
        """Return what the list shows of the newest hundred orders, by id: cheaper than a poll of each of several."""
        return self._list(read_newest, priority=Priority.DELIVERY)

    def orders(self, keyword: str, page: int) -> tuple[list[Listed], int]:
        """Return one page of the list of orders, newest first, and how many pages there are."""
        return self._list(read_listed, page, keyword=keyword)

    def ping(self) -> None:
        self._list(lambda _: None, limit=1)

    def _list(
        self,
        read: Callable[[object], _T],
        page: int = 1,
        *,
        limit: int = 100,
        keyword: str = "",
        priority: Priority = Priority.PURCHASE,
    ) -> _T:
        wanted = f"&keyword={quote(keyword, safe='')}" if keyword else ""
        path = f"/api/v2/orders?page={page}&limit={limit}{wanted}"
        return self._ask(Call.LIST, "GET", path, read, priority=priority)

    def upload(self, url: str, source: BinaryIO, size: int, media_type: str, md5: bytes | None) -> None:
        """Send what `source` holds."""
        self._check_url(url)
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
            self._counters.count("upload", send)

        self._try_again(send_once)
        self._counters.moved("sent", size)

    def fetch(self, url: str, sink: Callable[[bytes], object], *, limit_bytes: int) -> int:
        """Copy the file into `sink` and return its length. Never tried again here: the sink has a part of it."""
        self._check_url(url)
        self._check_stop()

        def receive() -> int:
            got = self._transport.get(url, sink, limit_bytes)
            if isinstance(got, int):
                return got
            raise storage_error_of(got.status, got.body, is_upload=False)

        received = self._counters.count("fetch", receive)
        self._counters.moved("received", received)
        return received

    def _read(self, call: Call, path: str, read: Callable[[object], _T]) -> _T:
        """Read an order in the server's dialect; the first order that is read shows which one that is.

        v3 is asked first: when an order's own handler answers, the server has it, and nothing was asked in vain. When
        nobody does (a 404 of the web server's, 405, 501), v2 is asked for the same order, and only its answer for that
        order shows that the server knows v2 alone: a gateway's passing 404 does not.
        """
        known = self.known_reads
        if known is None:
            return self._read_unknown(call, path, read)
        try:
            return self._read_in(known, call, path, read)
        except Retired:
            self._shown = None  # the server has learned v3 since
            raise

    def _read_unknown(self, call: Call, path: str, read: Callable[[object], _T]) -> _T:
        try:
            return self._read_in("v3", call, path, read)
        except (NoRoute, OrderMissing) as error:
            if _is_of_order(error):
                raise
        return self._read_in("v2", call, path, read)

    def _require_ours(self, order_id: str) -> None:
        """Ask v2, which alone tells another account's order from one that is gone. Raises Blocked for the former."""
        with suppress(OrderMissing, NoRoute, Retired):  # v2 says the same, or is no longer there
            self._ask(Call.LOOK, "GET", f"/api/v2{_path_of(order_id)}", OrderView.read)
            raise OrderRetry("one version of the service's API knows the order, the other does not", code="VERSIONS")

    def _read_in(self, reads: Reads, call: Call, path: str, read: Callable[[object], _T]) -> _T:
        try:
            answer = self._ask(call, "GET", f"/api/{reads}{path}", read)
        except WatchfolderError as error:
            if _is_of_order(error):
                self._note_reads(reads)
            raise
        self._note_reads(reads)
        return answer

    def _note_reads(self, reads: Reads) -> None:
        if self._shown != "v3":  # a v2 answer to a call that began earlier says nothing against v3
            self._shown = reads

    def _ask_reads(self) -> None:
        with suppress(OrderMissing):  # as it should be
            self._read_unknown(Call.LOOK, _NO_ORDER, lambda _: None)

    def _ask_aside(self, since: float, now: float, tell: Callable[[], None]) -> None:
        """Ask in a thread of its own, unless that was done since then."""
        with _turn_to_ask:
            if self._asked_at < since:
                self._asked_at, self._is_asking = now, True
                threading.Thread(target=self._tell_reads, args=(tell,), name="reads", daemon=True).start()

    def _tell_reads(self, tell: Callable[[], None]) -> None:
        try:
            with suppress(WatchfolderError):  # then orders hold one file each, and show what is wrong
                self._ask_reads()
                event("service.reads", reads=self.reads)
        finally:
            self._is_asking = False  # first: the inbox that `tell` wakes asks again
            tell()

    def _check_url(self, url: str) -> None:
        """Refuse a link that would carry pictures in the clear, or make us log in somewhere."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise faulty("a link that is no address") from None
        is_ours = self._settings.is_loopback and parts.scheme == "http" and is_loopback(host)
        if not host or port == 0 or "@" in parts.netloc or not (is_ours or parts.scheme == "https"):
            raise faulty("a link that is not plainly https")


def _path_of(order_id: str) -> str:
    return f"/orders/{quote(order_id, safe='')}"


def _is_of_order(error: WatchfolderError) -> bool:
    return error.code.startswith("ORDER_")
