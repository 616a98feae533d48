"""The verbs between the states: one function each, found in STEPS. Each may find that it has already happened."""

import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial

from watchfolder import disk
from watchfolder.api import Created, Found, MovedOn, OrderView, Slot, Status, failed_at_service
from watchfolder.errors import (
    Blocked,
    FolderFault,
    OrderAgain,
    OrderMissing,
    OrderRetry,
    Reject,
    Resync,
    Scope,
    Throttled,
)
from watchfolder.events import event, printable
from watchfolder.order import Order, OrderFile, Role, State, key_of_one
from watchfolder.pipeline import tempo
from watchfolder.pipeline.charging import (
    charge,
    charging,
    is_charged_at,
    is_clear_no,
    is_unheard,
    is_upload_lost,
)
from watchfolder.pipeline.context import StepContext, id_of
from watchfolder.pipeline.enclosures import enclose, wanted
from watchfolder.pipeline.folder_faults import BAD_SECTOR, is_of_the_inbox
from watchfolder.pipeline.lists import unfold
from watchfolder.pipeline.reuse import reuse
from watchfolder.pipeline.rounds import Round
from watchfolder.pipeline.successors import (
    is_as_claimed,
    parked_alone,
    part_from,
    part_with,
    rekeyed,
    release_changed,
    supersede,
)
from watchfolder.pipeline.transfer import Fetching, Sending, ask_links, remember_urls, send_unchanged
from watchfolder.publish import Received, is_unchanged, part_gone
from watchfolder.services import Stage, flow_of
from watchfolder.snapshot import VerdictCount

MOST_REDOS = 5
UPLOAD_LOST = "UPLOAD_LOST"
OTHER_KEY = "OTHER_KEY"
NOT_LISTED = "NOT_LISTED"
KEY_TAKEN = "KEY_TAKEN"
_MAY_BE_PAID = (
    "The service says that it has had this order before, in other words, and what became of it cannot be found out."
)
_ASK_FOR_IT = (
    "Ask the service's support for the order with the key below. To buy it anew, {}, and move that into the inbox."
)
_LASTING_FAILURES = 3  # rounds of uploads: then those that are there wait no longer for those that do not get there
_STALE_CREATE_SECONDS = 3600.0
_S = State


def create(context: StepContext, order: Order) -> Order:
    """Make the order at the service, once per key, however often this is repeated."""
    context.folders.require(context.inbox)
    context.folders.require_room(context.inbox, order.size)
    is_stale = context.journal.clock.may_be_older(order.times[_S.CLAIMED], _STALE_CREATE_SECONDS)
    is_of_another_key = order.charged and _is_of_another_key(context, order)
    is_doubtful = order.was_rebuilt or is_stale or order.of_many is not None or is_of_another_key
    if order.order_id is None and is_doubtful:  # first: what is paid is not bought again
        found = _look_by_name(context, order)
        if found is not None:
            return _adopt(context, order, found.order_id)
    is_to_begin = order.order_id is not None or order.may_be_given_back  # else its create alone tells what it came to
    if is_to_begin and (not is_as_claimed(context, order) or any(file.is_placed for file in order.files)):
        return release_changed(context, order)
    if order.order_id is not None:  # resumed from quarantine
        return _adopt(context, order, order.order_id)
    if order.of_many is not None:  # its body is that of all of them
        raise _perhaps_paid(order, KEY_TAKEN)
    order = _begun_with_this_key(context, order)
    try:
        with charging(context, order, Stage.CREATE) as asked:
            path, sent_names = flow_of(order).create_path, [file.sent_name for file in order.files]
            created = context.service.create(path, order.body, sent_names)
    except Resync as redo:
        return _key_taken(context, order, redo)
    return _created(context, asked, created)


def _created(context: StepContext, order: Order, created: Created) -> Order:
    """Go on with what the service has made for this key, now or at an earlier try that was not heard of."""
    was_rebuilt = order.was_rebuilt
    order = context.journal.advance(
        order,
        _S.CREATED,
        order_id=created.order_id,
        fingerprint=context.service.fingerprint,
        files=_with_ids(order, created.slots),
        charged=order.charged or was_rebuilt,
    )
    if created.status is Status.IN_PROGRESS and is_charged_at(order, Stage.CREATE):
        return context.journal.advance(order, _S.CONFIRMED)
    if created.status is not Status.PENDING:  # an earlier create under this key had come further than we knew
        return relocate(context, order)
    if not was_rebuilt:  # else some of its files may be there
        remember_urls(context, order, created.slots)
    return order


