"""The thread of one inbox, so that a dead share holds up nobody else."""

import logging
import threading
import time
from collections.abc import Callable

from watchfolder.daemon.disk_usage import DiskUsage
from watchfolder.events import event
from watchfolder.intake import Intake
from watchfolder.names import Ignored
from watchfolder.watcher import Watcher

_AFTER_A_BREAK_SECONDS = 5.0
_LEAST_BEAT_SECONDS = 0.02  # a storm of events costs fifty looks a second, not thousands


class InboxWorker:
    """Runs the intake of one inbox in a thread, which alone looks into its folder and claims."""

    def __init__(self, intake: Intake, tell: Callable[[], None]) -> None:
        self.intake = intake
        self.health = intake.health
        inbox = intake.inbox
        ignored = Ignored(inbox.ignore)
        self.watcher = Watcher(
            inbox.path,
            mode=inbox.watch,
            is_left_out=lambda base: not inbox.recursive or ignored.folder(base) is not None,
            on_change=self.nudge,
        )
        self.disk_usage = DiskUsage(*inbox.folders.values())
        self._tell = tell  # after each beat: the status may have changed
        self._wakeup = threading.Event()
        self._stop = False
        self._is_watching = False
        self._thread = threading.Thread(target=self._run, name=f"inbox-{inbox.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wakeup.set()

    def stop(self) -> None:
        self._stop = True
        self._wakeup.set()

    def wait_for_end(self, deadline: float) -> bool:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    def nudge(self, name: str | None) -> None:
        self.intake.nudge(name)
        self._wakeup.set()

    def _run(self) -> None:
        while not self._stop:
            self._wakeup.clear()
            try:
                with self.health.at_work() as now:
                    due = self._turn(now)
                    self.disk_usage.look(now, are_there=self.health.is_open)
            except Exception:  # noqa: BLE001 - nothing may end this thread
                event("inbox.beat_broke", logging.ERROR, trace=True, inbox=self.intake.inbox.name)
                due = time.monotonic() + _AFTER_A_BREAK_SECONDS
            finally:
                self._tell()
            if not self._stop:
                time.sleep(_LEAST_BEAT_SECONDS)
                self._wakeup.wait(max(0.0, due - time.monotonic()))
        if self._is_watching:
            self.watcher.stop()

    def _turn(self, now: float) -> float:
        if not self.health.is_open:
            if self._is_watching:
                self.watcher.stop()
                self._is_watching = False
            due = self.intake.open_again(now)
            if not self.health.is_open:
                return due
        if not self._is_watching:
            self.watcher.start()  # watch first, then scan: nothing falls in between
            self._is_watching = True
        return self.intake.beat(now)
