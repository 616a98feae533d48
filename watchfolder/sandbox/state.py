"""What the stand-in service knows: orders, who paid for what, and every request that broke the contract."""

import itertools
import random
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple

from watchfolder.sandbox.options import Caller, Options
from watchfolder.sandbox.orders import InputFile, OrderType, OutputFile, SandboxOrder, now

_REQUESTS_KEPT = 200_000
_REPORT_ATTEMPTS = 3
_TOLERANCE = 0.1  # of look_seconds: what scheduling and the network may take off a client's second


class ApiRefusal(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code


@dataclass
class Report:
    locale: str
    attempt: int
    seconds: float
    failure: str | None
    began_at: datetime = field(default_factory=now)

    @property
    def status(self) -> str:
        if now() < self.began_at + timedelta(seconds=self.seconds):
            return "processing"
        return "failed" if self.failure else "completed"

    @property
    def may_retry(self) -> bool:
        return self.attempt < _REPORT_ATTEMPTS


class Embedded(NamedTuple):
    account: str
    sha256: str  # of the original
    text: str


@dataclass
class Endpoint:
    """An address that an account registered for pushes; one for test orders gets no others."""

    number: int
    account: str
    url: str
    name: str
    is_test: bool
    secret: str
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)


@dataclass
class RequestRecord:
    """One request. `status` is None while it is under way, 0 when the connection was cut instead of an answer."""

    operation: str
    time: datetime
    method: str
    path: str
    status: int | None = None


class SandboxState:
    """Guarded by `lock`, held from a read to the write that depends on it."""

    on_start: Callable[[SandboxOrder], None]  # told of an order whose work begins

    def __init__(self, options: Options) -> None:
        self.options = options
        self.lock = threading.RLock()
        self._ids = itertools.count(1_900_000_000_000_000_000 + secrets.randbelow(10**9), 13)
        self.webhook_numbers = itertools.count(1)
        self.clear()

    def clear(self) -> None:
        with self.lock:
            self.orders: dict[str, SandboxOrder] = {}
            self.created: dict[tuple[str, str], SandboxOrder] = {}  # by owner and idempotency key
            self.confirms: dict[tuple[str, str], SandboxOrder] = {}
            self.webhooks: dict[int, Endpoint] = {}
            self.sins: list[str] = []
            self.requests: deque[RequestRecord] = deque(maxlen=_REQUESTS_KEPT)
            self._credits: Counter[str] = Counter()  # by type of order, and of reports
            self.usage: Counter[tuple[str, date]] = Counter()  # by account and day
            self._paid_files: Counter[str] = Counter()
            self._to_give_back: list[SandboxOrder] = []
            self.marks: dict[str, Embedded] = {}
            self.reports: dict[tuple[str, str], Report] = {}  # by order id and language
            self._recent: dict[str, deque[float]] = {}  # by account: when it asked in the last minute
            self._looked: dict[str, float] = {}  # by order or report: when its status was seen last

    def note(self, text: str) -> None:
        """Write down a breach of the contract."""
        with self.lock:
            self.sins.append(text)

    def let_in(self, account: str) -> None:
        """Count a request of this account, or refuse it when the plan's limit of the last minute is reached."""
        with self.lock:
            recent, moment = self._recent.setdefault(account, deque()), time.monotonic()
            while recent and recent[0] <= moment - self.options.minute_seconds:
                recent.popleft()
            if 0 < self.options.requests_per_minute <= len(recent):
                raise ApiRefusal(429, "RATE_LIMIT_EXCEEDED")
            recent.append(moment)

    def note_look(self, what: str) -> None:
        """Note that a client has seen the status of an order, or of a report on it; a breach if it was too soon."""
        with self.lock:
            moment = time.monotonic()
            since = moment - self._looked.get(what, float("-inf"))
            self._looked[what] = moment
            if since < self.options.look_seconds * (1 - _TOLERANCE):
                self.note(f"status {what}: looked at twice within {since:.2f} s")

    def create(
        self, order_type: OrderType, caller: Caller, body: dict[str, object], name: str, files: list[InputFile]
    ) -> SandboxOrder:
        options = self.options
        results = [(file, text) for file in files for text in file.texts]
        by_chance = random.uniform(0, options.processing_spread_seconds)  # noqa: S311 - no secret
        order = SandboxOrder(
            order_id=str(next(self._ids)),
            type=order_type,
            caller=caller,
            body=body,
            name=name,
            files=files,
            outputs=[OutputFile(number, file, text) for number, (file, text) in enumerate(results)],
            created_at=now(),
            processing_seconds=options.test_processing_seconds
            if caller.is_test
            else options.processing_seconds + by_chance,
            retention_days=options.retention_days,
            upload_seconds=options.watermark_upload_seconds if order_type.is_watermark else None,
        )
        self.orders[order.order_id] = order
        self.created[caller.owner, str(body["idempotencyKey"])] = order
        return order

    def start(self, order: SandboxOrder, failure: str | None = None) -> None:
        """Begin the work and take the credits: from here on the order counts as paid, also if it is to fail."""
        order.started_at = now()
        order.failure = failure
        self.on_start(order)
        if not order.is_test:
            self._count_paid(order, order.credits)
            if order.is_given_back:
                self._to_give_back.append(order)

    def charge(self, caller: Caller, service: str, credits: int) -> None:  # noqa: A002 - the service's word
        """Take credits of an account; a negative number gives them back."""
        if self.options.credits_left is not None:
            self.options.credits_left -= credits
        self._credits[service] += credits
        self.usage[caller.account, now().date()] += credits

    def _count_paid(self, order: SandboxOrder, price: int) -> None:
        self.charge(order.caller, order.type, price)
        for file in order.files:
            if file.role != "original":  # the original of a pair is not paid for
                self._paid_files[file.sha256] += 1 if price > 0 else -1

    def _give_back(self) -> None:
        over = [order for order in self._to_give_back if order.status != "inProgress"]
        for order in over:
            self._to_give_back.remove(order)
            self._count_paid(order, -order.credits)

    def paid(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return what was taken from live keys and not given back: credits by service, and how often by SHA-256."""
        with self.lock:
            self._give_back()
            return {str(service): number for service, number in (+self._credits).items()}, dict(+self._paid_files)

    def forget(self, order_id: str) -> None:
        with self.lock:
            order = self.orders.pop(order_id)
            self.created = {key: other for key, other in self.created.items() if other is not order}
            self.confirms = {key: other for key, other in self.confirms.items() if other is not order}

    def is_delayed(self, order: SandboxOrder) -> bool:
        return order.type.is_watermark and order.status == "inProgress" and self.options.processing_delayed

    def ask_credits(self, caller: Caller, price: int, status: int = 400, code: str = "USAGE_NOT_ENOUGH") -> None:
        self._give_back()
        left = self.options.credits_left
        if left is not None and price > left and not caller.is_test:
            raise ApiRefusal(status, code)
