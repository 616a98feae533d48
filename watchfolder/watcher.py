"""The folder changed → "look again". Only a nudge: the directory is the truth, and a timed scan comes anyway."""

import contextlib
import errno
import itertools
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple

from typing_extensions import override
from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchCallback,
    WatchDescriptor,
)

from watchfolder import disk
from watchfolder.errors import FolderFault
from watchfolder.events import event

Mode = Literal["auto", "events", "polling"]
Kind = Literal["events", "polling"]
OnChange = Callable[[str | None], None]

_IN = InotifyConstants
# What can make a file worth another look. Attributes, open, and close without a write are left out: indexers cause
# them, and so do our own looks. watchdog's observers ask for IN_ATTRIB whenever they ask for modifications, watch
# inside ignored folders, and keep a queue overflow to themselves; so we use the layer below them, watchdog's InotifyFD.
_MASK: Final = Mask(
    _IN.IN_CREATE | _IN.IN_MODIFY | _IN.IN_CLOSE_WRITE | _IN.IN_MOVE | _IN.IN_ONLYDIR | _IN.IN_EXCL_UNLINK
)
_ROOT_MASK: Final = Mask(_MASK | _IN.IN_MOVE_SELF)

_REMEDIES: Final = {
    "ENOSPC": "no more inotify watches: raise them with sysctl fs.inotify.max_user_watches=1048576",
    "EMFILE": "no more inotify instances: raise them with sysctl fs.inotify.max_user_instances=1024",
}
_STOP_SECONDS: Final = 5.0

# fmt: off
NETWORK_FILE_SYSTEMS: Final = frozenset({
    "9p", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "fakeowner", "fuse", "gfs2", "glusterfs", "gpfs",
    "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "panfs", "prl_fs", "pvfs2", "smb2", "smb3",
    "smbfs", "vboxsf", "virtiofs", "vmhgfs",
})
# fmt: on
"""Where others write unseen by our kernel. autofs leads to such a one; so does fuse, more often than not."""


class Watcher:
    """Calls `on_change` with the path, below `path`, of what changed, or with None: look everywhere.

    `on_change` is called on a thread of watchdog's and must return at once. `kind` and `reason` say what `start` made
    of `mode`; with "polling" it is never called, and the caller depends on its own timed scan.
    """

    def __init__(self, path: str, *, mode: Mode, is_left_out: Callable[[str], bool], on_change: OnChange) -> None:
        """Folders whose names are `is_left_out` are not watched, nor what is in them."""
        self.kind: Kind = "polling"
        self.reason = "not started"
        self._path = path
        self._mode = mode
        self._is_left_out = is_left_out
        self._on_change = on_change
        self._tree: _Tree | None = None

    def start(self) -> None:
        """Begin, or begin again, to report every change from now on, as far as the kernel lets us watch."""
        self.stop()
        self.kind, self.reason = way_to_watch(self._path, self._mode)
        if self.kind == "events":
            try:
                self._tree = _Tree(self._path, self._is_left_out, self._tell, self._on_end)
            except FolderFault as fault:
                self._on_limit(fault)
        event("watch.started", folder=self._path, kind=self.kind, reason=self.reason)

    def stop(self) -> None:
        """End within seconds, whatever `on_change` is doing."""
        tree, self._tree = self._tree, None
        self.kind, self.reason = "polling", "stopped"
        if tree is not None:
            tree.stop()

    def _tell(self, changed: str | None) -> None:
        try:
            self._on_change(changed)
        except Exception:  # noqa: BLE001 a nudge that failed is one scan late, a dead thread is late for ever
            event("watch.failed", logging.ERROR, trace=True, folder=self._path)

    def _on_limit(self, fault: FolderFault) -> None:
        self.kind, self.reason = "polling", _REMEDIES.get(fault.code, fault.reason)
        event("watch.limited", logging.WARNING, folder=self._path, reason=self.reason)

    def _on_end(self, error: Exception | None) -> None:
        if isinstance(error, FolderFault):
            self._on_limit(error)
        else:
            self.kind, self.reason = "polling", f"the folder is gone ({error})" if error else "the folder is gone"
            event("watch.ended", logging.WARNING, folder=self._path, reason=self.reason)
        self._tell(None)


class _Folder(NamedTuple):
    path: str  # below the root; "" is the root
    id: CallbackId


