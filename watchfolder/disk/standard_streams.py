"""The standard streams of a process whose caller has closed some of them, or has let them break."""

import os
import sys


def open_closed_streams() -> None:
    """Let no file of ours get the number of a standard stream that the caller has closed."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - os's own
            setattr(sys, name, open(descriptor, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115 - for good


def is_stdout_broken() -> bool:
    """Can what was said not be written: to a full disk, or to a reader that has gone? From then on it goes nowhere."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return True
    return False
