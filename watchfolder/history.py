"""What has come to its end, read beside the daemon: the lines of the history, and deliveries of orders under way."""

import heapq
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any
from urllib.parse import unquote_to_bytes

from watchfolder import disk
from watchfolder.disk import Place
from watchfolder.journal import read_orders
from watchfolder.order import Finding, Order, State, stays_inside

_LIMIT = 1 << 30  # bytes of a month
_SECONDS = 19  # characters of an instant down to its seconds; all are UTC, so text sorts as time does


@dataclass(frozen=True, slots=True)
class EndedFile:
    """A file with one of its results. Names as os.fsdecode gives them, below the inbox and below the outbox."""

    name: str
    size: int
    sha256: str | None
    delivered: str | None
    delivered_size: int | None
    delivered_sha256: str | None
    delivered_at: datetime | None
    finding: Finding | None = None  # what the service said of it
    recipient: str | None = None  # whose copy it is
    text: str = ""  # the watermark in it
    line: int | None = None  # of the list that its address stood in


@dataclass(frozen=True, slots=True)
class EndedOrder:
    """One order, delivered or quarantined."""

    at: datetime
    outcome: str
    key: str
    order_id: str | None
    inbox: str
    files: tuple[EndedFile, ...]
    reason: str
    service: str
    mode: str = "live"  # of the API key
    of_list: str | None = None  # the key of the list that its addresses stood in
    reused_from: str | None = None  # the key of the order that was paid for this result
    created: datetime | None = None  # at the service

    @property
    def is_delivered(self) -> bool:
        return self.outcome == State.DELIVERED

    @property
    def deliveries(self) -> tuple[EndedFile, ...]:
        """What was delivered: everything; of an order that was given up, what had come until then."""
        return tuple(file for file in self.files if file.delivered_at is not None)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivered result, and the order that brought it."""

    at: datetime
    order: EndedOrder
    file: EndedFile


def deliveries(
    state_dir: str, since: datetime | None = None, on_broken: Callable[[str], None] = lambda _month: None
) -> Iterator[Delivery]:
    """Give every delivered result, from `since` on, the latest first; also while others of its order are under way.

    The journal is read before the history: an order moves the other way, and is in one of them at least.
    """
    begun = so_far(state_dir)
    twice = {end.key for end in begun}
    told: set[tuple[str, str, str | None]] = set()
    ends = heapq.merge(begun, newest_first(state_dir, since, on_broken), key=attrgetter("at"), reverse=True)
    for delivery in _latest_first(ends):
        name = (delivery.order.key, delivery.file.name, delivery.file.delivered)
        if (since is None or delivery.at >= since) and name not in told:
            yield delivery
        if delivery.order.key in twice:
            told.add(name)


def so_far(state_dir: str) -> list[EndedOrder]:
    """Return what orders under way have delivered, each as if it had ended with that; the latest first."""
    orders = read_orders(state_dir, lambda _place, _reason: None)
    unrecorded = (order for order in orders if order.state is not State.RECORDED)
    begun = [_so_far(order) for order in unrecorded if any(result.is_news for _, result in order.results)]
    return sorted(begun, key=lambda end: end.at, reverse=True)


def _latest_first(ends: Iterable[EndedOrder]) -> Iterator[Delivery]:
    """Sort the files of `ends`: no file was delivered after its order's end, but many a one long before."""
    waiting: list[tuple[float, int, Delivery]] = []
    number = 0
    for end in ends:
        while waiting and waiting[0][2].at > end.at:
            yield heapq.heappop(waiting)[2]
        for file in end.files:
            if file.delivered_at is not None:
                delivery = Delivery(file.delivered_at, end, file)
                heapq.heappush(waiting, (-delivery.at.timestamp(), number, delivery))
                number += 1
    while waiting:
        yield heapq.heappop(waiting)[2]


