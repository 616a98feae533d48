"""Is an inbox open, and do its folders answer? `InboxHealth` says so to all who ask.

A call to a dead share never returns (`disk.timeouts`). So the inbox's own thread records when a disk last answered it
(`at_work`), and the main loop finds out that this was long ago (`tell_silent`).
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
SILENT_SECONDS = 10.0  # without an answer for so long a folder at work is silent; a busy disk may take its time


class InboxHealth:
    """Is an inbox open, what is its fault, and do its folders answer? Any thread may ask, and report a fault."""

    def __init__(self, inbox: Inbox) -> None:
        self.is_open = False  # the folders are there, and what a crash left has been dealt with
        self.is_silent = False  # one of its folders does not answer: what asks it may hang for ever
        self.fault: FolderFault | None = None
        self.needs = 0  # bytes that must fit before it opens again, where a full disk closed it
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

        `explain` logs it, once the cause has been looked for: what one step met may be only a consequence.
        """
        with self._guard:
            self.is_open = False
            self.fault = fault
            self.needs = needs if fault.code in _FULL else 0

    def explain(self, cause: FolderFault) -> None:
        """Record and log why it is closed: a warning when it closes, at INFO when the reason changes meanwhile."""
        self.fault = cause
        if cause.reason != self._told:
            name, level = ("inbox.waits_on", logging.INFO) if self._told else ("inbox.waits", logging.WARNING)
            event(name, level, inbox=self._inbox, reason=cause.reason, code=cause.code)
            self._told = cause.reason

    def open(self) -> None:
        """Record that the folders are well again; a fault that passed before `explain` was called is logged now."""
        with self._guard:  # before any log line: what a step reports meanwhile closes the inbox anew
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
        """Record in the block when a disk answers this thread; give the monotonic seconds at which the block began."""
        self._heard_at = began = time.monotonic()
        try:
            with disk.tell_answer(self._answered):
                yield began
        finally:
            self._heard_at = None

    def silent_seconds(self, now: float) -> float:
        """Return the seconds since a disk last answered in the block under way; 0 where none is."""
        heard_at = self._heard_at  # the thread may end the block at any moment
        return now - heard_at if heard_at is not None else 0.0

    def tell_silent(self, now: float) -> bool:
        """Log once that a folder does not answer, and once that it does again; return whether that has changed."""
        was_silent, self.is_silent = self.is_silent, self.silent_seconds(now) > SILENT_SECONDS
        if self.is_silent and not was_silent:
            event("inbox.silent", logging.WARNING, inbox=self._inbox, seconds=SILENT_SECONDS)
        elif was_silent and not self.is_silent:
            event("inbox.answers", inbox=self._inbox)
        return self.is_silent is not was_silent

    def has_answered(self) -> bool:
        """Return whether the folders have answered the last question; if so, ask the next one. Never waits for them.

        One question is under way at a time: a share that is dead for days costs one thread, not one for each look. It
        is asked under the inbox's name: under a folder's, it would not be asked while an earlier call to that hangs.
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
