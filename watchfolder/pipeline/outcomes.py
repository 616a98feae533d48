"""What follows from each error of a step."""

import contextlib
import logging
import threading
from collections.abc import Callable, Collection
from typing import Any

from watchfolder.api import FailedAtService
from watchfolder.clock import Moment
from watchfolder.errors import (
    Blocked,
    FolderFault,
    OrderAgain,
    OrderMissing,
    OrderRetry,
    Reject,
    Retry,
    Scope,
    WatchfolderError,
)
from watchfolder.events import event
from watchfolder.journal import Journal
from watchfolder.order import Order, State, Why
from watchfolder.pipeline import timing
from watchfolder.pipeline.breaker import Breaker, Fault, is_kept
from watchfolder.pipeline.context import BAD_SECTOR, StepContext
from watchfolder.pipeline.create import NOT_LISTED, OTHER_KEY
from watchfolder.pipeline.fetch import TEST_KEY
from watchfolder.pipeline.poll import UPLOAD_LOST
from watchfolder.pipeline.poll_schedule import seconds_at_service
from watchfolder.pipeline.successors import split, under_new_key
from watchfolder.services import flow_of

_GUILTY_DEATHS = 3
_OVERDUE = "the service has been at work on it for more than an hour, and is asked ever more rarely"
_CRASHED = "CRASHED"
_UNSOUGHT = "It may have been paid for: what was known of its order is lost, and so is whether it was made."
_PERHAPS_NOT_FETCHED = "It may be that nothing could be fetched from its address: the service does not say which."
_OPEN_IT = (
    "Open the address in a private window of a browser: nothing but the picture must come, without a log-in. Then move "
    "this file back into the inbox."
)
_SAVE_IT = "The disk that it lies on is damaged. Put another copy of the picture into the inbox, and see to the disk."
_LOOK_FIRST = "Look for {what}. To have it made anew, move this file back into the inbox."
_NOTHING_LEFT = frozenset({TEST_KEY, "PROCESSED_FILE_NOT_FOUND", NOT_LISTED})  # that could be taken up again


