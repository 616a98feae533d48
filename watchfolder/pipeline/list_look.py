"""One call to the order list in place of a look at each order, where that is cheaper.

What the list says of some services' orders is all that there is to know: these are waited for by the list alone.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from watchfolder.api import OrderView, Service, Status
from watchfolder.clock import Clock
from watchfolder.errors import SlowDown, WatchfolderError
from watchfolder.events import event
from watchfolder.order import Order, State
from watchfolder.pipeline import tempo
from watchfolder.pipeline.visits import Visits, age_seconds
from watchfolder.services import flow_of


class ListLook:
    """`worth_it` is asked by the pipeline's one thread, `look` is a worker's.

    `keep` gets what the list has told of an order, for its next look.
    """

    def __init__(
        self,
        visits: Visits,
        at_work: Callable[[Order], None],
        keep: Callable[[Order, OrderView], None],
        clock: Clock,
    ) -> None:
        self._visits = visits
        self._clock = clock
        self._at_work = at_work
        self._keep = keep
        self._not_before = float("-inf")
        self._asked_at = float("-inf")

    def not_before(self, order: Order) -> float:
        """Return from when on an order that the list alone is asked about may be due: others may join it until then."""
        return self._asked_at + tempo.LIST_SECONDS if self._is_told_there(order) else float("-inf")

    def _is_told_there(self, order: Order) -> bool:
        is_waited_for = order.state is State.CONFIRMED and flow_of(order).findings is not None
        return is_waited_for and self._clock.elapsed() >= self._not_before and not self._visits.is_alone(order.key)

    def worth_it(self, due: Iterable[Order], waiting: Iterable[Order], now: float) -> Sequence[Order]:
        """Return the orders that the list is to be asked about now, if one of them is due; else none.

        These are orders whose looks came too early, if they are enough, and those of which the list tells all.
        """
        again = self._visits.asked_before(order for order in waiting if order.state is State.CONFIRMED)
        told = [order for order in waiting if self._is_told_there(order)]
        keys = {order.key for order in told}
        if len(again) >= tempo.LIST_PAYS:
            told += [order for order in again if order.key not in keys]
        keys = {order.key for order in told}
        is_due = any(order.key in keys for order in due)
        return told if is_due and now >= self._not_before else []

    def look(self, service: Service, orders: Sequence[Order]) -> None:
        """Plan the next look at each; what the list does not call under way is looked at by itself.

        An order that is complete, and of which the list tells all, needs no request for that.
        """
        self._asked_at = self._clock.elapsed()
        looks: Mapping[str, OrderView] = {}
        try:
            looks = service.newest()
        except SlowDown:  # so would many looks be: the list is asked again
            self._later(orders)
            return
        except WatchfolderError as error:  # each is looked at by itself, which tells more
            self._not_before = self._clock.elapsed() + tempo.NO_LIST_SECONDS
            event("service.no_list", orders=len(orders), reason=error.reason, code=error.code)
        except Exception:  # noqa: BLE001 - nothing may end a worker silently
            self._not_before = float("inf")
            event("service.list_broke", logging.ERROR, trace=True)
        now = self._clock.elapsed()
        for order in orders:
            seen = looks.get(order.order_id or "")
            if seen is not None and seen.status is Status.IN_PROGRESS:
                if self._is_due(order, now):  # else it was only asked about beside others, and goes on waiting
                    self._at_work(order)
                continue
            if seen is not None and seen.status is Status.COMPLETE and _tells_all(order, seen):
                self._keep(order, seen)
            self._visits.look_alone(order.key, now)

    def _is_due(self, order: Order, now: float) -> bool:
        visit = self._visits.get(order.key)
        return visit is None or visit.at <= now or flow_of(order).findings is None

    def _later(self, orders: Sequence[Order]) -> None:
        now = self._clock.elapsed()
        for order in orders:
            self._visits.at_work(order.key, now, age_seconds(order, self._clock))


def _tells_all(order: Order, seen: OrderView) -> bool:
    findings = flow_of(order).findings
    return findings is not None and findings.read(seen.shown) is not None
