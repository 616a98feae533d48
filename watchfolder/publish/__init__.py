"""The way out: protected pictures to the outbox, originals to their place, failures to quarantine with their reason.

Every name is journalled before a file gets it, so each step here may find that it has already happened.
"""

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Collection, Iterator

from watchfolder import disk, images, names
from watchfolder.config import Inbox
from watchfolder.disk import NotAFolder, NotRegular, Place, UnfitName
from watchfolder.errors import FolderFault, Retry
from watchfolder.events import event
from watchfolder.folders import Folders
from watchfolder.journal import Journal
from watchfolder.order import Order, OrderFile, State
from watchfolder.publish import reasons

ORDER_COPY = ".order.json"
_TEST_MARK = " (TEST)"
_MOST_NUMBERS = 10_000

_OBSTACLES = (FileExistsError, NotAFolder, UnfitName)  # another name may do

Fetch = Callable[[Callable[[bytes], object]], int]
"""Streams one result into a sink, returns the number of bytes; raises our errors."""


class Publisher:
    """Puts the files of one inbox's orders where they belong."""

    def __init__(self, inbox: Inbox, journal: Journal, folders: Folders) -> None:
        self.inbox = inbox
        self._journal = journal
        self._folders = folders

    def work_place(self, order: Order, file: OrderFile) -> Place:
        """Return where the claimed original lies."""
        return self._in_work(order.source or order.key, file)

    def open_work(self, order: Order) -> None:
        """Make the order's work folder, with a copy of its entry: an order whose entry is lost is rebuilt from it."""
        work = self._folders.work(self.inbox)
        disk.make_folder(work.root, f"{work.name}/{order.key}", 0o700)
        copy = Place(work.root, f"{work.name}/{order.key}/{ORDER_COPY}")
        disk.write_atomically(copy, order.model_dump_json().encode(), mode=0o600)

    def move_over(self, parent: Order, child: Order) -> None:
        """Move the child's files from the work folder of the order that it replaces into its own."""
        self.open_work(child)
        for file in child.files:
            with contextlib.suppress(FileNotFoundError):  # vanished: the child's next step finds that out
                disk.move(self._in_work(parent.key, file), self._in_work(child.key, file), owner=self._journal.instance)

    def receive(self, order: Order, index: int, fetch: Fetch) -> Order:
        """Download one result into a hidden file, verify it, and journal it with the name it shall get.

        Raises Retry when what came is not the whole protected picture.
        """
        part = disk.hidden_part(self.inbox.outbox, self._journal.instance)
        try:
            size, digest = _download(part, fetch)
            format_ = _verify(part, size, digest, order.files[index])
        except FileNotFoundError:
            self._folders.require_folder(self.inbox.outbox)  # the share has gone, with what came on it
            raise
        except BaseException:
            disk.remove(part, durable=False)
            raise
        wanted = _delivered_name(order, order.files[index], format_)
        delivery = self._free_name(self.inbox.outbox, wanted, is_ours=lambda place: _holds(place, size, digest))
        facts = {"part": part.name, "delivery": delivery, "delivered_sha256": digest, "delivered_size": size}
        return self._journal.note(order.with_file(index, **facts))

    def deliver(self, order: Order, index: int) -> Order:
        """Give the received picture its name in the outbox. Raises FolderFault."""
        while True:
            file = order.files[index]
            assert file.part is not None  # noqa: S101 - received first
            assert file.delivery is not None  # noqa: S101
            part, target = Place(self.inbox.outbox, file.part), Place(self.inbox.outbox, file.delivery)
            try:
                disk.publish_new(part, target)
            except FileNotFoundError:  # linked before a crash; a person may even have taken it out since
                self._folders.require_folder(self.inbox.outbox)  # unless the share has just gone
            except _OBSTACLES as obstacle:
                if isinstance(obstacle, UnfitName) or not _holds(target, file.delivered_size, file.delivered_sha256):
                    order = self._rename(order, index, "delivery", target, file.delivery, obstacle)
                    continue
                disk.remove(part)
            event("file.delivered", order=order.key, inbox=order.inbox, file=target.name, size=file.delivered_size)
            return order.with_file(index, is_delivered=True)  # durable with the original's destination, next

    def place_original(self, order: Order, index: int) -> Order:
        """Move the original of a delivered file to its place, or delete it as configured. Raises FolderFault."""
        self._folders.require(self.inbox)  # a share can have gone while the result came
        source = self.work_place(order, order.files[index])
        if not is_unchanged(source, order.files[index]) and disk.stat_of(source) is not None:
            event("file.changed_after_confirm", order=order.key, inbox=order.inbox, file=order.files[index].name)
            order = self._settle(order, index, source, self.inbox.path, order.files[index].name)
        elif order.kind == "test":
            order = self._settle(order, index, source, self.inbox.quarantine, f"test/{order.files[index].name}")
        elif self.inbox.originals is None:
            order = self._journal.note(order)  # delivered must be durable before the original goes
            disk.remove(source)
        else:
            order = self._settle(order, index, source, self.inbox.originals, order.files[index].name)
        return order.with_file(index, is_placed=True)

    def set_aside(self, order: Order) -> Order:
        """Move the order's files to quarantine: the reason first, then the picture. Raises FolderFault."""
        for index, file in enumerate(order.files):
            source = self.work_place(order, file)
            if file.is_placed:
                continue
            if file.is_delivered:
                order = self.place_original(order, index)
                continue
            found = disk.stat_of(source)
            if file.destination is None and found is None:
                self._vanished(order, index)
            elif found is not None and not disk.is_regular(found):  # somebody's link or pipe in the picture's place
                order = self._settle(order, index, source, self.inbox.path, file.name).with_file(index, is_placed=True)
            else:
                order = self._set_aside(order, index, source)
        self.clear_work(order)
        return order

    def put_back(self, order: Order, keep: Collection[str] = ()) -> Order:
        """Move the order's files, but for those to keep, back into the inbox. Raises FolderFault.

        Each gets its own name where that is free.
        """
        for index, file in enumerate(order.files):
            source = self.work_place(order, file)
            if file.is_placed or file.name in keep or (file.destination is None and disk.stat_of(source) is None):
                continue
            order = self._settle(order, index, source, self.inbox.path, file.name)
            order = order.with_file(index, is_placed=True)
        if not keep:
            self.clear_work(order)
        return order

    def clear_work(self, order: Order) -> None:
        """Remove the order's work folder, which must hold no picture any more."""
        work = self._folders.work(self.inbox)
        disk.sweep(work.root, f"{work.name}/{order.key}")  # of a copy that was being written when we died
        disk.remove(Place(work.root, f"{work.name}/{order.key}/{ORDER_COPY}"), durable=False)
        for folder in sorted({os.path.dirname(f"{order.key}/{file.name}") for file in order.files}, reverse=True):
            disk.remove_empty_folders(work.root, f"{work.name}/{folder}")

    def sweep_reasons(self) -> None:
        """Drop the why files whose pictures a person has taken out of quarantine. Raises FolderFault."""
        by_folder: dict[str, set[str]] = {}
        for entry in disk.scan(self.inbox.quarantine, skip_folder=lambda name: name.startswith(".")):
            folder, base = os.path.split(entry.name)
            by_folder.setdefault(folder, set()).add(base)
        for folder, bases in by_folder.items():
            for base in bases:
                if base.endswith(reasons.SUFFIX) and base.removesuffix(reasons.SUFFIX) not in bases:
                    self._drop_orphan(Place(self.inbox.quarantine, os.path.join(folder, base)))

    def _drop_orphan(self, why: Place) -> None:
        mark = reasons.mark_of(why)
        if mark is None or disk.stat_of(why.beside(mark.picture)) is not None:
            return
        order = self._journal.get(mark.key)
        if order is None or order.state is not State.QUARANTINING:  # else the picture is on its way
            disk.remove(why)
            event("quarantine.reason_removed", inbox=self.inbox.name, file=why.name)

    def _set_aside(self, order: Order, index: int, source: Place) -> Order:
        root = self.inbox.quarantine
        if order.files[index].destination is None:
            wanted = self._free_name(root, order.files[index].name, reasons.SUFFIX)
            order = self._journal.note(order.with_file(index, destination=wanted))
        while True:
            file = order.files[index]
            assert file.destination is not None  # noqa: S101 - journalled above
            target = Place(root, file.destination)
            try:
                reasons.write(target, order, self.inbox.path, self._journal.instance)
                disk.move(source, target, owner=self._journal.instance)
            except _OBSTACLES as obstacle:
                reasons.remove(target, order)
                order = self._rename(order, index, "destination", target, file.name, obstacle, reasons.SUFFIX)
                continue
            except FileNotFoundError:
                self._vanished(order, index)
            why = order.why.reason if order.why else ""
            event("file.quarantined", order=order.key, inbox=order.inbox, file=target.name, reason=why)
            return order.with_file(index, is_placed=True)

    def _settle(self, order: Order, index: int, source: Place, root: str, wanted: str) -> Order:
        """Journal a free name, move there, and look for another one when somebody was quicker."""
        if order.files[index].destination is None:
            order = self._journal.note(order.with_file(index, destination=self._free_name(root, wanted)))
        while True:
            destination = order.files[index].destination
            assert destination is not None  # noqa: S101 - journalled above
            target = Place(root, destination)
            try:
                disk.move(source, target, owner=self._journal.instance)
            except _OBSTACLES as obstacle:
                order = self._rename(order, index, "destination", target, wanted, obstacle)
            except FileNotFoundError:
                self._vanished(order, index)
                return order
            else:
                return order

    def _vanished(self, order: Order, index: int) -> None:
        self._folders.require_folder(self.inbox.path)  # else the share has gone, with the file on it
        event("file.vanished", order=order.key, inbox=order.inbox, file=order.files[index].name)

    def _rename(
        self,
        order: Order,
        index: int,
        fact: str,
        place: Place,
        wanted: str,
        obstacle: BaseException,
        *also: str,
    ) -> Order:
        """Journal another name for the file, whose own is no longer free, or more than the file system can hold."""
        if isinstance(obstacle, UnfitName):
            wanted = names.plainer(place.name)
            if wanted == place.name:
                raise obstacle
            event(
                "file.renamed", logging.WARNING, inbox=order.inbox, file=place.path, to=wanted, reason=obstacle.reason
            )
        free = self._free_name(place.root, wanted, *also)
        if free == place.name and isinstance(obstacle, NotAFolder):
            raise obstacle  # it stands where the file comes from
        return self._journal.note(order.with_file(index, **{fact: free}))

    def _free_name(
        self, root: str, wanted: str, *also: str, is_ours: Callable[[Place], bool] = lambda _place: False
    ) -> str:
        """Return the first name like `wanted`, or a plainer one where that cannot be, that nothing has.

        Nor may anything have its forms with the suffixes in `also`.
        """
        try:
            return self._free_form(root, wanted, also, is_ours)
        except UnfitName:
            plainer = names.plainer(wanted)
            if plainer == wanted:
                raise
            return self._free_name(root, plainer, *also, is_ours=is_ours)

    def _free_form(self, root: str, wanted: str, also: tuple[str, ...], is_ours: Callable[[Place], bool]) -> str:
        folder, base = os.path.split(wanted)
        limit = disk.longest_name(root)
        for where in _folders(folder, limit):
            with contextlib.suppress(NotAFolder):
                for candidate in _candidates(base, limit):
                    place = Place(root, os.path.join(where, candidate))
                    taken = [place, *(place.beside(names.appended(candidate, suffix, limit)) for suffix in also)]
                    if all(disk.stat_of(each) is None for each in taken) or is_ours(place):
                        return place.name
                break
        raise FolderFault(f"{root}: {_MOST_NUMBERS} files are called {base} already: make room there", code="EEXIST")

    def _in_work(self, key: str, file: OrderFile) -> Place:
        work = self._folders.work(self.inbox)
        return Place(work.root, f"{work.name}/{key}/{file.name}")


