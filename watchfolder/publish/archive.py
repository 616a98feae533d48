"""The ZIP in which the service may return all results of an order: hostile input, whose paths are never used."""

import contextlib
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from itertools import chain

from typing_extensions import override

from watchfolder import disk, names
from watchfolder.disk import Place
from watchfolder.errors import OrderRetry
from watchfolder.images import EXTENSIONS
from watchfolder.publish.results import RESULT_LIMIT_BYTES, Fetch

_BLOCK_BYTES = 1 << 18
_LONGEST_READ = 1 << 19  # bytes at once; zipfile reads the whole central directory so
_CODINGS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})  # others let the archive say how much memory they take
_ENDINGS = frozenset(chain.from_iterable(EXTENSIONS.values()))
_FOREIGN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError)
"""What `zipfile` raises for what it cannot read, such as an encrypted entry."""


class Archive:
    """The results of one order, each found by the name that its picture was sent by. A hidden file until `remove`."""

    def __init__(self, part: Place) -> None:
        self._part = part

    @classmethod
    def receive(cls, part: Place, fetch: Fetch) -> "Archive":
        """Download the archive into `part`, which the caller removes when that fails."""
        with disk.new_file(part) as sink:
            fetch(sink)
        return cls(part)

    def copy(self, sent_name: str, sink: Callable[[bytes], object]) -> int:
        """Copy one result into `sink` and return its length.

        Raises OrderRetry when it is not there or the archive is unreadable; FileNotFoundError when that is gone.
        """
        received = 0
        with self._opened() as archive:
            entry = _entry_of(archive, sent_name)
            with archive.open(name=entry) as file:
                while block := file.read(_BLOCK_BYTES):
                    received += len(block)
                    if received > RESULT_LIMIT_BYTES:
                        raise OrderRetry("a result in the archive is too long", code="FILE_TOO_LONG")
                    sink(block)
        return received

    def remove(self) -> None:
        disk.remove(self._part, durable=False)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        with io.FileIO(disk.open_regular(self._part)) as file, disk.translated(self._part.path):
            try:
                with _Bounded(file) as bounded, zipfile.ZipFile(bounded) as archive:
                    yield archive
            except _FOREIGN as error:
                kind = type(error).__name__  # its text may quote what the archive holds
                raise OrderRetry(f"the service's archive of the results cannot be read ({kind})", code=kind) from None


class _Bounded(io.BufferedReader):
    """A file that refuses long reads and seeks beyond its ends: the archive itself says how much is read, and where."""

    @override
    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            size = self._size() - self.tell()
        if size > _LONGEST_READ:
            raise zipfile.BadZipFile
        return super().read(size)

    @override
    def seek(self, target: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size()}[whence]
        if not 0 <= begin + target <= self._size():
            raise zipfile.BadZipFile
        return super().seek(begin + target)

    def _size(self) -> int:
        return os.fstat(self.fileno()).st_size


def _entry_of(archive: zipfile.ZipFile, sent_name: str) -> zipfile.ZipInfo:
    """Find the one entry with the picture's name, in any folder; its extension is that of the result's own format."""
    stem = names.split(sent_name)[0]
    found = [entry for entry in archive.infolist() if _is_named(entry, stem)]
    if len(found) != 1:
        raise OrderRetry("the archive of the results names none, or several, for a file", code="NO_RESULT")
    if found[0].compress_type not in _CODINGS:
        raise OrderRetry("the archive of the results is packed in a way that is not read", code="NO_RESULT")
    return found[0]


def _is_named(entry: zipfile.ZipInfo, stem: str) -> bool:
    base, ending = names.split(entry.filename.replace("\\", "/").rpartition("/")[2])
    return base == stem and ending.lower() in _ENDINGS
