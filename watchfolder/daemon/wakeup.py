"""Wake the main loop, from any thread and from a signal handler."""

import contextlib
import os
import select


class Wakeup:
    """An eventfd: unlike threading.Event it takes no lock that a signal handler could find taken."""

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
