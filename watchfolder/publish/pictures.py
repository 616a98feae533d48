"""The way out: protected pictures to the outbox, originals to their place, failures to quarantine with their reason.

Every name is journalled before a file gets it, so each step here may find that it has already happened.
"""

import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Protocol

from watchfolder import disk, names
from watchfolder.config import Inbox
from watchfolder.disk import NotAFolder, Place, UnfitName
from watchfolder.events import event
from watchfolder.folders import Folders
from watchfolder.images import Format
from watchfolder.journal import Journal
from watchfolder.order import Order, OrderFile, Result, Role, State
from watchfolder.publish import notes
from watchfolder.publish.free_names import free_name
from watchfolder.publish.next_inbox import NextInbox
from watchfolder.publish.results import (
    Fetch,
    Received,
    delivered_name,
    part_gone,
    receive,
)
from watchfolder.services import flow_of
from watchfolder.work import WorkFolder, is_unchanged

PlaceFact = Literal["destination", "delivery"]
_OBSTACLES = (FileExistsError, NotAFolder, UnfitName)  # another name may do


class PictureNote(Protocol):
    """What is told of a picture, in a file beside it."""

    def place(self, picture: Place) -> Place:
        """Return where it lies."""

    def write(self, picture: Place, order: Order) -> None:
        """Write it for where the picture will lie. Raises FileExistsError when another file holds that name."""

    def remove(self, picture: Place, order: Order) -> None:
        """Take it away again, if it is this order's: the picture gets another name."""


