"""One JSON file per order, durable before anything acts on it; `advance` is the only way a state changes.

Its files in the state directory: `lock`, `instance` (a UUID, the name of our work folders), `journal/<key>.json`,
`journal/broken/` (what could not be read), `serials.json`, `running/<key>` (a step is under way now),
`history/YYYY-MM.jsonl`.
"""

import logging
import os
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Self

from watchfolder import disk, history
from watchfolder.clock import Clock
from watchfolder.config import Config
from watchfolder.counters import Counters
from watchfolder.disk import NotRegular, Place
from watchfolder.errors import ConfigError, FolderFault, InstanceLocked, WatchfolderError
from watchfolder.events import event
from watchfolder.order import GOING_ON, STATES, TRANSITIONS, KeyMode, Order, State, read_order
from watchfolder.serials import Serials
from watchfolder.snapshot import FILE

_INSTANCE = "instance"
_ENTRY_LIMIT = 16 << 20  # bytes; an order of a hundred files is well under 100 KiB
_DEFAULT_RETENTION = timedelta(days=7)
STATE_MOVED: Final = (
    "state_dir: to move it, stop watchfolder, move the folder, let the unit write there (ReadWritePaths=) if systemd "
    "starts it, and start it again"
)


class ForbiddenTransitionError(WatchfolderError):
    """A step tried a change that TRANSITIONS does not have: a bug of ours, never a fault of a file."""


