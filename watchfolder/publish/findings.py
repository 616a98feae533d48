"""Findings on their way to the outbox: a sidecar says what was found, and the picture itself is the delivery.

It is moved there from the work folder, bit for bit.
"""

import json
from collections.abc import Sequence

from typing_extensions import override

from watchfolder import disk, names
from watchfolder.disk import Place
from watchfolder.events import event
from watchfolder.journal import Journal
from watchfolder.order import Order, Role
from watchfolder.publish.notes import PictureNote
from watchfolder.publish.pictures import Publisher
from watchfolder.publish.results import TEST_MARK
from watchfolder.services import flow_of
from watchfolder.work import is_unchanged


class FindingPublisher:
    """Delivers the findings of one inbox's orders, each of one picture, perhaps with its original.

    Every method can be repeated after a crash.
    """

    def __init__(self, publisher: Publisher, journal: Journal) -> None:
        self._inbox = publisher.inbox
        self._originals = publisher.originals
        self._journal = journal

    @disk.folders_kept_open()
    def deliver(self, order: Order) -> Order:
        """Write the sidecar, then move the picture to the outbox and its original to its place. Raises FolderFault.

        A picture that has changed since it was sent goes back to the inbox instead, and its original with it.
        """
        (index,) = (index for index, file in enumerate(order.files) if file.role is Role.PICTURE)
        own = [number for number, file in enumerate(order.files) if file.role is not Role.COPY and not file.is_placed]
        if index in own:
            order = self._deliver(order, index, own)
        for number in own:
            if number != index and not order.files[number].is_placed:
                order = self._originals.place(order, [number])
        return order

    def _deliver(self, order: Order, index: int, own: Sequence[int]) -> Order:
        file = order.files[index]
        sidecar = _Sidecar(order, self._journal.instance)
        source = self._originals.work.place(order, file)
        if disk.stat_of(source) is not None and not is_unchanged(source, file):
            if file.result.delivery is not None:
                sidecar.remove(Place(self._inbox.outbox, file.result.delivery))
            event("file.changed_after_confirm", order=order.key, inbox=order.inbox, file=file.name)
            return self._originals.give_back(order, own)
        if not self._originals.is_taken_out(source, self._inbox.outbox, file.result.delivery):
            base = names.with_mark(file.name, TEST_MARK) if order.mode == "test" else file.name
            wanted = f"{file.finding.verdict}/{base}" if self._inbox.sort and file.finding else base
            goal = (self._inbox.outbox, wanted)
            order, is_there = self._originals.move(order, index, goal, "delivery", note=sidecar)
            if not is_there:
                return order.with_file(index, is_placed=True, results=(file.result.as_new,))
        facts = {"sha256": file.sha256, "size": file.size, "delivered_at": self._journal.clock.now()}
        result = order.files[index].result.having(**facts)
        order = order.with_file(index, results=(result,), is_placed=True)
        name, verdict = result.delivery, file.finding.verdict if file.finding else ""
        event("file.delivered", order=order.key, inbox=order.inbox, file=name, size=file.size, verdict=verdict)
        return order


class _Sidecar(PictureNote):
    """A finding as JSON, in a file beside its picture."""

    def __init__(self, order: Order, owner: str) -> None:
        super().__init__(owner, self._place_beside, self._text)
        (self._file,) = order.pictures
        self._flow = flow_of(order)

    def _place_beside(self, picture: Place) -> Place:
        suffix = self._flow.findings.sidecar if self._flow.findings else ""
        return picture.beside(names.with_end(picture.base, suffix, disk.name_limit(picture.root)))

    def _text(self, _picture: Place) -> bytes:
        finding = self._file.finding
        assert finding is not None  # noqa: S101 - the state before says so
        said = {"service": self._flow.name, "verdict": finding.verdict, **finding.facts, "orderId": finding.order_id}
        checked_at = finding.checked_at.isoformat(timespec="seconds") if finding.checked_at else None
        said |= {"sha256": self._file.sha256, "checkedAt": checked_at}
        return json.dumps(said, ensure_ascii=False, indent=2).encode() + b"\n"

    @override
    def remove(self, picture: Place) -> None:
        """Keep it where another order has delivered the same bytes: it may be that order's, and is true of them."""
        if not disk.is_ours(picture, self._file.size, self._file.sha256):
            super().remove(picture)
