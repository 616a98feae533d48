"""Listing what lies in a folder and below it; removing folders that have become empty."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from watchfolder.disk.places import open_folder, sync_folder
from watchfolder.disk.timeouts import answered
from watchfolder.errors import FolderFault


@dataclass(frozen=True, slots=True)
class Entry:
    """One file as a scan saw it. Sizes in bytes; `is_regular` is false for links, FIFOs, sockets and devices."""

    name: str
    size: int
    mtime_ns: int
    is_regular: bool


def scan(
    root: str,
    relative: str = "",
    *,
    skip_folder: Callable[[str], bool] = lambda _name: False,
    recursive: bool = True,
    is_known: Callable[[str], bool] = lambda _name: False,
    on_fault: Callable[[str, FolderFault], None] = lambda _folder, _fault: None,
) -> Iterator[Entry]:
    """Give every file below root/relative in one pass, of whatever kind; links are never followed.

    A plain file that `is_known` is not stat'ed: its size and mtime are given as -1.
    A folder that vanishes meanwhile is left out; one that cannot be read is passed to `on_fault`. Only a fault of the
    first folder is raised.
    """
    waiting = [relative]
    while waiting:
        folder = waiting.pop()
        try:
            entries, folders = _list(root, folder, is_known)
        except FileNotFoundError:
            if folder == relative:
                raise
            continue
        except FolderFault as fault:
            if folder == relative:
                raise
            on_fault(folder, fault)
            continue
        for entry in entries:
            answered()  # what is done with the entries of a large folder is no silence of its disk
            yield entry
        if recursive:
            waiting += [name for name in folders if not skip_folder(os.path.basename(name))]


def _list(root: str, folder: str, is_known: Callable[[str], bool]) -> tuple[list[Entry], list[str]]:
    entries, folders = [], []
    prefix = f"{folder}/" if folder else ""
    with open_folder(root, folder) as descriptor, _read_folder(descriptor) as found:
        for item in found:
            answered()
            try:
                if item.is_dir(follow_symlinks=False):
                    folders.append(prefix + item.name)
                    continue
                if is_known(prefix + item.name) and item.is_file(follow_symlinks=False):
                    entries.append(Entry(prefix + item.name, -1, -1, is_regular=True))
                    continue
                status = item.stat(follow_symlinks=False)
            except FileNotFoundError:  # vanished between the listing and the look
                continue
            regular = stat.S_ISREG(status.st_mode)
            entries.append(Entry(prefix + item.name, status.st_size, status.st_mtime_ns, regular))
    return entries, folders


def _read_folder(folder: int) -> contextlib.AbstractContextManager[Iterator["os.DirEntry[str]"]]:
    """Read the folder as its server has it now.

    NFS 3 keeps what it has read as long as the folder's time is the same, and all changes within a tick of the server's
    clock bear one time. No mount option helps, nor does opening the folder anew.
    """
    with contextlib.suppress(OSError):  # a file system that keeps nothing may refuse
        os.posix_fadvise(folder, 0, 0, os.POSIX_FADV_DONTNEED)
    return os.scandir(folder)


def folders_in(root: str, relative: str = "") -> list[str]:
    """Return the base names of the folders there, links left out; none when root/relative is not there."""
    try:
        with open_folder(root, relative) as folder, _read_folder(folder) as found:
            return sorted(item.name for item in found if item.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def remove_empty_folders(root: str, relative: str) -> None:
    """Remove `relative` below root and the folders above it, as far as they are empty; never root itself.

    It raises nothing: one that cannot be removed (a mount point, no right) stays, and so do those above it.
    """
    while relative:
        above = os.path.dirname(relative)
        try:
            with open_folder(root, above) as parent:
                os.rmdir(os.path.basename(relative), dir_fd=parent)
                sync_folder(parent)
        except FileNotFoundError:
            pass
        except (FileExistsError, FolderFault):  # POSIX lets a folder that is not empty answer with either
            return
        relative = above
