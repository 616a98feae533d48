"""Moving and publishing a person's file: never onto another one, never by halves."""

import contextlib
import ctypes
import errno
import os
import shutil
import stat

from watchfolder.disk.places import (
    NotAFolder,
    NotRegular,
    Place,
    create_in,
    create_new,
    hidden_part,
    is_folder,
    open_folder,
    open_regular,
    open_unheld,
    sha256_of,
    stat_of,
    sync_folder,
    translated,
)
from watchfolder.errors import FolderFault

_RENAME_NOREPLACE = 1
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # an older libc has none
_NO_SUCH_FLAG = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EINVAL}
_PLACEHOLDER = b"watchfolder is putting a file here\n"
_PRIVATE = 0o600


class Together:
    """Lets many files share their syncs: nothing done with it is durable, nor to be acted on, before `sync`.

    Sources are synced before targets, and a published part goes only when its final name is durable.
    """

    def __init__(self) -> None:
        self._sources: dict[tuple[str, str], None] = {}
        self._targets: dict[tuple[str, str], None] = {}
        self._parts: list[Place] = []

    def moved(self, source: Place, target: Place) -> None:
        self._sources[source.root, source.folder] = None
        self._targets[target.root, target.folder] = None

    def published(self, part: Place, target: Place) -> None:
        self._parts.append(part)
        self._targets[target.root, target.folder] = None

    def removed(self, place: Place) -> None:
        self._sources[place.root, place.folder] = None

    def sync(self) -> None:
        """Make it all durable. Raises FolderFault."""
        for root, folder in [*self._sources, *self._targets]:
            _sync(root, folder)
        for part in self._parts:
            _unlink(part)
        for root, folder in dict.fromkeys((part.root, part.folder) for part in self._parts):
            _sync(root, folder)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte: a short write is real (a signal, a nearly full disk)."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def move(source: Place, target: Place, *, owner: str, together: Together | None = None) -> None:
    """Move a file without replacing another; repeating a move that had happened, wholly or by half, is fine.

    `owner` signs the temporary copy when the move crosses file systems. The target's name must have been journalled
    before: on file systems without RENAME_NOREPLACE, and between file systems, a crash can leave a placeholder or a
    whole copy under it. Raises FileExistsError when another file holds the name, FileNotFoundError when there is
    nothing at either place, FolderFault.
    """
    try:
        with (
            open_folder(source.root, source.folder) as from_folder,
            open_folder(target.root, target.folder, create=True) as to_folder,
            translated(target.path),
        ):
            try:
                _rename_new(from_folder, source.base, to_folder, target.base)
            except FileExistsError:
                if not _is_same_file(from_folder, source.base, to_folder, target.base):
                    raise
                os.unlink(source.base, dir_fd=from_folder)  # a power cut had kept both names (btrfs)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                _copy_across(source, from_folder, target, to_folder, owner)
            if together is not None:
                together.moved(source, target)
                return
            sync_folder(from_folder)
            sync_folder(to_folder)
    except FileNotFoundError:
        _require_moved(source, target)


def _require_moved(source: Place, target: Place) -> None:
    """Was it moved before? What is still there must not be called missing, only because a folder went away."""
    _require_gone(source)
    _drop_placeholder(target)
    if stat_of(target) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source.path)
    for place in (source, target):
        with (
            contextlib.suppress(FileNotFoundError),
            open_folder(place.root, place.folder) as folder,
            translated(place.path),
        ):
            sync_folder(folder)


def _drop_placeholder(place: Place) -> None:
    """Take away a name that was held for what never came."""
    with contextlib.suppress(FileNotFoundError), open_folder(place.root, place.folder) as folder:
        if _is_placeholder(folder, place.base):
            with translated(place.path):
                os.unlink(place.base, dir_fd=folder)


def _require_gone(source: Place) -> None:
    try:
        is_there = stat_of(source) is not None
    except NotAFolder:
        return
    if is_there:
        raise FolderFault(f"{source.path}: the folder that it goes to has just vanished", code="EAGAIN")


def publish_new(part: Place, target: Place, together: Together | None = None) -> None:
    """Give the finished, synced file `part` its final name on the same file system; then its temporary name goes.

    Raises FileExistsError when another file holds the name, FileNotFoundError when `part` is gone.
    """
    try:
        with (
            open_folder(part.root, part.folder) as parts,
            open_folder(target.root, target.folder, create=True) as folder,
            translated(target.path),
        ):
            _name(part, parts, target, folder)
            if together is not None:
                together.published(part, target)
                return
            sync_folder(folder)
            with contextlib.suppress(FileNotFoundError):  # renamed, not linked
                os.unlink(part.base, dir_fd=parts)
            sync_folder(parts)
    except FileNotFoundError:
        _require_gone(part)
        raise


