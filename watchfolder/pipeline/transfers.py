"""The transfer pool: the uploads and downloads of all inboxes, a few at once, first come, first served."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from watchfolder.disk import Held
from watchfolder.errors import OrderRetry, Reject, Retry

_T = TypeVar("_T")

_OUTAGE = 10  # failures in a row, without a success between: the storage is away, and the round ends
_SPREAD = 0.618034  # the golden ratio: neighbours, which often fail together, are not asked for one after the other
_OF_ONE_FILE = (Held, Retry, OrderRetry, Reject)  # what concerns most comes first; all else concerns all


class Round:
    """A round of transfers: every file of an order is tried in it, and one that fails keeps no other one waiting.

    `failed` is remembered from round to round: the files whose transfer failed, the longest ago first.
    """

    def __init__(self, failed: list[int]) -> None:
        self.failures: dict[int, Exception] = {}
        self.is_enough = False  # begin nothing more: the rest would fail as well
        self._failed = failed
        self._in_a_row = 0

    def in_turn(self, waiting: Iterable[int]) -> list[int]:
        """Sort the files that wait: what failed before is asked for last, and the longest ago first."""
        last = {index: place for place, index in enumerate(self._failed)}
        return sorted(waiting, key=lambda index: (last.get(index, -1), index * _SPREAD % 1))

    def count(self, index: int, failure: Exception | None) -> None:
        """Count what came of one transfer; one thread at a time."""
        if index in self._failed:
            self._failed.remove(index)
        self._in_a_row = self._in_a_row + 1 if failure else 0
        if failure is not None:
            self._failed.append(index)
            self.failures[index] = failure
            self.is_enough |= self._in_a_row >= _OUTAGE or _sort_key(failure) < 0

    def main_error(self) -> Exception:
        """Return the failure that decides what follows: what concerns all before what concerns one file."""
        return min(self.failures.values(), key=_sort_key)


def _sort_key(failure: Exception) -> int:
    return _OF_ONE_FILE.index(type(failure)) if type(failure) in _OF_ONE_FILE else -1


@dataclass(eq=False)
class _Batch(Generic[_T]):
    """The files of one order, as the pool sees them; guarded by the pool's lock."""

    inbox: str
    work: Callable[[int], _T]
    waiting: deque[int]
    at_once: int
    round: Round
    under_way: int = 0
    arrived: dict[int, _T] = field(default_factory=dict)

    def is_over(self) -> bool:
        return not self.under_way and (not self.waiting or self.round.is_enough)


class TransferPool:
    """At most `size` transfers at once; orders take turns, one file each, so that a hundred files hold up no lone one.

    A worker is a thread that lives while there is work. Transfers have deadlines, but a share that hangs has none:
    while an inbox is silent, its workers may hang and are replaced; it may have `size` of its own, these included.
    Any thread may ask, but none of the pool's own.
    """

    def __init__(self, size: int, is_silent: Callable[[str], bool]) -> None:
        self.size = size
        self._is_silent = is_silent  # asked with the name of an inbox
        self._changed = threading.Condition()
        self._line: deque[_Batch[Any]] = deque()  # orders with files that wait, each once
        self._busy: Counter[str] = Counter()  # inbox → transfers under way
        self._full_at = float("-inf")  # monotonic seconds: when all workers were last busy

    def run(self, inbox: str, work: Callable[[], _T]) -> _T:
        """Do `work` when its turn comes; return what it returns, or raise what it raises."""
        round_ = Round([])
        arrivals = list(self.run_all(inbox, lambda _: work(), [0], round_))
        if round_.failures:
            raise round_.main_error()
        return arrivals[0][0]

    def run_all(
        self,
        inbox: str,
        work: Callable[[int], _T],
        indexes: Iterable[int],
        round_: Round,
        *,
        at_once: int | None = None,
        gather_seconds: float = 0.0,
        drop: Callable[[_T], object] = lambda _outcome: None,
    ) -> Generator[dict[int, _T]]:
        """Do `work` for each index; yield what has arrived since the last time, if anything. `round_` has the failures.

        A result waits `gather_seconds` for others that are under way. Once the round is enough nothing more is begun;
        what is under way still arrives, at `drop` when the iterator has been closed.
        """
        batch = _Batch(inbox, work, deque(indexes), at_once or self.size, round_)
        try:
            with self._changed:
                if batch.waiting:
                    self._line.append(batch)
                wanted = min(len(batch.waiting), batch.at_once, self._room(inbox))
            self._start(wanted)
            while group := self._wait_for_results(batch, gather_seconds):
                yield group
        finally:
            round_.is_enough = True
            for outcome in self._wait_for_results(batch, None).values():
                drop(outcome)

    def wake(self) -> None:
        """Go on with what may be begun now that one more inbox is silent, or one less."""
        self._start(self.size if self._line else 0)

    def is_at_limit(self, since: float) -> bool:
        """Are all workers busy, or were they at any time since then (monotonic seconds)?"""
        with self._changed:
            self._note_limit()
            return self._full_at > since

    def _wait_for_results(self, batch: _Batch[_T], gather_seconds: float | None) -> dict[int, _T]:
        """Wait for the first result and then so many seconds for others; None: until all have ended."""
        with self._changed:
            if gather_seconds is not None:
                self._changed.wait_for(lambda: batch.arrived or batch.is_over())
            self._changed.wait_for(batch.is_over, gather_seconds)
            group, batch.arrived = batch.arrived, {}
            return group

    # --- workers

    def _start(self, wanted: int) -> None:
        """Begin so many workers; one that finds nothing to do ends at once."""
        for _ in range(wanted):
            threading.Thread(target=self._work, name="transfer", daemon=True).start()

    def _work(self) -> None:
        while (turn := self._next_turn()) is not None:
            batch, index = turn
            failure, arrived = None, {}
            try:
                arrived = {index: batch.work(index)}
            except Exception as error:  # noqa: BLE001 - the caller decides
                failure = error
            with self._changed:
                self._note_limit()
                self._busy[batch.inbox] -= 1
                batch.under_way -= 1
                batch.arrived |= arrived
                batch.round.count(index, failure)
                self._changed.notify_all()

    def _next_turn(self) -> tuple[_Batch[Any], int] | None:
        """Take the next file of the first order that may go on; that order goes to the end of the line."""
        with self._changed:
            self._line = deque(batch for batch in self._line if not batch.round.is_enough)
            for batch in self._line:
                if batch.under_way < batch.at_once and self._room(batch.inbox) > 0:
                    break
            else:
                return None
            index = batch.waiting.popleft()
            self._line.remove(batch)
            if batch.waiting:
                self._line.append(batch)
            batch.under_way += 1
            self._busy[batch.inbox] += 1
            self._note_limit()
            return batch, index

    def _room(self, inbox: str = "") -> int:
        others = sum(busy for name, busy in self._busy.items() if not self._is_silent(name))
        return self.size - (self._busy[inbox] if self._is_silent(inbox) else others)

    def _note_limit(self) -> None:
        if self._room() <= 0:
            self._full_at = time.monotonic()
