"""A round of transfers: every file of an order is asked for in it, and one that fails keeps no other one waiting."""

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from watchfolder.disk import Held
from watchfolder.errors import OrderRetry, Reject, Retry

_T = TypeVar("_T")

_OUTAGE = 10  # failures in a row, without a success between: the storage is away, and the round ends
_SPREAD = 0.618034  # the golden ratio: neighbours, which often share a fate, are not asked for one after the other
_OF_ONE_FILE = (Held, Retry, OrderRetry, Reject)  # what concerns most comes first; all else concerns all


class Round:
    """One round over the files of an order; any thread may count.

    `failed` is remembered from round to round: the files whose transfer failed, the longest ago first.
    """

    def __init__(self, failed: list[int]) -> None:
        self.failures: dict[int, Exception] = {}
        self.enough = threading.Event()  # what has not been asked for yet has no chance
        self._failed = failed
        self._in_a_row = 0
        self._guard = threading.Lock()

    def in_turn(self, waiting: Iterable[int]) -> list[int]:
        """Sort the files that wait: what failed before is asked for last, and the longest ago first."""
        last = {index: place for place, index in enumerate(self._failed)}
        return sorted(waiting, key=lambda index: (last.get(index, -1), index * _SPREAD % 1))

    def counting(self, transfer: Callable[[int], _T]) -> Callable[[int], _T]:
        """Return `transfer`, each of whose outcomes is counted at once."""

        def counted(index: int) -> _T:
            try:
                outcome = transfer(index)
            except Exception as failure:
                self._fail(index, failure)
                raise
            self._succeed(index)
            return outcome

        return counted

    def worst(self) -> Exception:
        """Return the failure that decides what follows: what concerns all before what concerns one file."""
        return min(self.failures.values(), key=_concern)

    def _succeed(self, index: int) -> None:
        with self._guard:
            self._in_a_row = 0
            self._forget(index)

    def _fail(self, index: int, failure: Exception) -> None:
        with self._guard:
            self._in_a_row += 1
            self._forget(index)
            self._failed.append(index)
            self.failures[index] = failure
            if self._in_a_row >= _OUTAGE or _concern(failure) < 0:
                self.enough.set()

    def _forget(self, index: int) -> None:
        if index in self._failed:
            self._failed.remove(index)


def _concern(failure: Exception) -> int:
    return _OF_ONE_FILE.index(type(failure)) if type(failure) in _OF_ONE_FILE else -1