class Outcomes:
    """Decides, journals and logs; any worker may ask."""

    def __init__(
        self,
        give_up_after_hours: float,
        journal: Journal,
        breaker: Breaker,
        room: Callable[[], int],
        stop: threading.Event,
    ) -> None:
        self._give_up_after_hours = give_up_after_hours
        self._journal = journal
        self._clock = journal.clock
        self._breaker = breaker
        self._room = room  # how many more orders may be created now
        self._stop = stop

    def try_at_once(self, fingerprint: str) -> None:
        """Let orders that were refused by another key than the present one go on at once.

        And lists of addresses: whatever held them, a person may have let them through.
        """
        for order in self._journal.orders():
            if order.refused_by not in ("", fingerprint) or (order.state is State.LISTED and order.not_before):
                with contextlib.suppress(FolderFault):  # then it goes on when its time has come
                    self._journal.note(order, not_before=None)

    def at_work(self, order: Order) -> None:
        """Say once when the service takes very long over an order."""
        current = self._journal.get(order.key)  # it may have moved while the list was asked
        if current is None or current.state is not State.CONFIRMED or current.is_overdue:
            return
        if seconds_at_service(current, self._clock) < timing.OVERDUE_SECONDS:
            return
        with contextlib.suppress(FolderFault):  # then it is said at the next look
            self._journal.note(current, is_overdue=True, last_error=_OVERDUE)
            event("order.overdue", logging.WARNING, order=order.key, inbox=order.inbox, order_id=order.order_id)

    def after_crash(self, context: StepContext, order: Order) -> Order | None:
        """Split or quarantine an order in whose steps the process died three times in a row, the last with it alone."""
        if order.deaths < _GUILTY_DEATHS or not order.needs_service:
            return None
        if order.is_of_many and order.may_be_given_back:
            return self._split(context, order, f"watchfolder died {_GUILTY_DEATHS} times while it worked on it")
        reason = f"watchfolder died {_GUILTY_DEATHS} times while it worked on this picture."
        return self._quarantine(order, Reject(reason, code=_CRASHED))

    def handle(self, context: StepContext, order: Order, error: WatchfolderError) -> Order | None:
        """Decide what follows from a failed step: the order in another state, or None for what the journal now says."""
        if self._stop.is_set() and isinstance(error, Retry):
            return None
        match error:
            case FolderFault():
                return self._hold(order, error)
            case Blocked():
                if error.scope is Scope.ORDER:  # else it is the breaker that waits
                    self._wait_for_key(context, order, error)
                return None
            case OrderMissing():
                return self._missing(context, order, error)
            case OrderAgain():
                return self._order_again(context, order, error)
            case Reject():
                return self._refuse(context, order, error)
            case _:
                return self._retry(context, order, error)

    def _hold(self, order: Order, error: FolderFault) -> Order | None:
        """Let one order wait, for as long as its file or sub-folder is in the way; that time counts against nobody.

        But a file that the disk cannot read is given up in the end.
        """
        facts: dict[str, object] = {"failed_at": None}
        if error.code == BAD_SECTOR and order.needs_service:
            failing = order.failing_seconds + self._seconds_since_failed(order)
            if failing > self._give_up_after_hours * 3600:
                return self._quarantine(order, Reject(error.reason, code=BAD_SECTOR, advice=_SAVE_IT))
            facts = {"failed_at": self._clock.read(), "failing_seconds": failing}
        facts |= {"failures": order.failures + 1, "last_error": error.reason}
        self._journal.put_off(order, timing.retry_wait(order.failures), **facts)
        if order.last_error != error.reason:
            event("order.obstructed", logging.WARNING, order=order.key, inbox=order.inbox, reason=error.reason)
        return None

    def _seconds_since_failed(self, order: Order) -> float:
        return self._clock.awake_since(order.failed_at) if order.failed_at is not None else 0.0

    def _wait_for_key(self, context: StepContext, order: Order, error: WatchfolderError) -> None:
        """Let one order wait for its own account's key, for as long as that takes; the others go on.

        It is tried again ever more rarely, and at once when there is another key.
        """
        if order.last_error != error.reason:
            event("order.not_ours", logging.ERROR, order=order.key, inbox=order.inbox, reason=error.reason)
        since = order.missing_since or self._clock.read()
        wait = timing.probe_wait(self._breaker.probe_seconds, self._clock.since(since), share=1 / 4)
        facts = {"missing_since": since, "refused_by": context.service.fingerprint}
        self._journal.put_off(order, wait, **facts, last_error=error.reason)

    def _missing(self, context: StepContext, order: Order, error: OrderMissing) -> Order | None:
        """Believe that an order is gone only when it was said twice, ten minutes apart, with no other explanation."""
        since = order.missing_since or self._clock.read()
        left = timing.MISSING_AGAIN_SECONDS - self._clock.since(since)
        if order.missing_since is None:
            event("order.missing", logging.WARNING, order=order.key, inbox=order.inbox, reason=error.reason)
        if left > 0:
            self._journal.put_off(order, left, missing_since=since, last_error=error.reason)
            return None
        if order.is_paid and (doubt := self._why_missing(context, order, error)):
            self._wait_for_key(context, order, Blocked(doubt, code=error.code, scope=Scope.ORDER))
            return None
        if order.is_paid:
            reason = f"It was paid for, but the service no longer has it (order {order.order_id})."
            advice = "Ask the service's support for it. To pay again, move this file back into the inbox."
            return self._quarantine(order, Reject(reason, code=error.code, advice=advice), is_gone=True)
        event("order.rekeyed", logging.WARNING, order=order.key, inbox=order.inbox)
        return self._journal.advance(order, State.SUPERSEDING, children=(under_new_key(context, order),))

    def _why_missing(self, context: StepContext, order: Order, error: OrderMissing) -> str:
        """Say why an order that the service does not know may be another account's rather than lost; else ""."""
        if error.code == "ORDER_EXPIRED":
            return ""
        if order.fingerprint != context.service.fingerprint:
            words = "it was made with another one, or at another address (api.base_url)"
            return f"the service does not know this order by this API key: {words}"
        others = (each for each in self._journal.orders() if each.key != order.key and each.needs_service)
        if order.refused_by or any(each.missing_since is not None and each.is_paid for each in others):
            return "the service does not know this order any more, nor others: is the API key another account's now?"
        return ""

    def _refuse(self, context: StepContext, order: Order, error: Reject) -> Order | None:
        """Find out who is at fault: the service, one picture of many, or this one."""
        if not _may_begin_again(order, error):
            return self._quarantine(order, error)
        failure = error if isinstance(error, FailedAtService) else None
        may_pass = failure is not None and order.reordered < failure.tries
        fault = Fault.PICTURE
        if failure is None or not failure.is_of_the_file:
            fault = self._breaker.judge(order, error, self._parts_beside(order, error), may_pass=may_pass)
        if fault is Fault.UNDECIDED:
            return order  # as it was: it is looked at again
        if fault is Fault.SERVICE:
            return self._keep(context, order, error)
        if may_pass:
            return self._order_again(context, order, error)
        return self._split(context, order, error.reason) if order.is_of_many else self._quarantine(order, error)

    def _parts_beside(self, order: Order, error: Reject) -> Collection[str]:
        """Return the parts of the order that this one was split from that will show how the service is.

        The service is at work on them, or nothing keeps them from being created: neither their files nor a lack of
        room. An order that is not there waits for none: to look at it again would be another create.
        """
        if order.split_from is None or order.order_id is None or not isinstance(error, FailedAtService):
            return ()
        parts = [each for each in self._journal.orders() if each.split_from == order.split_from]
        for part in parts:
            if part.state is State.COMPLETED:  # and the thread that has just written so is about to record it
                self._breaker.note_result(part)
        has_room = self._room() > 0
        return {part.key for part in parts if _is_to_come(part, has_room=has_room)}

    def _split(self, context: StepContext, order: Order, reason: str) -> Order:
        event("order.split", order=order.key, inbox=order.inbox, files=len(order.files), reason=reason)
        children = split(context, self._as_failed(order))
        return self._journal.advance(order, State.SUPERSEDING, children=children)

    def _order_again(self, context: StepContext, order: Order, error: WatchfolderError) -> Order:
        """Order the same files under a new key, after a pause that grows."""
        until = self._clock.read().after(timing.order_again_wait(order.reordered))
        _tell_wait("order.again", order, error, until, files=len(order.files))
        facts = {"reordered": order.reordered + 1, "not_before": until, "last_error": error.reason}
        return self._journal.advance(
            order, State.SUPERSEDING, children=(under_new_key(context, order).having(**facts),)
        )

    def _keep(self, context: StepContext, order: Order, error: Reject) -> Order:
        """Keep the order, under a new key, until the service shows that it can succeed at all."""
        lost = 0.0
        if order.doubted_seconds is not None and order.started is not None:  # under this key it has done nothing else
            lost = order.doubted_seconds + self._clock.awake_since(order.started)
        if lost > self._give_up_after_hours * 3600:
            return self._quarantine(order, error)
        again = under_new_key(context, self._as_failed(order)).having(doubted_seconds=lost)
        return self._journal.advance(order, State.SUPERSEDING, children=(again,))

    def _as_failed(self, order: Order) -> Order:
        """Return the order with what is to be remembered of its failure by those that take its place."""
        last_success = order.last_success if order.has_failed else self._breaker.last_success(order.service)
        failed_alone = 0 if order.is_of_many else order.failed_alone + 1
        return order.having(last_success=last_success, failed_alone=failed_alone)

    def _quarantine(self, order: Order, error: Reject, *, is_gone: bool = False) -> Order:
        """Give the order up; when no other order is kept for a doubt about its service, that doubt ends."""
        given_up = self._journal.advance(
            order,
            State.QUARANTINING,
            why=_why(order, error),
            is_resumable=not is_gone and _may_be_taken_up(order, error),
        )
        if not any(is_kept(each) for each in self._journal.orders() if each.service == order.service):
            self._breaker.give_up(order.service)
        return given_up

    def _retry(self, context: StepContext, order: Order, error: WatchfolderError) -> Order | None:
        """Put the order off, and give up when it has failed for long while the service was there for others."""
        is_own = isinstance(error, OrderRetry)
        answered = self._breaker.answered_at
        if is_own and context.service.answered_at is not None:  # even if every answer is one that does not fit
            answered = max(answered, context.service.answered_at)
        lost = self._seconds_since_failed(order)
        failing = order.failing_seconds + (lost if self._clock.awake() - answered < lost else 0.0)
        if failing > self._give_up_after_hours * 3600 and order.needs_service:
            reason = f"It failed for {self._give_up_after_hours:g} h. Last: {error.reason}"
            return self._quarantine(order, Reject(reason, code=error.code))
        wait, now = timing.retry_wait(order.failures), self._clock.read()
        facts = {"failures": order.failures + 1, "failing_seconds": failing, "failed_at": now}
        self._journal.put_off(order, wait, **facts, last_error=error.reason)
        _tell_wait("order.deferred", order, error, now.after(wait), state=order.state)
        return None


