"""Waiting, in real time, for what another thread or process does."""

import time
from collections.abc import Callable


def wait_until(is_so: Callable[[], object], seconds: float = 30.0, what: str = "it never came true") -> float:
    """Wait until it is so; return how many seconds that took."""
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return time.monotonic() - started
