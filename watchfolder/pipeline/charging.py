"""From when on an order may have cost money: the one place that says so, and that takes it back."""

import contextlib
from collections.abc import Iterator

from watchfolder.api import Ended
from watchfolder.errors import Blocked, Reject, SlowDown
from watchfolder.order import Order
from watchfolder.pipeline.context import StepContext
from watchfolder.services import Stage, flow_of

_CLEAR_NO = (Blocked, Reject, Ended, SlowDown)


@contextlib.contextmanager
def charging(context: StepContext, order: Order, stage: Stage) -> Iterator[Order]:
    """Give the order for the one request of this stage, `charged` before it leaves if it is the one that costs.

    Only a clear no to the very first try takes that back. After an answer that was lost (`was_repeated`) a no clears
    nothing: the earlier try may have been heard.
    """
    is_first = stage is flow_of(order).charged_at and not order.charged
    if is_first:
        order = context.journal.note(order, charged=True)
    try:
        yield order
    except _CLEAR_NO as refusal:
        if is_first and not refusal.was_repeated:
            context.journal.note(order, charged=False)
        raise
