"""Where things are: places below a root, reached without following a link."""

import contextlib
import errno
import os
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from watchfolder.disk.timeouts import answered
from watchfolder.errors import FolderFault

HIDDEN = ".watchfolder"
_ANYBODY = 0o777  # less the umask
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LIFE = secrets.token_hex(3)  # of this process
_MOST_KEPT = 32  # folders that are open at once
_kept = threading.local()
_ANSWERS = (FileNotFoundError, FileExistsError)
NOT_SUPPORTED = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, 524})  # the last is the kernel's own; NFS hands it on
READ_ONLY = "it is read-only"
HELD = "another program holds it"
NOT_PLAIN = "it is no plain file (a link, a pipe or a device)"
_UNFIT = "this file system cannot hold such a name"
_PLAIN_WORDS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: READ_ONLY,
    errno.EIO: "the disk reports errors",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOTCONN: "the share does not answer",
    errno.ESTALE: "the share does not answer",
    errno.EHOSTDOWN: "the share does not answer",
    errno.EAGAIN: "the share does not answer",  # SMB's answer for a share that its server no longer has
    errno.ETIMEDOUT: "the share does not answer",
    errno.ENAMETOOLONG: "its name is too long",
}


class NotRegular(FolderFault):
    """A link, FIFO, socket, device or folder stands where a plain file was expected."""


class Held(FolderFault):
    """Another program keeps a file from being opened for now. A share that has gone may answer the same (SMB)."""


class Closed(FolderFault):
    """A file that we may not read: only its owner or root can change that."""


class NotAFolder(FolderFault):
    """A file or a link stands below a root where a folder was expected: the root itself is well."""


class UnfitName(FolderFault):
    """The file system there cannot hold this name (exFAT and a colon, some and bytes that are no UTF-8)."""


