"""What follows what, and when: runs the due steps of all orders side by side."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from watchfolder.api import Service
from watchfolder.config import Config
from watchfolder.errors import FolderFault, OrderRetry, Resync, Scope, SlowDown, Throttled, WatchfolderError
from watchfolder.events import event, printable
from watchfolder.journal import Journal
from watchfolder.order import Order, State
from watchfolder.pipeline import timing
from watchfolder.pipeline.admission import Admission
from watchfolder.pipeline.breaker import Breaker, Permit
from watchfolder.pipeline.context import Door, InboxRuntime, StepContext
from watchfolder.pipeline.crash_guard import Suspects, is_suspect
from watchfolder.pipeline.folder_faults import is_of_the_inbox
from watchfolder.pipeline.headway import Headway
from watchfolder.pipeline.outcomes import Outcomes, Wait
from watchfolder.pipeline.poll import poll_on_a_push, relocate
from watchfolder.pipeline.poll_schedule import PollSchedule, pause_before_report
from watchfolder.pipeline.steps import STEPS
from watchfolder.pipeline.successors import part_with
from watchfolder.pushes import Pushes
from watchfolder.snapshot import FileGroup


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
        self._started = self._clock.elapsed()
        self._running: dict[str, float] = {}  # key → when its last step began, by the clock of the time awake
        self._headway = Headway(journal, self.breaker)
        self._pushes = pushes or Pushes()
        self._polls = PollSchedule(self._clock, is_pushed_to=bool(config.webhook.secret.get_secret_value()))
        self.admission = Admission(config, journal, self.breaker, self._running, stop)
        self._suspects = Suspects(journal, self.admission.is_silent)
        self._outcomes = Outcomes(config.give_up_after_hours, journal, self.breaker, stop)
        self._outcomes.try_by_key(config.api.fingerprint)

    @property
    def runtimes(self) -> Mapping[str, InboxRuntime]:
        return self.admission.runtimes

    @runtimes.setter
    def runtimes(self, runtimes: Mapping[str, InboxRuntime]) -> None:
        self.admission.runtimes = runtimes

    # --- questions

    def is_idle(self) -> bool:
        """Can nothing move before some order's `not_before`, or before the breaker closes?"""
        with self._guard:
            if self._running:
                return False
        return not any(self._can_move(order) for order in self._journal.orders())

    def slow_steps(self, seconds: float) -> dict[str, str]:
        """Return the orders whose step has been under way for longer than that, awake, with their inboxes."""
        with self._guard:
            slow = [key for key, began in self._running.items() if self._clock.awake() - began > seconds]
        return {key: order.inbox for key in slow if (order := self._journal.get(key)) is not None}

    def running(self) -> int:
        with self._guard:
            return len(self._running)

    # --- the beat

    def beat(self, now: float) -> float:
        """Start every step that is due; return when the next one will be. Instants are seconds since the boot."""
        due = now + 3600.0
        self._take_pushes()
        planned = ((order, self._due_at(order, now)) for order in self._journal.orders())
        times = [(order, at) for order, at in planned if at is not None]
        ready = [order for order, at in times if at <= now]
        is_trial = self._is_trial(ready, now)
        asked = self._ask_list(ready, [order for order, _ in times])
        places = self.admission.places()
        for order, at in sorted(times, key=lambda each: _urgency(each[0])):
            if order.key in asked:
                continue
            if at > now:
                due = min(due, at)
            elif (places > 0 or not self._takes_place(order)) and self._start(order, now, is_trial=is_trial):
                places -= self._takes_place(order)
        return min(due, max(now + 1.0, self.breaker.next_probe()))

    def drain(self, deadline: float) -> bool:
        """Wait until every step under way has ended; False when the deadline (monotonic) came first."""
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.02)
        with self._guard:
            for key in self._running:  # what our own stop interrupts is no death on the order's account
                self._journal.mark_resting(key)
            return not self._running

    def close(self) -> None:
        for runtime in self.runtimes.values():
            runtime.workers.shutdown(wait=False, cancel_futures=True)

    def lift_blockade(self) -> None:
        """Try again now: a person has seen to the key or the credits."""
        self.breaker.lift()
        self._wake()

    # --- when

    def _take_pushes(self) -> None:
        """Let each order that the service has spoken of be polled.

        The journal knows an order's id before its confirm is sent, so a push that is quicker than the confirm's answer
        finds its order all the same.
        """
        spoken_of = self._pushes.take()
        orders = {order.order_id: order for order in self._journal.orders()} if spoken_of else {}
        for order_id in spoken_of:
            self._pushes.count(self._polls.pushed(order_id, orders.get(order_id)))

    def _due_at(self, order: Order, now: float) -> float | None:
        is_within_reach = self.admission.is_within_reach(order.inbox)
        if not is_within_reach or order.state not in STEPS or order.key in self._running:
            return None
        at = self._polls.due_at(order)
        if is_suspect(order):
            at = max(at, self._started + timing.SUSPECT_SECONDS)
        if order.not_before is not None and not self._is_past_outage(order, now):
            at = max(at, order.not_before.elapsed)
        is_parked = order.state is State.QUARANTINED and not self._polls.is_planned(order.key)
        return None if is_parked and not self._journal.needs_record(order) else at

    def _is_past_outage(self, order: Order, now: float) -> bool:
        """Has an outage ended since this order failed? Then it need not wait out its whole backoff."""
        failed, recovered_at = order.failed_at, self.breaker.recovered_at
        if failed is None or order.missing_since is not None:
            return False
        if failed.boot == self._clock.boot and failed.elapsed >= recovered_at:
            return False
        spread = int(order.key[:4], 16) / 0xFFFF * timing.RECOVERY_SPREAD_SECONDS
        return recovered_at > 0 and now >= recovered_at + spread

    def _takes_place(self, order: Order) -> bool:
        """Will it be created, and not only find out how its service is? That is begun by one at a time."""
        return order.state is State.CLAIMED and not self.breaker.doubts(order)

    def _is_trial(self, due: Iterable[Order], now: float) -> bool:
        able = [order for order in due if is_suspect(order) and not self.breaker.bars(order, now)]
        with self._guard:
            running = list(self._running)
        return self._suspects.hold_trial(able, running)

    def _can_move(self, order: Order) -> bool:
        now = self._clock.elapsed()
        if order.state is State.CLAIMING or not self.admission.is_within_reach(order.inbox) or not order.is_due(now):
            return False
        if order.state is State.QUARANTINED:
            return self._journal.needs_record(order)
        if order.state is State.LISTED:
            return not any(each.of_list == order.key and each.is_live for each in self._journal.orders(order.inbox))
        return not self.breaker.bars(order, now)

    # --- running

    def _ask_list(self, due: Sequence[Order], waiting: Sequence[Order]) -> set[str]:
        """Ask one list for several orders, if that is cheaper; return their keys."""
        refusal = self.breaker.refusal
        if self._stop.is_set() or (refusal is not None and refusal.scope is Scope.EVERYTHING):
            return set()
        orders = self._polls.for_list(due, waiting)
        keys = {order.key for order in orders}
        if orders:
            with self._guard:
                self._running.update(dict.fromkeys(keys, self._clock.awake()))
            service = self.runtimes[orders[0].inbox].context.service  # the same for all inboxes
            threading.Thread(target=self._poll_list, args=(service, orders), name="list", daemon=True).start()
        return keys

    def _poll_list(self, service: Service, orders: Sequence[Order]) -> None:
        try:
            at_work, told = self._polls.ask_list(service, orders)
            for order in at_work:
                self._at_work(order)
            for order in orders:
                if order.key in told:
                    self.runtimes[order.inbox].context.memory_of(order).view = told[order.key]
        finally:
            with self._guard:
                for order in orders:
                    self._running.pop(order.key, None)
            self._wake()

    def _start(self, order: Order, now: float, *, is_trial: bool) -> bool:
        """Start the order's step, if it may begin."""
        with self._guard:
            if self._stop.is_set() or self._suspects.holds_still(order, self._running, is_trial=is_trial):
                return False
            if self._journal.get(order.key) is not order:  # a worker has taken it further since we were told of it
                return False
            if (permit := self.breaker.permit(order, now)) is None:
                return False
            self._running[order.key] = self._clock.awake()
        runtime = self.runtimes[order.inbox]
        runtime.workers.submit(self._work, runtime, permit)
        return True

    def _work(self, runtime: InboxRuntime, permit: Permit) -> None:
        """Take the order as far as it goes without waiting."""
        order, key = permit.order, permit.order.key
        following: Permit | None = permit
        try:
            self._journal.mark_running(order)
            while following is not None and not self._stop.is_set():
                current = self._step(runtime, following)
                following = self.breaker.permit(current, self._clock.elapsed()) if current is not None else None
            if following is None and self._journal.get(key) is None:
                runtime.context.forget(key)
        except FolderFault as fault:  # the state directory itself
            runtime.health.report(fault, order.size)
            self._polls.pause(key, timing.FOLDER_BACKOFF_SECONDS)
        except Exception:  # noqa: BLE001 - nothing may end a worker silently
            event("order.step_broke", logging.ERROR, trace=True, order=key, inbox=order.inbox)
            self._polls.pause(key, timing.FIRST_BACKOFF_SECONDS)
        finally:
            self._rest(runtime, key)

    def _rest(self, runtime: InboxRuntime, key: str) -> None:
        try:
            self._journal.mark_resting(key)
        except FolderFault as fault:  # it counts as a death at the next start: at worst one too many of three
            event("journal.marker_stays", logging.WARNING, order=key, reason=fault.reason)
        with self._guard:
            self._running.pop(key, None)
        self._wake()
        self._wake_inboxes(runtime)

    def _wake_inboxes(self, runtime: InboxRuntime) -> None:
        """Let those claim who wait for runtime."""
        recently = self._clock.awake() - timing.WANTS_SECONDS
        for each in self.runtimes.values():
            if each is runtime or each.wanted_at > recently:
                each.wake()

    def _step(self, runtime: InboxRuntime, permit: Permit) -> Order | None:
        """Do one step; return the order when the next step may follow at once, None when it has to wait or has left."""
        order = permit.order
        if self.breaker.is_void(permit):  # while it queued
            permit.spare()
            return None
        if self._outcomes.is_guilty(order):
            permit.spare()
            return self._outcomes.convict(runtime.context, order)
        with self._guard:
            self._running[order.key] = self._clock.awake()
        try:
            with permit:
                after = self._do(runtime.context, permit)
                if after is not None and after.traits.gives_back:
                    permit.spare()  # the service may not even have been asked
        except WatchfolderError as error:
            return self._settle(runtime, order, error)
        except Exception as error:  # noqa: BLE001 - design: unexpected is Retry with its traceback in the log
            event("order.step_broke", logging.ERROR, trace=True, order=order.key, inbox=order.inbox, state=order.state)
            name = type(error).__name__
            return self._settle(runtime, order, OrderRetry(f"an unexpected fault of watchfolder ({name})", code=name))
        if order.state is State.QUARANTINING and after is not None:
            self._journal.counters.quarantined(list(_set_aside(order, after)))
        if order.state is State.CLAIMED:
            self._wake_inboxes(runtime)
        _show_what_came_back(runtime.intake, order, after)
        return self._go_on(order, after)

    def _do(self, context: StepContext, permit: Permit) -> Order | None:
        order = permit.order
        if permit.is_to_split:
            return part_with(context, order, {0})
        is_called_for = order.state is State.CONFIRMED and self._polls.begin(order)
        step = poll_on_a_push if is_called_for else STEPS[order.state]
        try:
            return step(context, order)
        except Resync as error:
            event("order.redo", order=order.key, inbox=order.inbox, reason=error.reason, code=error.code)
            with suppress(Throttled):  # it was looked at a moment ago
                return relocate(context, self._journal.get(order.key) or order, error)
            return None

    def _settle(self, runtime: InboxRuntime, order: Order, error: WatchfolderError) -> Order | None:
        """Record a failed step; return the order when it goes on at once."""
        if isinstance(error, FolderFault) and is_of_the_inbox(runtime.context, order, error):
            runtime.health.report(error, order.size)
            self._polls.pause(order.key, timing.FOLDER_BACKOFF_SECONDS)
            return None
        follows = self._outcomes.handle(runtime.context, self._journal.get(order.key) or order, error)
        if isinstance(follows, Wait):
            pause = 0.0 if isinstance(error, SlowDown) else self._headway.pause(order)
            self._polls.pause(order.key, max(follows.seconds, pause))
            return None
        return self._go_on(order, follows)

    def _go_on(self, before: Order, after: Order | None) -> Order | None:
        """Return the order when its next step may follow at once; else note when it is visited next."""
        if after is not None and after.state is before.state is State.CONFIRMED:
            self._at_work(after)
            return None
        if after is not None and after.state is State.COMPLETED:
            if before.state is State.CONFIRMED:  # else it was found there, and may have been so for long
                self.breaker.succeed(after)
            self._polls.done(after)
        pause = self._headway.pause(before)
        if after is not None and after.state is before.state and after.traits.waits_for_others:
            pause = timing.FIRST_POLL_SECONDS
        if after is not None and after.state is before.state is State.RECORDED:
            pause = pause_before_report(self._clock.since(after.times[State.RECORDED]))
        if after is not None and after.state is State.CONFIRMED:
            self._polls.confirmed(after)
            return None
        self._polls.forget(before.key, has_left=self._journal.get(before.key) is None)
        if pause:
            self._polls.pause(before.key, pause)
        return after if after is not None and not pause and after.state in STEPS else None

    def _at_work(self, order: Order) -> None:
        self._polls.at_work(order)
        self._outcomes.at_work(order)


_LAST = list(STEPS)[::-1]


def _urgency(order: Order) -> tuple[int, int]:
    """Sort what brings a paid picture home before what begins a new one, and last what only lies beside it.

    No picture has its second turn alone before every other one has had its first; else they go as they were claimed.
    """
    place = len(_LAST) if order.state is State.RECORDED else _LAST.index(order.state)
    return place, order.failed_alone


def _set_aside(before: Order, order: Order) -> Iterator[FileGroup]:
    reason = printable(order.why.reason) if order.why else ""
    retry_helps = order.why is None or order.why.retry_helps
    for old, file in zip(before.files, order.files, strict=True):
        if file.is_placed and not old.is_placed and not file.is_delivered and order.of_list is None:
            yield FileGroup(inbox=order.inbox, name=printable(file.name), reason=reason, retry_helps=retry_helps)


def _show_what_came_back(door: Door, before: Order, after: Order | None) -> None:
    """Have the inbox look for what this step may have put there: `run --once` must not end before that look."""
    if before.traits.gives_back:
        door.nudge(None)
    elif before.traits.brings_home:
        for file in (after or before).files:
            door.look_at(file.destination or file.name)
