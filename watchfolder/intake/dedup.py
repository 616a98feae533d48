"""Were these very bytes delivered before, or are they under way? Then nothing is bought for them (again)."""

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from watchfolder import disk
from watchfolder.config import Inbox
from watchfolder.delivery_index import DeliveryIndex, Original
from watchfolder.disk import NotAFolder, NotRegular, Place
from watchfolder.errors import FolderFault
from watchfolder.events import event
from watchfolder.intake.decide import Ready
from watchfolder.journal import Journal
from watchfolder.order import Key, KeyMode, Order, OrderFile
from watchfolder.services import flow_of
from watchfolder.work import WorkFolder

_READING_SECONDS = 3.0  # at a time: then nudges and timers are served


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A file that stays in the inbox until the order that has the same bytes has come to its end."""

    key: str  # of that order; "": the one that is begun now
    sha256: str | None
    is_perhaps: bool = False  # another inbox's, of which only the size is known yet


class Left(NamedTuple):
    """A file that a claim has left where it lies: something hinders it, or else its turn comes again."""

    sha256: str | None = None  # if it had to be read
    hindrance: str = ""


@dataclass
class Sorted:
    """What a claim makes of its files, and what they are compared with."""

    under_way: Sequence[tuple[Order, OrderFile]] = ()  # what may have the same bytes as one of them
    parked: list[Order] = field(default_factory=list)  # orders that none of them has resumed
    met: dict[str, str] = field(default_factory=dict)  # bytes or address → the order resumed with them; "": the new one
    fresh: list[Ready] = field(default_factory=list)  # to be bought
    resumed: list[tuple[Sequence[Ready], Order]] = field(default_factory=list)  # with the parked order they resume
    known: list[tuple[Ready, Key]] = field(default_factory=list)  # with the order that delivered the same bytes
    duplicates: dict[str, Duplicate] = field(default_factory=dict)  # by the file's name, as is the next
    left: dict[str, Left] = field(default_factory=dict)

    def put_off(self, files: Iterable[Ready]) -> None:
        self.left |= {file.name: Left(file.sha256) for file in files}

    def keep_paid(self) -> None:
        """Leave for later all that is not paid for, and what would wait for that."""
        self.put_off([*self.fresh, *(file for file, _ in self.known)])
        self.left |= {name: Left(each.sha256) for name, each in self.duplicates.items() if not each.key}
        self.duplicates = {name: duplicate for name, duplicate in self.duplicates.items() if duplicate.key}
        self.fresh, self.known = [], []


class DedupScope:
    """What all inboxes share: whose folders can be read now, and one claim at a time for the same bytes."""

    def __init__(self, delivery_index: DeliveryIndex, inbox_of: Callable[[str], Inbox | None]) -> None:
        self.delivery_index = delivery_index
        self.inbox_of = inbox_of  # None: it is not configured, not open, or does not answer
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def one_claim(self) -> Iterator[None]:
        """In the block no other inbox begins an order."""
        with self._guard:
            yield


class Dedup:
    """The duplicates of one inbox; only its own thread asks.

    A file is read for its hash only when one of its size is parked, was delivered or is under way. Another inbox's
    files are never touched: what it has under way is known by its journalled hash, or is waited for while it is being
    uploaded. With `duplicates: again` only what is parked, or on its way there, counts: that is paid for already.
    """

    def __init__(self, inbox: Inbox, mode: KeyMode, journal: Journal, work: WorkFolder, scope: DedupScope) -> None:
        self.waiting: dict[str, Duplicate] = {}  # by the file's name; it may have changed or gone since
        self._inbox = inbox
        self._flow = flow_of(inbox)
        self._product = self._flow.product_of(inbox)
        self._mode = mode
        self._journal = journal
        self._work = work
        self._scope = scope
        self._reuses = self._flow.may_reuse(inbox)
        self._hashes: dict[tuple[str, str], str | None] = {}  # of files under way that had none

    @contextlib.contextmanager
    def sort(self, ready: Sequence[Ready]) -> Iterator[Sorted]:
        """Part the files by what is known of their bytes. In the block no other inbox begins an order."""
        left: dict[str, Left] = {}  # from one try to the next
        while True:
            under_way = self._under_way(ready)  # before the parked ones: what moves there meanwhile is in one of both
            parts = Sorted(under_way, self._journal.parked(self._mode, self._product), left=left)
            read = self._sort(ready, parts)
            if self._reuses and not self._scope.delivery_index.is_ready:  # it has broken: old pictures looked new
                parts.put_off(read)
                yield Sorted(left=left)
                return
            with self._scope.one_claim():
                before, now = ({order.key for order, _ in found} for found in (under_way, self._under_way(ready)))
                if now == before and self._are_parked(parts.resumed):
                    yield parts
                    return
            ready = read

    @contextlib.contextmanager
    def sort_pair(self, pair: Sequence[Ready]) -> Iterator[Sorted]:
        """As `sort`, for two files that belong together. The one question is whether an order of both is paid for."""
        parts, is_alone = Sorted(), not self._given_up(pair)
        read = list(filter(None, (self._read(file, parts, is_alone=is_alone) for file in pair)))
        with self._scope.one_claim():
            known, perhaps = _hash_list(read), self._given_up(read)
            same = [order for order in perhaps if _hash_list(order.files) == known]
            if parts.left or (perhaps and None in known) or any(order.is_open for order in same):
                parts.put_off(read)
            elif same:
                parts.resumed = [(read, same[0])]
            else:
                parts.fresh = read
            yield parts

    def _given_up(self, pair: Sequence[Ready]) -> list[Order]:
        """Return the orders that files of these sizes may take up again, now or when they have been parked."""
        sizes = [file.size for file in pair]
        orders = (order for order in self._journal.orders() if order.has_product(self._mode, self._product))
        return [order for order in orders if order.is_resumable and [file.size for file in order.files] == sizes]

    def wait(self, duplicates: Mapping[str, Duplicate], key: str) -> None:
        """Let them wait; `key` is the order begun now, for those whose duplicate is in it."""
        self.waiting |= {name: replace(duplicate, key=duplicate.key or key) for name, duplicate in duplicates.items()}

    def has_ended(self) -> bool:
        """Is the wait of any file over? Any thread may ask."""
        return any(map(self._is_over, self.waiting.copy().values()))

    def ended(self) -> list[str]:
        """Return, once, the files whose duplicate has come to its end, whatever that was."""
        names = [name for name, duplicate in self.waiting.items() if self._is_over(duplicate)]
        for name in names:
            del self.waiting[name]
        return names

    def _is_over(self, duplicate: Duplicate) -> bool:
        order = self._journal.get(duplicate.key)
        if order is None or not order.is_open or not self._is_within_reach(order):
            return True
        return duplicate.is_perhaps and not _is_hash_due(order)

    def _is_within_reach(self, order: Order) -> bool:
        """Will its result be in reach? An inbox whose share is away may stay so for days."""
        return order.inbox == self._inbox.name or self._scope.inbox_of(order.inbox) is not None

    def _under_way(self, ready: Sequence[Ready]) -> list[tuple[Order, OrderFile]]:
        marks = set(map(_mark, ready))
        under_way = filter(self._may_serve, self._journal.orders())
        return [(order, file) for order in under_way for file in order.files if _mark(file) in marks]

    def _may_serve(self, order: Order) -> bool:
        """May its result serve for other files of the same bytes, or of the same address?"""
        is_of_use = order.is_open and (self._reuses or order.is_resumable)
        return is_of_use and order.has_product(self._mode, self._product) and self._is_within_reach(order)

    def _are_parked(self, resumed: Sequence[tuple[Sequence[Ready], Order]]) -> bool:
        """Is each still parked, and not taken up by another inbox meanwhile?"""
        found = [self._journal.get(order.key) for _, order in resumed]
        return all(order is not None and not order.is_open for order in found)

    def _sort(self, ready: Sequence[Ready], parts: Sorted) -> list[Ready]:
        """Part the files; return those that have been read, as far as they had to be."""
        own = Counter(map(_mark, ready if self._reuses else ()))
        others = {_mark(file) for _, file in parts.under_way} | {_mark(order.files[0]) for order in parts.parked}
        read: list[Ready] = []
        until = time.monotonic() + _READING_SECONDS
        for each in ready:
            if (read or parts.left) and time.monotonic() > until:
                parts.put_off([each])
                continue
            file = self._read(each, parts, is_alone=own[_mark(each)] <= 1 and _mark(each) not in others)
            if file is not None:
                read.append(file)
                self._part(file, parts)
        return read

    def _part(self, file: Ready, parts: Sorted) -> None:
        same = file.address or file.sha256
        if same is None:
            parts.fresh.append(file)
        elif paid := next((order for order in parts.parked if self._waits_for(order, file)), None):
            parts.parked.remove(paid)
            parts.resumed.append(([file], paid))
            parts.met[same] = paid.key
        elif first := self._find_delivered(file):
            parts.known.append((file, first))
        elif duplicate := self._same_under_way(file, parts.under_way):
            parts.duplicates[file.name] = duplicate
        elif self._reuses and same in parts.met:
            parts.duplicates[file.name] = Duplicate(parts.met[same], file.sha256)
        else:
            parts.fresh.append(file)
            parts.met[same] = ""

    def _waits_for(self, parked: Order, file: Ready) -> bool:
        """Is it the same picture, or the same address of one, for the same recipients?"""
        known, *beside = parked.files
        if beside:  # the bytes of a pair are compared together
            return False
        is_same = known.address == file.address if file.address else known.sha256 == file.sha256
        return is_same and self._flow.is_for_the_same(known, self._inbox, file.name)

    def _read(self, file: Ready, parts: Sorted, *, is_alone: bool) -> Ready | None:
        """Read a file for its hash, if there can be another one like it; what cannot be read joins `parts.left`."""
        if file.why is not None or file.sha256 is not None or file.address:
            return file
        index = self._scope.delivery_index
        if is_alone and not (self._reuses and index.has_size(file.size, self._mode, self._product)):
            return file
        place = file.lies_at or Place(self._inbox.path, file.name)
        try:
            return replace(file, sha256=_hash(place))
        except FolderFault as fault:  # a damaged file must not keep its neighbours
            parts.left[file.name] = Left(hindrance=disk.why_not_read(place, fault))
            return None

    def _find_delivered(self, file: Ready) -> Key | None:
        """Return the order that brought a result for these bytes, if that is still there, as far as a look can tell.

        Never for an address: what lies there later may be another picture.
        """
        if file.sha256 is None or file.address or not self._reuses:
            return None
        original = Original(file.size, self._mode, self._product, file.sha256)
        for delivery in self._scope.delivery_index.find(original):
            if delivery.finding is not None:  # it is all that is needed
                return delivery.key
            if delivery.inbox != self._inbox.name:
                if self._scope.inbox_of(delivery.inbox) is not None:
                    return delivery.key  # looked at when it is copied: another inbox's share must not hold us up
                continue
            place = Place(self._inbox.outbox, delivery.name)
            if _size(place) == delivery.size:
                return delivery.key
            facts: dict[str, Any] = {
                "from": place.path,
                "reason": "it is gone, unreadable or changed; the picture is bought",
            }
            event("file.not_reused", logging.WARNING, inbox=self._inbox.name, file=file.name, **facts)
            self._scope.delivery_index.forget(original, delivery)
        return None

    def _same_under_way(self, file: Ready, under_way: Sequence[tuple[Order, OrderFile]]) -> Duplicate | None:
        for order, other in under_way:
            if _mark(other) != _mark(file):
                continue
            if file.address:
                return Duplicate(order.key, None)
            sha256 = other.sha256 or self._hash_under_way(order, other)
            is_perhaps = sha256 is None and order.inbox != self._inbox.name and _is_hash_due(order)
            if sha256 == file.sha256 or is_perhaps:
                return Duplicate(order.key, file.sha256, is_perhaps=is_perhaps)
        return None

    def _hash_under_way(self, order: Order, file: OrderFile) -> str | None:
        if order.inbox != self._inbox.name:
            return None
        known = (order.key, file.name)
        if known not in self._hashes:
            self._hashes = {each: sha256 for each, sha256 in self._hashes.items() if self._journal.get(each[0])}
            place = self._work.place(order, file)
            try:
                self._hashes[known] = _hash(place)
            except FolderFault as fault:
                disk.why_not_read(place, fault)  # what cannot be read cannot be sent either
                return None
        return self._hashes[known]


def _is_hash_due(order: Order) -> bool:
    """Will its uploads soon tell what its bytes are?"""
    return order.traits.is_unread and order.not_before is None


def _mark(file: Ready | OrderFile) -> str | int:
    """Return what two files must share for one result to serve both: their address, or else their size."""
    return file.address or file.size


def _hash_list(files: Iterable[Ready | OrderFile]) -> list[str | None]:
    return [file.sha256 for file in files]


def _hash(place: Place) -> str | None:
    try:
        return disk.hash_of(place)
    except (FileNotFoundError, NotAFolder, NotRegular):  # gone: its claim finds that out
        return None


def _size(place: Place) -> int | None:
    try:
        found = disk.stat_of(place)
    except NotAFolder:
        return None
    except FolderFault as fault:
        disk.why_not_read(place, fault)
        return None
    return found.st_size if found is not None and disk.is_regular(found) else None
