"""Waiting, in real time, for what another thread or process does."""

import time
from collections.abc import Callable


def wait_until(
    is_so: Callable[[], object],
    seconds: float = 60.0,
    what: str | Callable[[], str] = "it never came true",
    look_seconds: float = 0.01,
) -> float:
    """Wait until it is so; return how many seconds that took. A call as `what` is made when it was in vain."""
    started = time.monotonic()
    while not is_so():
        if time.monotonic() - started >= seconds:
            raise AssertionError(f"not within {seconds} s: {what if isinstance(what, str) else what()}")
        time.sleep(look_seconds)
    return time.monotonic() - started
