"""Are all calls counted? What the fault library counted in one life, beside what the kernel saw of it."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from campaign import Verdict
from faults import Call
from stage import Stage
from stories import STORIES
from strace_log import calls_in, decoded, traced

_KINDS = {  # what is called by several names, by the library or by the kernel
    "open": ("open", "open64", "openat", "openat64", "openat2", "creat"),
    "write": ("write", "pwrite", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "sendfile64"),
    "copy": ("copy_file_range", "splice"),
    "sync": ("fsync", "fdatasync", "syncfs"),
    "size": ("ftruncate", "ftruncate64", "truncate", "fallocate"),
    "rename": ("rename", "renameat", "renameat2"),
    "link": ("link", "linkat", "symlink", "symlinkat"),
    "remove": ("unlink", "unlinkat", "rmdir"),
    "make": ("mkdir", "mkdirat"),
    "rights": ("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "fchownat", "lchown"),
    "facts": ("utimensat", "futimens", "setxattr", "fsetxattr"),
    "send": ("send", "sendto", "sendmsg"),
}
_KIND = {name: kind for kind, names in _KINDS.items() for name in names}
_MAKES = re.compile(r"O_CREAT|O_TRUNC")
_CONNECTION = re.compile(r"\d+<(?:socket|TCP|TCPv6):")  # strace knows the ports of one that has them


def play(stage: Stage, case: tuple[str, str]) -> Verdict:
    """Compare the two counts of one undisturbed life; `case` is the row's name and the story's."""
    group, name = case
    stage.clear()
    story, log = STORIES[name], stage.aside / "strace"
    story.set_up(stage)
    stage.run_watched(traced(log), mischief=story.mischief)
    counted = Counter(_KIND[call.name] for call in stage.faults.calls())
    roots = [str(root) for root in (stage.root, *stage.elsewhere.values())]
    seen = Counter(_KIND[call.name] for call in _of_kernel(log, roots))
    different = sorted(kind for kind in counted.keys() | seen.keys() if counted[kind] != seen[kind])
    faults = [f"{kind}: {counted[kind]} counted, the kernel saw {seen[kind]}" for kind in different]
    return Verdict(group, was_struck=True, faults=faults, at=f"{counted.total()} calls counted")


def _of_kernel(log: Path, roots: Sequence[str]) -> Iterator[Call]:
    """Give the calls that change what lies below the roots, and those that send something over the network."""
    for name, arguments, _ in calls_in(log):
        kind = _KIND.get(name)
        if kind is None or (kind == "open" and not _MAKES.search(arguments)):
            continue
        text = decoded(arguments)
        where = text[: text.find(">")] if kind in {"write", "send"} else text  # what is written may hold any path
        if kind == "send":
            is_counted = _CONNECTION.match(where) is not None
        else:
            is_counted = any(re.search(rf"{root}[/>\"]", where + ">") for root in roots)
        if is_counted:
            yield Call(name, where)
