"""Our books beside the service's: what was paid and never delivered, and what was delivered though it knows nothing.

The service's list is read first, then the journal, then the history: an order moves the other way, so that one that is
under way now is never taken for a lost one.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from watchfolder.api import Listed, Service, Status
from watchfolder.config import Config
from watchfolder.console import history
from watchfolder.console.history import Ended
from watchfolder.errors import Retry, SlowDown
from watchfolder.events import printable
from watchfolder.journal import read_orders
from watchfolder.order import Order, State

_NAME = "wf-"  # with which our orders' names begin
_PAID = frozenset({Status.IN_PROGRESS, Status.COMPLETE, Status.EXPIRED})
_MOST_PAGES = 1000  # of a hundred orders
_SHARE = 4  # we take this part of the plan's requests, for the daemon needs the others
_REFUSALS = 5  # in a row: then the service is too busy for us
_PAUSE_SECONDS = 5.0


@dataclass(frozen=True)
class Undelivered:
    """An order that was paid, and whose pictures are in no outbox."""

    order_id: str
    key: str
    files: list[str]  # none: we know nothing of the order
    reason: str
    advice: str


@dataclass
class Books:
    """What the comparison found. Names and reasons are escaped."""

    listed: int = 0  # orders of ours at the service
    delivered: int = 0  # of these
    under_way: int = 0
    unpaid: int = 0
    failed: int = 0
    undelivered: list[Undelivered] = field(default_factory=list)
    unknown_there: list[Ended] = field(default_factory=list)


def reconcile(
    config: Config,
    since: datetime,
    on_page: Callable[[int, int], None] = lambda _page, _pages: None,
    on_broken: Callable[[str], None] = lambda _month: None,
) -> Books:
    """Compare what began at the service from `since` on. Raises WatchfolderError when the list cannot be had whole."""
    asked_at = datetime.now(UTC)
    listed = _listed(config, since, on_page)
    orders = {order.key: order for order in read_orders(config.state_dir, lambda _place, _reason: None)}
    books = Books(listed=len(listed))
    ended: dict[str, Ended] = {}
    for end in history.newest_first(config.state_dir, since, on_broken):
        if end.kind != config.api.kind:
            continue
        if end.key in listed:
            ended.setdefault(end.key, end)
        elif end.is_delivered and end.created is not None and since <= end.created < asked_at:
            books.unknown_there.append(end)
    for key, entry in listed.items():
        _enter(books, key, entry, orders.get(key), ended.get(key))
    return books


def _listed(config: Config, since: datetime, on_page: Callable[[int, int], None]) -> dict[str, Listed]:
    """Return our orders at the service by their keys, from `since` on where it says when they began."""
    rate = config.api.requests_per_minute
    settings = config.api.model_copy(update={"requests_per_minute": max(1, rate // _SHARE) if rate else 0})
    service = Service(settings, transfers=1, stop=threading.Event())
    found: dict[str, Listed] = {}
    try:
        for page in range(1, _MOST_PAGES + 1):
            entries, pages = _patiently(service, page)
            on_page(page, pages)
            dated = [entry.created_at for entry in entries if entry.created_at is not None]
            for entry in entries:
                name = entry.order_name or ""
                is_old = entry.created_at is not None and entry.created_at < since
                if name.startswith(_NAME) and not is_old:
                    found.setdefault(name.removeprefix(_NAME), entry)
            if page >= pages or (dated and max(dated) < since):
                return found
    finally:
        service.close()
    raise Retry(f"the list has more than {_MOST_PAGES} pages: ask for less with --since")


def _patiently(service: Service, page: int) -> tuple[list[Listed], int]:
    for _ in range(_REFUSALS):
        try:
            return service.orders(_NAME, page)
        except SlowDown as refusal:
            time.sleep(refusal.retry_after_seconds or _PAUSE_SECONDS)
    return service.orders(_NAME, page)


def _enter(books: Books, key: str, entry: Listed, order: Order | None, end: Ended | None) -> None:
    if end is not None and end.is_delivered:
        books.delivered += 1
    elif order is not None and order.is_live:
        books.under_way += 1
    elif entry.status is Status.FAILED:
        books.failed += 1
    elif entry.status in _PAID:
        books.undelivered.append(_undelivered(key, entry, order, end))
    else:
        books.unpaid += 1


def _undelivered(key: str, entry: Listed, order: Order | None, end: Ended | None) -> Undelivered:
    ours = order or end
    names = [printable(file.name) for file in ours.files] if ours else []
    if ours is None:
        reason = "nothing is known of it here"
        advice = "it may be another watchfolder's that uses the same account; else ask the service's support for it"
    else:
        reason = printable(_reason(order, end))
        advice = _advice(order)
    if entry.status is Status.EXPIRED:
        reason += "; the service no longer keeps the result"
        advice = "nothing can be fetched any more; if you need it, ask the service's support"
    return Undelivered(printable(entry.order_id), printable(key), names, reason, advice)


def _reason(order: Order | None, end: Ended | None) -> str:
    if order is not None and order.why is not None:
        return f"in quarantine: {order.why.reason}"
    return f"{end.outcome}: {end.reason}" if end is not None else "in quarantine"


def _advice(order: Order | None) -> str:
    """Say how to fetch it without paying again: what comes back under the same bytes takes the order up."""
    if order is not None and order.state is State.QUARANTINED and order.is_resumable and len(order.files) == 1:
        name = order.files[0].destination or order.files[0].name
        return f"fetch it free of charge while the service keeps it: watchfolder retry '{printable(name)}'"
    return "ask the service's support for it, by the order's number"


def lines(books: Books) -> Iterator[str]:
    """Give the comparison for a person."""
    for lost in books.undelivered:
        files = ", ".join(lost.files) or f"wf-{lost.key}"
        yield f"paid, not delivered: order {lost.order_id}: {files}"
        yield f"  {lost.reason.rstrip('.')}. What to do: {lost.advice}"
    for end in books.unknown_there:
        files = ", ".join(printable(file.name) for file in end.files)
        yield f"delivered, unknown to the service: order {printable(end.order_id or '?')}: {files}"
    if books.unknown_there:
        yield "  Is the API key another account's than it was? Your pictures are delivered and safe all the same."
    yield (
        f"Our orders at the service: {books.listed} (delivered {books.delivered}, under way {books.under_way}, never "
        f"begun and not paid {books.unpaid}, failed there {books.failed}, paid and not delivered "
        f"{len(books.undelivered)}). Delivered, but not in its list: {len(books.unknown_there)}."
    )
