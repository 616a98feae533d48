"""The index of deliveries: for which bytes a result was delivered, and where to; rebuilt from the history.

`<state_dir>/delivery_index.sqlite` is a hint and nothing more: what it names is looked at again in the file itself, and
without it a picture is bought where a result could have been copied. How far the history has been read stands in the
same transaction as what was read there, so that a start reads only what came since. SQLite writes its own file, the
only one that `disk` does not write: whatever a power cut does to it, it can be rebuilt from the history.
"""

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from itertools import chain
from typing import Any

from watchfolder import disk, history
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.events import event
from watchfolder.order import Finding, Key, KeyMode, product

FILE = "delivery_index.sqlite"
_SCHEMA = 1
_TABLES = f"""
BEGIN;
CREATE TABLE months (name TEXT PRIMARY KEY, bytes_read INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE deliveries (
  size INTEGER NOT NULL, mode TEXT NOT NULL, product TEXT NOT NULL, sha256 TEXT NOT NULL,
  inbox TEXT NOT NULL, name BLOB NOT NULL, result_size INTEGER NOT NULL, result_sha256 TEXT NOT NULL,
  key TEXT NOT NULL, at TEXT NOT NULL, finding TEXT,
  PRIMARY KEY (size, mode, product, sha256, inbox, name, result_sha256)
) WITHOUT ROWID;
PRAGMA user_version = {_SCHEMA};
COMMIT;
"""
_ENTER = """
INSERT INTO deliveries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET key = excluded.key, at = excluded.at, finding = excluded.finding WHERE excluded.at >= at
"""
_SAME = "size = ? AND mode = ? AND product = ?"
_PIECE_BYTES = 1 << 20  # of the history in one transaction
_MOST_FOUND = 16  # deliveries of the same bytes, the latest first
_PATIENCE_SECONDS = 60.0  # how long a start waits for the index before files are taken without it
_BRIEF_SECONDS = 5.0  # the same for an index that could not be opened or written, which may pass
_AGAIN_SECONDS = (1.0, 60.0)  # the first and the longest wait before that is tried again: it doubles
_CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Original:
    """Bytes that were dropped, and what was made of them: what two drops must share for one result to serve both."""

    size: int
    mode: KeyMode
    product: str  # the service and its options
    sha256: str


@dataclass(frozen=True, slots=True)
class EarlierDelivery:
    """A delivery for an original, as it was then. `name` is below the outbox of `inbox`.

    Where the result is a finding, the finding is all that counts: what was delivered is the original itself.
    """

    inbox: str
    name: str
    size: int
    sha256: str
    key: Key  # of the order that was paid for it
    at: str
    finding: Finding | None = None