@dataclass(frozen=True, slots=True)
class Place:
    """A name below a root folder. The root is configured and trusted; what is below it is not."""

    root: str
    name: str

    @property
    def folder(self) -> str:
        return os.path.dirname(self.name)

    @property
    def base(self) -> str:
        return os.path.basename(self.name)

    @property
    def path(self) -> str:
        return os.path.join(self.root, self.name)

    def beside(self, base: str) -> "Place":
        return Place(self.root, os.path.join(self.folder, base))

    def under(self, name: str) -> "Place":
        return Place(self.root, f"{self.name}/{name}")


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn an OSError into FolderFault, in plain words, unless it is an answer."""
    try:
        yield
    except _ANSWERS:
        raise
    except OSError as error:
        if error.errno == errno.EILSEQ:
            raise UnfitName.at(path, _UNFIT, code="EILSEQ") from error
        words = _PLAIN_WORDS.get(error.errno or 0, os.strerror(error.errno or 0))
        raise FolderFault.at(path, words, code=errno.errorcode.get(error.errno or 0, "EUNKNOWN")) from error
    finally:
        answered()


@contextlib.contextmanager
def new_name(parent: int, name: str) -> Iterator[None]:
    """Raise UnfitName where the name itself is refused: file systems answer EINVAL or EILSEQ, exfat-fuse ENOENT."""
    try:
        yield
    except OSError as error:
        is_lost = error.errno == errno.ENOENT and os.fstat(parent).st_nlink > 0  # else its folder has vanished
        if is_lost or error.errno in {errno.EINVAL, errno.EILSEQ}:
            raise UnfitName.at(name, _UNFIT, code=errno.errorcode[error.errno or 0]) from error
        raise


@contextlib.contextmanager
def folders_kept_open() -> Iterator[None]:
    """Open each folder once for all the calls that this thread makes in the block.

    For many files in a row: a folder stays the one that was reached without a link, whatever changes meanwhile.
    """
    if getattr(_kept, "folders", None) is not None:
        yield
        return
    _kept.folders = {}
    try:
        yield
    finally:
        folders, _kept.folders = _kept.folders, None
        for descriptor in folders.values():
            os.close(descriptor)


@contextlib.contextmanager
def open_folder(root: str, relative: str = "", *, create: bool = False, path: str = "") -> Iterator[int]:
    """Open `relative` below `root`, one folder after the other, never through a link; give its descriptor.

    With `create`, missing folders are made (0777 less the umask, the parent's group) and synced.
    Raises FileNotFoundError when something below root is missing; FolderFault when root itself is; NotAFolder when a
    link or a file is in the way. An OSError in the block is `translated` as a fault of the folder, or of `path`.
    """
    path = path or os.path.join(root, relative)
    kept: dict[tuple[str, str], int] | None = getattr(_kept, "folders", None)
    if kept is None:
        descriptor = _open_under(root, relative, create=create)
        try:
            with translated(path):
                yield descriptor
        finally:
            os.close(descriptor)
    else:
        descriptor = kept.pop((root, relative), -1)
        if descriptor < 0:
            descriptor = _open_under(root, relative, create=create)
        if len(kept) >= _MOST_KEPT:  # the one that has not been used for longest: no block holds so many
            os.close(kept.pop(next(iter(kept))))
        kept[root, relative] = descriptor
        with translated(path):
            yield descriptor


def folder_of(place: Place, *, create: bool = False) -> contextlib.AbstractContextManager[int]:
    """Open the folder of a place as `open_folder` does; an OSError in the block becomes a fault of the place."""
    return open_folder(place.root, place.folder, create=create, path=place.path)


def _open_under(root: str, relative: str, *, create: bool) -> int:
    try:
        with translated(root):
            descriptor = os.open(root, _FOLDER)
    except FileNotFoundError as error:
        raise FolderFault.at(root, "the folder is not there", code="ENOENT") from error
    path = os.path.join(root, relative)
    with translated(path):
        try:
            for part in filter(None, relative.split("/")):
                below = _open_next(descriptor, part, create=create)
                os.close(descriptor)
                descriptor = below
        except OSError as error:
            os.close(descriptor)
            if error.errno in {errno.ENOTDIR, errno.ELOOP}:
                code = errno.errorcode[error.errno]
                raise NotAFolder.at(path, "a file or a link is in the way of a folder", code=code) from error
            raise
    return descriptor


def _open_next(parent: int, part: str, *, create: bool) -> int:
    if part == "..":  # no name of anything below
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), part)
    try:
        return os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    except FileNotFoundError:
        if not create:
            raise
    with contextlib.suppress(FileExistsError), new_name(parent, part):  # somebody else made it meanwhile: as good
        os.mkdir(part, _ANYBODY, dir_fd=parent)
    descriptor = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    share_group(descriptor, parent)
    sync_folder(parent)
    return descriptor


def make_folder(root: str, relative: str, mode: int = _ANYBODY) -> None:
    """Make the folder and those above it, durably; the last one gets `mode`, less the umask."""
    with open_folder(root, relative, create=True) as descriptor:
        if mode != _ANYBODY:
            os.fchmod(descriptor, mode)


def share_group(descriptor: int, parent: int) -> None:
    """Give a new file the group of its folder, so that the people of the share can open and move it."""
    group = os.fstat(parent).st_gid
    if os.fstat(descriptor).st_gid != group:
        with contextlib.suppress(OSError):  # not a member, or no groups there: the umask alone decides
            os.fchown(descriptor, -1, group)


def sync_folder(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync folders
            raise


def hidden_name(owner: str = "state", name: str = "") -> str:
    """Return a hidden name, short enough for any file system, that tells its owner and the process that made it.

    Without `name` it is a fresh one.
    """
    return f".wf-{owner[:8]}-{_LIFE}-{name or secrets.token_hex(4)}.tmp"


def is_left_over(base: str, owner: str) -> bool:
    """Is this a temporary file of an earlier process of `owner` ("": of anybody)? Those of this one may be in use."""
    is_temporary = base.startswith(f".wf-{owner[:8]}") and base.endswith(".tmp")
    return is_temporary and f"-{_LIFE}-" not in base


def hidden_part(root: str, owner: str) -> Place:
    """Return a fresh temporary place in the one hidden folder of `root`, so that leftovers are found in one look."""
    return Place(root, f"{HIDDEN}/{hidden_name(owner)}")