def _key_taken(context: StepContext, order: Order, redo: Resync) -> Order:
    """Find the order for which the key was used, with another body; or begin afresh where nothing can be paid twice."""
    found = context.service.find(order.name) if flow_of(order).is_listed else None
    if found is not None:
        return _adopt(context, order, found.order_id)
    may_be_paid = not order.may_be_given_back or (redo.was_repeated and is_charged_at(order, Stage.CREATE))
    if not flow_of(order).is_listed:
        context.journal.note(order, charged=True)  # the same bytes, and the same key, are all that leads to it
        raise _perhaps_paid(order, redo.code)
    if may_be_paid:
        context.journal.note(order, charged=True)
        raise _not_listed(order, f"the service calls its key used before ({redo.code})")
    if order.redos:  # nor is this one's key the first that is taken
        context.journal.note(order)  # as it was before: nothing was made of it
        reason = "the service calls each key used before, and has no order of its name"
        raise OrderRetry(reason, code=redo.code) from None
    event("order.key_taken", order=order.key, inbox=order.inbox, code=redo.code)
    return context.journal.advance(order, _S.SUPERSEDING, children=(rekeyed(order).having(redos=1),))


def _perhaps_paid(order: Order, code: str) -> Reject:
    """Say what to do: what is the same leads to the same order, and nothing else does."""
    anew = "download the picture" if order.files[0].address else "save it anew in a picture editor"
    return Reject(_MAY_BE_PAID, code=code, advice=_ASK_FOR_IT.format(anew))


def upload(context: StepContext, order: Order) -> Order:
    """Send each file that is not there yet, several side by side."""
    if is_charged_at(order, Stage.CREATE):  # which has started it: nothing is to be sent, nor to be confirmed
        return context.journal.advance(order, _S.CONFIRMED, charged=True)
    is_the_purchase = is_charged_at(order, Stage.UPLOAD)
    if order.key not in context.urls and (is_the_purchase or (len(order.files) > 1 and order.redos == 0)):
        order = _sent_before(context, order)
        order = _parted_from_slow(context, order) if is_the_purchase else order
        if order.state is not _S.CREATED:
            return order
    round_ = Round(context.failed.setdefault(order.key, []))
    charged = charge(context, order, Stage.UPLOAD)
    try:
        sent, has_changed = _send_all(context, charged, round_)
    finally:
        context.uploaded_at[order.key] = context.journal.clock.elapsed()
    if not has_changed and not round_.failures:
        context.urls.pop(order.key, None)
        return context.journal.advance(sent, _S.CONFIRMED if flow_of(order).starts_by_itself else _S.UPLOADED)
    if is_the_purchase:
        context.forget(order.key)  # first of all, next time, it is asked for what is there
        is_incomplete = all(map(is_clear_no, round_.failures.values()))  # nothing of it is perhaps there all the same
        sent = sent.having(charged=order.charged or not is_incomplete)
    sent = context.journal.note(sent)
    if sent.charged and not is_the_purchase:  # its start was answered yes: "pending" may be an old word
        sent = relocate(context, sent)
        if sent.state is not _S.CREATED:
            return sent
    if has_changed:
        return _release_changed_unsent(context, sent)
    return _after_failures(context, sent, round_)


def confirm(context: StepContext, order: Order) -> Order:
    """Start the processing. What changed before can still go back."""
    if not order.charged and not is_as_claimed(context, order):
        return release_changed(context, order)
    with charging(context, order, Stage.START) as order:  # noqa: PLR1704 - what follows is about the charged one
        context.service.confirm(flow_of(order).start_path, order.confirm_key, id_of(order))
    return context.journal.advance(order, _S.CONFIRMED)


