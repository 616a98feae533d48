"""Send each file of an order that is not at the service yet, by signed links that run out and are renewed."""

import hashlib
import io
import os
import time
from collections.abc import Sequence
from contextlib import closing
from typing import BinaryIO

from watchfolder import disk
from watchfolder.api import Slot
from watchfolder.errors import OrderRetry, Reject, Resync, Retry, Throttled
from watchfolder.events import event
from watchfolder.order import Order, OrderFile, State
from watchfolder.pipeline import timing
from watchfolder.pipeline.charging import charge, is_clear_no, is_paid_at
from watchfolder.pipeline.context import StepContext, id_of
from watchfolder.pipeline.poll import go_on, identify, poll, with_hash
from watchfolder.pipeline.signed_urls import Asking, remember_links
from watchfolder.pipeline.successors import part_with, release_changed
from watchfolder.pipeline.transfers import Round
from watchfolder.services import Stage, flow_of
from watchfolder.work import is_unchanged

_LASTING_FAILURES = 3  # rounds: then the files that have arrived wait no longer for those that do not
_IN_MEMORY_BYTES = 4 << 20  # files up to this size are read once for hash, MD5 and upload
_S = State


def upload(context: StepContext, order: Order) -> Order:
    """Send each file that is not there yet, several side by side."""
    if is_paid_at(order, Stage.CREATE):  # which has started it: nothing is to be sent, nor to be confirmed
        return context.journal.advance(order, _S.CONFIRMED, charged=True)
    if _may_be_there(context, order):
        order = _find_sent(context, order)
        if order.state is not _S.CREATED:
            return order
        if slow := _slow_files(order, order.failures):
            return part_with(context, order, slow, are_slow=True)
    memory = context.memory_of(order)
    round_ = Round(memory.failed)
    charged = charge(context, order, Stage.UPLOAD)
    try:
        sent = _send_all(context, charged, round_)
    finally:
        memory.uploaded_at = context.journal.clock.elapsed()
    if not round_.failures:
        memory.urls = None
        return context.journal.advance(sent, _S.CONFIRMED if flow_of(order).needs_no_start else _S.UPLOADED)
    sent = _as_answered(context, order, sent, round_)
    if sent.state is not _S.CREATED:
        return sent
    if any(isinstance(failure, FileNotFoundError) for failure in round_.failures.values()):
        return _give_back(context, sent)
    return _handle_failed(context, sent, round_)


def _may_be_there(context: StepContext, order: Order) -> bool:
    """May an earlier life, or a try whose answer was lost, have sent some of it, and does the service tell?"""
    if context.memory_of(order).urls is not None or context.service.reads != "v3":
        return False
    return is_paid_at(order, Stage.UPLOAD) or (len(order.files) > 1 and order.redos == 0)


def _as_answered(context: StepContext, order: Order, sent: Order, round_: Round) -> Order:
    """Journal how far a round came that did not come to its end, and whether it may have cost money."""
    if is_paid_at(order, Stage.UPLOAD):
        context.forget_links(order)  # so the next try asks first which files are there
        failures = (each for each in round_.failures.values() if not isinstance(each, FileNotFoundError))
        is_incomplete = all(map(is_clear_no, failures))  # else some of it may be there all the same
        return context.journal.note(sent, charged=order.charged or not is_incomplete)
    sent = context.journal.note(sent)
    return poll(context, sent) if sent.charged else sent  # its start was answered yes: "pending" may be an old word


def _send_all(context: StepContext, order: Order, round_: Round) -> Order:
    """Return the order as far as that went."""
    noted, sending = time.monotonic(), Sending(context, order)
    waiting = round_.in_turn(index for index, file in enumerate(order.files) if file.is_to_be_sent)
    with closing(context.transfers.run_all(order.inbox, sending.send, waiting, round_)) as arrivals:
        for group in arrivals:
            for index, sent in group.items():
                facts = {"file_id": sent.file_id, "sha256": sent.sha256, "ctime_ns": sent.ctime_ns}
                order = order.with_file(index, is_uploaded=True, **facts)
            if time.monotonic() - noted > timing.REMEMBER_SECONDS:  # small ones together: an entry is written whole
                order = context.journal.note(order)
                noted = time.monotonic()
    return order


def _find_sent(context: StepContext, order: Order) -> Order:
    """Ask the service which files it has: a death, or a lost answer, may have kept that from us.

    It gives links for the missing ones. If it gives none at all, all are there where the last one starts the work;
    else nothing is learned.
    """
    seen = context.poll(order)
    order = go_on(context, order, seen)
    known = identify(order, seen.inputs)
    is_told = (seen.waits_for_upload or flow_of(order).needs_no_start) and _are_named(known, seen.inputs)
    if order.state is not _S.CREATED or not is_told:
        return order
    wanted, files = remember_links(context, order, seen.inputs), list[OrderFile]()
    for file in known:
        told = file.having(is_uploaded=file.file_id not in wanted)
        files.append(with_hash(context, order, told) if told.is_uploaded else told)
    found = sum(after.is_uploaded and before.is_to_be_sent for before, after in zip(order.files, files, strict=True))
    if found:
        event("order.uploads_found", order=order.key, inbox=order.inbox, files=found)
    return order.having(files=tuple(files))


