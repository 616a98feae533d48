"""How much may come in now, and what keeps it from being more."""

import contextlib
import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from watchfolder.config import Inbox
from watchfolder.errors import Blocked, Scope, WatchfolderError
from watchfolder.events import event
from watchfolder.journal import Journal
from watchfolder.order import Order, State
from watchfolder.pipeline import tempo
from watchfolder.pipeline.doubt import Doubt
from watchfolder.pipeline.gate import Gate
from watchfolder.pipeline.poll_schedule import age_seconds
from watchfolder.pipeline.room import InboxRuntime
from watchfolder.services import flow_of

if TYPE_CHECKING:
    from concurrent.futures import Future

_MOST_MATCHED = 100  # of one inbox: they cost the service nothing, but the journal is no queue


class Capacity:
    """Any thread may ask. `running` holds the keys of the orders whose steps are under way."""

    def __init__(
        self,
        most_orders: int,
        journal: Journal,
        gate: Gate,
        doubt: Doubt,
        running: Collection[str],
        stop: threading.Event,
    ) -> None:
        self.rooms: Mapping[str, InboxRuntime] = {}
        self._most_orders = most_orders
        self._journal = journal
        self._gate = gate
        self._doubt = doubt
        self._running = running
        self._stop = stop
        self._guard = threading.Lock()
        self._asking: Future[None] | None = None  # which reads the service knows
        self._asked_at = float("-inf")

    @property
    def refusal(self) -> Blocked | None:
        """Why the service as a whole is not used as it could be."""
        return self._gate.fault or self._doubt.fault

    @property
    def is_barred(self) -> bool:
        return self.refusal is not None or self._gate.is_down

    def orders(self, inbox: str) -> int:
        """Return how many more orders of the inbox may be claimed now."""
        now = self._journal.clock.awake()
        self.rooms[inbox].wanted_at = now
        if self._stop.is_set():
            return 0
        if sum(order.state is State.MATCHED for order in self._journal.orders(inbox)) >= _MOST_MATCHED:
            return 0
        holding = self._holding()
        if self._gate.fault is not None or self._gate.is_down:
            return 0 if holding or not self._may_ask_with_another() else 1
        if self._doubt.fault is not None:  # a picture that has not failed yet tells more than one that has
            return 0 if self._has_fresh_order() else 1
        if any(order.inbox == inbox and _is_soon_created(order) for order in holding):
            return 0  # until then, files wait to be more in the next one
        wanting = sum(room.wanted_at > now - tempo.WANTS_SECONDS for room in self.rooms.values())
        share = max(1, -(-self._most_orders // max(1, wanting)))
        held = Counter(order.inbox for order in holding)
        most = min(share, self._most_orders - sum(map(_is_stranded, self._journal.orders(inbox))))
        return max(0, min(self._most_orders - len(holding), most - held[inbox]))

    def resumable(self, inbox: str) -> int:
        """Return how many paid orders of the inbox may be taken up again while there are no credits for others."""
        fault = self._gate.fault
        if fault is None or fault.scope is not Scope.PURCHASES or self._gate.is_down or self._stop.is_set():
            return 0
        return max(0, self._most_orders - sum(order.inbox == inbox for order in self._holding()))

    def places(self) -> int:
        """Return how many of the orders that were claimed may be created now: a split makes more of them at once."""
        if self.is_barred:
            return self._most_orders
        begun = (order for order in self._holding() if order.traits.is_at_service or order.key in self._running)
        return self._most_orders - sum(1 for _ in begun)

    def files(self, inbox: str) -> int:
        """Return how many files its next order may hold; 0 while it is being found out what the service can do."""
        room = self.rooms[inbox]
        if self.is_barred:
            return 1
        if self.lack(inbox) and self._asked_at < self._journal.clock.awake() - tempo.ASK_FOR_V3_SECONDS:
            room.context.service.doubt_reads()
        if room.context.service.known_reads is None and self._is_asking(room):
            return 0
        settings = room.context.inbox
        most = min(settings.max_files_per_order, flow_of(settings).most_files)
        if room.context.service.known_reads == "v3":
            return most
        return 0 if flow_of(settings).needs_v3 else 1

    def inbox_of(self, name: str) -> Inbox | None:
        """Return another inbox, while its folders can be read."""
        return self.rooms[name].context.inbox if self.is_within_reach(name) else None

    def lack(self, inbox: str) -> str:
        """Say what the service lacks without which the inbox has to wait; "" while nothing is known to be lacking."""
        context = self.rooms[inbox].context
        flow, is_lacking = flow_of(context.inbox), context.service.lacks_v3
        return (
            f"the service has no v3 reads, without which there is no {flow.name}"
            if flow.needs_v3 and is_lacking
            else ""
        )

    def is_within_reach(self, inbox: str) -> bool:
        """Are its folders there, and do they answer? Else none of its orders goes on, and nobody is to wait for one."""
        room = self.rooms.get(inbox)
        return room is not None and room.health.is_open and not room.health.is_silent

    def is_silent(self, inbox: str) -> bool:
        """Does one of its folders not answer? Then its steps may hang for ever."""
        room = self.rooms.get(inbox)
        return room is not None and room.health.is_silent

    def limit(self, now: float) -> str:
        """Name what keeps the flow from being faster: service, plan, line, or nothing ("")."""
        recently = now - tempo.LIMIT_SECONDS
        benches = [room.context for room in self.rooms.values()]
        held = [order.state for order in self._holding()]
        if self.is_barred:
            return "service"
        if not held:  # nothing flows: orders that wait for another try are kept by no pace
            return ""
        if any(context.service.waited_at > recently or context.service.is_slowed for context in benches):
            return "plan"
        if any(context.transfers.has_been_full(recently) for context in benches):
            return "line"
        is_at_work = held.count(State.CONFIRMED) == len(held) >= self._most_orders
        return "service" if is_at_work else ""

    def _is_asking(self, room: InboxRuntime) -> bool:
        with self._guard:
            now, asking = self._journal.clock.awake(), self._asking
            if self._asked_at < now - tempo.ASK_READS_AGAIN_SECONDS:
                self._asked_at = now
                self._asking = room.workers.submit(_ask_reads, room)
        if self._asking is not None and self._asking is not asking:
            self._asking.add_done_callback(lambda _: room.wake())  # not before: who is woken asks whether it is done
        return self._asking is not None and not self._asking.done()

    def _holding(self) -> Sequence[Order]:
        """Return the orders that hold slots.

        Some of those that the service does not end make room, or no picture would be taken any more: the oldest of them
        after an hour, the second oldest after two, the third after four …, so that little is bought while none ends.
        """
        holding = [order for order in self._journal.orders() if self._holds_slot(order)]
        oldest = sorted(
            (age_seconds(order, self._journal.clock), order.key) for order in holding if order.state is State.CONFIRMED
        )[::-1]
        waits = (tempo.OVERDUE_SECONDS * float(2 ** min(place, 10)) for place in range(len(oldest)))
        room = {key for (age, key), wait in zip(oldest, waits, strict=True) if age >= wait}
        return [order for order in holding if order.key not in room]

    def _holds_slot(self, order: Order) -> bool:
        if not order.traits.holds_slot or self.is_silent(order.inbox):
            return False
        if order.key in self._running:
            return True
        room = self.rooms.get(order.inbox)
        return room is not None and room.health.is_open and order.is_due(self._journal.clock.elapsed())

    def _may_ask_with_another(self) -> bool:
        """May a new order find out how the service is, because none is there that could, or they alone may be at fault?

        An hour after the newest of one, two after that of two, four after that of three …: an outage stays cheap.
        """
        live = [order.begun for order in self._journal.orders() if self._is_live(order)]
        if not live or self._gate.fault is not None:
            return not live
        waits = tempo.LONGEST_BACKOFF_SECONDS * float(2 ** min(len(live) - 1, 10))
        return min(self._journal.clock.since(begun) for begun in live if begun is not None) >= waits

    def _is_live(self, order: Order) -> bool:
        return order.asks_service and not order.refused_by and self.is_within_reach(order.inbox)

    def _has_fresh_order(self) -> bool:
        return any(self._is_live(order) and order.doubted_seconds is None for order in self._journal.orders())


def _is_soon_created(order: Order) -> bool:
    """Is nothing in its way? One that failed waits, and so does one during whose step the process died."""
    return order.state is State.CLAIMED and not order.last_error and not order.deaths


def _is_stranded(order: Order) -> bool:
    """Is it paid for, and put off because no folder takes it? Its inbox buys less, and in the end nothing more."""
    return order.state is State.COMPLETED and order.failures > 0 and order.failed_at is None


def _ask_reads(room: InboxRuntime) -> None:
    with contextlib.suppress(WatchfolderError):  # then its orders hold one file each, and show what is wrong
        event("service.reads", reads=room.context.service.reads)