def look(context: StepContext, order: Order) -> Order:
    """Ask how far the service is; the order is returned as it was while the service is at work."""
    seen = context.look(order)
    order = _alive(context, order, seen)
    match seen.status:
        case Status.COMPLETE:
            return _completed(context, order, seen)
        case Status.PENDING:
            return _go_back(context, order, seen)
        case _ if seen.is_delayed:
            raise _delayed(context, order)
        case _:
            if seen.status is Status.UNKNOWN and order.key not in context.puzzled:  # say so once
                event("order.status_unknown", logging.WARNING, order=order.key, status=seen.raw_status)
                context.puzzled.add(order.key)
            return order


def _delayed(context: StepContext, order: Order) -> Throttled:
    """Say once that people at the service have to see to the order, and ask rarely from then on."""
    reason = "the service could not finish it by itself: people there see to it"
    if order.last_error != reason:
        context.journal.note(order, last_error=reason)
        event("order.processing_delayed", logging.WARNING, order=order.key, inbox=order.inbox, order_id=order.order_id)
    return Throttled(reason, retry_after_seconds=tempo.DELAYED_LOOK_SECONDS)


def look_on_a_push(context: StepContext, order: Order) -> Order:
    """Ask at once for the only result of an order: a link to it says as much as a look, and is wanted anyway.

    That is tried once. Where there is none, or several results must be told apart, a look it is.
    """
    is_fetched = flow_of(order).findings is None
    if not is_fetched or len(order.results) > 1 or order.missing_since is not None or order.key in context.looked_at:
        return look(context, order)
    try:
        ask_links(context, order)
    except (Resync, Reject):
        return look(context, order)
    return context.journal.advance(order, _S.COMPLETED)


def deliver(context: StepContext, order: Order) -> Order:
    """Fetch the results, several side by side; each goes to the outbox as it arrives, and its original to its place."""
    context.folders.require(context.inbox)
    if flow_of(order).findings is not None:
        return context.journal.advance(context.findings.deliver(order), _S.DELIVERED)
    fetching = Fetching(context, order)

    def fetch(number: int) -> Received:
        return context.publisher.receive(order.files[order.results[number][0]], fetching.of(number))

    round_ = Round(context.failed.setdefault(order.key, []))
    received = [number for number, (_, result) in enumerate(order.results) if result.part is not None]
    order = _bring_home(context, order, received, round_)
    if held := context.take_unaccepted(order):
        order = _bring_home(context, context.accept(order, held), list(held), round_)
    missing = _unreceived(order)
    arrivals = context.transfers.each(
        order.inbox,
        round_.counting(fetch),
        round_.in_turn(missing),
        at_once=1 if missing and fetching.is_in_archive() else None,
        gather_seconds=tempo.GATHER_SECONDS,
        enough=round_.enough,
        drop=Received.discard,
    )
    with fetching, closing(arrivals):
        for group in arrivals:
            good = {number: outcome for number, outcome in group if not isinstance(outcome, Exception)}
            if good:
                order = _bring_home(context, context.accept(order, good), list(good), round_)
    if fetching.is_known:
        order = _is_there(context, order)
    if fetching.has_missed:
        context.links.pop(order.key, None)
    if round_.failures:
        raise round_.worst()
    if any(file.is_under_way for file in order.files):
        raise part_gone(context.inbox.outbox)
    return context.journal.advance(order, _S.DELIVERED)


def _unreceived(order: Order) -> list[int]:
    """Return the numbers of the results that are to be fetched."""
    results = enumerate(order.results)
    return [number for number, (index, result) in results if result.part is None and not order.files[index].is_placed]


def _bring_home(context: StepContext, order: Order, numbers: Sequence[int], round_: Round) -> Order:
    """Bring home what has been received; a sub-folder that takes nothing keeps back its own pictures only."""
    try:
        return context.publisher.bring_home(order, numbers)
    except FolderFault as fault:
        if is_of_the_inbox(context, order, fault):
            raise
        order = _as_journalled(context, order, numbers)
        if len(numbers) == 1:
            round_.failures[numbers[0]] = fault
            return order
        event("order.obstructed", logging.WARNING, order=order.key, inbox=order.inbox, reason=fault.reason)
    for number in numbers:  # each by itself: what was done before is found done
        try:
            order = context.publisher.bring_home(order, [number])
        except FolderFault as fault:
            if is_of_the_inbox(context, order, fault):
                raise
            order = _as_journalled(context, order, [number])
            round_.failures[number] = fault
    return order


