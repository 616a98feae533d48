"""Who hears that the disk has answered: long work on a slow share shall look different from a share that hangs."""

import contextlib
import threading
from collections.abc import Callable, Iterator

_listener = threading.local()


@contextlib.contextmanager
def heard_by(listener: Callable[[], None]) -> Iterator[None]:
    """Call `listener` each time that a call of this thread comes back from the disk, whatever it brings."""
    _listener.hears = listener
    try:
        yield
    finally:
        del _listener.hears


def answered() -> None:
    hears: Callable[[], None] | None = getattr(_listener, "hears", None)
    if hears is not None:
        hears()
