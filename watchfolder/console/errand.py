"""A command that always ends: its work is done by a child, which may have asked a share that never answers.

A call that waits for such a share cannot be killed on some file systems (FUSE, NFS mounted `hard`), and a process with
a thread in it does not end. So the process that the shell waits for asks no share, and ends when the child says so.
"""

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_report: int | None = None  # the pipe to which the child writes its exit code


def begin() -> None:
    """Go on in a child; the process that was here before ends when `end` is called, or with the child."""
    global _report
    reading, _report = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        return
    os.close(_report)
    _wait(child, reading)


def end(code: int) -> None:
    """Write the exit code to the waiting process, if there is one, and end without waiting for any thread."""
    if _report is None:
        return
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.closerange(0, 3)  # a reader waits for the end of our output, and this process may never end
    os.write(_report, bytes([code]))
    os._exit(code)


def _wait(child: int, reading: int) -> NoReturn:
    def send_on(number: int, _frame: FrameType | None) -> None:
        os.kill(child, number)
        _end_by(number)

    for number in _SIGNALS:
        signal.signal(number, send_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the child as well, and it knows what to say
    code = os.read(reading, 1)
    if code:
        os._exit(code[0])
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        _end_by(os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


def _end_by(number: int) -> NoReturn:
    if number != signal.SIGKILL:  # whose handling cannot be set
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)
