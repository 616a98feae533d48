"""The other side of faults.c: builds the library, arms faults in a running process and reads the calls it made."""

import ctypes
import mmap
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Self

_SOURCE = Path(__file__).with_name("faults.c")
_LOG_BYTES = 1 << 20
_NOTE = re.compile(r"(\d+) (\S+) ([^\n\0]*)\n")


class Action(IntEnum):
    """What befalls the call; the numbers are those of `enum action`."""

    NOTHING = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    TORN = 3  # half of the bytes are written, then the process dies
    SHORT = 4  # one byte is written, and the call says so
    INTERRUPT = 5
    FAIL_ONCE = 6
    FAIL_FROM = 7
    FAIL_THEN_KILL = 8  # the failure does not count as a strike, the death does
    FAIL_LATE = 9  # after it was done, as on a share whose server's answer is lost


class Trait(IntFlag):
    COUNT_SENDS = 1
    NO_LINKS = 2
    NO_EXCHANGE = 4  # no renameat2 with flags
    TWO_STEPS = 8  # a new file has no rights at first: a death can leave it so


@dataclass(frozen=True)
class Plan:
    """What is to happen at the `at`-th call, and `gap` calls later.

    `only` bounds a lasting failure to what lies below that path.
    """

    action: Action = Action.NOTHING
    at: int = 0
    number: int = 0  # errno
    only: str = ""
    gap: int = 0


@dataclass(frozen=True)
class Call:
    """One counted call."""

    name: str
    path: str


class _Control(ctypes.Structure):
    _fields_ = (
        ("armed", ctypes.c_long),
        ("traits", ctypes.c_long),
        ("action", ctypes.c_long),
        ("at", ctypes.c_long),
        ("number", ctypes.c_long),
        ("gap", ctypes.c_long),
        ("lifted", ctypes.c_long),
        ("count", ctypes.c_long),
        ("struck", ctypes.c_long),
        ("logged", ctypes.c_long),
        ("roots", ctypes.c_char * 4096),
        ("only", ctypes.c_char * 1024),
        ("log", ctypes.c_char * _LOG_BYTES),
    )


class Faults:
    """Shared memory with every process that is started with `environment`."""

    def __init__(self, folder: Path) -> None:
        self._library = None if why_not() else build(folder)
        self._path = folder / "control"
        self._path.write_bytes(bytes(ctypes.sizeof(_Control)))
        with self._path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)
        self._control = _Control.from_buffer(self._memory)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "FAULTS": str(self._path)} if self._library else {}

    def arm(self, plan: Plan, roots: Sequence[Path], traits: Trait = Trait.COUNT_SENDS) -> Self:
        control = self._control
        control.armed = control.count = control.struck = control.lifted = 0
        ctypes.memset(ctypes.addressof(control) + _Control.log.offset, 0, min(control.logged, _LOG_BYTES))
        control.logged = 0
        names = b"".join(os.fsencode(root) + b"\0" for root in roots) + b"\0"
        ctypes.memmove(ctypes.addressof(control) + _Control.roots.offset, names, len(names))  # zeros and all
        control.only = os.fsencode(plan.only)
        control.action, control.at, control.number, control.traits = plan.action, plan.at, plan.number, traits
        control.gap = plan.gap
        control.armed = 1
        return self

    def disarm(self) -> None:
        self._control.armed = 0

    def lift(self) -> None:
        """Let a lasting failure be over."""
        self._control.lifted = 1

    @property
    def struck(self) -> int:
        return int(self._control.struck)

    @property
    def count(self) -> int:
        return int(self._control.count)

    def calls(self) -> list[Call]:
        """Return them in their order; one that a death kept from being noted is a blank."""
        start = _Control.log.offset
        log = self._memory[start : start + min(self._control.logged, _LOG_BYTES)].decode("utf-8", "surrogateescape")
        noted = {int(number): Call(name, path) for number, name, path in _NOTE.findall(log)}
        return [noted.get(number, Call("", "")) for number in range(1, max(noted, default=0) + 1)]


def why_not() -> str:
    """Return what keeps this machine from dealing out faults, or an empty text."""
    return "" if _compiler() else "no C compiler (cc): the fault library cannot be built"


def build(folder: Path) -> Path:
    library = folder / "faults.so"
    command = [_compiler() or "cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


def fast_folder() -> Path:
    """Return a new folder in memory where there is one: thousands of fsyncs need no disk."""
    return Path(tempfile.mkdtemp(prefix="torture-", dir=fast_root()))


def fast_root() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a name of the system's


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
