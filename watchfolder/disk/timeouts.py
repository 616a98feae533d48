"""Calls that may never come back: a dead network mount is asked from a thread that may be left behind.

Long work on a slow share looks different from a share that hangs: each call that comes back is an answer, and is heard.
"""

import contextlib
import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from typing import Final, Generic, TypeVar

from watchfolder.disk.mounts import Mount, mount_of, read_mount_table
from watchfolder.errors import FolderFault

ANSWER_SECONDS: Final = 1.5  # a share that is there answers each call within milliseconds

_SYSCALLS: Final = {  # setgroups, setresgid, setresuid
    "x86_64": (116, 119, 117),
    "aarch64": (159, 149, 147),
    "riscv64": (159, 149, 147),
}
_syscall = ctypes.CDLL(None, use_errno=True).syscall

_T = TypeVar("_T")
_listener = threading.local()
_hung: dict[str, tuple[threading.Thread, Mount | None]] = {}  # folder → the thread that waits for it, and its mount


@contextlib.contextmanager
def tell_answer(listener: Callable[[], None]) -> Iterator[None]:
    """Call `listener` in the block each time that a disk call of this thread returns, with whatever result.

    In nested blocks each listener is called.
    """
    outer: Callable[[], None] | None = getattr(_listener, "hears", None)

    def call_all() -> None:
        listener()
        if outer is not None:
            outer()

    _listener.hears = call_all
    try:
        yield
    finally:
        _listener.hears = outer


def answered() -> None:
    hears: Callable[[], None] | None = getattr(_listener, "hears", None)
    if hears is not None:
        hears()


@contextlib.contextmanager
def seconds_at_work() -> Iterator[Callable[[], float]]:
    """Give a function that returns the seconds of work in the block, without the time in which a disk was silent."""
    worked, last = 0.0, time.monotonic()

    def note() -> None:
        nonlocal worked, last
        now = time.monotonic()
        worked += min(now - last, ANSWER_SECONDS)
        last = now

    def seconds() -> float:
        note()
        return worked

    with tell_answer(note):
        yield seconds


class Question(Generic[_T]):
    """A call in its own thread, begun at once, unless `folder` or one above it still owes an answer to another."""

    def __init__(self, question: Callable[[], _T], folder: str) -> None:
        self._question = question
        self._folder = folder
        self._answer: Future[_T] = Future()
        self._heard_at = time.monotonic()
        self._mount = mount_of(folder, read_mount_table())  # now: another may be mounted there when the time is up
        self._thread = threading.Thread(target=self._ask, name=f"ask-{folder}", daemon=True)
        if not _is_silent(folder):
            self._thread.start()

    @property
    def has_answered(self) -> bool:
        return self._answer.done()

    def answer(self, silent_seconds: float = ANSWER_SECONDS) -> _T:
        """Return what the question returns, or raise what it raises. Raises FolderFault when nothing answers for long.

        Work on a slow folder may take its time: each call of it that comes back is an answer.
        """
        while self._thread.ident is not None:  # it was asked
            left = self._heard_at + silent_seconds - time.monotonic()
            if wait([self._answer], max(0.0, left)).done:
                answered()  # the listener of this thread hears of it as well
                return self._answer.result()
            if left <= 0:
                _hung[self._folder] = self._thread, self._mount
                break
        raise FolderFault.at(self._folder, "it does not answer: is the share's server there?", code="ETIMEDOUT")

    def _ask(self) -> None:
        try:
            with tell_answer(self._answered):
                self._answer.set_result(self._question())
        except Exception as error:  # noqa: BLE001 - raised again where somebody waits for it
            self._answer.set_exception(error)

    def _answered(self) -> None:
        self._heard_at = time.monotonic()


def _is_silent(folder: str) -> bool:
    """Does this folder, or one above it, still owe a thread an answer? What was mounted in its place since does not."""
    hung = [(each, mount) for each, (thread, mount) in _hung.copy().items() if thread.is_alive()]
    above = [(each, mount) for each, mount in hung if f"{folder}/".startswith(f"{each}/")]
    table = read_mount_table() if above else ""
    return any(mount == mount_of(each, table) for each, mount in above)


def answer_of(question: Callable[[], _T], folder: str, silent_seconds: float = ANSWER_SECONDS) -> _T:
    """Return what `question` returns, or raise what it raises. Raises FolderFault when `folder` does not answer."""
    return Question(question, folder).answer(silent_seconds)


def follow_links(paths: Iterable[str], silent_seconds: float = ANSWER_SECONDS) -> dict[str, str]:
    """Return what each path resolves to, asked side by side; where a folder does not answer, the path as written."""
    asked = {path: Question(lambda path=path: os.path.realpath(path), path) for path in paths}  # type: ignore[misc]
    real = {}
    for path, question in asked.items():
        try:
            real[path] = question.answer(silent_seconds)
        except FolderFault:
            real[path] = path
    return real


def act_as(user: int, group: int, groups: Iterable[int]) -> None:
    """Be this user from now on. Real and effective ids change together: access(2) asks the real one.

    The C library changes all threads and waits for each: for ever, if one hangs in a call to a dead share. So only this
    thread is changed, by system calls: threads that it starts inherit that, and those that hang do nothing any more.
    """
    groups, numbers = list(groups), _SYSCALLS.get(os.uname().machine)
    if threading.active_count() == 1 or numbers is None or sys.maxsize < 2**32:
        os.setgroups(groups)
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)
        return
    arguments = (len(groups), (ctypes.c_uint * len(groups))(*groups)), (group, group, group), (user, user, user)
    for number, values in zip(numbers, arguments, strict=True):
        if _syscall(number, *values):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
