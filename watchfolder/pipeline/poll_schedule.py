"""When an order's next step is due, and whether one call to the order list then serves several. In memory only.

How long the service takes is learned from the orders before. After a restart every order is polled at once. Instants
are seconds since the boot.

A push makes its order due at once. Where the service is to push, the first poll leaves time for that: a push that is
lost costs that time, and no request.
"""

import logging
import threading
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from watchfolder.api import OrderView, Service, Status
from watchfolder.clock import Clock
from watchfolder.errors import SlowDown, WatchfolderError
from watchfolder.events import event
from watchfolder.order import Order, State
from watchfolder.pipeline import timing
from watchfolder.pushes import PushResult
from watchfolder.services import flow_of

_SOONER = 0.97  # what stays of the learned time, at least, after each order: most first polls come late enough
_GROWTH = 2.0  # of the learned time, at most, by one order: an outage is no lesson
_OF_AGE = 1 / 4  # of an order's age passes, at least, between two polls, up to the longest wait …
_OF_GREAT_AGE = 1 / 20  # … and from where that is longer
_ENDED = 1000  # orders of which a push may still come
_LOST = 3  # orders in a row that were found done without their push: pushes come no more
_AT_ONCE = float("-inf")


@dataclass(frozen=True, slots=True)
class Due:
    at: float
    wait_seconds: float = 0.0  # the wait that the last poll began, since the service was still at work; 0: none did
    is_alone: bool = False  # the list cannot tell more about it


_NO_PLAN = Due(_AT_ONCE)


