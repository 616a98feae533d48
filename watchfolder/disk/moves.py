"""Moving and publishing a person's file: never onto another one, never by halves."""

import contextlib
import ctypes
import errno
import os
import stat
import threading
from collections import defaultdict

from watchfolder.disk import placeholders
from watchfolder.disk.files import bytes_of, create_new, hash_of, open_regular, remove, set_times, stat_of
from watchfolder.disk.places import (
    NOT_SUPPORTED,
    Closed,
    NotAFolder,
    NotRegular,
    Place,
    folder_of,
    hidden_part,
    open_folder,
    sync_folder,
    translated,
)
from watchfolder.errors import FolderFault

_RENAME_NOREPLACE = 1
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # an older libc has none
_NO_SUCH_FLAG = {errno.EINVAL} | NOT_SUPPORTED
# Answers that prove that a rename was not done. After any other a share's server may have done it, or may do it yet:
# after a time-out, or a lost reply (ENOENT: it was asked twice).
_REFUSALS = {errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EINVAL}
_REFUSALS |= {errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EILSEQ, errno.EBUSY, errno.ETXTBSY}
_NO_HARD_LINKS = {errno.EPERM, errno.EMLINK, errno.EACCES, errno.EINVAL} | NOT_SUPPORTED
_turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""By root: holding a name and renaming over its placeholder are two steps, and a note does not say whose it is."""


class FsyncBatch:
    """Lets many files share their syncs: nothing done with it is durable, nor to be acted on, before `sync`.

    Sources are synced before targets; a published part, and the note of a placeholder, go only when the final name is
    durable.
    """

    def __init__(self) -> None:
        self._sources: dict[tuple[str, str], None] = {}
        self._targets: dict[tuple[str, str], None] = {}
        self._parts: list[Place] = []
        self._notes: list[Place] = []

    def moved(self, source: Place, target: Place, note: Place | None) -> None:
        self._sources[source.root, source.folder] = None
        self._targets[target.root, target.folder] = None
        self._notes += [note] if note else []

    def named(self, part: Place, target: Place, note: Place | None) -> None:
        self._parts.append(part)
        self._targets[target.root, target.folder] = None
        self._notes += [note] if note else []

    def found(self, target: Place) -> None:
        """Record a file that lies at its target already, perhaps not synced yet."""
        with os.fdopen(open_regular(target), "rb") as file, translated(target.path):
            os.fsync(file.fileno())
        self._targets[target.root, target.folder] = None

    def remove(self, place: Place) -> None:
        remove(place, durable=False)
        self._sources[place.root, place.folder] = None

    def sync(self) -> None:
        """Make it all durable. Raises FolderFault."""
        for root, folder in [*self._sources, *self._targets]:
            _sync(root, folder)
        for each in (*self._parts, *self._notes):
            remove(each, durable=False)
        for root, folder in dict.fromkeys((part.root, part.folder) for part in self._parts):
            _sync(root, folder)


def move(source: Place, target: Place, *, owner: str, private: bool = False, batch: FsyncBatch | None = None) -> None:
    """Move a file without replacing another; a move that was done before, wholly or in part, can be repeated.

    `owner` signs what a crash can leave: the copy when the move crosses file systems, and the note of a placeholder.
    With `private` nobody but us creates files in the target's folder, so no name has to be held there. Raises
    FileExistsError when another file holds the name, FileNotFoundError when there is nothing at either place,
    FolderFault.
    """
    syncs = batch or FsyncBatch()
    try:
        with folder_of(source) as from_folder, folder_of(target, create=True) as to_folder:
            note = None
            try:
                note = _rename_new(source, from_folder, target, to_folder, None if private else owner)
            except FileExistsError:
                if not _is_same_file(from_folder, source.base, to_folder, target.base):
                    raise
                os.unlink(source.base, dir_fd=from_folder)  # a power cut had kept both names (btrfs)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                _copy_over(source, from_folder, target, to_folder, owner)
            syncs.moved(source, target, note)
    except FileNotFoundError:
        _require_moved(source, target, owner)
    if batch is None:
        syncs.sync()


def _require_moved(source: Place, target: Place, owner: str) -> None:
    """Accept a move that was done before. A source that is still there is not missing: then the target's folder is."""
    _require_gone(source)
    placeholders.let_go(target, owner)
    if stat_of(target) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source.path)
    _sync(source.root, source.folder)
    _sync(target.root, target.folder)