class Journal:
    """The orders of one state directory. Safe for many threads as long as each order is in one thread's hands."""

    def __init__(self, state_dir: str, clock: Clock | None = None, counters: Counters | None = None) -> None:
        self.state_dir = state_dir
        self.clock = clock or Clock()
        self.instance = ""
        self.serials = Serials(state_dir)
        self.counters = counters or Counters(State)
        self._orders: dict[str, Order] = {}
        self._guard = threading.Lock()
        self._unrecorded: dict[str, bool] = {}  # orders at their end → may the history have their line already?
        self._lock: int | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Take the lock and read every order. Raises InstanceLocked, ConfigError, FolderFault."""
        self._lock = disk.hold_lock(self._place("lock"))
        if self._lock is None:
            raise InstanceLocked(f"another watchfolder is running with {self.state_dir}")
        try:
            disk.remove(self._place(FILE), durable=False)  # the last one of an earlier process is stale
            self.instance = instance_in(self.state_dir) or self._new_instance()
            disk.make_folder(self.state_dir, "journal", 0o700)
            disk.sweep(self.state_dir, "journal")
            disk.sweep(self.state_dir, "")
            self._orders = {order.key: order for order in read_orders(self.state_dir, self._set_aside, self.clock)}
            self._unrecorded = {key: True for key, order in self._orders.items() if order.traits.is_end}
            self._count_marks()
        except BaseException:
            self.close()
            raise

    def note_turn(self) -> None:
        """Show other processes that the main loop turns, without a write to the disk."""
        if self._lock is not None:
            disk.show_beside_lock(self._lock, int(self.clock.awake()))

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def orders(self, inbox: str | None = None) -> tuple[Order, ...]:
        """Return all orders, or one inbox's, in the order of their claims."""
        with self._guard:
            return tuple(order for order in self._orders.values() if inbox is None or order.inbox == inbox)

    def get(self, key: str) -> Order | None:
        with self._guard:
            return self._orders.get(key)

    def newest(self, order: Order) -> Order:
        """Return the order as it is now, perhaps further on than the caller knows."""
        return self.get(order.key) or order

    def begin(self, order: Order) -> Order:
        """Make a new order durable, as `claiming`; or take up a parked one that came back under the same key."""
        parked = self.get(order.key)
        if parked is not None and State.CLAIMING not in TRANSITIONS[parked.state]:
            raise ForbiddenTransitionError(f"order {order.key} exists and is {parked.state}")
        begun = order.having(state=State.CLAIMING, times={State.CLAIMING: self.clock.read()})
        try:
            return self.enter(begun)
        except FolderFault:  # it may be on the disk all the same: the inbox's recovery settles it
            with self._guard:
                self._orders[begun.key] = begun
            raise

    def advance(self, order: Order, state: State, **facts: object) -> Order:
        """Change the state, and `facts` with it, first on disk; reset failures and deaths. Raises FolderFault."""
        stored = self.get(order.key)
        if stored is None or state not in TRANSITIONS[stored.state]:
            known = "not in the journal" if stored is None else str(stored.state)
            raise ForbiddenTransitionError(f"order {order.key}: {known} → {state} is not in the table")
        now = self.clock.read()
        times = {**order.times, state: now}
        if STATES[state].is_end:  # first: nobody may see the end and take its line for written
            self._unrecorded.setdefault(order.key, False)
        after = self.enter(order.having(**{**GOING_ON, **facts}, state=state, times=times))
        self.counters.left(stored.state, self.clock.since(stored.times.get(stored.state, now)))
        return after

    def note(self, order: Order, **facts: object) -> Order:
        """Make `facts` durable without a change of state."""
        return self._write(order.having(**facts))

    def put_off(self, order: Order, seconds: float, **facts: object) -> Order:
        """Make `facts` durable, and that the order waits for so many seconds from now."""
        return self.note(order, **facts, not_before=self.clock.read().after(seconds))

    def forget(self, order: Order) -> None:
        """Drop the entry: everything it stood for has reached its last place."""
        disk.remove(self._place(f"journal/{order.key}.json"))
        disk.remove(self._place(f"running/{order.key}"), durable=False)
        with self._guard:
            self._orders.pop(order.key, None)

    def record(self, order: Order, enter: Callable[[bool], None] = lambda _perhaps_there: None) -> None:
        """Append the order's line to the history, once per key and end; before that, `enter` records it elsewhere.

        `enter` gets True when an earlier try may have recorded it already.
        """
        if not self.needs_record(order):  # the step that follows failed, and this one is repeated
            return
        if not order.was_recorded:
            was_tried = self._unrecorded[order.key]
            self._unrecorded[order.key] = True  # an append can fail when the line is there
            enter(was_tried)
            history.append(self.state_dir, order, perhaps_there=was_tried)
        del self._unrecorded[order.key]

    def needs_record(self, order: Order) -> bool:
        """Is the order at its end, and its line perhaps still missing?"""
        return order.key in self._unrecorded

    def mark_running(self, order: Order) -> None:
        """Mark that a step is under way. Not synced: the mark must survive our death, not the machine's."""
        disk.make_marker(self._place(f"running/{order.key}"))

    def clear_running(self, key: str) -> None:
        disk.remove(self._place(f"running/{key}"), durable=False)

    def parked(self, mode: KeyMode, product: str) -> list[Order]:
        """Return the parked orders of a product, however old: no date of ours ends them."""
        return [order for order in self.orders() if order.is_parked and order.has_product(mode, product)]

    def enter(self, order: Order) -> Order:
        """Make an order durable as it is, such as one rebuilt from its work folder; log the state that it is in."""
        self._write(order)
        event(
            f"order.{order.state}",
            order=order.key,
            inbox=order.inbox,
            files=len(order.files),
            file=order.pictures[0].name,
            order_id=order.order_id,
        )
        return order

    def _write(self, order: Order) -> Order:
        entry = self._place(f"journal/{order.key}.json")
        disk.write_atomically(entry, order.model_dump_json().encode(), mode=0o600)
        with self._guard:
            before = self._orders.get(order.key)
            self._orders[order.key] = order
        for (_, old), (_, new) in zip(before.results if before else (), order.results, strict=False):
            if new.is_delivered and not old.is_delivered:  # now that it is durable: the others may take long
                self.counters.delivered(new.size or 0, is_reused=order.reused_from is not None)
        return order

    def _place(self, name: str) -> Place:
        return Place(self.state_dir, name)

    def _new_instance(self) -> str:
        instance = str(uuid.uuid4())
        disk.write_atomically(self._place(_INSTANCE), instance.encode() + b"\n")
        return instance

    def _set_aside(self, place: Place, reason: str) -> None:
        """Move a broken entry out of the way: it must not keep us from starting. Its work folder rebuilds it."""
        aside = Place(self.state_dir, f"journal/broken/{place.base}.{uuid.uuid4()}")  # unique, as a date might not be
        disk.move(place, aside, owner="state", private=True)
        event("journal.entry_broken", logging.ERROR, file=place.path, moved_to=aside.path, reason=reason)

    def _count_marks(self) -> None:
        """Count a death against every order that left a marker: its step was under way."""
        try:
            keys = [entry.name.removeprefix("running/") for entry in disk.scan(self.state_dir, "running")]
        except FileNotFoundError:
            return
        for key in keys:
            self.clear_running(key)  # first: a death in between must not count one death twice
            if (order := self._orders.get(key)) is not None:
                self.note(order, deaths=order.deaths + 1)


