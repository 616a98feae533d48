"""Power cuts on real file systems: every block that one life writes is recorded below ext4, xfs or btrfs.

A disk of one file is served through /dev/fuse; a loop device lies on it, the file system on that. Afterwards the disk
is rebuilt as it was after each of its writes, and after the last flush with some of the later writes only (a disk with
a cache); each is mounted, which replays the file system's own journal, and a daemon is started on it.
"""

import ctypes
import errno
import fcntl
import os
import random
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from campaign import Verdict
from power_cuts import Scene, Service, judge, noted_services
from stage import Stage
from stories import Story
from typing_extensions import override
from witness import complaints

MKFS = {
    "ext4": (24, ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"]),
    "xfs": (320, ["mkfs.xfs", "-q", "-f", "-K"]),
    "btrfs": (128, ["mkfs.btrfs", "-q", "-f", "-K"]),
}
_SUBSETS = 1  # random ones, of the writes since the last flush
_libc = ctypes.CDLL(None, use_errno=True)

# The part of the FUSE protocol that one file on a loop device needs (linux/fuse.h).
_LOOKUP, _FORGET, _GETATTR, _SETATTR, _OPEN, _READ, _WRITE, _STATFS = 1, 2, 3, 4, 14, 15, 16, 17
_RELEASE, _FSYNC, _FLUSH, _INIT, _OPENDIR, _RELEASEDIR, _FSYNCDIR = 18, 20, 25, 26, 27, 29, 30
_INTERRUPT, _BATCH_FORGET = 36, 42
_TOP, _FILE = 1, 2
_HEADER = struct.Struct("<IIQQIIII")
_NEVER = 1 << 40  # seconds for which the kernel need not ask again
_FIXED = {
    _INIT: struct.pack("<IIIIHHIIHHI28x", 7, 31, 65536, (1 << 5) | (1 << 22), 16, 12, 1 << 20, 1, 256, 0, 0),  # 1 MiB
    _STATFS: struct.pack("<QQQQQIIII24x", 0, 0, 0, 0, 0, 4096, 255, 4096, 0),
    **dict.fromkeys((_OPEN, _OPENDIR), struct.pack("<QII", 1, 0, 0)),
    **dict.fromkeys((_FLUSH, _RELEASE, _RELEASEDIR), b""),
}


def why_not(name: str) -> str:
    """Return what keeps this machine from cutting the power below that file system, or an empty text."""
    if os.geteuid() != 0:
        return "only root may mount"
    if not os.path.exists("/dev/fuse") or not os.path.exists("/dev/loop-control"):
        return "/dev/fuse or loop devices are not there"
    if not shutil.which(MKFS[name][1][0]):
        return f"{MKFS[name][1][0]} is not there"
    known = Path("/proc/filesystems").read_text("ascii")
    return "" if f"\t{name}\n" in known else f"the kernel does not know {name}"


@dataclass(frozen=True)
class _Written:
    offset: int
    data: bytes


@dataclass(frozen=True)
class _Flushed:
    pass


@dataclass(frozen=True)
class _Asked:
    """So many requests were out when the next block was written."""

    requests: int


_Entry = _Written | _Flushed | _Asked


class RecordedDisk(threading.Thread):
    """A file `disk` in a FUSE mount at `where`, kept in memory; `log` is what has been done to it."""

    def __init__(self, size: int, where: Path) -> None:
        super().__init__(daemon=True)
        self.data = bytearray(size)
        self.log: list[_Entry] = []
        self.lock = threading.Lock()
        self._fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._fuse},rootmode=40000,user_id=0,group_id=0"
        if _libc.mount(b"torture", os.fsencode(where), b"fuse", 0, options.encode()):
            raise OSError(ctypes.get_errno(), "cannot mount fuse", str(where))

    @override
    def run(self) -> None:
        while True:
            try:
                asked = os.read(self._fuse, 1 << 21)
            except OSError as error:
                if error.errno in {errno.EINTR, errno.ENOENT, errno.EAGAIN}:
                    continue
                return  # unmounted
            _, operation, unique, node, *_ = _HEADER.unpack_from(asked)
            if operation in {_FORGET, _BATCH_FORGET, _INTERRUPT}:
                continue
            try:
                answer, number = self._answer(operation, node, asked[_HEADER.size :]), 0
            except OSError as error:
                answer, number = b"", -(error.errno or errno.EIO)
            with suppress(OSError):  # the one that asked has gone
                os.write(self._fuse, struct.pack("<IiQ", 16 + len(answer), number, unique) + answer)

    def _answer(self, operation: int, node: int, body: bytes) -> bytes:
        if operation in _FIXED:
            return _FIXED[operation]
        if operation in {_GETATTR, _SETATTR}:
            return struct.pack("<QII", _NEVER, 0, 0) + self._attributes(node)
        if operation == _LOOKUP and node == _TOP and body.rstrip(b"\0") == b"disk":
            return struct.pack("<QQQQII", _FILE, 0, _NEVER, _NEVER, 0, 0) + self._attributes(_FILE)
        if operation in {_READ, _WRITE}:
            offset, size = struct.unpack_from("<QI", body, 8)
            is_read = operation == _READ
            return bytes(self.data[offset : offset + size]) if is_read else self._write(offset, body[40 : 40 + size])
        if operation in {_FSYNC, _FSYNCDIR}:
            with self.lock:
                self.log.append(_Flushed())
            return b""
        raise OSError(errno.ENOENT if operation == _LOOKUP else errno.ENOSYS, "")

    def _write(self, offset: int, data: bytes) -> bytes:
        with self.lock:
            self.data[offset : offset + len(data)] = data
            self.log.append(_Written(offset, data))
        return struct.pack("<II", len(data), 0)

    def _attributes(self, node: int) -> bytes:
        mode, size = (0o40755, 4096) if node == _TOP else (0o100600, len(self.data))
        return struct.pack("<QQQQQQIIIIIIIIII", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


@dataclass(frozen=True)
class BlockCut:
    """One state of the disk: `base`, an image file, with some writes on top."""

    group: str
    label: str
    scene: Scene
    service: Service
    base: Path
    writes: Sequence[_Written] = field(repr=False)
    mount_at: Path
    options: str
    must_be_alone: bool


def cuts_of(stage: Stage, group: str, story: Story, name: str, shelf: Path) -> Iterator[BlockCut]:
    """Record one undisturbed life on a new file system; `shelf` keeps what its cuts need, and is where they mount."""
    root = stage.root
    stage.root = shelf / "root"
    stage.root.mkdir(exist_ok=True)
    try:
        with _mounted_on_recorder(name, shelf, stage.root) as disk:
            stage.clear()
            outcome = story.set_up(stage)
            _sh("sync", "-f", str(stage.root))
            with disk.lock:
                _write_sparse(shelf / f"{name}.base", disk.data)
                disk.log.clear()

            def note(requests: int) -> None:
                with disk.lock:
                    disk.log.append(_Asked(requests))

            with noted_services(stage.sandbox, note) as services:
                ending = stage.run(mischief=story.mischief)
            found = complaints(stage, outcome())
            assert ending.word in {"done", "quarantined"}, ending
            assert not found, found
            scene = Scene.of(stage, outcome())
            _sh("sync", "-f", str(stage.root))
            with disk.lock:
                log = list(disk.log)
    finally:
        stage.root = root
    for label, requests, writes in _states(log):
        base, options = shelf / f"{name}.base", ",nouuid" if name == "xfs" else ""
        service = services[requests]
        yield BlockCut(group, label, scene, service, base, writes, shelf / "root", options, name == "btrfs")


def _states(log: Sequence[_Entry]) -> Iterator[tuple[str, int, Sequence[_Written]]]:
    chance = random.Random(1)  # noqa: S311 - the same each time
    writes: list[_Written] = []
    flushed = requests = 0
    for entry in log:
        match entry:
            case _Asked():
                requests = entry.requests
                yield f"request {requests} after write {len(writes)}", requests, tuple(writes)
            case _Flushed():
                flushed = len(writes)
            case _Written():
                writes.append(entry)
                yield f"write {len(writes)}", requests, tuple(writes)
                since = writes[flushed:]
                for _ in range(_SUBSETS if len(since) > 1 else 0):
                    some = [write for write in since if chance.random() < 0.5]
                    label = f"{len(some)} of the {len(since)} writes before write {len(writes) + 1}"
                    yield label, requests, (*writes[:flushed], *some)


def play(stage: Stage, cut: BlockCut) -> Verdict:
    cut.scene.set_up(stage)
    image = stage.aside / "image"
    _sh("cp", "--sparse=always", str(cut.base), str(image))
    with image.open("r+b") as file:
        for write in cut.writes:
            file.seek(write.offset)
            file.write(write.data)
    with _alone(cut):
        try:
            _sh("mount", "-o", f"loop{cut.options}", str(image), str(cut.mount_at))
        except subprocess.CalledProcessError as error:  # the file system's own loss, not ours
            return Verdict(cut.group, was_struck=False, at=f"{cut.label}: does not mount: {error.stderr.strip()}")
        root, stage.root = stage.root, cut.mount_at
        try:
            cut.service.restore(stage.sandbox)
            return Verdict(cut.group, was_struck=True, faults=judge(stage, cut.scene.pictures), at=cut.label)
        finally:
            stage.root = root
            _sh("umount", str(cut.mount_at))


@contextmanager
def _alone(cut: BlockCut) -> Iterator[None]:
    """Let no other worker mount the same disk meanwhile, where the kernel would take two copies for one disk."""
    with cut.base.with_suffix(".lock").open("w") as lock:
        if cut.must_be_alone:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _mounted_on_recorder(name: str, shelf: Path, where: Path) -> Iterator[RecordedDisk]:
    megabytes, make = MKFS[name]
    below = shelf / "fuse"
    below.mkdir(exist_ok=True)
    disk = RecordedDisk(megabytes << 20, below)
    disk.start()
    loop = ""
    try:
        loop = _sh("losetup", "--find", "--show", str(below / "disk"))
        _sh(*make, loop)
        _sh("mount", loop, str(where))
        try:
            yield disk
        finally:
            _sh("umount", str(where))
    finally:
        if loop:
            _sh("losetup", "--detach", loop)
        _sh("umount", "--lazy", str(below))  # the loop device lets go of its file a moment later


def _write_sparse(path: Path, data: bytearray) -> None:
    block = 1 << 16
    with path.open("wb") as file:
        for offset in range(0, len(data), block):
            part = data[offset : offset + block]
            if any(part):
                file.seek(offset)
                file.write(part)
        file.truncate(len(data))


def _sh(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
