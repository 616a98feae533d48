"""The receipts: a line for each order that has come to its end, written and read by one schema.

`<state_dir>/history/YYYY-MM.jsonl` is only ever appended to. What orders under way have delivered already stands in
their journal entries alone, so a report of deliveries reads these as well, and first: an order moves from the journal
to the history, and so is seen in at least one of them.
"""

import contextlib
import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from operator import attrgetter
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from watchfolder import disk
from watchfolder.clock import Instant
from watchfolder.disk import Entry, Place
from watchfolder.order import AnyText, Finding, Key, KeyMode, Order, OrderFile, RelativeName, Result, Role, State, Why

FOLDER = "history"
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}\.jsonl")
_PIECE_BYTES = 1 << 20  # of a month
_BEGIN = re.compile(rb'\{"at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)[.\d]*Z"')  # as we write it: its text sorts as time does
_NOTHING = Why(reason="")


class LinePart(BaseModel):
    """A field that has its default value is not written. Later versions may add fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class EndedFile(LinePart):
    """A file with one of its results. Names are below the inbox and below the outbox."""

    name: RelativeName
    size: int = Field(ge=0, lt=1 << 63)
    sha256: str | None
    delivered: RelativeName | None
    delivered_at: Instant | None
    delivered_size: int | None = Field(ge=0, lt=1 << 63)
    delivered_sha256: str | None
    finding: Finding | None = None  # what the service said of it
    line: int | None = None  # of the list that its address stood in
    recipient: RelativeName | None = None  # whose copy it is
    text: str = ""  # the watermark in it

    @property
    def has_result(self) -> bool:
        """Has it a delivered picture, or a finding?"""
        return self.delivered_at is not None or self.finding is not None

    @classmethod
    def of(cls, file: OrderFile, result: Result) -> Self:
        made = result if result.is_delivered else Result()
        return cls(
            name=file.name,
            size=file.size,
            sha256=file.sha256,
            delivered=made.delivery,
            delivered_at=made.delivered_at,
            delivered_size=made.size,
            delivered_sha256=made.sha256,
            finding=file.finding,
            line=file.line,
            recipient=made.recipient,
            text=made.text,
        )


class EndedOrder(LinePart):
    """One order, delivered or quarantined. `at` comes first, so that a line can be skipped before it is parsed."""

    at: Instant
    outcome: State
    key: Key
    order_id: str | None
    inbox: str
    mode: KeyMode  # of the API key
    service: str
    options: dict[str, str]
    files: tuple[EndedFile, ...]
    times: dict[State, Instant] = {}
    reason: AnyText = ""
    code: str = ""
    of_list: Key | None = None  # the list that its addresses stood in
    reused_from: Key | None = None  # the order that was paid for this result: this one cost nothing

    @classmethod
    def of(cls, order: Order) -> Self:
        why = order.why or _NOTHING
        return cls(
            at=order.times[order.state].at,
            outcome=order.state,
            key=order.key,
            order_id=order.order_id,
            inbox=order.inbox,
            mode=order.mode,
            service=order.service,
            options=order.options,
            files=tuple(each for file in order.files if file.role is not Role.COPY for each in _results_of(file)),
            times={state: moment.at for state, moment in order.times.items()},
            reason=why.reason,
            code=why.code,
            of_list=order.of_list,
            reused_from=order.reused_from,
        )

    @property
    def is_delivered(self) -> bool:
        return self.outcome is State.DELIVERED

    @property
    def created(self) -> datetime | None:
        """When it was created at the service, by our clock."""
        return self.times.get(State.CREATED)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivered result, and the order that brought it."""

    at: datetime
    order: EndedOrder
    file: EndedFile


def append(state_dir: str, order: Order, *, perhaps_there: bool) -> None:
    """Append the line of an order at its end, durably; one that is `perhaps_there` is not written twice."""
    ended = EndedOrder.of(order)
    month = Place(state_dir, f"{FOLDER}/{ended.at:%Y-%m}.jsonl")
    disk.append_line(month, ended.model_dump_json(exclude_defaults=True).encode(), perhaps_there=perhaps_there)


def read(line: bytes) -> EndedOrder | None:
    """Read one line; None for one that a power cut tore, or that is not ours."""
    try:
        return EndedOrder.model_validate_json(line)
    except ValidationError:
        return None


def deliveries(
    orders: Iterable[Order],
    state_dir: str,
    since: datetime | None = None,
    on_broken: Callable[[str], None] = lambda _month: None,
) -> Iterator[Delivery]:
    """Give every delivered result, from `since` on, the latest first; also while others of its order are under way."""
    begun = under_way(orders)
    in_journal = {end.key for end in begun}
    told: set[tuple[str, str, str | None]] = set()
    ends = heapq.merge(begun, newest_first(state_dir, since, on_broken), key=attrgetter("at"), reverse=True)
    for delivery in _newest_files_first(ends):
        name = (delivery.order.key, delivery.file.name, delivery.file.delivered)
        if (since is None or delivery.at >= since) and name not in told:
            yield delivery
        if delivery.order.key in in_journal:  # the history may have its line as well
            told.add(name)


