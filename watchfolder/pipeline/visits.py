"""When an order is looked at next, learned from how long the service took before. In memory only.

After a restart every order is looked at once. Instants are monotonic seconds.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from watchfolder.order import Order
from watchfolder.pipeline import tempo

_SOONER = 0.97  # of the time learned, after a first look that came late enough: most do, and few come much too late
_GROWTH = 2.0  # of the time learned, at most, by one order: an outage is no lesson
_OF_AGE = 1 / 20  # of an order's age passes between two looks, once that is longer than the longest wait


@dataclass(frozen=True, slots=True)
class Visit:
    """`looks` counts those that found the service still at work."""

    at: float
    wait_seconds: float = 0.0
    looks: int = 0
    is_alone: bool = False  # the list cannot tell more about it


class Visits:
    """Any thread may ask."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._visits: dict[str, Visit] = {}
        self._usual: dict[int, float] = {}  # the size of an order, as a power of two → seconds from confirm to complete

    def get(self, key: str) -> Visit | None:
        with self._guard:
            return self._visits.get(key)

    def later(self, key: str, now: float, seconds: float) -> None:
        with self._guard:
            before = self._visits.get(key)
            self._visits[key] = Visit(now + seconds, looks=before.looks if before else 0)

    def forget(self, key: str) -> None:
        with self._guard:
            self._visits.pop(key, None)

    def confirmed(self, order: Order, now: float) -> None:
        """Plan the first look for when the order is likely to be done."""
        with self._guard:
            seconds = self._first_look(len(order.files))
            self._visits[order.key] = Visit(now + seconds, wait_seconds=seconds)

    def at_work(self, key: str, now: float, age_seconds: float) -> None:
        """Plan the next look at an order that is not done, further away each time."""
        with self._guard:
            before = self._visits.get(key)
            longest = max(tempo.LONGEST_LOOK_SECONDS, age_seconds * _OF_AGE)
            if before is None or before.looks == 0:
                wait = max(tempo.LEAST_BETWEEN_LOOKS_SECONDS, age_seconds / 4)
            else:
                wait = before.wait_seconds * tempo.LOOK_WIDENING
            wait = min(longest, wait)
            self._visits[key] = Visit(now + wait, wait, before.looks + 1 if before else 1)

    def done(self, order: Order, age_seconds: float) -> None:
        """Learn from an order that was found complete so long after its confirmation."""
        size = len(order.files).bit_length()
        with self._guard:
            visit = self._visits.pop(order.key, None)
            if visit is None:  # from an earlier life: nobody looked when it was due
                return
            usual = self._first_look(len(order.files))
            if visit.looks == 0:
                learned = usual * _SOONER
            else:
                learned = min(age_seconds, usual * _GROWTH if size in self._usual else age_seconds)
            self._usual[size] = max(tempo.LEAST_BETWEEN_LOOKS_SECONDS, learned)

    def asked_before(self, orders: Iterable[Order]) -> list[Order]:
        """Return those whose looks have come too early, and about which the list could tell more."""
        with self._guard:
            found = [(order, self._visits.get(order.key)) for order in orders]
        return [order for order, visit in found if visit is not None and visit.looks > 0 and not visit.is_alone]

    def look_alone(self, key: str, now: float) -> None:
        """Plan a look at this very order: the list says that it is worth it, or could not tell."""
        with self._guard:
            looks = self._visits[key].looks if key in self._visits else 0
            self._visits[key] = Visit(now, looks=looks, is_alone=True)

    def _first_look(self, files: int) -> float:
        """Return the time learned for orders of this size, or the nearest smaller one."""
        known = [size for size in self._usual if size <= files.bit_length()]
        return self._usual[max(known)] if known else tempo.FIRST_LOOK_SECONDS
