"""Empty files that hold a name for a rename over them, where no rename refuses to replace (NFS; exFAT by FUSE).

A crash can leave such a file, and a person's own empty file looks the same. So a note in the hidden folder of its root
names it, from before it is made until what took its place is durable. A repeated move finds the note; a sweep removes
the empty file and then the note.
"""

import contextlib
import errno
import hashlib
import os
import stat

from watchfolder.disk.files import create_in, new_file, open_regular_in, read_bytes, remove, stat_of
from watchfolder.disk.places import (
    HIDDEN,
    Closed,
    NotAFolder,
    NotRegular,
    Place,
    UnfitName,
    folder_of,
    hidden_name,
    sync_folder,
)
from watchfolder.errors import FolderFault

_LIMIT = 1 << 14  # bytes of a note: a path
_SUFFIX = ".held.tmp"
_NOT_THERE = {errno.ENOENT, errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG}  # the last three: there can be no such name


def hold(target: Place, folder: int, owner: str) -> Place:
    """Take the free name `target` in the open `folder`; return the note, to be removed when something lies there.

    A name that we hold already is fine. Raises FileExistsError when it is another file's.
    """
    note = _note_of(target, owner)
    if is_held(target, folder, owner):
        return note
    if size_in(folder, target.base) is not None:  # perhaps ours: then its note is needed until it is durable
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target.path)
    _write(note, target)
    try:
        os.close(create_in(folder, target.base))
    except (FileExistsError, UnfitName):  # any other error may come after the file has been made (a share's time-out)
        remove(note, durable=False)
        raise
    return note


def is_held(target: Place, folder: int, owner: str) -> bool:
    """Does an empty file of ours hold the name?"""
    return stat_of(_note_of(target, owner)) is not None and _is_empty(target, folder)


def let_go(target: Place, owner: str) -> None:
    """Give up a name that is held for what never came."""
    note = _note_of(target, owner)
    if stat_of(note) is not None:
        _drop(target)
        remove(note, durable=False)


def is_note(base: str) -> bool:
    return base.endswith(_SUFFIX)


def drop_named_in(note: Place) -> bool:
    """Remove the placeholder that this note of an earlier process names; False when that must wait.

    Anybody on the share can have written the note: one that leads elsewhere holds nothing. Nor does one that is no
    plain file, too long, or closed to us.
    """
    try:
        name = os.fsdecode(read_bytes(note, _LIMIT))
    except (FileNotFoundError, NotRegular, Closed):
        return True
    except FolderFault as fault:
        return fault.code == "EFBIG"
    try:
        if "\0" not in name:
            _drop(Place(note.root, name))
    except NotAFolder:
        return True
    except FolderFault:
        return False
    return True


def _note_of(target: Place, owner: str) -> Place:
    name = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    return Place(target.root, f"{HIDDEN}/{hidden_name(owner, f'{name}.held')}")


def _write(note: Place, target: Place) -> None:
    """Make the note durable: a power cut must not leave the placeholder without it."""
    remove(note, durable=False)  # an earlier try's
    with new_file(note) as write:
        write(os.fsencode(target.name))


def _drop(target: Place) -> None:
    with contextlib.suppress(FileNotFoundError), folder_of(target) as folder:
        if _is_empty(target, folder):
            os.unlink(target.base, dir_fd=folder)
            sync_folder(folder)


def _is_empty(target: Place, folder: int) -> bool:
    """Is an empty file there? It is opened as well, for on a share stat can be answered from our kernel's cache.

    So a placeholder that a server has replaced can still look like one, when the answer to the rename was lost.
    Raises OSError or FolderFault where that cannot be known.
    """
    if size_in(folder, target.base) != 0:
        return False
    try:
        descriptor = open_regular_in(folder, target)
    except (FileNotFoundError, NotRegular):
        return False
    except Closed:
        return _is_empty_without_rights(folder, target.base)
    try:
        return os.fstat(descriptor).st_size == 0
    finally:
        os.close(descriptor)


def _is_empty_without_rights(folder: int, name: str) -> bool:
    """Is an empty file there that nobody may open, though it is ours?

    NFS 3 and 4.0 create a file in two steps; a crash in between leaves it without any rights (mode 0). Only its owner
    can set its time, and the answer shows what the server has there now. With all_squash our kernel takes our own files
    for another user's; but whether an explicit time may be set, it leaves to the server.
    """
    try:
        os.utime(name, (0, 0), dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, PermissionError):
        return False
    return size_in(folder, name) == 0


def size_in(folder: int, name: str) -> int | None:
    """Return the size of a plain file, -1 for anything else that is there. Raises OSError where that is not known."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    return found.st_size if stat.S_ISREG(found.st_mode) else -1