def _tell_wait(name: str, order: Order, error: WatchfolderError, until: Moment, **facts: Any) -> None:  # noqa: ANN401
    facts |= {"reason": error.reason, "code": error.code, "until": until.at.isoformat(timespec="seconds")}
    event(name, logging.WARNING, order=order.key, inbox=order.inbox, **facts)


def _is_to_come(order: Order, *, has_room: bool) -> bool:
    """Is the service at work on it, or will it be, at once or after a failure? One held by its file may never be."""
    may_be_created = order.state is State.CLAIMED and (order.not_before is None or order.failed_at is not None)
    return order.traits.is_at_service or (has_room and may_be_created)


def _may_begin_again(order: Order, error: Reject) -> bool:
    """Is nothing lost with the order as it is? What is paid and still there is not bought again."""
    has_failed = isinstance(error, FailedAtService)
    is_sent = order.state is State.CREATED and not has_failed  # to the storage, which judges each file by itself
    if error.code in {TEST_KEY, OTHER_KEY} or (is_sent and not order.is_of_many):
        return False
    return has_failed or order.may_be_given_back or (error.code == UPLOAD_LOST and order.is_of_many)


def _may_be_taken_up(order: Order, error: Reject) -> bool:
    """Could the same bytes take the order up again at the service? What may have been bought is kept for that."""
    if isinstance(error, FailedAtService) or error.code in _NOTHING_LEFT:
        return False
    return order.charged or (order.order_id is not None and error.code != BAD_SECTOR)


def _why(order: Order, error: Reject) -> Why:
    reason, advice = error.reason[:1].upper() + error.reason[1:], error.advice
    reason += "" if reason.endswith((".", "!", "?")) else "."
    if order.may_be_there and order.mode == "live" and not advice:
        where = f"{order.name} in the list of the service" if flow_of(order).is_listed else f"the order {order.key}"
        reason, advice = f"{reason} {_UNSOUGHT}", _LOOK_FIRST.format(what=where)
    if not isinstance(error, FailedAtService):
        return Why(reason=reason, advice=advice, code=error.code)
    if order.files[0].address and not error.is_of_the_file:
        reason, advice = f"{reason} {_PERHAPS_NOT_FETCHED}", _OPEN_IT
    retry_helps = not error.is_of_the_file
    return Why(reason=reason, advice=advice, code=error.code, said=error.said, retry_helps=retry_helps)
