"""May an inbox take a file now, and how many? Answered here alone, to the intake and for the lines of a list."""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from watchfolder.config import Config, Inbox
from watchfolder.errors import Scope
from watchfolder.journal import Journal
from watchfolder.order import Order, Role, State
from watchfolder.pipeline import timing
from watchfolder.pipeline.breaker import Breaker
from watchfolder.pipeline.context import InboxRuntime, InboxRuntimes
from watchfolder.quota import Allowance, Quota
from watchfolder.services import flow_of

_MOST_MATCHED = 100  # of one inbox: they cost the service nothing, but the journal is no queue


class Admission:
    """Any thread may ask. `running` holds the keys of the orders whose steps are under way."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        breaker: Breaker,
        runtimes: InboxRuntimes,
        running: Collection[str],
        stop: threading.Event,
    ) -> None:
        self._runtimes = runtimes
        self._most_orders = config.orders_in_flight
        self._mode = config.api.mode
        self._journal = journal
        self._quota = Quota(config, journal.clock)
        self._breaker = breaker
        self._running = running
        self._stop = stop

    # --- what an inbox may take

    def meet(self, inbox: str, wanted: int, new: int, found: int, has_waiting: Callable[[], bool]) -> Allowance:
        """Return how much of the `wanted` settled files the inbox may take now.

        What came is counted first: `new` files, and `found` ones that were there from the start. Raises FolderFault.
        """

        def waits() -> bool:
            return has_waiting() or any(order.is_list for order in self._journal.orders(inbox))

        held = Allowance(reason=self._quota.meet(inbox, new, waits, found))
        is_open = self._runtimes[inbox].health.is_open  # a step may have found since that a folder failed
        if held.is_held or not wanted or not is_open or self._may_be_paid_for(inbox):
            return held
        return self.allowance(inbox, wanted)

    def allowance(self, inbox: str, wanted: int, asker: str = "") -> Allowance:
        """Return how much of the `wanted` files the inbox may take now; `asker` is the key of a list in it that asks.

        It is reserved until it is spent, or asked for anew. Raises FolderFault.
        """
        held = Allowance(reason=self._quota.why(inbox))
        if held.is_held:
            return held
        runtime = self._runtimes[inbox]
        runtime.wanted_at = self._journal.clock.awake()
        if not (orders := self._orders(runtime)):
            return self._allowance_for_paid(runtime)
        if files := self._files(runtime, wanted):
            files = self._quota.reserve(inbox, files, asker or inbox)
            orders = orders if files else 0
        return Allowance(orders, files, runtime.context.folders.room_for_order(runtime.context.inbox))

    def spend(self, order: Order) -> None:
        """Count an order's files for the quota, before it is claimed; a claim that is repeated counts once.

        An order that is taken up again was counted when it was begun. Raises FolderFault.
        """
        if order.order_id is None and order.is_to_be_paid:
            files = sum(file.role is not Role.COPY for file in order.files)
            self._quota.take(order.inbox, files, order.key, order.of_list or order.inbox)

    def has_no_v3(self, inbox: str) -> bool:
        """Does the inbox need v3 reads, which the service is known not to have?"""
        context = self._runtimes[inbox].context
        return flow_of(context.inbox).needs_v3 and context.service.known_reads == "v2"

    # --- what the pipeline asks

    def room(self) -> int:
        """Return how many of the claimed orders may be created now: a split can make more than there are slots."""
        if self._is_closed:
            return self._most_orders
        begun = (order for order in self._with_slot() if order.traits.is_at_service or order.key in self._running)
        return self._most_orders - sum(1 for _ in begun)

    # --- what people are told

    def is_closed_to(self, service: str) -> bool:
        return self._is_closed or self._breaker.is_open(service)

    def limit(self, now: float) -> str:
        """Name what keeps the flow from being faster: service, plan, line, or nothing ("")."""
        recently = now - timing.LIMIT_SECONDS
        context = next(iter(self._runtimes.values())).context  # all have one line to the same service
        held = [order.state for order in self._with_slot()]
        if self._breaker.open_since is not None or self._breaker.is_down:
            return "service"
        if not held:  # nothing flows: deferred orders wait for no limit
            return ""
        if context.service.limiter.waited_at > recently or context.service.limiter.is_held_back():
            return "plan"
        if context.transfers.is_at_limit(recently):
            return "line"
        is_at_work = held.count(State.CONFIRMED) == len(held) >= self._most_orders
        return "service" if is_at_work else ""

    # --- orders

    @property
    def _is_closed(self) -> bool:
        return self._breaker.refusal is not None or self._breaker.is_down

    def _orders(self, runtime: InboxRuntime) -> int:
        """Return how many more orders that may cost something may be begun."""
        inbox = runtime.context.inbox
        own, holding = self._journal.orders(inbox.name), self._with_slot()
        if self._stop.is_set() or sum(order.state is State.MATCHED for order in own) >= _MOST_MATCHED:
            return 0
        if self._is_closed:
            return int(self._may_ask_with_another(holding))
        if self._breaker.is_open(inbox.service):  # one new order at a time: a picture that has not failed tells more
            return int(not self._has_order_without_doubt(inbox.service))
        held = [order for order in holding if order.inbox == inbox.name]
        if any(map(_may_be_created, held)):
            return 0  # files wait meanwhile, so that the next order holds more of them
        recently = self._journal.clock.awake() - timing.WANTS_SECONDS
        wanting = sum(each.wanted_at > recently for each in self._runtimes.values())
        share = -(-self._most_orders // wanting)
        most = min(share, self._most_orders - sum(map(_is_held_up, own)))
        return max(0, min(self._most_orders - len(holding), most - len(held)))

    def _may_be_paid_for(self, inbox: str) -> bool:
        """Must what came wait until it is known whether these bytes are paid for?

        While a paid order is on its way back to its parking place, or the earlier deliveries are being read.
        """
        context = self._runtimes[inbox].context
        if flow_of(context.inbox).may_reuse(context.inbox) and not context.delivery_index.is_ready:
            return True
        return any(order.state is State.RELEASED and order.charged for order in self._journal.orders(inbox))

    def _allowance_for_paid(self, runtime: InboxRuntime) -> Allowance:
        """Return what may be taken while there are no credits: what takes up an order which is paid for."""
        fault, inbox = self._breaker.refusal, runtime.context.inbox
        if fault is None or fault.scope is not Scope.PURCHASES or self._breaker.is_down or self._stop.is_set():
            return Allowance()
        orders = max(0, self._most_orders - sum(order.inbox == inbox.name for order in self._with_slot()))
        most_bytes = runtime.context.folders.room_for_order(inbox)
        return Allowance(orders, orders, most_bytes, paid_bytes=self._paid_bytes(inbox))

    def _paid_bytes(self, inbox: Inbox) -> Mapping[int, Collection[str]]:
        """Return the hashes of the bytes that would take up an order which is paid for, by the file's size."""
        paid_bytes: dict[int, set[str]] = {}
        for order in self._journal.parked(self._mode, flow_of(inbox).product_of(inbox)):
            for file in order.files if order.charged else ():
                if file.sha256 is not None:
                    paid_bytes.setdefault(file.size, set()).add(file.sha256)
        return paid_bytes

    def _with_slot(self) -> Sequence[Order]:
        """Return the orders that hold slots, without those that the service does not finish and that give way."""
        holding = [order for order in self._journal.orders() if self._holds_slot(order)]
        waited_out = self._give_way(order for order in holding if order.state is State.CONFIRMED)
        return [order for order in holding if order.key not in waited_out]

    def _holds_slot(self, order: Order) -> bool:
        if not order.traits.holds_slot:
            return False
        if order.key in self._running:
            return not self._runtimes.is_silent(order.inbox)
        is_due = order.is_due(self._journal.clock.elapsed()) and self._runtimes.is_within_reach(order.inbox)
        return is_due and not self._breaker.is_in_doubt(order)  # in doubt it waits for its turn without a slot

    def _give_way(self, orders: Iterable[Order]) -> set[str]:
        """Return the orders that no longer keep others waiting, because the service does not finish them.

        The oldest gives way after an hour, the second oldest after two, the third after four …: little is bought then.
        """
        begins = ((order.times.get(State.CONFIRMED, order.started), order.key) for order in orders)
        ages = sorted(((self._journal.clock.since(began), key) for began, key in begins if began), reverse=True)
        return {key for place, (age, key) in enumerate(ages) if age >= timing.OVERDUE_SECONDS * 2.0 ** min(place, 10)}

    def _may_ask_with_another(self, holding: Sequence[Order]) -> bool:
        """May a new order probe the service, because no present one can, or because these may be at fault themselves?

        They keep it waiting until they give way, so that an outage stays cheap.
        """
        live = [order for order in self._journal.orders() if self._may_ask(order)]
        waited_out = self._give_way(live) if self._breaker.refusal is None else set()
        return not holding and all(order.key in waited_out for order in live)

    def _may_ask(self, order: Order) -> bool:
        return order.needs_service and not order.refused_by and self._runtimes.is_within_reach(order.inbox)

    def _has_order_without_doubt(self, service: str) -> bool:
        live = (order for order in self._journal.orders() if order.service == service and self._may_ask(order))
        return any(order.doubted_seconds is None for order in live)

    # --- files

    def _files(self, runtime: InboxRuntime, wanted: int) -> int:
        """Return how many files the next order may hold; 0 while it is being found out what the service can do."""
        inbox, service = runtime.context.inbox, runtime.context.service
        flow = flow_of(inbox)
        most = min(wanted, inbox.max_files_per_order, flow.files_limit)
        if self.is_closed_to(inbox.service) or (most == 1 and not flow.needs_v3):
            return 1
        return service.most_files(most, self._journal.clock.awake(), self._runtimes.wake, needs_v3=flow.needs_v3)


def _may_be_created(order: Order) -> bool:
    """Is nothing in its way? One that failed waits, and so does one during whose step the process died."""
    return order.state is State.CLAIMED and order.not_before is None and not order.deaths


def _is_held_up(order: Order) -> bool:
    """Is it paid for, and put off because no folder takes it? Its inbox buys less, and in the end nothing more."""
    return order.state is State.COMPLETED and order.failures > 0 and order.failed_at is None
