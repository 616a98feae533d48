"""Is it the pictures or the service? What orders that fail say about one another, with `now` as an argument."""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from watchfolder.clock import Moment
from watchfolder.errors import Blocked, Scope
from watchfolder.order import Key, Order, State

_TOO_MANY = 5  # orders that failed in a row, without a success between
_REMEMBERED = 1000
_PACE = 1 / 10  # of a doubt's age passes between two tries, once that is longer than `probe_seconds`
_LONGEST_SECONDS = 3600.0


class Fault(Enum):
    """Who is at fault for an order that failed."""

    PICTURE = auto()  # this one
    ONE_OF_MANY = auto()  # one of its pictures: the order is split
    NOBODY = auto()  # it may pass: the same files are ordered again
    SERVICE = auto()  # perhaps no picture: the order is kept until the service succeeds with another one
    OPEN = auto()  # the other parts of the same order, at work at the service, will tell


@dataclass
class Doubt:
    """While in doubt no order is created, but for one of a lone file now and then; a success ends it.

    A picture that failed among others is at fault only when another one has succeeded since. Instants are seconds since
    the boot.
    """

    probe_seconds: float
    fault: Blocked | None = None  # what to tell
    since: float = 0.0
    last_success: Key | None = None  # the order that succeeded last; of an earlier life, if any
    _in_a_row: int = 0
    _failed: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))  # a step may be repeated
    _probe_at: float = 0.0

    def judge(self, order: Order, code: str, at_work: Collection[str], now: float, *, may_pass: bool = False) -> Fault:
        """Record that an order failed; `at_work` are the other parts of the order that it was split from."""
        is_lone = not order.is_of_many
        has_proof = order.has_failed and order.last_success != self.last_success
        if is_lone and has_proof and order.failed_alone and not may_pass:
            return Fault.PICTURE  # for the second time: that says no more about the service
        self._count(order)
        has_no_proof = is_lone and order.has_failed and not has_proof and not may_pass
        if self.fault is None and has_no_proof and not set(at_work) <= set(self._failed):
            return Fault.OPEN
        if self.fault is None and (has_no_proof or self._in_a_row >= _TOO_MANY):
            self._cast(f" ({code})", now)
        if self.fault is not None:
            return Fault.SERVICE
        if may_pass:
            return Fault.NOBODY
        return Fault.PICTURE if is_lone else Fault.ONE_OF_MANY

    def remember(self, orders: Sequence[Order], now: float, since: Callable[[Moment], float]) -> Blocked | None:
        """Take up what the orders of an earlier life tell, oldest first; return the doubt that it has left, if any.

        Which success came last is not written down. Without a doubt one is supposed; with a doubt only one that is
        still in the journal, and younger than what was kept, has ended it.
        """
        begun = [(order, since(order.begun)) for order in orders if order.begun is not None]
        failed = [(each, ago) for order, ago in begun for each in order.children or (order,) if each.has_failed]
        if not failed:
            return None
        self.last_success = failed[-1][0].key
        kept = [(order, ago) for order, ago in failed if is_kept(order)]
        succeeded = [since(order.times[State.COMPLETED]) for order in orders if State.COMPLETED in order.times]
        rested = min((ago for _, ago in kept), default=0.0)
        if not kept or min(succeeded, default=rested) < rested:
            return None
        self.last_success = kept[-1][0].last_success
        return self.resume(now, max((order.doubted_seconds or 0.0) + ago for order, ago in kept), rested)

    def resume(self, now: float, age_seconds: float = 0.0, rested_seconds: float = float("inf")) -> Blocked:
        """Be in doubt from the start: an earlier life was, for so long, and its last order failed so long ago."""
        fault = self._cast("", now - age_seconds)
        self._probe_at = now + max(0.0, self._pause(now) - max(0.0, rested_seconds))
        return fault

    def succeed(self, order: Order) -> bool:
        """Record that the service completed an order; return whether that ends a doubt."""
        self.last_success = order.key
        self._in_a_row = 0
        return self.end()

    def end(self) -> bool:
        """Doubt no more; return whether it was doubted."""
        if self.fault is None:
            return False
        self.fault, self._in_a_row = None, 0
        return True

    def may_probe(self, now: float) -> bool:
        return now >= self._probe_at

    def take_probe(self, now: float) -> bool:
        """May a lone file be tried now? If so, that uses the try up."""
        if not self.may_probe(now):
            return False
        self._probe_at = now + self._pause(now)
        return True

    def lift(self) -> None:
        """Try at once: a person says so."""
        self._probe_at = 0.0

    def probe_due(self) -> float:
        return self._probe_at

    def _count(self, order: Order) -> None:
        if order.key not in self._failed:
            self._failed.append(order.key)
            self._in_a_row += 1

    def _pause(self, now: float) -> float:
        return max(self.probe_seconds, min(_LONGEST_SECONDS, (now - self.since) * _PACE))

    def _cast(self, said: str, since: float) -> Blocked:
        self.since, self._probe_at = since, 0.0
        self.fault = Blocked(
            f"the service fails every picture{said}: one is tried every {self.probe_seconds:g} s, later more rarely, "
            "until one succeeds",
            code="EVERY_ORDER_FAILS",
            scope=Scope.PURCHASES,
        )
        return self.fault


def is_kept(order: Order) -> bool:
    """Does it wait, it or what takes its place, for a success of the service to tell who is at fault?"""
    if order.state is State.SUPERSEDING:
        return any(child.doubted_seconds is not None for child in order.children)
    return order.doubted_seconds is not None and order.traits.leads_home
