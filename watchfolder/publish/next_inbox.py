"""The inbox that watches an outbox: a result that it has claimed was delivered, though no journal entry says so yet.

A result can be claimed as soon as it has its name. The entry that says "delivered" follows later, or never when the
process dies in between; if the result then got its name again, it would be claimed and paid for twice.
"""

from collections.abc import Collection
from datetime import datetime

from watchfolder import disk, history
from watchfolder.config import Inbox
from watchfolder.disk import Place
from watchfolder.folders import Folders
from watchfolder.journal import Journal
from watchfolder.order import Order, OrderFile, Result, State
from watchfolder.work import WorkFolder


class NextInbox:
    """The one of `inboxes` that watches this outbox, if any."""

    def __init__(self, outbox: str, inboxes: Collection[Inbox], journal: Journal, folders: Folders) -> None:
        self._outbox = outbox
        self._inboxes = inboxes
        self._journal = journal
        self._folders = folders

    def has_taken(self, order: Order, result: Result) -> bool:
        """Has it claimed this result of `order` since that came to its present state?

        A result is recognized by its inode while both names exist, else by its bytes under the journalled name.
        """
        since = max(moment.at for moment in order.times.values())
        real = disk.follow_links({self._outbox, *(inbox.path for inbox in self._inboxes)})
        # The journal first: an order moves from there to the history.
        return any(
            self._has_order(inbox, result, since) or self._has_ended(inbox, result, since)
            for inbox in self._inboxes
            if real[inbox.path] == real[self._outbox]
        )

    def _has_order(self, inbox: Inbox, result: Result, since: datetime) -> bool:
        work = WorkFolder(inbox, self._folders.work(inbox), self._journal.instance)
        return any(
            self._is_result(work.place(order, file), file, result)
            for order in self._journal.orders(inbox.name)
            if (claimed := order.times.get(State.CLAIMING)) and claimed.at >= since
            for file in order.files
            if (file.name, file.size) == (result.delivery, result.size)
        )

    def _is_result(self, claimed: Place, file: OrderFile, result: Result) -> bool:
        found = disk.stat_of(claimed)
        part = disk.stat_of(Place(self._outbox, result.part)) if result.part else None
        if found and part and found.st_dev == part.st_dev:
            return found.st_ino == part.st_ino
        if file.sha256 is not None:
            return file.sha256 == result.sha256
        return disk.holds(claimed, result.size, result.sha256)

    def _has_ended(self, inbox: Inbox, result: Result, since: datetime) -> bool:
        return any(
            (file.name, file.sha256) == (result.delivery, result.sha256)
            for ended in history.newest_first(self._journal.state_dir, since)
            if ended.inbox == inbox.name and (claimed := ended.times.get(State.CLAIMING)) and claimed >= since
            for file in ended.files
        )
