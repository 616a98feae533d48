"""The configured folders: is each one there, the one we know, and ours to work in?

A share that is not mounted looks like an empty folder, so each folder carries `.watchfolder-id`, a token that its first
successful `run` or `check` wrote and that `<state_dir>/folders.json` remembers. No token or another one: the share is
gone, and nothing is written there.
"""

import json
import logging
import os
import socket
import threading
import uuid
from datetime import UTC, datetime

from watchfolder import disk
from watchfolder.config import Inbox
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.events import event

TOKEN = ".watchfolder-id"  # noqa: S105 - a mark, no secret
OWNER = "owner.json"
_LIMIT = 1 << 20


class Folders:
    """Answers for all folders of one state directory; any thread may ask."""

    def __init__(self, state_dir: str, instance: str) -> None:
        self._memory = Place(state_dir, "folders.json")
        self._instance = instance
        self._guard = threading.Lock()
        self._tokens = self._remembered()

    def require(self, inbox: Inbox) -> None:
        """Check every folder of the inbox, making those that are ours to make.

        Raises FolderFault with what a person can do. Cheap enough to ask before each piece of work: one small read
        per folder.
        """
        self.require_folder(inbox.path)
        self.require_folder(inbox.outbox)
        self.require_folder(inbox.quarantine)
        if inbox.originals is not None:
            self._make_default_originals(inbox)
            self.require_folder(inbox.originals)
        self._require_sole_use(inbox)

    def require_folder(self, path: str) -> None:
        """Check one folder's token; write it there on first sight. Raises FolderFault."""
        found = read_token(path)
        known = self._tokens.get(path)
        if known is None:
            self._remember(path, found or write_token(path))
        elif found is None:
            way_out = f"if this is the right folder after all, run: watchfolder check --accept {path}"
            raise FolderFault(f"{path}: not the folder we know: is the share mounted? ({way_out})", code="NO_TOKEN")
        elif found != known:
            way_out = f"if it may be used, run: watchfolder check --accept {path}"
            raise FolderFault(f"{path}: another folder lies in its place ({way_out})", code="OTHER_TOKEN")

    def accept(self, path: str) -> None:
        """Take the folder as it now is, on a person's word. Raises FolderFault."""
        self._remember(path, read_token(path) or write_token(path))

    def require_room(self, inbox: Inbox, size: int) -> None:
        """Check that every destination can take twice an order of `size` bytes. Raises FolderFault."""
        for path in filter(None, (inbox.outbox, inbox.originals, inbox.quarantine)):
            if not disk.is_writable(path):
                rights = disk.describe_rights(Place(*os.path.split(path)))
                raise FolderFault(f"{path}: we may not write there ({rights})", code="EACCES")
            free = disk.free_bytes(path)
            if free < 2 * size:
                raise FolderFault(f"{path}: only {free} bytes are free, an order needs {2 * size}", code="ENOSPC")

    def work(self, inbox: Inbox) -> Place:
        """Return our work folder in the inbox's file system."""
        return Place(inbox.work, self._instance)

    def adopt(self, inbox: Inbox) -> int:
        """Take over the orders of a watchfolder whose state directory was lost. Returns how many."""
        adopted = 0
        for other in self._others(inbox):
            for key in disk.folders_in(inbox.work, other):
                disk.move(Place(inbox.work, f"{other}/{key}"), Place(inbox.work, f"{self._instance}/{key}"), owner="")
                adopted += 1
            disk.remove(Place(inbox.work, f"{other}/{OWNER}"))
            disk.remove_empty_folders(inbox.work, other)
            event("inbox.adopted", inbox=inbox.name, instance=other, orders=adopted)
        return adopted

    def _require_sole_use(self, inbox: Inbox) -> None:
        if not os.path.isdir(inbox.work):
            disk.make_folder(os.path.dirname(inbox.work), os.path.basename(inbox.work), 0o700)
        others = self._others(inbox)
        if others:
            raise FolderFault(f"{inbox.path}: {_describe_owner(inbox.work, others[0])}", code="OTHER_INSTANCE")
        mine = Place(inbox.work, f"{self._instance}/{OWNER}")
        if disk.stat_of(mine) is None:
            disk.make_folder(inbox.work, self._instance, 0o700)
            since = datetime.now(UTC).isoformat(timespec="seconds")
            disk.write_atomically(mine, json.dumps({"host": socket.gethostname(), "since": since}).encode())

    def _others(self, inbox: Inbox) -> list[str]:
        return [name for name in disk.folders_in(inbox.work) if name != self._instance and _is_instance(name)]

    def _make_default_originals(self, inbox: Inbox) -> None:
        path = inbox.originals
        default = os.path.join(os.path.dirname(inbox.path), "originals")
        if path is None or path != default or path in self._tokens or os.path.isdir(path):
            return
        disk.make_folder(os.path.dirname(path), os.path.basename(path))

    def _remember(self, path: str, token: str) -> None:
        with self._guard:
            self._tokens = {**self._tokens, path: token}
            disk.write_atomically(self._memory, json.dumps(self._tokens, indent=1).encode())

    def _remembered(self) -> dict[str, str]:
        try:
            content = json.loads(disk.read_bytes(self._memory, _LIMIT))
            return {str(path): str(token) for path, token in content.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError):
            event(
                "folders.memory_unreadable",
                logging.WARNING,
                file=self._memory.path,
                now="the folders are taken as they are",
            )
            return {}


def read_token(path: str) -> str | None:
    """Return the folder's token, None when it has none. Raises FolderFault when the folder does not answer."""
    try:
        return disk.read_bytes(Place(path, TOKEN), _LIMIT).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None


def write_token(path: str) -> str:
    token = str(uuid.uuid4())
    disk.write_atomically(Place(path, TOKEN), f"{token}\n".encode())
    return token


def _is_instance(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


def _describe_owner(work: str, instance: str) -> str:
    try:
        owner = json.loads(disk.read_bytes(Place(work, f"{instance}/{OWNER}"), _LIMIT))
        who = f"host {owner['host']}, since {owner['since']}"
    except (OSError, FolderFault, ValueError, KeyError, TypeError):
        who = f"instance {instance}"
    return f"another watchfolder works here ({who}); if it is gone for good, run: watchfolder run --adopt"
