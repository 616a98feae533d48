"""Who hears that the disk has answered: long work on a slow share shall look different from a share that hangs."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

ANSWER_SECONDS: Final = 1.5  # a share that is there answers each call within milliseconds

_listener = threading.local()


@contextlib.contextmanager
def heard_by(listener: Callable[[], None]) -> Iterator[None]:
    """Call `listener` each time that a call of this thread comes back from the disk, whatever it brings.

    One within another: both are called.
    """
    outer: Callable[[], None] | None = getattr(_listener, "hears", None)

    def both() -> None:
        listener()
        if outer is not None:
            outer()

    _listener.hears = both
    try:
        yield
    finally:
        _listener.hears = outer


def answered() -> None:
    hears: Callable[[], None] | None = getattr(_listener, "hears", None)
    if hears is not None:
        hears()


@contextlib.contextmanager
def time_at_work() -> Iterator[Callable[[], float]]:
    """Give a function that returns the seconds of work in the block, without the time in which a disk was silent."""
    worked, last = 0.0, time.monotonic()

    def hear() -> None:
        nonlocal worked, last
        now = time.monotonic()
        worked += min(now - last, ANSWER_SECONDS)
        last = now

    def seconds() -> float:
        hear()
        return worked

    with heard_by(hear):
        yield seconds
