"""What the service says of a picture: a sidecar beside the picture in the outbox.

The picture itself is what is delivered: it moves from the work folder to its name in the outbox, bit for bit.
"""

import contextlib
import json
from collections.abc import Mapping

from watchfolder import disk, names
from watchfolder.disk import NotAFolder, NotRegular, Place
from watchfolder.events import event
from watchfolder.journal import Journal
from watchfolder.order import Order, OrderFile, Role
from watchfolder.publish.pictures import Publisher
from watchfolder.publish.results import TEST_MARK
from watchfolder.services import Flow, flow_of
from watchfolder.work import is_unchanged

_LIMIT = 1 << 16  # bytes of a sidecar


class FindingPublisher:
    """Delivers the findings of one inbox's orders, each of one picture, perhaps with its original.

    Every step may have happened before.
    """

    def __init__(self, publisher: Publisher, journal: Journal) -> None:
        self._publisher = publisher
        self._outbox = publisher.inbox.outbox
        self._journal = journal

    @disk.folders_kept_open()
    def deliver(self, order: Order) -> Order:
        """Move the picture to the outbox, what is said of it first; what is no longer that picture goes back.

        Its original follows, or goes back with it. Raises FolderFault.
        """
        (index,) = (index for index, file in enumerate(order.files) if file.role is Role.PICTURE)
        if not order.files[index].is_placed:
            order = self._deliver(order, index)
        return self._publisher.place_companions(order)

    def _deliver(self, order: Order, index: int) -> Order:
        file = order.files[index]
        sidecar = _Sidecar(flow_of(order), self._journal.instance)
        source = self._publisher.work.place(order, file)
        if disk.stat_of(source) is not None and not is_unchanged(source, file):
            if file.result.delivery is not None:
                sidecar.remove(Place(self._outbox, file.result.delivery), order)
            event("file.changed_after_confirm", order=order.key, inbox=order.inbox, file=file.name)
            own = [
                number for number, each in enumerate(order.files) if each.role is not Role.COPY and not each.is_placed
            ]
            return self._publisher.give_back(order, own)
        wanted = self._wanted(order, file)
        if not self._publisher.was_taken_out(source, self._outbox, file.result.delivery):
            order, is_there = self._publisher.move_with_note(order, index, self._outbox, "delivery", wanted, sidecar)
            if not is_there:
                return order.with_file(index, is_placed=True, results=(file.result.as_ordered,))
        facts = {"sha256": file.sha256, "size": file.size, "delivered_at": self._journal.clock.now()}
        result = order.files[index].result.having(**facts)
        order = order.with_file(index, results=(result,), is_placed=True)
        name, verdict = result.delivery, file.finding.verdict if file.finding else ""
        event("file.delivered", order=order.key, inbox=order.inbox, file=name, size=file.size, verdict=verdict)
        return order

    def _wanted(self, order: Order, file: OrderFile) -> str:
        name = names.marked(file.name, TEST_MARK) if order.mode == "test" else file.name
        return f"{file.finding.verdict}/{name}" if self._publisher.inbox.sort and file.finding else name


class _Sidecar:
    """What is said of a picture, as JSON beside it."""

    def __init__(self, flow: Flow, owner: str) -> None:
        self._flow = flow
        self._owner = owner
        self._suffix = flow.findings.sidecar if flow.findings else ""

    def write(self, picture: Place, order: Order) -> None:
        """Raises FileExistsError when another file holds that name."""
        place, content = self.place(picture), self._content(order)
        try:
            disk.write_new(place, content, owner=self._owner)
        except FileExistsError:
            if not _holds(place, content):
                raise

    def remove(self, picture: Place, order: Order) -> None:
        """Leave it where the same bytes came by another order: it may be that one's, and is true of them."""
        place, (file,) = self.place(picture), order.pictures
        if _holds(place, self._content(order)) and not disk.holds(picture, file.size, file.sha256):
            disk.remove(place)

    def place(self, picture: Place) -> Place:
        return picture.beside(names.appended(picture.base, self._suffix, disk.longest_name(picture.root)))

    def _content(self, order: Order) -> bytes:
        (file,) = order.pictures
        return json.dumps(self._said(file), ensure_ascii=False, indent=2).encode() + b"\n"

    def _said(self, file: OrderFile) -> Mapping[str, object]:
        finding = file.finding
        assert finding is not None  # noqa: S101 - the state before says so
        said = {"service": self._flow.name, "verdict": finding.verdict, **finding.facts, "orderId": finding.order_id}
        checked_at = finding.checked_at.isoformat(timespec="seconds") if finding.checked_at else None
        return said | {"sha256": file.sha256, "checkedAt": checked_at}


def _holds(place: Place, content: bytes) -> bool:
    with contextlib.suppress(FileNotFoundError, NotAFolder, NotRegular):
        return disk.read_bytes(place, _LIMIT) == content
    return False
