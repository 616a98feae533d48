"""Files beside a delivered picture: a heatmap and a report, received as results are, and a keyword in a sidecar."""

import contextlib
import os
import re
from functools import partial

from watchfolder import disk, names
from watchfolder.disk import Place
from watchfolder.errors import OrderRetry
from watchfolder.events import event
from watchfolder.journal import Journal
from watchfolder.order import Enclosure, EnclosureKind, Order
from watchfolder.publish import xmp
from watchfolder.publish.free_names import put_under_free_name
from watchfolder.publish.pictures import Publisher
from watchfolder.publish.results import Fetch, part_gone, receive, report_format

XMP_SUFFIX = ".xmp"
_XMP_LIMIT = 16 << 20  # bytes; an editor's sidecar can hold its whole history
_MOST_TRIES = 3  # to add a keyword while somebody else writes that sidecar
_ENCLOSED = re.compile(r"(.+)\.(heatmap|report\.[a-z]{2}-[A-Z]{2}|xmp)(?: \([0-9]+\))?(\.webp|\.png|\.jpg|\.pdf)?")


def picture_beside(base: str) -> tuple[str, EnclosureKind] | None:
    """Return the picture that a file of this name would lie beside, and as what; None for any other name."""
    found = _ENCLOSED.fullmatch(base)
    if found is None or (found[2] == "xmp") == bool(found[3]):
        return None
    word = found[2].split(".")[0]
    return found[1], EnclosureKind.KEYWORDS if word == "xmp" else EnclosureKind(word)


def report_extension(locale: str) -> str:
    return f".report.{locale}.pdf"


class EnclosurePublisher:
    """Puts files beside the delivered pictures of one inbox. Every method can be repeated after a crash."""

    def __init__(self, publisher: Publisher, journal: Journal) -> None:
        self._publisher = publisher
        self._outbox = publisher.inbox.outbox
        self._journal = journal

    def is_there(self, enclosure: Enclosure) -> bool:
        """Did an earlier try put it there, before the process died or the step failed?"""
        place = Place(self._outbox, enclosure.name) if enclosure.name else None
        return place is not None and disk.is_ours(place, enclosure.size, enclosure.sha256)

    @disk.folders_kept_open()
    def put(self, order: Order, enclosure: Enclosure, fetch: Fetch) -> Order:
        """Receive a heatmap or a report and name it after the order's picture. Raises OrderRetry and FolderFault."""
        if enclosure.kind is EnclosureKind.REPORT:
            with self._publisher.new_part() as part:
                received = receive(None, part, fetch, format_of=report_format)
            suffix = report_extension(enclosure.locale)
        else:
            received = self._publisher.receive(order.told or order.files[0], fetch)
            suffix = f".heatmap{received.format.extension}"
        noted = enclosure.having(size=received.size, sha256=received.sha256)

        def put(target: Place) -> None:
            self._journal.note(order.with_enclosure(noted.having(name=target.name)))
            try:
                disk.publish_new(received.part, target, owner=self._journal.instance)
            except FileNotFoundError:
                raise part_gone(self._outbox) from None

        is_ours = partial(disk.is_ours, size=noted.size, sha256=noted.sha256)
        name = put_under_free_name(self._outbox, self._beside(order, suffix).name, put, is_ours=is_ours).name
        received.remove()  # still there only if the same file had the name already
        event("file.enclosed", order=order.key, inbox=order.inbox, file=name, size=received.size)
        return self._journal.newest(order)

    @disk.folders_kept_open()
    def add_keyword(self, order: Order, keyword: str) -> None:
        """Add it to the XMP sidecar, a new one or the user's. Raises UnfitSidecar; OrderRetry while others write it."""
        place = self._beside(order, XMP_SUFFIX)
        for _ in range(_MOST_TRIES):
            with contextlib.suppress(FileExistsError):  # somebody has just written one
                if self._try_to_add(place, keyword):
                    return
        raise OrderRetry(f"{place.path}: another program is writing it", code="EBUSY")

    def _try_to_add(self, place: Place, keyword: str) -> bool:
        before = disk.stat_of(place)
        if before is None:
            disk.write_new(place, xmp.new_sidecar(keyword), owner=self._journal.instance)
            return True
        if not disk.is_regular(before) or before.st_size > _XMP_LIMIT:
            raise xmp.UnfitSidecar("it is no sidecar, by its kind or size")
        content = xmp.with_keyword(disk.read_bytes(place, _XMP_LIMIT), keyword)
        if content is None:
            return True
        now = disk.stat_of(place)
        if now is None or _mark(now) != _mark(before) or disk.may_be_open(place):
            return False
        disk.replace(place, content, owner=self._journal.instance)
        return True

    def _beside(self, order: Order, suffix: str) -> Place:
        file = order.told
        picture = Place(self._outbox, (file.result.delivery if file else None) or "")
        return picture.beside(names.with_end(picture.base, suffix, disk.name_limit(picture.root)))


def _mark(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns
