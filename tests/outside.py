"""A folder of pictures beside the inbox that nobody may touch: the kernel notes every look into it."""

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contents import sha256

from watchfolder.sandbox.pictures import sample

NAMES = ("secret.jpg", "sub.jpg/secret.jpg", "a.jpg", "0.jpg")
_ALL_EVENTS = 0xFFF
_NON_BLOCKING = 0o4000
_EVENT = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Outside:
    """Whole pictures that everybody may read and move: nothing but our care keeps them from being sent."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Outside":
        for seed, name in enumerate(NAMES):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(sample("jpeg", width=80, height=60, seed=1000 + seed))
            path.chmod(0o666)
        for each in (folder, folder / "sub.jpg"):
            each.chmod(0o777)
        return cls(folder)

    def digests(self) -> set[str]:
        return {sha256((self.folder / name).read_bytes()) for name in NAMES}

    @contextlib.contextmanager
    def untouched(self) -> Iterator[None]:
        """Demand that nobody opens, reads, lists, moves or changes anything there meanwhile."""
        descriptor = _libc.inotify_init1(_NON_BLOCKING)
        assert descriptor >= 0
        try:
            for folder in (self.folder, self.folder / "sub.jpg"):
                assert _libc.inotify_add_watch(descriptor, os.fsencode(folder), _ALL_EVENTS) >= 0
            yield
            touched = list(_events(descriptor))
            assert touched == [], touched
        finally:
            os.close(descriptor)


def _events(descriptor: int) -> Iterator[tuple[str, str]]:
    with contextlib.suppress(BlockingIOError):
        data = os.read(descriptor, 1 << 16)
        while data:
            _, mask, _, length = _EVENT.unpack_from(data)
            name = data[_EVENT.size : _EVENT.size + length].rstrip(b"\0")
            yield os.fsdecode(name), hex(mask)
            data = data[_EVENT.size + length :]
