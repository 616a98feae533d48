"""What systemd's watchdog hears from a daemon whose share is dead, and from one that is stuck."""

import contextlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from cli_studio import Daemon, Studio
from contents import files_in
from share_studio import LOCAL, ROLES, share_studio, told
from typing_extensions import override
from waiting import wait_until

from watchfolder.sandbox import Sandbox

pytestmark = pytest.mark.lab

SILENT_SECONDS = 1.0
STUCK_SECONDS = 5.0
WATCHDOG_SECONDS = 5.0
NEW_THREADS = 4  # workers of the inbox that goes on
# The program with hours and tens of seconds made short, and nothing else changed.
PROGRAM = f"""
import sys
from watchfolder.console import cli
from watchfolder import health
from watchfolder.daemon import supervisor
assert health.SILENT_SECONDS < supervisor._STUCK_SECONDS  # they are still there
health.SILENT_SECONDS, supervisor._STUCK_SECONDS = {SILENT_SECONDS}, {STUCK_SECONDS}
sys.argv = ["watchfolder", *sys.argv[1:]]
cli.main()
"""


class Systemd:
    """The other end of NOTIFY_SOCKET: what was said, and when (monotonic seconds)."""

    def __init__(self, path: Path) -> None:
        self.heard: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while message := self._socket.recv(4096):
                self.heard.append((time.monotonic(), message.decode()))

    def beats_since(self, moment: float) -> int:
        return sum(when > moment for when in self._beats())

    def longest_silence_since(self, moment: float) -> float:
        """Return the longest time (seconds) without a beat, the one that lasts included."""
        moments = [moment, *(when for when in self._beats() if when > moment), time.monotonic()]
        return max(later - earlier for earlier, later in pairwise(moments))

    def _beats(self) -> list[float]:
        return [when for when, message in self.heard if "WATCHDOG=1" in message]

    def close(self) -> None:
        self._socket.close()


class HastyStudio(Studio):
    """Runs PROGRAM."""

    @override
    def command(self, *arguments: str) -> list[str]:
        command, *rest = arguments
        return [sys.executable, "-c", PROGRAM, command, "-c", str(self.config), *rest]


@contextlib.contextmanager
def watched(studio: Studio) -> Iterator[tuple[Daemon, Systemd]]:
    """Run the studio's daemon as systemd does."""
    systemd = Systemd(studio.root / "notify")
    microseconds = str(int(WATCHDOG_SECONDS * 1e6))
    studio.environment |= {"NOTIFY_SOCKET": str(studio.root / "notify"), "WATCHDOG_USEC": microseconds}
    try:
        with studio.daemon() as daemon:
            yield daemon, systemd
    finally:
        systemd.close()


def threads_of(daemon: Daemon) -> int:
    return len(list(Path(f"/proc/{daemon.process.pid}/task").iterdir()))


def test_dead_shares_cost_no_thread_more_with_every_look() -> None:
    with share_studio(is_network=True, make=HastyStudio) as studio, watched(studio.studio) as (daemon, systemd):
        for inbox in ROLES:
            studio.drop(inbox, "under way.jpg")
        wait_until(lambda: studio.sandbox.paid == len(ROLES))
        for share in studio.shares.values():
            share.send(signal.SIGSTOP)
        wait_until(lambda: {inbox for inbox, _ in told(daemon, "inbox.silent")} == set(ROLES))
        time.sleep(STUCK_SECONDS + WATCHDOG_SECONDS)
        begin, threads = time.monotonic(), threads_of(daemon)
        for number in range(8):
            studio.drop(LOCAL, f"{number}.jpg")
            time.sleep(1)
        assert systemd.longest_silence_since(begin) < WATCHDOG_SECONDS
        assert threads_of(daemon) <= threads + NEW_THREADS
        studio.await_delivery(LOCAL)
        for share in studio.shares.values():
            share.send(signal.SIGCONT)
        studio.expect_all_is_well()


def test_a_step_that_is_stuck_although_its_folders_answer_stops_the_beat(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        studio = HastyStudio(tmp_path, sandbox.url)
        sandbox.faults.add("create", "hang", seconds=STUCK_SECONDS + 3 * WATCHDOG_SECONDS)
        with watched(studio) as (_, systemd):
            begin = time.monotonic()
            studio.drop("stuck.jpg")
            wait_until(lambda: systemd.longest_silence_since(begin) > WATCHDOG_SECONDS)
            wait_until(lambda: files_in(studio.folder("originals")))
            ended = time.monotonic()
            wait_until(lambda: systemd.beats_since(ended))
