"""What follows what, and when: runs the due steps of all orders side by side."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from watchfolder.api import Service
from watchfolder.config import Config
from watchfolder.errors import FolderFault, OrderRetry, Resync, SlowDown, Throttled, WatchfolderError
from watchfolder.events import event
from watchfolder.journal import Journal
from watchfolder.order import Order, State
from watchfolder.pipeline import timing
from watchfolder.pipeline.admission import Admission
from watchfolder.pipeline.agenda import Agenda
from watchfolder.pipeline.breaker import Breaker, Permit
from watchfolder.pipeline.context import Door, InboxRuntime, InboxRuntimes, StepContext
from watchfolder.pipeline.outcomes import Outcomes
from watchfolder.pipeline.poll import poll_after, poll_on_a_push
from watchfolder.pipeline.poll_schedule import PollSchedule
from watchfolder.pipeline.steps import STEPS
from watchfolder.pipeline.successors import part_with
from watchfolder.pushes import Pushes


class Pipeline:
    """Runs STEPS. `beat` comes from one thread, the steps run in workers, one order in one worker at a time."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        stop: threading.Event,
        wake: Callable[[], None],
        pushes: Pushes | None = None,
    ) -> None:
        self.breaker = Breaker(config.api.blocked_probe_seconds, journal.clock)
        self.breaker.remember(journal.orders())
        self._journal = journal
        self._clock = journal.clock
        self._stop = stop
        self._wake = wake
        self._guard = threading.RLock()
        self._running: dict[str, float] = {}  # key → when its last step began, by the clock of the time awake
        self._pushes = pushes or Pushes()
        self._polls = PollSchedule(self._clock, is_pushed_to=bool(config.webhook.secret.get_secret_value()))
        self.runtimes = InboxRuntimes()
        self.admission = Admission(config, journal, self.breaker, self.runtimes, self._running, stop)
        self._agenda = Agenda(journal, self._polls, self.breaker, self.runtimes, self.admission.room)
        self._outcomes = Outcomes(config.give_up_after_hours, journal, self.breaker, self.admission.room, stop)
        self._outcomes.try_at_once(config.api.fingerprint)

    # --- questions

    def is_idle(self) -> bool:
        """Can nothing move before some order's `not_before`, or before the breaker closes?"""
        with self._guard:
            if self._running:
                return False
        return not any(map(self._agenda.may_move, self._journal.orders()))

    def slow_inboxes(self, seconds: float) -> set[str]:
        """Return the inboxes of the orders whose step has been under way for longer than that, awake."""
        with self._guard:
            slow = [key for key, began in self._running.items() if self._clock.awake() - began > seconds]
        return {order.inbox for key in slow if (order := self._journal.get(key)) is not None}

    def running(self) -> int:
        with self._guard:
            return len(self._running)

    # --- the beat

    def beat(self, now: float) -> float:
        """Start what may start now; return when the next beat is due. Instants are seconds since the boot."""
        self._take_pushes()
        with self._guard:
            running = set(self._running)
        plan = self._agenda.plan(now, running)
        if plan.listed and not self._stop.is_set():
            self._ask_list(plan.listed)
        for order in plan.ready:
            self._start(order, now)
        return plan.next_at

    def wait_for_end(self, deadline: float) -> bool:
        """Wait until every step under way has ended; False when the deadline (monotonic) came first."""
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.02)
        with self._guard:
            for key in self._running:  # a step that our stop interrupts does not count as a death
                self._journal.clear_running(key)
            return not self._running

    def close(self) -> None:
        for runtime in self.runtimes.values():
            runtime.workers.shutdown(wait=False, cancel_futures=True)

    def try_again(self) -> None:
        """Try again now: a person has seen to the key or the credits."""
        self.breaker.try_again()
        self._wake()

    def _take_pushes(self) -> None:
        """Let each order that the service has spoken of be polled.

        The journal knows an order's id before its confirm is sent, so a push that is quicker than the confirm's answer
        finds its order all the same.
        """
        spoken_of = self._pushes.take()
        orders = {order.order_id: order for order in self._journal.orders()} if spoken_of else {}
        for order_id in spoken_of:
            self._pushes.count(self._polls.wake(order_id, orders.get(order_id)))

    # --- running

    def _ask_list(self, orders: Sequence[Order]) -> None:
        """Ask one list about several orders."""
        with self._guard:
            self._running.update({order.key: self._clock.awake() for order in orders})
        service = self.runtimes[orders[0].inbox].context.service  # the same for all
        threading.Thread(target=self._poll_list, args=(service, orders), name="list", daemon=True).start()

    def _poll_list(self, service: Service, orders: Sequence[Order]) -> None:
        try:
            at_work, told = self._polls.ask_list(service, orders)
            for order in at_work:
                self._polls.at_work(order)
                self._outcomes.at_work(order)
            for order in orders:
                if order.key in told:
                    self.runtimes[order.inbox].context.memory_of(order).view = told[order.key]
        finally:
            with self._guard:
                for order in orders:
                    self._running.pop(order.key, None)
            self._wake()

    def _start(self, order: Order, now: float) -> None:
        """Start the order's step, unless it has moved since the plan was made, or the breaker has opened."""
        with self._guard:
            if self._stop.is_set() or self._journal.get(order.key) is not order:
                return
            if (permit := self.breaker.may_begin(order, now)) is None:
                return
            self._running[order.key] = self._clock.awake()
        runtime = self.runtimes[order.inbox]
        runtime.workers.submit(self._work, runtime, permit)

    def _work(self, runtime: InboxRuntime, permit: Permit) -> None:
        """Take the order as far as it goes without waiting."""
        order, key = permit.order, permit.order.key
        following: Permit | None = permit
        try:
            try:
                self._journal.mark_running(order)
            except FolderFault:
                permit.release()
                raise
            while following is not None and not self._stop.is_set():
                current = self._run_one(runtime, following)
                following = self.breaker.may_begin(current, self._clock.elapsed()) if current is not None else None
            if following is None and self._journal.get(key) is None:
                runtime.context.forget(key)
        except FolderFault as fault:  # the state directory itself
            runtime.health.report(fault, order.size)
            self._agenda.put_off(key, fault)
        except Exception as error:  # noqa: BLE001 - nothing may end a worker silently
            event("order.step_broke", logging.ERROR, trace=True, order=key, inbox=order.inbox)
            self._agenda.put_off(key, error)
        finally:
            self._end_work(runtime, key)

    def _end_work(self, runtime: InboxRuntime, key: str) -> None:
        try:
            self._journal.clear_running(key)
        except FolderFault as fault:  # it counts as a death at the next start: at worst one too many of three
            event("journal.marker_stays", logging.WARNING, order=key, reason=fault.reason)
        with self._guard:
            self._running.pop(key, None)
        self._wake()
        self._wake_inboxes(runtime)

    def _wake_inboxes(self, runtime: InboxRuntime) -> None:
        """Wake the inboxes that wait for room."""
        recently = self._clock.awake() - timing.WANTS_SECONDS
        for each in self.runtimes.values():
            if each is runtime or each.wanted_at > recently:
                each.wake()

    def _run_one(self, runtime: InboxRuntime, permit: Permit) -> Order | None:
        """Do one step; return the order when the next step may follow at once, None when it has to wait or has left."""
        order = permit.order
        if self.breaker.has_opened_since(permit):  # while it queued
            permit.release()
            return None
        if (ended := self._outcomes.after_crash(runtime.context, order)) is not None:
            permit.release()
            return ended
        with self._guard:
            self._running[order.key] = self._clock.awake()
        try:
            with permit:
                after = self._run(runtime.context, permit)
                if after is not None and after.traits.gives_back:
                    permit.release()  # the service may not even have been asked
        except WatchfolderError as error:
            return self._handle(runtime, order, error)
        except Exception as error:  # noqa: BLE001 - design: unexpected is Retry with its traceback in the log
            event("order.step_broke", logging.ERROR, trace=True, order=order.key, inbox=order.inbox, state=order.state)
            name = type(error).__name__
            return self._handle(runtime, order, OrderRetry(f"an unexpected fault of watchfolder ({name})", code=name))
        if order.state is State.CLAIMED:
            self._wake_inboxes(runtime)
        _nudge(runtime.intake, order, after)
        return self._go_on(order, after)

    def _run(self, context: StepContext, permit: Permit) -> Order | None:
        order = permit.order
        if permit.is_to_split:
            return part_with(context, order, {0})
        is_called_for = order.state is State.CONFIRMED and self._polls.begin(order)
        step = poll_on_a_push if is_called_for else STEPS[order.state]
        try:
            return step(context, order)
        except Resync as error:
            permit.was_sent_back = True
            event("order.redo", order=order.key, inbox=order.inbox, reason=error.reason, code=error.code)
            with suppress(Throttled):  # it was polled a moment ago
                return poll_after(context, self._journal.newest(order), error)
            return None

    def _handle(self, runtime: InboxRuntime, order: Order, error: WatchfolderError) -> Order | None:
        """Record a failed step; return the order when it goes on at once."""
        if isinstance(error, FolderFault) and runtime.context.is_of_the_inbox(order, error):
            runtime.health.report(error, order.size)
        elif not isinstance(error, SlowDown):
            return self._go_on(order, self._outcomes.handle(runtime.context, self._journal.newest(order), error))
        self._agenda.put_off(order.key, error)
        return None

    def _go_on(self, before: Order, after: Order | None) -> Order | None:
        """Return the order when its next step may follow at once; else note when it is visited next."""
        if after is not None and after.state is before.state is State.CONFIRMED:
            self._outcomes.at_work(after)
        is_part = before.split_from is not None and before.state is not State.CLAIMED  # begun after another one failed
        is_new = is_part or State.UPLOADED in before.times or before.state is State.CONFIRMED
        if after is not None and after.state is State.COMPLETED and is_new:
            self.breaker.note_result(after)  # else it was found there, and may have been so for long
        return after if self._agenda.follow(before, after) else None


def _nudge(door: Door, before: Order, after: Order | None) -> None:
    """Have the inbox look for what this step may have put there: `run --once` must not end before that look."""
    if before.traits.gives_back:
        door.nudge(None)
    elif before.traits.brings_home:
        for file in (after or before).files:
            door.look_at(file.destination or file.name)
