"""What waits, moves, is deferred, blocked, delivered today and quarantined, and why: read beside the daemon.

`StatusReport` is also what `status --json` prints: its fields are the documented keys, instants in RFC 3339, sizes in
bytes, file names and reasons escaped as in the log. Later versions may add keys.
"""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from watchfolder import __version__, disk, history, quarantine, state_file
from watchfolder.config import Config, Inbox
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.events import printable
from watchfolder.folders import require_room_to_note
from watchfolder.journal import read_orders
from watchfolder.order import Order, State, files_without_inbox
from watchfolder.report.conditions import NO_ANSWER, SLOWED, Condition, beside_counts, conditions, fault_of, headline
from watchfolder.report.lock_holder import is_held, silent_seconds
from watchfolder.snapshot import FILE, Counts, Disk, InboxSnapshot, Snapshot

MOST_LISTED = 20  # deferred orders, held orders, quarantined files: the counts are always whole


@dataclass(frozen=True)
class ServiceStatus:
    """`state` is ok, slowed (its rate limit sets the pace), down, blocked, or unknown (nothing is running)."""

    state: str = "unknown"
    reason: str = ""
    code: str = ""
    since: datetime | None = None


@dataclass(frozen=True)
class OrderStatus:
    """An order under way, or one that waits for its time or for its inbox to come back into the configuration."""

    key: str
    order_id: str | None
    inbox: str
    state: str
    since: datetime | None
    files: list[str]  # that are neither delivered nor in quarantine yet
    not_before: datetime | None
    reason: str
    uploaded: int  # of all its files
    delivered: int


@dataclass(frozen=True)
class QuarantinedFile:
    """The latest of the files that are in quarantine for one reason; `files` is how many they are."""

    inbox: str
    path: str
    since: datetime
    reason: str
    advice: str
    files: int
    retry_helps: bool


@dataclass(frozen=True)
class InboxStatus:
    """Counts are files; None: not known. `state` is ok, starting, held (see `held`), waits (see `fault`) or unknown."""

    path: str
    state: str
    fault: str = ""
    fault_code: str = ""
    held: str = ""  # what the quota keeps back, and the command that lets it go
    watch: str = ""
    waiting: int | None = None
    staying: int | None = None  # left where they are: no pictures, out of reach, or without a recipient
    raw: int | None = None  # of those that stay: camera RAW files
    out_of_reach: int | None = None  # of those that stay: pictures that cannot be taken
    single: int | None = None  # of those that wait: what belongs to them is not there
    oldest_waiting_since: datetime | None = None
    in_progress: int = 0
    deferred: int = 0
    next_try: datetime | None = None
    deferred_reason: str = ""
    delivered_today: int = 0
    delivered_today_bytes: int = 0
    quarantined: int | None = 0  # None: its quarantine could not be looked at
    to_come_beside: int = 0  # delivered, and what is to lie beside them is still to come
    remarks: dict[str, str] = field(default_factory=dict)  # file → what a person should see to

    @property
    def beside_counts(self) -> list[str]:
        return beside_counts(self.single, self.to_come_beside, self.raw)


@dataclass(frozen=True, kw_only=True)
class StatusReport:
    """`headline` says in one sentence what limits or blocks the flow, and what to do.

    `limit` is what keeps the flow from being faster now: plan, line, service, or nothing ("").
    """

    at: datetime
    headline: str
    limit: str = ""
    is_running: bool
    pid: int | None = None
    version: str | None = __version__
    started: datetime | None = None
    state_dir: str
    refused: str = ""  # what is wrong with the configuration that was read last; the one before it runs
    service: ServiceStatus
    conditions: list[Condition]  # what is so, the worst first; the headline says the first of them
    inboxes: dict[str, InboxStatus]
    orders: list[OrderStatus]  # under way
    deferred: list[OrderStatus]
    held: list[OrderStatus]
    held_files: int
    quarantine: list[QuarantinedFile]
    faults: list[str]  # what could not be looked at
    broken_entries: int  # of the journal
    delivered: int = 0  # files since the start
    reused: int = 0  # of these, copied from an earlier delivery and not paid for
    delivered_bytes: int = 0
    counts: dict[str, Any] = field(default_factory=Counts().model_dump)  # since the start: requests, bytes, states
    schema: int = 1


class LastWord(NamedTuple):
    """The daemon's last snapshot, for how long its main loop has not turned, and whether one runs.

    `is_late`: the snapshot is out of date, for the state directory has no room for a newer one.
    """

    snapshot: Snapshot | None = None
    silent_seconds: float = 0.0
    is_running: bool = True
    is_late: bool = False


