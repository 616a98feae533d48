"""What follows what, and when: runs the due steps of all orders side by side, and decides what each outcome means."""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from watchfolder.config import Config
from watchfolder.errors import Blocked, FolderFault, Forgotten, Redo, Reject, Retry, Scope, SlowDown, WatchfolderError
from watchfolder.events import event
from watchfolder.intake import Intake
from watchfolder.journal import Journal, utc_now
from watchfolder.order import Order, State, Why
from watchfolder.pipeline.gate import PURCHASES, Gate
from watchfolder.pipeline.steps import ASKS_SERVICE, STEPS, Bench, rekeyed, relocate

__all__ = ["Bench", "Gate", "Pipeline", "Room"]

_FIRST_LOOK_SECONDS = 2.0
_LOOK_WIDENING = 1.5
_LONGEST_LOOK_SECONDS = 15.0
_FIRST_BACKOFF_SECONDS = 30.0
_LONGEST_BACKOFF_SECONDS = 3600.0
_FOLDER_BACKOFF_SECONDS = 10.0
_RECOVERY_SPREAD_SECONDS = 10.0  # after an outage the waiting orders come back over this time, not at once
_FORGOTTEN_AGAIN_SECONDS = 600.0
_WANTS_SECONDS = 60.0  # for how long an inbox that asked for room counts as waiting for it
_SUSPECT_DEATHS = 2
_GUILTY_DEATHS = 3

_SLOTLESS = frozenset({State.CLAIMING, State.QUARANTINED})
_GIVES_BACK = frozenset({State.RELEASED, State.SUPERSEDING})


@dataclass
class Room:
    """One inbox with those who work for it."""

    bench: Bench
    intake: Intake
    wake: Callable[[], None]  # its thread
    wanted_at: float = float("-inf")
    workers: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self.workers = ThreadPoolExecutor(thread_name_prefix=f"step-{self.bench.inbox.name}")


@dataclass
class Visit:
    """When an order is next looked at. In memory only: after a restart every order is looked at once."""

    at: float = 0.0
    wait_seconds: float = 0.0


