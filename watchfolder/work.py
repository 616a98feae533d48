"""The work folder of an inbox: claimed originals until their end, each order's in a folder that its key names.

A copy of the entry lies beside them, from which an order is rebuilt whose entry was lost. Anybody on the share may have
written it: it is believed only where it is what we would have written, and never about deliveries and payments.
"""

import contextlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator

from watchfolder import disk
from watchfolder.command_line import quoted
from watchfolder.config import Inbox
from watchfolder.disk import NotAFolder, NotRegular, Place
from watchfolder.errors import ConfigError, FolderFault
from watchfolder.images import EXTENSIONS
from watchfolder.order import KeyMode, Order, OrderFile, Result, Role, State, key_of_one, read_order
from watchfolder.services import FLOWS, Flow
from watchfolder.services.addresses import fault_of

ORDER_COPY = ".order.json"
_LIMIT = 16 << 20  # bytes
_ENDINGS = {format_.media_type: endings for format_, endings in EXTENSIONS.items()}
_HARMLESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_KEPT = ("key", "confirm_key", "service", "options", "body", "mode", "fingerprint", "of_many", "reused_from", "is_list")
_KEPT_OF_FILES = {"name", "sent_name", "media_type", "size", "mtime_ns", "role", "address", "line"}


class WorkFolder:
    """Of one inbox; `folder` is where this instance's orders lie."""

    def __init__(self, inbox: Inbox, folder: Place, instance: str) -> None:
        self._inbox = inbox
        self._folder = folder
        self._instance = instance

    @property
    def path(self) -> str:
        return self._folder.path

    def place(self, order: Order, file: OrderFile) -> Place:
        """Return where the claimed original lies."""
        return self.place_of(order.work_folder_of or order.key, file.name)

    def place_of(self, key: str, name: str) -> Place:
        return self._folder.under(f"{key}/{name}")

    def list_orders(self) -> list[str]:
        """Return the keys of the orders that have a folder."""
        return disk.folders_in(self._folder.root, self._folder.name)

    def make_folder(self, order: Order) -> None:
        """Make the order's folder, with a copy of its entry."""
        folder = self._folder.under(order.key)
        disk.make_folder(folder.root, folder.name, 0o700)
        disk.write_atomically(self.place_of(order.key, ORDER_COPY), order.model_dump_json().encode(), mode=0o600)

    @disk.folders_kept_open()
    def move_over(self, parent: Order, child: Order) -> None:
        """Move the child's files from the folder of the order that it replaces into its own."""
        self.make_folder(child)
        batch = disk.FsyncBatch()
        for file in child.files:
            source, target = self.place_of(parent.key, file.name), self.place_of(child.key, file.name)
            with contextlib.suppress(FileNotFoundError):  # vanished: the child's next step finds that out
                disk.move(source, target, owner=self._instance, private=True, batch=batch)
        batch.sync()

    @disk.folders_kept_open()
    def move_in(self, before: str, key: str, *, is_here: bool) -> None:
        """Move an order's folder here from the work folder that the inbox had `before`, if it lies there.

        The copy of its entry is the last to move: where that is, all is; or `is_here` says that the folder before is
        this one. Raises FolderFault where nobody can look.
        """
        copy = self.place_of(key, ORDER_COPY)
        if not os.path.isdir(before):
            if not is_here and disk.stat_of(copy) is None:
                reason = "files of orders that are under way lie there, and it is away: bring it back"
                way_out = f"if it is gone for good: mkdir -p {quoted(before)}"
                raise FolderFault.at(before, f"{reason}; {way_out}", code="ENOENT")
            return
        works, instance = os.path.split(before)
        folder = Place(*os.path.split(works)).under(f"{instance}/{key}")
        names = {entry.name.removeprefix(f"{folder.name}/") for entry in _scan(folder) if entry.is_regular}
        for name in [*sorted(names - {ORDER_COPY}), *({ORDER_COPY} & names)]:
            if disk.stat_of(self.place_of(key, name)) is None:  # else the same folder has another path now
                disk.move(folder.under(name), self.place_of(key, name), owner=self._instance, private=True)
                disk.remove_empty_folders(folder.root, folder.under(name).folder)

    def clear(self, order: Order) -> None:
        """Remove the order's folder, in which no picture may be left but copies of what lies elsewhere."""
        for file in order.files:
            if file.role is Role.COPY:
                disk.remove(self.place_of(order.key, file.name), durable=False)
        folder = self._folder.under(order.key)
        disk.sweep(folder.root, folder.name)  # of a copy that was being written when we died
        disk.remove(self.place_of(order.key, ORDER_COPY), durable=False)
        self.clear_folders(order, order.files)

    def clear_folders(self, order: Order, files: Iterable[OrderFile]) -> None:
        """Remove the folders of these files, as far as they are empty."""
        for folder in sorted({os.path.dirname(self.place_of(order.key, file.name).name) for file in files})[::-1]:
            disk.remove_empty_folders(self._folder.root, folder)

    def sweep(self) -> None:
        disk.sweep(self._folder.root, self._folder.name)

    # --- without an entry

    def find_files(self, key: str) -> set[str]:
        """Return the names of what lies in an order's folder, but for the copy of its entry."""
        folder = self._folder.under(key)
        disk.sweep(folder.root, folder.name)
        entries = disk.scan(folder.root, folder.name)
        return {entry.name.removeprefix(f"{folder.name}/") for entry in entries if entry.is_regular} - {ORDER_COPY}

    def rebuild(self, key: str, mode: KeyMode, found: Collection[str], is_known: Callable[[str], bool]) -> Order | None:
        """Make an order again from the copy of its entry, under the same key and body, so that it is not paid twice.

        None where we cannot have written the copy (`is_ours`, by `mode` and `found`). Raises FolderFault.
        """
        copy = self._read_copy(key)
        if copy is None or not is_ours(copy, self._inbox, mode, found):
            return None
        has_list = copy.of_list is not None and (is_known(copy.of_list) or copy.of_list in self.list_orders())
        return _order_of_copy(copy, self._inbox, found, of_list=copy.of_list if has_list else None)

    def remove(self, key: str) -> None:
        """Remove the folder of an order that has no entry, with the copy and the empty folders in it."""
        disk.remove(self.place_of(key, ORDER_COPY), durable=False)
        found = [self._folder.under(key).name]
        for folder in found:  # grows as it goes, no recursion: somebody may have nested them too deep for that
            found += [f"{folder}/{below}" for below in disk.folders_in(self._folder.root, folder)]
        for folder in reversed(found):
            disk.remove_empty_folders(self._folder.root, folder)

    def _read_copy(self, key: str) -> Order | None:
        """Return the order in the copy; None where there is none. Raises FolderFault if it may be readable later."""
        place = self.place_of(key, ORDER_COPY)
        try:
            return read_order(disk.read_bytes(place, _LIMIT), key)
        except (FileNotFoundError, NotAFolder, NotRegular, ValueError, ConfigError):
            return None
        except FolderFault as fault:
            if fault.is_held:  # it may yet tell what was paid
                raise
            if fault.code != "EFBIG":
                disk.why_not_read(place, fault)  # raises it where the inbox is at fault, not this file
            return None