def read_status(config: Config, now: datetime, word: LastWord | None = None) -> StatusReport:
    """Read snapshot, journal, history and quarantine. Raises FolderFault for a state directory that we may not read.

    The page gives the `word` of the daemon that it is a part of; else it is read from the state directory.
    """
    snapshot, silent, is_running, is_late = word or running(config.state_dir)
    broken: list[str] = []
    orders = list(read_orders(config.state_dir, lambda place, _reason: broken.append(place.name)))
    faults: dict[str, FolderFault] = {}
    groups = _failed(config, faults)
    moving, deferred = _under_way(orders, config.inboxes, now)
    lost = files_without_inbox(orders, config.inboxes)
    if snapshot is not None:
        counts = {"in_progress": _files(moving), "deferred": _files(deferred), "not_configured": lost}
        snapshot = _with_journal(snapshot, orders).model_copy(update=counts)
    number, can_retry = sum(len(each.pictures) for each in groups), any(each.note.retry_helps for each in groups)
    found = conditions(
        snapshot, config, is_running=is_running, silent_seconds=silent, quarantined=number, can_retry=can_retry
    )
    return StatusReport(
        at=now,
        headline=headline(found),
        is_running=is_running,
        state_dir=config.state_dir,
        service=_service(snapshot),
        conditions=found,
        inboxes=_inboxes(config, snapshot, orders, _count_quarantined(config, groups, faults), now, is_late=is_late),
        orders=_listed(moving),
        deferred=_listed(deferred),
        held=_listed([order for order in orders if files_without_inbox([order], config.inboxes)]),
        held_files=sum(lost.values()),
        quarantine=[_quarantined(each) for each in groups[:MOST_LISTED]],
        faults=[printable(fault.reason) for fault in faults.values()],
        broken_entries=len(broken),
        **_words_of(snapshot),
    )


def _failed(config: Config, faults: dict[str, FolderFault]) -> list[quarantine.QuarantineGroup]:
    failed = (each for each in quarantine.list_pictures(config, faults) if each.has_failed)
    return quarantine.by_reason(failed, config.state_dir)


def _count_quarantined(
    config: Config, groups: Iterable[quarantine.QuarantineGroup], faults: Collection[str]
) -> dict[str, int | None]:
    """Count what lies in quarantine for each inbox; None where that folder is among the `faults`."""
    number = Counter[str]()
    for group in groups:
        number[group.inbox] += len(group.pictures)
    return {name: None if inbox.quarantine in faults else number[name] for name, inbox in config.inboxes.items()}


def _under_way(orders: Iterable[Order], inboxes: Collection[str], now: datetime) -> tuple[list[Order], list[Order]]:
    """Return the orders of these inboxes that are due, and those that wait, each the soonest first."""

    def due(order: Order) -> datetime:
        return order.not_before.at if order.not_before else now

    live = sorted((order for order in orders if order.is_open and order.inbox in inboxes), key=due)
    return [order for order in live if due(order) <= now], [order for order in live if due(order) > now]


def _words_of(snapshot: Snapshot | None) -> dict[str, Any]:
    """Return the fields that the snapshot has under the same names."""
    if snapshot is None:
        return {}
    names = {"pid", "version", "started", "limit", "delivered", "reused", "delivered_bytes", "counts"}
    return snapshot.model_dump(include=names) | {"refused": printable(snapshot.refused)}


def _inboxes(
    config: Config,
    snapshot: Snapshot | None,
    orders: list[Order],
    quarantined: Mapping[str, int | None],
    now: datetime,
    *,
    is_late: bool,
) -> dict[str, InboxStatus]:
    midnight = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    delivered = defaultdict[str, list[int]](list)
    for each in history.deliveries(orders, config.state_dir, midnight):
        delivered[each.order.inbox].append(each.file.delivered_size or 0)
    found = {
        name: _inbox(
            inbox, snapshot.inboxes.get(name) if snapshot else None, orders, delivered[name], quarantined[name], now
        )
        for name, inbox in config.inboxes.items()
    }
    return {name: replace(inbox, **_NOT_KNOWN) for name, inbox in found.items()} if is_late else found


def _inbox(
    inbox: Inbox,
    seen: InboxSnapshot | None,
    orders: list[Order],
    sizes: list[int],
    quarantined: int | None,
    now: datetime,
) -> InboxStatus:
    """Return the status of one inbox; `sizes` are those of the files that it has delivered today, in bytes."""
    moving, deferred = _under_way(orders, {inbox.name}, now)
    first = deferred[0] if deferred else None
    return InboxStatus(
        path=printable(inbox.path),
        state=_state(seen),
        in_progress=_files(moving),
        deferred=_files(deferred),
        next_try=first.not_before.at if first and first.not_before else None,
        deferred_reason=printable(first.last_error) if first else "",
        delivered_today=len(sizes),
        delivered_today_bytes=sum(sizes),
        quarantined=quarantined,
        to_come_beside=sum(bool(order.enclosures) for order in orders if order.inbox == inbox.name),
        **(_of_snapshot(seen) if seen is not None else {}),
    )