def instance_in(state_dir: str) -> str:
    """Return the name of our work folders, "" where there is none: only a run, under its lock, may choose it."""
    place = Place(state_dir, _INSTANCE)
    try:
        return str(uuid.UUID(disk.read_bytes(place, _ENTRY_LIMIT).decode("ascii").strip()))
    except FileNotFoundError:
        return ""
    except ValueError:
        event("journal.instance_unreadable", logging.WARNING, file=place.path)
        return ""


def read_orders(
    state_dir: str, on_broken: Callable[[Place, str], None] = lambda _place, _reason: None, clock: Clock | None = None
) -> Iterator[Order]:
    """Read every entry, in the order of their claims; needs no lock, so `status` can read beside the daemon.

    Waits are converted to the clocks of now (`Clock.kept`). An entry that is empty, zeros or half is passed to
    `on_broken`. Raises ConfigError for entries of a newer version.
    """
    clock, names = clock or Clock(), list[str]()
    with suppress(FileNotFoundError):
        names = [entry.name for entry in disk.scan(state_dir, "journal", recursive=False)]
    places = (Place(state_dir, name) for name in names if re.fullmatch(r"journal/[^.].*\.json", name, re.DOTALL))
    found = [order for place in places if (order := _read_entry(place, on_broken)) is not None]
    kept = [order.having(not_before=clock.kept(order.not_before)) if order.not_before else order for order in found]
    yield from sorted(kept, key=lambda order: min(moment.at for moment in order.times.values()))


def _read_entry(place: Place, on_broken: Callable[[Place, str], None]) -> Order | None:
    try:
        return read_order(disk.read_bytes(place, _ENTRY_LIMIT), place.base.removesuffix(".json"))
    except FileNotFoundError:  # finished meanwhile
        return None
    except ValueError as error:
        reason = str(error)
    except FolderFault as fault:
        if fault.code != "EFBIG" and not isinstance(fault, NotRegular):
            raise
        reason = fault.reason
    on_broken(place, reason)
    return None


def refuse_other_mode(orders: Iterable[Order], config: Config) -> None:
    """Refuse a journal with open orders of the other kind of key: only their own kind, live or test, can finish them.

    A parked order does not count: it is finished, and its bytes take it up again only with its own kind of key.
    Raises ConfigError.
    """
    others = [order for order in orders if order.is_open and order.mode != config.api.mode]
    if others:
        mode = others[0].mode
        raise ConfigError(
            f"api.key: the journal holds orders begun with a {mode} key ({len(others)}), and this is a "
            f"{config.api.mode} key: finish them with a {mode} key first, or use another state_dir"
        )


def results_end(parked: Order) -> datetime:
    """Return until when the results of a parked order can probably be fetched: for people, nothing is decided by it."""
    known_since = parked.times.get(State.COMPLETED, parked.times[State.QUARANTINED])
    return parked.expires_at or known_since.at + _DEFAULT_RETENTION
