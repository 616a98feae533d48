"""Call functions after a delay, all from one thread: threading.Timer would start a thread for each."""

import sched
import threading
import time
from collections.abc import Callable
from contextlib import suppress


class Timer:
    """Runs `action`, which is quick and raises nothing, after so many seconds, unless it is called off."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._entry = _CLOCK.enter(seconds, 0, action)
        _CLOCK.start()

    def call_off(self) -> None:
        with suppress(ValueError):  # it has run already
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
