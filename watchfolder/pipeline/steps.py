"""The verbs between the states: one function each, found in STEPS. Each may find that it has already happened."""

import logging
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from watchfolder import disk
from watchfolder.api import Look, Slot, Status, create_body
from watchfolder.errors import Blocked, Forgotten, Redo, Reject, Retry
from watchfolder.events import event
from watchfolder.order import Order, OrderFile, State
from watchfolder.pipeline.bench import Bench, id_of
from watchfolder.pipeline.transfer import fetcher, remember_urls, send
from watchfolder.publish import is_unchanged

MOST_REDOS = 5
_STALE_CREATE = timedelta(hours=1)
_S = State


class FailedAtService(Reject):
    """The order has come to its end there without a result, whatever the code: it can not be taken up again."""


def create(bench: Bench, order: Order) -> Order:
    """Make the order at the service, once per key, however often this is repeated."""
    bench.folders.require(bench.inbox)
    if not _is_as_claimed(bench, order):
        return _release_changed(bench, order)
    bench.folders.require_room(bench.inbox, order.size)
    if order.order_id is not None:  # resumed from quarantine
        return _adopt(bench, order, order.order_id)
    if order.was_rebuilt or datetime.now(UTC) - order.times[_S.CLAIMED] > _STALE_CREATE:
        found = bench.service.find(order.name)
        if found is not None:
            return _adopt(bench, order, found.order_id)
    try:
        created = bench.service.create(order.body, [file.sent_name for file in order.files])
    except Redo as redo:  # the key was used with another body: find that order, or begin afresh
        found = bench.service.find(order.name)
        if found is not None:
            return _adopt(bench, order, found.order_id)
        event("order.key_taken", order=order.key, inbox=order.inbox, code=redo.code)
        return bench.journal.advance(order, _S.SUPERSEDING, children=(rekeyed(order),))
    order = bench.journal.advance(order, _S.CREATED, order_id=created.order_id, files=_with_ids(order, created.slots))
    if created.status is not Status.PENDING:  # an earlier create under this key had come further than we knew
        return relocate(bench, order)
    remember_urls(bench, order, created.slots)
    return order


def upload(bench: Bench, order: Order) -> Order:
    """Send each file that is not there yet."""
    for index, file in enumerate(order.files):
        if file.is_uploaded:
            continue
        if not is_unchanged(bench.publisher.work_place(order, file), file):
            return _release_changed(bench, order)
        with bench.transfers:
            digest = send(bench, order, index)
        if not is_unchanged(bench.publisher.work_place(order, file), file):
            return _release_changed(bench, order)
        order = order.with_file(index, is_uploaded=True, sha256=digest)
        if index + 1 < len(order.files):
            order = bench.journal.note(order)
    bench.urls.pop(order.key, None)
    return bench.journal.advance(order, _S.UPLOADED)


def confirm(bench: Bench, order: Order) -> Order:
    """Start the processing. From the first attempt on the order counts as paid, unless it is refused."""
    is_first = not order.was_confirmed
    if is_first:
        if not _is_as_claimed(bench, order):
            return _release_changed(bench, order)
        order = bench.journal.note(order, was_confirmed=True)
    try:
        bench.service.confirm(order.confirm_key, id_of(order))
    except (Blocked, Reject, Redo, Forgotten) as refusal:
        is_clear = not isinstance(refusal, Redo) or refusal.code == "ORDER_NOT_FOUND"
        if is_first and is_clear:  # nothing was paid; an earlier attempt, whose answer was lost, might have been
            bench.journal.note(order, was_confirmed=False)
        raise
    return bench.journal.advance(order, _S.CONFIRMED)


def look(bench: Bench, order: Order) -> Order:
    """Ask how far the service is; the order is returned as it was while the service is at work."""
    seen = bench.look(order)
    if order.missing_since is not None:
        order = bench.journal.note(order, missing_since=None)
    match seen.status:
        case Status.COMPLETE:
            return _completed(bench, order, seen)
        case Status.PENDING:
            return _go_back(bench, order)
        case Status.FAILED:
            raise _failed(seen)
        case Status.EXPIRED:
            raise Forgotten("the order has expired at the service", code="ORDER_EXPIRED")
        case _:
            if seen.status is Status.UNKNOWN and bench.looks.get(order.key) is None:  # say so once
                event("order.status_unknown", logging.WARNING, order=order.key, status=seen.raw_status)
            bench.looks[order.key] = seen
            return order