class Publisher:
    """Puts the files of one inbox's orders where they belong."""

    def __init__(self, inbox: Inbox, journal: Journal, folders: Folders, inboxes: Collection[Inbox] = ()) -> None:
        """Any of `inboxes` may watch this one's outbox."""
        self.inbox = inbox
        self._journal = journal
        self._folders = folders
        self._next = NextInbox(inbox.outbox, inboxes, journal, folders)
        self._unnamed: set[str] = set()  # parts that came in this life and have not been linked yet
        self.work = WorkFolder(inbox, folders.work(inbox), journal.instance)

    def hidden_part(self) -> Place:
        """Return a fresh hidden place in the outbox for what is being received."""
        return disk.hidden_part(self.inbox.outbox, self._journal.instance)

    @disk.folders_kept_open()
    def receive(self, file: OrderFile, fetch: Fetch) -> Received:
        """Download one result into a hidden file and verify it; any thread may.

        Raises Retry when what came is not the whole protected picture.
        """
        part = self.hidden_part()
        is_of_the_original = self.inbox.delivered_time == "original" and not file.address
        try:
            mtime_ns = file.mtime_ns if is_of_the_original else None
            return receive(file.sha256, part, fetch, mtime_ns, takes_pdf=self._may_be_pdf(file))
        except FileNotFoundError as error:
            self._folders.require_folder(self.inbox.outbox)  # the share has gone, with what came on it
            raise part_gone(self.inbox.outbox) from error
        except BaseException:
            disk.remove(part, durable=False)
            raise

    def _may_be_pdf(self, file: OrderFile) -> bool:
        """What lies at an address may be another kind of file than its name says."""
        return flow_of(self.inbox).takes_pdf if file.address else file.media_type == Format.PDF.media_type

    @disk.folders_kept_open()
    def accept(self, order: Order, received: Mapping[int, Received]) -> Order:
        """Journal the results of these numbers, each with the name that it shall get."""
        taken = {result.delivery for _, result in order.results}
        for number, came in received.items():
            index, result = order.results[number]
            wanted = delivered_name(order, order.files[index], result, came.format)
            is_ours = partial(disk.holds, size=came.size, sha256=came.sha256)
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

        One whose hidden part is gone, and that does not lie there either, is as if it had never been received.
        """
        batch = disk.FsyncBatch()
        for number in numbers:
            order = self._name(order, number, batch)
        batch.sync()
        now = self._journal.clock.now()
        for number in numbers:  # durable with the originals' destinations, next
            _, result = order.results[number]
            if result.part is not None:
                order = order.with_result(number, delivered_at=now)
                event("file.delivered", order=order.key, inbox=order.inbox, file=result.delivery, size=result.size)
        return order

    @disk.folders_kept_open()
    def place_originals(self, order: Order, indexes: Sequence[int]) -> Order:
        """Move the originals of delivered files to their place, or delete them as configured. Raises FolderFault."""
        self._folders.require(self.inbox)  # a share can have gone while the results came
        goals = {index: goal for index in indexes if (goal := self.goal(order, index)) is not None}
        order = self._journal.note(self._destined(order, goals))  # delivered must be durable before an original goes
        batch = disk.FsyncBatch()
        for index in indexes:
            source = self.work.place(order, order.files[index])
            if index in goals:
                order = self._settle(order, index, source, *goals[index], batch)
            else:
                disk.remove(source, durable=False)
                batch.removed(source)
        batch.sync()
        return _placed(order, indexes)

    def bring_home(self, order: Order, numbers: Sequence[int]) -> Order:
        """Deliver what was received, then put the originals where they belong whose results are all there.

        Raises FolderFault.
        """
        results = order.results
        order = self.deliver(order, [number for number in numbers if not results[number][1].is_delivered])
        indexes = sorted({results[number][0] for number in numbers})
        home = [index for index in indexes if order.files[index].is_delivered]
        if len(home) < len(indexes):  # that which is there is not told as delivered again, whatever comes
            order = self._journal.note(order)
        unplaced = [index for index in home if not order.files[index].is_placed]
        return self.place_originals(order, unplaced) if unplaced else order

    def set_aside(self, order: Order) -> Order:
        """Move the order's files to quarantine: the reason first, then the picture. Raises FolderFault."""
        for index, file in enumerate(order.files):
            source = self.work.place(order, file)
            if file.is_placed or file.role is Role.COPY:
                continue
            if self._is_of_list(order):
                order = self._drop_line(order, index)
                continue
            if file.is_delivered:
                order = self.place_originals(order, [index])
                continue
            found = disk.stat_of(source)
            if file.destination is None and found is None:
                self._vanished(order, index)
            elif found is not None and not disk.is_regular(found):  # somebody's link or pipe in the picture's place
                order = self.give_back(order, [index])
            else:
                order = self._set_aside(order, index)
        self.work.clear(order)
        return order

    def put_back(self, order: Order, keep: Collection[str] = ()) -> Order:
        """Move the order's files, but for those to keep, back into the inbox. Raises FolderFault.

        Each gets its own name where that is free.
        """
        back = [index for index, file in enumerate(order.files) if self._goes_back(order, file, keep)]
        if self._is_of_list(order):
            for index in back:
                order = self._drop_line(order, index)
        elif back:
            order = self.give_back(order, back)
        if keep:
            self.work.clear_folders(order, [file for file in order.files if file.name not in keep])
        else:
            self.work.clear(order)
        return order

    def _is_of_list(self, order: Order) -> bool:
        """Do its addresses stand in a list that is there? Then the list tells what became of them."""
        return order.of_list is not None and self._journal.get(order.of_list) is not None

    def _drop_line(self, order: Order, index: int) -> Order:
        disk.remove(self.work.place(order, order.files[index]), durable=False)
        return order.with_file(index, is_placed=True)

    def sweep_reasons(self) -> None:
        """Drop the why files whose pictures a person has taken out of quarantine. Raises FolderFault."""
        by_folder: dict[str, set[str]] = {}
        for entry in disk.scan(self.inbox.quarantine, skip_folder=lambda name: name.startswith(".")):
            folder, base = os.path.split(entry.name)
            by_folder.setdefault(folder, set()).add(base)
        for folder, bases in by_folder.items():
            for base in bases:
                if base.endswith(notes.SUFFIX) and base.removesuffix(notes.SUFFIX) not in bases:
                    self._drop_orphan(Place(self.inbox.quarantine, os.path.join(folder, base)))

    def _drop_orphan(self, why: Place) -> None:
        mark = notes.mark_of(why)
        order = self._journal.get(mark.key) if mark else None  # before the look: the picture may come meanwhile
        is_on_its_way = order is not None and order.state is State.QUARANTINING
        if mark and not is_on_its_way and disk.stat_of(why.beside(mark.picture)) is None:
            disk.remove(why)
            event("quarantine.reason_removed", inbox=self.inbox.name, file=why.name)

    def _set_aside(self, order: Order, index: int) -> Order:
        root = self.inbox.quarantine
        if order.files[index].destination is None:
            name = order.files[index].name
            self._drop_orphan(notes.place_of(Place(root, name)))  # its picture was moved back a moment ago
        note = notes.QuarantineNote(self.inbox.path, self._journal.instance)
        order, is_there = self.move_with_note(order, index, root, "destination", order.files[index].name, note)
        if is_there:
            placed = order.files[index].destination
            why = order.why.reason if order.why else ""
            event("file.quarantined", order=order.key, inbox=order.inbox, file=placed, reason=why)
        return order.with_file(index, is_placed=True)

    def move_with_note(
        self, order: Order, index: int, root: str, fact: PlaceFact, wanted: str, note: PictureNote
    ) -> tuple[Order, bool]:
        """Move a claimed file to a last place below `root`, whose name is journalled as `fact`; the note comes first.

        Return whether it is there: somebody may have taken it away. Raises FolderFault.
        """
        if _name_of(order, index, fact) is None:
            order = self._journal.note(_with_name(order, index, fact, free_name(root, wanted, note.place)))
        source = self.work.place(order, order.files[index])
        while True:
            target = Place(root, _name_of(order, index, fact) or "")
            try:
                note.write(target, order)
                disk.move(source, target, owner=self._journal.instance)
            except _OBSTACLES as obstacle:
                note.remove(target, order)
                other = self._other_name(target, wanted, obstacle, note.place)
                order = self._journal.note(_with_name(order, index, fact, other))
            except FileNotFoundError:
                self._vanished(order, index)
                note.remove(target, order)
                return order, False
            else:
                return order, True

    def was_taken_out(self, source: Place, root: str, name: str | None) -> bool:
        """Had the file been moved below `root`, under this name, and has a person taken it from there since?"""
        if name is None or disk.stat_of(source) is not None or disk.stat_of(Place(root, name)) is not None:
            return False
        self._folders.require(self.inbox)  # else a share has gone, with the file on it
        return True

    def _name(self, order: Order, number: int, batch: disk.FsyncBatch) -> Order:
        """Link the accepted result to its name, looking for another one when somebody was quicker."""
        while True:
            _, result = order.results[number]
            assert result.part is not None  # noqa: S101 - accepted first
            assert result.delivery is not None  # noqa: S101
            part, target = Place(self.inbox.outbox, result.part), Place(self.inbox.outbox, result.delivery)
            if self._was_taken_on(order, result, target):
                disk.remove(part, durable=False)
                return order
            try:
                disk.publish_new(part, target, owner=self._journal.instance, batch=batch)
            except FileNotFoundError:  # linked before a crash, or removed by another program
                self._folders.require_folder(self.inbox.outbox)  # unless the share has just gone
                if not disk.holds(target, result.size, result.sha256):
                    return self._unreceived(order, number)
                batch.found(target)
            except _OBSTACLES as obstacle:
                if isinstance(obstacle, UnfitName) or not disk.holds(target, result.size, result.sha256):
                    is_fixed = result.recipient is not None  # else it could come to lie in another one's folder
                    other = self._other_name(target, result.delivery, obstacle, is_folder_fixed=is_fixed)
                    order = self._journal.note(order.with_result(number, delivery=other))
                    continue
                batch.found(target)
                disk.remove(part, durable=False)
            return order

    def _was_taken_on(self, order: Order, result: Result, target: Place) -> bool:
        """Did it get its name in an earlier try, and has the next inbox taken it from there?"""
        assert result.part is not None  # noqa: S101 - accepted first
        if result.part in self._unnamed:
            self._unnamed.discard(result.part)
            return False
        return not disk.holds(target, result.size, result.sha256) and self._next.has_taken(order, result)

    def _unreceived(self, order: Order, number: int) -> Order:
        name = order.results[number][1].delivery
        event("file.part_gone", logging.WARNING, order=order.key, inbox=order.inbox, file=name)
        return order.with_result(number, part=None, delivery=None, sha256=None, size=None)

    def goal(self, order: Order, index: int) -> tuple[str, str] | None:
        """Say where the original of a delivered file goes: a root and a name below it. None: it is deleted."""
        file = order.files[index]
        source = self.work.place(order, file)
        if self._is_of_list(order):
            return None
        if not is_unchanged(source, file) and disk.stat_of(source) is not None:
            event("file.changed_after_confirm", order=order.key, inbox=order.inbox, file=file.name)
            return self.inbox.path, file.name
        if order.mode == "test":
            return self.inbox.quarantine, f"test/{file.name}"
        return None if self.inbox.originals is None else (self.inbox.originals, file.name)

    def place_companions(self, order: Order) -> Order:
        """Put the original of a pair where it belongs, as that of a delivered picture. Raises FolderFault."""
        files = enumerate(order.files)
        own = [index for index, file in files if file.role is Role.ORIGINAL and not file.is_placed]
        return self.place_originals(order, own) if own else order

    @disk.folders_kept_open()
    def give_back(self, order: Order, indexes: Sequence[int]) -> Order:
        goals = {index: (self.inbox.path, order.files[index].name) for index in indexes}
        order = self._journal.note(self._destined(order, goals))
        batch = disk.FsyncBatch()
        for index in indexes:
            order = self._settle(order, index, self.work.place(order, order.files[index]), *goals[index], batch)
        batch.sync()
        return _placed(order, indexes)

    def _goes_back(self, order: Order, file: OrderFile, keep: Collection[str]) -> bool:
        if file.is_placed or file.name in keep or file.role is Role.COPY:
            return False
        return file.destination is not None or disk.stat_of(self.work.place(order, file)) is not None

    def _destined(self, order: Order, goals: Mapping[int, tuple[str, str]]) -> Order:
        """Give each file that has none the name of its destination; none is durable yet."""
        taken: dict[str, set[str]] = {}
        for index, (root, wanted) in goals.items():
            if order.files[index].destination is None:
                names_there = taken.setdefault(root, set())
                is_fixed = self._says_for_whom(order, index, root)
                free = free_name(root, wanted, taken=names_there, is_folder_fixed=is_fixed)
                names_there.add(free)
                order = order.with_file(index, destination=free)
        return order

    def _settle(self, order: Order, index: int, source: Place, root: str, wanted: str, batch: disk.FsyncBatch) -> Order:
        """Move to the journalled destination, looking for another name when somebody was quicker."""
        while True:
            destination = order.files[index].destination
            assert destination is not None  # noqa: S101 - journalled before
            target = Place(root, destination)
            try:
                disk.move(source, target, owner=self._journal.instance, batch=batch)
            except _OBSTACLES as obstacle:
                is_fixed = self._says_for_whom(order, index, root)
                other = self._other_name(target, wanted, obstacle, is_folder_fixed=is_fixed)
                order = self._journal.note(order.with_file(index, destination=other))
            except FileNotFoundError:
                self._vanished(order, index)
                return order
            else:
                return order

    def _says_for_whom(self, order: Order, index: int, root: str) -> bool:
        """Would the file be another recipient's in another folder there?"""
        results = order.files[index].results
        return root == self.inbox.path and any(each.recipient and each.folder is None for each in results)

    def _vanished(self, order: Order, index: int) -> None:
        self._folders.require_folder(self.inbox.path)  # else the share has gone, with the file on it
        event("file.vanished", order=order.key, inbox=order.inbox, file=order.files[index].name)

    def _other_name(
        self,
        place: Place,
        wanted: str,
        obstacle: BaseException,
        *also: Callable[[Place], Place],
        is_folder_fixed: bool = False,
    ) -> str:
        """Find another name for a file whose own is no longer free, or more than the file system can hold."""
        if isinstance(obstacle, UnfitName):
            wanted = names.plainer(place.name)
            if wanted == place.name:
                raise obstacle
            facts: dict[str, Any] = {"file": place.path, "to": wanted, "reason": obstacle.reason}
            event("file.renamed", logging.WARNING, inbox=self.inbox.name, **facts)
        free = free_name(place.root, wanted, *also, is_folder_fixed=is_folder_fixed)
        if free == place.name and isinstance(obstacle, NotAFolder):
            raise obstacle  # it stands where the file comes from
        return free


def _name_of(order: Order, index: int, fact: PlaceFact) -> str | None:
    file = order.files[index]
    return file.destination if fact == "destination" else file.result.delivery


def _with_name(order: Order, index: int, fact: PlaceFact, name: str) -> Order:
    if fact == "destination":
        return order.with_file(index, destination=name)
    return order.with_file(index, results=(order.files[index].result.having(delivery=name),))


def _placed(order: Order, indexes: Sequence[int]) -> Order:
    for index in indexes:
        order = order.with_file(index, is_placed=True)
    return order
