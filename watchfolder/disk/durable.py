"""Writing that survives a power cut: replace, append, remove."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Collection, Iterator, Sequence

from watchfolder.disk import placeholders
from watchfolder.disk.files import create_in, new_file, open_regular_in, remove, set_times, write_all
from watchfolder.disk.moves import publish_new
from watchfolder.disk.places import (
    Place,
    folder_of,
    hidden_name,
    hidden_part,
    is_left_over,
    open_folder,
    sync_folder,
)
from watchfolder.errors import FolderFault

_APPENDING = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_TRIES = 3  # to replace a file whose temporary one is removed


def write_atomically(
    place: Place,
    data: bytes,
    *,
    mode: int = 0o666,
    durable: bool = True,
    owner: str = "state",
    mtime_ns: int | None = None,
) -> None:
    """Replace or create the file in one step: its readers see the old content or the new one, whole.

    `owner` signs the temporary file beside it, for the sweep by that folder's writer. If another process (a daemon
    that starts) sweeps it away meanwhile, it is written again. `mtime_ns` is as for `new_file`.
    With durable=False a power cut may lose it (a status page); a crash of ours still may not tear it.
    """
    for _ in range(_MOST_TRIES):
        with contextlib.suppress(FileNotFoundError):
            _replace(place, data, mode, owner, mtime_ns, durable=durable)
            return
    raise _part_gone(place)


def _replace(place: Place, data: bytes, mode: int, owner: str, mtime_ns: int | None, *, durable: bool) -> None:
    """Raises FileNotFoundError when somebody has removed the temporary file."""
    with folder_of(place, create=True) as folder:
        temporary = hidden_name(owner)
        descriptor = create_in(folder, temporary, mode)
        try:
            try:
                write_all(descriptor, data)
                if mtime_ns is not None:
                    set_times(descriptor, mtime_ns, mtime_ns)
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(temporary, place.base, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):  # the first fault is the one to tell
                os.unlink(temporary, dir_fd=folder)
            raise
        if durable:
            sync_folder(folder)


def write_new(place: Place, data: bytes, *, owner: str, hidden: bool = True) -> None:
    """Create a small file on a share, whole and durable. Raises FileExistsError when the name is taken.

    Its temporary file lies in the hidden folder, or beside it.
    """
    part = hidden_part(place.root, owner) if hidden else place.beside(hidden_name(owner))
    with _write_part(part, data, place):
        publish_new(part, place, owner=owner)


def replace(place: Place, data: bytes, *, owner: str) -> None:
    """Put a small file on a share in another one's place, with its rights; its temporary file lies hidden."""
    part = hidden_part(place.root, owner)
    with _write_part(part, data, place), folder_of(part) as parts, folder_of(place) as folder:
        _keep_rights(parts, part.base, folder, place.base)
        os.rename(part.base, place.base, src_dir_fd=parts, dst_dir_fd=folder)
        sync_folder(parts)
        sync_folder(folder)


@contextlib.contextmanager
def _write_part(part: Place, data: bytes, place: Place) -> Iterator[None]:
    """Write the temporary file of `place`, for the block to name; it goes when that fails."""
    try:
        with new_file(part) as write:
            write(data)
        yield
    except FileNotFoundError as error:
        raise _part_gone(place) from error
    except BaseException:
        remove(part, durable=False)
        raise


def _keep_rights(parts: int, part: str, folder: int, base: str) -> None:
    """Give what replaces a file its rights. Where its owner cannot be kept, the group gets the owner's rights."""
    with contextlib.suppress(OSError):  # not every share has rights
        before = os.stat(base, dir_fd=folder, follow_symlinks=False)
        mode = before.st_mode & 0o777
        try:
            os.chown(part, before.st_uid, before.st_gid, dir_fd=parts, follow_symlinks=False)
        except OSError:
            mode |= (mode & stat.S_IRWXU) >> 3
        os.chmod(part, mode, dir_fd=parts)


def _part_gone(place: Place) -> FolderFault:
    reason = "another program has removed our temporary file"
    return FolderFault.at(place.path, f"it could not be written, {reason}", code="EAGAIN")