def _require_gone(source: Place) -> None:
    try:
        with folder_of(source) as folder:
            _ask_for(folder, source.base)
    except (FileNotFoundError, NotAFolder):
        return
    raise FolderFault.at(source.path, "the folder that it goes to has just vanished", code="EAGAIN")


def publish_new(part: Place, target: Place, *, owner: str, batch: FsyncBatch | None = None) -> None:
    """Give the finished, synced file `part` its final name on the same file system; then its temporary name goes.

    `owner` signs the note of a placeholder. Raises FileExistsError when another file holds the name, FileNotFoundError
    when `part` is gone.
    """
    syncs = batch or FsyncBatch()
    try:
        with folder_of(part) as parts, folder_of(target, create=True) as folder:
            syncs.named(part, target, _name(part, parts, target, folder, owner))
    except FileNotFoundError:
        _require_gone(part)
        placeholders.let_go(target, owner)
        raise
    if batch is None:
        syncs.sync()


def _name(part: Place, parts: int, target: Place, folder: int, owner: str) -> Place | None:
    """Link, or rename without replacing; return the note of the placeholder where that took one."""
    try:
        os.link(part.base, target.base, src_dir_fd=parts, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        if placeholders.is_held(target, folder, owner):
            return _rename_over(part, parts, target, folder, owner)
        if not _is_same_file(parts, part.base, folder, target.base):
            raise
    except OSError as error:
        if error.errno == errno.EXDEV:  # something else is mounted at the sub-folder
            beside = target.beside(part.base)
            remove(beside, durable=False)  # an earlier try's
            _copy_by(part, beside, target, owner)
        elif error.errno in _NO_HARD_LINKS:
            return _rename_new(part, parts, target, folder, owner)
        else:
            raise
    return None


def _sync(root: str, relative: str) -> None:
    """Sync a folder. One that has gone needs no sync: the names in it went with it."""
    with contextlib.suppress(FileNotFoundError), open_folder(root, relative) as folder:
        sync_folder(folder)


def _rename_new(source: Place, from_folder: int, target: Place, to_folder: int, owner: str | None) -> Place | None:
    """Rename without replacing. Returns the note of the placeholder, where that took one; without `owner` none does."""
    names = (from_folder, os.fsencode(source.base), to_folder, os.fsencode(target.base))
    if _renameat2 is None:
        number = errno.ENOSYS
    elif _renameat2(*names, _RENAME_NOREPLACE) == 0:
        return None
    else:
        number = ctypes.get_errno()
    # The kernel sees that the name is taken before the file system can say that it does not know the flag.
    is_held = number == errno.EEXIST and owner is not None and placeholders.is_held(target, to_folder, owner)
    if number not in _NO_SUCH_FLAG and not is_held:
        raise OSError(number, os.strerror(number), source.base, None, target.base)
    if owner is not None:
        return _rename_over(source, from_folder, target, to_folder, owner)
    if placeholders.size_in(to_folder, target.base) is not None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target.path)
    os.rename(source.base, target.base, src_dir_fd=from_folder, dst_dir_fd=to_folder)
    return None


def _rename_over(source: Place, from_folder: int, target: Place, to_folder: int, owner: str) -> Place | None:
    """Take the name with an exclusive placeholder, then rename over it; return the placeholder's note."""
    status = os.stat(source.base, dir_fd=from_folder, follow_symlinks=False)  # raises before a placeholder is made
    is_replaceable = not stat.S_ISDIR(status.st_mode)  # a folder replaces nothing but an empty folder
    with _turns[target.root]:
        note = placeholders.hold(target, to_folder, owner) if is_replaceable else None
        try:
            os.rename(source.base, target.base, src_dir_fd=from_folder, dst_dir_fd=to_folder)
        except OSError as error:
            if error.errno in _REFUSALS:
                with contextlib.suppress(OSError, FolderFault):  # the first fault is the one to tell
                    placeholders.let_go(target, owner)
            raise
        if note is not None and status.st_size == 0:  # what came must not be taken for its placeholder
            remove(note, durable=False)
            return None
    return note


