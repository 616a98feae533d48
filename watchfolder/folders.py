"""The configured folders: is each one there, the one we know, and ours?

A share that is not mounted looks like an empty folder, so each folder carries `.watchfolder-id`, a token that its first
successful `run` or `check` wrote and that `<state_dir>/folders.json` remembers, with the mount that it lay on. Without
its token, or with another one, the folder counts as gone, and nothing is written there.
"""

import json
import os
import re
import socket
import threading
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime

from pydantic import BaseModel, RootModel

from watchfolder import disk, state_file
from watchfolder.command_line import Advised, CommandLine, quoted
from watchfolder.config import Inbox
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.events import event
from watchfolder.order import AnyText

NOT_KNOWN = "not the folder we know: is the share mounted?"
TOKEN = ".watchfolder-id"  # noqa: S105 - a mark, no secret
OWNER = "owner.json"
_INSTANCE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LIMIT = 1 << 20
_STATE_BYTES = 10**6  # what the journal needs to note an order of many, again and again
_FILE = "folders.json"


class _Known(BaseModel):
    token: str
    mount: AnyText  # where its file system was mounted; "" for the root's
    inbox: str = ""  # whose it was when it was first seen


class _Memory(RootModel[dict[AnyText, _Known]]):
    """What is known of each folder, by its path."""