def deliver(bench: Bench, order: Order) -> Order:
    """Fetch each result, put it into the outbox, and its original in its place."""
    bench.folders.require(bench.inbox)
    for index, file in enumerate(order.files):
        if not order.files[index].is_delivered:
            if file.part is None:
                order = bench.publisher.receive(order, index, fetcher(bench, order, index))
            order = bench.publisher.deliver(order, index)
        if not order.files[index].is_placed:
            order = bench.publisher.place_original(order, index)
    return bench.journal.advance(order, _S.DELIVERED)


def record(bench: Bench, order: Order) -> None:
    """Write the order's line into the history; then it leaves the journal."""
    bench.publisher.clear_work(order)
    bench.journal.record(order)
    bench.journal.forget(order)


def put_back(bench: Bench, order: Order) -> Order | None:
    """Return the files to the inbox. An order that had been paid before goes back to its parking place."""
    bench.folders.require(bench.inbox)
    order = bench.publisher.put_back(order)
    if order.was_confirmed:
        return bench.journal.advance(order, _S.QUARANTINED, is_resumable=True)
    bench.journal.forget(order)
    return None


def set_aside(bench: Bench, order: Order) -> Order:
    """Move the files to quarantine."""
    bench.folders.require(bench.inbox)
    return bench.journal.advance(bench.publisher.set_aside(order), _S.QUARANTINED)


def park(bench: Bench, order: Order) -> None:
    """Write the history's line; the entry stays while the same bytes could still take the order up again."""
    bench.journal.record(order)
    if not order.is_resumable:
        bench.journal.forget(order)


def supersede(bench: Bench, parent: Order) -> None:
    """Put other orders in the place of this one: their entries, then their files, then this one goes."""
    bench.folders.require(bench.inbox)
    for child in parent.children:
        begun = bench.journal.get(child.key) or bench.journal.begin(child)
        if begun.state is _S.CLAIMING:
            bench.publisher.move_over(parent, begun)
            bench.journal.note(begun, source=None)
    moved = {file.name for child in parent.children for file in child.files}
    bench.publisher.put_back(parent, keep=moved)
    bench.publisher.clear_work(parent)
    bench.journal.forget(parent)
    for child in parent.children:  # only now: none asks the service while its parent is there
        waiting = bench.journal.get(child.key)
        if waiting is not None and waiting.state is _S.CLAIMING:
            bench.journal.advance(waiting, _S.CLAIMED)


Step = Callable[[Bench, Order], Order | None]

STEPS: Mapping[State, Step] = {
    _S.CLAIMED: create,
    _S.CREATED: upload,
    _S.UPLOADED: confirm,
    _S.CONFIRMED: look,
    _S.COMPLETED: deliver,
    _S.DELIVERED: record,
    _S.RELEASED: put_back,
    _S.SUPERSEDING: supersede,
    _S.QUARANTINING: set_aside,
    _S.QUARANTINED: park,
}
"""What is done in which state; it returns the order in its next state, or None when the order has left."""

ASKS_SERVICE = frozenset({_S.CLAIMED, _S.CREATED, _S.UPLOADED, _S.CONFIRMED, _S.COMPLETED})


def relocate(bench: Bench, order: Order) -> Order:
    """Look where the order is at the service and go on from there."""
    seen = bench.look(order)
    match seen.status:
        case Status.PENDING:
            return _go_back(bench, order)
        case Status.FAILED:
            raise _failed(seen)
        case Status.EXPIRED:
            raise Forgotten("the order has expired at the service", code="ORDER_EXPIRED")
    if seen.status is Status.UNKNOWN or order.state is _S.COMPLETED:
        raise Retry(f"the service calls the order {seen.raw_status}, which does not fit", code="STATUS")
    order = order.having(files=_with_hashes(bench, order.having(files=_with_ids(order, seen.inputs))))
    while order.state is not _S.CONFIRMED:
        reached = _S.CONFIRMED if order.state is _S.UPLOADED else _S.UPLOADED
        order = bench.journal.advance(order, reached, was_confirmed=True)
    return _completed(bench, order, seen) if seen.status is Status.COMPLETE else order


