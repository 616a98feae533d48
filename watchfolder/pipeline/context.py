"""What the steps of one inbox work with, and the inbox as the pipeline sees it."""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from watchfolder import disk
from watchfolder.api import Links, OrderView, Service
from watchfolder.config import Inbox
from watchfolder.delivery_index import DeliveryIndex
from watchfolder.errors import FolderFault, Throttled
from watchfolder.events import event
from watchfolder.folders import Folders, InboxHealth
from watchfolder.journal import Journal
from watchfolder.order import Order
from watchfolder.pipeline import tempo
from watchfolder.pipeline.transfers import TransferPool
from watchfolder.publish import (
    EnclosurePublisher,
    FindingPublisher,
    LedgerWriter,
    ListPublisher,
    Publisher,
    Received,
    recipient_of,
)
from watchfolder.quota import Admits
from watchfolder.services.link_files import Line

_T = TypeVar("_T")


@dataclass
class StepContext:
    """The rooms below, and what is remembered of orders. Links are secrets and live here, in memory, only."""

    inbox: Inbox
    journal: Journal
    folders: Folders
    publisher: Publisher
    service: Service
    transfers: TransferPool
    delivery_index: DeliveryIndex
    inbox_of: Callable[[str], Inbox | None]  # another one, while that is there
    admission: Admits
    abroad: threading.Lock = field(default_factory=threading.Lock)  # held while one of its files is read
    urls: dict[str, dict[str, str]] = field(default_factory=dict)  # key → file_id → upload URL
    puzzled: set[str] = field(default_factory=set)  # keys of orders whose status is a word that nobody knows
    links: dict[str, tuple[float, Links]] = field(default_factory=dict)  # key → (expiry, links)
    polled: set[str] = field(default_factory=set)  # keys of orders
    asked: dict[str, float] = field(default_factory=dict)  # what at the service → when, the last second's alone
    uploaded_at: dict[str, float] = field(default_factory=dict)  # key → when an upload last ended, or this life began
    failed: dict[str, list[int]] = field(default_factory=dict)  # key → files whose transfer failed, longest ago first
    unaccepted: dict[str, dict[int, Received]] = field(default_factory=dict)  # key → results that the journal may hold
    heatmaps: dict[str, str] = field(
        default_factory=dict
    )  # key → a link that the look has given which found it complete
    unfolding: dict[str, list[Line]] = field(default_factory=dict)  # key of a list → lines that have no order yet
    unclaimed: dict[str, str] = field(default_factory=dict)  # key of a list → of its order whose links are laid out
    listed: dict[str, OrderView] = field(default_factory=dict)  # key → what the list has just told of it, unread yet

    def __post_init__(self) -> None:
        self.findings = FindingPublisher(self.publisher, self.journal)
        self.ledger = LedgerWriter(self.inbox.outbox, self.journal.instance)
        self.enclosures = EnclosurePublisher(self.publisher, self.journal)
        self.lists = ListPublisher(self.publisher, self.journal)

    def poll(self, order: Order) -> OrderView:
        """Ask how far the service is with the order, unless the list has just told all of it.

        Raises Throttled when that was done a moment ago, whatever for.
        """
        if (seen := self.listed.pop(order.key, None)) is not None:
            return seen
        order_id = id_of(order)
        try:
            return self.ask_slowly(order_id, lambda: self.service.look(order_id))
        finally:
            self.polled.add(order.key)

    def ask_slowly(self, what: str, ask: Callable[[], _T]) -> _T:
        """Ask how something is at the service. Raises Throttled when that was done a moment ago."""
        elapsed = self.journal.clock.elapsed
        since = elapsed() - tempo.LEAST_BETWEEN_LOOKS_SECONDS
        wait = self.asked.get(what, since) - since
        if wait > 0:
            raise Throttled("it was asked for a moment ago", retry_after_seconds=wait)
        try:
            return ask()
        finally:
            self.asked = {each: at for each, at in self.asked.copy().items() if at > since} | {what: elapsed()}

    def recipient_of(self, text: str) -> str | None:
        """Say to whom the copy with this text was given, as far as the inbox that lends its originals can tell."""
        lender = self.inbox_of(self.inbox.originals_from) if self.inbox.originals_from else None
        if lender is None:
            return None
        try:
            return disk.answer_of(partial(recipient_of, text, lender), lender.outbox, tempo.TABLE_SECONDS)
        except FolderFault as fault:
            event("ledger.unread", logging.WARNING, inbox=self.inbox.name, reason=fault.reason)
            return None

    def seconds_since_upload(self, key: str) -> float:
        """Return how long ago an upload of the order ended, as far as this life knows: an earlier one may just have."""
        elapsed = self.journal.clock.elapsed()
        return elapsed - self.uploaded_at.setdefault(key, elapsed)

    def accept(self, order: Order, good: Mapping[int, Received]) -> Order:
        """Journal results. An entry that could not be made safe may be on the disk all the same: they are kept."""
        try:
            return self.publisher.accept(order, good)
        except BaseException:
            self.unaccepted[order.key] = dict(good)
            raise

    def take_unaccepted(self, order: Order) -> dict[int, Received]:
        """Return, once, the results that are there from a try whose entry could not be made safe."""
        held = self.unaccepted.get(order.key, {})
        there = {index: result for index, result in held.items() if disk.stat_of(result.part) is not None}
        self.unaccepted.pop(order.key, None)
        return there

    def forget_unless(self, order: Order | None, key: str) -> None:
        """Drop what is remembered of an order that has left the journal."""
        if order is None:
            self.forget(key)
            self.polled.discard(key)
            self.uploaded_at.pop(key, None)
            self.failed.pop(key, None)
            self.puzzled.discard(key)
            self.listed.pop(key, None)
            self.unfolding.pop(key, None)
            with suppress(FolderFault):  # then the next start sweeps it away
                for result in self.unaccepted.pop(key, {}).values():
                    result.discard()

    def forget(self, key: str) -> None:
        for memory in (self.urls, self.links, self.heatmaps):
            memory.pop(key, None)


class Door(Protocol):
    """What the pipeline knows of an inbox's intake."""

    health: InboxHealth

    def nudge(self, name: str | None) -> None: ...

    def look_at(self, name: str) -> None: ...


@dataclass
class InboxRuntime:
    """One inbox with those who work for it."""

    context: StepContext
    intake: Door
    wake: Callable[[], None]  # its thread
    most_steps: int  # side by side
    wanted_at: float = float("-inf")  # when it last asked whether it may claim, by the clock of the time awake
    workers: ThreadPoolExecutor = field(init=False)

    @property
    def health(self) -> InboxHealth:
        return self.intake.health

    def __post_init__(self) -> None:
        self.workers = ThreadPoolExecutor(self.most_steps, f"step-{self.context.inbox.name}")


def id_of(order: Order) -> str:
    assert order.order_id is not None  # noqa: S101 - every state after `claimed` has one
    return order.order_id
