"""What has been counted since the start: requests, bytes, deliveries, and how long each state lasted."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from watchfolder.errors import Blocked, OrderMissing, Reject, Resync, Retry, SlowDown, WatchfolderError
from watchfolder.snapshot import Counts, FileGroup

DONE = "done"
OPERATIONS = ("create", "confirm", "look", "order", "report", "list", "upload", "fetch")
NOTIFIED = ("sent", "dropped")
BROKEN = "broken"
_OUTCOMES = (
    (SlowDown, "slow_down"),
    (Retry, "retry"),
    (Blocked, "blocked"),
    (Resync, "redo"),
    (OrderMissing, "forgotten"),
    (Reject, "reject"),
)
OUTCOMES = (DONE, "retry", "slow_down", "blocked", "redo", "forgotten", "reject", BROKEN)

_MOST_REASONS = 20  # that are kept of what went to quarantine last, and as many of what was found last
_T = TypeVar("_T")


class Counters:
    """Safe for many threads; lives as long as the process, whatever is reloaded."""

    def __init__(self, states: Iterable[str]) -> None:
        self._guard = threading.Lock()
        self._requests = {operation: dict.fromkeys(OUTCOMES, 0) for operation in OPERATIONS}
        self._bytes = Counter({"sent": 0, "received": 0})
        self._notifications = Counter(dict.fromkeys(NOTIFIED, 0))
        self.delivered_files = self.reused_files = self.delivered_bytes = self.quarantined_files = 0
        self.last_quarantined: tuple[FileGroup, ...] = ()
        self.found_files = 0
        self.last_found: tuple[FileGroup, ...] = ()
        self._changes: Counter[str] = Counter(dict.fromkeys(states, 0))
        self._seconds: dict[str, float] = dict.fromkeys(self._changes, 0.0)

    def count(self, operation: str, request: Callable[[], _T]) -> _T:
        """Do the request and count how it ended."""
        outcome = BROKEN
        try:
            answer, outcome = request(), DONE
        except WatchfolderError as error:
            outcome = next((outcome for kind, outcome in _OUTCOMES if isinstance(error, kind)), BROKEN)
            raise
        finally:
            with self._guard:
                self._requests.setdefault(operation, dict.fromkeys(OUTCOMES, 0))[outcome] += 1
        return answer

    def moved(self, direction: str, size: int) -> None:
        with self._guard:
            self._bytes[direction] += size

    def delivered(self, size: int, *, is_reused: bool) -> None:
        with self._guard:
            self.delivered_files += 1
            self.reused_files += is_reused
            self.delivered_bytes += size

    def quarantined(self, files: Sequence[FileGroup]) -> None:
        with self._guard:
            self.quarantined_files += len(files)
            for file in files:
                self.last_quarantined = with_new(self.last_quarantined, file)[-_MOST_REASONS:]

    def found(self, file: FileGroup) -> None:
        with self._guard:
            self.found_files += 1
            self.last_found = with_new(self.last_found, file)[-_MOST_REASONS:]

    def told(self, outcome: str) -> None:
        with self._guard:
            self._notifications[outcome] += 1

    def left(self, state: str, seconds: float) -> None:
        with self._guard:
            self._changes[state] += 1
            self._seconds[state] = self._seconds.get(state, 0.0) + max(0.0, seconds)

    def counts(self) -> Counts:
        with self._guard:
            return Counts(
                requests={operation: dict(outcomes) for operation, outcomes in self._requests.items()},
                sent_bytes=self._bytes["sent"],
                received_bytes=self._bytes["received"],
                state_changes=dict(self._changes),
                notifications=dict(self._notifications),
                state_seconds={state: round(seconds, 3) for state, seconds in self._seconds.items()},
            )


def with_new(groups: Sequence[FileGroup], more: FileGroup) -> tuple[FileGroup, ...]:
    """Return the groups with `more` added, as the latest."""
    number = more.files + sum(each.files for each in groups if each.is_same_as(more))
    return (*(each for each in groups if not each.is_same_as(more)), more.model_copy(update={"files": number}))