def under_way(orders: Iterable[Order]) -> list[EndedOrder]:
    """Return what orders under way have delivered, each as if it had ended with that; the latest first."""
    begun = [
        _under_way(order)
        for order in orders
        if order.state is not State.RECORDED and any(result.is_to_be_told for _, result in order.results)
    ]
    return sorted(begun, key=attrgetter("at"), reverse=True)


def all_ended(orders: Iterable[Order], state_dir: str) -> Iterator[EndedOrder]:
    """Give what orders under way have delivered, and then every order that ended, the latest first."""
    return chain(under_way(orders), newest_first(state_dir))


def newest_first(
    state_dir: str, since: datetime | None = None, on_broken: Callable[[str], None] = lambda _month: None
) -> Iterator[EndedOrder]:
    """Give every order that ended, from `since` on, the latest first.

    Lines that a power cut tore, or that are not ours, are skipped; `on_broken` gets the path of the file of each.
    """
    floor = since.astimezone(UTC).isoformat()[:19] if since else ""
    for month, line in _lines(state_dir, floor[:7]):
        begin = _BEGIN.match(line)
        if begin and begin[1].decode() < floor:
            continue  # skipped without parsing it, for there are many
        ended = read(line)
        if ended is None:
            on_broken(month.path)
        elif since is None or ended.at >= since:
            yield ended


def of_list(state_dir: str, key: str) -> Iterator[EndedOrder]:
    """Give every order that ended whose addresses stood in this list, the last line first; no date is relied on."""
    return (ended for ended in _lines_with(state_dir, key) if ended.of_list == key)


def last_end(state_dir: str, key: str) -> EndedOrder | None:
    """Return the last end of the order with this key, if it has come to one."""
    return next((ended for ended in _lines_with(state_dir, key) if ended.key == key), None)


def _lines_with(state_dir: str, key: str) -> Iterator[EndedOrder]:
    text = key.encode(errors="replace")  # it may be a name that somebody chose
    return filter(None, (read(line) for _, line in _lines(state_dir) if text in line))


def _lines(state_dir: str, first_month: str = "") -> Iterator[tuple[Place, bytes]]:
    """Give all lines from that month on, the last one first."""
    for entry in sorted(files_in(state_dir), key=attrgetter("name"), reverse=True):
        month = Place(state_dir, entry.name)
        if month.base < first_month:
            return
        for line in filter(None, _lines_in(month, entry.size)):
            yield month, line


def _lines_in(month: Place, size: int) -> Iterator[bytes]:
    """Give the lines of a month, the last one first, and hold a piece of it at a time: it may have a million."""
    pieces: list[bytes] = []  # of the line whose beginning has not been read yet, the last one first
    with disk.open_to_read(month) as read_at:
        for begin in range((size - 1) // _PIECE_BYTES * _PIECE_BYTES, -1, -_PIECE_BYTES):
            first, *others = read_at(begin, min(_PIECE_BYTES, size - begin)).split(b"\n")
            if others:
                yield b"".join([others.pop(), *reversed(pieces)])
                yield from reversed(others)
                pieces.clear()
            pieces.append(first)
    yield b"".join(reversed(pieces))


def files_in(state_dir: str) -> Iterator[Entry]:
    """Give the files of the history, without an editor's copies and locks beside them."""
    with contextlib.suppress(FileNotFoundError):  # nothing has come to its end yet
        for entry in disk.scan(state_dir, FOLDER, recursive=False):
            if entry.is_regular and _MONTH.fullmatch(entry.name.removeprefix(f"{FOLDER}/")):
                yield entry


def _results_of(file: OrderFile) -> Iterator[EndedFile]:
    """Give one for each result that was delivered, and one for those that were not, if there are any."""
    missing = [result for result in file.results if not result.is_delivered][:1]
    for result in (*(result for result in file.results if result.is_to_be_told), *missing):
        yield EndedFile.of(file, result)


def _under_way(order: Order) -> EndedOrder:
    whole = EndedOrder.of(order)
    files = tuple(file for file in whole.files if file.delivered_at is not None)
    latest = max(file.delivered_at for file in files if file.delivered_at is not None)
    facts = {"at": latest, "outcome": State.DELIVERED, "files": files, "reason": "", "code": ""}
    return whole.model_copy(update=facts)


def _newest_files_first(ends: Iterable[EndedOrder]) -> Iterator[Delivery]:
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
