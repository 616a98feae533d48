"""Our books beside the service's: what was paid and never delivered, and what was delivered but is unknown to it.

The service's list is read first, then the journal, then the history: an order moves the other way, so that one that is
under way now is never taken for a lost one. What was paid and never delivered can be fetched straight from the service,
while it keeps that, where the picture is no longer here or nothing is known of it; else `retry` gets it delivered.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain

import typer

from watchfolder import disk, history, names
from watchfolder.api import Link, Listed, Service, Status
from watchfolder.command_line import Advised
from watchfolder.config import Config
from watchfolder.disk import Place
from watchfolder.errors import Retry, SlowDown, UnknownName, WatchfolderError
from watchfolder.events import printable
from watchfolder.history import EndedOrder
from watchfolder.journal import read_orders, results_end
from watchfolder.order import Order
from watchfolder.publish import RESULT_LIMIT_BYTES, TEST_MARK, put_under_free_name, receive, result_format
from watchfolder.report.phrases import clock
from watchfolder.services import FLOWS, flow_of

_OWNER = "reconcile"  # signs what is half fetched; the daemon sweeps its own only
_NAME = "wf-"  # with which our orders' names begin
_PAID = frozenset({Status.IN_PROGRESS, Status.COMPLETE, Status.EXPIRED})
_TYPES_OF_FINDINGS = {flow.type for flow in FLOWS.values() if flow.findings is not None}
_LISTED = {name for name, flow in FLOWS.items() if flow.is_listed}  # orders of the others have no name of ours there
_MOST_PAGES = 1000  # of a hundred orders
_SHARE = 4  # we take one in so many of the plan's requests: the daemon needs the others
_REFUSALS = 5  # in a row: then the service is too busy for us
_PAUSE_SECONDS = 5.0
KEPT = timedelta(days=30)  # the service keeps no result for longer


@dataclass(frozen=True)
class Undelivered:
    """An order that was paid, and whose pictures are in no outbox."""

    order_id: str
    key: str
    files: list[str]  # none: we know nothing of the order
    reason: str
    advice: str
    is_kept: bool  # the service still has the result


@dataclass
class Books:
    """What the comparison found. Names and reasons are escaped."""

    listed: int = 0  # orders of ours at the service
    delivered: int = 0  # of these
    under_way: int = 0
    unpaid: int = 0
    failed: int = 0
    undelivered: list[Undelivered] = field(default_factory=list)
    unknown_there: list[EndedOrder] = field(default_factory=list)


@dataclass
class KnownOrder:
    """An order in the service's list, and what we know of it: itself, or its files one by one, once it was parked."""

    key: str
    entry: Listed
    orders: list[Order] = field(default_factory=list)
    ended: list[EndedOrder] = field(default_factory=list)  # the latest first

    def missing(self) -> list[str]:
        """Return the names of the files that were never delivered; a picture may have come back under another name."""
        brought = [file for end in self.ended for file in end.files if file.has_result]
        here = {*(file.name for file in brought), *(file.sha256 for file in brought)} - {None}
        told: list[Order | EndedOrder] = [*self.orders, *self.ended]
        files = (file for each in told for file in each.files)
        return list(dict.fromkeys(file.name for file in files if here.isdisjoint({file.name, file.sha256})))

    def reason(self) -> str:
        why = next((order.why for order in self.orders if order.why is not None), None)
        if why is not None:
            return f"in quarantine: {why.reason}"
        return f"{self.ended[0].outcome}: {self.ended[0].reason}" if self.ended else "in quarantine"


def reconcile(
    config: Config,
    since: datetime,
    on_broken: Callable[[str], None] = lambda _month: None,
) -> Books:
    """Compare what began at the service from `since` on. Raises WatchfolderError when the list cannot be had whole."""
    asked_at = datetime.now(UTC)
    listed = _listed(config, since)
    known = {name: each for each in listed for name in (each.key, each.entry.order_id)}
    for order in read_orders(config.state_dir):
        if mine := _find(order, known):
            mine.orders.append(order)
    books = Books(listed=len(listed))
    ends = history.newest_first(config.state_dir, since, on_broken)
    for end in filter(lambda end: end.mode == config.api.mode, ends):
        if mine := _find(end, known):
            mine.ended.append(end)
        elif _is_missing_there(end, since, asked_at):
            books.unknown_there.append(end)
    for each in listed:
        _enter(books, each, config)
    return books


