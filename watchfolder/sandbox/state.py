"""What the stand-in service knows: orders, who paid for what, and every request that broke the contract."""

import itertools
import random
import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from watchfolder.sandbox.options import Caller, Options
from watchfolder.sandbox.orders import InputFile, OrderType, Output, SandboxOrder, now

_REQUESTS_KEPT = 200_000
_TOLERANCE = 0.1  # of look_seconds: what scheduling and the network may take off a client's second


class Refusal(Exception):
    """The service answers this HTTP status with this code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code


class NewFile(NamedTuple):
    """A file of an order that is created, and how many pictures come back for it."""

    name: str
    outputs: int


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
    """Guarded by `lock`, held from a read to the write that depends on it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.lock = threading.RLock()
        self._ids = itertools.count(1_900_000_000_000_000_000 + secrets.randbelow(10**9), 13)
        self._file_ids = itertools.count(501)
        self.webhook_numbers = itertools.count(1)
        self.on_start: Callable[[SandboxOrder], None] = lambda _: None
        self.reset()

    def reset(self) -> None:
        with self.lock:
            self.orders: dict[str, SandboxOrder] = {}
            self.created: dict[tuple[str, str], SandboxOrder] = {}  # by owner and idempotency key
            self.confirms: dict[tuple[str, str], SandboxOrder] = {}
            self.webhooks: dict[int, Webhook] = {}
            self.sins: list[str] = []
            self.requests: deque[RequestRecord] = deque(maxlen=_REQUESTS_KEPT)
            self.credits: Counter[OrderType] = Counter()
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

    def create(
        self, order_type: OrderType, caller: Caller, body: dict[str, object], name: str, files: Sequence[NewFile]
    ) -> SandboxOrder:
        options, key = self.options, str(body["idempotencyKey"])
        inputs = [InputFile(number, file.name, next(self._file_ids)) for number, file in enumerate(files)]
        order = SandboxOrder(
            order_id=str(next(self._ids)),
            type=order_type,
            caller=caller,
            idempotency_key=key,
            body=body,
            name=name,
            files=inputs,
            outputs=[],
            created_at=now(),
            processing_seconds=options.test_processing_seconds if caller.is_test else _by_chance(options),
            retention_days=options.retention_days,
        )
        for new, file in zip(files, inputs, strict=True):
            for _ in range(new.outputs):
                order.outputs.append(Output(len(order.outputs), next(self._file_ids), file))
        self.orders[order.order_id] = order
        self.created[caller.owner, key] = order
        return order

    def start(self, order: SandboxOrder, failure: str | None = None) -> None:
        """Begin the work, and take the credits: from here on the order counts as paid, with a `failure` as well."""
        if not order.is_test:
            if self.options.credits_left is not None:
                self.options.credits_left -= order.price
            self.credits[order.type] += order.price
            self.paid_files.update(file.sha256 for file in order.files)
        order.started_at = now()
        order.failure = failure
        self.on_start(order)

    def forget(self, order_id: str) -> None:
        with self.lock:
            order = self.orders.pop(order_id)
            self.created = {key: other for key, other in self.created.items() if other is not order}
            self.confirms = {key: other for key, other in self.confirms.items() if other is not order}

    def ask_credits(self, caller: Caller, price: int) -> None:
        left = self.options.credits_left
        if left is not None and price > left and not caller.is_test:
            raise Refusal(400, "USAGE_NOT_ENOUGH")

    @property
    def paid(self) -> int:
        """How many credits were taken from live keys, those for orders that failed included."""
        with self.lock:
            return self.credits.total()

    @property
    def paid_failed(self) -> int:
        """How many of them belong to orders that failed or will."""
        with self.lock:
            paid = [order for order in self.orders.values() if order.is_started and not order.is_test]
            return sum(order.price for order in paid if order.will_fail)
