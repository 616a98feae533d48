"""Carries the news of finished orders to the webhooks of their account: signed, and again until it was taken."""

import heapq
import hmac
import http.client
import itertools
import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from watchfolder.sandbox.answers import instant
from watchfolder.sandbox.failures import failure_of
from watchfolder.sandbox.faults import PUSH, Fault, Faults
from watchfolder.sandbox.orders import OrderType, SandboxOrder, now
from watchfolder.sandbox.product import Product
from watchfolder.sandbox.state import State, Webhook

_SIDE_BY_SIDE = 8
_A_HAIR_SECONDS = 0.01
_SUCCESS = range(200, 300)
_LOOPBACK: Final = {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True)
class Attempt:
    """One delivery. `status` is what was answered, 0 when nothing was."""

    time: datetime
    status: int


@dataclass
class Event:
    """One piece of news for one webhook; every attempt sends the same bytes."""

    number: int
    event_id: str
    event_type: str
    order_id: str
    occurred_at: datetime
    webhook: Webhook
    body: bytes
    signature: str
    attempts: list[Attempt] = field(default_factory=list)
    is_retrying: bool = False

    @property
    def is_delivered(self) -> bool:
        return any(attempt.status in _SUCCESS for attempt in self.attempts)

    @property
    def status(self) -> str:
        if self.is_delivered:
            return "SENT"
        if not self.attempts:
            return "PENDING"
        return "RETRYING" if self.is_retrying else "FAILED"

    @property
    def last_sent_at(self) -> datetime | None:
        return self.attempts[-1].time if self.attempts else None


class Courier:
    """Works from `start` to `stop`, in threads of its own."""

    def __init__(self, state: State, products: Mapping[OrderType, Product], faults: Faults) -> None:
        self._state = state
        self._products = products
        self._faults = faults
        self._events: list[Event] = []
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._event_numbers = itertools.count(1)
        self._change = threading.Condition()
        self._is_ending = False
        self._carriers = ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="sandbox-courier")
        self._clock = threading.Thread(target=self._run, name="sandbox-agenda", daemon=True)

    def start(self) -> None:
        self._clock.start()

    def stop(self) -> None:
        with self._change:
            self._is_ending = True
            self._change.notify()
        self._clock.join()
        self._carriers.shutdown(cancel_futures=True)

    def reset(self) -> None:
        with self._change:
            self._events.clear()
            self._agenda.clear()

    def events(self) -> list[Event]:
        with self._change:
            return list(self._events)

    def events_of(self, webhook: int) -> list[Event]:
        return [event for event in self.events() if event.webhook.number == webhook]

    def started(self, order: SandboxOrder) -> None:
        """Have the end of an order told when it has come."""
        self._in(order.processing_seconds, lambda: self._tell(order))

    def send_now(self, event: Event) -> Attempt:
        """Send it once more, and wait for the answer."""
        self._send(event, ())
        return event.attempts[-1]

    def _tell(self, order: SandboxOrder) -> None:
        with self._state.lock:
            if self._state.orders.get(order.order_id) is not order or order.status == "expired":
                return
            webhooks = [
                webhook
                for webhook in self._state.webhooks.values()
                if webhook.account == order.caller.account and webhook.is_test == order.is_test
            ]
        if order.status == "inProgress":  # the two clocks differ by a hair
            self._in(_A_HAIR_SECONDS, lambda: self._tell(order))
            return
        for webhook in webhooks:
            fault = self._faults.take(PUSH)
            event = self._event(order, webhook, fault)
            with self._change:
                self._events.append(event)
            for seconds in _waits(fault):
                self._in(seconds, partial(self._send, event, tuple(self._state.options.push_retry_seconds)))

    def _event(self, order: SandboxOrder, webhook: Webhook, fault: Fault | None) -> Event:
        event_id, status, at = str(uuid.uuid4()), order.status, instant(order.updated_at)
        event_type = f"order.{order.type}.{'completed' if status == 'complete' else 'failed'}"
        data: dict[str, object] = {
            "orderId": order.order_id,
            "orderName": order.name,
            "status": status,
            "createdAt": instant(order.created_at),
            "updatedAt": at,
        }
        if status == "complete":
            data |= {"completedAt": at, **self._products[order.type].pushed(order)}
        else:
            data |= {"failedAt": at, "errorCode": None, "errorMessage": None, **(failure_of(order) or {})}
        body = json.dumps({"eventId": event_id, "eventType": event_type, "occurredAt": at, "data": data}).encode()
        secret = webhook.secret if fault is None or fault.does != "wrong_signature" else "whsec_of_somebody_else"
        signature = hmac.digest(secret.encode(), body, "sha256").hex()
        number, ended_at = next(self._event_numbers), order.updated_at
        return Event(number, event_id, event_type, order.order_id, ended_at, webhook, body, signature)

    def _send(self, event: Event, retries: tuple[float, ...]) -> None:
        status = self._post(event)
        with self._change:
            event.attempts.append(Attempt(now(), status))
            event.is_retrying = (
                status not in _SUCCESS and bool(retries) and event.webhook.number in self._state.webhooks
            )
        if event.is_retrying:
            self._in(retries[0], lambda: self._send(event, retries[1:]))

    def _post(self, event: Event) -> int:
        parts = urlsplit(event.webhook.url)
        if parts.scheme != "http" or parts.hostname not in _LOOPBACK:
            return 0
        headers = {"Content-Type": "application/json", "X-MoriBiz-Signature": event.signature}
        seconds = self._state.options.push_answer_seconds
        connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=seconds)
        try:
            connection.request("POST", parts.path or "/", event.body, headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def _in(self, seconds: float, task: Callable[[], None]) -> None:
        with self._change:
            heapq.heappush(self._agenda, (time.monotonic() + seconds, next(self._numbers), task))
            self._change.notify()

    def _run(self) -> None:
        while True:
            with self._change:
                if self._is_ending:
                    return
                wait = self._agenda[0][0] - time.monotonic() if self._agenda else None
                if wait is None or wait > 0:
                    self._change.wait(wait)
                    continue
                _, _, task = heapq.heappop(self._agenda)
            with suppress(RuntimeError):  # we are ending
                self._carriers.submit(task)


def _waits(fault: Fault | None) -> list[float]:
    """Return when an event is sent, in seconds from now, once for each time."""
    match fault.does if fault else "":
        case "never":
            return []
        case "late":
            return [fault.seconds] if fault else []
        case "duplicate":
            return [0.0, 0.0]
    return [0.0]
