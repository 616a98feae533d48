"""The verbs between the states: one function each, found in STEPS. Each may find that it has already happened."""

from collections.abc import Callable, Mapping

from watchfolder.order import Order, State
from watchfolder.pipeline.charging import charging
from watchfolder.pipeline.context import StepContext, id_of
from watchfolder.pipeline.create import create
from watchfolder.pipeline.enclosures import enclose
from watchfolder.pipeline.ending import park, put_back, record, set_aside
from watchfolder.pipeline.fetch import deliver
from watchfolder.pipeline.lists import unfold
from watchfolder.pipeline.poll import poll
from watchfolder.pipeline.reuse import reuse
from watchfolder.pipeline.successors import is_as_claimed, release_changed, supersede
from watchfolder.pipeline.upload import upload
from watchfolder.services import Stage, flow_of

_S = State


def confirm(context: StepContext, order: Order) -> Order:
    """Start the processing. What changed before can still go back."""
    if not order.charged and not is_as_claimed(context, order):
        return release_changed(context, order)
    with charging(context, order, Stage.START) as order:  # noqa: PLR1704 - what follows is about the charged one
        context.service.confirm(flow_of(order).start_path, order.confirm_key, id_of(order))
    return context.journal.advance(order, _S.CONFIRMED)


Step = Callable[[StepContext, Order], Order | None]

STEPS: Mapping[State, Step] = {
    _S.LISTED: unfold,
    _S.CLAIMED: create,
    _S.CREATED: upload,
    _S.UPLOADED: confirm,
    _S.CONFIRMED: poll,
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
