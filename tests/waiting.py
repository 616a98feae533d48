"""Waiting, in real time, for what another thread or process does."""

import time
from collections.abc import Callable

_LOOK_SECONDS = 0.01


def wait_until(
    is_so: Callable[[], object], seconds: float = 60.0, what: str | Callable[[], str] = "it never came true"
) -> float:
    """Wait until it is so; return how many seconds that took. A call as `what` is made when it was in vain.

    A look that takes long, since it starts a program or reads a long log, is taken less often.
    """
    started = looked = time.monotonic()
    while not is_so():
        now = time.monotonic()
        if now - started >= seconds:
            raise AssertionError(f"not within {seconds} s: {what if isinstance(what, str) else what()}")
        time.sleep(max(_LOOK_SECONDS, min(3 * (now - looked), 1.0)))
        looked = time.monotonic()
    return time.monotonic() - started
