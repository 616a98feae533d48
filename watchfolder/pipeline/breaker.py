"""Is the service open to us? What one answer says about every other call.

A circuit is closed (calls pass), open (they wait) or half-open (one call, the probe, is under way). The account's
circuit opens when the key or the credits are refused; a service's, when so many of its orders fail that it may be no
picture's fault: then no order is created there, except one of a single file now and then. Instants are seconds since
the boot.
"""

import logging
import math
import threading
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from types import TracebackType
from typing import Self

from watchfolder import errors
from watchfolder.clock import Clock
from watchfolder.errors import Blocked, OrderRetry, Retry, Scope
from watchfolder.events import event
from watchfolder.order import Key, Order, State
from watchfolder.pipeline import timing

_AN_OUTAGE = 3  # failures in a row, of any orders, without a success between; an order's own trouble counts once
_TOO_MANY = 5  # orders that a service failed in a row
_PACE = 1 / 10


class Fault(Enum):
    """Who is at fault for an order that failed."""

    PICTURE = auto()  # this one, or one of its pictures
    SERVICE = auto()  # perhaps no picture: the order is kept until the service succeeds with another one
    UNDECIDED = auto()  # the other parts of the same order, at work at the service, will tell


@dataclass(eq=False)
class Permit:
    """Permission for one step of one order, used as a context manager: from how the block ends the breaker learns.

    It ends in success; in failure, by what was raised; or unused, where the service was not asked after all.
    """

    breaker: "Breaker"
    order: Order
    given_at: float
    is_to_split: bool  # one file of many is to probe its service alone: this step makes no request
    is_unused: bool = False
    was_sent_back: bool = False  # by a Resync: nothing was bought

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self.breaker.end(self, error)

    def release(self) -> None:
        """End it unused: if it was for the probe, the next step may probe at once."""
        self.is_unused = True
        self.breaker.end(self, None)


@dataclass
class _Circuit:
    probe_seconds: float
    pace: float = 0.0  # share of its age between two probes, where that is longer than `probe_seconds`
    fault: Blocked | None = None  # what opened it
    since: float = 0.0
    probe_at: float = 0.0  # when the next probe may be sent
    probe: Permit | None = None  # of the probe under way: half-open
    last_success: Key | None = field(default_factory=lambda: str(uuid.uuid4()))  # an order; a made-up one at first
    failed: set[Key] = field(default_factory=set)  # orders since the last success; a set, for a step may be repeated

    def doubt(self, code: str, since: float) -> str:
        """Open the circuit: all orders of the service fail. Return that in words. The first probe may come at once."""
        tries = f"one is tried every {self.probe_seconds:g} s, later more rarely, until one succeeds"
        reason = f"the service fails every picture{code}: {tries}"
        self.fault = Blocked(reason, code="EVERY_ORDER_FAILS", scope=Scope.PURCHASES)
        self.since, self.probe_at = since, 0.0
        return reason

    def wait_seconds(self, now: float) -> float:
        return timing.probe_wait(self.probe_seconds, now - self.since, self.pace)

    def close(self) -> bool:
        """Return whether it was open."""
        was_open = self.fault is not None
        if was_open:
            self.fault, self.probe = None, None
            self.failed.clear()
        return was_open