def rekeyed(order: Order) -> Order:
    """Return the order that takes this one's place: the same files under a new key."""
    key = str(uuid.uuid4())
    return Order(
        key=key,
        confirm_key=str(uuid.uuid4()),
        inbox=order.inbox,
        kind=order.kind,
        strength=order.strength,
        body=create_body(key, [file.sent_name for file in order.files], order.strength),
        files=tuple(file.having(file_id=None, is_uploaded=False) for file in order.files),
        source=order.key,
    )


def _adopt(bench: Bench, order: Order, order_id: str) -> Order:
    event("order.adopted", order=order.key, inbox=order.inbox, order_id=order_id)
    return relocate(bench, bench.journal.advance(order, _S.CREATED, order_id=order_id))


def _completed(bench: Bench, order: Order, seen: Look) -> Order:
    bench.looks[order.key] = seen
    files = _with_ids(order, seen.inputs)
    return bench.journal.advance(order, _S.COMPLETED, files=files, expires_at=seen.expires_at)


def _go_back(bench: Bench, order: Order) -> Order:
    """Take up a pending order: its uploads are wanted (again)."""
    bench.forget(order.key)
    if order.state is _S.CREATED:
        return order
    if order.redos >= MOST_REDOS:
        reason = f"The service lost the uploaded picture {MOST_REDOS} times."
        raise Reject(reason, code="UPLOAD_LOST")
    files = tuple(file.having(is_uploaded=False) for file in order.files)
    facts = {"files": files, "redos": order.redos + 1, "confirm_key": str(uuid.uuid4()), "was_confirmed": False}
    return bench.journal.advance(order, _S.CREATED, **facts)


def _failed(seen: Look) -> FailedAtService:
    code = seen.failure.code if seen.failure else ""
    message = seen.failure.message if seen.failure else ""
    words = f" It says: {message}" if message else ""
    return FailedAtService(f"The service could not process this picture.{words}", code=code or "FAILED")


def _is_as_claimed(bench: Bench, order: Order) -> bool:
    return all(is_unchanged(bench.publisher.work_place(order, file), file) for file in order.files)


def _release_changed(bench: Bench, order: Order) -> Order:
    """Give the files back: what is there is no longer what was claimed, and nothing has been paid.

    Of an order of many, the files that are as they were go on under a new key.
    """
    bench.folders.require(bench.inbox)  # else it is the whole share that is not there
    bench.forget(order.key)
    kept = tuple(file for file in order.files if is_unchanged(bench.publisher.work_place(order, file), file))
    event("order.files_changed", order=order.key, inbox=order.inbox, kept=len(kept), of=len(order.files))
    if not kept:
        return bench.journal.advance(order, _S.RELEASED)
    return bench.journal.advance(order, _S.SUPERSEDING, children=(rekeyed(order.having(files=kept)),))


def _with_ids(order: Order, slots: tuple[Slot, ...]) -> tuple[OrderFile, ...]:
    """Note the service's ids, which come in the order of the request; some servers' reads leave them out."""
    if len(slots) != len(order.files):
        return order.files
    return tuple(file.having(file_id=slot.file_id) for file, slot in zip(order.files, slots, strict=True))


def _with_hashes(bench: Bench, order: Order) -> tuple[OrderFile, ...]:
    """Fill in what an upload would have told, for an order that was uploaded in an earlier life."""

    def known(file: OrderFile) -> OrderFile:
        place = bench.publisher.work_place(order, file)
        return file if file.sha256 else file.having(is_uploaded=True, sha256=disk.sha256_of(place))

    return tuple(map(known, order.files))
