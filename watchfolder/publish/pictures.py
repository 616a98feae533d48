"""Results on their way to the outbox: received into a hidden file, journalled, and only then given a name.

Every name is journalled before a file gets it, so each step here may find that it has already happened.
"""

import contextlib
import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

from watchfolder import disk
from watchfolder.config import Inbox
from watchfolder.disk import NotAFolder, Place, UnfitName
from watchfolder.events import event
from watchfolder.folders import Folders
from watchfolder.images import Format
from watchfolder.journal import Journal
from watchfolder.order import Order, OrderFile, Result
from watchfolder.publish.free_names import OBSTACLES, another_name, free_name
from watchfolder.publish.next_inbox import NextInbox
from watchfolder.publish.originals import OriginalPublisher
from watchfolder.publish.results import Fetch, Received, delivered_name, part_gone, receive, result_format
from watchfolder.services import flow_of


class Publisher:
    """Puts the results of one inbox's orders where they belong, and the originals after them."""

    def __init__(self, inbox: Inbox, journal: Journal, folders: Folders, inboxes: Collection[Inbox] = ()) -> None:
        """Any of `inboxes` may watch this one's outbox."""
        self.inbox = inbox
        self._journal = journal
        self._folders = folders
        self._next = NextInbox(inbox.outbox, inboxes, journal, folders)
        self._unnamed: set[str] = set()  # parts that were received in this life and have not been linked yet
        self.originals = OriginalPublisher(inbox, journal, folders)
        self.work = self.originals.work

    @disk.folders_kept_open()
    def receive(self, file: OrderFile, fetch: Fetch) -> Received:
        """Download one result into a hidden file and verify it; any thread may.

        Raises OrderRetry when what came is not the whole protected picture.
        """
        is_of_the_original = self.inbox.delivered_time == "original" and not file.address
        mtime_ns = file.mtime_ns if is_of_the_original else None
        is_pdf: bool | None = file.media_type == Format.PDF.media_type
        if file.address and flow_of(self.inbox).takes_pdf:  # what lies there may be of another kind than its name
            is_pdf = None
        with self.new_part() as part:
            return receive(file.sha256, part, fetch, mtime_ns, format_of=partial(result_format, is_pdf=is_pdf))

    @contextlib.contextmanager
    def new_part(self) -> Iterator[Place]:
        """Yield a hidden place to receive a file in; what is there is removed when the block fails."""
        part = disk.hidden_part(self.inbox.outbox, self._journal.instance)
        try:
            yield part
        except FileNotFoundError as error:
            self._folders.require_folder(self.inbox.outbox)  # raises if it is the share that has gone
            raise part_gone(self.inbox.outbox) from error
        except BaseException:
            disk.remove(part, durable=False)
            raise

    @disk.folders_kept_open()
    def accept(self, order: Order, received: Mapping[int, Received]) -> Order:
        """Journal received results, by their numbers, each with the final name that is chosen for it."""
        taken = {result.delivery for _, result in order.results}
        for number, came in received.items():
            index, result = order.results[number]
            wanted = delivered_name(order, order.files[index], result, came.format)
            is_ours = partial(disk.is_ours, size=came.size, sha256=came.sha256)
            is_fixed = result.recipient is not None
            delivery = free_name(self.inbox.outbox, wanted, taken=taken, is_ours=is_ours, is_folder_fixed=is_fixed)
            taken.add(delivery)
            self._unnamed.add(came.part.name)
            facts = {"sha256": came.sha256, "size": came.size}
            order = order.with_result(number, part=came.part.name, delivery=delivery, **facts)
        return self._journal.note(order)

    @disk.folders_kept_open()
    def deliver(self, order: Order, numbers: Sequence[int]) -> Order:
        """Give the accepted results their names in the outbox. Raises FolderFault.

        One found neither in its hidden part nor under its name becomes one that was never received.
        """
        batch = disk.FsyncBatch()
        for number in numbers:
            order = self._name(order, number, batch)
        batch.sync()
        now = self._journal.clock.now()
        for number in numbers:  # made durable with the originals' destinations, next
            _, result = order.results[number]
            if result.part is not None:
                order = order.with_result(number, delivered_at=now)
                event("file.delivered", order=order.key, inbox=order.inbox, file=result.delivery, size=result.size)
        return order

    def put_in_place(self, order: Order, numbers: Sequence[int]) -> Order:
        """Deliver what was received, then move each original whose results are all delivered to its place.

        Raises FolderFault.
        """
        results = order.results
        order = self.deliver(order, [number for number in numbers if not results[number][1].is_delivered])
        indexes = sorted({results[number][0] for number in numbers})
        delivered = [index for index in indexes if order.files[index].is_delivered]
        if len(delivered) < len(indexes):  # not left to the originals' moves: perhaps none moves yet
            order = self._journal.note(order)
        unplaced = [index for index in delivered if not order.files[index].is_placed]
        return self.originals.place(order, unplaced) if unplaced else order

    def _name(self, order: Order, number: int, batch: disk.FsyncBatch) -> Order:
        """Link the accepted result to its name, or to another one when that is taken meanwhile."""
        while True:
            _, result = order.results[number]
            assert result.part is not None  # noqa: S101 - accepted first
            assert result.delivery is not None  # noqa: S101
            part, target = Place(self.inbox.outbox, result.part), Place(self.inbox.outbox, result.delivery)
            if self._is_named(order, result, target, batch):
                return order
            try:
                disk.publish_new(part, target, owner=self._journal.instance, batch=batch)
            except FileNotFoundError:  # linked before a crash, or removed by another program
                return self._without_part(order, number, target, batch)
            except OBSTACLES as obstacle:
                if isinstance(obstacle, UnfitName) or not disk.is_ours(target, result.size, result.sha256):
                    is_fixed = result.recipient is not None  # another folder may be another recipient's
                    other = another_name(order.inbox, target, result.delivery, obstacle, is_folder_fixed=is_fixed)
                    order = self._journal.note(order.with_result(number, delivery=other))
                    continue
                batch.found(target)
                disk.remove(part, durable=False)
            return order

    def _without_part(self, order: Order, number: int, target: Place, batch: disk.FsyncBatch) -> Order:
        _, result = order.results[number]
        self._folders.require_folder(self.inbox.outbox)  # unless the share has just gone
        with contextlib.suppress(FileNotFoundError):  # the next inbox has just taken it
            if disk.holds(target, result.size, result.sha256):
                batch.found(target)
                return order
        if self._next.has_taken(order, result):
            return order
        event("file.part_gone", logging.WARNING, order=order.key, inbox=order.inbox, file=result.delivery)
        return order.with_result(number, part=None, delivery=None, sha256=None, size=None)

    def _is_named(self, order: Order, result: Result, target: Place, batch: disk.FsyncBatch) -> bool:
        """Did it get its name in an earlier try: is it there, or has the next inbox taken it from there?

        What is there is not linked again: that inbox may take it at any moment, and would get it twice.
        """
        assert result.part is not None  # noqa: S101 - accepted first
        part = Place(self.inbox.outbox, result.part)
        if result.part in self._unnamed:
            self._unnamed.discard(result.part)
            return False
        with contextlib.suppress(NotAFolder, FileNotFoundError):  # it has just been taken
            if self._is_found(part, result, target, batch):
                return True
        if disk.is_ours(target, result.size, result.sha256) or not self._next.has_taken(order, result):
            return False
        disk.remove(part, durable=False)
        return True

    def _is_found(self, part: Place, result: Result, target: Place, batch: disk.FsyncBatch) -> bool:
        """Record what is under both names, or was copied to the second."""
        before, there = disk.stat_of(part), disk.stat_of(target)
        if before and there and os.path.samestat(before, there):  # SMB may refuse to open it by its second name
            batch.named(part, target, None)
            return True
        if not before or not disk.is_ours(target, result.size, result.sha256):
            return False
        batch.found(target)
        disk.remove(part, durable=False)
        return True
