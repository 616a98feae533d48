"""Folders for a group: whatever umask people have, what they make in them is their group's to move.

The rights come from a default ACL (acl(5)), as `setfacl -d` writes it; the kernel then leaves the umask out of account.
"""

import contextlib
import errno
import os
import shlex
import stat
import struct

from watchfolder.disk.limits import group_name
from watchfolder.disk.places import NotAFolder, Place, is_folder, open_folder, stat_of, sync_folder, translated
from watchfolder.events import printable

_ACL = "system.posix_acl_default"
_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")  # tag, rights, user or group
_USER, _GROUP, _MASK, _OTHER = 0x01, 0x04, 0x10, 0x20
_NOBODY_NAMED = 0xFFFFFFFF
_WRITABLE = 0o7
_PRIVATE_MODE = 0o750
_SHARED_MODE = 0o2775  # setgid: what is made in it gets its group
_NO_ACLS = frozenset({errno.ENOTSUP, errno.EINVAL, errno.EPERM})


def make_shared_folder(path: str, group: int) -> None:
    """Make a folder, and those above it, in which the group may write. Raises FileExistsError, FolderFault."""
    _make(path, -1, group, _SHARED_MODE)


def make_private_folder(path: str, user: int, group: int) -> None:
    """Make a folder, and those above it, that is one user's own and for the group to read.

    Raises FileExistsError, FolderFault.
    """
    _make(path, user, group, _PRIVATE_MODE)


def give_empty_folder(path: str, user: int, group: int, *, is_private: bool) -> bool:
    """Give an empty folder of our own to another user; tell if it was one.

    With `is_private` it then is as `make_private_folder` makes it; else its rights stay. Raises FolderFault.
    """
    with open_folder(path) as folder, translated(path):
        owner = os.fstat(folder).st_uid
        if owner == user or owner != os.geteuid() or os.listdir(folder):
            return False
        os.fchown(folder, user, group)
        if is_private:
            os.fchmod(folder, _PRIVATE_MODE)
    return True


def _make(path: str, user: int, group: int, mode: int) -> None:
    parent, base = os.path.split(path)
    with translated(path):
        os.makedirs(parent, 0o755, exist_ok=True)
    with open_folder(parent) as above, translated(path):
        os.mkdir(base, 0o700, dir_fd=above)
        with open_folder(path) as made:
            os.fchown(made, user, group)
            os.fchmod(made, mode)
        sync_folder(above)


def hand_over(root: str, user: int, group: int) -> None:
    """Give a folder, and all in it, to a user, as only root can.

    Links stay as they are, and so does a file with a second name, which may lie elsewhere, and what is mounted there.
    Raises FolderFault.
    """
    with translated(root):
        device = os.stat(root).st_dev
        for _, folders, files, descriptor in os.fwalk(root):
            for name in (".", *folders, *files):
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                is_only_here = stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1)
                if is_only_here and found.st_dev == device and (found.st_uid, found.st_gid) != (user, group):
                    os.chown(name, user, group, dir_fd=descriptor, follow_symlinks=False)


def keep_private(place: Place) -> None:
    """Take from others what they may do with a file, if it is ours. Raises FolderFault."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with contextlib.suppress(FileNotFoundError), translated(place.path):
        descriptor = os.open(place.path, flags)
        try:
            found = os.fstat(descriptor)
            if found.st_uid == os.geteuid() and stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) & 0o77:
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)


def pass_on_rights(root: str) -> bool:
    """Let the group write in whatever is made in a folder; False where the file system knows no ACLs.

    Raises FolderFault.
    """
    entries = ((_USER, _WRITABLE), (_GROUP, _WRITABLE), (_OTHER, 0o5))
    acl = _VERSION.pack(2) + b"".join(_ENTRY.pack(tag, rights, _NOBODY_NAMED) for tag, rights in entries)
    with open_folder(root) as folder, translated(root):
        try:
            os.setxattr(folder, _ACL, acl)
        except OSError as error:
            if error.errno not in _NO_ACLS:
                raise
            return False
        return True


def passes_on_rights(root: str) -> bool | None:
    """Does a folder that somebody makes there belong to its group, who may write in it, whatever the umask?

    None where the file system knows no ACLs: who made it decides, or the server of the share. Raises FolderFault.
    """
    with open_folder(root) as folder, translated(root):
        try:
            acl = os.getxattr(folder, _ACL)
        except OSError as error:
            if error.errno == errno.ENODATA:
                return False
            if error.errno in _NO_ACLS:
                return None
            raise
        is_setgid = bool(os.fstat(folder).st_mode & 0o2000)
    rights = {tag: bits for tag, bits, _ in _ENTRY.iter_unpack(acl[_VERSION.size :])}
    granted = rights.get(_GROUP, 0) & rights.get(_MASK, _WRITABLE)
    return is_setgid and granted == _WRITABLE


def command_to_open(root: str, name: str, *, is_for_all: bool = False, is_sticky: bool = False) -> str:
    """Return what root types to let us take what is there: a file, or a folder with all that is in it.

    `is_for_all`: the files of the folder `name`, whatever their rights. `is_sticky`: also lift that mark.
    Of the root itself, in which our own hidden folder lies, never more than its files.
    """
    target, recursively = _target(root, name, is_for_all=is_for_all)
    mine = {os.getegid(), *os.getgroups()}
    group = _group_of(root) if _group_of(root) in mine else os.getegid()
    steps = []
    if is_for_all or _group_of(os.path.join(root, name)) not in mine:
        steps.append(f"chgrp {recursively}{group_name(group)} {target}")
    steps.append(f"chmod {recursively}ug+rwX{',-t' * is_sticky} {target}")
    return " && ".join(steps)


def closed_above(path: str) -> str | None:
    """Return the first folder on the way to `path` that we may not pass."""
    parts = os.path.dirname(os.path.abspath(path)).split("/")
    above = ("/".join(parts[:depth]) or "/" for depth in range(1, len(parts) + 1))
    return next((folder for folder in above if not os.access(folder, os.X_OK)), None)


def command_to_unpin(root: str, name: str, *, is_for_all: bool = False) -> str:
    """Return what root types to let us move what `chattr` has marked."""
    target, recursively = _target(root, name, is_for_all=is_for_all)
    return f"chattr {recursively if is_for_all else ''}-ia {target}"


def _target(root: str, name: str, *, is_for_all: bool) -> tuple[str, str]:
    """Return how a shell is told of it, and the option that takes all that is in it along.

    A name that no shell could be told of in one line stands for the folder that it is in.
    """
    while name and printable(name) != name:
        name, is_for_all = os.path.dirname(name), True
    if not name:
        return shlex.quote(root) + "/*" * is_for_all, ""
    return shlex.quote(os.path.join(root, name)), "-R " if _is_folder(root, name) else ""


def _is_folder(root: str, name: str) -> bool:
    try:
        found = stat_of(Place(root, name))
    except NotAFolder:
        return False
    return found is not None and is_folder(found)


def _group_of(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_gid
    except OSError:
        return -1
