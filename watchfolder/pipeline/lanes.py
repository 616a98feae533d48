"""How many uploads and downloads go side by side, over all inboxes."""

import threading
from collections import Counter
from types import TracebackType


class Lanes:
    """A limit that an inbox whose folder does not answer has no part in: what hangs there holds up nobody else."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: Counter[str] = Counter()
        self._silent: set[str] = set()
        self._changed = threading.Condition()

    def of(self, inbox: str) -> "Lane":
        return Lane(self, inbox)

    def set_silent(self, inbox: str, *, is_silent: bool) -> None:
        with self._changed:
            (self._silent.add if is_silent else self._silent.discard)(inbox)
            self._changed.notify_all()

    def take(self, inbox: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: inbox in self._silent or self._is_free())
            self._taken[inbox] += 1

    def give_back(self, inbox: str) -> None:
        with self._changed:
            self._taken[inbox] -= 1
            self._changed.notify_all()

    def _is_free(self) -> bool:
        return sum(count for inbox, count in self._taken.items() if inbox not in self._silent) < self._limit


class Lane:
    """One inbox's way to a lane: `with` waits until one is free."""

    def __init__(self, lanes: Lanes, inbox: str) -> None:
        self._lanes = lanes
        self._inbox = inbox

    def __enter__(self) -> None:
        self._lanes.take(self._inbox)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lanes.give_back(self._inbox)