def is_unchanged(place: Place, file: OrderFile) -> bool:
    """Is this still the file that was claimed, as far as its kind, size and mtime tell?"""
    found = disk.stat_of(place)
    if found is None or not disk.is_regular(found):
        return False
    return (found.st_size, found.st_mtime_ns) == (file.size, file.mtime_ns)


def _candidates(base: str, limit_bytes: int) -> Iterator[str]:
    yield names.appended(base, "", limit_bytes)
    for number in range(2, _MOST_NUMBERS):
        yield names.numbered(base, number, limit_bytes)


def _folders(folder: str, limit_bytes: int) -> Iterator[str]:
    """Give `folder`, then others in its place: somebody's file can have its name."""
    yield folder
    top, slash, rest = folder.partition("/")
    for number in range(2, _MOST_NUMBERS if top else 2):
        yield f"{names.numbered(top, number, limit_bytes)}{slash}{rest}"


def _download(part: Place, fetch: Fetch) -> tuple[int, str]:
    digest = hashlib.sha256()
    with disk.new_file(part) as sink:

        def write(block: bytes) -> None:
            digest.update(block)
            sink(block)

        size = fetch(write)
    return size, digest.hexdigest()


def _verify(part: Place, size: int, digest: str, file: OrderFile) -> images.Format:
    with disk.reading(part) as read_at:
        verdict = images.inspect(read_at, size, "")
    if verdict.format is None or verdict.kind not in {images.Kind.WHOLE, images.Kind.SUSPECT}:
        raise Retry("the service delivered something that is no whole picture", code="RESULT_NOT_WHOLE")
    if digest == file.sha256:
        raise Retry("the service delivered the very picture that was sent", code="RESULT_IS_ORIGINAL")
    return verdict.format


def _delivered_name(order: Order, file: OrderFile, format_: images.Format) -> str:
    folder, base = os.path.split(file.name)
    if os.path.splitext(base)[1].lower() not in format_.extensions:
        base = names.with_extension(base, format_.extension)
    if order.kind == "test":
        base = names.marked(base, _TEST_MARK)
    return os.path.join(folder, base)


def _holds(place: Place, size: int | None, sha256: str | None) -> bool:
    """Does this very content lie there already?"""
    with contextlib.suppress(FileNotFoundError, NotAFolder, NotRegular):
        found = disk.stat_of(place)
        return found is not None and found.st_size == size and disk.sha256_of(place) == sha256
    return False
