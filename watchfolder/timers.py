"""Calls a function at a time to come: one thread for all, for a timer of its own would cost each call a thread."""

import sched
import threading
import time
from collections.abc import Callable
from contextlib import suppress


class Timer:
    """One thing to do after so many seconds, unless it is called off. `action` is quick and raises nothing."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._entry = _CLOCK.enter(seconds, 0, action)
        _CLOCK.start()

    def call_off(self) -> None:
        with suppress(ValueError):  # its time has come
            _CLOCK.cancel(self._entry)


class _Clock(sched.scheduler):
    """Its thread begins with the first timer."""

    def __init__(self) -> None:
        super().__init__(time.monotonic)
        self._changed = threading.Event()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._changed.set()
        with self._guard:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="timers", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            self._changed.clear()
            self._changed.wait(self.run(blocking=False))


_CLOCK = _Clock()
