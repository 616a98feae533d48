"""What the service pushes: is a delivery genuine, and which order is it about?

A push is a hint to poll an order, never a fact about it. The listener hands deliveries in, the pipeline takes the
hints out; neither waits for the other, and nothing here touches a disk or a network.
"""

import hmac
import json
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from enum import StrEnum

from watchfolder.services import FLOWS

SIGNATURE_HEADER = "X-MoriBiz-Signature"

_TYPES = frozenset(f"order.{flow.type}.{end}" for flow in FLOWS.values() for end in ("completed", "failed"))
_MOST_SEEN = 10_000  # event ids
_MOST_WAITING = 10_000  # hints; a beat takes them all
_LONGEST_ID = 255


class PushResult(StrEnum):
    """What became of a delivery."""

    NUDGED = "nudged"  # its order is polled now
    LATE = "late"  # a poll was quicker
    UNKNOWN_ORDER = "unknown_order"  # another program's on the same account, or one long since delivered
    DUPLICATE = "duplicate"
    OTHER_TYPE = "other_type"
    UNREADABLE = "unreadable"  # signed well, and still not the JSON that it should be
    OVERSIZED = "oversized"
    WRONG_SIGNATURE = "wrong_signature"
    NOT_REGISTERED = "not_registered"  # there is no secret to check it with


def signature(secret: str, body: bytes) -> str:
    return hmac.digest(secret.encode(), body, "sha256").hex()


class Pushes:
    """The queue between the listener's threads and the pipeline's one. Counts are since the start."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._waiting: deque[str] = deque(maxlen=_MOST_WAITING)
        self._counts = dict.fromkeys(PushResult, 0)
        self._wake: Callable[[], None] = lambda: None

    def wake_with(self, wake: Callable[[], None]) -> None:
        """Have `wake` called whenever there is a hint to take."""
        self._wake = wake

    def receive(self, body: bytes, signed: str, secret: str) -> PushResult | None:
        """Judge a delivery. None: its order's id waits for the pipeline, which will count the result."""
        result, event_id, order_id = _judge(body, signed, secret)
        with self._guard:
            if event_id in self._seen:
                result = PushResult.DUPLICATE
            elif event_id:
                self._seen[event_id] = None
                if len(self._seen) > _MOST_SEEN:
                    self._seen.popitem(last=False)
            if result is None:
                self._waiting.append(order_id)
            else:
                self._counts[result] += 1
        if result is None:
            self._wake()
        return result

    def take(self) -> list[str]:
        """Return the ids of the orders that the service has spoken of since the last time."""
        with self._guard:
            waiting = list(self._waiting)
            self._waiting.clear()
        return waiting

    def count(self, result: PushResult) -> None:
        with self._guard:
            self._counts[result] += 1

    def counts(self) -> dict[str, int]:
        with self._guard:
            return {str(result): number for result, number in self._counts.items()}


def _judge(body: bytes, signed: str, secret: str) -> tuple[PushResult | None, str, str]:
    """Return what is wrong with a delivery, and the ids of its event and its order.

    Read tolerantly: an id may be a number. Its time is not checked: a late push is a hint as well.
    """
    if not secret:
        return PushResult.NOT_REGISTERED, "", ""
    given = signed.strip().lower().encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(signature(secret, body).encode(), given):
        return PushResult.WRONG_SIGNATURE, "", ""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        return PushResult.UNREADABLE, "", ""
    data = event.get("data")
    event_id, order_id = _id(event.get("eventId")), _id(data.get("orderId") if isinstance(data, dict) else None)
    if _id(event.get("eventType")) not in _TYPES:
        return PushResult.OTHER_TYPE, event_id, order_id
    return None if order_id else PushResult.UNREADABLE, event_id, order_id


def _id(value: object) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if len(text) <= _LONGEST_ID else ""
