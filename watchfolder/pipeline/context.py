"""What the steps of one inbox work with."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from watchfolder import disk
from watchfolder.api import Links, OrderView, Service
from watchfolder.config import Inbox
from watchfolder.delivery_index import DeliveryIndex
from watchfolder.errors import FolderFault, Throttled
from watchfolder.folders import Folders
from watchfolder.journal import Journal
from watchfolder.order import Order
from watchfolder.pipeline import tempo
from watchfolder.pipeline.lanes import Lanes
from watchfolder.publish import FindingPublisher, LedgerWriter, Publisher, Received


@dataclass
class StepContext:
    """The rooms below, and what is remembered of orders. Links are secrets and live here, in memory, only."""

    inbox: Inbox
    journal: Journal
    folders: Folders
    publisher: Publisher
    service: Service
    lanes: Lanes
    delivery_index: DeliveryIndex
    outbox_of: Callable[[str], str | None]  # of another inbox, while that is there
    abroad: threading.Lock = field(default_factory=threading.Lock)  # held while one of its files is read
    urls: dict[str, dict[str, str]] = field(default_factory=dict)  # key → file_id → upload URL
    puzzled: set[str] = field(default_factory=set)  # keys of orders whose status is a word that nobody knows
    links: dict[str, tuple[float, Links]] = field(default_factory=dict)  # key → (expiry, links)
    looked_at: dict[str, float] = field(default_factory=dict)  # key → when; instants are seconds since the boot
    failed: dict[str, list[int]] = field(default_factory=dict)  # key → files whose transfer failed, longest ago first
    unaccepted: dict[str, dict[int, Received]] = field(default_factory=dict)  # key → results that the journal may hold
    listed: dict[str, OrderView] = field(default_factory=dict)  # key → what the list has just told of it, unread yet

    def __post_init__(self) -> None:
        self.findings = FindingPublisher(self.publisher, self.journal)
        self.ledger = LedgerWriter(self.inbox.outbox, self.journal.instance)

    def look(self, order: Order) -> OrderView:
        """Look at the order at the service, unless the list has just told all of it.

        Raises Throttled when that was done a moment ago, whatever for.
        """
        if (seen := self.listed.pop(order.key, None)) is not None:
            return seen
        elapsed = self.journal.clock.elapsed
        wait = self.looked_at.get(order.key, float("-inf")) + tempo.LEAST_BETWEEN_LOOKS_SECONDS - elapsed()
        if wait > 0:
            raise Throttled("the order was looked at a moment ago", retry_after_seconds=wait)
        try:
            return self.service.look(id_of(order))
        finally:
            self.looked_at[order.key] = elapsed()

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
            self.looked_at.pop(key, None)
            self.failed.pop(key, None)
            self.puzzled.discard(key)
            self.listed.pop(key, None)
            with suppress(FolderFault):  # then the next start sweeps it away
                for result in self.unaccepted.pop(key, {}).values():
                    result.discard()

    def forget(self, key: str) -> None:
        for memory in (self.urls, self.links):
            memory.pop(key, None)


def id_of(order: Order) -> str:
    assert order.order_id is not None  # noqa: S101 - every state after `claimed` has one
    return order.order_id
