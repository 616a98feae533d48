"""What the stand-in service knows: orders, who paid for what, and every request that broke the contract."""

import itertools
import random
import secrets
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from watchfolder.sandbox.options import Caller, Options

if TYPE_CHECKING:
    from collections.abc import Callable

_REQUESTS_KEPT = 200_000
_TOLERANCE = 0.1  # of look_seconds: what scheduling and the network may take off a client's second


def now() -> datetime:
    return datetime.now(UTC)


class Refusal(Exception):
    """The service answers this HTTP status with this code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code


@dataclass
class InputFile:
    """One file of an order; `path` is where its bytes lie once they were uploaded (none for a test key's)."""

    number: int
    name: str
    file_id: int
    output_id: int
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    is_uploaded: bool = False
    was_uploaded: bool = False  # an upload was answered with success, whatever became of the bytes
    is_picture: bool = False
    path: Path | None = None
    sha256: str = ""
    size: int = 0


@dataclass
class SandboxOrder:
    """An order as the service keeps it."""

    order_id: str
    caller: Caller
    idempotency_key: str
    body: object
    name: str
    strength: str
    files: list[InputFile]
    created_at: datetime
    processing_seconds: float
    retention_days: float | None
    confirmed_at: datetime | None = None
    confirm_key: str | None = None
    failure: str | None = None  # the code that it fails with, whatever its files are; empty: none is told
    token: str = field(default_factory=lambda: secrets.token_hex(16))  # of a test order's ZIP

    @property
    def is_test(self) -> bool:
        return self.caller.is_test

    @property
    def is_confirmed(self) -> bool:
        return self.confirmed_at is not None

    @property
    def will_fail(self) -> bool:
        return self.failure is not None or any(
            Path(file.name).stem.endswith("_fail") or not file.is_picture for file in self.files
        )

    @property
    def failure_code(self) -> str:
        return "PROCESSING_ERROR" if self.failure is None else self.failure

    @property
    def expires_at(self) -> datetime | None:
        return None if self.retention_days is None else self.created_at + timedelta(days=self.retention_days)

    @property
    def updated_at(self) -> datetime:
        if self.confirmed_at is None:
            return self.created_at
        return min(now(), self.confirmed_at + timedelta(seconds=self.processing_seconds))

    @property
    def status(self) -> str:
        if self.expires_at is not None and now() >= self.expires_at:
            return "expired"
        if self.confirmed_at is None:
            return "pending"
        if now() < self.confirmed_at + timedelta(seconds=self.processing_seconds):
            return "inProgress"
        return "failed" if self.will_fail else "complete"


@dataclass
class Webhook:
    """Where an account wants to be told; those for test orders hear of nothing else."""

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


def _by_chance(options: Options) -> float:
    return options.processing_seconds + random.uniform(0, options.processing_spread_seconds)  # noqa: S311 - no secret


class State:
    """Guarded by `lock`, which whoever reads and then writes holds from the one to the other."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.lock = threading.RLock()
        self._ids = itertools.count(1_900_000_000_000_000_000 + secrets.randbelow(10**9), 13)
        self._file_ids = itertools.count(501)
        self.webhook_numbers = itertools.count(1)
        self.on_confirm: Callable[[SandboxOrder], None] = lambda _: None
        self.reset()

    def reset(self) -> None:
        with self.lock:
            self.orders: dict[str, SandboxOrder] = {}
            self.created: dict[tuple[str, str], SandboxOrder] = {}  # by owner and idempotency key
            self.confirms: dict[tuple[str, str], SandboxOrder] = {}
            self.webhooks: dict[int, Webhook] = {}
            self.sins: list[str] = []
            self.requests: deque[RequestRecord] = deque(maxlen=_REQUESTS_KEPT)
            self.paid_files: Counter[str] = Counter()
            self._recent: dict[str, deque[float]] = {}
            self._looked: dict[str, float] = {}

    def sin(self, text: str) -> None:
        with self.lock:
            self.sins.append(text)

    def admit(self, account: str) -> None:
        """Count a request against the plan's limit in any minute; refuse what is over it."""
        with self.lock:
            recent, moment = self._recent.setdefault(account, deque()), time.monotonic()
            while recent and recent[0] <= moment - self.options.minute_seconds:
                recent.popleft()
            if 0 < self.options.requests_per_minute <= len(recent):
                raise Refusal(429, "RATE_LIMIT_EXCEEDED")
            recent.append(moment)

    def looked_at(self, order_id: str) -> None:
        """Note a status that reached its client."""
        with self.lock:
            moment = time.monotonic()
            since = moment - self._looked.get(order_id, float("-inf"))
            self._looked[order_id] = moment
            if since < self.options.look_seconds * (1 - _TOLERANCE):
                self.sin(f"status {order_id}: looked at twice within {since:.2f} s")

    def create(self, caller: Caller, body: dict[str, object], names: list[str]) -> SandboxOrder:
        options, ids = self.options, self._file_ids
        choices, key, name = body.get("options"), str(body["idempotencyKey"]), body.get("orderName")
        order = SandboxOrder(
            order_id=str(next(self._ids)),
            caller=caller,
            idempotency_key=key,
            body=body,
            name=str(name) if name is not None else f"anti-ai {now():%Y-%m-%d}",
            strength=str(choices.get("strength", "high")) if isinstance(choices, dict) else "high",
            files=[InputFile(number, name, next(ids), next(ids)) for number, name in enumerate(names)],
            created_at=now(),
            processing_seconds=options.test_processing_seconds if caller.is_test else _by_chance(options),
            retention_days=options.retention_days,
        )
        self.orders[order.order_id] = order
        self.created[caller.owner, key] = order
        return order

    def confirm(self, order: SandboxOrder, key: str, failure: str | None = None) -> None:
        """Start processing, and take the credits: from here on the order counts as paid, with a `failure` as well."""
        if not order.is_test:
            self.ask_credits(len(order.files))
            if self.options.credits_left is not None:
                self.options.credits_left -= len(order.files)
            self.paid_files.update(file.sha256 for file in order.files)
        order.confirmed_at, order.confirm_key = now(), key
        order.failure = failure
        self.confirms[order.caller.owner, key] = order
        self.on_confirm(order)

    def forget(self, order_id: str) -> None:
        with self.lock:
            order = self.orders.pop(order_id)
            self.created = {key: other for key, other in self.created.items() if other is not order}
            self.confirms = {key: other for key, other in self.confirms.items() if other is not order}

    def ask_credits(self, files: int) -> None:
        left = self.options.credits_left
        if left is not None and files > left:
            raise Refusal(400, "USAGE_NOT_ENOUGH")

    @property
    def paid(self) -> int:
        """How many files were confirmed with live keys, those of failed orders included."""
        with self.lock:
            return sum(self.paid_files.values())

    @property
    def paid_failed(self) -> int:
        """How many of them belong to orders that failed or will."""
        with self.lock:
            paid = [order for order in self.orders.values() if order.is_confirmed and not order.is_test]
            return sum(len(order.files) for order in paid if order.will_fail)
