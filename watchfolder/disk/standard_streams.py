"""The standard streams of a process whose caller has closed some of them, or has let them break."""

import io
import os
import sys


def open_closed_streams() -> None:
    """Open the standard streams that the caller has closed, to nowhere: no file of ours may get their numbers."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - os's own
            setattr(sys, name, open(descriptor, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115 - for good


def hold_stdout() -> None:
    """Buffer lines of an output that PYTHONUNBUFFERED leaves without a buffer, as `is_stdout_broken` needs it."""
    unbuffered = getattr(sys.stdout, "buffer", None)
    if isinstance(unbuffered, io.RawIOBase):
        buffered = io.BufferedWriter(unbuffered)
        sys.stdout = io.TextIOWrapper(buffered, encoding=sys.stdout.encoding, line_buffering=True)


def is_stdout_broken() -> bool:
    """Can the output not be written (a full disk, a reader that has gone)? From then on it is discarded."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return True
    return False
