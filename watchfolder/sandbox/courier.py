"""Pushes the end of an order to the webhooks of its account: signed, and again until it was taken."""

import asyncio
import hmac
import http.client
import itertools
import json
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from urllib.parse import urlsplit

from watchfolder.sandbox.api import instant
from watchfolder.sandbox.faults import PUSH, Faults, PlannedFault
from watchfolder.sandbox.orders import SandboxOrder, now
from watchfolder.sandbox.product import Products
from watchfolder.sandbox.state import Endpoint, SandboxState

_SIDE_BY_SIDE = 8
_CLOCKS_APART_SECONDS = 0.01
_SUCCESS = range(200, 300)


@dataclass(frozen=True)
class PushRecord:
    webhook: int
    event_id: str
    event_type: str
    order_id: str
    time: datetime
    status: int  # of the answer; 0: there was none


@dataclass
class PushedEvent:
    """One event for one webhook; every attempt sends the same bytes."""

    number: int
    event_id: str
    event_type: str
    order_id: str
    occurred_at: datetime
    webhook: Endpoint
    body: bytes
    signature: str
    attempts: list[PushRecord] = field(default_factory=list)
    is_retrying: bool = False

    @property
    def status(self) -> str:
        if any(attempt.status in _SUCCESS for attempt in self.attempts):
            return "SENT"
        if not self.attempts:
            return "PENDING"
        return "RETRYING" if self.is_retrying else "FAILED"

    @property
    def last_sent_at(self) -> datetime | None:
        return self.attempts[-1].time if self.attempts else None


class Courier:
    """Works from `start` to `stop`, in threads of its own."""

    def __init__(self, state: SandboxState, products: Products, faults: Faults) -> None:
        self._state = state
        self._products = products
        self._faults = faults
        self._events: list[PushedEvent] = []
        self._event_numbers = itertools.count(1)
        self._carriers = ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="sandbox-courier")

    def start(self) -> None:
        self._agenda = asyncio.new_event_loop()
        self._clock = threading.Thread(target=self._agenda.run_forever, name="sandbox-agenda", daemon=True)
        self._clock.start()

    def stop(self) -> None:
        self._agenda.call_soon_threadsafe(self._agenda.stop)
        self._clock.join()
        self._carriers.shutdown(cancel_futures=True)
        self._agenda.close()

    def clear(self) -> None:
        """Forget all events; what is on the agenda finds no order and no webhook."""
        with self._state.lock:
            self._events.clear()

    def events(self, webhook: int | None = None) -> list[PushedEvent]:
        with self._state.lock:
            return [event for event in self._events if webhook in (None, event.webhook.number)]

    def started(self, order: SandboxOrder) -> None:
        self._plan(order.processing_seconds, partial(self._tell, order))

    def _tell(self, order: SandboxOrder) -> None:
        with self._state.lock:
            if self._state.orders.get(order.order_id) is not order or order.status == "expired":
                return
            webhooks = [
                webhook
                for webhook in self._state.webhooks.values()
                if webhook.account == order.caller.account and webhook.is_test == order.is_test
            ]
        if order.status == "inProgress":  # the wall clock is a little behind the event loop's
            self._plan(_CLOCKS_APART_SECONDS, partial(self._tell, order))
            return
        for webhook in webhooks:
            fault = self._faults.take(PUSH)
            event = self._event(order, webhook, fault)
            with self._state.lock:
                self._events.append(event)
            for seconds in _waits(fault):
                self._plan(seconds, partial(self.send, event, tuple(self._state.options.push_retry_seconds)))

    def _event(self, order: SandboxOrder, webhook: Endpoint, fault: PlannedFault | None) -> PushedEvent:
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
            data |= {"completedAt": at, **self._products[order.type].event(order)}
        else:
            data |= {"failedAt": at, "errorCode": None, "errorMessage": None, **(order.reason or {})}
        body = json.dumps({"eventId": event_id, "eventType": event_type, "occurredAt": at, "data": data}).encode()
        secret = webhook.secret if fault is None or fault.does != "wrong_signature" else "whsec_of_somebody_else"
        signature = hmac.digest(secret.encode(), body, "sha256").hex()
        number, ended_at = next(self._event_numbers), order.updated_at
        return PushedEvent(number, event_id, event_type, order.order_id, ended_at, webhook, body, signature)

    def send(self, event: PushedEvent, retries: tuple[float, ...] = ()) -> None:
        """Send it once, and again after each of these seconds until it was taken or its webhook was removed."""
        number = event.webhook.number
        if number not in self._state.webhooks:
            return
        status = self._post(event)
        with self._state.lock:
            event.attempts.append(PushRecord(number, event.event_id, event.event_type, event.order_id, now(), status))
            event.is_retrying = status not in _SUCCESS and bool(retries)
        if event.is_retrying:
            self._plan(retries[0], partial(self.send, event, retries[1:]))

    def _post(self, event: PushedEvent) -> int:
        parts = urlsplit(event.webhook.url)
        if parts.scheme == "https":  # all others are on this machine, which nothing leaves
            return 0
        headers = {"Content-Type": "application/json", "X-MoriBiz-Signature": event.signature}
        seconds = self._state.options.push_answer_seconds
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port or 80, timeout=seconds)
        try:
            target = parts._replace(scheme="", netloc="", path=parts.path or "/", fragment="").geturl()
            connection.request("POST", target, event.body, headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def _plan(self, seconds: float, task: Callable[[], None]) -> None:
        begin = partial(self._carriers.submit, task)
        self._agenda.call_soon_threadsafe(lambda: self._agenda.call_later(seconds, begin))


def _waits(fault: PlannedFault | None) -> list[float]:
    """Return in how many seconds an event is sent, one number for each time that it is."""
    if fault is None:
        return [0.0]
    return {"never": [], "late": [fault.seconds], "duplicate": [0.0, 0.0]}.get(fault.does, [0.0])
