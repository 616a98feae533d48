"""Make the order at the service, once per key; find it again where an earlier try may have made it."""

from watchfolder.api import Created, Listed, Status
from watchfolder.errors import Blocked, OrderRetry, Reject, Resync, Scope
from watchfolder.events import event
from watchfolder.order import Order, State
from watchfolder.pipeline.charging import is_paid_at, may_charge
from watchfolder.pipeline.context import StepContext
from watchfolder.pipeline.poll import adopt, identify, poll, require_ours
from watchfolder.pipeline.signed_urls import remember_links
from watchfolder.pipeline.successors import has_same_files, release_changed, under_new_key
from watchfolder.services import Stage, flow_of

OTHER_KEY = "OTHER_KEY"
NOT_LISTED = "NOT_LISTED"
KEY_TAKEN = "KEY_TAKEN"
_MAY_BE_PAID = (
    "The service says that it has had this order before, with other content, and what became of it cannot be found out."
)
_ASK_FOR_IT = (
    "Ask the service's support for the order whose key the note beside it has. To buy it anew, {}, and move that "
    "into the inbox."
)
_STALE_CREATE_SECONDS = 3600.0
_S = State


def create(context: StepContext, order: Order) -> Order:
    """Make the order at the service, once per key, however often this is repeated."""
    context.folders.require_room(context.inbox, order.size)
    if _may_be_made(context, order) and (found := _find_by_name(context, order)) is not None:
        return adopt(context, order, found.order_id)  # first: what is paid is not bought again
    may_be_released = order.order_id is not None or order.may_be_given_back  # else its create tells if it exists
    if may_be_released and not has_same_files(context, order):
        return release_changed(context, order)
    if order.order_id is not None:  # resumed from quarantine
        return adopt(context, order, order.order_id)
    if order.of_many is not None:  # its body is that of its whole order
        raise _may_be_paid(order, KEY_TAKEN)
    order = _note_key(context, order)
    try:
        with may_charge(context, order, Stage.CREATE) as asked:
            path, sent_names = flow_of(order).create_path, [file.sent_name for file in order.files]
            created = context.service.create(path, order.body, sent_names)
    except Resync as error:
        return _key_taken(context, order, error)
    return _created(context, asked, created)


def _may_be_made(context: StepContext, order: Order) -> bool:
    """May the service have made it, although we do not know its id?"""
    if order.order_id is not None:
        return False
    clock, claimed = context.journal.clock, order.times[_S.CLAIMED]
    is_stale = claimed.boot != clock.boot or clock.since(claimed) > _STALE_CREATE_SECONDS
    is_of_another_key = order.charged and _is_of_another_key(context, order)
    return order.was_rebuilt or is_stale or order.of_many is not None or is_of_another_key


def _created(context: StepContext, order: Order, created: Created) -> Order:
    """Go on with what the service has made for this key, now or at an earlier try whose answer was lost."""
    require_ours(context, order, created.order_id, created.order_name or "")
    was_rebuilt = order.was_rebuilt
    order = context.journal.advance(
        order,
        _S.CREATED,
        order_id=created.order_id,
        fingerprint=context.service.fingerprint,
        files=identify(order, created.slots),
        charged=order.charged or was_rebuilt,
    )
    if created.status is Status.IN_PROGRESS and is_paid_at(order, Stage.CREATE):
        return context.journal.advance(order, _S.CONFIRMED)
    if created.status is not Status.PENDING:  # an earlier create under this key had come further than we knew
        return poll(context, order)
    if not was_rebuilt:  # else some of its files may be there
        remember_links(context, order, created.slots)
    return order


def _key_taken(context: StepContext, order: Order, error: Resync) -> Order:
    """Find the order for which the key was used, with another body; or begin afresh where nothing can be paid twice."""
    found = context.service.find(order.name) if flow_of(order).is_listed else None
    if found is not None:
        return adopt(context, order, found.order_id)
    may_be_paid = not order.may_be_given_back or (error.was_repeated and is_paid_at(order, Stage.CREATE))
    if may_be_paid or not flow_of(order).is_listed:  # then the same bytes, and the same key, are all that leads to it
        context.journal.note(order, charged=True)
        known = f"the service calls its key used before ({error.code})"
        raise _not_listed(order, known) if flow_of(order).is_listed else _may_be_paid(order, error.code)
    if order.redos:  # its key is new already, and taken as well
        context.journal.note(order)  # not charged, as before: nothing was made of it
        reason = "the service calls each key used before, and has no order of its name"
        raise OrderRetry(reason, code=error.code) from None
    event("order.key_taken", order=order.key, inbox=order.inbox, code=error.code)
    return context.journal.advance(order, _S.SUPERSEDING, children=(under_new_key(context, order).having(redos=1),))


def _may_be_paid(order: Order, code: str) -> Reject:
    """Return why it is given up, with what to do: the same bytes lead to the same order, other bytes to a new one."""
    anew = "download the picture" if order.files[0].address else "save it anew in a picture editor"
    return Reject(_MAY_BE_PAID, code=code, advice=_ASK_FOR_IT.format(anew))


def _is_of_another_key(context: StepContext, order: Order) -> bool:
    return order.fingerprint not in {"", context.service.fingerprint}


def _note_key(context: StepContext, order: Order) -> Order:
    """Note the present API key in entry and copy: if the entry is lost, another key's account proves nothing."""
    if order.fingerprint == context.service.fingerprint:
        return order
    order = context.journal.note(order, fingerprint=context.service.fingerprint)
    context.publisher.work.make_folder(order)
    return order


def _find_by_name(context: StepContext, order: Order) -> Listed | None:
    """Find the order at the service. Raises Reject or Blocked for one that may be paid for and cannot be begun here."""
    is_listed = flow_of(order).is_listed
    found = context.service.find(order.name) if is_listed else None
    if found is None and _is_of_another_key(context, order):
        _refuse_another_key(context, order)
    if found is None and order.of_many is not None and is_listed:
        known = "what was known of its order is lost" if order.was_rebuilt else "its order was never answered"
        raise _not_listed(order, known)
    return found


def _refuse_another_key(context: StepContext, order: Order) -> None:
    """Raise for an order that the account of another key may have."""
    if order.charged:
        if not flow_of(order).is_listed:
            context.service.ping()  # a key that is refused itself says nothing of the order
        reason = "only the API key and the address that it was begun with tell what became of it: set them again"
        raise Blocked(reason, code=OTHER_KEY, scope=Scope.ORDER)
    if order.was_rebuilt:
        raise Reject(
            "It may have been paid for: its order was begun with another API key, what was known of it is lost, and "
            "the account of this key has no such order.",
            code=OTHER_KEY,
            advice="Look for it in the other key's account. To have it made here, move this file back into the inbox.",
        )


def _not_listed(order: Order, known: str) -> Reject:
    """Return why one is given up that the service may have and does not show: a person decides whether to buy it."""
    return Reject(
        f"It may have been paid for: {known}, and the service lists no {order.name}.",
        code=NOT_LISTED,
        advice="Ask the service's support for it. To have it made anew, move this file back into the inbox.",
    )
