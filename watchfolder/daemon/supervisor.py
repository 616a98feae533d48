"""All that works under one configuration: put together, opened, kept at work, and closed."""

import logging
import os
import threading
import time
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any

from watchfolder import __version__, state_file
from watchfolder.config import Config, Inbox
from watchfolder.daemon.composition import Composition
from watchfolder.daemon.disk_usage import DiskUsage
from watchfolder.daemon.inbox_worker import InboxWorker
from watchfolder.daemon.signals import Wakeup
from watchfolder.daemon.systemd import started_as
from watchfolder.disk import Place
from watchfolder.errors import FolderFault, KeyRefused
from watchfolder.events import event
from watchfolder.intake import Intake, UnderWay
from watchfolder.journal import Journal
from watchfolder.order import Order, files_without_inbox
from watchfolder.pushes import Pushes
from watchfolder.snapshot import FILE, NO_V3, InboxSnapshot, Snapshot

_STUCK_SECONDS = 2 * 3600.0  # no call takes longer, unless its folder is silent
_STATUS_SECONDS = 1.0
_NEVER_SECONDS = 3600.0
_MOST_CLOSED = 3  # folders out of reach that the status names; mended, they make room for others


class Ending(StrEnum):
    DONE = "done"
    QUARANTINED = "quarantined"  # done, but some files need a person
    UNFINISHED = "unfinished"  # trying again may help
    STOPPED = "stopped"


@dataclass(frozen=True)
class Outcome:
    """What a run leaves behind, under the last of its configurations. `is_hung`: a thread still waits for a share."""

    ending: Ending
    config: Config
    snapshot: Snapshot
    waiting: Mapping[str, Mapping[str, str]]  # inbox → file → why it was not taken
    orders: Sequence[Order]  # that have not come to their end
    is_hung: bool = False


