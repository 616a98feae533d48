"""A picture whose bytes were delivered before: the result is copied from there, and nothing is asked or bought.

The index is only a hint. What counts are the bytes that lie there now: they are hashed while they are copied. The copy
then goes the way of every result, but the service knows of no order under this key: where there is nothing to be copied
any more, the file goes back to the inbox, and is taken anew as one that is to be bought.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

from watchfolder import disk
from watchfolder.delivery_index import EarlierDelivery, Original
from watchfolder.disk import Held, Place
from watchfolder.errors import FolderFault, Retry
from watchfolder.events import event
from watchfolder.order import Order, State, Why
from watchfolder.pipeline.context import BAD_SECTOR, MOST_WAITS, StepContext
from watchfolder.publish import part_gone
from watchfolder.services import flow_of
from watchfolder.work import is_unchanged

_BLOCK_BYTES = 1 << 20


class _NotThatError(Retry):
    """What lies there is not what was delivered."""


def copy_delivered(context: StepContext, order: Order) -> Order:
    """Deliver the result of an earlier drop under this one's name; the order is returned unchanged while it waits."""
    context.folders.require(context.inbox)
    if flow_of(order).findings is not None:
        return _say_again(context, order)
    if order.files[0].result.part is None:
        order = _find(context, order)
        if order.files[0].result.part is None:
            return order
    order = context.publisher.put_in_place(order, [0])
    if not order.files[0].is_delivered:
        raise part_gone(context.inbox.outbox)
    return context.journal.advance(order, State.DELIVERED)


def _find(context: StepContext, order: Order) -> Order:
    """Look for a result that is still what it was, and take that; else give the file back."""
    if not _is_same(context, order):
        return context.journal.advance(order, State.RELEASED)
    context.folders.require_room(context.inbox, order.size)
    for delivery in context.delivery_index.find(_original(order)):
        after = _take_delivered(context, order, delivery)
        if after is not None:
            return after
    return context.journal.advance(order, State.RELEASED)


def _say_again(context: StepContext, order: Order) -> Order:
    """Deliver with the finding that these bytes had before; where it is no longer known, give the file back."""
    if order.files[0].finding is None:
        known = (each for each in context.delivery_index.find(_original(order)) if each.finding is not None)
        delivery = next(known, None) if _is_same(context, order) else None
        if delivery is None:
            return context.journal.advance(order, State.RELEASED)
        if context.inbox.duplicates == "quarantine":
            where = f"was found {delivery.finding.verdict if delivery.finding else 'before'}"
            return context.journal.advance(order, State.QUARANTINING, why=_why(order, delivery, where))
        order = order.with_file(0, finding=delivery.finding).having(reused_from=delivery.key)
        event("file.reused", order=order.key, inbox=order.inbox, file=order.files[0].name, first=delivery.key)
        order = context.journal.note(order)
    return context.journal.advance(context.findings.deliver(order), State.DELIVERED)


def _is_same(context: StepContext, order: Order) -> bool:
    """Are these still the known bytes, and does the inbox still reuse results?"""
    file = order.files[0]
    place = context.publisher.work.place(order, file)
    try:
        is_same = is_unchanged(place, file) and disk.holds(place, file.size, file.sha256)
    except FolderFault as fault:  # the inbox says what is wrong with a damaged file
        if fault.code != BAD_SECTOR:
            raise
        is_same = False
    if is_same and context.inbox.duplicates != "again":
        return True
    event("order.files_changed", order=order.key, inbox=order.inbox, kept=int(is_same), of=1)
    return False


def _original(order: Order) -> Original:
    return Original(order.files[0].size, order.mode, order.product, order.files[0].sha256 or "")


def _take_delivered(context: StepContext, order: Order, delivery: EarlierDelivery) -> Order | None:
    """Take it from this inbox's outbox, or from another one's, one at a time.

    Where that share dies just now, one step of this inbox hangs with it, and no more: the others wait until that inbox
    is called silent, and then are bought.
    """
    if delivery.inbox == context.inbox.name:
        return _take(context, order, delivery, context.inbox.outbox)
    other = context.inbox_of(delivery.inbox)
    if other is None:
        return None
    with context.read_other_inbox() as is_free:
        return _take(context, order, delivery, other.outbox) if is_free else order


def _take(context: StepContext, order: Order, delivery: EarlierDelivery, outbox: str) -> Order | None:
    """Copy the earlier result, or refuse the duplicate; None when that result is gone or has changed."""
    earlier = Place(outbox, delivery.name)
    try:
        if context.inbox.duplicates == "quarantine":
            _copy(earlier, delivery, lambda _block: None)
            why = _why(order, delivery, f"lies at {earlier.path}")
            return context.journal.advance(order, State.QUARANTINING, why=why)
        received = context.take_left_over(order).get(0)
        if received is None:
            received = context.publisher.receive(order.files[0], partial(_copy, earlier, delivery))
    except (Held, _NotThatError) as error:
        if isinstance(error, Held) and order.failures < MOST_WAITS:
            raise
        if _is_there(context, outbox):
            context.delivery_index.forget(_original(order), delivery)
        facts: dict[str, Any] = {"file": order.files[0].name, "from": earlier.path, "reason": error.reason}
        event("file.not_reused", logging.WARNING, order=order.key, inbox=order.inbox, **facts)
        return None
    order = context.accept(order.having(reused_from=delivery.key), {0: received})
    facts = {"file": order.files[0].result.delivery, "from": earlier.path, "first": delivery.key}
    event("file.reused", order=order.key, inbox=order.inbox, **facts)
    return order


def _why(order: Order, delivery: EarlierDelivery, outcome: str) -> Why:
    when, flow = datetime.fromisoformat(delivery.at).astimezone(), flow_of(order)
    is_there = " or remove the delivered picture;" if flow.findings is None else ""
    return Why(
        reason=f"The same picture was {flow.done} on {when:%Y-%m-%d} and {outcome}.",
        advice=f"To have it {flow.done} once more, say duplicates: again for this inbox,{is_there} then move this file "
        "back into the inbox.",
        code="DUPLICATE",
    )


def _copy(earlier: Place, delivery: EarlierDelivery, sink: Callable[[bytes], object]) -> int:
    for block in _read(earlier, delivery):
        sink(block)
    return delivery.size


def _read(earlier: Place, delivery: EarlierDelivery) -> Iterator[bytes]:
    """Give what lies there, block by block. Raises _NotThatError, at the end if need be."""
    digest, size = hashlib.sha256(), 0
    try:
        with disk.open_to_read(earlier) as read_at:
            while block := read_at(size, _BLOCK_BYTES):
                size += len(block)
                digest.update(block)
                yield block
    except Held:
        raise
    except (FileNotFoundError, FolderFault) as error:
        reason = error.reason if isinstance(error, FolderFault) else "it is gone"
        raise _NotThatError(f"{reason}; the picture is bought") from error
    if (size, digest.hexdigest()) != (delivery.size, delivery.sha256):
        raise _NotThatError("it has changed since; the picture is bought")


def _is_there(context: StepContext, outbox: str) -> bool:
    """Is it the file that is gone, and not its whole share? Raises FolderFault for a share of this inbox."""
    try:
        context.folders.require_folder(outbox)
    except FolderFault:
        if outbox == context.inbox.outbox:
            raise
        return False
    return True