def _scan(folder: Place) -> Iterator[disk.Entry]:
    with contextlib.suppress(FileNotFoundError):
        yield from disk.scan(folder.root, folder.name)


def is_unchanged(place: Place, file: OrderFile) -> bool:
    """Is this still the file that was claimed? Once its hash is known, only other bytes can say that it is not.

    Size and mtime are the user's to set, and a share may tell them otherwise after its server was away. The ctime
    changes with attributes that somebody sets and with our own renames, and some file systems do not keep it. So what
    may be paid for is given back for other bytes alone. Raises FolderFault, also when a share contradicts itself.
    """
    found = disk.stat_of(place)
    if found is None or not disk.is_regular(found):
        return False
    is_as_told = (found.st_size, found.st_mtime_ns) == (file.size, file.mtime_ns)
    if is_as_told and file.ctime_ns in {None, found.st_ctime_ns}:
        return True
    return file.sha256 is not None and _has_same_bytes(place, file)


def _has_same_bytes(place: Place, file: OrderFile) -> bool:
    try:
        return disk.hash_of(place) == file.sha256
    except NotRegular:
        return False
    except FileNotFoundError:
        if disk.stat_of(place) is None:
            return False
        raise FolderFault.at(place.path, "it is listed there, and cannot be opened", code="EAGAIN") from None