class Supervisor:
    def __init__(self, config: Config, journal: Journal, wakeup: Wakeup, pushes: Pushes, started: datetime) -> None:
        self._config = config
        self._journal = journal
        self._wakeup = wakeup
        self._pushes = pushes
        self._stop = threading.Event()
        self._clock = journal.clock
        self._started = started  # the process
        self._configured = self._clock.now()
        self._unit = started_as(os.environ, config.commands.unit)
        self._zeros: dict[str, float] = {}  # clock → the wall time at its zero
        self._parts = Composition(
            config, journal, pushes, self._stop, wake=wakeup.wake, wake_inbox=lambda name: self._workers[name].wake()
        )
        self._pipeline = self._parts.pipeline
        self._workers: dict[str, InboxWorker] = {}
        self._status: Snapshot | None = None
        self._status_at = float("-inf")
        self._disk_usage = DiskUsage(config.state_dir)
        self._is_stuck = False
        self._delivered = journal.counters.delivered_files  # as of when all inboxes were last told to look
        self.refused = ""  # why the configuration that was read last is not the one that is served

    def open(self, *, adopt: bool) -> None:
        for name, intake in self._parts.intakes.items():
            if adopt:
                self._adopt_orders(intake.inbox)
            self._workers[name] = InboxWorker(intake, self._wakeup.wake)
        for name, files in files_without_inbox(self._journal.orders(), self._config.inboxes).items():
            event("inbox.not_configured", logging.WARNING, inbox=name, held_files=files)
        self._parts.begin()
        for worker in self._workers.values():
            worker.start()

    def close(self, deadline: float) -> bool:
        """End the calls under way; False when something still hung at the deadline (monotonic seconds)."""
        self._stop.set()
        for worker in self._workers.values():
            worker.stop()
        is_done = self._pipeline.wait_for_end(deadline)
        for worker in self._workers.values():
            is_done = worker.wait_for_end(deadline) and is_done
        self._parts.close()
        return is_done

    def beat(self, now: float) -> float:
        """Start what is due; return when (monotonic seconds) the next thing will be."""
        for worker in self._workers.values():
            if worker.health.tell_silent(now):
                self._parts.transfers.wake()
        elapsed = self._clock.elapsed()
        return now + self._pipeline.beat(elapsed) - elapsed

    def try_again(self) -> None:
        self._pipeline.try_again()

    def scan_now(self) -> None:
        for worker in self._workers.values():
            worker.nudge(None)

    def is_ready(self) -> bool:
        return all(worker.intake.candidates.has_scanned or worker.health.fault for worker in self._workers.values())

    def is_done(self) -> bool:
        """Can nothing move before some `not_before` or settle time? Nothing under way, nothing to be looked at.

        Where something was delivered since, all look once more: an outbox may be the next inbox's path.
        """
        # In this order: the intake hands over to the pipeline; and again: what just ended may let another go on.
        if not (self._has_no_file_to_take() and self._pipeline.is_idle() and self._has_no_file_to_take()):
            return False
        delivered = self._journal.counters.delivered_files
        is_old, self._delivered = delivered == self._delivered, delivered
        if not is_old:
            self.scan_now()
        return is_old

    def _has_no_file_to_take(self) -> bool:
        return all(
            worker.health.is_silent
            or worker.health.fault is not None
            or worker.intake.allowance.is_held
            or self._waits_for_service(name, worker.intake)
            or (not worker.health.is_at_work and worker.intake.is_idle())
            for name, worker in self._workers.items()
        )

    def is_stuck(self, now: float) -> bool:
        """Does work stand still although its folders answer? Then only a new process helps, and systemd may act."""
        slow = self._pipeline.slow_inboxes(_STUCK_SECONDS)
        slow |= {name for name, each in self._workers.items() if each.health.silent_seconds(now) > _STUCK_SECONDS}
        answers = [self._workers[name].health.has_answered() for name in slow]  # a list: every one must be asked
        self._is_stuck = any(answers)
        return self._is_stuck

    def outcome(self) -> Outcome:
        """Return what has been done, and what is not done yet."""
        snapshot = self._snapshot()
        intakes = {name: worker.intake for name, worker in self._workers.items()}
        waiting = {name: intake.candidates.left_waiting(intake.allowance) for name, intake in intakes.items()}
        orders = [order for order in self._journal.orders() if order.is_open or order.enclosures]
        holds = [inbox.is_at_fault or inbox.is_held for inbox in snapshot.inboxes.values()]
        ending = Ending.QUARANTINED if snapshot.quarantined else Ending.DONE
        if any([snapshot.blocked, orders, *waiting.values(), *holds]):
            ending = Ending.UNFINISHED
        return Outcome(ending, self._config, snapshot, waiting, orders)

    def publish_status(self, now: float) -> tuple[Snapshot, float]:
        """Write the status for the console when it has changed; return it, and when it wants to be written again.

        Not more than once a second; until something happens it is not wanted again.
        """
        if self._status is not None and now - self._status_at < _STATUS_SECONDS:
            return self._status, self._status_at + _STATUS_SECONDS
        fresh = self._snapshot()
        self._status_at = now
        if fresh.is_same_as(self._status):
            return fresh, now + _NEVER_SECONDS
        try:
            state_file.write(Place(self._config.state_dir, FILE), fresh, durable=False)
        except FolderFault as fault:
            event("status.unwritten", logging.WARNING, reason=fault.reason)
        self._status = fresh
        return fresh, now + _STATUS_SECONDS

    def _adopt_orders(self, inbox: Inbox) -> None:
        try:
            self._parts.folders.require_folder(inbox.path)
            self._parts.folders.adopt(inbox)
        except FolderFault as fault:
            event("inbox.not_adopted", logging.ERROR, inbox=inbox.name, reason=fault.reason)

    def _waits_for_service(self, name: str, intake: Intake) -> bool:
        admission = self._pipeline.admission
        is_barred = admission.is_closed_to(intake.inbox.service) or admission.has_no_v3(name)
        return intake.candidates.has_scanned and is_barred

    def _snapshot(self) -> Snapshot:
        self._disk_usage.look(time.monotonic())
        disks = ChainMap(self._disk_usage.disks, *(worker.disk_usage.disks for worker in self._workers.values()))
        journal, elapsed = self._journal, self._clock.elapsed()
        is_open = attrgetter("is_open")
        mine = {name: journal.orders(name) for name in self._workers}
        orders = {name: UnderWay.of(filter(is_open, each), elapsed) for name, each in mine.items()}
        counters = journal.counters
        return Snapshot(
            at=self._clock.now(),
            pid=os.getpid(),
            unit=self._unit,
            config_file=self._config.source,
            version=__version__,
            started=self._started,
            configured=self._configured,
            inboxes={name: self._inbox_snapshot(worker, orders[name]) for name, worker in self._workers.items()},
            key_origin=self._config.api.key_origin,
            is_down=self._pipeline.breaker.is_down,
            is_slowed=self._parts.service.limiter.is_held_back(),
            limit=self._pipeline.admission.limit(time.monotonic()),
            in_progress=sum(each.moving for each in orders.values()),
            deferred=sum(each.deferred for each in orders.values()),
            to_come_beside=sum(bool(order.enclosures) for each in mine.values() for order in each),
            delivered=counters.delivered_files,
            reused=counters.reused_files,
            quarantined=counters.quarantined_files,
            last_quarantined=counters.last_quarantined,
            found=counters.found_files,
            last_found=counters.last_found,
            delivered_bytes=counters.delivered_bytes,
            refused=self.refused,
            not_configured=files_without_inbox(journal.orders(), self._config.inboxes),
            is_stuck=self._is_stuck,
            counts=counters.counts().model_copy(update={"pushes": self._pushes.counts()}),
            disks=dict(disks),
            **self._refusal(),
        )

    def _refusal(self) -> dict[str, Any]:
        """Return the facts of the service's refusal, if it refuses."""
        told = self._pipeline.breaker.open_since
        if told is None:
            return {}
        refusal, since = told
        return {
            "blocked": refusal.reason,
            "blocked_code": refusal.code,
            "blocked_since": self._date(since, self._clock.elapsed),
            "is_key_refused": isinstance(refusal, KeyRefused),
            "is_failing_all": self._pipeline.breaker.refusal is None,
        }

    def _inbox_snapshot(self, worker: InboxWorker, orders: UnderWay) -> InboxSnapshot:
        intake, health, counts = worker.intake, worker.health, worker.intake.counts(orders)
        oldest, closed = intake.candidates.first_waiting(), intake.candidates.out_of_reach()
        lacks_v3, fault = self._pipeline.admission.has_no_v3(intake.inbox.name), health.fault
        return InboxSnapshot(
            is_open=health.is_within_reach and not lacks_v3,
            service=intake.inbox.service,
            fault=health.reason,
            fault_code=fault.code if fault is not None else NO_V3 if lacks_v3 else "",
            held=intake.allowance.reason or "",
            watch=worker.watcher.kind,
            watch_reason=worker.watcher.reason,
            waiting=counts.get("wait", 0),
            staying=counts.get("stay", 0),
            raw=counts["raw"],
            single=counts["single"],
            out_of_reach=sum(each.files for each in closed),
            closed=tuple(closed[:_MOST_CLOSED]),
            oldest_waiting_since=self._date(oldest, self._clock.awake) if oldest is not None else None,
            remarks=intake.candidates.remarks(),
        )

    def _date(self, instant: float, read: Callable[[], float]) -> datetime:
        """Return the date of an instant by one of the clocks: the same until somebody sets the wall clock."""
        zero = self._clock.now().timestamp() - read()
        if abs(zero - self._zeros.get(read.__name__, 0.0)) > 1.0:
            self._zeros[read.__name__] = zero
        return datetime.fromtimestamp(self._zeros[read.__name__] + instant, UTC).replace(microsecond=0)
