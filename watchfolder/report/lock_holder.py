"""Which daemon holds a lock, and does it still turn? Read from /proc: a try at the lock could turn a start away."""

import contextlib
import itertools
import os
import time
from collections.abc import Iterator

from watchfolder import disk
from watchfolder.disk import Place

_KIND, _WHO, _WHERE, _END = 1, 4, 5, 7  # columns of proc_locks(5)
_NAMES_FILE = {"-c", "--config"}
_ANONYMOUS = "00"  # major number where the device is no disk: btrfs, overlays, network shares


def is_held(lock: Place) -> bool:
    """Look the lock up in /proc/locks. Raises FolderFault when we may not see the file."""
    return held_by(lock) is not None


def held_by(lock: Place) -> int | None:
    """Return the id of the process that holds it; 0 or less for one in another container. Raises FolderFault."""
    return next((int(held[_WHO]) for held in _held(lock, "FLOCK")), None)


def silent_seconds(lock: Place) -> float:
    """Return for how long the holder's main loop has not turned; 0 while it starts, and where that cannot be told.

    Its POSIX lock ends at the byte whose number is the monotonic second of its last turn (`Journal.note_turn`).
    """
    holders = {held[_WHO] for held in _held(lock, "FLOCK")}  # what others lock tells no turn, and may end at EOF
    turns = [time.monotonic() - int(held[_END]) for held in _held(lock, "POSIX") if held[_WHO] in holders]
    return max(0.0, min(turns, default=0.0))


def _held(lock: Place, kind: str) -> list[list[str]]:
    """Return the locks of this kind on the file, each as its columns in /proc/locks. Raises FolderFault."""
    found = disk.stat_of(lock)
    if found is None:
        return []
    with open("/proc/locks", "rb") as locks:  # as bytes: a former root may not be able to load a codec
        listed = [line.decode("ascii").split() for line in locks]
    return [columns for columns in listed if columns[_KIND] == kind and _is_at(columns[_WHERE], found)]


def is_one_of_ours(process: int | str) -> bool:
    """Is there such a process, and does its command line name watchfolder?"""
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            return b"watchfolder" in file.read()
    except OSError:
        return False


def _ours() -> Iterator[str]:
    return filter(is_one_of_ours, filter(str.isdigit, os.listdir("/proc")))


def held_folders() -> Iterator[str]:
    """Yield the state directories of the daemons that we may inspect: as root all, else those of our own user."""
    for process in _ours():
        with contextlib.suppress(OSError):  # another user's, or it has ended
            for number in os.listdir(f"/proc/{process}/fd"):
                folder, _, name = os.readlink(f"/proc/{process}/fd/{number}").rpartition("/")
                if name == "lock":
                    yield folder


def hidden_daemon(source: str) -> int | None:
    """Return a daemon that root started for this user, perhaps with this configuration: root alone may inspect it."""
    for process in _ours():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            with open(f"/proc/{process}/cmdline", "rb") as file:
                _, run, options = os.fsdecode(file.read().replace(b"\0--config=", b"\0--config\0")).partition("\0run\0")
            named = next((path for flag, path in itertools.pairwise(options.split("\0")) if flag in _NAMES_FILE), "")
            is_ours = run and (named == source or not os.path.isabs(named))
            if is_ours and os.stat(f"/proc/{process}").st_uid == os.geteuid() and not _is_open(process):
                return int(process)
    return None


def _is_open(process: str) -> bool:
    try:
        os.listdir(f"/proc/{process}/fd")
    except PermissionError:
        return False
    return True


def _is_at(where: str, found: os.stat_result) -> bool:
    """Is this lock on that file? On btrfs the kernel lists the file system's device, and stat gives the subvolume's."""
    major, minor, inode = where.split(":")
    ours = f"{os.major(found.st_dev):02x}", f"{os.minor(found.st_dev):02x}"
    return int(inode) == found.st_ino and ((major, minor) == ours or major == ours[0] == _ANONYMOUS)
