"""The sub-folders that our claims emptied: removed once they have been empty and unchanged for long enough."""

import time
from collections.abc import Iterable

from watchfolder import disk
from watchfolder.disk import NotAFolder, Place


class Emptied:
    """Of one inbox, in memory only: a folder that a restart forgets stays, which harms nobody."""

    def __init__(self, root: str, unchanged_seconds: float) -> None:
        self._root = root
        self._unchanged_seconds = unchanged_seconds
        self._since: dict[str, float] = {}  # folder → wall clock

    def note(self, folders: Iterable[str]) -> None:
        self._since.update(dict.fromkeys(folders, time.time()))

    def remove(self) -> None:
        """Remove those whose time has come. Raises FolderFault."""
        horizon = time.time() - self._unchanged_seconds
        for folder in [name for name, since in self._since.items() if since <= horizon]:
            try:
                found = disk.stat_of(Place(self._root, folder))
            except NotAFolder:  # something else has its place
                found = None
            if found is not None and found.st_mtime > horizon:
                self._since[folder] = found.st_mtime
                continue
            del self._since[folder]
            if found is not None:
                disk.remove_empty_folders(self._root, folder)
