"""What a folder lets us do, its rights, its room and its longest name; and what root types to let us do more."""

import fcntl
import grp
import os
import pwd
import shlex
import stat
import struct
import sys
from typing import NamedTuple

from watchfolder.disk.files import stat_of
from watchfolder.disk.places import HELD, READ_ONLY, NotAFolder, Place, open_folder
from watchfolder.errors import FolderFault
from watchfolder.events import printable

_GET_FLAGS = 0x80006601 | struct.calcsize("l") << 16  # FS_IOC_GETFLAGS
_KEPT_IN_PLACE = 0x10 | 0x20  # immutable, append only
# Not the inbox's fault: a bad sector, a lost key of an encrypted file, a name that the file system cannot read.
_DAMAGES = frozenset({"EIO", "EINVAL", "EILSEQ", "EBADMSG", "EUCLEAN", "ENODATA", "ENOKEY", "EOVERFLOW"})


def may_write(root: str, relative: str = "") -> bool:
    """May we make files there? Raises FileNotFoundError; FolderFault, also where all of root is read-only."""
    with open_folder(root, relative) as folder:
        if os.access(".", os.W_OK | os.X_OK, dir_fd=folder):
            return True
    with open_folder(root) as folder:
        if os.fstatvfs(folder).f_flag & os.ST_RDONLY:
            raise FolderFault.at(root, READ_ONLY, code="EROFS")
    return False


def is_kept_in_place(descriptor: int) -> bool:
    """Is the file or folder marked so that nobody may move it or what is in it, not even root (chattr +i, +a)?"""
    try:
        answer = fcntl.ioctl(descriptor, _GET_FLAGS, bytes(struct.calcsize("l")))
    except OSError:  # a file system without such marks
        return False
    return bool(int.from_bytes(answer[:4], sys.byteorder) & _KEPT_IN_PLACE)


class Space(NamedTuple):
    """Which file system it is, and how much is free for us and there at all, in bytes."""

    device: int
    free: int
    total: int


def room_in(root: str) -> Space:
    """Measure the file system of a folder; one that tells no size counts as endless. Raises FolderFault."""
    with open_folder(root) as folder:
        answer = os.statvfs(folder)
        device = os.fstat(folder).st_dev
        if not answer.f_blocks:
            return Space(device, sys.maxsize, sys.maxsize)
        return Space(device, answer.f_bavail * answer.f_frsize, answer.f_blocks * answer.f_frsize)


def name_limit(root: str) -> int:
    """Return how many bytes a name may have there: 255, but for a few file systems (eCryptfs: 143)."""
    with open_folder(root) as folder:
        return min(255, os.statvfs(folder).f_namemax or 255)


def rights_of(place: Place) -> str:
    """Name owner, group and mode of what is there, for the person who has to change them."""
    try:
        found = stat_of(place)
    except NotAFolder:
        found = None
    if found is None:
        return "it is gone"
    return f"owner {user_name(found.st_uid)}, group {group_name(found.st_gid)}, mode {stat.S_IMODE(found.st_mode):04o}"


def user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def why_not_read(place: Place, fault: FolderFault) -> str:
    """Say what keeps this one file from being read. Raises `fault` where the inbox is at fault, not the file."""
    if fault.is_held:
        return HELD
    if fault.is_closed:
        return f"we may not read it: {rights_of(place)}"
    if fault.code in _DAMAGES:
        return f"it cannot be read: {fault.reason.removeprefix(f'{place.path}: ')}"
    raise fault


def command_to_open(root: str, name: str, *, is_for_all: bool = False, is_sticky: bool = False) -> str:
    """Return what root types to let us take what is there: a file, or a folder with all that is in it.

    `is_for_all`: the files of the folder `name`, whatever their rights. `is_sticky`: also lift that mark.
    Of the root itself, in which our own hidden folder lies, it never covers more than what lies directly in it.
    """
    target, recursively = _quoted(root, name, is_for_all=is_for_all)
    mine = {os.getegid(), *os.getgroups()}
    group = _group_of(root) if _group_of(root) in mine else os.getegid()
    steps = []
    if is_for_all or _group_of(os.path.join(root, name)) not in mine:
        steps.append(f"chgrp {recursively}{group_name(group)} {target}")
    steps.append(f"chmod {recursively}ug+rwX{',-t' * is_sticky} {target}")
    return " && ".join(steps)


def closed_folder(path: str) -> str | None:
    """Return the first folder on the way to `path` that we may not pass."""
    parts = os.path.dirname(os.path.abspath(path)).split("/")
    above = ("/".join(parts[:depth]) or "/" for depth in range(1, len(parts) + 1))
    return next((folder for folder in above if not os.access(folder, os.X_OK)), None)


def command_to_move(root: str, name: str, *, is_for_all: bool = False) -> str:
    """Return what root types to let us move what `chattr` has marked."""
    target, recursively = _quoted(root, name, is_for_all=is_for_all)
    return f"chattr {recursively if is_for_all else ''}-ia {target}"


def _quoted(root: str, name: str, *, is_for_all: bool) -> tuple[str, str]:
    """Return the path as a shell reads it, and the option to take along all that is in it, if it is a folder.

    In place of a name that is not printable, its folder is named, with all files in it.
    """
    while name and printable(name) != name:
        name, is_for_all = os.path.dirname(name), True
    if not name:
        return shlex.quote(root) + "/*" * is_for_all, ""
    path = os.path.join(root, name)
    is_folder = os.path.isdir(path) and not os.path.islink(path)
    return shlex.quote(path), "-R " if is_folder else ""


def _group_of(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_gid
    except OSError:
        return -1
