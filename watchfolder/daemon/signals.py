"""Which signals have come, for the main loop to read, and what wakes it: a handler does nothing else."""

import contextlib
import os
import select
import signal
from types import FrameType
from typing import Self


class Wakeup:
    """Wakes the main loop, from any thread and from a signal handler.

    An eventfd: unlike threading.Event it takes no lock that a signal handler could find taken.
    """

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError, ValueError, OSError):  # full: awake already; closed: nobody waits
            os.eventfd_write(self._descriptor, 1)

    def wait(self, seconds: float) -> None:
        """Sleep until `wake`, or for `seconds`."""
        if self._poll.poll(seconds * 1000):
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._descriptor)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


class Signals:
    """SIGTERM and SIGINT stop, SIGHUP reloads, SIGUSR1 scans. SIGIO is ignored: a lease that ends must not end us.

    A signal that came before (`__main__` blocks it until now) is delivered at once.
    """

    def __init__(self, wakeup: Wakeup) -> None:
        self._came: set[int] = set()
        self._wakeup = wakeup
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            self._before[number] = signal.signal(number, self._note)
        self._before[signal.SIGIO] = signal.signal(signal.SIGIO, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._before.keys())
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # what signal.signal itself returned

    @property
    def stop(self) -> bool:
        return not self._came.isdisjoint({signal.SIGTERM, signal.SIGINT})

    def take(self, number: int) -> bool:
        """Return whether this signal has come since the last time."""
        if number not in self._came:
            return False
        self._came.remove(number)
        return True

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._came.add(number)
        self._wakeup.wake()