def _find(order: Order | EndedOrder, known: Mapping[str, KnownOrder]) -> KnownOrder | None:
    return known.get(order.order_id or "", known.get(order.key))


def _is_missing_there(end: EndedOrder, since: datetime, asked_at: datetime) -> bool:
    began_then = end.created is not None and since <= end.created < asked_at
    return began_then and end.is_delivered and end.service in _LISTED


def service_of(config: Config) -> Service:
    """Return the service at a pace that leaves the daemon its own."""
    rate = config.api.requests_per_minute
    settings = config.api.model_copy(update={"requests_per_minute": max(1, rate // _SHARE) if rate else 0})
    return Service(settings, transfers=1, stop=threading.Event())


def _listed(config: Config, since: datetime) -> list[KnownOrder]:
    """Return our orders at the service, from `since` on where it says when they began."""
    found: dict[str, KnownOrder] = {}
    with closing(service_of(config)) as service:
        for entry in chain.from_iterable(_page_by_page(service, since)):
            name = entry.order_name or ""
            if name.startswith(_NAME) and (entry.created_at is None or entry.created_at >= since):
                key = name.removeprefix(_NAME)
                found.setdefault(key, KnownOrder(key, entry))
    return list(found.values())


def _page_by_page(service: Service, since: datetime) -> Iterator[list[Listed]]:
    """Give the pages of the list, the newest orders first, as far as `since`; say on a terminal how far that is."""
    for page in range(1, _MOST_PAGES + 1):
        entries, pages = _page(service, page)
        if sys.stderr.isatty():
            typer.echo(f"page {page} of {pages}", err=True)
        yield entries
        dated = [entry.created_at for entry in entries if entry.created_at is not None]
        if page >= pages or (dated and max(dated) < since):
            return
    raise Retry(f"the list has more than {_MOST_PAGES} pages: ask for less with --since")


def _page(service: Service, page: int) -> tuple[list[Listed], int]:
    for _ in range(_REFUSALS):
        try:
            return service.orders(_NAME, page)
        except SlowDown as refusal:
            time.sleep(refusal.retry_after_seconds or _PAUSE_SECONDS)
    return service.orders(_NAME, page)


def _enter(books: Books, known: KnownOrder, config: Config) -> None:
    missing = known.missing()
    if known.ended and not missing:
        books.delivered += 1
    elif any(order.is_open for order in known.orders):
        books.under_way += 1
    elif known.entry.status is Status.FAILED:
        books.failed += 1
    elif known.entry.status in _PAID:
        books.undelivered.append(_not_delivered(known, missing, config))
    else:
        books.unpaid += 1


def _not_delivered(known: KnownOrder, missing: list[str], config: Config) -> Undelivered:
    entry = known.entry
    is_finding = entry.type in _TYPES_OF_FINDINGS
    reason = "nothing is known of it here; it may be another watchfolder's that uses the same account"
    if known.ended or known.orders:
        reason = printable(known.reason())
    free = [order for order in known.orders if _is_free(order, config)]
    advice = _advice(free, config)
    if is_finding and not free:
        advice = "what was found stands in the service's list of orders; nothing is there to be fetched"
    if entry.status is Status.EXPIRED:
        reason += "; the service no longer keeps the result"
        advice = "nothing can be fetched any more; if you need it, ask the service's support"
    is_kept = entry.status is Status.COMPLETE and not is_finding
    files = [*map(printable, missing)]
    return Undelivered(printable(entry.order_id), printable(known.key), files, reason, advice, is_kept)


def _is_free(order: Order, config: Config) -> bool:
    """Does the order go on without being paid again when its picture comes back? As `intake` will judge it."""
    inbox = config.inboxes.get(order.inbox)
    if inbox is None or not order.is_parked:
        return False
    return order.has_product(config.api.mode, flow_of(inbox).product_of(inbox))


def _advice(parked: Sequence[Order], config: Config) -> str:
    """Say how to fetch them without paying again: what comes back under the same bytes takes its order up."""
    if not parked:
        return f"fetch it free of charge, while the service keeps it: {config.commands.to(Advised.FETCH, 'FOLDER')}"
    until = min(results_end(order) for order in parked)
    how_long = f"until {clock(until)}" if until > datetime.now(UTC) else "while the service keeps it"
    roots = [config.inboxes[order.inbox].quarantine for order in parked]
    names = [order.files[0].destination or order.files[0].name for order in parked]
    command = config.commands.to(Advised.RETRY, *map(os.path.join, roots, names))
    return f"fetch it free of charge, {how_long}: {command}"


def lines(books: Books) -> Iterator[str]:
    for lost in books.undelivered:
        files = ", ".join(lost.files) or f"wf-{lost.key}"
        yield f"paid, not delivered: order {lost.order_id}: {files}"
        yield f"  {lost.reason.rstrip('.')}. What to do: {lost.advice}"
    for end in books.unknown_there:
        files = ", ".join(dict.fromkeys(printable(file.name) for file in end.files))
        yield f"delivered, unknown to the service: order {printable(end.order_id or '?')}: {files}"
    if books.unknown_there:
        yield "  Is the API key another account's than it was? Your pictures are delivered and safe all the same."
    yield (
        f"Our orders at the service: {books.listed} (delivered {books.delivered}, under way {books.under_way}, never "
        f"begun and not paid {books.unpaid}, failed there {books.failed}, paid and not delivered "
        f"{len(books.undelivered)}). Delivered, but not in its list: {len(books.unknown_there)}."
    )


def require_no_inbox(folder: str, config: Config) -> str:
    """Return the folder's full path. Raises UnknownName when it is none, or one whose files would be bought again."""
    inboxes = {inbox.path: name for name, inbox in config.inboxes.items()}
    real = disk.follow_links({folder, *inboxes})
    if not os.path.isdir(folder):
        raise UnknownName([f"{folder}: there is no such folder"])
    for inbox, name in inboxes.items():
        if f"{real[folder]}/".startswith(f"{real[inbox]}/"):
            raise UnknownName([f"{folder}: it lies in the inbox {name}, where what is fetched would be bought again"])
    return real[folder]


def fetch_all(orders: Sequence[Undelivered], folder: str, config: Config) -> Iterator[str]:
    """Fetch each result that is kept there, and say so; one that lies in the folder already is not put there twice."""
    mark = TEST_MARK if config.api.mode == "test" else ""
    with closing(service_of(config)) as service:
        for order in orders:
            if order.is_kept:
                yield from _fetch_files(order, folder, mark, service)


def _fetch_files(order: Undelivered, folder: str, mark: str, service: Service) -> Iterator[str]:
    try:
        links = service.links(order.order_id).files
        for number, link in enumerate(links, 1):
            path = _fetch(service, link, Place(folder, _base(order, number, len(links))), mark)
            yield f"order {order.order_id}: fetched: {printable(path)}"
    except WatchfolderError as error:
        yield f"order {order.order_id}: not fetched: {error.reason}"


def _fetch(service: Service, link: Link, wanted: Place, mark: str) -> str:
    disk.sweep(wanted.root, disk.HIDDEN, _OWNER)  # what an interrupted one left
    part = disk.hidden_part(wanted.root, _OWNER)
    try:
        fetch = partial(service.fetch, link.url, limit_bytes=RESULT_LIMIT_BYTES)
        received = receive(None, part, fetch, format_of=partial(result_format, is_pdf=None))
        is_ours = partial(disk.is_ours, size=received.size, sha256=received.sha256)
        name = names.with_mark(names.with_extension(wanted.base, received.format.extension), mark)
        put = partial(disk.publish_new, part, owner=_OWNER)
        return put_under_free_name(wanted.root, name, put, is_ours=is_ours).path
    finally:
        disk.remove(part, durable=False)
        disk.remove_empty_folders(part.root, part.folder)


def _base(order: Undelivered, number: int, count: int) -> str:
    """Return a name for a result: its picture's, where that is certain, else one with the order's number."""
    if count == len(order.files) == 1:
        return os.path.basename(order.files[0])
    return f"order {order.order_id}" + (f" {number}" if count > 1 else "")
