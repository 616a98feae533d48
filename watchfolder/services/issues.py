"""Reads what an inbox has given out from the table in its outbox, as far as people have left that as it was."""

import csv
import os
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from watchfolder import disk, spreadsheet
from watchfolder.config import Inbox
from watchfolder.disk import NotAFolder, NotRegular, Place
from watchfolder.services.offer import flow_of


class Issue(NamedTuple):
    """The fields are columns of the table."""

    file: str
    recipient: str
    text: str
    sha256_source: str
    sha256_result: str


def table_of(lender: Inbox) -> Place | None:
    """Return where the inbox tells what it has given out, if it does."""
    ledger = flow_of(lender).ledger
    return Place(lender.outbox, ledger.name) if ledger is not None else None


def issues_of(lender: Inbox) -> Iterator[Issue]:
    """Give the lines of the inbox's table; none where there is no such table. Raises FolderFault."""
    place = table_of(lender)
    if place is None:
        return
    try:
        descriptor = disk.open_regular(place)
    except (FileNotFoundError, NotAFolder, NotRegular):
        return
    with os.fdopen(descriptor, encoding="utf-8", errors="replace", newline="") as table, disk.translated(place.path):
        lines = csv.DictReader(table)
        try:
            for line in lines:
                yield Issue(*(spreadsheet.text_of(line.get(name) or "") for name in Issue._fields))
        except csv.Error:  # somebody's own file: what came before it may do
            return


def recipient_of(text: str, lender: Inbox) -> str | None:
    """Return to whom alone the text was given; None where the table does not tell. Raises FolderFault."""
    wanted = unicodedata.normalize("NFC", text)
    found = {issue.recipient for issue in issues_of(lender) if unicodedata.normalize("NFC", issue.text) == wanted}
    return found.pop() or None if len(found) == 1 else None