def is_ours(copy: Order, inbox: Inbox, mode: KeyMode, found: Collection[str]) -> bool:
    """Could we have written it, for this inbox and this `mode` of key, and is one of its files among those `found`?"""
    flow, names = FLOWS.get(copy.service), {file.name for file in copy.files}
    if flow is None or not flow.are_known(copy.options) or len(copy.files) not in flow.files:
        return False
    if (copy.mode, copy.why) != (mode, None) or len(names) != len(copy.files) or names.isdisjoint(found):
        return False
    return _is_list_ours(copy, inbox) if copy.is_list else _is_asked_as_ours(copy, flow, inbox)


def _order_of_copy(copy: Order, inbox: Inbox, found: Collection[str], *, of_list: str | None) -> Order:
    """Return the order of a copy that is ours.

    A file that is not among those `found` was delivered before: its original is the last to move. `of_list` is the list
    that tells of its failures, if there is one.
    """
    facts = set(_KEPT_OF_FILES)
    facts |= set() if copy.reused_from is None else {"sha256"}  # which is compared with the bytes before it is used
    facts |= set() if copy.of_many is None else {"file_id"}  # which identifies it among the others of its order
    has_texts = FLOWS[copy.service].issues is not None
    state = begin_state(copy)
    return Order(
        **{name: getattr(copy, name) for name in _KEPT},
        of_list=of_list,
        inbox=inbox.name,
        files=tuple(
            OrderFile.model_validate(file.model_dump(include=facts)).having(
                role=Role.ORIGINAL if file.role is Role.COPY else file.role,  # that it may be removed is not believed
                is_placed=file.name not in found,
                results=tuple(result.as_new for result in file.results) if has_texts else (Result(),),
            )
            for file in copy.files
        ),
        state=state,
        times={state: copy.times.get(State.CLAIMING) or copy.times[min(copy.times)]},
        was_rebuilt=True,
    )


def begin_state(order: Order) -> State:
    """Return the state of an order once all its files have been claimed."""
    if order.is_list:
        return State.LISTED
    return State.CLAIMED if order.reused_from is None else State.MATCHED


def _is_list_ours(copy: Order, inbox: Inbox) -> bool:
    is_bare = not copy.body and not copy.files[0].address and copy.reused_from is None
    return inbox.links and len(copy.files) == 1 and is_bare


def _is_asked_as_ours(copy: Order, flow: Flow, inbox: Inbox) -> bool:
    if copy.reused_from is not None and copy.is_of_many:
        return False
    if not all(_may_send(file, inbox) for file in copy.files) or not _is_body_ours(copy, flow):
        return False
    of_pair = [{Role.ORIGINAL, Role.COPY}, {Role.PICTURE}]
    roles = [{Role.PICTURE}] * len(copy.files) if flow.pairs is None else of_pair
    return all(file.role in fitting for file, fitting in zip(copy.files, roles, strict=False))


def _is_body_ours(copy: Order, flow: Flow) -> bool:
    """Is it what we send for this key and these files, or, for one parked by itself, what its order of many sent?"""
    if copy.of_many is None:
        return copy.body == flow.body(copy.key, copy.files, copy.options)
    if not flow.has_made(copy.body, copy.of_many, copy.options):
        return False
    asked, of_all = [_asked(file) for file in copy.files], flow.read_body(copy.body)
    keys = {key_of_one(copy.of_many, index) for index, file in enumerate(of_all) if [_asked(file)] == asked}
    return copy.key in keys and len(of_all) > 1 and len(of_all) in flow.files


def _asked(file: OrderFile) -> tuple[str, str, list[str]]:
    """Return what tells a file from the others in the body of an order."""
    return file.sent_name, file.address, [result.text for result in file.results]


def _may_send(file: OrderFile, inbox: Inbox) -> bool:
    if file.address and not (inbox.links and fault_of(file.address) is None):
        return False
    endings = _ENDINGS.get(file.media_type, ())
    return bool(_HARMLESS.fullmatch(file.sent_name)) and file.sent_name.endswith(endings)
