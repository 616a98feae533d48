"""A picture whose bytes were delivered before: the result is copied from there, and nothing is asked or bought.

The catalogue is only a hint. What counts are the bytes that lie there now: they are hashed while they are copied, and
the copy once more. It then goes the way of every result, but the service knows of no order under this key: where there
is nothing to be copied any more, the file goes back to the inbox, and is taken anew as one that is to be bought.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from watchfolder import disk
from watchfolder.delivery_index import Delivery, Original
from watchfolder.disk import Held, Place
from watchfolder.errors import FolderFault, Retry
from watchfolder.events import event, printable
from watchfolder.order import Order, State, Why
from watchfolder.pipeline.context import Bench
from watchfolder.publish import Received, holds, is_unchanged, part_gone

_BLOCK_BYTES = 1 << 20
_MOST_WAITS = 3  # for who looks at a delivered picture just now: some four minutes


class _NotThatError(Retry):
    """What lies there is not what was delivered."""


def reuse(bench: Bench, order: Order) -> Order:
    """Deliver the result of an earlier drop under this one's name; the order is returned as it was to wait a moment."""
    bench.folders.require(bench.inbox)
    if order.files[0].part is None:
        order = _find(bench, order)
        if order.files[0].part is None:
            return order
    order = bench.publisher.bring_home(order, [0])
    if not order.files[0].is_delivered:
        raise part_gone(bench.inbox.outbox)
    return bench.journal.advance(order, State.DELIVERED)


def _find(bench: Bench, order: Order) -> Order:
    """Look for a result that is still what it was, and take that; else give the file back."""
    file = order.files[0]
    place = bench.publisher.work_place(order, file)
    is_as_matched = is_unchanged(place, file) and holds(place, file.size, file.sha256)
    if not is_as_matched or bench.inbox.duplicates == "again":
        event("order.files_changed", order=order.key, inbox=order.inbox, kept=int(is_as_matched), of=1)
        return bench.journal.advance(order, State.RELEASED)
    bench.folders.require_room(bench.inbox, order.size)
    for delivery in bench.catalogue.find(Original(file.size, order.kind, order.strength, file.sha256 or "")):
        if delivery.inbox == bench.inbox.name:
            after = _take(bench, order, delivery, bench.inbox.outbox)
        else:
            after = _take_from_abroad(bench, order, delivery)
        if after is not None:
            return after
    return bench.journal.advance(order, State.RELEASED)


def _take_from_abroad(bench: Bench, order: Order, delivery: Delivery) -> Order | None:
    """Take it from another inbox's outbox, one at a time.

    Where that share dies just now, one step of this inbox hangs with it, and no more: the others wait until that inbox
    is called silent, and then are bought.
    """
    outbox = bench.outbox_of(delivery.inbox)
    if outbox is None:
        return None
    if not bench.abroad.acquire(blocking=False):
        return order
    try:
        return _take(bench, order, delivery, outbox)
    finally:
        bench.abroad.release()


def _take(bench: Bench, order: Order, delivery: Delivery, outbox: str) -> Order | None:
    """Return None when that is not there any more, or is something else."""
    earlier = Place(outbox, delivery.name)
    try:
        if bench.inbox.duplicates == "quarantine":
            return _set_aside(bench, order, delivery, earlier)
        return _copy(bench, order, delivery, earlier)
    except (Held, _NotThatError) as error:
        if isinstance(error, Held) and order.failures < _MOST_WAITS:
            raise
        if _is_there(bench, outbox):
            file = order.files[0]
            bench.catalogue.forget(Original(file.size, order.kind, order.strength, file.sha256 or ""), delivery)
        facts: dict[str, Any] = {"file": order.files[0].name, "from": earlier.path, "reason": error.reason}
        event("file.not_reused", logging.WARNING, order=order.key, inbox=order.inbox, **facts)
        return None


def _copy(bench: Bench, order: Order, delivery: Delivery, earlier: Place) -> Order:
    received = bench.take_unaccepted(order).get(0) or _received(bench, order, delivery, earlier)
    order = bench.accept(order.having(reused_from=delivery.key), {0: received})
    facts: dict[str, Any] = {"file": order.files[0].delivery, "from": earlier.path, "first": delivery.key}
    event("file.reused", order=order.key, inbox=order.inbox, **facts)
    return order


def _received(bench: Bench, order: Order, delivery: Delivery, earlier: Place) -> Received:
    received = bench.publisher.receive(order.files[0], _streaming(earlier, delivery))
    try:
        written = disk.sha256_of(received.part)
    except FileNotFoundError as error:
        raise part_gone(bench.inbox.outbox) from error
    except BaseException:
        received.discard()
        raise
    if written != delivery.sha256:
        received.discard()
        raise Retry(f"{received.part.path}: it does not hold what was written to it", code="COPY")
    return received


def _set_aside(bench: Bench, order: Order, delivery: Delivery, earlier: Place) -> Order:
    for _ in _verified(earlier, delivery):
        pass
    when = datetime.fromisoformat(delivery.at).astimezone()
    why = Why(
        reason=f"The same picture was protected on {when:%Y-%m-%d} and lies at {printable(earlier.path)}.",
        advice="To protect it once more, say duplicates: again for this inbox, or remove the delivered picture; "
        "then move this file back into the inbox.",
        code="DUPLICATE",
    )
    return bench.journal.advance(order, State.QUARANTINING, why=why)


def _streaming(earlier: Place, delivery: Delivery) -> Callable[[Callable[[bytes], object]], int]:
    def stream(sink: Callable[[bytes], object]) -> int:
        for block in _verified(earlier, delivery):
            sink(block)
        return delivery.size

    return stream


def _verified(earlier: Place, delivery: Delivery) -> Iterator[bytes]:
    """Give what lies there, block by block. Raises _NotThatError, at the end if need be."""
    digest, size = hashlib.sha256(), 0
    try:
        with disk.reading(earlier) as read_at:
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


def _is_there(bench: Bench, outbox: str) -> bool:
    """Is it the file that is gone, and not its whole share? Raises FolderFault for a share of this inbox."""
    try:
        bench.folders.require_folder(outbox)
    except FolderFault:
        if outbox == bench.inbox.outbox:
            raise
        return False
    return True
