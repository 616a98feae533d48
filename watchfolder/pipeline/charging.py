"""From when on an order may have cost money, and what takes that back: the one place that decides it.

Everything else asks the order itself (`Order.may_be_given_back`).
"""

import contextlib
from collections.abc import Iterator

from watchfolder.api import Ended, OrderView
from watchfolder.errors import Blocked, Reject, SlowDown, WatchfolderError
from watchfolder.order import Order, State
from watchfolder.pipeline import timing
from watchfolder.pipeline.context import StepContext
from watchfolder.services import Stage, flow_of

_CLEAR_NO = (Blocked, Reject, Ended, SlowDown)


def is_paid_at(order: Order, stage: Stage) -> bool:
    return stage is flow_of(order).paid_at(order)


def charge(context: StepContext, order: Order, stage: Stage) -> Order:
    """Return the order as it may be sent the first request of this stage: `charged`, if that can cost money.

    Uploads run side by side, and which will be the last one missing is known only afterwards: the first one counts.
    """
    if order.charged or not is_paid_at(order, stage):
        return order
    return context.journal.note(order, charged=True)


@contextlib.contextmanager
def may_charge(context: StepContext, order: Order, stage: Stage) -> Iterator[Order]:
    """Give the order for the one request of this stage.

    Only a clear no to the very first try takes the charge back. After an answer that was lost (`was_repeated`) a no
    clears nothing: the earlier try may have been heard.
    """
    charged = charge(context, order, stage)
    try:
        yield charged
    except WatchfolderError as refusal:
        if not order.charged and charged.charged and is_clear_no(refusal):
            context.journal.note(charged, charged=False)
        raise


def is_clear_no(failure: Exception) -> bool:
    """Was every try of the call refused? Then none of them has cost anything."""
    return isinstance(failure, _CLEAR_NO) and not failure.was_repeated


def is_unknown(context: StepContext, order: Order, seen: OrderView) -> bool:
    """Does `pending` prove that the service has not received what costs money?

    Right after a start that it accepted, `pending` may be stale: then it counts only when it is said again. An upload
    may still be on its way: there it counts only when none has been tried for a while.
    """
    if order.state is State.CONFIRMED:
        return False
    stage = flow_of(order).paid_at(order)
    return stage is Stage.START or (stage is Stage.UPLOAD and is_upload_missing(context, order, seen))


def is_upload_missing(context: StepContext, order: Order, seen: OrderView) -> bool:
    """Does the service lack bytes that were sent, and not only because it has not looked at them yet?"""
    return seen.waits_for_upload and context.seconds_since_upload(order) >= timing.UPLOAD_ARRIVES_SECONDS
