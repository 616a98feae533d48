"""The loop: one instance, its signals, systemd, and all that works under one configuration."""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from watchfolder import __version__
from watchfolder.config import Config
from watchfolder.counters import Counters
from watchfolder.daemon.signals import Signals, Wakeup
from watchfolder.daemon.supervisor import Ending, Outcome, Supervisor
from watchfolder.daemon.systemd import Systemd
from watchfolder.errors import ConfigError
from watchfolder.events import event
from watchfolder.journal import STATE_MOVED, Journal, refuse_other_mode
from watchfolder.pushes import Pushes
from watchfolder.snapshot import Snapshot

STOP_SECONDS = 20.0  # what a stop waits for the calls under way, whatever a share does
_READY_SECONDS = 10.0  # what READY=1 waits for the first scans
_TICK_SECONDS = 10.0  # the longest sleep of an idle daemon
_ONCE_TICK_SECONDS = 0.2
_RECOVERY_SECONDS = 600.0  # what systemd is asked to wait for a long journal


Line = Callable[[Snapshot, Config], str]


class Onlooker(Protocol):
    """Told by the main loop what is so. Neither method may block or raise."""

    def follow(self, config: Config) -> None:
        """Use this configuration from now on: called at the start and after each change."""

    def see(self, snapshot: Snapshot) -> None:
        """Take the present state; each call is a proof that the loop turns."""


def run(  # noqa: PLR0913 - all that the composition root joins to the loop
    config: Config,
    reread: Callable[[], Config],
    *,
    once: bool = False,
    adopt: bool = False,
    onlookers: Sequence[Onlooker] = (),
    pushes: Pushes | None = None,
    counters: Counters | None = None,
    line: Line = lambda _snapshot, _config: "",
) -> Outcome:
    """Work until a signal says stop, or with `once` until nothing can move.

    `reread` gives the configuration anew on SIGHUP. `onlookers` are told what is so, and wait for nothing.
    `pushes` holds what the service has said by itself. `counters` are shared with others that count. `line` makes the
    status line for systemd.
    Raises ConfigError, InstanceLocked, FolderFault (the state directory itself).
    """
    wakeup = Wakeup()
    with contextlib.ExitStack() as stack:
        stack.callback(wakeup.close)
        signals = stack.enter_context(Signals(wakeup))
        systemd = Systemd(os.environ)
        systemd.begin(_RECOVERY_SECONDS)
        journal = stack.enter_context(Journal(config.state_dir, counters=counters))
        pushes = pushes or Pushes()
        pushes.wake_with(wakeup.wake)
        daemon = Daemon(config, reread, once, onlookers, line, journal, wakeup, signals, systemd, pushes)
        return daemon.serve(adopt=adopt)


@dataclass
class Daemon:
    """Serves one journal through as many configurations as there are reloads."""

    config: Config
    reread: Callable[[], Config]
    once: bool
    onlookers: Sequence[Onlooker]
    line: Line
    journal: Journal
    wakeup: Wakeup
    signals: Signals
    systemd: Systemd
    pushes: Pushes

    def serve(self, *, adopt: bool) -> Outcome:
        started = self.journal.clock.now()
        refuse_other_mode(self.journal.orders(), self.config)
        event("daemon.started", version=__version__, instance=self.journal.instance, config=self.config.source)
        while True:
            for onlooker in self.onlookers:
                onlooker.follow(self.config)
            supervisor = Supervisor(self.config, self.journal, self.wakeup, self.pushes, started)
            supervisor.open(adopt=adopt)
            adopt = False  # it holds for what lay there at the start only
            is_reload = False
            try:
                is_reload = self._work(supervisor)
            finally:
                if not is_reload:
                    self.systemd.stop()
                is_hung = not supervisor.close(time.monotonic() + STOP_SECONDS)
            if is_hung or not is_reload:
                outcome = supervisor.outcome()
                counts = outcome.snapshot
                event("daemon.stopped", delivered=counts.delivered, quarantined=counts.quarantined, hung=is_hung)
                ending = outcome.ending if self.once and not self.signals.stop else Ending.STOPPED
                if is_hung and not self.signals.stop:
                    ending = Ending.UNFINISHED  # a reload that a dead share holds up: start afresh
                return replace(outcome, ending=ending, is_hung=is_hung)

    def _work(self, supervisor: Supervisor) -> bool:
        """Beat until told otherwise; return whether to go on with another configuration.

        Every turn is one proof of life: it passes the locks that all work passes.
        """
        started = time.monotonic()
        is_ready = False
        while not self.signals.stop:
            now = time.monotonic()
            if self._take_asked(supervisor):
                return True
            due = supervisor.beat(now)
            snapshot, status_due = supervisor.publish_status(now)
            self.journal.note_turn()
            is_ready = is_ready or self._tell_ready(supervisor, now - started)
            for onlooker in self.onlookers:
                onlooker.see(snapshot)
            if self.once and supervisor.is_done():
                return False
            if not supervisor.is_stuck(now):
                self.systemd.beat(self.line(snapshot, self.config))
            is_brief = self.once or not is_ready
            longest = _ONCE_TICK_SECONDS if is_brief else min(_TICK_SECONDS, self.systemd.interval_seconds)
            self.wakeup.wait(max(0.0, min(min(due, status_due) - time.monotonic(), longest)))
        return False

    def _take_asked(self, supervisor: Supervisor) -> bool:
        """Do what signals asked for; return whether to go on with another configuration."""
        if self.signals.take(signal.SIGUSR1):
            supervisor.scan_now()
        return self.signals.take(signal.SIGHUP) and self._reload(supervisor)

    def _tell_ready(self, supervisor: Supervisor, seconds: float) -> bool:
        """Tell systemd once every inbox has been looked into, or took too long; return whether that is so."""
        is_ready = supervisor.is_ready() or seconds > _READY_SECONDS
        if is_ready:
            self.systemd.ready()
            event("daemon.ready", seconds=round(seconds, 3))
        return is_ready

    def _reload(self, supervisor: Supervisor) -> bool:
        """Read the configuration again; return whether the supervisor must be built anew for it.

        Whatever comes of it, a blockade is lifted to try: a person may have seen to the credits.
        """
        self.systemd.begin_reload()
        try:
            config = self.reread()
            if config.state_dir != self.config.state_dir:
                raise ConfigError(STATE_MOVED)  # noqa: TRY301
            refuse_other_mode(self.journal.orders(), config)
        except ConfigError as error:
            for fault in error.faults:
                event("config.refused", logging.ERROR, fault=fault, effect="the old configuration stays")
            config = self.config
            supervisor.refused = "; ".join(error.faults)
        else:
            supervisor.refused = ""
            event("config.reloaded", config=config.source, changed=config != self.config)
        is_new = config != self.config
        self.config = config
        if not is_new:
            supervisor.try_again()
            self.systemd.ready()
        return is_new
