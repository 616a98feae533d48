"""Folders for a group: whatever umask people have, their group can move what they make in them.

The rights come from a default ACL (acl(5)), as `setfacl -d` writes it; the kernel then ignores the umask.
"""

import contextlib
import errno
import os
import stat
import struct

from watchfolder.disk.places import Place, open_folder, sync_folder, translated

_ACL = "system.posix_acl_default"
_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")  # tag, rights, user or group
_USER, _NAMED_USER, _GROUP, _NAMED_GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NOBODY_NAMED = 0xFFFFFFFF
_WRITABLE = 0o7
_PRIVATE_MODE = 0o750
_SHARED_MODE = 0o2775  # setgid: what is made in it gets its group


def make_group_folder(path: str, group: int, *, user: int = -1) -> None:
    """Make a folder, and those above it, in which the group may write; where it is one `user`'s, only read.

    Raises FileExistsError, FolderFault.
    """
    parent, base = os.path.split(path)
    with translated(path):
        os.makedirs(parent, 0o755, exist_ok=True)
    with open_folder(parent, path=path) as above:
        os.mkdir(base, 0o700, dir_fd=above)
        with open_folder(path) as made:
            os.fchown(made, user, group)
            os.fchmod(made, _SHARED_MODE if user < 0 else _PRIVATE_MODE)
        sync_folder(above)


def give_empty_folder(path: str, user: int, group: int, *, is_private: bool) -> bool:
    """Give an empty folder of our own to another user; return whether it was such a folder.

    With `is_private` the group may then only read it; else its rights stay. Raises FolderFault.
    """
    with open_folder(path) as folder:
        owner = os.fstat(folder).st_uid
        if owner == user or owner != os.geteuid() or os.listdir(folder):
            return False
        os.fchown(folder, user, group)
        if is_private:
            os.fchmod(folder, _PRIVATE_MODE)
    return True


def give_all(root: str, user: int, group: int) -> None:
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


def keep_secret(place: Place) -> None:
    """Take all rights to a file from group and others, if it is ours. Raises FolderFault."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with contextlib.suppress(FileNotFoundError), translated(place.path):
        descriptor = os.open(place.path, flags)
        try:
            found = os.fstat(descriptor)
            if found.st_uid == os.geteuid() and stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) & 0o77:
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)


def let_group_write(root: str) -> bool:
    """Let the group write in whatever is made in a folder; False where the file system takes no ACL.

    Raises FolderFault.
    """
    entries = ((_USER, _WRITABLE), (_GROUP, _WRITABLE), (_OTHER, 0o5))
    acl = _VERSION.pack(2) + b"".join(_ENTRY.pack(tag, rights, _NOBODY_NAMED) for tag, rights in entries)
    with open_folder(root) as folder, contextlib.suppress(OSError):
        os.setxattr(folder, _ACL, acl)
        return True
    return False


def may_write_in_new_folders(root: str) -> bool | None:
    """May we write in a folder that somebody makes there, by its group or by our own name, whatever the umask?

    None where the file system tells no ACL: its maker decides, or the server of the share. Raises FolderFault.
    """
    with open_folder(root) as folder:
        try:
            acl = os.getxattr(folder, _ACL)
        except OSError as error:
            return False if error.errno == errno.ENODATA else None
        found = os.fstat(folder)
    ours = {(_NAMED_USER, os.geteuid()), *((_NAMED_GROUP, group) for group in (os.getegid(), *os.getgroups()))}
    if found.st_mode & 0o2000:
        ours.add((_GROUP, _NOBODY_NAMED))
    entries = list(_ENTRY.iter_unpack(acl[_VERSION.size :]))
    mask = next((rights for tag, rights, _ in entries if tag == _MASK), _WRITABLE)
    return any(rights & mask == _WRITABLE for tag, rights, name in entries if (tag, name) in ours)
