"""Adds what an order has brought to the table in the outbox, where its service has one."""

import contextlib
import threading
from collections import defaultdict

from watchfolder import disk, spreadsheet
from watchfolder.disk import Place
from watchfolder.order import Order
from watchfolder.services import flow_of

_writing: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)  # by the outbox: several inboxes may share one


class LedgerWriter:
    """Of one inbox. `owner` signs what a crash can leave."""

    def __init__(self, outbox: str, owner: str) -> None:
        self._outbox = outbox
        self._owner = owner

    def enter(self, order: Order, perhaps_there: bool) -> None:  # noqa: FBT001 - as the journal asks
        """Write the order's lines, but for those that are there from an earlier try. Raises FolderFault."""
        ledger = flow_of(order).ledger
        lines = [spreadsheet.row(line).encode() for line in ledger.lines(order)] if ledger else []
        if ledger is None or not lines:
            return
        place = Place(self._outbox, ledger.name)
        with _writing[self._outbox]:
            try:
                disk.append_to_table(place, lines, perhaps_there=perhaps_there)
            except FileNotFoundError:
                head = spreadsheet.row(ledger.columns).encode()
                with contextlib.suppress(FileExistsError):  # somebody was quicker
                    disk.write_new(place, head + b"\n", owner=self._owner)
                disk.append_to_table(place, lines, perhaps_there=perhaps_there)
