"""What is mounted where, by the kernel's own table, and what /etc/fstab says should be. Neither asks a share."""

import os
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

FSTAB: Final = "/etc/fstab"
_MOUNTS: Final = "/proc/self/mountinfo"


class Mount(NamedTuple):
    """A line of the table: see proc_pid_mountinfo(5)."""

    id: str
    parent: str
    device: str
    point: str
    file_system: str


def mount_of(path: str, mountinfo: str) -> Mount | None:
    """Return what the resolved `path` lies on, None if the table does not tell.

    Goes down as the kernel does, from mount to mount: a later mount hides those below its mount point, which the
    longest prefix alone would still find.
    """
    ahead = [mount for mount in _mount_lines(mountinfo) if _holds(mount.point, path)]
    ids = {mount.id for mount in ahead}
    here: Mount | None = None
    while True:
        below = [m for m in ahead if (m.parent == here.id if here else m.parent not in ids or m.parent == m.id)]
        if not below:
            return here
        here = min(reversed(below), key=lambda mount: len(mount.point))  # the first on the way; of two, the later
        ahead.remove(here)


def mount_point_of(path: str) -> str:
    """Return where the file system of a folder is mounted, "" for the one of the root.

    A bind of what is above (systemd's ReadWritePaths= are such) is no mount of its own.
    """
    mountinfo = read_mount_table()
    here = mount_of(os.path.realpath(path), mountinfo)
    while here is not None and here.point != "/":
        above = mount_of(os.path.dirname(here.point), mountinfo)
        if above is None or above.device != here.device:
            return here.point
        here = above
    return ""


def missing_mount(path: str, remembered: str = "") -> str:
    """Return the mount point above a folder that should be mounted, by fstab or as `remembered`, and is not."""
    mounted = {mount.point for mount in _mount_lines(read_mount_table())}
    wanted = (point for point in (remembered, *_fstab()) if point.startswith("/") and point != "/")
    real = os.path.realpath(path)
    missing = (point for point in wanted if _holds(point, real) and point not in mounted)
    return min(missing, key=len, default="") if mounted else ""


def is_in_fstab(point: str) -> bool:
    """Does `mount POINT` know what to mount there?"""
    return point in _fstab()


def read_mount_table() -> str:
    return _read(_MOUNTS)


def _fstab() -> list[str]:
    lines = (line.split() for line in _read(FSTAB).splitlines())
    return [_path_of(fields[1]).rstrip("/") or "/" for fields in lines if fields[1:] and fields[0][0] != "#"]


def _mount_lines(mountinfo: str) -> Iterator[Mount]:
    for line in mountinfo.split("\n"):
        mount, _, source = line.partition(" - ")
        match mount.split(" "):
            case [number, parent, device, _, point, *_]:
                yield Mount(number, parent, device, _path_of(point), source.split(" ")[0])


def _path_of(text: str) -> str:
    """Read a path as both tables write it: with its spaces in octal."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), text)


def _holds(point: str, path: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
