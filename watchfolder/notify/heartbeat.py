"""Fetches `heartbeat_url` while all is well: when that ceases, whatever the cause, a monitor elsewhere says so."""

import logging
import threading
from collections.abc import Callable

from watchfolder.api import Pulse
from watchfolder.config import Config
from watchfolder.errors import Retry
from watchfolder.events import event

EVERY_SECONDS = 300.0
AGAIN_SECONDS = 60.0  # after one that failed
LOOK_SECONDS = 15.0  # while all is not well


class Heartbeat:
    """`has_trouble` says whether anything is not well. A thread of its own, and only where there is an address."""

    def __init__(self, has_trouble: Callable[[], bool]) -> None:
        self._has_trouble = has_trouble
        self._follows: object = None
        self._pulse: Pulse | None = None
        self._stop = threading.Event()

    def follow(self, config: Config) -> None:
        wanted = (config.heartbeat_url, config.api.proxy, config.api.ca_file)
        if wanted == self._follows:
            return
        self.stop()
        self._follows = wanted
        if config.heartbeat_url is not None:
            self._stop = threading.Event()
            self._pulse = Pulse(config.heartbeat_url.get_secret_value(), config.api)
            arguments = (self._pulse, self._stop)
            threading.Thread(target=self._keep, args=arguments, name="heartbeat", daemon=True).start()

    def stop(self) -> None:
        """End at once, whatever the other side does."""
        self._follows = None
        self._stop.set()
        if self._pulse is not None:
            self._pulse.close()
            self._pulse = None

    def _keep(self, pulse: Pulse, stop: threading.Event) -> None:
        is_heard = True
        seconds = 0.0
        while not stop.wait(seconds):
            if self._has_trouble():
                seconds = LOOK_SECONDS
                continue
            try:
                pulse.beat()
            except Retry as error:
                if is_heard and not stop.is_set():  # once, not every minute of an outage
                    event("heartbeat.unheard", logging.WARNING, reason=error.reason, code=error.code)
                is_heard, seconds = False, AGAIN_SECONDS
            except Exception:  # noqa: BLE001 - nothing may end this thread silently
                event("heartbeat.broke", logging.ERROR, trace=True)
                seconds = EVERY_SECONDS
            else:
                if not is_heard:
                    event("heartbeat.heard")
                is_heard, seconds = True, EVERY_SECONDS
