"""Files that wait while nothing can move: what a hundred thousand of them cost in memory and on the processor.

The sandbox refuses the key (401), so that the daemon takes one order, holds it and leaves the rest in the inbox.
"""

import time
from collections.abc import Callable, Iterator

from figures import Figure, under
from pictures import TINY, fill
from stage import stage

_SCAN_SECONDS = 30.0  # the default of the configuration
_CALM_SHARE = 0.02


def measure(*, short: bool) -> Iterator[Figure]:
    files = 10_000 if short else 100_000
    empty, _, _ = _wait_with(0, watch_seconds=5.0)
    waiting, share, seen_seconds = _wait_with(files, watch_seconds=_SCAN_SECONDS * (1 if short else 2))
    yield under(f"{files:,} files waiting: memory more than with none", waiting - empty, 100, "{:.0f} MiB")
    yield under(f"{files:,} files waiting: share of a core", share, 0.05, "{:.1%}")
    yield Figure(f"{files:,} files waiting: all seen and settled after", f"{seen_seconds:.0f} s")


def _wait_with(files: int, watch_seconds: float) -> tuple[float, float, float]:
    """Return the most MiB that it held, the share of a core, and after how many seconds it had become calm."""
    with stage() as own:
        own.sandbox.faults.add("any", "answer", status=401, code="AUTH_TOKEN_INVALID", times=None)
        fill(own.inbox, TINY, files)
        own.configure()
        began = time.monotonic()
        with own.daemon() as daemon:
            calm_seconds = _wait_until_calm(daemon.cpu_seconds) - began
            cpu = daemon.cpu_seconds()
            time.sleep(watch_seconds)
            return daemon.peak_mib(), (daemon.cpu_seconds() - cpu) / watch_seconds, calm_seconds


def _wait_until_calm(cpu_seconds: Callable[[], float]) -> float:
    """Return the time (monotonic) at which two seconds began that cost next to nothing; wait two minutes at most."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        cpu = cpu_seconds()
        time.sleep(2.0)
        if cpu_seconds() - cpu < 2.0 * _CALM_SHARE:
            break
    return time.monotonic() - 2.0
