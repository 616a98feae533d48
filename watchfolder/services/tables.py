"""The tables in the outboxes: lines are appended, and read back as far as people have not changed them."""

import contextlib
import csv
import os
import threading
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from watchfolder import disk, spreadsheet
from watchfolder.config import Inbox
from watchfolder.disk import NotAFolder, NotRegular, Place
from watchfolder.order import Order
from watchfolder.services.offer import flow_of

_writing: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)  # by the outbox: several inboxes may share one


class Issue(NamedTuple):
    """The fields are columns of the table."""

    file: str
    recipient: str
    text: str
    sha256_source: str
    sha256_result: str


def table_of(lender: Inbox) -> Place | None:
    """Return the table of an inbox, if its service has one."""
    ledger = flow_of(lender).ledger
    return Place(lender.outbox, ledger.name) if ledger is not None else None


def lines_of(lender: Inbox) -> Iterator[str]:
    """Yield the lines of the inbox's table; none where there is no such table. Raises FolderFault."""
    place = table_of(lender)
    if place is None:
        return
    try:
        descriptor = disk.open_regular(place)
    except (FileNotFoundError, NotAFolder, NotRegular):
        return
    with os.fdopen(descriptor, encoding="utf-8", errors="replace", newline="") as table, disk.translated(place.path):
        yield from table


def given_out_by(lender: Inbox) -> Iterator[Issue]:
    """Yield what the inbox has given out, as far as its table can be read. Raises FolderFault."""
    with contextlib.suppress(csv.Error):  # people may edit it: the lines before a broken one still count
        for line in csv.DictReader(lines_of(lender)):
            yield Issue(*(spreadsheet.text_of(line.get(name) or "") for name in Issue._fields))


def recipient_of(text: str, lender: Inbox) -> str | None:
    """Return the only recipient of a text; None where the table has none, or several. Raises FolderFault."""
    wanted = unicodedata.normalize("NFC", text)
    found = {issue.recipient for issue in given_out_by(lender) if unicodedata.normalize("NFC", issue.text) == wanted}
    return found.pop() or None if len(found) == 1 else None


def enter(order: Order, outbox: str, owner: str, perhaps_there: bool) -> None:  # noqa: FBT001 - as the journal asks
    """Append the order's lines to its table there, except those that an earlier try has written.

    `owner` marks the temporary files of a crash. Raises FolderFault.
    """
    ledger = flow_of(order).ledger
    lines = [spreadsheet.row(line).encode() for line in ledger.lines(order)] if ledger else []
    if ledger is None or not lines:
        return
    place = Place(outbox, ledger.name)
    with _writing[outbox]:
        try:
            disk.append_to_table(place, lines, owner=owner, perhaps_there=perhaps_there)
        except FileNotFoundError:
            head = spreadsheet.row(ledger.columns).encode()
            with contextlib.suppress(FileExistsError):  # another thread was quicker
                disk.write_new(place, head + b"\n", owner=owner)
            disk.append_to_table(place, lines, owner=owner, perhaps_there=perhaps_there)
