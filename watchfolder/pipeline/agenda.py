"""When each order acts next: at its poll, after its wait, or after a pause that grows while it gets no further.

A step, or several in a circle, is repeated only after such a pause. What is due starts when the breaker, a free slot
and the suspects let it. A suspect is an order during whose steps the process died twice: it is tried alone, so that a
third death tells. Instants are seconds since the boot.
"""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from watchfolder.clock import back_off
from watchfolder.errors import FolderFault, Scope, SlowDown
from watchfolder.journal import Journal
from watchfolder.order import Order, State
from watchfolder.pipeline import timing
from watchfolder.pipeline.breaker import Breaker
from watchfolder.pipeline.context import InboxRuntimes
from watchfolder.pipeline.poll_schedule import PollSchedule

_SUSPECT_DEATHS = 2
_PLACES = {state: place for place, state in enumerate(State)}  # each state comes after those that lead to it
_LONGEST_SECONDS = 3600.0


@dataclass(frozen=True)
class Planned:
    """What is to be done now, and when to plan anew."""

    listed: Sequence[Order]  # one call to the order list asks about them
    ready: Sequence[Order]  # their steps are started, the most urgent first
    next_at: float


class Agenda:
    """Any thread may ask. What orders have reached is in memory only: after a restart the pauses are short again."""

    def __init__(
        self,
        journal: Journal,
        polls: PollSchedule,
        breaker: Breaker,
        runtimes: InboxRuntimes,
        room: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._clock = journal.clock
        self._polls = polls
        self._breaker = breaker
        self._runtimes = runtimes
        self._room = room  # how many claimed orders may be created now
        self._began = self._clock.elapsed()
        self._guard = threading.Lock()
        self._reached: dict[str, tuple[int, int]] = {}  # key → furthest place, steps repeated since

    def plan(self, now: float, running: Collection[str]) -> Planned:
        """Return what may start now of the orders that are not `running`, and when the next one may."""
        due, later, next_at = list[Order](), list[Order](), now + _LONGEST_SECONDS
        for order in sorted(self._journal.orders(), key=_sort_key):
            at = self._due_at(order, now) if order.key not in running else None
            if at is not None and at <= now:
                due.append(order)
            elif at is not None:
                later.append(order)
                next_at = min(next_at, at)
        listed = self._listed(due, later)
        busy = {*running, *(order.key for order in listed)}
        able = self._may_start((order for order in due if order.key not in busy), now)
        return Planned(listed, self._in_turn(able, busy), min(next_at, max(now + 1.0, self._breaker.next_probe())))

    def may_move(self, order: Order) -> bool:
        """Can it move before its `not_before`, and before the breaker closes?"""
        now = self._clock.elapsed()
        if self._due_at(order, now) is None or not order.is_due(now):
            return False
        if order.state is State.LISTED:
            return not any(each.of_list == order.key and each.is_open for each in self._journal.orders(order.inbox))
        return not self._breaker.has_to_wait(order, now)

    def follow(self, before: Order, after: Order | None) -> bool:
        """Note when the order acts next, now that a step has ended; return whether that is at once."""
        if after is not None and after.state is before.state is State.CONFIRMED:
            self._polls.at_work(after)
            return False
        pause = self._wait_after(before)
        if after is not None and after.state is State.CONFIRMED:
            self._polls.add(after)
            return False
        if after is not None and after.state is State.COMPLETED:
            self._polls.done(after)
        self._polls.forget(before.key, has_left=self._journal.get(before.key) is None)
        if pause:
            self._polls.put_off(before.key, pause)
        return after is not None and not pause

    def put_off(self, key: str, error: Exception) -> None:
        """Let the order's next step wait after a fault that does not count against it."""
        match error:
            case FolderFault():
                seconds = timing.FOLDER_BACKOFF_SECONDS
            case SlowDown():
                seconds = error.retry_after_seconds or timing.FIRST_POLL_SECONDS
            case _:
                seconds = timing.FIRST_BACKOFF_SECONDS
        self._polls.put_off(key, seconds)

    # --- what is due, and may it start?

    def _due_at(self, order: Order, now: float) -> float | None:
        """Return when its next step is due; None where there is none, or none that may begin."""
        if order.state is State.CLAIMING or not self._runtimes.is_within_reach(order.inbox):
            return None
        if order.is_parked and not self._journal.needs_record(order):
            return None
        at = self._polls.due_at(order)
        if _is_suspect(order):
            at = max(at, self._began + timing.SUSPECT_SECONDS)
        if order.not_before is not None and not self._is_service_back(order, now):
            at = max(at, order.not_before.elapsed)
        return at

    def _is_service_back(self, order: Order, now: float) -> bool:
        """Has an outage ended since this order failed? Then it need not wait out its whole backoff."""
        failed, recovered_at = order.failed_at, self._breaker.recovered_at
        if failed is None or order.missing_since is not None:
            return False
        if failed.boot == self._clock.boot and failed.elapsed >= recovered_at:
            return False
        spread = int(order.key[:4], 16) / 0xFFFF * timing.RECOVERY_SPREAD_SECONDS
        return recovered_at > 0 and now >= recovered_at + spread

    def _listed(self, due: Collection[Order], later: Collection[Order]) -> Sequence[Order]:
        """Return the orders that one list is asked about, if that is cheaper than to ask about each."""
        refusal = self._breaker.refusal
        if refusal is not None and refusal.scope is Scope.EVERYTHING:
            return []
        return self._polls.for_list(due, [*due, *later])

    def _may_start(self, due: Iterable[Order], now: float) -> list[Order]:
        """Return those that the breaker lets begin and that get a slot: a split can make more than there are slots."""
        able, slots = list[Order](), self._room()
        for order in due:
            takes_slot = order.state is State.CLAIMED and not self._breaker.is_in_doubt(order)  # in doubt: one by one
            if not self._breaker.has_to_wait(order, now) and (slots > 0 or not takes_slot):
                able.append(order)
                slots -= takes_slot
        return able

    def _in_turn(self, able: list[Order], busy: Collection[str]) -> list[Order]:
        """Return those whose turn it is: a suspect that is able to begin is tried with nothing `busy` beside it.

        Orders that hang on a silent share do not count as busy. A death while a suspect is tried is not counted against
        them, nor against a suspect that hangs itself.
        """
        under_way = list(filter(None, map(self._journal.get, busy)))
        hung = [order for order in under_way if self._runtimes.is_silent(order.inbox)]
        if any(map(_is_suspect, (*able, *under_way))):
            for order in hung:
                with contextlib.suppress(FolderFault):  # at worst one death too many is counted
                    self._journal.clear_running(order.key)
        beside = [order for order in under_way if order not in hung]
        if not any(map(_is_suspect, (*able, *beside))):
            return able
        return [] if beside else list(filter(_is_suspect, able))[:1]

    # --- pauses

    def _wait_after(self, before: Order) -> float:
        """Record where a step has left its order; return the pause before the next, 0 where something else sets it."""
        order = self._journal.get(before.key)
        with self._guard:
            if order is None or not order.needs_service:
                self._reached.pop(before.key, None)
                return 0.0 if order is None or order.state is not before.state else self._wait_beside(order)
            place, (furthest, repeats) = _PLACES[order.state], self._reached.get(order.key, (-1, 0))
            if place > furthest:
                self._reached[order.key] = place, 0
            now = self._clock.elapsed()
            is_paced = not order.is_due(now) or self._breaker.has_to_wait(order, now)
            if is_paced or place > min(furthest, _PLACES[before.state]):
                return 0.0
            self._reached[order.key] = furthest, repeats + 1
        return back_off(repeats, timing.REPEAT_SECONDS, timing.LONGEST_BACKOFF_SECONDS)

    def _wait_beside(self, order: Order) -> float:
        """Return the pause of an order that asks the service for no result."""
        if order.state is State.RECORDED:
            asked = [each.asked_at for each in order.enclosures if each.asked_at is not None]
            return timing.report_wait(max(map(self._clock.since, asked), default=0.0))
        return timing.FIRST_POLL_SECONDS if order.traits.waits_for_others else 0.0


def _is_suspect(order: Order) -> bool:
    return order.deaths >= _SUSPECT_DEATHS


def _sort_key(order: Order) -> tuple[int, int]:
    """Sort what brings a paid picture home before what begins a new one, and last what only lies beside it.

    No picture has its second turn alone before every other one has had its first; else they go as they were claimed.
    """
    return 0 if order.state is State.RECORDED else -_PLACES[order.state], order.failed_alone