def _of_snapshot(seen: InboxSnapshot) -> dict[str, Any]:
    remarks = {printable(file): printable(reason) for file, reason in seen.remarks.items()}
    return seen.model_dump(include=_SEEN) | {"fault": printable(fault_of(seen)), "remarks": remarks}


_NOT_KNOWN: Final[dict[str, Any]] = dict.fromkeys(  # while the snapshot is out of date
    ("waiting", "staying", "raw", "out_of_reach", "single", "oldest_waiting_since")
)
_SEEN = InboxSnapshot.model_fields.keys() & {each.name for each in fields(InboxStatus)}  # fields that both have


def _with_journal(snapshot: Snapshot, orders: Iterable[Order]) -> Snapshot:
    """Bring the snapshot up to what the journal has since: files that were claimed after it wait no more."""
    taken = Counter[str]()
    for order in orders:
        claimed = order.times.get(State.CLAIMING)
        if order.is_open and order.work_folder_of is None and claimed is not None and claimed.at > snapshot.at:
            taken[order.inbox] += _files([order])
    inboxes = {
        name: inbox.model_copy(update={"waiting": max(0, inbox.waiting - taken[name])})
        for name, inbox in snapshot.inboxes.items()
    }
    beside = sum(bool(order.enclosures) for order in orders if order.inbox in snapshot.inboxes)
    return snapshot.model_copy(update={"to_come_beside": beside, "inboxes": inboxes})


def as_json(status: StatusReport) -> str:
    return json.dumps(asdict(status), default=datetime.isoformat, indent=2)


def running(state_dir: str) -> LastWord:
    """Return the last word of the daemon that runs; a snapshot of one that has ended is not true any more."""
    lock = Place(state_dir, "lock")
    if not is_held(lock):
        return LastWord(is_running=False)
    snapshot = state_file.read(Place(state_dir, FILE), Snapshot, "the daemon's own view is not shown")
    try:
        require_room_to_note(state_dir)
    except FolderFault as fault:
        snapshot = snapshot and _closed_by(fault, snapshot, state_dir)
        return LastWord(snapshot, silent_seconds(lock), is_late=True)
    return LastWord(snapshot, silent_seconds(lock))


def _closed_by(fault: FolderFault, snapshot: Snapshot, state_dir: str) -> Snapshot:
    facts = {"is_open": False, "fault": fault.reason, "fault_code": fault.code}
    inboxes = {name: inbox.model_copy(update=facts) for name, inbox in snapshot.inboxes.items()}
    room = disk.room_in(state_dir)
    own = Disk(device=room.device, free_bytes=room.free, total_bytes=room.total)
    return snapshot.model_copy(update={"inboxes": inboxes, "disks": {**snapshot.disks, state_dir: own}})


def _service(snapshot: Snapshot | None) -> ServiceStatus:
    if snapshot is None:
        return ServiceStatus()
    if snapshot.blocked:
        return ServiceStatus("blocked", snapshot.blocked, snapshot.blocked_code, snapshot.blocked_since)
    if snapshot.is_down:
        return ServiceStatus("down", NO_ANSWER)
    return ServiceStatus("slowed", SLOWED) if snapshot.is_slowed else ServiceStatus("ok")


def _state(seen: InboxSnapshot | None) -> str:
    if seen is None:
        return "unknown"
    if seen.is_open and seen.is_held:
        return "held"
    return "ok" if seen.is_open else "waits" if seen.is_at_fault else "starting"


def _files(orders: Iterable[Order]) -> int:
    return sum(file.is_under_way for order in orders for file in order.files)


def _listed(orders: Sequence[Order]) -> list[OrderStatus]:
    return [_order(order) for order in orders[:MOST_LISTED]]


def _order(order: Order) -> OrderStatus:
    since = order.times.get(order.state)
    return OrderStatus(
        key=order.key,
        order_id=order.order_id,
        inbox=order.inbox,
        state=str(order.state),
        since=since.at if since else None,
        files=[printable(file.name) for file in order.files if file.is_under_way or order.enclosures],
        not_before=order.not_before.at if order.not_before else None,
        reason=printable(order.last_error),
        uploaded=sum(file.is_uploaded for file in order.files),
        delivered=sum(file.is_delivered for file in order.files),
    )


def _quarantined(group: quarantine.QuarantineGroup) -> QuarantinedFile:
    latest, note = group.pictures[0], group.note
    return QuarantinedFile(
        group.inbox,
        printable(os.path.join(latest.place.root, latest.place.name)),
        latest.at,
        printable(note.reason),
        printable(note.advice),
        len(group.pictures),
        note.retry_helps,
    )
