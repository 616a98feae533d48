"""Ask how far the service is with an order, and go on from where the order is there."""

import logging
import uuid
from collections.abc import Mapping
from functools import partial

from watchfolder import disk
from watchfolder.api import MovedOn, OrderView, Slot, Status, failed_at_service
from watchfolder.errors import (
    FolderFault,
    OrderAgain,
    OrderMissing,
    OrderRetry,
    Reject,
    Resync,
    Throttled,
    WatchfolderError,
)
from watchfolder.events import event
from watchfolder.order import Finding, Order, OrderFile, Role, State, key_of_one
from watchfolder.pipeline import timing
from watchfolder.pipeline.charging import is_paid_at, is_unknown, is_upload_missing
from watchfolder.pipeline.context import BAD_SECTOR, StepContext, id_of
from watchfolder.pipeline.signed_urls import ask_links
from watchfolder.services import Findings, Stage, flow_of
from watchfolder.work import is_unchanged

MOST_REDOS = 5
UPLOAD_LOST = "UPLOAD_LOST"
_S = State


def poll(context: StepContext, order: Order) -> Order:
    """Ask how far the service is, and go on from there; while it is at work, the order is returned as it was."""
    return go_on(context, order, context.poll(order))


def poll_on_a_push(context: StepContext, order: Order) -> Order:
    """Ask for the link to an order's only result instead of polling: it says as much, and is needed anyway.

    That is tried once. Where there is no link, or several results must be told apart, the order is polled.
    """
    is_new = order.missing_since is None and not context.memory_of(order).was_polled
    if flow_of(order).findings is not None or len(order.results) > 1 or not is_new:
        return poll(context, order)
    try:
        ask_links(context, order)
    except (Resync, Reject):
        return poll(context, order)
    return context.journal.advance(order, _S.COMPLETED)


def poll_after(context: StepContext, order: Order, refusal: Resync) -> Order:
    """Ask where the order is at the service, which has refused a step, and go on from there."""
    seen = context.poll(order)
    is_at_odds = isinstance(refusal, MovedOn) or order.state is _S.CREATED  # there is no step back from there
    if seen.status is Status.PENDING and is_at_odds:
        note_known(context, order)
        reason = f"the service contradicts itself: it calls the order pending, and yet {refusal.reason}"
        raise OrderRetry(reason, code=refusal.code)
    return go_on(context, order, seen)


def go_on(context: StepContext, order: Order, seen: OrderView) -> Order:
    order = _refuse_ended(context, order, seen)
    is_confirmed = order.state is _S.CONFIRMED
    if order.state is _S.COMPLETED or (seen.status is Status.UNKNOWN and not is_confirmed):
        raise OrderRetry(f"the service calls the order {seen.raw_status}, which does not fit", code="STATUS")
    if seen.status is Status.PENDING:
        return _go_back(context, order, seen)
    if not is_confirmed:
        files = (with_hash(context, order, file) for file in identify(order, seen.inputs))
        order = order.having(files=tuple(file.having(is_uploaded=True) for file in files))
        order = context.journal.advance(order, _S.CONFIRMED, charged=True)
    if seen.status is Status.COMPLETE:
        return _take_results(context, order, seen)
    return _note_status(context, order, seen) if is_confirmed else order


def _note_status(context: StepContext, order: Order, seen: OrderView) -> Order:
    """Say once what is unusual; where people at the service have to see to the order, ask rarely from then on."""
    reason, memory = "the service could not finish it by itself: people there see to it", context.memory_of(order)
    if seen.is_delayed and not order.is_delayed:
        event("order.processing_delayed", logging.WARNING, order=order.key, inbox=order.inbox, order_id=order.order_id)
    if seen.is_delayed:
        context.journal.note(order, is_delayed=True, last_error=reason)  # a failed call may have said otherwise
        raise Throttled(reason, retry_after_seconds=timing.DELAYED_POLL_SECONDS)
    if seen.status is Status.UNKNOWN and not memory.is_puzzling:
        event("order.status_unknown", logging.WARNING, order=order.key, status=seen.raw_status)
        memory.is_puzzling = True
    return context.journal.note(order, is_delayed=False, last_error="") if order.is_delayed else order


def note_known(context: StepContext, order: Order) -> Order:
    """Record that the service knows the order by this key: what it said before counts no more."""
    known = {"missing_since": None, "refused_by": "", "fingerprint": context.service.fingerprint}
    is_news = any(getattr(order, name) != value for name, value in known.items())
    return context.journal.note(order, **known) if is_news else order


def require_ours(context: StepContext, order: Order, order_id: str, name: str = "") -> None:
    """Raise OrderRetry for an id that another order of ours has: one would be delivered the other's results."""
    others = (each for each in context.journal.orders() if each.name != order.name)  # of many, all have one name
    is_named_otherwise = name.startswith("wf-") and name != order.name
    if is_named_otherwise or any(each.order_id == order_id for each in others):
        raise OrderRetry("the service has given it the id of another order", code="ORDER_OF_ANOTHER")


def adopt(context: StepContext, order: Order, order_id: str) -> Order:
    require_ours(context, order, order_id)
    event("order.adopted", order=order.key, inbox=order.inbox, order_id=order_id)
    is_charged = order.charged or order.was_rebuilt  # what was known of it is lost: it may have been paid for
    return poll(context, context.journal.advance(order, _S.CREATED, order_id=order_id, charged=is_charged))