class DeliveryIndex:
    """Any thread may ask; no query raises. Until `begin` it is empty, and nobody waits for it."""

    def __init__(self, state_dir: str, on_ready: Callable[[], None] = lambda: None) -> None:
        self.bytes_read = 0  # of the history, by this process
        self._state_dir = state_dir
        self._on_ready = on_ready
        self._guard = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._reader: threading.Thread | None = None
        self._stop = threading.Event()
        self._is_complete = False
        self._patient_until = float("-inf")  # monotonic seconds
        self._is_told = False  # that it is broken has been logged

    def begin(self) -> None:
        """Read what the history has gained since the last run, in a thread of its own."""
        self._patient_until = time.monotonic() + _PATIENCE_SECONDS
        self._read_aside()

    def close(self) -> None:
        self._stop.set()
        if self._reader is not None:
            self._reader.join(_CLOSE_SECONDS)  # it checks `_stop` after each piece
        if self._guard.acquire(timeout=_CLOSE_SECONDS):  # else its disk hangs, and so would we
            self._close()
            self._guard.release()

    @property
    def is_ready(self) -> bool:
        """May what is new be taken? While the history is being read again, an old picture looks like a new one."""
        is_reading = self._reader is not None and self._reader.is_alive() and not self._is_complete
        return not is_reading or time.monotonic() > self._patient_until

    def has_size(self, size: int, mode: KeyMode, product: str) -> bool:
        """Was anything of this size delivered? If not, there is no need to read the file for its hash."""
        query = f"SELECT 1 FROM deliveries WHERE {_SAME} LIMIT 1"  # noqa: S608 - all of it is ours
        return bool(self._ask(query, size, mode, product))

    def find(self, original: Original) -> list[EarlierDelivery]:
        """Return where results of these bytes were delivered, the latest first, as far as dates tell.

        What lies under one name now need not be what has the latest date, for the clock may have been wrong.
        """
        columns = "inbox, name, result_size, result_sha256, key, at, finding"
        query = f"SELECT {columns} FROM deliveries WHERE {_SAME} AND sha256 = ? ORDER BY at DESC LIMIT {_MOST_FOUND}"  # noqa: S608
        return [
            EarlierDelivery(inbox, os.fsdecode(name), size, sha256, key, at, told and Finding.model_validate_json(told))
            for inbox, name, size, sha256, key, at, told in self._ask(query, *astuple(original))
        ]

    def forget(self, original: Original, delivery: EarlierDelivery) -> None:
        """Drop a delivery that is no longer what it was."""
        query = f"DELETE FROM deliveries WHERE {_SAME} AND sha256 = ? AND inbox = ? AND name = ? AND result_sha256 = ?"  # noqa: S608
        self._ask(query, *astuple(original), delivery.inbox, os.fsencode(delivery.name), delivery.sha256)

    def read_new(self) -> None:
        """Index the lines that the history has just got. To be called before their orders leave the journal."""
        while self._is_complete and self._read_piece():
            pass
        if self._reader is not None and not self._is_complete:
            self._read_aside()

    def _read_aside(self) -> None:
        with self._guard:
            if self._stop.is_set() or (self._reader is not None and self._reader.is_alive()):
                return
            self._reader = threading.Thread(target=self._read_all, name="delivery-index", daemon=True)
            self._reader.start()

    def _read_all(self) -> None:
        wait, longest = _AGAIN_SECONDS
        while not self._stop.is_set():
            while not self._stop.is_set() and self._read_piece():
                pass
            self._on_ready()
            if self._is_complete:
                event("delivery_index.ready", bytes=self.bytes_read)
                return
            self._stop.wait(wait)
            wait = min(longest, 2 * wait)

    def _ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a query, commit, and return its rows; none where there is no index."""
        with self._guard:
            if self._connection is None:
                return []
            try:
                with self._connection:
                    return self._connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                self._fail(error)
        self._read_aside()
        return []

    def _read_piece(self) -> bool:
        """Index one piece of the history; return whether there may be more."""
        with self._guard:
            try:
                if self._connection is None:
                    self._connection = self._opened()
                if self._take_piece(self._connection):
                    return True
            except sqlite3.Error as error:
                self._fail(error)
            except FolderFault as fault:
                self._tell(fault.reason, fault.code, _BRIEF_SECONDS)
            else:
                self._is_complete, self._is_told = True, False
            return False

    def _fail(self, error: sqlite3.Error) -> None:
        """Close the index; if it is damaged, remove it, so that it is made anew."""
        self._close()
        reason, patience_seconds = str(error), _BRIEF_SECONDS
        if not isinstance(error, sqlite3.OperationalError):  # such an error is a full disk and the like
            reason, patience_seconds = "it is damaged, and is made anew", _PATIENCE_SECONDS
            for suffix in ("-wal", "-journal", ""):
                with contextlib.suppress(FolderFault):  # then opening it says so
                    disk.remove(Place(self._state_dir, FILE + suffix), durable=False)
        path, code = os.path.join(self._state_dir, FILE), getattr(error, "sqlite_errorname", "")
        self._tell(f"{path}: {reason}", code, patience_seconds)

    def _tell(self, reason: str, code: str, patience_seconds: float) -> None:
        """Log once that it is broken, until it works again; new files wait for it, `patience_seconds` at most."""
        self._is_complete = False
        if not self._is_told:
            self._is_told = True
            self._patient_until = time.monotonic() + patience_seconds
            effect = "until it is there again, pictures that were delivered before may be bought"
            event("delivery_index.broken", logging.WARNING, reason=reason, code=code, effect=effect)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _opened(self) -> sqlite3.Connection:
        disk.make_marker(Place(self._state_dir, FILE))  # so that nobody else may read it
        path = os.path.join(self._state_dir, FILE)
        connection = sqlite3.connect(path, timeout=0, check_same_thread=False)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # nobody else reads it: no file for shared memory
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
            if schema == 0:
                connection.executescript(_TABLES)
            elif schema != _SCHEMA:
                raise sqlite3.DatabaseError(f"schema {schema}")  # noqa: TRY301 - as good as damaged
        except BaseException:
            connection.close()
            raise
        return connection

    def _take_piece(self, tables: sqlite3.Connection) -> bool:
        read = dict(tables.execute("SELECT name, bytes_read FROM months"))
        found = ((month.name, month.size) for month in history.files_in(self._state_dir))
        months = sorted(found, reverse=True)  # the latest first: what came lately is likeliest to come again
        if any(size < read.get(name, 0) for name, size in months):  # these are not the files that were read before
            with tables:
                tables.execute("DELETE FROM deliveries")
                tables.execute("DELETE FROM months")
            read = {}
        for name, size in months:
            begin = read.get(name, 0)
            lines = _lines_from(begin, Place(self._state_dir, name)) if size > begin else []
            if lines:
                length = sum(map(len, lines))
                with tables:
                    tables.executemany(_ENTER, chain.from_iterable(map(_deliveries_in, lines)))
                    tables.execute("INSERT OR REPLACE INTO months VALUES (?, ?)", (name, begin + length))
                self.bytes_read += length
                return True
        return False


def _lines_from(begin: int, month: Place) -> list[bytes]:
    """Return the whole lines of a piece of a month; none when its only line is not finished."""
    with open(disk.open_regular(month), "rb") as file, disk.translated(month.path):
        file.seek(begin)
        lines = file.readlines(_PIECE_BYTES)
    return lines if lines and lines[-1].endswith(b"\n") else lines[:-1]


def _deliveries_in(text: bytes) -> Iterator[tuple[object, ...]]:
    """Give a row for each delivered file of a line, also when others of its order were not; none for a torn line."""
    line = history.read(text)
    if line is None:
        return
    for file in line.files:
        if file.sha256 is None:
            continue
        original = (file.size, line.mode, product(line.service, line.options), file.sha256)
        first = (line.reused_from or line.key, line.at.isoformat())
        if file.finding is not None:
            delivery = (line.inbox, os.fsencode(file.delivered or ""), file.size, file.sha256)
            yield (*original, *delivery, *first, file.finding.model_dump_json())
        elif file.delivered and file.delivered_size is not None and file.delivered_sha256:
            delivery = (line.inbox, os.fsencode(file.delivered), file.delivered_size, file.delivered_sha256)
            yield (*original, *delivery, *first, None)