class Pipeline:
    """Runs STEPS. `beat` comes from one thread, the steps run in workers, one order in one worker at a time."""

    def __init__(self, config: Config, journal: Journal, stop: threading.Event, wake: Callable[[], None]) -> None:
        self.gate = Gate(config.api.blocked_probe_seconds)
        self.rooms: Mapping[str, Room] = {}
        self._config = config
        self._journal = journal
        self._stop = stop
        self._wake = wake
        self._guard = threading.RLock()
        self._running: dict[str, float] = {}  # key → when its last step began
        self._visits: dict[str, Visit] = {}
        self._succeeded_at = float("-inf")
        self.delivered = self.quarantined = self.delivered_bytes = 0  # files and bytes since the start

    # --- questions

    def room(self, inbox: str) -> int:
        """Return how many more orders of the inbox may be claimed now."""
        now = time.monotonic()
        self.rooms[inbox].wanted_at = now
        if self._stop.is_set():
            return 0
        with self._guard:
            counts = Counter(order.inbox for order in self._journal.orders() if self._holds_slot(order))
        taken = sum(counts.values())
        if self.gate.fault is not None or self.gate.is_down:
            return 1 if taken == 0 and not self._has_live_order() else 0
        wanting = sum(room.wanted_at > now - _WANTS_SECONDS for room in self.rooms.values())
        share = max(1, -(-self._config.orders_in_flight // max(1, wanting)))
        return max(0, min(self._config.orders_in_flight - taken, share - counts[inbox]))

    def is_idle(self, now: datetime) -> bool:
        """Can nothing move before some order's `not_before`, or before the gate opens?"""
        with self._guard:
            if self._running:
                return False
        return not any(self._can_move(order, now) for order in self._journal.orders())

    def slow_steps(self, now: float, seconds: float) -> dict[str, str]:
        """Return the orders whose step has been under way for longer than that, with their inboxes."""
        with self._guard:
            slow = [key for key, began in self._running.items() if now - began > seconds]
        return {key: order.inbox for key in slow if (order := self._journal.get(key)) is not None}

    def running(self) -> int:
        with self._guard:
            return len(self._running)

    # --- the beat

    def beat(self, now: float, moment: datetime) -> float:
        """Start every step that is due; return when (monotonic seconds) the next one will be."""
        due = now + 3600.0
        for order in sorted(self._journal.orders(), key=_urgency):
            at = self._due_at(order, now, moment)
            if at is None:
                continue
            if at > now:
                due = min(due, at)
            elif self._may_start(order, now):
                self._start(order, now)
        if self.gate.fault is not None:
            due = min(due, max(now + 1.0, self.gate.probe_due()))
        return due

    def drain(self, deadline: float) -> bool:
        """Wait until every step under way has ended; False when the deadline (monotonic) came first."""
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.02)
        with self._guard:
            for key in self._running:  # what our own stop interrupts is no death on the order's account
                self._journal.mark_resting(key)
            return not self._running

    def close(self) -> None:
        for room in self.rooms.values():
            room.workers.shutdown(wait=False, cancel_futures=True)

    def lift_blockade(self) -> None:
        """Try again now: a person has seen to the key or the credits."""
        self.gate.lift()
        self._wake()

    # --- when

    def _due_at(self, order: Order, now: float, moment: datetime) -> float | None:
        room = self.rooms.get(order.inbox)
        if room is None or order.state not in STEPS or not room.intake.is_open or order.key in self._running:
            return None
        visit = self._visits.get(order.key)
        at = visit.at if visit else now
        if order.not_before is not None and order.not_before > moment and not self._is_past_outage(order, now, moment):
            at = max(at, now + (order.not_before - moment).total_seconds())
        if order.state is State.QUARANTINED and visit is None and not self._journal.needs_record(order):
            return None
        return at

    def _is_past_outage(self, order: Order, now: float, moment: datetime) -> bool:
        """Has an outage ended since this order failed? Then it need not wait out its whole backoff."""
        if order.failed_at is None or order.missing_since is not None:
            return False
        recovered = moment - timedelta(seconds=now - self.gate.recovered_at) if self.gate.recovered_at > 0 else None
        if recovered is None or order.failed_at >= recovered:
            return False
        spread = int(order.key[:4], 16) / 0xFFFF * _RECOVERY_SPREAD_SECONDS
        return moment >= recovered + timedelta(seconds=spread)

    def _may_start(self, order: Order, now: float) -> bool:
        with self._guard:
            if self._stop.is_set() or self._is_quarantine_waiting_for_suspect(order):
                return False
        if order.state not in ASKS_SERVICE:
            return True
        if self.gate.fault is not None and not self._has_order_in(self.gate.refused):
            self.gate.probe_with(order.state if order.state in PURCHASES else State.CLAIMED)
        return self.gate.lets_pass(order.state, now)

    def _is_quarantine_waiting_for_suspect(self, order: Order) -> bool:
        """After two deaths the suspects run one at a time: nobody beside them, so that the third tells."""
        running = [self._journal.get(key) for key in self._running]
        if any(other is not None and other.deaths >= _SUSPECT_DEATHS for other in running):
            return True
        return order.deaths >= _SUSPECT_DEATHS and bool(running)

    def _holds_slot(self, order: Order) -> bool:
        if order.state in _SLOTLESS:
            return False
        if order.key in self._running:
            return True
        room = self.rooms.get(order.inbox)
        return room is not None and room.intake.is_open and order.is_due(utc_now())

    def _has_live_order(self) -> bool:
        return any(order.state in ASKS_SERVICE and order.inbox in self.rooms for order in self._journal.orders())

    def _has_order_in(self, state: State | None) -> bool:
        return any(order.state is state and order.inbox in self.rooms for order in self._journal.orders())

    def _can_move(self, order: Order, moment: datetime) -> bool:
        room = self.rooms.get(order.inbox)
        if room is None or not room.intake.is_open or order.state in _SLOTLESS or not order.is_due(moment):
            return False
        return not self.gate.bars(order.state)

    # --- running

    def _start(self, order: Order, now: float) -> None:
        room = self.rooms[order.inbox]
        with self._guard:
            self._running[order.key] = now
        room.workers.submit(self._work, room, order)

    def _work(self, room: Room, order: Order) -> None:
        """Take the order as far as it goes without waiting."""
        key = order.key
        try:
            self._journal.mark_running(order)
            current: Order | None = order
            while current is not None and not self._stop.is_set():
                current = self._step(room, current)
            if current is None:
                room.bench.forget_unless(self._journal.get(key), key)
        except FolderFault as fault:  # the state directory itself
            room.intake.report(fault, order.size)
            self._visit_later(key, _FOLDER_BACKOFF_SECONDS)
        except Exception:  # noqa: BLE001 - nothing may end a worker silently
            event("order.step_broke", logging.ERROR, trace=True, order=key, inbox=order.inbox)
            self._visit_later(key, _FIRST_BACKOFF_SECONDS)
        finally:
            self._rest(room, key)

    def _rest(self, room: Room, key: str) -> None:
        try:
            self._journal.mark_resting(key)
        except FolderFault:  # it counts as a death at the next start: at worst one too many of three
            event("journal.marker_stays", logging.WARNING, order=key, trace=True)
        with self._guard:
            self._running.pop(key, None)
        self._wake()
        room.wake()

    def _step(self, room: Room, order: Order) -> Order | None:
        """Do one step; return the order when the next step may follow at once, None when it has to wait or has left."""
        if order.deaths >= _GUILTY_DEATHS and order.state in ASKS_SERVICE:
            reject = Reject("watchfolder died three times while it worked on this picture.", code="CRASHED")
            return self._quarantine(order, reject)
        with self._guard:
            self._running[order.key] = time.monotonic()
        try:
            after = STEPS[order.state](room.bench, order)
        except WatchfolderError as error:
            return self._handle(room, self._journal.get(order.key) or order, error)
        except Exception as error:  # noqa: BLE001 - design: unexpected is Retry with its traceback in the log
            event("order.step_broke", logging.ERROR, trace=True, order=order.key, inbox=order.inbox, state=order.state)
            unexpected = Retry(
                f"an unexpected fault of watchfolder ({type(error).__name__})", code=type(error).__name__
            )
            return self._handle(room, self._journal.get(order.key) or order, unexpected)
        self._note_success(order.state, after)
        for name in _may_lie_in_inbox(order):
            room.intake.nudge(name)  # `run --once` must not end before that look
        if after is None:
            with self._guard:
                self._visits.pop(order.key, None)
            return None
        if after.state is order.state:
            self._look_later(order.key)
            return None
        with self._guard:
            self._visits.pop(order.key, None)
        if after.state is State.CONFIRMED:
            self._visit_later(order.key, _FIRST_LOOK_SECONDS)
            return None
        return after if self._follows_at_once(after) else None

    def _follows_at_once(self, order: Order) -> bool:
        return order.state in STEPS and (
            order.state not in ASKS_SERVICE or self.gate.lets_pass(order.state, time.monotonic())
        )

    def _note_success(self, state: State, after: Order | None) -> None:
        with self._guard:
            if state is State.COMPLETED and after is not None:
                self.delivered += len(after.files)
                self.delivered_bytes += sum(file.delivered_size or 0 for file in after.files)
            elif state is State.QUARANTINING and after is not None:
                self.quarantined += len(after.files)
            if state not in ASKS_SERVICE:
                return
            self._succeeded_at = time.monotonic()
            if self.gate.succeed(state, time.monotonic()):
                event("service.unblocked")

    def _look_later(self, key: str) -> None:
        with self._guard:
            wait = self._visits.get(key, Visit()).wait_seconds
        wait = min(_LONGEST_LOOK_SECONDS, max(_FIRST_LOOK_SECONDS, wait * _LOOK_WIDENING))
        self._visit_later(key, wait)

    def _visit_later(self, key: str, seconds: float) -> None:
        with self._guard:
            self._visits[key] = Visit(time.monotonic() + seconds, seconds)

    # --- outcomes

    def _handle(self, room: Room, order: Order, error: WatchfolderError) -> Order | None:
        """Decide what follows from a failed step."""
        if self._stop.is_set() and isinstance(error, Retry):
            return None
        match error:
            case FolderFault():
                room.intake.report(error, order.size)
                self._visit_later(order.key, _FOLDER_BACKOFF_SECONDS * random.uniform(1, 2))  # noqa: S311 - jitter
                return None
            case SlowDown():
                self._visit_later(order.key, error.retry_after_seconds or _FIRST_LOOK_SECONDS)
                return None
            case Blocked():
                self._block(order, error)
                return None
            case Redo():
                return self._redo(room, order, error)
            case Forgotten():
                return self._forgotten(order, error)
            case Reject():
                return self._quarantine(order, error)
            case _:
                return self._retry(order, error)

    def _block(self, order: Order, error: Blocked) -> None:
        with self._guard:
            is_news = self.gate.close(error, order.state, time.monotonic())
        if is_news:
            scope = "nothing is sent" if error.scope is Scope.EVERYTHING else "nothing new is begun"
            event("service.blocked", logging.ERROR, reason=error.reason, code=error.code, effect=scope)

    def _redo(self, room: Room, order: Order, error: Redo) -> Order | None:
        event("order.redo", order=order.key, inbox=order.inbox, reason=error.reason, code=error.code)
        try:
            after = relocate(room.bench, order)
        except Redo as again:  # a look cannot be sent back; whatever this is, it passes or gives up in time
            return self._retry(order, again)
        except WatchfolderError as other:
            return self._handle(room, self._journal.get(order.key) or order, other)
        if after.state is order.state:
            self._look_later(order.key)
            return None
        return after

    def _forgotten(self, order: Order, error: Forgotten) -> Order | None:
        """Believe that an order is gone only when it was said twice, ten minutes apart."""
        now = utc_now()
        if order.missing_since is None:
            until = now + timedelta(seconds=_FORGOTTEN_AGAIN_SECONDS)
            event("order.missing", logging.WARNING, order=order.key, inbox=order.inbox, reason=error.reason)
            self._journal.note(order, missing_since=now, not_before=until, trouble=error.reason)
            return None
        if (now - order.missing_since).total_seconds() < _FORGOTTEN_AGAIN_SECONDS:
            return None
        if order.was_confirmed:
            reason = f"It was paid for, but the service no longer has it (order {order.order_id})."
            advice = "Ask the service's support for it. To pay again, move this file back into the inbox."
            return self._quarantine(order, Reject(reason, code=error.code, advice=advice), is_gone=True)
        event("order.rekeyed", logging.WARNING, order=order.key, inbox=order.inbox)
        return self._journal.advance(order, State.SUPERSEDING, children=(rekeyed(order),))

    def _quarantine(self, order: Order, error: Reject, *, is_gone: bool = False) -> Order:
        failed = error.code in _FAILED_AT_SERVICE or order.order_id is None or is_gone
        why = Why(reason=_sentence(error.reason), advice=error.advice, code=error.code)
        return self._journal.advance(order, State.QUARANTINING, why=why, is_resumable=not failed)

    def _retry(self, order: Order, error: WatchfolderError) -> Order | None:
        """Put the order off, and give up when it has failed for long while the service was there for others."""
        with self._guard:
            if order.state in ASKS_SERVICE:
                self.gate.fail()
            answered = self._succeeded_at
        now = utc_now()
        lost = 0.0
        if order.failed_at is not None and answered > time.monotonic() - (now - order.failed_at).total_seconds():
            lost = (now - order.failed_at).total_seconds()
        failing = order.failing_seconds + lost
        if failing > self._config.give_up_after_hours * 3600 and order.state in ASKS_SERVICE:
            hours = f"{self._config.give_up_after_hours:g}"
            return self._quarantine(
                order, Reject(f"It failed for {hours} hours. Last: {error.reason}", code=error.code)
            )
        wait = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2 ** min(order.failures, 10))
        until = now + timedelta(seconds=wait * random.uniform(0.75, 1.25))  # noqa: S311 - jitter, no secret
        facts = {"failures": order.failures + 1, "failing_seconds": failing, "failed_at": now, "not_before": until}
        self._journal.note(order, **facts, trouble=error.reason)
        event(
            "order.deferred",
            logging.WARNING,
            order=order.key,
            inbox=order.inbox,
            state=order.state,
            reason=error.reason,
            code=error.code,
            until=until.isoformat(timespec="seconds"),
        )
        return None


_FAILED_AT_SERVICE = frozenset({"PROCESSING_ERROR", "ORDER_ALREADY_FAILED", "FAILED", "ORDER_EXPIRED"})
_LAST = list(STEPS)[::-1]


def _urgency(order: Order) -> tuple[int, datetime]:
    """Sort what brings a paid picture home before what begins a new one."""
    place = _LAST.index(order.state) if order.state in STEPS else len(_LAST)
    return place, min(order.times.values(), default=utc_now())


def _may_lie_in_inbox(order: Order) -> Iterable[str | None]:
    """Name what the step of this state may have put back into the inbox; None is anything."""
    if order.state is State.COMPLETED:  # an original that changed after confirm
        return [file.name for file in order.files]
    return [None] if order.state in _GIVES_BACK else []


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