def _as_journalled(context: StepContext, order: Order, numbers: Sequence[int]) -> Order:
    """Return the order with what is written down of these files: a step that failed may have come further than that."""
    known = context.journal.get(order.key) or order
    indexes = {order.results[number][0] for number in numbers}
    return known.having(files=tuple((known if i in indexes else order).files[i] for i in range(len(order.files))))


def record(context: StepContext, order: Order) -> Order | None:
    """Write the order's line into the history; then it leaves the journal, unless something is to lie beside it yet."""
    context.publisher.clear_work(order)
    is_news = context.journal.needs_record(order)
    context.journal.record(order, partial(context.ledger.enter, order))
    if is_news:
        _count_finding(context, order)
    context.delivery_index.catch_up()  # first: until then its twins wait for the order
    if enclosures := wanted(context, order):
        return context.journal.advance(order, _S.RECORDED, enclosures=enclosures)
    context.journal.forget(order)
    return None


def _count_finding(context: StepContext, order: Order) -> None:
    """Count a verdict of which a person wants to be told."""
    file = order.told
    if file is not None and file.finding is not None and file.finding.verdict in context.inbox.notify_verdicts:
        name = printable(file.result.delivery or file.name)
        context.journal.counters.found(VerdictCount(inbox=order.inbox, name=name, verdict=file.finding.verdict))


def put_back(context: StepContext, order: Order) -> Order | None:
    """Return the files to the inbox. An order that had been paid before goes back to its parking place."""
    context.folders.require(context.inbox)
    order = context.publisher.put_back(order)
    if order.charged:
        return context.journal.advance(order, _S.QUARANTINED, is_resumable=True, was_recorded=True)
    context.journal.forget(order)
    return None


def set_aside(context: StepContext, order: Order) -> Order:
    """Move the files to quarantine."""
    context.folders.require(context.inbox)
    if order.is_resumable:  # by the same bytes
        order = order.having(files=tuple(_hashed(context, order, file) for file in order.files))
    return context.journal.advance(context.publisher.set_aside(order), _S.QUARANTINED)


def park(context: StepContext, order: Order) -> None:
    """Write the history's line; the entry stays while the same bytes could still take the order up again.

    Of an order of many each file is parked by itself, for each may come back by itself.
    """
    context.journal.record(order, partial(context.ledger.enter, order))
    context.delivery_index.catch_up()  # what was delivered of it serves the twins that have waited for that
    if not order.is_resumable:
        context.journal.forget(order)
    elif order.is_of_many:
        for alone in (parked_alone(order, index) for index, file in enumerate(order.files) if not file.is_delivered):
            if context.journal.get(alone.key) is None:  # else this is repeated, and it may be on its way again
                context.journal.note(alone, was_recorded=True)
        context.journal.forget(order)


def _is_of_another_key(context: StepContext, order: Order) -> bool:
    return order.fingerprint not in {"", context.service.fingerprint}


def _begun_with_this_key(context: StepContext, order: Order) -> Order:
    """Say so in its entry and its copy: if the entry is lost, another account that has no such order proves nothing."""
    if order.fingerprint == context.service.fingerprint:
        return order
    order = context.journal.note(order, fingerprint=context.service.fingerprint)
    context.publisher.open_work(order)
    return order


def _look_by_name(context: StepContext, order: Order) -> Found | None:
    """Find the order at the service. Raises Reject or Blocked for one that may be paid for and cannot be begun here."""
    is_listed = flow_of(order).is_listed
    found = context.service.find(order.name) if is_listed else None
    if found is None and order.charged and _is_of_another_key(context, order):
        if not is_listed:
            context.service.ping()  # it is by this key that the order waits: it must be a good one
        reason = "what became of this order is known only by the API key with which it was begun"
        raise Blocked(reason, code=OTHER_KEY, scope=Scope.ORDER)
    if found is None and order.was_rebuilt and _is_of_another_key(context, order):
        raise Reject(
            "It may have been paid for: its order was begun with another API key, what was known of it is lost, and "
            "the account of this key has no such order.",
            code=OTHER_KEY,
            advice="Look for it in the other key's account. To have it made here, move this file back into the inbox.",
        )
    if found is None and order.of_many is not None and (order.was_rebuilt or is_listed):
        known = "what was known of its order is lost" if order.was_rebuilt else "its order was never answered"
        raise _not_listed(order, known)
    return found


