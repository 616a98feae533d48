"""What a folder lets us do: its rights, its room, its longest name."""

import grp
import os
import pwd
import stat
import sys

from watchfolder.disk.places import Place, open_folder, stat_of, translated


def is_writable(root: str) -> bool:
    """May we make files there: by its rights, and by its file system?"""
    return os.access(root, os.W_OK | os.X_OK)


def free_bytes(root: str) -> int:
    """Return what is free for us; without end where the file system keeps no count."""
    with open_folder(root) as folder, translated(root):
        answer = os.statvfs(folder)
        return answer.f_bavail * answer.f_frsize if answer.f_blocks else sys.maxsize


def longest_name(root: str) -> int:
    """Return how many bytes a name may have there: 255, but for a few file systems (eCryptfs: 143)."""
    with open_folder(root) as folder, translated(root):
        return min(255, os.statvfs(folder).f_namemax or 255)


def describe_rights(place: Place) -> str:
    """Name owner, group and mode of what is there, for the person who has to change them."""
    found = stat_of(place)
    if found is None:
        return "it is gone"
    return f"owner {_user(found.st_uid)}, group {_group(found.st_gid)}, mode {stat.S_IMODE(found.st_mode):04o}"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