def _name(part: Place, parts: int, target: Place, folder: int) -> None:
    try:
        os.link(part.base, target.base, src_dir_fd=parts, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        if _is_placeholder(folder, target.base):
            os.rename(part.base, target.base, src_dir_fd=parts, dst_dir_fd=folder)
        elif not _is_same_file(parts, part.base, folder, target.base):
            raise
    except OSError as error:
        if error.errno == errno.EXDEV:  # something else is mounted at the sub-folder
            _copy_beside(part, target)
        elif error.errno in _NO_HARD_LINKS:
            _rename_over_placeholder(parts, part.base, folder, target.base)
        else:
            raise


def _copy_beside(part: Place, target: Place) -> None:
    copy = target.beside(part.base)
    _unlink(copy)  # an earlier try's
    try:
        _copy(part, copy)
        _compare(part, copy)
        publish_new(copy, target)
    except BaseException:
        _unlink(copy)
        raise


def _unlink(place: Place) -> None:
    with (
        contextlib.suppress(FileNotFoundError),
        open_folder(place.root, place.folder) as folder,
        translated(place.path),
    ):
        os.unlink(place.base, dir_fd=folder)


def _sync(root: str, relative: str) -> None:
    """Sync a folder; one that is gone took the names in it along, and its own folder tells of that."""
    with (
        contextlib.suppress(FileNotFoundError),
        open_folder(root, relative) as folder,
        translated(os.path.join(root, relative)),
    ):
        sync_folder(folder)


def _rename_new(from_folder: int, source: str, to_folder: int, target: str) -> None:
    if _renameat2 is None:
        number = errno.ENOSYS
    elif _renameat2(from_folder, os.fsencode(source), to_folder, os.fsencode(target), _RENAME_NOREPLACE) == 0:
        return
    else:
        number = ctypes.get_errno()
    if number in _NO_SUCH_FLAG:
        _rename_over_placeholder(from_folder, source, to_folder, target)
    else:
        raise OSError(number, os.strerror(number), source, None, target)


def _rename_over_placeholder(from_folder: int, source: str, to_folder: int, target: str) -> None:
    """Take the name with an exclusive placeholder, then rename over it. A leftover placeholder of ours is taken on."""
    status = os.stat(source, dir_fd=from_folder, follow_symlinks=False)  # no placeholder for nothing
    if not is_folder(status):  # a folder replaces nothing but an empty folder
        _hold_name(to_folder, target)
    try:
        os.rename(source, target, src_dir_fd=from_folder, dst_dir_fd=to_folder)
    except OSError:
        if _is_placeholder(to_folder, target):  # nobody shall take it for a picture
            os.unlink(target, dir_fd=to_folder)
        raise


def _hold_name(folder: int, name: str) -> None:
    try:
        descriptor = create_in(folder, name, _PRIVATE)
    except FileExistsError:
        if not _is_placeholder(folder, name):
            raise
        return
    try:
        write_all(descriptor, _PLACEHOLDER)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_placeholder(folder: int, name: str) -> bool:
    """Is this a placeholder of ours? One that was cut short counts: part of its words, or nothing but its rights."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=folder)
    except OSError:
        return False
    try:
        words = os.read(descriptor, len(_PLACEHOLDER) + 1).rstrip(b"\0")  # a power cut can leave the length alone
        return _PLACEHOLDER.startswith(words) and (bool(words) or _is_private(descriptor))
    finally:
        os.close(descriptor)


def _is_private(descriptor: int) -> bool:
    status = os.fstat(descriptor)
    return (status.st_uid, stat.S_IMODE(status.st_mode)) == (os.geteuid(), _PRIVATE)


def _is_same_file(one_folder: int, one: str, other_folder: int, other: str) -> bool:
    try:
        first = os.stat(one, dir_fd=one_folder, follow_symlinks=False)
        second = os.stat(other, dir_fd=other_folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(first, second)


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _copy_across(source: Place, from_folder: int, target: Place, to_folder: int, owner: str) -> None:
    """Copy to another file system, compare, publish, and only then unlink the source if it is still the same."""
    before = os.stat(source.base, dir_fd=from_folder, follow_symlinks=False)
    if _exists(to_folder, target.base) and not _is_placeholder(to_folder, target.base):
        if not _holds_same_bytes(source, target, before.st_size):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target.path)
    else:
        part = hidden_part(target.root, owner)
        try:
            _copy(source, part)
            _compare(source, part)
            publish_new(part, target)
        except BaseException:
            _unlink(part)
            raise
    after = os.stat(source.base, dir_fd=from_folder, follow_symlinks=False)
    if (before.st_ino, before.st_size, before.st_mtime_ns) != (after.st_ino, after.st_size, after.st_mtime_ns):
        raise FolderFault(f"{source.path}: it changed while it was moved", code="EAGAIN")
    os.unlink(source.base, dir_fd=from_folder)


def _compare(source: Place, part: Place) -> None:
    if sha256_of(part) != sha256_of(source):
        raise FolderFault(f"{part.path}: the copy differs from its original", code="EIO")


def _holds_same_bytes(source: Place, target: Place, size: int) -> bool:
    """Is the target a copy that an earlier, interrupted move had finished?"""
    try:
        with os.fdopen(open_regular(target), "rb") as file:
            if os.fstat(file.fileno()).st_size != size:
                return False
            os.fsync(file.fileno())  # whoever wrote it: the other one goes
    except (NotRegular, BlockingIOError):
        return False
    return sha256_of(source) == sha256_of(target)


def _copy(source: Place, part: Place) -> None:
    with os.fdopen(open_unheld(source), "rb") as reader, os.fdopen(create_new(part), "wb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        status = os.fstat(reader.fileno())
        for name in _attributes(reader.fileno()):
            with contextlib.suppress(OSError):  # the other file system may not know them: kept where possible
                os.setxattr(writer.fileno(), name, os.getxattr(reader.fileno(), name))
        set_times(writer.fileno(), status.st_atime_ns, status.st_mtime_ns)
        os.fsync(writer.fileno())


def set_times(descriptor: int, atime_ns: int, mtime_ns: int) -> None:
    """Give a file these times, as nearly as its file system can hold them; where it can not, it keeps its own."""
    with contextlib.suppress(OSError, OverflowError):
        os.utime(descriptor, ns=(atime_ns, mtime_ns))


def _attributes(descriptor: int) -> list[str]:
    try:
        return os.listxattr(descriptor)
    except OSError:
        return []
