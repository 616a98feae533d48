"""A list of addresses: orders are begun for its lines as there is room, and it ends when every line has.

What has become of a line is not stored by itself: the journal tells while its order is under way, and from then on the
history, which has it before the journal forgets it. So no crash can make a line lost, or bought twice.
"""

from collections.abc import Sequence
from itertools import islice

from watchfolder import history
from watchfolder.events import event
from watchfolder.images import format_named
from watchfolder.names import sent_name
from watchfolder.order import Order, OrderFile, State, Why
from watchfolder.pipeline import timing
from watchfolder.pipeline.context import StepContext
from watchfolder.pipeline.successors import under_new_key
from watchfolder.publish.lists import LineEnd, line_name
from watchfolder.services import flow_of
from watchfolder.services.addresses import name_in
from watchfolder.services.link_files import Line, link_file

_NO_RECIPIENT = "nobody is named any more as the recipient of what its addresses lead to: name somebody again"
_GONE = Why(reason="The list was taken out of the work folder. The history tells of its lines.", code="GONE")
_UNKNOWN = "What was known of the list is lost: this address may have been fetched and paid for."


def begin_lines(context: StepContext, order: Order) -> Order:
    """Begin an order for some of its lines, or end it; the order is returned as it was while there is nothing to do."""
    memory = context.memory_of(order)
    under_way = _under_way(context, order)  # before the history: orders move from here to there
    _write_links(context, order)
    if memory.lines is None:
        memory.lines = _without_order(context, order, under_way)
    if memory.lines:
        return _begin_next(context, order, memory.lines)
    if under_way:
        return order
    lines, told = context.lists.read(order), _told(context, order)
    if missed := _without_order(context, order, ()):  # given back before they were bought
        memory.lines = missed
        return order
    if not lines and order.files[0].destination is None and not order.files[0].is_placed:
        context.folders.require(context.inbox)  # else it is the whole share that is not there
        return context.journal.advance(order, State.QUARANTINING, why=_GONE)
    ends = {line.number: told.get(line.number, _end_without_order(line)) for line in lines}
    order = context.lists.end(order, lines, ends)
    return context.journal.advance(order, State.QUARANTINING if len(order.files) > 1 else State.DELIVERED)


def _under_way(context: StepContext, order: Order) -> list[Order]:
    """Return the orders of its lines whose end the history does not have yet."""
    mine = (each for each in context.journal.orders(order.inbox) if each.of_list == order.key)
    return [each for each in mine if each.is_open or context.journal.needs_record(each)]


def _without_order(context: StepContext, order: Order, under_way: Sequence[Order]) -> list[Line]:
    """Return the good lines for which no order is under way or has ended. Of a rebuilt list nobody knows that."""
    if order.was_rebuilt:
        return []
    begun = {file.line for each in under_way for file in each.files}
    begun |= set(_told(context, order))
    return [line for line in context.lists.read(order) if line.fault is None and line.number not in begun]


def _told(context: StepContext, order: Order) -> dict[int, LineEnd]:
    """Return what has become of each line whose order has ended."""
    ended = history.of_list(context.journal.state_dir, order.key)
    return {number: end for each in ended for number, end in _ends_in(each).items()}


def _ends_in(ended: history.EndedOrder) -> dict[int, LineEnd]:
    ends: dict[int, LineEnd] = {}
    for file in ended.files:
        if file.line is not None:
            results, reason = ends.get(file.line, LineEnd())
            if file.delivered:
                ends[file.line] = LineEnd((*results, file.delivered), reason)
            else:
                ends[file.line] = LineEnd(results, ended.reason or _UNKNOWN)
    return ends


def _end_without_order(line: Line) -> LineEnd:
    return LineEnd(reason=line.fault.value if line.fault is not None else _UNKNOWN)


def _begin_next(context: StepContext, order: Order, waiting: list[Line]) -> Order:
    if not flow_of(order).recipients_of(context.inbox, order.files[0].name):  # changed since the list was claimed
        return context.journal.put_off(order, timing.LIST_HELD_SECONDS, last_error=_NO_RECIPIENT)
    free = _free_lines(context, order, waiting, context.inbox.max_files_per_order)
    if not free:  # before the allowance: it reserves files that others could take
        return order
    allowance = context.admission.allowance(order.inbox, len(free), order.key)
    if allowance.is_held:
        return context.journal.put_off(order, timing.LIST_HELD_SECONDS, last_error=allowance.reason)
    lines = free[: allowance.files] if allowance.may_begin else []
    if not lines:
        return order
    child = _taken_up(context, order, lines[0]) or _new_order(context, order, lines)
    memory, begun = context.memory_of(order), {file.line for file in child.files}
    memory.lines = [line for line in waiting if line.number not in begun]
    memory.child = child.key
    context.journal.begin(child.having(work=context.publisher.work.path))
    _write_links(context, order)
    return order


def _free_lines(context: StepContext, order: Order, waiting: Sequence[Line], most: int) -> list[Line]:
    """Return up to so many lines whose addresses have no order under way."""
    reuses = flow_of(order).may_reuse(context.inbox)
    alike = (each for each in context.journal.orders() if each.is_open and each.has_product(order.mode, order.product))
    busy = {file.address for each in alike if reuses or each.is_resumable for file in each.files}
    return list(islice((line for line in waiting if line.address not in busy), most))


def _write_links(context: StepContext, order: Order) -> None:
    """Lay out the links of the order that was begun last, unless the inbox's recovery was quicker."""
    memory = context.memory_of(order)
    child = context.journal.get(memory.child)
    if child is not None and child.state is State.CLAIMING:
        context.lists.write_links(child)
        context.admission.spend(child)
        context.journal.advance(child, State.CLAIMED)
    memory.child = ""


def _taken_up(context: StepContext, order: Order, line: Line) -> Order | None:
    """Return the parked order that is paid for and waits for this address, as it begins anew."""
    name, size = line_name(order.files[0].name, line.number), len(link_file(line.address))
    for parked in context.journal.parked(order.mode, order.product):
        file = parked.files[0]
        is_same = len(parked.files) == 1 and file.address == line.address
        if is_same and flow_of(order).is_for_the_same(file, context.inbox, name):
            event("order.resumed", order=parked.key, inbox=order.inbox, file=name, order_id=parked.order_id)
            file = file.taken_again(name, size, order.files[0].mtime_ns, line.number)
            return parked.taken_up(order.inbox, (file,)).having(of_list=order.key)
    return None


def _new_order(context: StepContext, order: Order, lines: Sequence[Line]) -> Order:
    files = [_file(order, line) for line in lines]
    return under_new_key(context, order, files).having(of_list=order.key, work_folder_of=None)


def _file(order: Order, line: Line) -> OrderFile:
    """Return one line as the file that it becomes in the work folder."""
    base = name_in(line.address)
    format_ = format_named(base, takes_pdf=flow_of(order).takes_pdf)
    return OrderFile(
        name=line_name(order.files[0].name, line.number),
        sent_name=sent_name(base, flow_of(order).extension_of(format_)),
        media_type=format_.media_type,
        size=len(link_file(line.address)),
        mtime_ns=order.files[0].mtime_ns,
        address=line.address,
        line=line.number,
    )