class Breaker:
    """Any thread may ask. It knows nothing of a service but its name."""

    def __init__(self, probe_seconds: float, clock: Clock) -> None:
        self.probe_seconds = probe_seconds
        self.recovered_at = -math.inf  # when an outage ended: orders that failed in it need not wait longer
        self.answered_at = -math.inf  # when a step last succeeded, by the clock of the time awake
        self._clock = clock
        self._guard = threading.Lock()
        self._account = _Circuit(probe_seconds)
        self._services: dict[str, _Circuit] = defaultdict(lambda: _Circuit(probe_seconds, _PACE))
        self._lifted_at = -math.inf
        self._failures = 0  # of the service, in a row
        self._troubled: set[Key] = set()  # orders that failed by themselves in the same time: once each

    # --- questions

    @property
    def refusal(self) -> Blocked | None:
        """Why the key is not accepted, or nothing can be bought."""
        return self._account.fault

    @property
    def is_down(self) -> bool:
        return self._failures + len(self._troubled) >= _AN_OUTAGE

    @property
    def open_since(self) -> tuple[Blocked, float] | None:
        """The fault of the first open circuit, the account's before any service's, and since when it is open."""
        return next(((each.fault, each.since) for each in self._all() if each.fault is not None), None)

    def is_open(self, service: str) -> bool:
        """Does this service fail every picture?"""
        circuit = self._services.get(service)  # `get`: only who holds the lock may create one
        return circuit is not None and circuit.fault is not None

    def last_success(self, service: str) -> Key | None:
        with self._guard:
            return self._services[service].last_success

    def is_in_doubt(self, order: Order) -> bool:
        """Is it to be created while its service fails every order? One that may exist there already is not."""
        is_there = order.order_id is not None or not order.may_be_given_back
        return order.state is State.CLAIMED and not is_there and self.is_open(order.service)

    def has_to_wait(self, order: Order, now: float) -> bool:
        """Must its step wait for the next probe?"""
        return any(now < circuit.probe_at for circuit in self._open_for(order))

    def has_opened_since(self, permit: Permit) -> bool:
        """Has a circuit opened since it was given? Then the step is not to begin."""
        return any(circuit.since > permit.given_at for circuit in self._open_for(permit.order))

    def next_probe(self) -> float:
        """Return when the next probe may be sent; infinity while no circuit is open."""
        return min((each.probe_at for each in self._all() if each.fault is not None), default=math.inf)

    # --- permits

    def may_begin(self, order: Order, now: float) -> Permit | None:
        """Return a permit for the order's next step, if it may begin; in an open circuit that step is the probe."""
        with self._guard:
            if self.has_to_wait(order, now):
                return None
            permit = Permit(self, order, now, is_to_split=self.is_in_doubt(order) and order.is_of_many)
            for circuit in self._open_for(order):
                circuit.probe_at, circuit.probe = now + circuit.wait_seconds(now), permit
            return permit

    def end(self, permit: Permit, error: BaseException | None) -> None:
        """Record how a step has ended. One that makes no request says nothing, unless it was refused all the same."""
        is_unused = permit.is_unused or permit.is_to_split or not permit.order.needs_service
        with self._guard:
            match error:
                case Blocked() if error.scope is not Scope.ORDER:
                    self._refuse(error, permit)
                case _ if is_unused or isinstance(error, errors.FolderFault | errors.Throttled):
                    self._release(permit)
                case None | Blocked() | errors.OrderMissing():  # of that order alone: the key itself is accepted
                    self._close_after(permit, has_bought=error is None and not permit.was_sent_back)
                case errors.SlowDown() | errors.Reject() | errors.OrderAgain():  # says nothing of the others
                    pass
                case Retry() if not isinstance(error, OrderRetry):
                    self._failures += 1
                case _:
                    self._troubled.add(permit.order.key)

    def try_again(self) -> None:
        """Try at once: a person says that it is mended."""
        self._lifted_at = self._clock.elapsed()
        for circuit in self._all():
            circuit.probe_at = 0.0

    # --- orders that failed, or did not

    def judge(self, order: Order, error: errors.Reject, beside: Collection[Key], *, may_pass: bool = False) -> Fault:
        """Record that the service failed an order; `beside` are the other parts of the one that it was split from.

        A picture that fails alone, after it failed among others, is at fault only when another one has succeeded since.
        """
        is_again = order.has_failed and not order.is_of_many and not may_pass
        with self._guard:
            service = self._services[order.service]
            is_proven = is_again and order.last_success != service.last_success
            if is_proven and order.failed_alone:  # for the second time: that says no more about the service
                return Fault.PICTURE
            service.failed.add(order.key)
            if service.fault is None:
                if is_again is is_proven and len(service.failed) < _TOO_MANY:
                    return Fault.PICTURE
                if not service.failed.issuperset(beside):
                    return Fault.UNDECIDED
                reason = service.doubt(f" ({error.code})", self._clock.elapsed())
                event("service.fails_all", logging.ERROR, reason=reason, said=error.reason)
            return Fault.SERVICE

    def note_result(self, order: Order) -> None:
        """Record that the service succeeded with an order: where others failed, their pictures are at fault."""
        with self._guard:
            service = self._services[order.service]
            service.last_success = order.key
            service.failed.clear()
            if service.close():
                event("service.succeeds_again")

    def give_up(self, service: str) -> None:
        """Record that no order is left which the service could fail, or succeed with."""
        with self._guard:
            if self._services[service].close():
                event("service.doubt_ended", reason="no order is left that it could fail")

    def remember(self, orders: Sequence[Order]) -> None:
        """Open a service's circuit again where the orders of an earlier life, oldest first, were kept for a doubt.

        Successes are not written down. One that is still in the journal, and younger than what was kept, has ended the
        doubt; and without any doubt a success is supposed.
        """
        for name in {order.service for order in orders}:
            self._remember(self._services[name], [order for order in orders if order.service == name])

    def _remember(self, service: _Circuit, orders: Sequence[Order]) -> None:
        since, now, kept = self._clock.since, self._clock.elapsed(), self._kept(orders)
        rested = min((ago for _, ago in kept), default=-math.inf)
        done = (since(order.times[State.COMPLETED]) for order in orders if State.COMPLETED in order.times)
        if kept and min(done, default=rested) >= rested:
            service.last_success = kept[-1][0].last_success
            reason = service.doubt("", now - max((order.doubted_seconds or 0.0) + ago for order, ago in kept))
            service.probe_at = now + max(0.0, service.wait_seconds(now) - rested)
            event("service.fails_all", logging.ERROR, reason=reason)

    def _kept(self, orders: Sequence[Order]) -> list[tuple[Order, float]]:
        """Return the orders that are kept, and how long ago each was begun, or the one whose place it takes."""
        begun = [(order, self._clock.since(order.started)) for order in orders if order.started is not None]
        return [(each, ago) for order, ago in begun for each in order.children or (order,) if is_kept(each)]

    # --- what opens and closes the account's circuit

    def _all(self) -> Sequence[_Circuit]:
        return [self._account, *self._services.values()]

    def _open_for(self, order: Order) -> Iterator[_Circuit]:
        """Yield the open circuits in which its step would be the probe. One that only splits its order is none."""
        if is_doubted := self.is_in_doubt(order):
            yield self._services[order.service]
        fault = self._account.fault
        if fault is None or not order.needs_service or (is_doubted and order.is_of_many):
            return
        is_there = order.state is State.CLAIMED and order.order_id is not None  # it is polled, not bought
        if fault.scope is Scope.EVERYTHING or (order.traits.buys and not is_there):
            yield self._account

    def _release(self, permit: Permit) -> None:
        for circuit in self._all():
            if circuit.probe is permit:
                circuit.probe_at, circuit.probe = self._clock.elapsed(), None

    def _refuse(self, fault: Blocked, permit: Permit) -> None:
        account, now = self._account, self._clock.elapsed()
        if account.fault is None:
            account.since = now
        if account.fault is None or account.fault.code != fault.code:
            effect = "nothing is sent" if fault.scope is Scope.EVERYTHING else "nothing new is begun"
            event("service.blocked", logging.ERROR, reason=fault.reason, code=fault.code, effect=effect)
        account.fault = fault
        if permit.given_at >= self._lifted_at:  # else a person has said since that it is mended
            account.probe_at = max(account.probe_at, now + account.probe_seconds)

    def _close_after(self, permit: Permit, *, has_bought: bool) -> None:
        """End an outage; close the account's circuit after its probe. An upload's success tells nothing of the key."""
        self.answered_at = self._clock.awake()
        if self.is_down:
            self.recovered_at = self._clock.elapsed()
        self._failures = 0
        self._troubled.clear()
        account = self._account
        if account.fault is None or account.probe is not permit:
            return
        is_of_the_key = account.fault.scope is Scope.EVERYTHING
        if is_of_the_key and permit.order.state is State.CREATED:
            self._release(permit)
        elif is_of_the_key or has_bought:
            account.close()
            event("service.unblocked")


def is_kept(order: Order) -> bool:
    """Does it, or what takes its place, wait until a success of the service tells who is at fault?"""
    if order.state is State.SUPERSEDING:
        return any(child.doubted_seconds is not None for child in order.children)
    return order.doubted_seconds is not None and order.traits.leads_home
