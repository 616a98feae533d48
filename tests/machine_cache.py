"""Where machines that take minutes to build outlive a test run, and the lock that lets one process build at a time."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

CACHE = Path("/var/tmp/watchfolder-tests")  # noqa: S108 - root's own, 0700; what is there is built once a machine


@contextlib.contextmanager
def alone(name: Path) -> Iterator[None]:
    """Hold back the other processes of this test run, and of others."""
    with name.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
