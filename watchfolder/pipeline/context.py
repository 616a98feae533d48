"""What the steps of one inbox work with, and the inbox as the pipeline sees it."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from watchfolder import disk
from watchfolder.api import Links, OrderView, Service
from watchfolder.config import Inbox
from watchfolder.delivery_index import DeliveryIndex
from watchfolder.disk import Held, NotAFolder, NotRegular
from watchfolder.errors import FolderFault, Throttled
from watchfolder.events import event
from watchfolder.folders import Folders
from watchfolder.health import InboxHealth
from watchfolder.journal import Journal
from watchfolder.order import Order, State
from watchfolder.pipeline import timing
from watchfolder.pipeline.transfers import TransferPool
from watchfolder.publish import EnclosurePublisher, FindingPublisher, ListPublisher, Publisher, Received
from watchfolder.quota import Admits
from watchfolder.services import tables
from watchfolder.services.link_files import Line

BAD_SECTOR = "EIO"  # in a step that only reads, or of what could not be read before
MOST_WAITS = 3  # for a program that has a file open which is only looked into: some four minutes
_T = TypeVar("_T")


@dataclass
class OrderMemory:
    """What is remembered of an order until it leaves. Links are secrets and live here, in memory, only."""

    urls: dict[str, str] | None = None  # file_id → upload URL
    links: Links | None = None  # to its results
    links_end_at: float = 0.0
    heatmap: str | None = None  # a link to it, from the poll that found the order complete
    view: OrderView | None = None  # what the list has just told of it, unread yet
    was_polled: bool = False
    is_puzzling: bool = False  # its status is a word that we do not know, and the log says so
    uploaded_at: float | None = None  # when an upload last ended, or this was first asked
    failed: list[int] = field(default_factory=list)  # files whose transfer failed, longest ago first
    unaccepted: dict[int, Received] = field(default_factory=dict)  # results whose entry failed, and may be there
    lines: list[Line] | None = None  # of a list: those that have no order yet
    child: str = ""  # of a list: the order whose links are laid out


@dataclass
class StepContext:
    inbox: Inbox
    journal: Journal
    folders: Folders
    publisher: Publisher
    service: Service
    transfers: TransferPool
    delivery_index: DeliveryIndex
    inbox_of: Callable[[str], Inbox | None]  # another one, while that is there
    admission: Admits
    asked: dict[str, float] = field(default_factory=dict)  # what at the service → when; of the last second only
    memories: dict[str, OrderMemory] = field(default_factory=dict)  # by the order's key

    def __post_init__(self) -> None:
        self.findings = FindingPublisher(self.publisher, self.journal)
        self.enclosures = EnclosurePublisher(self.publisher, self.journal)
        self.lists = ListPublisher(self.publisher, self.journal)
        self._other_outbox_lock = threading.Lock()

    def memory_of(self, order: Order) -> OrderMemory:
        return self.memories.setdefault(order.key, OrderMemory())

    def poll(self, order: Order) -> OrderView:
        """Ask how far the service is with the order, unless the list has just told all of it.

        Raises Throttled when that was done less than a second ago, for whatever step.
        """
        memory = self.memory_of(order)
        if memory.view is not None:
            seen, memory.view = memory.view, None
            return seen
        order_id = id_of(order)
        try:
            return self.ask_once(order_id, lambda: self.service.poll(order_id))
        finally:
            memory.was_polled = True

    def ask_once(self, what: str, ask: Callable[[], _T]) -> _T:
        """Ask how something is at the service. Raises Throttled when that was done less than a second ago."""
        elapsed = self.journal.clock.elapsed
        since = elapsed() - timing.LEAST_BETWEEN_POLLS_SECONDS
        wait = self.asked.get(what, since) - since
        if wait > 0:
            raise Throttled("it was asked for a moment ago", retry_after_seconds=wait)
        try:
            return ask()
        finally:
            self.asked = {each: at for each, at in self.asked.copy().items() if at > since} | {what: elapsed()}

    def is_of_the_inbox(self, order: Order, fault: FolderFault) -> bool:
        """Is a folder at fault that others of the inbox need? Else it is one file, or a sub-folder, of this order.

        A fault of our own state directory is the inbox's: to note it in the entry could undo what a torn write did.
        """
        if isinstance(fault, NotAFolder | NotRegular):  # a link or the like lies in the place of a file or folder
            return False
        was_unreadable = order.why is not None and order.why.code == BAD_SECTOR
        is_of_a_file = fault.code == BAD_SECTOR and (order.state is State.CREATED or was_unreadable)
        is_of_a_file |= isinstance(fault, Held) or fault.is_closed  # a sub-folder has rights of its own
        is_of_a_file |= fault.code in {"ENAMETOOLONG", "EILSEQ"}  # by a restored or edited entry, on another disk
        if not is_of_a_file or fault.path.startswith(f"{self.journal.state_dir}/"):
            return True
        try:
            self.folders.require_room(self.inbox, order.size)
        except FolderFault:
            return True
        return False

    @contextmanager
    def read_other_inbox(self) -> Iterator[bool]:
        """Yield whether this step may read in the outbox of another inbox: one step of this inbox does at a time."""
        is_free = self._other_outbox_lock.acquire(blocking=False)
        try:
            yield is_free
        finally:
            if is_free:
                self._other_outbox_lock.release()

    def recipient_of(self, order: Order, text: str) -> str | None:
        """Say to whom the copy with this text was given, as far as the inbox that lends its originals can tell.

        Raises Held while another program has its table open, for the first tries of the order.
        """
        lender = self.inbox_of(self.inbox.originals_from) if self.inbox.originals_from else None
        if lender is None:
            return None
        try:
            return disk.answer_of(partial(tables.recipient_of, text, lender), lender.outbox, timing.TABLE_SECONDS)
        except FolderFault as fault:
            if isinstance(fault, Held) and order.failures < MOST_WAITS:
                raise
            event("ledger.unread", logging.WARNING, inbox=self.inbox.name, reason=fault.reason)
            return None

    def seconds_since_upload(self, order: Order) -> float:
        """Return the seconds since an upload of the order ended; in an earlier life: since this was first asked."""
        elapsed, memory = self.journal.clock.elapsed(), self.memory_of(order)
        if memory.uploaded_at is None:
            memory.uploaded_at = elapsed
        return elapsed - memory.uploaded_at

    def accept(self, order: Order, good: Mapping[int, Received]) -> Order:
        """Journal results. Where that fails they are kept: the entry may be on the disk all the same."""
        try:
            return self.publisher.accept(order, good)
        except BaseException:
            self.memory_of(order).unaccepted = dict(good)
            raise

    def take_left_over(self, order: Order) -> dict[int, Received]:
        """Return, once, the results of a try whose entry could not be made durable, as far as they are there."""
        memory = self.memory_of(order)
        there = {index: held for index, held in memory.unaccepted.items() if disk.stat_of(held.part) is not None}
        memory.unaccepted = {}
        return there

    def record(self, order: Order) -> None:
        """Write what the order has brought into its table, and then its line into the history."""
        self.journal.record(order, partial(tables.enter, order, self.inbox.outbox, self.journal.instance))

    def forget(self, key: str) -> None:
        memory = self.memories.pop(key, OrderMemory())
        with suppress(FolderFault):  # then the next start sweeps it away
            for result in memory.unaccepted.values():
                result.remove()

    def forget_links(self, order: Order) -> None:
        memory = self.memory_of(order)
        memory.urls = memory.links = memory.heatmap = None


class Door(Protocol):
    """What the pipeline knows of an inbox's intake."""

    health: InboxHealth

    def nudge(self, name: str | None) -> None: ...

    def look_at(self, name: str) -> None: ...


