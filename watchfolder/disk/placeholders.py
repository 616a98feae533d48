"""Names held by an empty file, for a rename over it: where no rename refuses to replace (every NFS; exFAT by FUSE).

A death can leave that file, and a person's own empty file looks the same. So a note in the hidden folder of its root
names it, before it is there and until what came in its place is durable. Who repeats the move finds the note; who
sweeps takes the empty file away with it.
"""

import contextlib
import os
import stat

from watchfolder.disk.places import (
    HIDDEN,
    NotAFolder,
    Place,
    UnfitName,
    create_in,
    create_new,
    note_name,
    open_folder,
    read_bytes,
    stat_of,
    sync_folder,
    translated,
    unlink,
    write_all,
)
from watchfolder.errors import FolderFault

_LIMIT = 1 << 14  # bytes of a note: a path
_SUFFIX = ".held.tmp"


def hold(target: Place, folder: int, owner: str) -> Place:
    """Take the free name `target` in the open `folder`; return the note, to be removed when something lies there.

    A name that is held already is as good. Raises FileExistsError when it is another file's.
    """
    if is_held(target, folder, owner):
        return _note_of(target, owner)
    note = _note_of(target, owner)
    _write(note, target)
    try:
        os.close(create_in(folder, target.base))
    except (FileExistsError, UnfitName):  # any other error may come after the file has been made (a share's time-out)
        unlink(note)
        raise
    return note


def is_held(target: Place, folder: int, owner: str) -> bool:
    """Does an empty file of ours hold the name?"""
    return _is_empty(folder, target.base) and stat_of(_note_of(target, owner)) is not None


def let_go(target: Place, owner: str) -> None:
    """Give up a name that is held for what never came."""
    note = _note_of(target, owner)
    if stat_of(note) is not None:
        _drop(target)
        unlink(note)


def is_note(base: str) -> bool:
    return base.endswith(_SUFFIX)


def drop_named_in(note: Place) -> bool:
    """Take away the placeholder that an earlier life has left; False when that must wait.

    Anybody on the share can have written the note: what leads elsewhere, or cannot be read, holds nothing.
    """
    try:
        name = os.fsdecode(read_bytes(note, _LIMIT))
    except (FileNotFoundError, FolderFault):
        return True
    try:
        if "\0" not in name:
            _drop(Place(note.root, name))
    except NotAFolder:
        return True
    except FolderFault:
        return False
    return True


def _note_of(target: Place, owner: str) -> Place:
    return Place(target.root, f"{HIDDEN}/{note_name(owner, target.name)}")


def _write(note: Place, target: Place) -> None:
    """Make the note durable: a power cut must not leave the placeholder without it."""
    unlink(note)  # an earlier try's
    descriptor = create_new(note)
    try:
        with translated(note.path):
            write_all(descriptor, os.fsencode(target.name))
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with open_folder(note.root, note.folder) as folder, translated(note.path):
        sync_folder(folder)


def _drop(target: Place) -> None:
    with contextlib.suppress(FileNotFoundError), open_folder(target.root, target.folder) as folder:
        if _is_empty(folder, target.base):
            with translated(target.path):
                os.unlink(target.base, dir_fd=folder)
                sync_folder(folder)


def _is_empty(folder: int, name: str) -> bool:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == 0
