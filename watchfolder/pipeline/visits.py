"""When an order is looked at next, learned from how long the service took before. In memory only.

After a restart every order is looked at once. Instants are seconds since the boot.

Where the service pushes, its word makes a look due. Once a few pushes in a row have come before their looks, or with
them, the looks that nobody called for move back behind the time when a push should have come. One that then finds an
order done without its push ends that: looks are planned by time again, those under way at once.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

from watchfolder.clock import Clock
from watchfolder.order import Order, State
from watchfolder.pipeline import tempo
from watchfolder.pushes import PushResult

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
    unpushed_at: float | None = None  # when it would be if no push were awaited; None: none is


class Visits:
    """Any thread may ask."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._visits: dict[str, Visit] = {}
        self._usual: dict[int, float] = {}  # the size of an order, as a power of two → seconds from confirm to complete
        self._pushed: dict[str, bool] = {}  # key of an order that a push has come for → has nobody looked since?
        self._awaited: dict[str, float] = {}  # id of an order found done before its push → until when it may come
        self._proofs = 0  # pushes in a row that came in time

    def get(self, key: str) -> Visit | None:
        with self._guard:
            return self._visits.get(key)

    def later(self, key: str, now: float, seconds: float) -> None:
        with self._guard:
            before = self._visits.get(key)
            self._visits[key] = Visit(now + seconds, looks=before.looks if before else 0)

    def forget(self, key: str, *, has_left: bool) -> None:
        """Drop the plan. A push is remembered until the order has left: the confirm that it ran ahead of may fail."""
        with self._guard:
            self._visits.pop(key, None)
            if has_left:
                self._pushed.pop(key, None)

    def confirmed(self, order: Order, now: float) -> None:
        """Plan the first look for when the order is likely to be done."""
        with self._guard:
            seconds = self._first_look(len(order.files))
            self._visits[order.key] = self._planned(order.key, now, seconds, seconds / 2)

    def at_work(self, key: str, now: float, age_seconds: float) -> None:
        """Plan the next look at an order that is not done, further away each time."""
        with self._guard:
            before = self._visits.get(key)
            longest = max(tempo.LONGEST_LOOK_SECONDS, age_seconds * _OF_AGE)
            if before is None or before.looks == 0:
                wait = max(tempo.LEAST_BETWEEN_LOOKS_SECONDS, age_seconds / 4)
            else:
                wait = before.wait_seconds * tempo.LOOK_WIDENING
            visit = self._planned(key, now, min(longest, wait), age_seconds / 4)
            self._visits[key] = replace(visit, looks=before.looks + 1 if before else 1)

    def done(self, order: Order, now: float, age_seconds: float) -> None:
        """Learn from an order that was found complete so long after its confirmation."""
        with self._guard:
            visit = self._visits.pop(order.key, None)
            was_pushed = self._pushed.pop(order.key, None) is not None
            if visit is None:  # from an earlier life: nobody looked when it was due
                return
            self._learn(visit, len(order.files), age_seconds, was_pushed=was_pushed)
            if was_pushed:
                self._proofs += 1
            elif visit.unpushed_at is not None:  # it should have come long before this look
                self._trust_no_more(now)
            else:
                self._awaited[order.order_id or ""] = now + tempo.PUSH_GRACE_SECONDS

    # --- pushes

    def pushed(self, order_id: str, order: Order | None) -> PushResult:
        """Record that the service has spoken of an order, and return what that changes."""
        with self._guard:
            if self._awaited.pop(order_id, None) is not None:
                self._proofs += 1
                return PushResult.LATE
            if order is None:
                return PushResult.UNKNOWN_ORDER
            if not order.traits.hears_pushes:
                return PushResult.LATE
            self._pushed[order.key] = True
            return PushResult.NUDGED

    def is_called_for(self, key: str) -> bool:
        """Has a push come for this order that nobody has looked after?"""
        with self._guard:
            return self._pushed.get(key, False)

    def looking(self, key: str) -> bool:
        """A look begins: what is pushed from now on calls for the next one. Return whether a push called for this."""
        with self._guard:
            is_called_for = self._pushed.get(key, False)
            if is_called_for:
                self._pushed[key] = False
            return is_called_for

    def trusts_pushes(self, now: float) -> bool:
        """Do pushes come in time, as far as is known by `now`?"""
        with self._guard:
            overdue = [order_id for order_id, until in self._awaited.items() if until < now]
            for order_id in overdue:
                del self._awaited[order_id]
            if overdue:
                self._trust_no_more(now)
            return self._is_trusting()

    def _is_trusting(self) -> bool:
        return self._proofs >= tempo.PUSHES_PROVE

    def _trust_no_more(self, now: float) -> None:
        self._proofs = 0
        for key, visit in self._visits.items():
            if visit.unpushed_at is not None:
                self._visits[key] = replace(visit, at=max(now, visit.unpushed_at), unpushed_at=None)

    def _planned(self, key: str, now: float, seconds: float, patience_seconds: float) -> Visit:
        """Plan a look in so many seconds, or later by its patience while a push can be trusted to come before."""
        if not self._is_trusting() or key in self._pushed:
            return Visit(now + seconds, wait_seconds=seconds)
        patience_seconds = max(tempo.PUSH_GRACE_SECONDS, patience_seconds)
        return Visit(now + seconds + patience_seconds, wait_seconds=seconds, unpushed_at=now + seconds)

    # --- learning, and the list

    def _learn(self, visit: Visit, files: int, age_seconds: float, *, was_pushed: bool) -> None:
        usual, size = self._first_look(files), files.bit_length()
        most = usual * _GROWTH if size in self._usual else age_seconds
        if was_pushed and age_seconds < usual:
            learned = max(age_seconds, usual * _SOONER)
        elif was_pushed or visit.looks > 0:
            learned = min(age_seconds, most)
        else:
            learned = usual * _SOONER
        self._usual[size] = max(tempo.LEAST_BETWEEN_LOOKS_SECONDS, learned)

    def asked_before(self, orders: Iterable[Order]) -> list[Order]:
        """Return those whose looks have come too early, and about which the list could tell more."""
        with self._guard:
            found = [(order, self._visits.get(order.key)) for order in orders if not self._pushed.get(order.key)]
        return [order for order, visit in found if visit is not None and visit.looks > 0 and not visit.is_alone]

    def is_alone(self, key: str) -> bool:
        """Can the list tell nothing more about this order?"""
        with self._guard:
            return key in self._visits and self._visits[key].is_alone

    def look_alone(self, key: str, now: float) -> None:
        """Plan a look at this very order: the list says that it is worth it, or could not tell."""
        with self._guard:
            looks = self._visits[key].looks if key in self._visits else 0
            self._visits[key] = Visit(now, looks=looks, is_alone=True)

    def _first_look(self, files: int) -> float:
        """Return the time learned for orders of this size, or the nearest smaller one."""
        known = [size for size in self._usual if size <= files.bit_length()]
        return self._usual[max(known)] if known else tempo.FIRST_LOOK_SECONDS


def age_seconds(order: Order, clock: Clock) -> float:
    """Return for how long the service has had the order, at least."""
    since = order.times.get(State.CONFIRMED)
    return clock.since(since) if since else 0.0
