"""Which orders get on: no step is repeated, and no way gone again, but after a pause that grows."""

import threading

from watchfolder.journal import Journal
from watchfolder.order import Order, State
from watchfolder.pipeline import timing
from watchfolder.pipeline.breaker import Breaker

_PLACES = {state: place for place, state in enumerate(State)}  # each state stands behind those that lead to it
_MOST_DOUBLINGS = 20  # far behind the longest pause


class Headway:
    """Any thread may ask. In memory only: after a restart the pauses are short again."""

    def __init__(self, journal: Journal, breaker: Breaker) -> None:
        self._journal = journal
        self._breaker = breaker
        self._guard = threading.Lock()
        self._reached: dict[str, tuple[int, int]] = {}  # key → furthest place, steps repeated since

    def pause(self, before: Order) -> float:
        """Record where a step has left its order; return for how long that rests, unless something else says so."""
        order = self._journal.get(before.key)
        with self._guard:
            if order is None or not order.asks_service:
                self._reached.pop(before.key, None)
                return 0.0
            place, (furthest, repeats) = _PLACES[order.state], self._reached.get(order.key, (-1, 0))
            if place > furthest:
                self._reached[order.key] = place, 0
            now = self._journal.clock.elapsed()
            is_paced = not order.is_due(now) or self._breaker.bars(order, now)
            if is_paced or place > min(furthest, _PLACES[before.state]):
                return 0.0
            self._reached[order.key] = furthest, repeats + 1
        return min(timing.LONGEST_BACKOFF_SECONDS, timing.REPEAT_SECONDS * 2.0 ** min(repeats, _MOST_DOUBLINGS))
