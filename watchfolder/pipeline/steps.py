"""The verbs between the states: one function each, found in STEPS. Each may find that it has already happened.

Here are the short ones: the start, and how an order leaves.
"""

from collections.abc import Callable, Iterator, Mapping

from watchfolder.events import printable
from watchfolder.order import Order, State, key_of_one
from watchfolder.pipeline.charging import may_charge
from watchfolder.pipeline.context import StepContext, id_of
from watchfolder.pipeline.create import create
from watchfolder.pipeline.enclosures import plan_beside, put_beside
from watchfolder.pipeline.fetch import deliver
from watchfolder.pipeline.lists import begin_lines
from watchfolder.pipeline.poll import poll, with_hash
from watchfolder.pipeline.reuse import copy_delivered
from watchfolder.pipeline.successors import has_same_files, release_changed, supersede
from watchfolder.pipeline.upload import upload
from watchfolder.services import Stage, flow_of
from watchfolder.snapshot import FileGroup

_S = State


def confirm(context: StepContext, order: Order) -> Order:
    """Start the processing. What changed before can still go back."""
    if not order.charged and not has_same_files(context, order):
        return release_changed(context, order)
    with may_charge(context, order, Stage.START) as order:  # noqa: PLR1704 - what follows is about the charged one
        context.service.confirm(flow_of(order).start_path, order.confirm_key, id_of(order))
    return context.journal.advance(order, _S.CONFIRMED)


def record(context: StepContext, order: Order) -> Order | None:
    """Write the order's line into the history; then it leaves the journal, unless something is to lie beside it yet."""
    context.publisher.work.clear(order)
    is_news = context.journal.needs_record(order)
    context.record(order)
    if is_news:
        _count_finding(context, order)
    context.delivery_index.read_new()  # first: files of the same bytes wait for the order until then
    if enclosures := plan_beside(context, order):
        return context.journal.advance(order, _S.RECORDED, enclosures=enclosures)
    context.journal.forget(order)
    return None


def _count_finding(context: StepContext, order: Order) -> None:
    """Count a verdict of which a person wants to be told."""
    file = order.told
    if file is not None and file.finding is not None and file.finding.verdict in context.inbox.notify_verdicts:
        name = printable(file.result.delivery or file.name)
        context.journal.counters.found(FileGroup(inbox=order.inbox, name=name, reason=file.finding.verdict))


def put_back(context: StepContext, order: Order) -> Order | None:
    """Return the files to the inbox. An order that had been paid before goes back to its parking place."""
    context.folders.require(context.inbox)
    order = context.publisher.originals.put_back(order)
    if order.charged:
        return context.journal.advance(order, _S.QUARANTINED, is_resumable=True, was_recorded=True)
    context.journal.forget(order)
    return None


def set_aside(context: StepContext, order: Order) -> Order:
    """Move the files to quarantine."""
    context.folders.require(context.inbox)
    if order.is_resumable:  # by the same bytes
        order = order.having(files=tuple(with_hash(context, order, file) for file in order.files))
    after = context.journal.advance(context.publisher.originals.set_aside(order), _S.QUARANTINED)
    context.journal.counters.quarantined(list(_set_aside_now(order, after)))
    return after


def _set_aside_now(before: Order, after: Order) -> Iterator[FileGroup]:
    reason = printable(after.why.reason) if after.why else ""
    retry_helps = after.why is None or after.why.retry_helps
    for old, file in zip(before.files, after.files, strict=True):
        if file.is_placed and not old.is_placed and not file.is_delivered and after.of_list is None:
            yield FileGroup(inbox=after.inbox, name=printable(file.name), reason=reason, retry_helps=retry_helps)


def keep_parked(context: StepContext, order: Order) -> None:
    """Write the history's line; the entry stays while the same bytes could still take the order up again.

    Of an order of many each file is parked by itself, for each may come back by itself.
    """
    context.record(order)
    context.delivery_index.read_new()  # what was delivered of it serves files of the same bytes that waited for it
    if order.is_parked:
        return
    for index, file in enumerate(order.files if order.is_resumable else ()):
        alone = order.having(key=key_of_one(order.key, index), files=(file,), of_many=order.key)
        if not file.is_delivered and context.journal.get(alone.key) is None:  # else it may be on its way again
            context.journal.note(alone, was_recorded=True)
    context.journal.forget(order)


Step = Callable[[StepContext, Order], Order | None]

STEPS: Mapping[State, Step] = {
    _S.LISTED: begin_lines,
    _S.CLAIMED: create,
    _S.CREATED: upload,
    _S.UPLOADED: confirm,
    _S.CONFIRMED: poll,
    _S.COMPLETED: deliver,
    _S.MATCHED: copy_delivered,
    _S.DELIVERED: record,
    _S.RECORDED: put_beside,
    _S.RELEASED: put_back,
    _S.SUPERSEDING: supersede,
    _S.QUARANTINING: set_aside,
    _S.QUARANTINED: keep_parked,
}
"""What is done in which state; it returns the order in its next state, or None when the order has left."""
