"""Is the service open to us? What one refusal says about every other call, with `now` as an argument."""

from dataclasses import dataclass, field

from watchfolder.errors import Blocked, Scope
from watchfolder.order import STATES, State

_AN_OUTAGE = 3  # failures in a row, of any orders, without a success between; an order's own trouble counts once


@dataclass
class Gate:
    """Closed while the key or the credits are refused; narrow during an outage. Instants are seconds since the boot.

    A closed gate lets one call through every `probe_seconds`: the next due one, under its own key.
    """

    probe_seconds: float
    fault: Blocked | None = None
    since: float = 0.0
    refused: State | None = None  # whose step was refused: its success is what opens the gate
    failures: int = 0  # of the service, in a row
    troubled: set[str] = field(default_factory=set)  # orders that failed by themselves in the same time: once each
    recovered_at: float = float("-inf")  # when an outage ended: orders that failed in it need not wait longer
    _probe_at: float = 0.0
    _is_probing: bool = False

    @property
    def is_down(self) -> bool:
        return self.failures + len(self.troubled) >= _AN_OUTAGE

    def bars(self, state: State) -> bool:
        """Would a call of this state's step be refused, as things stand?"""
        return self.fault is not None and (self.fault.scope is Scope.EVERYTHING or STATES[state].buys)

    def has_closed_since(self, state: State, moment: float) -> bool:
        """Would a step of this state, which was let pass at that moment, be refused by now?"""
        return self.bars(state) and self.since > moment

    def would_let_pass(self, state: State, now: float) -> bool:
        """May the step begin, be it as the probe?"""
        if not self.bars(state):
            return True
        is_for_another = self.fault and self.fault.scope is Scope.PURCHASES and state is not self.refused
        return now >= self._probe_at and not is_for_another

    def lets_pass(self, state: State, now: float) -> bool:
        """May the step begin? When it is barred, this call may be the probe, and uses it up."""
        if not self.bars(state):
            return True
        if not self.would_let_pass(state, now):
            return False
        self._probe_at = now + self.probe_seconds
        self._is_probing = True
        return True

    def spare_probe(self, state: State, now: float) -> None:
        """Record that a call of this state's step was put off before it was made: it was no probe yet."""
        if self._is_probing and self.bars(state):
            self._probe_at, self._is_probing = now, False

    def close(self, fault: Blocked, state: State, now: float) -> bool:
        """Record a refusal; return whether it is news."""
        is_news = self.fault is None or self.fault.code != fault.code
        if self.fault is None:
            self.since = now
        self.fault, self.refused, self._is_probing = fault, state, False
        self._probe_at = max(self._probe_at, now + self.probe_seconds)
        return is_news

    def succeed(self, state: State, now: float) -> bool:
        """Record that the service did the step of `state`; return whether that opens the gate."""
        if self.is_down:
            self.recovered_at = now
        self.failures = 0
        self.troubled.clear()
        if self.fault is None or (self.fault.scope is Scope.PURCHASES and state is not self.refused):
            return False
        if self.fault.scope is Scope.EVERYTHING and state is State.CREATED:
            self.spare_probe(state, now)  # the storage's yes says nothing of the key; what follows will
            return False
        self.fault, self.refused, self._is_probing = None, None, False
        return True

    def fail(self, troubled: str | None = None) -> None:
        """Count a passing failure of the service, or the trouble of one order, which says more only with others'."""
        if troubled is None:
            self.failures += 1
        else:
            self.troubled.add(troubled)

    def probe_with(self, state: State) -> None:
        """Let `state` be the one that probes, for no order is left where the refusal was."""
        self.refused = state

    def lift(self) -> None:
        """Try at once: a person says that key or credits are there again."""
        self._probe_at = 0.0

    def probe_due(self) -> float:
        return self._probe_at
