"""Is an inbox open, and do its folders answer? `InboxHealth` says so to all who ask; `Liveness` asks the folders."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence

from watchfolder import disk
from watchfolder.errors import FolderFault
from watchfolder.events import event

_FULL = frozenset({"ENOSPC", "EDQUOT"})
_SILENT_SECONDS = 10.0  # a folder that answers no sooner is called silent


class InboxHealth:
    """Is an inbox open, what is its fault, and do its folders answer? Any thread may ask, and report a fault."""

    def __init__(self, inbox: str) -> None:
        self.is_open = False  # the folders are there, and what a crash left has been dealt with
        self.is_silent = False  # one of its folders does not answer: what asks it may hang for ever
        self.fault: FolderFault | None = None
        self.needs = 0  # bytes: what the order needs whose lack of room closed the inbox
        self._inbox = inbox
        self._guard = threading.Lock()
        self._told = ""
        self._busy_since: float | None = None
        self._answered_at = 0.0

    @property
    def reason(self) -> str:
        """Say why it waits; "" while it is well."""
        fault = self.fault  # another thread may lift it at any moment
        return "a folder does not answer" if self.is_silent else fault.reason if fault is not None else ""

    @property
    def is_at_work(self) -> bool:
        return self._busy_since is not None

    def report(self, fault: FolderFault, needs: int = 0) -> None:
        """Record that a folder failed: nothing new is taken until all answer again and `needs` bytes fit.

        The log is told once the cause has been looked for: what one step met may be only its consequence.
        """
        with self._guard:
            self.is_open = False
            self.fault = fault
            self.needs = needs if fault.code in _FULL else 0

    def explain(self, cause: FolderFault) -> None:
        """Record why it is closed. The log has one line when it closes; of another reason meanwhile, a small one."""
        self.fault = cause
        if cause.reason != self._told:
            name, level = ("inbox.waits_on", logging.INFO) if self._told else ("inbox.waits", logging.WARNING)
            event(name, level, inbox=self._inbox, reason=cause.reason, code=cause.code)
            self._told = cause.reason

    def open(self) -> None:
        """Record that the folders are well again; what passed before anybody asked for its cause is told now."""
        with self._guard:  # before a word is said: what a step reports meanwhile closes the inbox anew
            passed, self.fault = self.fault, None
            self.is_open = True
            self.needs = 0
        if passed is not None:
            if not self._told:
                event("inbox.waits", logging.WARNING, inbox=self._inbox, reason=passed.reason, code=passed.code)
            event("inbox.back", inbox=self._inbox)
        self._told = ""

    @contextlib.contextmanager
    def at_work(self) -> Iterator[float]:
        """Hear in the block what the disk answers to this thread; give the time (monotonic seconds) when it began."""
        self._busy_since = time.monotonic()
        try:
            with disk.tell_answer(self._answered):
                yield self._busy_since
        finally:
            self._busy_since = None

    def silent_seconds(self, now: float) -> float:
        """Return for how long nothing has answered in the block under way, however long that has been going on."""
        since = self._busy_since
        return now - max(since, self._answered_at) if since is not None else 0.0

    def tell_silent(self, now: float) -> bool:
        """Say once that a folder does not answer, and once that it does again; return whether that has changed."""
        was_silent, self.is_silent = self.is_silent, self.silent_seconds(now) > _SILENT_SECONDS
        if self.is_silent and not was_silent:
            event("inbox.silent", logging.WARNING, inbox=self._inbox, seconds=_SILENT_SECONDS)
        elif was_silent and not self.is_silent:
            event("inbox.answers", inbox=self._inbox)
        return self.is_silent is not was_silent

    def _answered(self) -> None:
        self._answered_at = time.monotonic()


class Liveness:
    """Do folders answer at all? Asked without ever waiting for them.

    One question is under way at a time: a share that is dead for days costs one thread, not one for each look.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = folders
        self._question: threading.Thread | None = None

    def has_answered(self) -> bool:
        """Tell whether the folders have answered what was asked the last time, and ask again."""
        if self._question is not None and self._question.is_alive():
            return False
        was_asked = self._question is not None
        self._question = threading.Thread(target=self._ask, name="liveness", daemon=True)
        self._question.start()
        return was_asked

    def _ask(self) -> None:
        for folder in self._folders:
            os.path.exists(os.path.join(folder, "."))
