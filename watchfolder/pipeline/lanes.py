"""So many transfers at once, for all inboxes: first come, first served."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator


class _Turn:
    def __init__(self, inbox: str) -> None:
        self.inbox = inbox
        self.has_come = threading.Event()


class Lanes:
    """Hands out the lanes in the order of asking, so that one order's hundred files do not hold up another's one.

    Any thread may ask. Transfers have deadlines, but a share that hangs has none: while it is silent, its lanes do not
    count.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._full_at = float("-inf")  # monotonic seconds: when all lanes were last taken
        self._guard = threading.Lock()
        self._waiting: deque[_Turn] = deque()
        self._taken: set[_Turn] = set()
        self._silent: set[str] = set()

    @contextlib.contextmanager
    def one(self, inbox: str) -> Iterator[None]:
        """Hold a lane for the length of the block; wait for it if need be."""
        turn = _Turn(inbox)
        with self._guard:
            self._waiting.append(turn)
            self._admit()
            self._note_full()
        turn.has_come.wait()
        try:
            yield
        finally:
            with self._guard:
                self._note_full()
                self._taken.discard(turn)
                self._admit()

    def have_been_full(self, since: float) -> bool:
        """Are all lanes taken, or were they at any time since then (monotonic seconds)?"""
        with self._guard:
            self._note_full()
            return self._full_at > since

    def set_silent(self, inbox: str, *, is_silent: bool) -> None:
        """Record that the inbox's share does not answer, or does again."""
        with self._guard:
            (self._silent.add if is_silent else self._silent.discard)(inbox)
            self._admit()

    def _note_full(self) -> None:
        if self._busy() >= self.most:
            self._full_at = time.monotonic()

    def _admit(self) -> None:
        free = self.most - self._busy()
        for turn in list(self._waiting):
            is_silent = turn.inbox in self._silent
            if is_silent or free > 0:
                self._waiting.remove(turn)
                self._taken.add(turn)
                turn.has_come.set()
                free -= not is_silent

    def _busy(self) -> int:
        return sum(turn.inbox not in self._silent for turn in self._taken)
