"""A model of the worst file system that POSIX allows: what can a power cut leave of what a program wrote?

One strace log of the program is read into operations. After a cut at any moment

* what was written to a file is there for sure once the file was synced; before that any write may be missing, half
  there, or there in length only (zeros; seen on ext4),
* a name that was made, changed or removed is so for sure once its folder was synced; before that any change may be
  missing, and the others not,
* a rename from one folder to another takes the old name away only together with the new one; with only the new folder
  synced, both names may be there (seen on btrfs).
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_CALLS = (
    "open,openat,openat2,creat,write,pwrite64,writev,pwritev,pwritev2,sendfile,copy_file_range,splice,fsync,fdatasync,"
    "syncfs,ftruncate,truncate,fallocate,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,"
    "mkdirat,rmdir,close,dup,dup2,dup3,lseek,sendto,sendmsg,chmod,fchmod,fchmodat,chown,fchown,fchownat,lchown,"
    "utimensat,setxattr,fsetxattr"
)
_CLOSING = "close begins"
_HEX = re.compile(r"(?:\\x[0-9a-f]{2})+")
_DONE = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)(?:<[^>]*>| E[A-Z]+ \(.*\))?$")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_UNFINISHED = " <unfinished ...>"
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FOLDER_OF = re.compile(r"^(?:AT_FDCWD|-?\d+)(?:<((?:\\x[0-9a-f]{2})+|[^>]*)>)?")
_MODE = re.compile(r"O_CREAT[^,]*, (0\d+)")
_REQUEST = re.compile(rb"(GET|POST|PUT|DELETE) /")

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
    """The program asked the service for something: nothing on the disk, but the service is further from here on."""


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
    """What a cut leaves: before which operation it came, what of the unsynced was there, how many requests were out."""

    label: str
    requests: int
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


def why_not() -> str:
    return "" if shutil.which("strace") else "strace is not there"


def traced(log: Path) -> list[str]:
    """Return the words to put before a command so that `Recording` can read what it did."""
    return [
        "strace",
        "-f",
        "-y",
        "-xx",
        "-s",
        str(1 << 26),
        "-e",
        f"trace={_CALLS}",
        "-e",
        "signal=none",
        "-o",
        str(log),
    ]


def calls_in(log: Path) -> Iterator[tuple[str, str, int]]:
    """Give name, arguments and result of each call, in the order in which they ended; `close` also where it began."""
    unfinished: dict[str, str] = {}
    for line in log.read_text("utf-8", "surrogateescape").splitlines():
        thread, _, text = line.partition(" ")
        text = text.strip()
        if text.startswith("close("):
            yield _CLOSING, text.removeprefix("close("), 0
        if text.endswith(_UNFINISHED):
            unfinished[thread] = text.removesuffix(_UNFINISHED)
            continue
        if resumed := _RESUMED.match(text):
            text = unfinished.pop(thread, "") + resumed[1]
        if done := _DONE.match(text):
            yield done[1], done[2], int(done[3])


def decoded(arguments: str) -> str:
    """Return the arguments with their strings as they are."""
    return _HEX.sub(lambda text: _plain(text[0]).decode("utf-8", "surrogateescape"), arguments)


@dataclass
class Recording:
    """Reads a log into operations. `before` is the disk at the start of the log."""

    before: Disk
    root: Path
    operations: list[Operation] = field(default_factory=list)
    _names: dict[tuple[Node, str], Node] = field(default_factory=dict)
    _sizes: dict[Node, int] = field(default_factory=dict)
    _open: dict[int, "_Handle"] = field(default_factory=dict)
    _nodes: int = 0

    def read(self, log: Path) -> None:
        """Raises ValueError when the log holds what the model does not know, or does not lead to what there is."""
        self._names = dict(self.before.names)
        self._sizes = {node: len(content) for node, content in self.before.contents.items()}
        self._nodes = 1 + max([self.before.root, *self._names.values()])
        for call, arguments, result in calls_in(log):
            if call == _CLOSING:  # its number is free from here on, whenever the call ends
                self._open.pop(_number(arguments), None)
            elif result >= 0 and call != "close":
                self._take(call, arguments, result)
        everything = set(range(len(self.operations)))
        if _built(self.before, self.operations, everything, set()).by_path() != Disk.of(self.root).by_path():
            raise ValueError("the log does not lead to what lies on the disk")

    # --- one call

    def _take(self, call: str, arguments: str, result: int) -> None:
        texts = [_plain(text) for text in _TEXT.findall(arguments)]
        take = _TAKES.get(call)
        if take is not None:
            take(self, arguments, texts, result)
        elif self._open.get(_number(arguments)) is not None:
            raise ValueError(f"the model does not know {call}({arguments[:200]})")

    def _take_seek(self, arguments: str, _texts: Sequence[bytes], result: int) -> None:
        if handle := self._open.get(_number(arguments)):
            handle.offset = result

    def _take_truncate(self, arguments: str, _texts: Sequence[bytes], _result: int) -> None:
        if handle := self._open.get(_number(arguments)):
            self._truncate(handle.node, int(arguments.rpartition(",")[2]))

    def _take_sync(self, arguments: str, _texts: Sequence[bytes], _result: int) -> None:
        if handle := self._open.get(_number(arguments)):
            self.operations.append(Sync(handle.node))

    def _take_mkdir(self, arguments: str, texts: Sequence[bytes], _result: int) -> None:
        self._add(self._place(arguments, texts[0]), self._new(), is_folder=True)

    def _take_unlink(self, arguments: str, texts: Sequence[bytes], _result: int) -> None:
        self._remove(self._place(arguments, texts[0]))

    def _take_send(self, _arguments: str, texts: Sequence[bytes], _result: int) -> None:
        if texts and _REQUEST.match(texts[0]):
            self.operations.append(Request())

    def _take_open(self, arguments: str, texts: Sequence[bytes], result: int) -> None:
        place = self._place(arguments, texts[0])
        if place is None:
            self._open.pop(result, None)
            return
        node = self.before.root if place == _TOP else self._names.get(place)
        if node is None:
            node = self._new()
            self._sizes[node] = 0
            mode = _MODE.search(arguments)
            self._add(place, node, is_folder=False, mode=int(mode[1], 8) & ~_umask() if mode else 0o644)
        elif "O_TRUNC" in arguments:
            self._truncate(node, 0)
        self._open[result] = _Handle(node, is_appending="O_APPEND" in arguments)

    def _take_write(self, arguments: str, texts: Sequence[bytes], result: int) -> None:
        handle = self._open.get(_number(arguments))
        if handle is None:
            return
        offset = self._sizes[handle.node] if handle.is_appending else handle.offset
        handle.offset = offset + result
        self.operations.append(Write(handle.node, offset, texts[0][:result]))
        self._sizes[handle.node] = max(self._sizes[handle.node], offset + result)

    def _take_link(self, arguments: str, texts: Sequence[bytes], _result: int) -> None:
        first, second = _halves(arguments)
        source, target = self._place(first, texts[0]), self._place(second, texts[1])
        if target is not None:
            if source is None:
                raise ValueError("the model knows no link from outside")
            self._add(target, self._names[source], is_folder=False)

    def _take_rename(self, arguments: str, texts: Sequence[bytes], _result: int) -> None:
        first, second = _halves(arguments)
        source, target = self._place(first, texts[0]), self._place(second, texts[1])
        if source is None and target is None:
            return
        if source is None or target is None:
            raise ValueError("the model knows no rename to or from outside")
        node = self._names.pop(source)
        self._names[target] = node
        self.operations.append(Rename(*source, *target, node))

    # --- the tree as the program saw it

    def _new(self) -> Node:
        self._nodes += 1
        return self._nodes - 1

    def _add(self, place: "_Place | None", node: Node, *, is_folder: bool, mode: int = 0o644) -> None:
        if place is not None:
            self._names[place] = node
            self.operations.append(Add(*place, node, is_folder, mode))

    def _remove(self, place: "_Place | None") -> None:
        if place is not None:
            self.operations.append(Remove(*place, self._names.pop(place)))

    def _truncate(self, node: Node, size: int) -> None:
        self._sizes[node] = size
        self.operations.append(Truncate(node, size))

    def _place(self, arguments: str, name: bytes) -> "_Place | None":
        """Return folder and name of a path in the tree; `_TOP` for the root itself, None for what is outside."""
        path = os.fsdecode(name)
        if not path.startswith("/"):
            above = _FOLDER_OF.match(arguments.lstrip(", "))
            folder = os.fsdecode(_plain(above[1])) if above and above[1] else ""
            path = os.path.join(folder, path)
        path = os.path.normpath(path)
        if path == str(self.root):
            return _TOP
        if not path.startswith(f"{self.root}/"):
            return None
        node = self.before.root
        *folders, base = os.path.relpath(path, self.root).split("/")
        for part in folders:
            found = self._names.get((node, part))
            if found is None:
                raise ValueError(f"the model has lost {path}")
            node = found
        return node, base


@dataclass
class _Handle:
    node: Node
    is_appending: bool
    offset: int = 0


_NO_MATTER = ("dup", "dup2", "dup3", "chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "lchown")
_TAKES: dict[str, Callable[[Recording, str, Sequence[bytes], int], None]] = {
    **dict.fromkeys(_NO_MATTER, lambda *_: None),  # rights and second descriptors: no cut takes a picture by them
    **dict.fromkeys(("open", "openat", "creat"), Recording._take_open),
    **dict.fromkeys(("fsync", "fdatasync"), Recording._take_sync),
    **dict.fromkeys(("mkdir", "mkdirat"), Recording._take_mkdir),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), Recording._take_unlink),
    **dict.fromkeys(("link", "linkat"), Recording._take_link),
    **dict.fromkeys(("rename", "renameat", "renameat2"), Recording._take_rename),
    **dict.fromkeys(("sendto", "sendmsg"), Recording._take_send),
    "write": Recording._take_write,
    "lseek": Recording._take_seek,
    "ftruncate": Recording._take_truncate,
}
_Place = tuple[Node, str]
_TOP: _Place = (-1, "")


def _number(arguments: str) -> int:
    found = re.match(r"-?\d+", arguments)
    return int(found[0]) if found else -1


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _plain(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else os.fsencode(text)


def _halves(arguments: str) -> tuple[str, str]:
    """Part the arguments of a call on two paths behind the first path."""
    first = _TEXT.search(arguments)
    assert first is not None
    return arguments[: first.end()], arguments[first.end() :]


# --- what a cut leaves


def states(before: Disk, operations: Sequence[Operation]) -> Iterator[State]:
    """Give every distinct state: nothing or all of the unsynced, all but one, only one, one write torn or zeros."""
    known: set[bytes] = set()
    for end in range(len(operations) + 1):
        done = operations[:end]
        requests = sum(isinstance(each, Request) for each in done)
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
    yield "nothing unsynced", _built(before, done, sure, half)
    yield "everything", _built(before, done, everything, half)
    yield "all names, no data", _built(before, done, sure | set(names), half)
    for at in loose:
        yield f"all but {_told(done[at])}", _built(before, done, everything - {at}, half)
        yield f"only {_told(done[at])}", _built(before, done, sure | {at}, half)
    for at in loose:
        write = done[at]
        if isinstance(write, Write):
            torn = {at: Write(write.node, write.offset, write.data[: len(write.data) // 2])}
            zeros = {at: Write(write.node, write.offset, bytes(len(write.data)))}
            yield f"torn {_told(write)}", _built(before, done, everything, half, torn)
            yield f"zeros for {_told(write)}", _built(before, done, everything, half, zeros)


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


def _built(
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
