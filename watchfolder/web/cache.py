"""What the page knows: the daemon's last snapshot, and on request a look into journal, history and quarantine."""

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from watchfolder.config import Config
from watchfolder.errors import WatchfolderError
from watchfolder.events import event, redacted
from watchfolder.report.conditions import Condition, Severity, alarms, conditions, headline, say_all
from watchfolder.report.status import LastWord, StatusReport, read_status
from watchfolder.snapshot import Snapshot
from watchfolder.web.deliveries import ShownDelivery, read_deliveries
from watchfolder.web.plot import Plot, Waiting
from watchfolder.web.security import Ids
from watchfolder.web.thumbnails import Thumbnails

_REST = 9.0  # a look that took one second is followed by nine of rest: a tenth of one processor at the most
_LEAST_REST_SECONDS = 0.5
_PATIENCE_SECONDS = 2.0  # what an asker waits for a fresh look; then the last one has to do
_SAMPLE_SECONDS = 300.0


@dataclass(frozen=True)
class PageState:
    """All that the page shows, as it was at one moment."""

    status: StatusReport
    deliveries: Sequence[ShownDelivery]
    plot: Plot

    @property
    def beside(self) -> list[str]:
        """Say what waits for a person, though the flow goes on."""
        needing = [each for each in self.status.conditions if each.kind.severity is Severity.NEEDS_PERSON]
        return say_all(needing, Severity.NEEDS_PERSON)


class PageCache:
    """One thread looks, for all who ask: a share that never answers holds up that thread alone."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.ids = Ids()
        self.thumbnails = Thumbnails()
        self._waiting: deque[Waiting] = deque(maxlen=int(timedelta(hours=24).total_seconds() / _SAMPLE_SECONDS))
        self._snapshot: Snapshot | None = None
        self._seen_at = time.monotonic()
        self._sampled_at = float("-inf")
        self._look: PageState | None = None
        self._looked_at = float("-inf")
        self._rest_seconds = 0.0
        self._is_asked = False
        self._is_closed = False
        self._change = threading.Condition()
        threading.Thread(target=self._run, name="page-look", daemon=True).start()

    def close(self) -> None:
        with self._change:
            self._is_closed = True
            self._change.notify_all()

    def see(self, snapshot: Snapshot, now: float) -> None:
        """Take the daemon's snapshot, at `now` (monotonic seconds)."""
        self._snapshot, self._seen_at = snapshot, now
        if now - self._sampled_at >= _SAMPLE_SECONDS and snapshot.inboxes:
            self._sampled_at = now
            self._waiting.append(Waiting(snapshot.at, snapshot.waiting))

    def look(self) -> PageState | None:
        """Return what is so, hardly a second old unless the disks are slow; None before the first look."""
        with self._change:
            before = self._looked_at
            if time.monotonic() - before >= self._rest_seconds:
                self._is_asked = True
                self._change.notify_all()
                self._change.wait_for(lambda: self._looked_at != before or self._is_closed, _PATIENCE_SECONDS)
            return self._look

    def refresh(self) -> None:
        """Let the next look be a fresh one, for something was just changed."""
        with self._change:
            self._rest_seconds = 0.0

    def alarms(self) -> list[Condition]:
        """Return why a person should come, if one should. It needs no disk and waits for nobody."""
        return alarms(self._snapshot, self.config, time.monotonic() - self._seen_at)

    def headline(self) -> str:
        """Say how it goes, before the first look."""
        return headline(conditions(self._snapshot, self.config))

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._is_asked or self._is_closed)
                self._is_asked = False
                if self._is_closed:
                    return
            began = time.monotonic()
            look = self._read()
            ended = time.monotonic()
            with self._change:
                self._look = look or self._look
                self._looked_at = ended
                self._rest_seconds = max(_LEAST_REST_SECONDS, _REST * (ended - began))
                self._change.notify_all()

    def _read(self) -> PageState | None:
        now, config, snapshot = datetime.now(UTC), self.config, self._snapshot
        silent = time.monotonic() - self._seen_at
        if snapshot is None:
            return None
        try:
            status = read_status(config, now, LastWord(snapshot, silent))
            deliveries, delivered_at = read_deliveries(config, now, self.ids)
        except WatchfolderError as error:
            event("page.no_look", logging.WARNING, reason=redacted(error.reason))
            return None
        except Exception:  # noqa: BLE001 - the page goes on with what it knew
            event("page.look_broke", logging.ERROR, trace=True)
            return None
        self.thumbnails.remember(deliveries)
        waiting = (*self._waiting, Waiting(snapshot.at, snapshot.waiting))
        return PageState(status, deliveries, Plot(now, delivered_at, waiting))
