"""The dropped files: to the originals once their results are out, else back into the inbox or to quarantine.

Every name is journalled before a file gets it, so each step here may find that it has already happened.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from watchfolder import disk
from watchfolder.config import Inbox
from watchfolder.disk import Place
from watchfolder.events import event
from watchfolder.folders import Folders
from watchfolder.journal import Journal
from watchfolder.order import Order, OrderFile, Role, State
from watchfolder.publish import notes
from watchfolder.publish.free_names import OBSTACLES, another_name, free_name
from watchfolder.publish.notes import PictureNote, QuarantineNote
from watchfolder.work import WorkFolder, is_unchanged

TEST_ORIGINALS = "test/"
"""Below quarantine: originals of a test key wait there for a live one; nothing failed."""
OTHER_ORIGINALS = "originals/"
"""Below quarantine: originals of a service that the inbox had before, where the present one deletes originals."""

Goal = tuple[str, str] | None
"""A root and the name that is wanted below it; None: the file is deleted."""


class OriginalPublisher:
    """Moves the claimed files of one inbox's orders to their last places."""

    def __init__(self, inbox: Inbox, journal: Journal, folders: Folders) -> None:
        self._inbox = inbox
        self._journal = journal
        self._folders = folders
        self.work = WorkFolder(inbox, folders.work(inbox), journal.instance)

    @disk.folders_kept_open()
    def place(self, order: Order, indexes: Sequence[int]) -> Order:
        """Move the originals of delivered files to their place, or delete them as configured. Raises FolderFault."""
        self._folders.require(self._inbox)  # a share can have gone while the results came
        return self._move_all(order, {index: self.goal(order, index) for index in indexes})

    @disk.folders_kept_open()
    def give_back(self, order: Order, indexes: Sequence[int]) -> Order:
        """Move the files back into the inbox; links written for a list's lines are deleted. Raises FolderFault."""
        of_list = self._is_of_list(order)
        goals = {index: None if of_list else (self._inbox.path, order.files[index].name) for index in indexes}
        return self._move_all(order, goals)

    def goal(self, order: Order, index: int) -> Goal:
        """Return where the original of a delivered file goes."""
        file = order.files[index]
        source = self.work.place(order, file)
        if self._is_of_list(order):
            return None
        if not is_unchanged(source, file) and disk.stat_of(source) is not None:
            event("file.changed_after_confirm", order=order.key, inbox=order.inbox, file=file.name)
            return self._inbox.path, file.name
        if order.mode == "test":
            return self._inbox.quarantine, TEST_ORIGINALS + file.name
        if self._inbox.originals is not None:
            return self._inbox.originals, file.name
        is_to_go = order.service == self._inbox.service  # another one, before, may have kept originals
        return None if is_to_go else (self._inbox.quarantine, OTHER_ORIGINALS + file.name)

    def put_back(self, order: Order, keep: Collection[str] = ()) -> Order:
        """Move the order's files, except those named in `keep`, back into the inbox. Raises FolderFault.

        Each gets its own name where that is free.
        """
        back = [index for index, file in enumerate(order.files) if self._is_to_go_back(order, file, keep)]
        if back:
            order = self.give_back(order, back)
        if keep:
            self.work.clear_folders(order, [file for file in order.files if file.name not in keep])
        else:
            self.work.clear(order)
        return order

    def set_aside(self, order: Order) -> Order:
        """Move the order's files to quarantine: the reason first, then the picture. Raises FolderFault."""
        for index, file in enumerate(order.files):
            if file.is_placed or file.role is Role.COPY:
                continue
            if file.is_delivered or self._is_of_list(order):
                order = self.place(order, [index])
            else:
                order = self._set_aside(order, index)
        self.work.clear(order)
        return order

    def _set_aside(self, order: Order, index: int) -> Order:
        root, file = self._inbox.quarantine, order.files[index]
        found = disk.stat_of(self.work.place(order, file))
        if found is None and file.destination is None:
            self._tell_missing(order, index)
            return order
        if found is not None and not disk.is_regular(found):  # somebody's link or pipe in the picture's place
            return self.give_back(order, [index])
        if file.destination is None:
            self._drop_note(notes.place_of(Place(root, file.name)))  # of an earlier picture, if that has gone
        note = QuarantineNote(order, self._inbox.path, self._journal.instance)
        order, is_there = self.move(order, index, (root, file.name), note=note)
        if is_there:
            placed, why = order.files[index].destination, order.why.reason if order.why else ""
            event("file.quarantined", order=order.key, inbox=order.inbox, file=placed, reason=why)
        return order.with_file(index, is_placed=True)

    def sweep_why_files(self) -> None:
        """Remove the why files whose pictures a person has taken out of quarantine. Raises FolderFault."""
        root = self._inbox.quarantine
        entries = disk.scan(root, skip_folder=lambda name: name.startswith("."), is_known=bool)  # no stat for each
        found = {entry.name for entry in entries}
        for name in found:
            if name.endswith(notes.SUFFIX) and name.removesuffix(notes.SUFFIX) not in found:
                self._drop_note(Place(root, name))

    def _drop_note(self, why: Place) -> None:
        note = notes.read(why)
        order = self._journal.get(note.order) if note.order else None  # before the look: the picture may come meanwhile
        is_on_its_way = order is not None and order.state is State.QUARANTINING
        if note.is_ours and not is_on_its_way and disk.stat_of(why.beside(note.picture)) is None:
            disk.remove(why)
            event("quarantine.reason_removed", inbox=self._inbox.name, file=why.name)

    def is_taken_out(self, source: Place, root: str, name: str | None) -> bool:
        """Was the file moved to `name` below `root`, and has a person taken it from there since?"""
        if name is None or disk.stat_of(source) is not None or disk.stat_of(Place(root, name)) is not None:
            return False
        self._folders.require(self._inbox)  # else a share has gone, with the file on it
        return True

    def _move_all(self, order: Order, goals: Mapping[int, Goal]) -> Order:
        # What is delivered must be durable before an original goes.
        order = self._journal.note(self._with_names(order, goals))
        batch = disk.FsyncBatch()
        for index, goal in goals.items():
            if goal is None:
                batch.remove(self.work.place(order, order.files[index]))
            else:
                order, _ = self.move(order, index, goal, batch=batch)
        batch.sync()
        for index in goals:
            order = order.with_file(index, is_placed=True)
        return order

    def _with_names(self, order: Order, goals: Mapping[int, Goal]) -> Order:
        """Choose a destination for each file that has none; the caller makes them durable."""
        taken: dict[str, set[str]] = {}
        for index, goal in goals.items():
            if goal is not None and order.files[index].destination is None:
                names_there = taken.setdefault(goal[0], set())
                is_fixed = self._is_for_one(order, index, goal[0])
                free = free_name(*goal, taken=names_there, is_folder_fixed=is_fixed)
                names_there.add(free)
                order = order.with_file(index, destination=free)
        return order

    def move(
        self,
        order: Order,
        index: int,
        goal: tuple[str, str],
        fact: Literal["destination", "delivery"] = "destination",
        *,
        note: PictureNote | None = None,
        batch: disk.FsyncBatch | None = None,
    ) -> tuple[Order, bool]:
        """Move a claimed file to its goal: journal its name there as `fact`, write its note, then move it.

        Takes another name when that one is taken meanwhile. The order is returned with whether the file is there:
        somebody may have taken it out of the work folder. Raises FolderFault.
        """
        root, wanted = goal
        also = (note.place,) if note else ()
        if _name_of(order, index, fact) is None:
            order = self._journal.note(_with_name(order, index, fact, free_name(root, wanted, *also)))
        source = self.work.place(order, order.files[index])
        while True:
            target = Place(root, _name_of(order, index, fact) or "")
            try:
                self._move(source, target, note, batch)
            except OBSTACLES as obstacle:
                is_fixed = self._is_for_one(order, index, root)
                other = another_name(order.inbox, target, wanted, obstacle, *also, is_folder_fixed=is_fixed)
                order = self._journal.note(_with_name(order, index, fact, other))
            except FileNotFoundError:
                self._tell_missing(order, index)
                return order, False
            else:
                return order, True

    def _move(self, source: Place, target: Place, note: PictureNote | None, batch: disk.FsyncBatch | None) -> None:
        try:
            if note is not None:
                note.write(target)
            disk.move(source, target, owner=self._journal.instance, batch=batch)
        except (FileNotFoundError, *OBSTACLES):
            if note is not None:
                note.remove(target)
            raise

    def _is_to_go_back(self, order: Order, file: OrderFile, keep: Collection[str]) -> bool:
        if file.is_placed or file.name in keep or file.role is Role.COPY:
            return False
        return file.destination is not None or disk.stat_of(self.work.place(order, file)) is not None

    def _is_of_list(self, order: Order) -> bool:
        """Are its files lines of a list that is still in the journal? Then that list reports what became of them."""
        return order.of_list is not None and self._journal.get(order.of_list) is not None

    def _is_for_one(self, order: Order, index: int, root: str) -> bool:
        """Does its folder below `root` say who its recipient is, so that no other folder will do?"""
        results = order.files[index].results
        return root == self._inbox.path and any(each.recipient and each.folder is None for each in results)

    def _tell_missing(self, order: Order, index: int) -> None:
        self._folders.require_folder(self._inbox.path)  # else the share has gone, with the file on it
        event("file.vanished", order=order.key, inbox=order.inbox, file=order.files[index].name)


def _name_of(order: Order, index: int, fact: str) -> str | None:
    file = order.files[index]
    return file.destination if fact == "destination" else file.result.delivery


def _with_name(order: Order, index: int, fact: str, name: str) -> Order:
    if fact == "destination":
        return order.with_file(index, destination=name)
    return order.with_file(index, results=(order.files[index].result.having(delivery=name),))
