"""Lists of addresses: a link file in the work folder for each line, and at the end a table of what became of each."""

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from watchfolder import disk, names, spreadsheet
from watchfolder.disk import NotAFolder, NotRegular, Place
from watchfolder.events import event, printable
from watchfolder.journal import Journal
from watchfolder.order import Order, OrderFile, Why
from watchfolder.publish.free_names import put_under_free_name
from watchfolder.publish.notes import PictureNote
from watchfolder.publish.pictures import Publisher
from watchfolder.services.addresses import without_secret
from watchfolder.services.link_files import BYTES_AT_MOST, Line, LinkFault, link_file, read

_MOST_REASONS = 5  # in the note
_FAILED = ".failed"
_TABLE = ".done.csv"
_MARKED = re.compile(r"\.failed( \([0-9]+\))?$")


class LineEnd(NamedTuple):
    """What became of a line: the names of its results, and why one is missing, if so."""

    results: tuple[str, ...] = ()
    reason: str | None = None


def line_name(name: str, number: int) -> str:
    """Return the file name for one line of the list `name`."""
    return names.with_extension(name, f"{number}.url")


def list_beside(base: str) -> str | None:
    """Return the list that a table of this name would lie beside; None for any other name."""
    return f"{base.removesuffix(_TABLE)}.urls" if base.endswith(_TABLE) else None


class ListPublisher:
    """Deals with the lists of one inbox. Every method can be repeated after a crash."""

    def __init__(self, publisher: Publisher, journal: Journal) -> None:
        self._originals = publisher.originals
        self._outbox = publisher.inbox.outbox
        self._work = publisher.work
        self._journal = journal

    def read(self, order: Order) -> tuple[Line, ...]:
        """Return the lines of a list, in the work folder or where it was moved; none if it was taken away."""
        file = order.files[0]
        goal = self._originals.goal(order, 0)
        places = [self._work.place(order, file)]
        places += [Place(goal[0], file.destination)] if goal and file.destination else []
        for place in places:
            with contextlib.suppress(FileNotFoundError, NotAFolder, NotRegular):
                return read(os.path.basename(file.name), disk.read_bytes(place, BYTES_AT_MOST + 1))
        return ()

    def write_links(self, order: Order) -> None:
        """Write a link file for each file of an order into its work folder. Raises FolderFault."""
        self._work.make_folder(order)
        for file in order.files:
            place = self._work.place(order, file)
            disk.write_atomically(place, link_file(file.address), mode=0o600, mtime_ns=file.mtime_ns)

    def end(self, order: Order, lines: Sequence[Line], told: Mapping[int, LineEnd]) -> Order:
        """Move the list to the originals, with a table of what became of its lines beside it.

        Where originals are deleted, only the table stays, in the outbox. The lines that failed are added to the order
        as a second file, which is then quarantined. Raises FolderFault.
        """
        ends = ((line, told[line.number].reason) for line in lines if line.fault is not LinkFault.REPEATED)
        failed = {line: reason for line, reason in ends if reason is not None}
        if failed and len(order.files) == 1:
            order = self._with_failed(order, failed, len(lines))
        if not order.files[0].is_placed:
            order = self._place(order, _report(lines, told))
        if self._originals.goal(order, 0) is None:  # only now: without it nobody could tell what became of its lines
            disk.remove(self._work.place(order, order.files[0]), durable=False)
        return order

    def _with_failed(self, order: Order, failed: Mapping[Line, str], count: int) -> Order:
        mine = order.files[0]
        name, content = _failed_name(mine.name), _by_reason(failed).encode()
        file = OrderFile(name=name, sent_name="", media_type="", size=len(content), mtime_ns=mine.mtime_ns)
        place = self._work.place(order, file)
        disk.write_atomically(place, content, mode=0o600, mtime_ns=mine.mtime_ns)
        return self._journal.note(order, files=(mine, file), why=_why(failed, count))

    def _place(self, order: Order, report: bytes) -> Order:
        goal = self._originals.goal(order, 0)
        note = PictureNote(self._journal.instance, _table_beside, lambda _picture: report)
        if goal is None:  # the list is deleted: its table lies where the results are
            put_under_free_name(self._outbox, order.files[0].name, note.write, note.place, is_ours=note.is_there)
        else:
            order, _ = self._originals.move(order, 0, goal, note=note)
        event("list.done", order=order.key, inbox=order.inbox, file=order.files[0].name, failed=len(order.files) > 1)
        return self._journal.note(order.with_file(0, is_placed=True))


def _failed_name(name: str) -> str:
    """Return the name of the list of failed lines: `.failed` stands in it once, and it is never the list's own."""
    failed = names.with_extension(f"{_MARKED.sub('', names.split(name)[0])}.urls", f"{_FAILED}.urls")
    return names.numbered(failed, 2) if failed.casefold() == name.casefold() else failed


def _by_reason(failed: Mapping[Line, str]) -> str:
    """Return the failed addresses, each reason once above its own as a comment, so that the list can be dropped."""
    addresses: dict[str, list[str]] = {}
    for line, reason in failed.items():
        addresses.setdefault(printable(reason), []).append(line.address)
    return "".join(f"# {reason}\n" + "".join(f"{each}\n" for each in found) for reason, found in addresses.items())


def _why(failed: Mapping[Line, str], count: int) -> Why:
    reasons = [f"Line {line.number}: {reason}" for line, reason in islice(failed.items(), _MOST_REASONS)]
    more = [f"And {len(failed) - _MOST_REASONS} more."] if len(failed) > _MOST_REASONS else []
    return Why(
        reason=" ".join([f"{len(failed)} of the {count} addresses in the list failed.", *reasons, *more]),
        advice="This file has them all. Correct or leave out what cannot be fetched, then move it back into the inbox.",
        code="ADDRESSES",
    )


def _report(lines: Sequence[Line], told: Mapping[int, LineEnd]) -> bytes:
    """Return the table as CSV: a row for each result, and one with the reason for a line that lacks some."""
    rows = [("line", "address", "result", "reason")]
    for line in lines:
        end, shown = told[line.number], (str(line.number), without_secret(line.address))
        rows += [(*shown, result, "") for result in end.results]
        rows += [(*shown, "", end.reason)] if end.reason is not None else []
    return "".join(f"{spreadsheet.row(row)}\n" for row in rows).encode("utf-8", "backslashreplace")


def _table_beside(picture: Place) -> Place:
    return picture.beside(names.with_extension(picture.base, _TABLE, disk.name_limit(picture.root)))
