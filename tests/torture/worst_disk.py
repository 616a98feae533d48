"""A model of the worst file system that POSIX allows: what can a power cut leave of what a program wrote?

After a cut at any moment of a program's operations

* what was written to a file is there for sure once the file was synced; before that any write may be missing, half
  there, or there in length only (zeros; seen on ext4),
* a name that was made, changed or removed is so for sure once its folder was synced; before that any change may be
  missing, and the others not,
* a rename from one folder to another takes the old name away only together with the new one; with only the new folder
  synced, both names may be there (seen on btrfs).
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

Node = int
"""A file, a folder: what a name stands for."""


@dataclass(frozen=True)
class Write:
    node: Node
    offset: int
    data: bytes


@dataclass(frozen=True)
class Truncate:
    node: Node
    size: int


@dataclass(frozen=True)
class Add:
    folder: Node
    name: str
    node: Node
    is_folder: bool
    mode: int = 0o644  # less the umask


@dataclass(frozen=True)
class Remove:
    folder: Node
    name: str
    node: Node


@dataclass(frozen=True)
class Rename:
    from_folder: Node
    from_name: str
    folder: Node
    name: str
    node: Node


@dataclass(frozen=True)
class Sync:
    node: Node


@dataclass(frozen=True)
class Request:
    """The program asked the service for something: nothing on the disk, but the service may be further from here on."""

    port: int  # of ours, from which it went


Operation = Write | Truncate | Add | Remove | Rename | Sync | Request
_ON_DISK = (Write, Truncate, Add, Remove, Rename)


@dataclass(frozen=True)
class Disk:
    """All that lies below the root: folders are nodes with names, files are nodes with content."""

    root: Node
    names: dict[tuple[Node, str], Node]
    contents: dict[Node, bytes]
    mtimes: dict[Node, int]
    modes: dict[Node, int]  # of the files that the program made

    @classmethod
    def of(cls, root: Path) -> "Disk":
        """Take in what is there now; files with several names are one node."""
        nodes: dict[tuple[int, int], Node] = {}
        names: dict[tuple[Node, str], Node] = {}
        contents: dict[Node, bytes] = {}
        mtimes: dict[Node, int] = {}

        def node_of(path: Path) -> Node:
            status = path.lstat()
            return nodes.setdefault((status.st_dev, status.st_ino), len(nodes))

        top = node_of(root)
        for folder, _, files in os.walk(root):
            above = node_of(Path(folder))
            for path in Path(folder).iterdir():
                node = names[above, path.name] = node_of(path)
                if path.name in files:
                    contents[node], mtimes[node] = path.read_bytes(), path.lstat().st_mtime_ns
        return cls(top, names, contents, mtimes, {})

    def by_path(self) -> dict[str, bytes | None]:
        """Return the content of each file, None for each folder."""
        found: dict[str, bytes | None] = {}
        waiting = [(self.root, "")]
        while waiting:
            folder, path = waiting.pop()
            for (above, name), node in self.names.items():
                if above == folder:
                    found[f"{path}/{name}"] = self.contents.get(node)
                    if node not in self.contents:
                        waiting.append((node, f"{path}/{name}"))
        return found


@dataclass(frozen=True)
class State:
    """What a cut leaves: before which operation it came, what of the unsynced was there, which requests were out."""

    label: str
    requests: Sequence[int]  # the ports from which they went
    disk: Disk

    def lay_out(self, root: Path) -> None:
        """Make the folders and files at `root`, in the place of what is there."""
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        paths = {self.disk.root: root}
        waiting = [self.disk.root]
        while waiting:
            folder = waiting.pop()
            for (above, name), node in self.disk.names.items():
                if above == folder:
                    self._lay(paths, folder, name, node)
                    if node not in self.disk.contents:
                        waiting.append(node)

    def _lay(self, paths: dict[Node, Path], folder: Node, name: str, node: Node) -> None:
        path = paths[folder] / name
        if node not in self.disk.contents:
            path.mkdir()
        elif node in paths:
            os.link(paths[node], path)
        else:
            path.write_bytes(self.disk.contents[node])
            path.chmod(self.disk.modes.get(node, 0o644))
            if node in self.disk.mtimes:
                os.utime(path, ns=(self.disk.mtimes[node],) * 2)
        paths[node] = path


def states(before: Disk, operations: Sequence[Operation]) -> Iterator[State]:
    """Give every distinct state: nothing or all of the unsynced, all but one, only one, one write torn or zeros."""
    known: set[bytes] = set()
    for end in range(len(operations) + 1):
        done = operations[:end]
        requests = [each.port for each in done if isinstance(each, Request)]
        where = f"cut before {_told(operations[end])}" if end < len(operations) else "cut at the end"
        for label, disk in _disks(before, done):
            mark = hashlib.sha256(repr((sorted(disk.names.items()), sorted(disk.contents.items()), requests)).encode())
            if mark.digest() not in known:
                known.add(mark.digest())
                yield State(f"{where}: {label}", requests, disk)


def _disks(before: Disk, done: Sequence[Operation]) -> Iterator[tuple[str, Disk]]:
    sure, half = _durable(done)
    loose = [at for at, each in enumerate(done) if isinstance(each, _ON_DISK) and at not in sure]
    everything = sure | set(loose)
    names = [at for at in loose if not isinstance(done[at], Write | Truncate)]
    yield "nothing unsynced", built(before, done, sure, half)
    yield "everything", built(before, done, everything, half)
    yield "all names, no data", built(before, done, sure | set(names), half)
    for at in loose:
        yield f"all but {_told(done[at])}", built(before, done, everything - {at}, half)
        yield f"only {_told(done[at])}", built(before, done, sure | {at}, half)
    for at in loose:
        write = done[at]
        if isinstance(write, Write):
            torn = {at: Write(write.node, write.offset, write.data[: len(write.data) // 2])}
            zeros = {at: Write(write.node, write.offset, bytes(len(write.data)))}
            yield f"torn {_told(write)}", built(before, done, everything, half, torn)
            yield f"zeros for {_told(write)}", built(before, done, everything, half, zeros)


def _durable(done: Sequence[Operation]) -> tuple[set[int], set[int]]:
    """Return what must be there, and the renames of which at least the new name must."""
    sure: set[int] = set()
    half: set[int] = set()
    for end, sync in enumerate(done):
        if not isinstance(sync, Sync):
            continue
        for at, each in enumerate(done[:end]):
            match each:
                case Write(node=node) | Truncate(node=node) | Add(folder=node) | Remove(folder=node):
                    if node == sync.node:
                        sure.add(at)
                case Rename():
                    if each.from_folder == sync.node:
                        sure.add(at)
                    elif each.folder == sync.node:
                        half.add(at)
    return sure, half - sure


def built(
    before: Disk,
    done: Sequence[Operation],
    chosen: set[int],
    half: set[int],
    instead: dict[int, Write] | None = None,
) -> Disk:
    made = [each for each in done if isinstance(each, Add) and not each.is_folder]
    modes = {each.node: each.mode for each in reversed(made)}  # a later name of a file says nothing of its mode
    disk = Disk(before.root, dict(before.names), dict(before.contents), dict(before.mtimes), modes)
    for at, each in enumerate(done):
        if at in chosen:
            _apply((instead or {}).get(at, each), disk)
        elif at in half and isinstance(each, Rename):
            disk.names[each.folder, each.name] = each.node
    for node in modes.keys() & set(disk.names.values()):
        disk.contents.setdefault(node, b"")
    return _reachable(disk)


def _apply(each: Operation, disk: Disk) -> None:
    match each:
        case Add(folder=folder, name=name, node=node):
            disk.names[folder, name] = node
        case Remove(folder=folder, name=name, node=node):
            _drop(disk, folder, name, node)
        case Rename(from_folder=from_folder, from_name=from_name, folder=folder, name=name, node=node):
            disk.names[folder, name] = node
            _drop(disk, from_folder, from_name, node)
        case Truncate(node=node, size=size):
            disk.contents[node] = disk.contents.get(node, b"")[:size].ljust(size, b"\0")
            disk.mtimes.pop(node, None)
        case Write(node=node, offset=offset, data=data):
            old = disk.contents.get(node, b"").ljust(offset, b"\0")
            disk.contents[node] = old[:offset] + data + old[offset + len(data) :]
            disk.mtimes.pop(node, None)


def _drop(disk: Disk, folder: Node, name: str, node: Node) -> None:
    if disk.names.get((folder, name)) == node:
        del disk.names[folder, name]


def _reachable(disk: Disk) -> Disk:
    """Leave out what lies in folders that were lost."""
    inside, names = {disk.root}, {}
    waiting = [disk.root]
    while waiting:
        folder = waiting.pop()
        for (above, name), node in disk.names.items():
            if above == folder:
                names[above, name] = node
                if node not in disk.contents and node not in inside:
                    inside.add(node)
                    waiting.append(node)
    contents = {node: content for node, content in disk.contents.items() if node in names.values()}
    return Disk(disk.root, names, contents, disk.mtimes, disk.modes)


def _told(each: Operation) -> str:
    match each:
        case Write(data=data):
            return f"a write of {len(data)} bytes"
        case Rename(name=name) | Add(name=name) | Remove(name=name):
            return f"{type(each).__name__.lower()} {name}"
        case Request():
            return "a request"
        case _:
            return type(each).__name__.lower()