def _not_listed(order: Order, known: str) -> Reject:
    """Return why one is given up that the service may have and does not show: a person decides whether to buy it."""
    return Reject(
        f"It may have been paid for: {known}, and the service lists no {order.name}.",
        code=NOT_LISTED,
        advice="Ask the service's support for it. To have it made anew, move this file back into the inbox.",
    )


Step = Callable[[StepContext, Order], Order | None]

STEPS: Mapping[State, Step] = {
    _S.LISTED: unfold,
    _S.CLAIMED: create,
    _S.CREATED: upload,
    _S.UPLOADED: confirm,
    _S.CONFIRMED: look,
    _S.COMPLETED: deliver,
    _S.MATCHED: reuse,
    _S.DELIVERED: record,
    _S.RECORDED: enclose,
    _S.RELEASED: put_back,
    _S.SUPERSEDING: supersede,
    _S.QUARANTINING: set_aside,
    _S.QUARANTINED: park,
}
"""What is done in which state; it returns the order in its next state, or None when the order has left."""


def relocate(context: StepContext, order: Order, refusal: Resync | None = None) -> Order:
    """Look where the order is at the service and go on from there. `refusal` is what the step was answered."""
    seen = context.look(order)
    is_at_odds = isinstance(refusal, MovedOn) or order.state is _S.CREATED  # there is no step back from there
    if refusal is not None and seen.status is Status.PENDING and is_at_odds:
        _is_there(context, order)
        reason = f"the service contradicts itself: it calls the order pending, and yet {refusal.reason}"
        raise OrderRetry(reason, code=refusal.code)
    return _go_on_from(context, order, seen)


def _go_on_from(context: StepContext, order: Order, seen: OrderView) -> Order:
    order = _alive(context, order, seen)
    if seen.status is Status.UNKNOWN or order.state is _S.COMPLETED:
        raise OrderRetry(f"the service calls the order {seen.raw_status}, which does not fit", code="STATUS")
    if seen.status is Status.PENDING:
        return _go_back(context, order, seen)
    order = order.having(files=_with_hashes(context, order.having(files=_with_ids(order, seen.inputs))))
    if order.state is not _S.CONFIRMED:
        order = context.journal.advance(order, _S.CONFIRMED, charged=True)
    return _completed(context, order, seen) if seen.status is Status.COMPLETE else order


def _is_there(context: StepContext, order: Order) -> Order:
    """Record that the service knows the order by this key: what it said before counts no more."""
    known = {"missing_since": None, "refused_by": "", "fingerprint": context.service.fingerprint}
    is_news = any(getattr(order, name) != value for name, value in known.items())
    return context.journal.note(order, **known) if is_news else order


def _adopt(context: StepContext, order: Order, order_id: str) -> Order:
    event("order.adopted", order=order.key, inbox=order.inbox, order_id=order_id)
    is_charged = order.charged or order.was_rebuilt  # what was known of it is lost: it may have been paid for
    return relocate(context, context.journal.advance(order, _S.CREATED, order_id=order_id, charged=is_charged))


def _completed(context: StepContext, order: Order, seen: OrderView) -> Order:
    made = {(output.input_file_id, output.text): output.file_id for output in seen.outputs}
    files = tuple(_with_result_ids(file, made) for file in _with_ids(order, seen.inputs))
    if findings := flow_of(order).findings:
        finding = findings.read(seen.shown)
        if finding is None:
            raise OrderRetry("the service calls the order complete but does not say what it found", code="NO_VERDICT")
        if finding.verdict in findings.passing and order.reordered < tempo.MOST_ORDERED_AGAIN:
            raise OrderAgain(f"the service says no more than: {findings.say(finding)}", code=finding.verdict.upper())
        finding = findings.about(finding, order, context.recipient_of)
        finding = finding.having(order_id=id_of(order), checked_at=context.journal.clock.now())
        files = tuple(file.having(finding=finding) if file.role is Role.PICTURE else file for file in files)
        if context.inbox.heatmaps and (link := findings.heatmap(seen.shown)):
            context.heatmaps[order.key] = link
    return context.journal.advance(order, _S.COMPLETED, files=files, expires_at=seen.expires_at)


