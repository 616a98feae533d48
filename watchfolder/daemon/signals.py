"""What signals ask for, as flags that the main loop reads, and what wakes it: a handler does nothing else."""

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

    def ring(self) -> None:
        with contextlib.suppress(BlockingIOError, ValueError, OSError):  # full: it rings already; closed: nobody waits
            os.eventfd_write(self._descriptor, 1)

    def wait(self, seconds: float) -> None:
        """Sleep until it rings, or for `seconds`."""
        if self._poll.poll(seconds * 1000):
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._descriptor)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


class Signals:
    """SIGTERM and SIGINT stop, SIGHUP reloads, SIGUSR1 scans. SIGIO is ignored: a lease that ends must not end us.

    What came before (`__main__` holds it back) is taken at once.
    """

    def __init__(self, wakeup: Wakeup) -> None:
        self.stop = False
        self._reload = False
        self._scan = False
        self._wakeup = wakeup
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            self._before[number] = signal.signal(number, self._take)
        self._before[signal.SIGIO] = signal.signal(signal.SIGIO, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._before.keys())
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # what signal.signal itself returned

    def take_scan(self) -> bool:
        asked, self._scan = self._scan, False
        return asked

    def take_reload(self) -> bool:
        asked, self._reload = self._reload, False
        return asked

    def _take(self, number: int, _frame: FrameType | None) -> None:
        match number:
            case signal.SIGHUP:
                self._reload = True
            case signal.SIGUSR1:
                self._scan = True
            case _:
                self.stop = True
        self._wakeup.ring()
