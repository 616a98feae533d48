"""Taking files out of the inbox by rename, and finding them again after a crash."""

import itertools
import logging
import os
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial

from watchfolder import disk, names
from watchfolder.config import ApiSection, Inbox
from watchfolder.disk import NotAFolder, NotRegular, Place
from watchfolder.errors import FolderFault
from watchfolder.events import event
from watchfolder.folders import Folders, sweep_folders
from watchfolder.intake import obstacles
from watchfolder.intake.decide import Ready, may_not_move
from watchfolder.intake.dedup import Dedup, DedupScope, Left, Sorted
from watchfolder.intake.partners import Partners
from watchfolder.journal import Journal
from watchfolder.order import Order, OrderFile, Role, State
from watchfolder.publish import put_under_free_name
from watchfolder.services import Flow, flow_of
from watchfolder.services.addresses import picture_name
from watchfolder.services.tables import lines_of, table_of
from watchfolder.work import WorkFolder, begin_state, is_unchanged


class Claims:
    """Turns files of one inbox into orders."""

    def __init__(
        self,
        inbox: Inbox,
        api: ApiSection,
        journal: Journal,
        work: WorkFolder,
        scope: DedupScope,
        put_back: Callable[[Order, Collection[str]], Order],
        spend: Callable[[Order], None],
    ) -> None:
        self._inbox = inbox
        self._flow = flow_of(inbox)
        self._api = api
        self._journal = journal
        self._work = work
        self._spend = spend  # tells the quota of an order's files
        self._put_back = put_back  # into the inbox, except the files of these names
        self.dedup = Dedup(inbox, api.mode, journal, work, scope)  # knows which files wait for the order of a duplicate
        self.partners = Partners(inbox, scope.inbox_of)
        self._has_checked_serials = False
        self.left: dict[str, Left] = {}  # in the inbox by the last claim, by name

    def claim(self, ready: Sequence[Ready], *, may_buy: bool = True) -> list[Order]:
        """Take the files into a new order, and those whose bytes are known elsewhere; return all orders begun.

        A file whose bytes a parked order waits for resumes that one. Bytes that were delivered before get an order of
        their own, which makes no request. A file whose bytes are under way stays in the inbox, in `dedup.waiting`; what
        could not be read yet, and without `may_buy` all that is not paid for, stays in `left`. An order of which no
        file could be taken is `released`. Entry and copy are durable before the first rename. Raises FolderFault;
        `recover` then completes or undoes what was left half done.
        """
        for file in ready:
            self.dedup.waiting.pop(file.name, None)
        is_pair = self._flow.pairs is not None and len(ready) > 1  # what is refused goes alone
        with (self.dedup.sort_pair if is_pair else self.dedup.sort)(ready) as parts:
            if not may_buy:
                parts.keep_paid()
            orders = list(self._orders_of(parts))
            begun = [self._journal.begin(order.having(work=self._work.path)) for order in orders]
        self.dedup.wait(parts.duplicates, begun[-1].key if begun else "")
        self.left = parts.left
        lent = {file.name: file.lies_at for file in ready}
        return [self._claim(order, lent) for order in begun]

    def _orders_of(self, parts: Sorted) -> Iterator[Order]:
        for files, parked in parts.resumed:
            yield self._taken_up(parked, files)
        for file, first in parts.known:
            yield self._new_order([file]).having(reused_from=first)
        if parts.fresh:
            yield self._new_order(parts.fresh)

    def _claim(self, order: Order, lent: Mapping[str, Place | None]) -> Order:
        self._work.make_folder(order)
        with disk.folders_kept_open():
            batch = disk.FsyncBatch()
            moved = self._taken(order, lent, batch)
            batch.sync()
            taken = [file for file in moved if self._is_as_found(order, file)]
        return self._keep(order, taken)

    def recover(self, folders: Folders) -> None:
        """Complete or undo what a crash left behind in this inbox. Raises FolderFault."""
        self._sweep()  # first: a name that was held is free again
        self._move_over(folders)
        orders = self._journal.orders(self._inbox.name)
        awaited = {child.key for order in orders for child in order.children}  # their parent lets them begin
        for order in orders:
            if order.state is State.CLAIMING and order.work_folder_of is None and order.key not in awaited:
                self._go_on(order)
        for key in self._work.list_orders():
            if self._journal.get(key) is None:
                self._rebuild(key)
        self._check_serials()

    def _move_over(self, folders: Folders) -> None:
        """Fetch the files of its orders into the present work folder: its path or work folder may have changed."""
        for order in self._journal.orders(self._inbox.name):
            if order.is_open and order.work not in {"", self._work.path}:
                self._work.move_in(order.work, order.key, is_here=folders.is_moved(self._inbox, order.work))
                self._journal.note(order, work=self._work.path)
                event("order.moved_over", order=order.key, inbox=order.inbox, before=order.work)

    def _check_serials(self) -> None:
        """Make sure, once in a life, that no serial comes again: the count may come from a backup."""
        table = table_of(self._inbox) if self._flow.issues is not None else None
        if table is None or self._has_checked_serials:
            return
        try:
            orders = self._journal.orders(self._inbox.name)
            ordered = (result.text for order in orders for _, result in order.results)
            issued = lines_of(self._inbox)  # a damaged line must not hide those behind it
            self._journal.serials.check(self._inbox.name, itertools.chain(issued, ordered))
        except FolderFault as fault:
            reason = f"{table.path}: {disk.why_not_read(table, fault)}"
            self._journal.serials.begin_another(self._inbox.name, reason)
        self._has_checked_serials = True

    def _new_order(self, ready: Sequence[Ready]) -> Order:
        key = str(uuid.uuid4())
        files = tuple(_order_file(file, self._flow) for file in ready)
        options = self._flow.options_of(self._inbox)
        is_sent = ready[0].why is None and not ready[0].is_list  # else nothing is made of it
        if is_sent:
            journal = self._journal
            files = self._flow.asked(self._inbox, files, journal.serials.take, journal.clock.today())
        return Order(
            key=key,
            confirm_key=str(uuid.uuid4()),
            inbox=self._inbox.name,
            mode=self._api.mode,
            fingerprint=self._api.fingerprint,
            service=self._flow.name,
            options=options,
            body=self._flow.body(key, files, options) if is_sent else "",
            files=files,
            is_list=ready[0].is_list,
            why=ready[0].why,
        )

    def _taken_up(self, parked: Order, back: Sequence[Ready]) -> Order:
        """Go on with a parked order whose bytes have come back: what was paid is not paid again."""
        event("order.resumed", order=parked.key, inbox=self._inbox.name, file=back[-1].name, order_id=parked.order_id)
        both = zip(parked.files, back, strict=True)
        files = tuple(old.taken_again(each.name, each.size, each.mtime_ns) for old, each in both)
        return parked.taken_up(self._inbox.name, files)

    def _taken(self, order: Order, lent: Mapping[str, Place | None], batch: disk.FsyncBatch) -> list[OrderFile]:
        taken = []
        for file in order.files:
            if self._take(order, file, lent.get(file.name), batch):
                taken.append(file)
            elif not order.is_of_many:  # neither goes without the other
                break
        return taken

    def _take(self, order: Order, file: OrderFile, lent: Place | None, batch: disk.FsyncBatch) -> bool:
        if lent is None:
            return self._move(order, file, batch)
        try:
            disk.copy(lent, self._work.place(order, file), owner=self._journal.instance)
        except (FileNotFoundError, NotAFolder, NotRegular):
            return False
        except FolderFault as fault:
            if not f"{fault.path}/".startswith(f"{lent.root}/"):
                raise
            hindered = Left(hindrance=f"its original, {lent.path}: {disk.why_not_read(lent, fault)}")
            self.left |= {picture.name: hindered for picture in order.pictures}
            return False
        return True

    def _move(self, order: Order, file: OrderFile, batch: disk.FsyncBatch) -> bool:
        """Move one file into the work folder."""
        source, target = Place(self._inbox.path, file.name), self._work.place(order, file)
        try:
            disk.move(source, target, owner=self._journal.instance, private=True, batch=batch)
        except (FileNotFoundError, NotAFolder):  # also when its folder has just become a link
            return False
        except FolderFault as fault:
            if not fault.is_kept:
                raise
            is_ours = fault.path == os.path.dirname(target.path)  # a folder in our work folder was not made or opened
            is_ours |= fault.path == target.path and not disk.may_write(target.root, target.folder)
            place = target if is_ours else source
            obstacle = obstacles.closed(place.root, place.folder)
            self.left[file.name] = Left(hindrance=f"{may_not_move(obstacle)} ({fault.code})")
            return False
        return True

    def _is_as_found(self, order: Order, file: OrderFile) -> bool:
        """Is what was moved the file that was looked at, and without a writer? One may hold it across the rename."""
        target = self._work.place(order, file)
        if is_unchanged(target, file) and not disk.may_be_open(target):
            return True
        event("file.changed_at_claim", order=order.key, inbox=order.inbox, file=file.name)
        return False

    def _keep(self, order: Order, taken: Sequence[OrderFile]) -> Order:
        """Go on with the files that were taken; the others go back. No request has been made under this key yet."""
        if not taken or (len(taken) < len(order.files) and not order.is_of_many):
            return self._journal.advance(order, State.RELEASED)
        if len(taken) < len(order.files):
            self._put_back(order, {file.name for file in taken})
            body = flow_of(order).body(order.key, taken, order.options)
            order = self._journal.note(order, files=tuple(taken), body=body)
            self._work.make_folder(order)
        if order.why is not None:
            return self._journal.advance(order, State.QUARANTINING)
        self._spend(order)
        return self._journal.advance(order, begin_state(order))

    def _go_on(self, order: Order) -> None:
        """Go on after a crash between the renames: keep the files that are in the work folder."""
        taken = [file for file in order.files if self._is_taken(order, file)]
        event("order.claim_recovered", order=order.key, inbox=order.inbox, taken=len(taken), of=len(order.files))
        self._keep(order, taken)

    def _is_taken(self, order: Order, file: OrderFile) -> bool:
        source, target = Place(self._inbox.path, file.name), self._work.place(order, file)
        if disk.stat_of(target) is None:
            return False
        if file.role is Role.COPY:
            return True
        try:
            disk.move(source, target, owner=self._journal.instance, private=True)  # a power cut can keep both names
        except FileExistsError:  # the name in the inbox is a new file's
            return True
        except FileNotFoundError:  # somebody has just taken it away
            return False
        return True

    def _rebuild(self, key: str) -> None:
        """Rebuild an order whose entry was lost; files that are no order's go back into the inbox."""
        found = self._work.find_files(key)
        order = self._work.rebuild(key, self._api.mode, found, lambda key: self._journal.get(key) is not None)
        if order is not None:
            event("order.rebuilt", logging.WARNING, order=key, inbox=order.inbox, files=len(order.files))
            self._journal.enter(order.having(work=self._work.path))
            found -= {file.name for file in order.files}
        for name in sorted(found):
            move = partial(disk.move, self._work.place_of(key, name), owner=self._journal.instance)
            target = put_under_free_name(self._inbox.path, name, move)
            event("file.returned", logging.WARNING, inbox=self._inbox.name, file=target.name)
        if order is None:
            self._work.remove(key)

    def _sweep(self) -> None:
        self._work.sweep()
        results = [result for order in self._journal.orders() for _, result in order.results]
        keep = {result.part for result in results if result.part and not result.is_delivered}
        sweep_folders(self._inbox, self._journal.instance, keep)


def _order_file(file: Ready, flow: Flow) -> OrderFile:
    base = os.path.basename(picture_name(file.name, file.address))
    if file.format is None:  # refused: it is never sent
        return OrderFile(name=file.name, sent_name="", media_type="", size=file.size, mtime_ns=file.mtime_ns)
    return OrderFile(
        name=file.name,
        sent_name=names.sent_name(base, flow.extension_of(file.format)),
        media_type=file.format.media_type,
        size=file.size,
        mtime_ns=file.mtime_ns,
        role=file.role,
        address=file.address,
        sha256=file.sha256,
    )