def _with_result_ids(file: OrderFile, made: Mapping[tuple[str | None, str], str]) -> OrderFile:
    results = (result.having(result_id=made.get((file.file_id, result.text))) for result in file.results)
    return file.having(results=tuple(results))


def _go_back(context: StepContext, order: Order, seen: OrderView) -> Order:
    """Take up a pending order: its uploads are wanted (again). Its start was not heard, or was answered yes after all.

    Then one word against another says nothing of the money; said again, it counts.
    """
    context.forget(order.key)
    stays_charged = order.charged and not is_unheard(context, order, seen)
    if order.state is _S.CREATED:
        return order if stays_charged is order.charged else context.journal.note(order, charged=stays_charged)
    starts_by_itself = is_charged_at(order, Stage.CREATE) or flow_of(order).starts_by_itself
    if starts_by_itself and not is_upload_lost(context, order, seen):
        if context.journal.clock.since(order.times[_S.CONFIRMED]) < tempo.OVERDUE_SECONDS:
            return order
        reason = "the service has all that it needs for the order, and calls it pending all the same"
        raise OrderRetry(reason, code="STILL_PENDING")
    if order.redos >= MOST_REDOS and order.state is _S.CONFIRMED:
        what = "last upload" if starts_by_itself else "confirmation"
        reason = f"the service took the {what} {MOST_REDOS} times, and calls the order pending all the same"
        raise OrderRetry(reason, code="STILL_PENDING")
    if order.redos >= MOST_REDOS:
        reason = f"The service lost the uploaded picture {MOST_REDOS} times."
        raise Reject(reason, code=UPLOAD_LOST)
    files = tuple(file.having(is_uploaded=False) for file in order.files)
    facts = {"files": files, "redos": order.redos + 1, "confirm_key": str(uuid.uuid4()), "charged": stays_charged}
    return context.journal.advance(order, _S.CREATED, **facts)


def _alive(context: StepContext, order: Order, seen: OrderView) -> Order:
    """Raise for an order that has come to its end there without a result, or whose result is gone."""
    if seen.status is Status.EXPIRED:  # said twice, this is believed: it is no news of an order that is there
        raise OrderMissing("the order has expired at the service", code="ORDER_EXPIRED")
    order = _is_there(context, order)
    if seen.status is Status.FAILED:
        raise failed_at_service(seen.failure)
    return order


def _send_all(context: StepContext, order: Order, round_: Round) -> tuple[Order, bool]:
    """Return the order as far as that went, and whether a file is no longer what was claimed."""
    sending = Sending(context, order)
    has_changed = False
    noted = time.monotonic()

    def send(index: int) -> OrderFile | None:
        return send_unchanged(context, order, index, sending)

    waiting = round_.in_turn(index for index, file in enumerate(order.files) if file.is_to_be_sent)
    found = context.transfers.each(order.inbox, round_.counting(send), waiting, enough=round_.enough)
    with closing(found) as arrivals:
        for group in arrivals:
            for index, sent in group:
                if sent is None:
                    has_changed = True
                    round_.enough.set()
                elif isinstance(sent, OrderFile):
                    order = order.with_file(index, is_uploaded=True, sha256=sent.sha256, ctime_ns=sent.ctime_ns)
            if time.monotonic() - noted > tempo.REMEMBER_SECONDS:  # small ones together: an entry is written whole
                order = context.journal.note(order)
                noted = time.monotonic()
    return order, has_changed


