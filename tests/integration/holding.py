"""Another process that keeps a file to itself, for as long as a block lasts."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_WAIT_SECONDS = 20
_HOLDER = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
descriptor = os.open(sys.argv[1], os.O_RDWR)
if sys.argv[2] == "lease":
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("ready", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def another_process(script: str, *arguments: str | Path) -> Iterator[None]:
    """Run a script that says when it is ready, and reads its input as long as it may live."""
    with subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.kill()
            process.wait(_WAIT_SECONDS)


def leased(path: str | Path) -> contextlib.AbstractContextManager[None]:
    """Hold a lease on the file: who opens it without waiting gets EWOULDBLOCK."""
    return another_process(_HOLDER, path, "lease")


def being_written(path: str | Path) -> contextlib.AbstractContextManager[None]:
    """Keep the file open for writing."""
    return another_process(_HOLDER, path, "write")
