"""What a program did to the disk, read from its strace log into the operations of `worst_disk`."""

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from worst_disk import Add, Disk, Node, Operation, Remove, Rename, Request, Sync, Truncate, Write, built

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
_PORT = re.compile(r"\d+<TCP:\[[^]]*:(\d+)->")  # ours
_REQUEST = re.compile(rb"(GET|POST|PUT|DELETE) /")


def why_not() -> str:
    return "" if shutil.which("strace") else "strace is not there"


def traced(log: Path) -> list[str]:
    """Return the words to put before a command so that `Recording` can read what it did."""
    return [
        "strace",
        "-f",
        "-yy",  # of a connection its ports, too
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
        if built(self.before, self.operations, everything, set()).by_path() != Disk.of(self.root).by_path():
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

    def _take_send(self, arguments: str, texts: Sequence[bytes], _result: int) -> None:
        if texts and _REQUEST.match(texts[0]):
            port = _PORT.match(arguments)
            if port is None:
                raise ValueError("strace does not tell from which port a request went")
            self.operations.append(Request(int(port[1])))

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

    def _take_write_at(self, arguments: str, texts: Sequence[bytes], result: int) -> None:
        if handle := self._open.get(_number(arguments)):
            offset = int(arguments.rpartition(",")[2])
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


_RIGHTS = ("chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "lchown")
_NO_MATTER = (*_RIGHTS, "dup", "dup2", "dup3", "utimensat")
_TAKES: dict[str, Callable[[Recording, str, Sequence[bytes], int], None]] = {
    **dict.fromkeys(_NO_MATTER, lambda *_: None),  # rights, times, second descriptors: no cut takes a picture by them
    **dict.fromkeys(("open", "openat", "creat"), Recording._take_open),
    **dict.fromkeys(("fsync", "fdatasync"), Recording._take_sync),
    **dict.fromkeys(("mkdir", "mkdirat"), Recording._take_mkdir),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), Recording._take_unlink),
    **dict.fromkeys(("link", "linkat"), Recording._take_link),
    **dict.fromkeys(("rename", "renameat", "renameat2"), Recording._take_rename),
    **dict.fromkeys(("sendto", "sendmsg"), Recording._take_send),
    "write": Recording._take_write,
    "pwrite64": Recording._take_write_at,
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