class PollSchedule:
    """Any thread may ask. `is_pushed_to`: the service has an address of ours to push to."""

    def __init__(self, clock: Clock, *, is_pushed_to: bool) -> None:
        self._clock = clock
        self._is_pushed_to = is_pushed_to
        self._guard = threading.Lock()
        self._due: dict[str, Due] = {}
        self._usual: dict[int, float] = {}  # the size of an order, as a power of two → seconds from confirm to complete
        self._pushed: dict[str, bool] = {}  # key of an order that a push has come for → has nobody polled since?
        self._ended: deque[str] = deque(maxlen=_ENDED)  # ids of orders that were found done
        self._lost = _LOST  # orders in a row that were found done without their push
        self._list_asked_at = _AT_ONCE
        self._no_list_before = _AT_ONCE
        # An earlier life, or the configuration before this one, may have polled a moment ago.
        self._first_at = clock.elapsed() + timing.LEAST_BETWEEN_POLLS_SECONDS

    # --- one order

    def due_at(self, order: Order) -> float:
        """Return when the order's next step is due, as far as polls, pushes and pauses tell."""
        with self._guard:
            due, at = self._due.get(order.key), _AT_ONCE
            if due is not None and not (order.state is State.CONFIRMED and self._pushed.get(order.key)):
                at = due.at
            elif due is None and (order.enclosures or (order.traits.needs_service and order.order_id is not None)):
                at = self._first_at
            if self._is_told_by_list(order):  # others may join it until then
                at = max(at, self._list_asked_at + timing.LIST_SECONDS)
            return at

    def put_off(self, key: str, seconds: float) -> None:
        """Let the order's next step wait for so long, whichever step that is."""
        with self._guard:
            before = self._due.get(key, _NO_PLAN)
            self._due[key] = Due(self._clock.elapsed() + seconds, before.wait_seconds)

    def forget(self, key: str, *, has_left: bool) -> None:
        """Drop the plan. A push is remembered until the order has left: the confirm that it ran ahead of may fail."""
        with self._guard:
            self._due.pop(key, None)
            if has_left:
                self._pushed.pop(key, None)

    def add(self, order: Order) -> None:
        """Plan the first poll for when the order is likely to be done."""
        with self._guard:
            grace = timing.PUSH_GRACE_SECONDS if self._is_pushed_to else 0.0
            self._due[order.key] = Due(self._clock.elapsed() + self._first_poll(len(order.files)) + grace)

    def at_work(self, order: Order) -> None:
        """Plan the next poll of an order that is not done, further away each time."""
        with self._guard:
            before, age = self._due.get(order.key, _NO_PLAN).wait_seconds, seconds_at_service(order, self._clock)
            wait = max(timing.LEAST_BETWEEN_POLLS_SECONDS, age * _OF_AGE, before * timing.POLL_WIDENING)
            wait = min(wait, max(timing.LONGEST_POLL_SECONDS, age * _OF_GREAT_AGE))
            self._due[order.key] = Due(self._clock.elapsed() + wait, wait)

    def done(self, order: Order) -> None:
        """Learn from an order that was found complete."""
        with self._guard:
            due, was_pushed = self._due.pop(order.key, None), self._pushed.pop(order.key, None) is not None
            self._ended.append(order.order_id or "")
            if due is not None:  # else it is from an earlier life: nobody polled when it was due
                usual, size = self._first_poll(len(order.files)), len(order.files).bit_length()
                took = seconds_at_service(order, self._clock) if was_pushed or due.wait_seconds > 0 else 0.0  # unknown
                most = usual * _GROWTH if size in self._usual else took
                learned = max(usual * _SOONER, min(took, most))
                self._usual[size] = max(timing.LEAST_BETWEEN_POLLS_SECONDS, learned)
            if self._is_pushed_to and not was_pushed:
                self._lost += 1
                if self._lost == _LOST:
                    event("pushes.stopped", effect="orders are polled by time alone, and a little later")

    # --- pushes

    def wake(self, order_id: str, order: Order | None) -> PushResult:
        """Record that the service has spoken of an order, and return what that changes."""
        with self._guard:
            if order is None and order_id not in self._ended:
                return PushResult.UNKNOWN_ORDER
            if self._lost >= _LOST:
                event("pushes.arrive", effect="orders are polled when the service says so")
            self._lost = 0
            if order is None or not order.traits.is_at_service:
                return PushResult.LATE
            self._pushed[order.key] = True
            return PushResult.NUDGED

    def begin(self, order: Order) -> bool:
        """Record that a poll begins: later pushes call for the next one. Return whether a push called for this one."""
        with self._guard:
            is_called_for = self._pushed.get(order.key, False)
            if is_called_for:
                self._pushed[order.key] = False
            return is_called_for

    # --- the list

    def for_list(self, due: Iterable[Order], waiting: Collection[Order]) -> Sequence[Order]:
        """Return the orders that the list is to be asked about now, if one of them is due; else none.

        These are orders that were polled too early, if there are enough, and those of which the list tells all.
        """
        if self._clock.elapsed() < self._no_list_before:
            return []
        with self._guard:
            again = [order.key for order in waiting if self._is_asked_again(order)]
            if len(again) < timing.LIST_PAYS:
                again = []
            asked = {order.key: order for order in waiting if order.key in again or self._is_told_by_list(order)}
            return list(asked.values()) if any(order.key in asked for order in due) else []

    def ask_list(self, service: Service, orders: Sequence[Order]) -> tuple[list[Order], dict[str, OrderView]]:
        """Ask the list about orders; return those to be polled later, and by key the views that tell everything.

        An order that the list does not call under way is polled by itself; where its view tells everything, that poll
        makes no request.
        """
        self._list_asked_at = self._clock.elapsed()
        views: Mapping[str, OrderView] = {}
        try:
            views = service.newest()
        except SlowDown:  # single polls would be slowed down too: the list is asked again
            return list(orders), {}
        except WatchfolderError as error:  # each is polled by itself, which tells more
            self._no_list_before = self._clock.elapsed() + timing.NO_LIST_SECONDS
            event("service.no_list", orders=len(orders), reason=error.reason, code=error.code)
        except Exception:  # noqa: BLE001 - nothing may end a worker silently
            self._no_list_before = self._clock.elapsed() + timing.NO_LIST_SECONDS
            event("service.list_broke", logging.ERROR, trace=True)
        shown = [(order, views[order_id]) for order in orders if (order_id := order.order_id or "") in views]
        told = {order.key: view for order, view in shown if _is_all_told(order, view)}
        return self._plan_by_list(orders, {order.key: view.status for order, view in shown}), told

    def _plan_by_list(self, orders: Sequence[Order], seen: Mapping[str, Status]) -> list[Order]:
        """Plan the next poll of what is not at work; return what is. An order that the list lacks counts as pending."""
        now, at_work = self._clock.elapsed(), list[Order]()
        with self._guard:
            for order in orders:
                due, status = self._due.get(order.key, _NO_PLAN), seen.get(order.key, Status.PENDING)
                is_due = due.at <= now  # else it was only asked about beside others
                if status is not Status.IN_PROGRESS and (is_due or status is not Status.PENDING):
                    self._due[order.key] = Due(now, due.wait_seconds, is_alone=True)
                elif status is Status.IN_PROGRESS and (is_due or flow_of(order).findings is None):
                    at_work.append(order)
        return at_work

    def _is_asked_again(self, order: Order) -> bool:
        was_polled = self._due.get(order.key, _NO_PLAN).wait_seconds > 0 and not self._pushed.get(order.key, False)
        return was_polled and order.state is State.CONFIRMED and not self._is_alone(order)

    def _is_told_by_list(self, order: Order) -> bool:
        is_asked = self._clock.elapsed() >= self._no_list_before and not self._is_alone(order)
        return is_asked and order.state is State.CONFIRMED and flow_of(order).findings is not None

    def _is_alone(self, order: Order) -> bool:
        """Is it polled by itself? The list does not show it at work, or cannot say that people have to see to it."""
        return order.is_delayed or self._due.get(order.key, _NO_PLAN).is_alone

    def _first_poll(self, files: int) -> float:
        """Return the time learned for orders of this size, or the nearest smaller one."""
        known = [size for size in self._usual if size <= files.bit_length()]
        return self._usual[max(known)] if known else timing.FIRST_POLL_SECONDS


def seconds_at_service(order: Order, clock: Clock) -> float:
    """Return for how long the service has had the order, at least."""
    since = order.times.get(State.CONFIRMED)
    return clock.since(since) if since else 0.0


def _is_all_told(order: Order, view: OrderView) -> bool:
    findings = flow_of(order).findings
    return view.status is Status.COMPLETE and findings is not None and findings.read(view.shown) is not None
