"""Is it the pictures or the service? What orders that fail say about one another, with `now` as an argument."""

from collections import deque
from dataclasses import dataclass, field

from watchfolder.errors import Blocked, Scope
from watchfolder.order import Order

_TOO_MANY = 5  # orders that failed in a row, without a success between
_REMEMBERED = 1000


@dataclass
class Doubt:
    """While in doubt no order is created, but for one of a lone file every `probe_seconds`; a success ends it.

    Instants are seconds since the boot.
    """

    probe_seconds: float
    fault: Blocked | None = None  # what to tell
    since: float = 0.0
    _in_a_row: int = 0
    _halves: dict[str, str] = field(default_factory=dict)  # an order that was split → what one half failed with
    _counted: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))  # a step may be repeated
    _probe_at: float = 0.0

    def fail(self, order: Order, code: str, now: float) -> bool:
        """Take in that an order failed; return whether that casts a doubt that was not there before."""
        if order.key in self._counted:
            return False
        self._counted.append(order.key)
        self._in_a_row += 1
        are_both = order.half_of is not None and self._halves.pop(order.half_of, None) == code
        if order.half_of is not None and not are_both and len(self._halves) < _REMEMBERED:
            self._halves[order.half_of] = code
        if self.fault is not None or not (are_both or self._in_a_row >= _TOO_MANY):
            return False
        self._cast(f" ({code})", now)
        return True

    def resume(self, now: float) -> Blocked:
        """Be in doubt from the start: an earlier life was, and has kept orders for when it ends."""
        return self._cast("", now)

    def _cast(self, said: str, now: float) -> Blocked:
        self.since = now
        self.fault = Blocked(
            f"the service fails every picture{said}: one is tried every {self.probe_seconds:g} s until it succeeds",
            code="EVERY_ORDER_FAILS",
            scope=Scope.PURCHASES,
        )
        return self.fault

    def succeed(self, order: Order) -> bool:
        """Take in that the service completed an order; return whether that ends a doubt."""
        self._in_a_row = 0
        if order.half_of is not None:
            self._halves.pop(order.half_of, None)
        was_in_doubt = self.fault is not None
        self.fault = None
        return was_in_doubt

    def may_probe(self, now: float) -> bool:
        return now >= self._probe_at

    def take_probe(self, now: float) -> bool:
        """May a lone file be tried now? If so, that uses the try up."""
        if not self.may_probe(now):
            return False
        self._probe_at = now + self.probe_seconds
        return True

    def lift(self) -> None:
        """Try at once: a person says so."""
        self._probe_at = 0.0

    def probe_due(self) -> float:
        return self._probe_at
