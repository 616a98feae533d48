"""Is an inbox open, and do its folders answer? `InboxHealth` says so to all who ask.

A call to a share that is dead never comes back (`disk.timeouts`). So the inbox's own thread says what it hears
(`at_work`), and the main loop finds out that it has heard nothing for long (`tell_silent`).
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator

from watchfolder import disk
from watchfolder.config import Inbox
from watchfolder.errors import FolderFault
from watchfolder.events import event

_FULL = frozenset({"ENOSPC", "EDQUOT"})
SILENT_SECONDS = 10.0  # a folder at work that answers no sooner is called silent; a busy disk may take its time


class InboxHealth:
    """Is an inbox open, what is its fault, and do its folders answer? Any thread may ask, and report a fault."""

    def __init__(self, inbox: Inbox) -> None:
        self.is_open = False  # the folders are there, and what a crash left has been dealt with
        self.is_silent = False  # one of its folders does not answer: what asks it may hang for ever
        self.fault: FolderFault | None = None
        self.needs = 0  # bytes: what the order needs whose lack of room closed the inbox
        self._inbox = inbox.name
        self._folders = [*inbox.folders.values()]
        self._guard = threading.Lock()
        self._told = ""
        self._heard_at: float | None = None  # monotonic seconds: when a disk last answered the block under way
        self._question: disk.Question[None] | None = None

    @property
    def reason(self) -> str:
        """Say why it waits; "" while it is well."""
        fault = self.fault  # another thread may lift it at any moment
        return "a folder does not answer" if self.is_silent else fault.reason if fault is not None else ""

    @property
    def is_within_reach(self) -> bool:
        """Are the folders there, and do they answer?"""
        return self.is_open and not self.is_silent

    @property
    def is_at_work(self) -> bool:
        return self._heard_at is not None

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
        self._heard_at = began = time.monotonic()
        try:
            with disk.tell_answer(self._answered):
                yield began
        finally:
            self._heard_at = None

    def silent_seconds(self, now: float) -> float:
        """Return for how long nothing has answered in the block under way, however long that has been going on."""
        heard_at = self._heard_at  # the thread may end the block at any moment
        return now - heard_at if heard_at is not None else 0.0

    def tell_silent(self, now: float) -> bool:
        """Say once that a folder does not answer, and once that it does again; return whether that has changed."""
        was_silent, self.is_silent = self.is_silent, self.silent_seconds(now) > SILENT_SECONDS
        if self.is_silent and not was_silent:
            event("inbox.silent", logging.WARNING, inbox=self._inbox, seconds=SILENT_SECONDS)
        elif was_silent and not self.is_silent:
            event("inbox.answers", inbox=self._inbox)
        return self.is_silent is not was_silent

    def has_answered(self) -> bool:
        """Tell whether the folders have answered what was asked the last time, and ask again; never wait for them.

        One question is under way at a time: a share that is dead for days costs one thread, not one for each look. It
        bears no folder's name, so it is asked also where another one hangs: since a remount all may answer but that.
        """
        has_answered = self._question is not None and self._question.has_answered
        if self._question is None or has_answered:
            self._question = disk.Question(self._look, self._inbox)
        return has_answered

    def _look(self) -> None:
        for folder in self._folders:
            os.path.exists(os.path.join(folder, "."))

    def _answered(self) -> None:
        self._heard_at = time.monotonic()