class Folders:
    """Answers for all folders of one state directory; any thread may ask."""

    def __init__(self, state_dir: str, instance: str, commands: CommandLine, inboxes: Iterable[Inbox] = ()) -> None:
        self._memory = Place(state_dir, _FILE)
        self._instance = instance
        self.commands = commands
        self._meeting = threading.Lock()
        self._inboxes = {
            path: inbox.name
            for inbox in inboxes
            for path in (inbox.path, inbox.outbox, inbox.quarantine, inbox.originals)
            if path
        }
        self._known = self._read_known()

    def require(self, inbox: Inbox) -> None:
        """Check every folder of the inbox, making those that are ours to make.

        Raises FolderFault with what a person can do. Cheap enough to ask before each piece of work: one small read
        per folder.
        """
        require_room_to_note(self._memory.root)
        self.require_folder(inbox.path)
        self.require_folder(inbox.outbox)
        self.require_folder(inbox.quarantine)
        if inbox.originals is not None:
            self._make_originals(inbox)
            self.require_folder(inbox.originals)
        self._open_work_folder(inbox)

    def require_folder(self, path: str) -> None:
        """Check one folder's token; write it there on first sight. Raises FolderFault."""
        is_new = path not in self._known  # before the token is read: another inbox may register it meanwhile
        try:
            found = read_token(path)  # first, and without the lock: a dead share must not hold up the others
        except FolderFault as fault:
            self.require_mount(path)
            if fault.is_closed:
                raise self.closed(path, "we may not look into it") from fault
            if fault.code == "ENOENT":
                raise self._missing(path, fault) from fault
            raise
        if found is None:
            self.require_mount(path)
        if is_new:
            self._meet(path)
            return
        if found is not None and found != self._known[path].token:
            with self._meeting:  # a person may have accepted it meanwhile, in another process
                self._known = {**self._known, **self._read_known()}
        if found is None:
            way_out = f"if this is the right folder after all, {self.commands.run(Advised.ACCEPT, path)}"
            raise FolderFault.at(path, f"{NOT_KNOWN} ({way_out})", code="NO_TOKEN")
        if found != self._known[path].token:
            self.require_mount(path)
            way_out = f"if it may be used, {self.commands.run(Advised.ACCEPT, path)}"
            raise FolderFault.at(path, f"another folder lies in its place ({way_out})", code="OTHER_TOKEN")

    def require_known(self, path: str) -> None:
        """Check one folder if it is known: a command that only reads gives no folder a token. Raises FolderFault."""
        if path in self._known:
            self.require_folder(path)

    def _missing(self, path: str, fault: FolderFault) -> FolderFault:
        """Add how to make the folder; in place of one that we knew, the new one must then be accepted."""
        command = self.commands.as_root(f"mkdir {quoted(path)}")
        way_out = f"mount its share, or run: {command}"
        if path in self._known:
            accept = self.commands.to(Advised.ACCEPT, path)
            way_out = f"mount its share; if it was removed, run: {command} && {accept}"
        return FolderFault(f"{fault.reason}: {way_out}", code=fault.code, path=fault.path)

    def accept(self, path: str) -> None:
        """Accept the folder as it is now, as a person says; not a mount point without its mount. Raises FolderFault."""
        if point := disk.missing_mount(path):
            raise no_mount(point)
        with self._meeting:
            self._remember(path)

    def require_room(self, inbox: Inbox, size: int) -> None:
        """Check every folder as `require` does, that we may write everywhere, and that there is room.

        Each destination must have room for twice `size` bytes, the outbox for `copies` times that. Raises FolderFault.
        """
        self.require(inbox)
        with disk.folders_kept_open():
            for path in filter(None, (inbox.work, inbox.outbox, inbox.originals, inbox.quarantine)):
                if not disk.may_write(path):
                    raise self.closed(path, "we may not write there")
            for path, times in _needs_of(inbox):
                _require_room(path, 2 * times * size)

    def room_for_order(self, inbox: Inbox) -> int:
        """Return how many bytes an order may have for every destination to take it twice. Raises FolderFault."""
        return min(disk.room_in(path).free // times for path, times in _needs_of(inbox)) // 2

    def closed(self, path: str, effect: str) -> FolderFault:
        """Return a fault that names the folder in the way, its rights, and the command to change them."""
        above = disk.closed_folder(path)
        command = self.commands.as_root(f"chmod o+x {quoted(above)}" if above else disk.command_to_open(path, ""))
        rights = disk.rights_of(Place(*os.path.split(above or path)))
        where = f"{above} has " if above else ""
        return FolderFault.at(path, f"{effect} ({where}{rights}; as root, run: {command})", code="EACCES")

    def work(self, inbox: Inbox) -> Place:
        """Return our work folder in the inbox's file system."""
        return _work_of(inbox).under(self._instance)

    def is_moved(self, inbox: Inbox, work: str) -> bool:
        """Is that work folder this inbox's own, and only the inbox has another path now? Its token came along."""
        token, below = self._known[inbox.path].token, self.work(inbox).path.removeprefix(inbox.path)
        return any(known.token == token and work == path + below for path, known in self._known.items())

    def require_no_other(self, inbox: Inbox, instance: Callable[[], str]) -> None:
        """Check, changing nothing, that no other watchfolder than `instance` ("": none yet) works there.

        `instance` is called after the look: a run that starts meanwhile names itself before it makes its folder.
        """
        found = _names_in(_work_of(inbox))
        if found and (others := set(found) - {instance()}):
            raise self._taken(inbox, min(others), None)

    def _taken(self, inbox: Inbox, instance: str, process: int | None) -> FolderFault:
        way_out = f"if it is gone for good, {self.commands.run_adopt(process)}"
        who = _owner_of(_work_of(inbox), instance)
        return FolderFault.at(inbox.path, f"another watchfolder works here ({who}); {way_out}", code="OTHER_INSTANCE")

    def adopt(self, inbox: Inbox) -> int:
        """Take over the orders of a watchfolder whose state directory was lost. Returns how many.

        Its hidden leftovers are removed first: as long as its folder is there, a run after a crash does this again.
        """
        adopted = 0
        for other in self._other_names(inbox):
            self._make_originals(inbox)
            sweep_folders(inbox, other)
            left = _work_of(inbox).under(other)
            keys = disk.folders_in(left.root, left.name)
            for key in keys:
                disk.move(left.under(key), self.work(inbox).under(key), owner=self._instance, private=True)
            disk.remove(left.under(OWNER))
            disk.sweep(left.root, left.name)
            disk.remove_empty_folders(left.root, left.name)
            event("inbox.adopted", inbox=inbox.name, instance=other, orders=len(keys))
            adopted += len(keys)
        return adopted

    def _open_work_folder(self, inbox: Inbox) -> None:
        """Be the only watchfolder there. Of several that start at the same instant one stays, the others withdraw.

        Each makes its folder and then looks, so of two at least one sees the other. One that sees no other writes its
        owner file and has won. Otherwise it removes its folder; only the first by name, if none has won, waits there.
        """
        works, mine = _work_of(inbox), self.work(inbox)
        others = self._other_names(inbox)
        at_work = [name for name in others if _is_at_work(works.under(name))]
        if disk.stat_of(mine.under(OWNER)) is not None:
            others = at_work
        elif not others:
            for folder in (mine, works):
                disk.make_folder(folder.root, folder.name, 0o700)
            others = self._other_names(inbox)
            if not others:
                disk.sweep(mine.root, mine.name)
                since = datetime.now(UTC).isoformat(timespec="seconds")
                owner = json.dumps({"host": socket.gethostname(), "since": since}).encode()
                disk.write_atomically(mine.under(OWNER), owner)
        elif at_work or min(others) < self._instance:
            disk.remove_empty_folders(mine.root, mine.name)
        if others:
            raise self._taken(inbox, others[0], os.getpid())

    def _other_names(self, inbox: Inbox) -> list[str]:
        return [name for name in _names_in(_work_of(inbox)) if name != self._instance]

    def require_mount(self, path: str) -> None:
        """Check that the file system that a folder should lie on is there. Raises FolderFault."""
        known = self._known.get(path)
        if point := disk.missing_mount(path, known.mount if known else ""):
            raise no_mount(point)

    def _make_originals(self, inbox: Inbox) -> None:
        path = inbox.originals
        if path is None or not has_default_originals(inbox) or path in self._known or os.path.isdir(path):
            return
        disk.make_folder(os.path.dirname(path), os.path.basename(path))

    def _meet(self, path: str) -> None:
        """Give a new folder its token: only one, also when two inboxes that share it first see it at once."""
        with self._meeting:
            if path not in self._known:
                self._remember(path)

    def _remember(self, path: str) -> None:
        token = read_token(path) or write_token(path, self._instance)
        fresh = _Known(token=token, mount=disk.mount_point_of(path), inbox=self._inboxes.get(path, ""))
        known = {**self._known, **self._read_known(), path: fresh}
        state_file.write(self._memory, _Memory(known))
        self._known = known

    def _read_known(self) -> dict[str, _Known]:
        found = state_file.read(self._memory, _Memory, "the folders are taken as they are")
        return found.root if found else {}


def has_default_originals(inbox: Inbox) -> bool:
    """Are its originals in the folder that a run makes itself? Any other is a person's to make."""
    return inbox.originals == os.path.join(os.path.dirname(inbox.path), "originals")


def _needs_of(inbox: Inbox) -> Iterator[tuple[str, int]]:
    """Give the folders that an order goes to, with how many of each file."""
    yield inbox.outbox, inbox.copies
    yield inbox.quarantine, 1
    if inbox.originals:
        yield inbox.originals, 1


def sweep_folders(inbox: Inbox, owner: str, keep: Collection[str] = ()) -> None:
    """Remove what earlier processes of `owner` left hidden in the inbox's folders, but for the names in `keep`."""
    for root in filter(None, {inbox.path, inbox.outbox, inbox.quarantine, inbox.originals, _work_of(inbox).root}):
        swept = sum(disk.sweep(root, folder, owner, keep=keep) for folder in ("", disk.HIDDEN))
        if swept:
            event("disk.swept", folder=root, files=swept)


def require_room_to_note(state_dir: str) -> None:
    """Check that there is room for the journal: without it nothing may be done. Raises FolderFault."""
    _require_room(state_dir, _STATE_BYTES)


def _require_room(path: str, needed: int) -> None:
    free = disk.room_in(path).free
    if free < needed:
        raise FolderFault.at(path, f"{free / 1e6:.1f} MB are free, {needed / 1e6:.1f} MB are needed", code="ENOSPC")


def no_mount(point: str) -> FolderFault:
    how = f" (as root, run: mount {quoted(point)})" if disk.is_in_fstab(point) else ""
    return FolderFault(f"{point} is not mounted{how}", code="NOT_MOUNTED")


def known_folders(state_dir: str) -> dict[str, str]:
    """Return every folder ever seen, also those that left the configuration, with its inbox. Raises FolderFault."""
    found = state_file.read(Place(state_dir, _FILE), _Memory, "no folder is known")
    return {path: known.inbox for path, known in found.root.items()} if found else {}


def read_token(path: str) -> str | None:
    """Return the folder's token, None when it has none. Raises FolderFault when the folder does not answer."""
    try:
        return disk.read_bytes(Place(path, TOKEN), _LIMIT).decode("ascii", "replace").strip(" \r\n\0") or None
    except FileNotFoundError:
        return None


def write_token(path: str, owner: str) -> str:
    """Give the folder a token, or return the one that another process has just given it.

    `owner` signs the temporary file, so that its next process removes what this one leaves.
    """
    token = str(uuid.uuid4())
    content = f"{token}\n".encode()
    disk.sweep(path, "", owner)
    try:
        disk.write_new(Place(path, TOKEN), content, owner=owner, hidden=False)
    except FileExistsError:
        if found := read_token(path):
            return found
        disk.write_atomically(Place(path, TOKEN), content, owner=owner)  # a power cut had left it empty
    return token


def _names_in(works: Place) -> list[str]:
    return [name for name in disk.folders_in(works.root, works.name) if _INSTANCE.fullmatch(name)]


def _is_at_work(folder: Place) -> bool:
    """Does one of them work there, or has it left orders?"""
    return disk.stat_of(folder.under(OWNER)) is not None or bool(disk.folders_in(folder.root, folder.name))


def _work_of(inbox: Inbox) -> Place:
    """Return the folder of all instances, below a root that nobody on the share can replace by a link."""
    inside = inbox.work.removeprefix(f"{inbox.path}/")
    return Place(inbox.path, inside) if inside != inbox.work else Place(*os.path.split(inbox.work))


def _owner_of(works: Place, instance: str) -> str:
    try:
        owner = json.loads(disk.read_bytes(works.under(instance).under(OWNER), _LIMIT))
        return f"host {owner['host']}, since {owner['since']}"
    except (OSError, FolderFault, ValueError, KeyError, TypeError, RecursionError):
        return f"instance {instance}"