def _are_named(files: Sequence[OrderFile], slots: Sequence[Slot]) -> bool:
    return {file.file_id for file in files} <= {slot.file_id for slot in slots}


def _give_back(context: StepContext, order: Order) -> Order:
    """Give back what changed before it was sent, once it is sure that nothing was begun without it."""
    if order.may_be_given_back:
        return release_changed(context, order)
    left = timing.UPLOAD_ARRIVES_SECONDS - context.seconds_since_upload(order)
    wait = max(timing.LEAST_BETWEEN_POLLS_SECONDS, left)
    raise Throttled("an upload of this order may still be on its way", retry_after_seconds=wait)


def _slow_files(order: Order, failures: int) -> set[int]:
    """Return the files that did not arrive in several rounds, where others did: these go on by themselves.

    None where the order may have cost money: such an order is never parted.
    """
    unsent = {index for index, file in enumerate(order.files) if file.is_to_be_sent}
    is_lasting = failures >= _LASTING_FAILURES and order.may_be_given_back and order.is_of_many
    return unsent if is_lasting and len(unsent) < len(order.files) else set()


def _handle_failed(context: StepContext, order: Order, round_: Round) -> Order:
    """Part with the files that the storage will never take, and at last with the slow ones; else raise the failure.

    An order that may have cost money is not parted: first it must be known what has arrived.
    """
    worst = round_.main_error()
    if not order.may_be_given_back:
        raise OrderRetry(worst.reason, code=worst.code) if isinstance(worst, Reject) else worst
    rejected = {index for index, failure in round_.failures.items() if isinstance(failure, Reject)}
    if order.is_of_many and len(rejected) == len(round_.failures):
        return part_with(context, order, rejected)
    slow = _slow_files(order, order.failures + 1)
    if slow and round_.failures.keys() == slow:
        return part_with(context, order, slow, are_slow=True)
    raise worst


class Sending:
    """The uploads of one order. Several threads may send its files side by side; a link is renewed once for all.

    A file to which the service gives no link any more may have arrived: the next try asks for that first.
    """

    def __init__(self, context: StepContext, order: Order) -> None:
        self._context = context
        self._order = order
        self._is_renewed_by_read = flow_of(order).needs_v3
        self._links = Asking(self._refresh)

    @disk.folders_kept_open()
    def send(self, index: int) -> OrderFile:
        """Upload one file; return it with what is known of it since.

        Raises FileNotFoundError for one that is no longer what was claimed; but where an upload is what costs money,
        one that changes after it was sent counts as sent.
        """
        file, is_charged = self._order.files[index], is_paid_at(self._order, Stage.UPLOAD)
        place = self._context.publisher.work.place(self._order, file)
        before = disk.stat_of(place)
        if before is None or not is_unchanged(place, file):
            raise FileNotFoundError
        with os.fdopen(disk.open_regular(place), "rb") as opened:
            with disk.translated(place.path):
                source, sha256, md5 = _hash(opened, file.size)
            if not is_unchanged(place, file):
                raise FileNotFoundError
            self._put(index, source, md5)
        sent = self._order.files[index].having(sha256=sha256, ctime_ns=before.st_ctime_ns)
        if not is_charged and not is_unchanged(place, sent):
            raise FileNotFoundError
        return sent

    def _put(self, index: int, source: BinaryIO, md5: bytes) -> None:
        """Put the bytes at their link.

        A refused link is replaced once; refused again, the upload goes without Content-MD5 (some stores refuse to sign
        it); after that the order is put off.
        """
        refusal, url, file = "", "", self._order.files[index]
        for checksum in (md5, md5, None):
            url = self._url(index, url)  # outside: the service's word is not the storage's refusal
            try:
                self._context.service.upload(url, source, file.size, file.media_type, checksum)
            except Resync as error:
                refusal = error.code
                if error.was_repeated and is_paid_at(self._order, Stage.UPLOAD):
                    reason = "the storage refused an upload that may have arrived when it was first tried"
                    raise Retry(reason, code=refusal) from None
            else:
                return
        raise Retry(f"the storage refused the upload three times: {refusal}", code=refusal)

    def _url(self, index: int, refused: str) -> str:
        url = self._links.find(
            lambda: (self._context.memory_of(self._order).urls or {}).get(self._file_id(index), ""), refused=refused
        )
        if not url:
            raise OrderRetry("the service gave no upload link for a file", code="NO_UPLOAD_LINK")
        return url

    def _file_id(self, index: int) -> str:
        return self._order.files[index].file_id or ""

    def _refresh(self) -> None:
        if self._is_renewed_by_read:
            try:
                slots = self._context.poll(self._order).inputs
            except Throttled:  # it was asked a moment ago: what links it gives are at hand
                return
        else:
            slots = self._context.service.refresh(id_of(self._order))
        self._order = self._order.having(files=identify(self._order, slots))
        remember_links(self._context, self._order, slots)


def _hash(opened: BinaryIO, size: int) -> tuple[BinaryIO, str, bytes]:
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    if size <= _IN_MEMORY_BYTES:
        content = opened.read(size + 1)
        sha256.update(content)
        md5.update(content)
        return io.BytesIO(content), sha256.hexdigest(), md5.digest()
    while block := opened.read(1 << 20):
        sha256.update(block)
        md5.update(block)
    return opened, sha256.hexdigest(), md5.digest()