def _take_results(context: StepContext, order: Order, seen: OrderView) -> Order:
    made = {(output.input_file_id, output.text): output.file_id for output in seen.outputs}
    files = tuple(_identify_results(file, made) for file in identify(order, seen.inputs))
    if findings := flow_of(order).findings:
        finding = _finding(context, order, seen, findings)
        files = tuple(file.having(finding=finding) if file.role is Role.PICTURE else file for file in files)
        if context.inbox.heatmaps and (link := findings.heatmap(seen.shown)):
            context.memory_of(order).heatmap = link
    return context.journal.advance(order, _S.COMPLETED, files=files, expires_at=seen.expires_at)


def _finding(context: StepContext, order: Order, seen: OrderView, findings: Findings) -> Finding:
    """Return what the service found, with what else is known of it. Raises for what says nothing."""
    finding = findings.read(seen.shown)
    if finding is None:
        raise OrderRetry("the service calls the order complete but does not say what it found", code="NO_VERDICT")
    if finding.verdict in findings.passing and order.reordered < timing.MOST_ORDERED_AGAIN:
        raise OrderAgain(f"the service says no more than: {findings.say(finding)}", code=finding.verdict.upper())
    finding = findings.about(finding, order, partial(context.recipient_of, order))
    return finding.having(order_id=id_of(order), checked_at=context.journal.clock.now())


def _identify_results(file: OrderFile, made: Mapping[tuple[str | None, str], str]) -> OrderFile:
    results = (result.having(result_id=made.get((file.file_id, result.text))) for result in file.results)
    return file.having(results=tuple(results)) if file.file_id is not None else file


def _go_back(context: StepContext, order: Order, seen: OrderView) -> Order:
    """Go on with an order that the service calls pending: it wants uploads (again), or a start that it has not heard.

    If it had accepted the start, one word stands against another: only a second `pending` takes the charge back.
    """
    context.forget_links(order)
    stays_charged = order.charged and not is_unknown(context, order, seen)
    if order.state is _S.CREATED:
        return order if stays_charged is order.charged else context.journal.note(order, charged=stays_charged)
    needs_no_start = is_paid_at(order, Stage.CREATE) or flow_of(order).needs_no_start
    if needs_no_start and not is_upload_missing(context, order, seen):
        return _wait_for_service(context, order)
    if order.redos >= MOST_REDOS:
        raise _given_up(order)
    files = tuple(file.having(is_uploaded=False) for file in order.files)
    facts = {"files": files, "redos": order.redos + 1, "confirm_key": str(uuid.uuid4()), "charged": stays_charged}
    return context.journal.advance(order, _S.CREATED, **facts)


def _wait_for_service(context: StepContext, order: Order) -> Order:
    """Wait for a service that has all it needs, but not for ever."""
    if context.journal.clock.since(order.times[_S.CONFIRMED]) < timing.OVERDUE_SECONDS:
        return order
    reason = "the service has all that it needs for the order, and calls it pending all the same"
    raise OrderRetry(reason, code="STILL_PENDING")


def _given_up(order: Order) -> WatchfolderError:
    """Return the error for an order that has been begun again too often."""
    if order.state is not _S.CONFIRMED:
        return Reject(f"The service lost the uploaded picture {MOST_REDOS} times.", code=UPLOAD_LOST)
    what = "last upload" if flow_of(order).needs_no_start else "confirmation"
    reason = f"the service took the {what} {MOST_REDOS} times, and calls the order pending all the same"
    return OrderRetry(reason, code="STILL_PENDING")


def _refuse_ended(context: StepContext, order: Order, seen: OrderView) -> Order:
    """Raise for an order that has come to its end there without a result, or whose result is gone."""
    if seen.status is Status.EXPIRED:  # before `note_known`: said twice, it is believed
        raise OrderMissing("the order has expired at the service", code="ORDER_EXPIRED")
    order = note_known(context, order)
    if seen.status is Status.FAILED and order.state is not _S.COMPLETED:  # a completed one is tried again: it is paid
        raise failed_at_service(seen.failure)
    return order


def identify(order: Order, slots: tuple[Slot, ...]) -> tuple[OrderFile, ...]:
    """Return the order's files with the service's ids; some servers' reads leave them out.

    Ids that are known hold, in any sequence. Else the names that were sent tell the files apart; and where there are
    none, the sequence of the request does: a file parked by itself is known by its place among all of its order.
    """
    ids = {slot.file_id for slot in slots}
    if len(ids) < len(slots) or any(file.file_id in ids for file in order.files):
        return order.files
    slots = _told_apart(order, slots)
    if len(slots) != len(order.files):
        return order.files
    return tuple(file.having(file_id=slot.file_id) for file, slot in zip(order.files, slots, strict=True))


def _told_apart(order: Order, slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """Return those of its files, as far as their names, or their places, tell."""
    named = {slot.file_name: slot for slot in slots}
    if all(file.sent_name in named for file in order.files):
        return tuple(named[file.sent_name] for file in order.files)
    if (of_many := order.of_many) is None:
        return slots
    return tuple(slot for index, slot in enumerate(slots) if key_of_one(of_many, index) == order.key)


def with_hash(context: StepContext, order: Order, file: OrderFile) -> OrderFile:
    """Return the file with its hash, which is known from its upload unless an earlier life sent it."""
    if file.address:  # its picture was never here
        return file
    place = context.publisher.work.place(order, file)
    found = disk.stat_of(place)
    if file.sha256 is not None or found is None or not is_unchanged(place, file):  # other bytes were claimed
        return file
    try:
        return file.having(sha256=disk.hash_of(place), ctime_ns=found.st_ctime_ns)
    except FolderFault as fault:
        if fault.code != BAD_SECTOR:
            raise
        return file
