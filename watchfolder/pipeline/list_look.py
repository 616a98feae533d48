"""One call to the order list in place of a look at each order, where that is cheaper."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from watchfolder.api import OrderView, Service, Status
from watchfolder.clock import Clock
from watchfolder.errors import SlowDown, WatchfolderError
from watchfolder.events import event
from watchfolder.order import Order, State
from watchfolder.pipeline import tempo
from watchfolder.pipeline.visits import Visits, age_seconds


class ListLook:
    """`worth_it` is asked by the pipeline's one thread, `look` is a worker's."""

    def __init__(self, visits: Visits, at_work: Callable[[Order], None], clock: Clock) -> None:
        self._visits = visits
        self._clock = clock
        self._at_work = at_work
        self._not_before = float("-inf")

    def worth_it(self, due: Iterable[Order], waiting: Iterable[Order], now: float) -> Sequence[Order]:
        """Return the orders whose looks came too early, if one of them is due and they are enough; else none."""
        again = self._visits.asked_before(order for order in waiting if order.state is State.CONFIRMED)
        keys = {order.key for order in again}
        is_due = any(order.key in keys for order in due)
        return again if is_due and len(again) >= tempo.LIST_PAYS and now >= self._not_before else []

    def look(self, service: Service, orders: Sequence[Order]) -> None:
        """Plan the next look at each; what the list does not call under way is looked at by itself."""
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
                self._at_work(order)
            else:
                self._visits.look_alone(order.key, now)

    def _later(self, orders: Sequence[Order]) -> None:
        now = self._clock.elapsed()
        for order in orders:
            self._visits.at_work(order.key, now, age_seconds(order, self._clock))
