"""The sub-folders that our claims emptied: removed once they have been empty and unchanged for long enough."""

from collections.abc import Iterable

from watchfolder import disk
from watchfolder.disk import NotAFolder, Place
from watchfolder.errors import FolderFault


class Emptied:
    """Of one inbox, in memory only: a folder that a restart forgets stays, which harms nobody.

    The folder's own time is compared with itself alone: it is the file server's, or anybody's.
    """

    def __init__(self, root: str, unchanged_seconds: float) -> None:
        self._root = root
        self._unchanged_seconds = unchanged_seconds
        self._since: dict[str, tuple[float, int | None]] = {}  # folder → when it was, and its modification time then

    def note(self, folders: Iterable[str], now: float) -> None:
        self._since.update(dict.fromkeys(folders, (now, None)))

    def remove(self, now: float) -> None:
        """Remove those whose time has come."""
        for folder, (since, mtime_ns) in list(self._since.items()):
            is_due = now - since >= self._unchanged_seconds
            if mtime_ns is not None and not is_due:
                continue
            try:
                found = disk.stat_of(Place(self._root, folder))
            except NotAFolder:  # something else has its place
                found = None
            except FolderFault:  # closed to us, or out of reach: asked again, for it must not keep us from the pictures
                continue
            if found is not None and not is_due:
                self._since[folder] = (since, found.st_mtime_ns)
            elif found is not None and mtime_ns not in {None, found.st_mtime_ns}:
                self._since[folder] = (now, found.st_mtime_ns)
            else:
                del self._since[folder]
                if found is not None:
                    disk.remove_empty_folders(self._root, folder)
