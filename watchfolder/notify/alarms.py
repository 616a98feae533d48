"""The alarm: it is told by the daemon what is so, and tells a person who is not looking, seldom and in time."""

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from watchfolder.config import Config
from watchfolder.counters import Counters
from watchfolder.errors import FolderFault
from watchfolder.events import event
from watchfolder.notify.apprise import Recipient, label
from watchfolder.notify.decide import Decisions
from watchfolder.notify.delivery import MessageQueue
from watchfolder.notify.heartbeat import Heartbeat
from watchfolder.notify.message import Message
from watchfolder.notify.state import NotifyState
from watchfolder.report.conditions import troubles
from watchfolder.snapshot import Snapshot

if TYPE_CHECKING:
    from pydantic import SecretStr


class Alarms:
    """Watches for whichever configuration is followed. No failure of its own is the daemon's; nobody waits for it."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._clock_start = datetime.now(UTC) - timedelta(seconds=time.monotonic())  # a clock set later stops no timer
        self._config: Config | None = None
        self._watch: Decisions | None = None
        self._written: NotifyState | None = None
        self._has_broken = False
        self._couriers: dict[SecretStr, MessageQueue] = {}
        self._snapshot: Snapshot | None = None
        self._seen_at = time.monotonic()
        self._heartbeat = Heartbeat(self._has_trouble)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._heartbeat.stop()
        for courier in self._couriers.values():
            courier.stop()

    def follow(self, config: Config) -> None:
        """Send to these addresses from now on; a courier whose address stays goes on with what it has."""
        self._config = config
        self._seen_at = time.monotonic()
        try:
            self._hire(config)
            self._heartbeat.follow(config)
        except Exception:  # noqa: BLE001 - the pictures come first
            event("alarm.broke", logging.ERROR, trace=True)

    def see(self, snapshot: Snapshot) -> None:
        """Take the daemon's word; every call is a proof of its life."""
        is_news = snapshot is not self._snapshot  # the loop may turn many times in a second
        self._snapshot, self._seen_at = snapshot, time.monotonic()
        if self._watch is None or self._config is None or not is_news:
            return
        now = self._clock_start + timedelta(seconds=self._seen_at)
        try:
            message = self._watch.decide(snapshot, self._config, now)
            self._write(self._watch.memory, self._config.state_dir)
        except Exception:  # noqa: BLE001 - as above
            if not self._has_broken:  # not again every second
                event("alarm.broke", logging.ERROR, trace=True)
            self._has_broken = True
            return
        self._has_broken = False
        if message is not None:
            self._send(message)

    def _has_trouble(self) -> bool:
        return self._config is None or bool(troubles(self._snapshot, self._config, time.monotonic() - self._seen_at))

    def _hire(self, config: Config) -> None:
        for address in set(self._couriers) - set(config.notify):
            self._couriers.pop(address).stop()
        for number, address in enumerate(config.notify):
            name = label(number, address)
            if address in self._couriers:
                self._couriers[address].label = name
            else:
                self._couriers[address] = MessageQueue(name, Recipient(address).deliver, self._counters.notified)
        if not config.notify:
            self._watch = None
        elif self._watch is None:
            self._written = NotifyState.read(config.state_dir)
            self._watch = Decisions(self._written)

    def _write(self, memory: NotifyState, state_dir: str) -> None:
        """Remember before it is sent: a restart in between must not say it twice."""
        if memory == self._written:
            return
        self._written = memory
        try:
            memory.write(state_dir)
        except FolderFault as fault:
            event("alarm.unwritten", logging.WARNING, reason=fault.reason)

    def _send(self, message: Message) -> None:
        event("alarm.raised", subject=message.subject, services=len(self._couriers))
        for courier in self._couriers.values():
            courier.send(message)
