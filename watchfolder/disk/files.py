"""One file below a root: make it, open it, read it, remove it."""

import contextlib
import errno
import fcntl
import hashlib
import os
import signal
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO

from watchfolder.disk.places import (
    HELD,
    NOT_PLAIN,
    NOT_SUPPORTED,
    Closed,
    Held,
    NotAFolder,
    NotRegular,
    Place,
    folder_of,
    new_name,
    open_folder,
    share_group,
    sync_folder,
    translated,
)
from watchfolder.disk.timeouts import answered
from watchfolder.errors import FolderFault

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_BLOCK_BYTES = 1 << 20
_NO_PLAIN_FILE = frozenset({"ELOOP", "ENXIO", "EISDIR"})  # the kernel's answers to opening a link, a socket, a folder
_NO_SUCH_TIME = {errno.EINVAL, errno.EOVERFLOW, errno.EPERM, errno.EACCES} | NOT_SUPPORTED


def create_new(place: Place) -> int:
    """Create the file, which must not exist, and give a descriptor to write to; missing folders are made."""
    with folder_of(place, create=True) as parent:
        return create_in(parent, place.base)


def create_in(parent: int, base: str, mode: int = 0o666) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with new_name(parent, base):
        descriptor = os.open(base, flags, mode, dir_fd=parent)
    share_group(descriptor, parent)
    return descriptor


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte: a short write is real (a signal, a nearly full disk)."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextlib.contextmanager
def new_file(place: Place, mtime_ns: int | None = None) -> Iterator[Callable[[bytes], None]]:
    """Give a function that appends to a new file; when the block ends, file and name are synced.

    The file gets `mtime_ns` (since the epoch) as its modification time where the file system can hold it; None: now.
    The caller removes the file when the block raised.
    """
    descriptor = create_new(place)
    try:

        def write(block: bytes) -> None:
            with translated(place.path):  # here: the caller may take an OSError for one of the network
                write_all(descriptor, block)

        yield write
        with translated(place.path):
            if mtime_ns is not None:
                set_times(descriptor, mtime_ns, mtime_ns)
            os.fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):  # the first fault is the one to tell
            os.close(descriptor)
        raise
    with translated(place.path):  # a share may tell of a failed write only now
        os.close(descriptor)
    with folder_of(place) as folder:
        sync_folder(folder)


def set_times(descriptor: int, atime_ns: int, mtime_ns: int) -> None:
    """Give a file these times, as nearly as its file system can hold them; if it cannot, the file keeps its own.

    Raises OSError for a disk that fails.
    """
    try:
        os.utime(descriptor, ns=(atime_ns, mtime_ns))
    except OverflowError:
        return
    except OSError as error:
        if error.errno not in _NO_SUCH_TIME:
            raise


def open_regular(place: Place) -> int:
    """Open a plain file for reading; whatever is done afterwards is done with the descriptor.

    Raises FileNotFoundError, NotRegular, Held, Closed, FolderFault.
    """
    with open_folder(place.root, place.folder) as parent:
        return open_regular_in(parent, place)


def open_regular_in(parent: int, place: Place, flags: int = _FILE) -> int:
    """Open the plain file in its folder, which is open, with flags that neither wait nor follow a link."""
    try:
        with translated(place.path):
            descriptor = os.open(place.base, flags, dir_fd=parent)
    except FolderFault as fault:
        if fault.code in _NO_PLAIN_FILE:
            raise NotRegular.at(place.path, NOT_PLAIN, code=fault.code) from fault
        if fault.is_held:
            raise Held.at(place.path, HELD, code=fault.code) from fault
        if fault.is_closed:
            raise Closed(fault.reason, code=fault.code, path=fault.path) from fault
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegular.at(place.path, NOT_PLAIN, code="EINVAL")
    return descriptor


def stat_of(place: Place) -> os.stat_result | None:
    """Return what lies there (a link itself, not its target), or None."""
    with contextlib.suppress(FileNotFoundError), folder_of(place) as parent:
        return os.stat(place.base, dir_fd=parent, follow_symlinks=False)
    return None


def is_regular(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode)


def read_bytes(place: Place, limit: int) -> bytes:
    """Return a small file's content; FolderFault when it is longer than `limit` bytes.

    An empty file needs no right to read: NFS 3 and 4.0 create it in two steps, and a crash in between leaves it none.
    """
    try:
        descriptor = open_regular(place)
    except Closed:
        found = stat_of(place)
        if found is not None and found.st_size == 0:
            return b""
        raise
    with os.fdopen(descriptor, "rb") as file, translated(place.path):
        content = file.read(limit + 1)
    if len(content) > limit:
        raise FolderFault.at(place.path, f"longer than {limit} bytes", code="EFBIG")
    return content


@contextlib.contextmanager
def open_to_read(place: Place) -> Iterator[Callable[[int, int], bytes]]:
    """Give a function (offset, length) that reads from the file, as `images` wants it."""
    descriptor = open_regular(place)
    try:
        with translated(place.path):
            yield lambda offset, length: os.pread(descriptor, length, offset)
    finally:
        os.close(descriptor)


def bytes_of(file: BinaryIO, place: Place) -> Iterator[bytes]:
    """Read an open file to its end. Raises FolderFault of `place`, wherever the bytes go."""
    with translated(place.path):
        while block := file.read(_BLOCK_BYTES):
            answered()
            yield block


def hash_of(place: Place) -> str:
    """Return the SHA-256 of the file's bytes, in hexadecimal.

    Raises as `open_regular` does, and FolderFault when fewer bytes come than the file has: a share that has just come
    back can do so.
    """
    digest, size = hashlib.sha256(), 0
    with os.fdopen(open_regular(place), "rb") as file, translated(place.path):
        for block in bytes_of(file, place):
            digest.update(block)
            size += len(block)
        if size < os.fstat(file.fileno()).st_size:
            raise FolderFault.at(place.path, "not all of it could be read", code="EAGAIN")
    return digest.hexdigest()


def holds(place: Place, size: int | None, sha256: str | None) -> bool:
    """Does this very content lie there already?"""
    with contextlib.suppress(FileNotFoundError, NotAFolder, NotRegular):
        found = stat_of(place)
        return found is not None and found.st_size == size and hash_of(place) == sha256
    return False


def is_ours(place: Place, size: int | None, sha256: str | None) -> bool:
    """Does this very content have that name already? A file that we may not read is taken for somebody else's."""
    with contextlib.suppress(Closed):
        return holds(place, size, sha256)
    return False


def has_writer(descriptor: int) -> bool | None:
    """Is anybody writing this file? None where the kernel cannot tell us (network share, not the owner).

    A read lease is granted only when nobody has the file open for writing. It is given back at once; the SIGIO that
    a new writer could cause in between would end the process, so the main thread ignores it (`daemon`).
    """
    if signal.getsignal(signal.SIGIO) is signal.SIG_DFL:
        return None
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def may_be_open(place: Place) -> bool:
    """Is somebody writing the file, as far as the kernel can tell us, or holding it, or has it just gone?"""
    try:
        descriptor = open_regular(place)
    except (FileNotFoundError, Held, NotRegular):
        return True
    try:
        return has_writer(descriptor) is True
    finally:
        os.close(descriptor)


def remove(place: Place, *, durable: bool = True) -> None:
    """Unlink the file, if it is there, and sync its folder."""
    with contextlib.suppress(FileNotFoundError), folder_of(place) as folder:
        os.unlink(place.base, dir_fd=folder)
        if durable:
            sync_folder(folder)