def _sent_before(context: StepContext, order: Order) -> Order:
    """Ask a service with v3 reads which files it has: a death, or a lost answer, may have kept that from us.

    It gives links for the others. Where it gives none at all, all are there if the last one starts the work; else, and
    where there are no v3 reads, nothing is learned.
    """
    if context.service.reads != "v3":
        return order
    seen = context.look(order)
    order = _go_on_from(context, order, seen)
    is_told = len(seen.inputs) == len(order.files) and (seen.lacks_uploads or flow_of(order).starts_by_itself)
    if order.state is not _S.CREATED or not is_told:
        return order
    order = order.having(files=_with_ids(order, seen.inputs))
    remember_urls(context, order, seen.inputs)
    wanted = context.urls[order.key]
    found = sum(file.file_id not in wanted and file.is_to_be_sent for file in order.files)
    if found:
        event("order.uploads_found", order=order.key, inbox=order.inbox, files=found)
    there = order.having(files=tuple(file for file in order.files if file.file_id not in wanted))
    known = {file.name: file for file in _with_hashes(context, there)}
    return order.having(files=tuple(known.get(file.name, file.having(is_uploaded=False)) for file in order.files))


def _release_changed_unsent(context: StepContext, order: Order) -> Order:
    """Give back what changed before it was sent, once it is sure that nothing was begun without it."""
    if order.may_be_given_back:
        return release_changed(context, order)
    left = tempo.UPLOAD_ARRIVES_SECONDS - context.seconds_since_upload(order.key)
    wait = max(tempo.LEAST_BETWEEN_LOOKS_SECONDS, left)
    raise Throttled("an upload of this order may still be on its way", retry_after_seconds=wait)


def _parted_from_slow(context: StepContext, order: Order) -> Order:
    """Let what has been sent go on by itself, when the rest has not got there for long, and nothing was begun."""
    unsent = {index for index, file in enumerate(order.files) if file.is_to_be_sent}
    is_lasting = order.failures >= _LASTING_FAILURES and order.may_be_given_back and order.is_of_many
    return part_from(context, order, unsent) if is_lasting and 0 < len(unsent) < len(order.files) else order


def _after_failures(context: StepContext, order: Order, round_: Round) -> Order:
    """Part with the files that the storage will never take; anything else is tried again, but not for ever together.

    Nobody parts from what may have been bought: first it is to be seen what has arrived.
    """
    worst = round_.worst()
    if not order.may_be_given_back and isinstance(worst, Reject):
        raise OrderRetry(worst.reason, code=worst.code)
    if not order.may_be_given_back:
        raise worst
    rejected = {index for index, failure in round_.failures.items() if isinstance(failure, Reject)}
    if order.is_of_many and len(rejected) == len(round_.failures):
        return part_with(context, order, rejected)
    unsent = {index for index, file in enumerate(order.files) if file.is_to_be_sent}
    is_lasting = order.failures + 1 >= _LASTING_FAILURES and round_.failures.keys() == unsent
    if is_lasting and order.is_of_many and len(unsent) < len(order.files):
        return part_from(context, order, unsent)
    raise worst


def _with_ids(order: Order, slots: tuple[Slot, ...]) -> tuple[OrderFile, ...]:
    """Note the service's ids, which come in the order of the request; some servers' reads leave them out.

    One of many is known by its place among all of them.
    """
    if (of_many := order.of_many) is not None:
        slots = tuple(slot for index, slot in enumerate(slots) if key_of_one(of_many, index) == order.key)
    if len(slots) != len(order.files):
        return order.files
    return tuple(file.having(file_id=slot.file_id) for file, slot in zip(order.files, slots, strict=True))


def _with_hashes(context: StepContext, order: Order) -> tuple[OrderFile, ...]:
    """Fill in what an upload would have told, for an order that was uploaded in an earlier life."""
    return tuple(_hashed(context, order, file).having(is_uploaded=True) for file in order.files)


def _hashed(context: StepContext, order: Order, file: OrderFile) -> OrderFile:
    if file.address:  # its picture was never here
        return file
    place = context.publisher.work_place(order, file)
    found = disk.stat_of(place)
    if file.sha256 is not None or found is None or not is_unchanged(place, file):  # other bytes were claimed
        return file
    try:
        return file.having(sha256=disk.sha256_of(place), ctime_ns=found.st_ctime_ns)
    except FolderFault as fault:
        if fault.code != BAD_SECTOR:
            raise
        return file
