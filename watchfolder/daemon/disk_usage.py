"""How full are the disks? Asked once a minute, by a thread that may wait for the folders' answers."""

import contextlib

from watchfolder import disk
from watchfolder.errors import FolderFault
from watchfolder.snapshot import Disk

_AGAIN_SECONDS = 60.0


class DiskUsage:
    """The disks that a few folders lie on; any thread may read `disks`."""

    def __init__(self, *folders: str) -> None:
        self.disks: dict[str, Disk] = {}
        self._folders = folders
        self._measured_at = float("-inf")

    def look(self, now: float, *, are_there: bool = True) -> None:
        """Measure if it is time to; if the folders are away, forget: the disk of the mount point is not theirs."""
        if not are_there:
            self.disks, self._measured_at = {}, float("-inf")
        elif now - self._measured_at >= _AGAIN_SECONDS:
            self._measured_at = now
            disks = {}
            for folder in self._folders:
                with contextlib.suppress(FolderFault):  # the work there says so
                    space = disk.room_in(folder)
                    disks[folder] = Disk(device=space.device, free_bytes=space.free, total_bytes=space.total)
            self.disks = disks
