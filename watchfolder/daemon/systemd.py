"""What systemd is told: ready, alive, how it goes. Without systemd nothing is sent."""

import re
import time
from collections.abc import Mapping
from typing import Final

from sdnotify import SystemdNotifier

_SOCKET: Final = "NOTIFY_SOCKET"


def started_as(environ: Mapping[str, str], installed: str) -> str:
    """Return the unit that systemd has started this process as, "" where something else did.

    `installed` is the unit that the configuration knows of; without one it is read from the kernel's control group.
    """
    if _SOCKET not in environ:
        return ""
    if installed:
        return installed
    with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as file:
        found = re.search(r"(/user@.*)?/([^/\n]+)\.service$", file.read(), re.MULTILINE)
    return f"{'--user ' if found[1] else ''}{found[2]}" if found else ""


class Systemd:
    """The notify socket. sdnotify swallows every error, and encodes STATUS as latin-1: what we send is ASCII."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._is_there = _SOCKET in environ
        self._notifier = SystemdNotifier() if self._is_there else None
        watchdog_microseconds = int(environ.get("WATCHDOG_USEC") or 0)
        self.interval_seconds = watchdog_microseconds / 3e6 if watchdog_microseconds else 3600.0
        self._status = ""  # the line that `systemctl status` shows
        self._alive_at = float("-inf")

    def begin(self, seconds: float) -> None:
        """Ask for time: a journal of many orders takes long to recover."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def ready(self) -> None:
        self._send("READY=1")

    def begin_reload(self) -> None:
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        self._show("reading the configuration again")

    def stop(self) -> None:
        self._show("stopping")

    def beat(self, status: str) -> None:
        """Feed the watchdog and show the line `status`. Called by the loop that does the work, never by a timer."""
        now = time.monotonic()
        if now - self._alive_at >= self.interval_seconds / 2:
            self._send("WATCHDOG=1")
            self._alive_at = now
        self._show(status)

    def _show(self, status: str) -> None:
        if status != self._status:
            self._send(f"STATUS={status}")
            self._status = status

    def _send(self, message: str) -> None:
        if self._notifier is not None:
            self._notifier.notify(message.encode("ascii", "replace").decode("ascii"))
