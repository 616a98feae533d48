"""Messages to people, and the heartbeat for a monitor elsewhere: the daemon hands each of its snapshots in."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from watchfolder.api import Pulse
from watchfolder.config import Config
from watchfolder.counters import Counters
from watchfolder.errors import FolderFault, Retry
from watchfolder.events import event
from watchfolder.notify.decide import Decisions, NotifyState
from watchfolder.notify.delivery import MessageQueue, label, recipient
from watchfolder.report.conditions import alarms
from watchfolder.snapshot import Snapshot

if TYPE_CHECKING:
    from pydantic import SecretStr

EVERY_SECONDS = 300.0  # from one heartbeat to the next
AGAIN_SECONDS = 60.0  # after a heartbeat that failed
LOOK_SECONDS = 15.0  # from one look to the next while something is wrong


class Alarms:
    """Tells people what the configuration asks for. Its failures stay its own, and the daemon never waits for it."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._clock_start = datetime.now(UTC) - timedelta(seconds=time.monotonic())  # a clock set later stops no timer
        self._config: Config | None = None
        self._decisions: Decisions | None = None
        self._written: NotifyState | None = None
        self._has_broken = False  # the last decision failed, which was logged
        self._queues: dict[SecretStr, MessageQueue] = {}
        self._snapshot: Snapshot | None = None
        self._seen_at = time.monotonic()
        self._heartbeat = Heartbeat(self._has_faults)

    def close(self) -> None:
        self._heartbeat.stop()
        for queue in self._queues.values():
            queue.stop()

    def follow(self, config: Config) -> None:
        """Send to these addresses from now on; a queue whose address stays goes on with what it has."""
        self._config = config
        self._seen_at = time.monotonic()
        try:
            for address in set(self._queues) - set(config.notify):
                self._queues.pop(address).stop()
            for number, address in enumerate(config.notify):
                name = label(number, address)
                if address in self._queues:
                    self._queues[address].label = name
                else:
                    self._queues[address] = MessageQueue(name, recipient(address), self._counters.told)
            if not config.notify:
                self._decisions = None
            elif self._decisions is None:
                self._written = NotifyState.read(config.state_dir)
                self._decisions = Decisions(self._written)
            self._heartbeat.follow(config)
        except Exception:  # noqa: BLE001 - the pictures come first
            event("alarm.broke", logging.ERROR, trace=True)

    def see(self, snapshot: Snapshot) -> None:
        """Take the daemon's snapshot; every call proves that its main loop turns."""
        is_news = snapshot is not self._snapshot  # the loop may turn many times in a second
        self._snapshot, self._seen_at = snapshot, time.monotonic()
        if self._decisions is None or self._config is None or not is_news:
            return
        now = self._clock_start + timedelta(seconds=self._seen_at)
        try:
            message = self._decisions.decide(snapshot, self._config, now)
            self._write(self._decisions.state, self._config.state_dir)
        except Exception:  # noqa: BLE001 - as above
            if not self._has_broken:  # not again every second
                event("alarm.broke", logging.ERROR, trace=True)
            self._has_broken = True
            return
        self._has_broken = False
        if message is not None:
            event("alarm.raised", subject=message.subject, services=len(self._queues))
            for queue in self._queues.values():
                queue.send(message)

    def _has_faults(self) -> bool:
        return self._config is None or bool(alarms(self._snapshot, self._config, time.monotonic() - self._seen_at))

    def _write(self, state: NotifyState, state_dir: str) -> None:
        """Write it down before the message is sent: after a crash in between it must not be said twice."""
        if state == self._written:
            return
        self._written = state
        try:
            state.write(state_dir)
        except FolderFault as fault:
            event("alarm.unwritten", logging.WARNING, reason=fault.reason)


class Heartbeat:
    """Fetches `heartbeat_url` while all is well: when that ceases, whatever the cause, a monitor elsewhere says so.

    `has_faults` says whether anything is wrong. It has a thread of its own, and only where there is an address.
    """

    def __init__(self, has_faults: Callable[[], bool]) -> None:
        self._has_faults = has_faults
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
            threading.Thread(target=self._run, args=arguments, name="heartbeat", daemon=True).start()

    def stop(self) -> None:
        """End at once, also while the other side keeps a request waiting."""
        self._follows = None
        self._stop.set()
        if self._pulse is not None:
            self._pulse.close()
            self._pulse = None

    def _run(self, pulse: Pulse, stop: threading.Event) -> None:
        is_heard = True
        seconds = 0.0
        while not stop.wait(seconds):
            if self._has_faults():
                seconds = LOOK_SECONDS
                continue
            try:
                pulse.beat()
            except Retry as error:
                if is_heard and not stop.is_set():  # once, not every minute of an outage
                    event("heartbeat.unheard", logging.WARNING, reason=error.reason, code=error.code)
                is_heard, seconds = False, AGAIN_SECONDS
            else:
                if not is_heard:
                    event("heartbeat.heard")
                is_heard, seconds = True, EVERY_SECONDS