class _Tree(WatchCallback):
    """The watches on a folder and those below it, in one inotify instance. Once started, watchdog's thread owns it."""

    def __init__(
        self,
        root: str,
        is_left_out: Callable[[str], bool],
        on_change: OnChange,
        on_end: Callable[[Exception | None], None],
    ) -> None:
        self._root = root
        self._is_left_out = is_left_out
        self._on_change = on_change
        self._on_end = on_end
        self._is_over = False
        self._ids = itertools.count(1)
        self._folders: dict[WatchDescriptor, _Folder] = {}
        with disk.translated(root):
            self._inotify = InotifyFD()
        self._inotify._is_reading = False  # noqa: SLF001 or close() leaves the descriptors to a thread that never reads
        try:
            self._watch_under("")
        except FolderFault:
            self.stop()
            raise
        self._inotify.start()

    def stop(self) -> None:
        self._is_over = True
        with contextlib.suppress(OSError, RuntimeError):  # closed before; never started, or stopped from its own thread
            self._inotify.stop()
            self._inotify.join(_STOP_SECONDS)

    # Called by watchdog

    @override
    def on_event(self, event: InotifyEvent) -> None:
        with self._end_on_fault():
            self._take(event)

    @override
    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Forget a folder that was removed or unmounted."""
        folder = self._folders.pop(wd, None)
        if folder is not None and not folder.path:
            self._end()

    @override
    def on_queue_overflow(self) -> None:
        """Begin again: folders may have come, gone and moved unseen."""
        with self._end_on_fault():
            event("watch.overflowed", logging.WARNING, folder=self._root)
            self._forget("")
            self._watch_under("")
            self._on_change(None)

    @contextlib.contextmanager
    def _end_on_fault(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 it would end watchdog's thread without a word
            self._end(error)

    def _end(self, error: Exception | None = None) -> None:
        if not self._is_over:
            self._is_over = True
            self._inotify.stop()
            self._on_end(error)

    def _take(self, seen: InotifyEvent) -> None:
        """Report what came or changed. A new folder is watched and reported: what was in it before caused no event."""
        folder = self._folders.get(seen.wd)
        if folder is None or self._is_over:
            return
        name = os.fsdecode(seen.name)
        path = os.path.join(folder.path, name)
        if seen.is_move_self:
            self._end()
        elif not name or (seen.is_directory and self._is_left_out(name)):
            return
        elif not seen.is_moved_from:
            if seen.is_directory:
                self._watch_under(path)
            self._on_change(path)
        elif seen.is_directory:
            self._forget(path)

    # The watches

    def _watch_under(self, path: str) -> None:
        """Watch the folder `path` and all in it, each before it is read, so that nothing comes in between.

        Raises FolderFault where the root cannot be watched, or no more can be.
        """
        ahead = [path]
        while ahead:
            path = ahead.pop()
            try:
                with disk.open_folder(self._root, path) as folder:  # through no link, also one swapped in meanwhile
                    self._watch(path, folder)
                    with os.scandir(folder) as entries:
                        names = [each.name for each in entries if each.is_dir(follow_symlinks=False)]
            except FileNotFoundError:  # gone again
                continue
            except FolderFault as fault:
                if fault.code in _REMEDIES or not path:
                    raise
                continue  # closed to us: the scan reports it
            ahead += [os.path.join(path, name) for name in names if not self._is_left_out(name)]

    def _watch(self, path: str, folder: int) -> None:
        id_ = CallbackId(next(self._ids))
        where = os.fsencode(f"/proc/self/fd/{folder}")
        wd = self._inotify.add_callback(where, _MASK if path else _ROOT_MASK, self, id_)
        if wd < 0:  # watchdog takes a refusal (EACCES) for a watch
            self._inotify.remove_callbacks([(wd, id_)])
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        if known := self._folders.get(wd):  # the same folder, under another name or seen twice
            self._inotify.remove_callbacks([(wd, known.id)])
        self._folders[wd] = _Folder(path, id_)

    def _forget(self, path: str) -> None:
        """Drop the watches on `path` and all below: those of a moved folder would report its old name."""
        gone = [
            (wd, folder.id)
            for wd, folder in self._folders.items()
            if not path or folder.path == path or folder.path.startswith(path + "/")
        ]
        self._inotify.remove_callbacks(gone)
        for wd, _ in gone:
            del self._folders[wd]


def are_events_told(path: str, touch: Callable[[], None], timeout_seconds: float) -> bool:
    """Say whether what `touch` does in `path` is seen as an event. On a share that proves nothing for other hosts."""
    came = threading.Event()

    def on_change(changed: str | None) -> None:
        if changed is not None:
            came.set()

    watcher = Watcher(path, mode="events", is_left_out=lambda _: True, on_change=on_change)
    watcher.start()
    try:
        touch()
        return watcher.kind == "events" and came.wait(timeout_seconds)
    finally:
        watcher.stop()


def way_to_watch(path: str, mode: Mode) -> tuple[Kind, str]:
    """Return how to watch `path`, and why."""
    if mode != "auto":
        return mode, "as configured"
    mount = disk.mount_of(os.path.realpath(path), disk.read_mount_table())
    file_system = mount.file_system if mount else ""
    if is_network(file_system):
        return "polling", f"{file_system} tells us nothing of what other hosts write"
    return "events", f"{file_system or 'the file system'} is local"


def is_network(file_system: str) -> bool:
    """Say whether others may write to `file_system` behind our kernel's back. fuseblk (NTFS, exFAT) is a local disk."""
    return file_system in NETWORK_FILE_SYSTEMS or file_system.startswith("fuse.")
