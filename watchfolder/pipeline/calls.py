"""What the service pushes becomes looks that are due; said once when pushes begin, or cease, to come in time."""

from watchfolder.events import event
from watchfolder.journal import Journal
from watchfolder.pipeline.visits import Visits
from watchfolder.pushes import Pushes


class Calls:
    """Taken by the pipeline's one thread, at the beginning of each beat."""

    def __init__(self, pushes: Pushes, visits: Visits, journal: Journal) -> None:
        self._pushes = pushes
        self._visits = visits
        self._journal = journal
        self._are_trusted = False

    def take(self, now: float) -> None:
        """Note for each order that the service has spoken of that it wants to be looked at.

        The journal knows an order's id before its confirm is sent, so a push that is quicker than the confirm's answer
        finds its order all the same.
        """
        spoken_of = self._pushes.take()
        orders = {order.order_id: order for order in self._journal.orders()} if spoken_of else {}
        for order_id in spoken_of:
            self._pushes.count(self._visits.pushed(order_id, orders.get(order_id)))
        are_trusted = self._visits.trusts_pushes(now)
        if are_trusted != self._are_trusted:
            self._are_trusted = are_trusted
            if are_trusted:
                event("pushes.arrive", effect="orders are looked at when the service says so")
            else:
                event("pushes.stopped", effect="orders are looked at by time again")
