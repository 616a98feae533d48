"""Calls a function at a time to come: one thread for all, for a timer of its own would cost each call a thread."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable

_FEW = 64  # alarms that were called off may lie about, and as many again as there are others


class Timer:
    """One thing to do after so many seconds, unless it is called off. `action` is quick and raises nothing."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._action: Callable[[], None] | None = action
        _CLOCK.set(time.monotonic() + seconds, self)

    def call_off(self) -> None:
        if self._action is not None:
            self._action = None
            _CLOCK.called_off()

    @property
    def is_on(self) -> bool:
        return self._action is not None

    def ring(self) -> None:
        action, self._action = self._action, None
        if action is not None:
            action()


class _Clock:
    """The thread, begun with the first alarm, and what it waits for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._alarms: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._called_off = 0
        self._thread: threading.Thread | None = None

    def set(self, at: float, alarm: Timer) -> None:
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="alarm", daemon=True)
                self._thread.start()
            entry = (at, next(self._numbers), alarm)
            heapq.heappush(self._alarms, entry)
            if self._alarms[0] is entry:
                self._changed.notify()

    def called_off(self) -> None:
        with self._changed:
            self._called_off += 1
            if self._called_off > _FEW + len(self._alarms) // 2:
                self._alarms = [entry for entry in self._alarms if entry[2].is_on]
                heapq.heapify(self._alarms)
                self._called_off = 0

    def _run(self) -> None:
        while True:
            self._next().ring()

    def _next(self) -> Timer:
        with self._changed:
            while True:
                now = time.monotonic()
                if self._alarms and self._alarms[0][0] <= now:
                    return heapq.heappop(self._alarms)[2]
                self._changed.wait(self._alarms[0][0] - now if self._alarms else None)


_CLOCK = _Clock()