def newest_first(
    state_dir: str, since: datetime | None = None, on_broken: Callable[[str], None] = lambda _month: None
) -> Iterator[EndedOrder]:
    """Give every order that ended, from `since` on, the latest first.

    Lines that a power cut tore, or that are not ours, are passed over and told, each with the file that it stands in.
    """
    floor = since.astimezone(UTC).isoformat()[:_SECONDS] if since else ""
    for month in _months(state_dir):
        if month.base < floor[:7]:
            return
        for line in reversed(disk.read_bytes(month, _LIMIT).splitlines()):
            if not line or line[7 : 7 + _SECONDS].decode("ascii", "replace") < floor:
                continue
            ended = _ended(line)
            if ended is not None:
                yield ended
            else:
                on_broken(month.path)


def of_list(state_dir: str, key: str) -> Iterator[EndedOrder]:
    """Give every order that ended whose addresses stood in this list, the last line first; no date is relied on."""
    for month in _months(state_dir):
        for line in reversed(disk.read_bytes(month, _LIMIT).splitlines()):
            ended = _ended(line) if key.encode() in line else None
            if ended is not None and ended.of_list == key:
                yield ended


def _months(state_dir: str) -> list[Place]:
    try:
        entries = disk.scan(state_dir, "history", recursive=False)
        return [Place(state_dir, name) for name in sorted((entry.name for entry in entries), reverse=True)]
    except FileNotFoundError:
        return []


def _ended(line: bytes) -> EndedOrder | None:
    try:
        facts = json.loads(line)
        return EndedOrder(
            at=_instant(facts["at"]),
            outcome=str(facts["outcome"]),
            key=str(facts["key"]),
            order_id=None if facts["order_id"] is None else str(facts["order_id"]),
            inbox=str(facts["inbox"]),
            files=tuple(_file(file) for file in facts["files"]),
            reason=str(facts["reason"] or ""),
            service=str(facts["service"]),
            mode=str(facts.get("mode", "live")),
            of_list=_text(facts.get("of_list")),
            reused_from=_text(facts.get("reused_from")),
            created=_instant(facts["times"][State.CREATED]) if State.CREATED in facts.get("times", {}) else None,
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def _so_far(order: Order) -> EndedOrder:
    files = tuple(
        EndedFile(
            name=order.files[index].name,
            size=order.files[index].size,
            sha256=order.files[index].sha256,
            delivered=result.delivery,
            delivered_size=result.size,
            delivered_sha256=result.sha256,
            delivered_at=result.delivered_at,
            finding=order.files[index].finding,
            recipient=result.recipient,
            text=result.text,
        )
        for index, result in order.results
        if result.is_news
    )
    return EndedOrder(
        at=max(file.delivered_at for file in files if file.delivered_at is not None),
        outcome=State.DELIVERED,
        key=order.key,
        order_id=order.order_id,
        inbox=order.inbox,
        files=files,
        reason="",
        service=order.service,
        mode=order.mode,
        reused_from=order.reused_from,
    )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _file(facts: dict[str, Any]) -> EndedFile:
    delivered = facts["delivered"]
    return EndedFile(
        name=_name(facts["name"]),
        size=int(facts["size"]),
        sha256=_text(facts["sha256"]),
        delivered=None if delivered is None else _name(delivered),
        delivered_size=None if facts["delivered_size"] is None else int(facts["delivered_size"]),
        delivered_sha256=_text(facts["delivered_sha256"]),
        delivered_at=None if facts["delivered_at"] is None else _instant(facts["delivered_at"]),
        finding=Finding.model_validate(facts["finding"]) if facts.get("finding") else None,
        recipient=_name(facts["recipient"]) if facts.get("recipient") else None,
        text=str(facts.get("text", "")),
        line=None if facts.get("line") is None else int(facts["line"]),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _name(text: str) -> str:
    """Return the name that `text` stands for. Raises ValueError for one that leads out of its folder."""
    return stays_inside(os.fsdecode(unquote_to_bytes(text)))
