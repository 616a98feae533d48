"""What systemd is told: ready, alive, how it goes. Without systemd nothing is sent."""

import time
from collections.abc import Mapping

from sdnotify import SystemdNotifier

_LEAST_STATUS_SECONDS = 1.0


class Systemd:
    """The notify socket. sdnotify swallows every error, and encodes STATUS as latin-1: what we send is ASCII."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._is_there = "NOTIFY_SOCKET" in environ
        self._notifier = SystemdNotifier() if self._is_there else None
        watchdog_microseconds = int(environ.get("WATCHDOG_USEC") or 0)
        self.interval_seconds = watchdog_microseconds / 3e6 if watchdog_microseconds else 3600.0
        self._status = ""
        self._status_at = float("-inf")
        self._alive_at = float("-inf")

    def starting(self, seconds: float) -> None:
        """Ask for time: a journal of many orders takes long to recover."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STATUS=stopping")

    def alive(self, status: str) -> None:
        """Feed the watchdog and tell the counts. Called by the loop that does the work, never by a timer."""
        now = time.monotonic()
        if now - self._alive_at >= self.interval_seconds / 2:
            self._send("WATCHDOG=1")
            self._alive_at = now
        if status != self._status and now - self._status_at >= _LEAST_STATUS_SECONDS:
            self._send(f"STATUS={status}")
            self._status, self._status_at = status, now

    def _send(self, message: str) -> None:
        if self._notifier is not None:
            self._notifier.notify(message.encode("ascii", "replace").decode("ascii"))