def append_line(place: Place, line: bytes, *, perhaps_there: bool = False) -> None:
    """Append one line and sync it. After a torn tail a newline comes first, so that one cut costs one line.

    With `perhaps_there`, a line that is there already is only synced: its writer may not have come so far.
    """
    with folder_of(place, create=True) as folder:
        descriptor = os.open(place.base, _APPENDING, 0o640, dir_fd=folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # what a failed append cuts off must be its own line
            _append(descriptor, folder, [line], perhaps_there=perhaps_there)
        finally:
            os.close(descriptor)


def append_to_table(place: Place, lines: Sequence[bytes], *, owner: str, perhaps_there: bool = False) -> None:
    """Append lines to a table on a share, as `append_line` does.

    No lock is held, for not every share has them: the caller sees to it that only one thread of ours appends. Raises
    FileNotFoundError when there is no table, or only its name is held (by `owner`); NotRegular when something else has
    its name, Held while another program keeps it from being opened, FolderFault.
    """
    with folder_of(place) as folder:
        if placeholders.is_held(place, folder, owner):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place.path)
        descriptor = open_regular_in(folder, place, (_APPENDING | os.O_NONBLOCK) & ~os.O_CREAT)
        try:
            _append(descriptor, folder, lines, perhaps_there=perhaps_there)
        finally:
            os.close(descriptor)


def _append(descriptor: int, folder: int, lines: Sequence[bytes], *, perhaps_there: bool) -> None:
    size = os.fstat(descriptor).st_size
    there = _lines_there(descriptor, lines) if perhaps_there else set()
    missing = [line for line in lines if line not in there]
    if not missing:
        os.fsync(descriptor)
        sync_folder(folder)
        return
    is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
    try:
        write_all(descriptor, b"\n" * is_torn + b"\n".join(missing) + b"\n")
        os.fsync(descriptor)
        if size == 0:
            sync_folder(folder)
    except OSError:
        with contextlib.suppress(OSError):  # else the next try finds a torn tail, or a line never synced
            os.ftruncate(descriptor, size)
        raise


def _lines_there(descriptor: int, lines: Sequence[bytes]) -> set[bytes]:
    """Return those that the file has; it may have a million others, and is read a line at a time."""
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return set(lines).intersection(line.rstrip(b"\r\n") for line in file)


def make_marker(place: Place) -> None:
    """Make sure that this file of ours is there, private and, if it is new, empty and not synced.

    NFS 3 and 4.0 create a file in two steps; one that a crash in between left without rights gets them now.
    """
    with folder_of(place, create=True) as folder:
        try:
            os.close(create_in(folder, place.base, 0o600))
        except FileExistsError:
            if not stat.S_IMODE(os.stat(place.base, dir_fd=folder, follow_symlinks=False).st_mode):
                os.chmod(place.base, 0o600, dir_fd=folder)


def sweep(root: str, folder: str, owner: str = "", *, keep: Collection[str] = ()) -> int:
    """Remove the temporary files that earlier processes of `owner` ("": of anybody) left in root/folder.

    Files in `keep` (paths relative to root, as in Place) are not removed. Placeholders of earlier processes are, of
    every owner, together with their notes. Returns the number of files removed.
    Temporary files of this process are left alone: another inbox may share the folder, and be writing there now. So are
    folders, which are never ours, and what somebody keeps from being removed.
    """
    try:
        with open_folder(root, folder) as descriptor, os.scandir(descriptor) as found:
            files = [item.name for item in found if not item.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return 0
    names = [name for name in files if is_left_over(name, "" if placeholders.is_note(name) else owner)]
    places = [Place(root, os.path.join(folder, name)) for name in names]
    return sum(_sweep_one(place) for place in places if place.name not in keep)


def _sweep_one(leftover: Place) -> bool:
    if placeholders.is_note(leftover.base) and not placeholders.drop_named_in(leftover):
        return False
    try:
        remove(leftover, durable=False)
    except FolderFault as fault:
        if not fault.is_kept:
            raise
        return False
    return True


def hold_lock(place: Place) -> int | None:
    """Take the lock for as long as the returned descriptor stays open; None when another process holds it.

    The kernel lets go of it when the process dies, however it dies.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with folder_of(place, create=True) as folder:
        descriptor = os.open(place.base, flags, 0o600, dir_fd=folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor


def show_beside_lock(lock: int, number: int) -> None:
    """Show other processes a number, in the kernel's list of locks: without a write, for the life of this process.

    It may only grow. A network share that knows one lock a file does not show it.
    """
    with contextlib.suppress(OSError):
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, number + 1)