def _is_same_file(one_folder: int, one: str, other_folder: int, other: str) -> bool:
    """Are they two names of one file? Raises FileNotFoundError when the first is not there (any more)."""
    first = os.stat(one, dir_fd=one_folder, follow_symlinks=False)
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(first, os.stat(other, dir_fd=other_folder, follow_symlinks=False)):
            return True
    _ask_for(one_folder, one)
    return False


def _ask_for(folder: int, name: str) -> None:
    """Raise FileNotFoundError when nothing lies there. A file is opened, so that its share is asked.

    Our kernel can think for a while that a share has what a process before us moved away from there (SMB). Any other
    answer says that it is there: SMB refuses to open a file by its second name while it is open by the first.
    """
    if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        return
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError:
        return
    os.close(descriptor)


def _copy_over(source: Place, from_folder: int, target: Place, to_folder: int, owner: str) -> None:
    """Copy to another file system, compare, publish, and only then unlink the source if it is still the same."""
    before = os.stat(source.base, dir_fd=from_folder, follow_symlinks=False)
    is_there = placeholders.size_in(to_folder, target.base) is not None
    if is_there and not placeholders.is_held(target, to_folder, owner):
        if not _holds_same_bytes(source, target, before.st_size):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target.path)
        sync_folder(to_folder)  # the crash may have come before that
    else:
        copy(source, target, owner=owner)
    after = os.stat(source.base, dir_fd=from_folder, follow_symlinks=False)
    if (before.st_ino, before.st_size, before.st_mtime_ns) != (after.st_ino, after.st_size, after.st_mtime_ns):
        raise FolderFault.at(source.path, "it changed while it was moved", code="EAGAIN")
    os.unlink(source.base, dir_fd=from_folder)


def copy(source: Place, target: Place, *, owner: str) -> None:
    """Copy a file, which is only read; `target` gets its name when it is whole and durable.

    Raises FileExistsError when a file holds that name, FileNotFoundError, NotRegular, FolderFault.
    """
    _copy_by(source, hidden_part(target.root, owner), target, owner)


def _copy_by(source: Place, part: Place, target: Place, owner: str) -> None:
    """Copy into the hidden `part`, compare, and give that its name."""
    with translated(target.path):
        try:
            _copy(source, part)
            _require_same(source, part)
            publish_new(part, target, owner=owner)
        except BaseException:
            remove(part, durable=False)
            raise


def _require_same(source: Place, part: Place) -> None:
    if hash_of(part) != hash_of(source):
        raise FolderFault.at(part.path, "the copy differs from its original", code="EIO")


def _holds_same_bytes(source: Place, target: Place, size: int) -> bool:
    """Is the target a copy that an earlier, interrupted move had finished?"""
    try:
        with os.fdopen(open_regular(target), "rb") as file:
            if os.fstat(file.fileno()).st_size != size:
                return False
            os.fsync(file.fileno())  # a crash may have come before its fsync, and the source is removed next
    except (Closed, NotRegular):  # somebody else's
        return False
    return hash_of(source) == hash_of(target)


def _copy(source: Place, part: Place) -> None:
    with os.fdopen(open_regular(source), "rb") as reader, os.fdopen(create_new(part), "wb") as writer:
        for block in bytes_of(reader, source):
            writer.write(block)
        writer.flush()
        status = os.fstat(reader.fileno())
        with contextlib.suppress(OSError):  # a file system without attributes
            for name in os.listxattr(reader.fileno()):
                with contextlib.suppress(OSError):  # the other one may not know them: kept where possible
                    os.setxattr(writer.fileno(), name, os.getxattr(reader.fileno(), name))
        set_times(writer.fileno(), status.st_atime_ns, status.st_mtime_ns)
        os.fsync(writer.fileno())