@dataclass
class InboxRuntime:
    """One inbox with its intake, thread and workers."""

    context: StepContext
    intake: Door
    wake: Callable[[], None]  # its thread
    workers: ThreadPoolExecutor  # for its steps
    wanted_at: float = float("-inf")  # when it last asked whether it may claim, by the clock of the time awake

    @property
    def health(self) -> InboxHealth:
        return self.intake.health


class InboxRuntimes(dict[str, InboxRuntime]):
    """Those of all inboxes, by name. Any thread may ask."""

    def inbox_of(self, name: str) -> Inbox | None:
        """Return another inbox, while its folders can be read."""
        return self[name].context.inbox if self.is_within_reach(name) else None

    def is_within_reach(self, inbox: str) -> bool:
        """Are its folders there, and do they answer? Else none of its orders goes on, and nobody is to wait for one."""
        runtime = self.get(inbox)
        return runtime is not None and runtime.health.is_within_reach

    def is_silent(self, inbox: str) -> bool:
        """Does one of its folders not answer? Then its steps may hang for ever."""
        runtime = self.get(inbox)
        return runtime is not None and runtime.health.is_silent

    def wake(self) -> None:
        for runtime in self.values():
            runtime.wake()


def id_of(order: Order) -> str:
    assert order.order_id is not None  # noqa: S101 - every state after `claimed` has one
    return order.order_id
