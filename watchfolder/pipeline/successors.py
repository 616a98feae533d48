"""Orders that take the place of another one: under a new key, in parts, or with one file alone."""

import math
import uuid
from collections.abc import Collection, Sequence
from typing import Any

from watchfolder import disk
from watchfolder.config import OnFailure
from watchfolder.events import event
from watchfolder.order import Order, OrderFile, State
from watchfolder.pipeline.context import StepContext
from watchfolder.services import flow_of
from watchfolder.work import is_unchanged

_BOUGHT = ("inbox", "mode", "fingerprint", "service", "options", "of_list")
_FAILED = ("split_from", "doubted_seconds", "failed_alone", "last_success", "reordered")  # so far


def under_new_key(context: StepContext, order: Order, files: Sequence[OrderFile] | None = None) -> Order:
    """Return the order that takes this one's place, wholly or for some of its files, under a new key."""
    key, flow, journal = str(uuid.uuid4()), flow_of(order), context.journal
    anew = [file.as_new for file in (order.files if files is None else files)]
    files = flow.asked(context.inbox, anew, journal.serials.take, journal.clock.today())
    return Order(
        **{name: getattr(order, name) for name in (*_BOUGHT, *_FAILED)},
        key=key,
        confirm_key=str(uuid.uuid4()),
        body=flow.body(key, files, order.options),
        files=files,
        work_folder_of=order.key,
    )


def split(context: StepContext, order: Order) -> tuple[Order, ...]:
    """Split an order that failed, so that the picture at fault comes to stand alone."""
    parts, begin = [], 0
    for size in split_counts(len(order.files), context.inbox.on_failure, is_part=order.split_from is not None):
        parts.append(under_new_key(context, order, order.files[begin : begin + size]).having(split_from=order.key))
        begin += size
    return tuple(parts)


def split_counts(files: int, how: OnFailure, *, is_part: bool = False) -> Sequence[int]:
    """Return how many files each part of a failed order holds: about √n parts of √n files; for a failed part, one each.

    That buys few files again in few orders: with one bad picture among n, each once more and √n of them twice more.
    """
    parts = files if is_part or how == "single" else math.ceil(math.sqrt(files))
    return [files // parts + (number < files % parts) for number in range(parts)]


def paid_again(files: int, how: OnFailure) -> int:
    """Return how many files are bought once more to find one bad picture in an order of so many."""
    part = max(split_counts(files, how))
    return (files if files > 1 else 0) + (part if part > 1 else 0)


def part_with(context: StepContext, order: Order, leaving: Collection[int], *, are_slow: bool = False) -> Order:
    """Take the files `leaving` out of the order; they and the rest go on under new keys.

    They go on one by one and come first where the service is doubted; if they `are_slow`, together and last.
    """
    rest = [file for index, file in enumerate(order.files) if index not in leaving]
    left = [order.files[index] for index in sorted(leaving)]
    facts: dict[str, Any] = {"together" if are_slow else "alone": len(left)}
    event("order.parted", order=order.key, inbox=order.inbox, files=len(rest), **facts)
    parts = [rest, left] if are_slow else [*([file] for file in left), rest]
    children = tuple(under_new_key(context, order, part) for part in parts if part)
    return context.journal.advance(order, State.SUPERSEDING, children=children)


def release_changed(context: StepContext, order: Order) -> Order:
    """Give the files back: what is there is no longer what was claimed, and nothing has been paid.

    Of an order of many, the files that are as they were go on under a new key; a pair is not parted.
    """
    context.folders.require(context.inbox)  # else it is the whole share that is not there
    context.forget_links(order)
    kept = tuple(file for file in order.files if is_unchanged(context.publisher.work.place(order, file), file))
    event("order.files_changed", order=order.key, inbox=order.inbox, kept=len(kept), of=len(order.files))
    if not kept or (len(kept) < len(order.files) and not order.is_of_many):
        return context.journal.advance(order, State.RELEASED)
    return context.journal.advance(order, State.SUPERSEDING, children=(under_new_key(context, order, kept),))


def has_same_files(context: StepContext, order: Order) -> bool:
    """Are all its files there as they were? Of a rebuilt order some may be home."""
    with disk.folders_kept_open():
        places = [(context.publisher.work.place(order, file), file) for file in order.files]
        return all(not file.is_placed and is_unchanged(place, file) for place, file in places)


def supersede(context: StepContext, parent: Order) -> None:
    """Put other orders in the place of this one: their entries, then their files, then this one goes."""
    context.folders.require(context.inbox)
    for child in parent.children:
        begun = context.journal.get(child.key)
        begun = begun or context.journal.begin(child.having(work=context.publisher.work.path))
        context.publisher.work.move_over(parent, begun)
        context.journal.note(begun, work_folder_of=None)
    moved = {file.name for child in parent.children for file in child.files}
    context.publisher.originals.put_back(parent, keep=moved)
    context.publisher.work.clear(parent)
    context.journal.forget(parent)
    for child in parent.children:  # only now: none asks the service while its parent is there
        waiting = context.journal.get(child.key)
        if waiting is not None and waiting.state is State.CLAIMING:
            kept = {"not_before": waiting.not_before, "last_error": waiting.last_error}
            context.journal.advance(waiting, State.CLAIMED, **kept)
