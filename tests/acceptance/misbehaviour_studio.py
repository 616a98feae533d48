"""A studio for a service that misbehaves: the daemon in this process, its waits shortened, before a faulty sandbox."""

import contextlib
import logging
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from contents import sha256
from typing_extensions import override

from watchfolder.api import Pace, rate_limiter
from watchfolder.config import Config
from watchfolder.daemon import inbox_worker, loop, supervisor
from watchfolder.daemon.composition import Composition
from watchfolder.intake import inbox
from watchfolder.pipeline import fetch, timing
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample
from watchfolder.snapshot import Snapshot

PICTURE = sample("jpeg", width=64, height=48, seed=1)
QUICK = Pace(attempts=2, first_wait_seconds=0.01, max_wait_seconds=0.02)
HASTY = replace(QUICK, read_seconds=0.7, total_seconds=0.7, transfer_seconds=0.7)
_FAST: dict[ModuleType, dict[str, float]] = {  # waits that are the same for people and for tests, only shorter
    timing: {
        "FIRST_POLL_SECONDS": 0.02,
        "REPEAT_SECONDS": 0.02,
        "LEAST_BETWEEN_POLLS_SECONDS": 0.0,
        "FOLDER_BACKOFF_SECONDS": 0.05,
        "FIRST_BACKOFF_SECONDS": 0.05,
        "LONGEST_BACKOFF_SECONDS": 0.1,
        "MISSING_AGAIN_SECONDS": 0.1,
        "RECOVERY_SPREAD_SECONDS": 0.05,
    },
    rate_limiter: {"_DEFAULT_HOLD_SECONDS": 1.0},
    fetch: {"RESULT_LIMIT_BYTES": 1 << 22},
    inbox: {"_FAULT_SECONDS": 0.05},
    inbox_worker: {"_LEAST_BEAT_SECONDS": 0.005},
    supervisor: {"_STATUS_SECONDS": 0.02},
    loop: {"_ONCE_TICK_SECONDS": 0.02, "_TICK_SECONDS": 0.05},
}
_LATE_SECONDS = 60.0
_TURNS = {  # the first of these that is logged is what the fault has led to
    "order.deferred": "deferred",
    "service.blocked": "blocked",
    "order.redo": "redo",
    "order.missing": "missing",
    "order.key_taken": "key taken",
    "order.quarantining": "quarantined",
    "order.not_ours": "put aside",
    "order.status_unknown": "asked on",
}


@contextlib.contextmanager
def shortened(pace: Pace = QUICK) -> Iterator[None]:
    """Shorten every wait of the daemon in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for module, values in _FAST.items():
            for name, value in values.items():
                patch.setattr(module, name, value)
        patch.setattr(supervisor, "Composition", partial(Composition, pace=pace))
        yield


class Ending:
    """An onlooker that ends the daemon when it sees what it waits for."""

    def __init__(self, is_seen: Callable[[Snapshot], object]) -> None:
        self._is_seen = is_seen

    def follow(self, config: Config) -> None:
        del config  # it sees the same, whatever is worked by

    def see(self, snapshot: Snapshot) -> None:
        if self._is_seen(snapshot):
            os.kill(os.getpid(), signal.SIGTERM)


@dataclass
class Witness(logging.Handler):
    """Hears each log line in the thread that says it, before anything can follow from it."""

    hears: Callable[[str, Mapping[str, Any]], None]
    heard: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        super().__init__()

    __hash__ = logging.Handler.__hash__

    @override
    def emit(self, record: logging.LogRecord) -> None:
        name = record.getMessage()
        self.heard[name] += 1
        self.hears(name, getattr(record, "facts", {}))


@contextlib.contextmanager
def witnessed(hears: Callable[[str, Mapping[str, Any]], None]) -> Iterator[Witness]:
    witness = Witness(hears)
    log = logging.getLogger("watchfolder")
    before = log.level
    log.setLevel(logging.INFO)
    log.addHandler(witness)
    try:
        yield witness
    finally:
        log.removeHandler(witness)
        log.setLevel(before)


@dataclass
class Studio:
    """Folders of one inbox, and the daemon's life in them."""

    root: Path
    sandbox: Sandbox
    workers: int = 8  # for orders and for transfers
    names: tuple[str, ...] = ("picture.jpg",)
    url: str = ""  # where the service is looked for, if not at the sandbox's own address
    contents: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("inbox", "outbox", "quarantine", "originals", "state"):
            (self.root / name).mkdir()
        for name in self.names:
            self.drop(name)

    def drop(self, name: str, content: bytes | None = None) -> None:
        """Put a picture into the inbox, with bytes of its own unless they are given."""
        self.contents[name] = PICTURE + bytes([len(self.contents)]) if content is None else content
        (self.root / "inbox" / name).write_bytes(self.contents[name])

    def config(self) -> Config:
        folders = {name: str(self.root / name) for name in ("outbox", "quarantine", "originals")}
        inbox = {
            "name": "photos",
            "path": str(self.root / "inbox"),
            **folders,
            "settle_seconds": 0.0,
            "duplicates": "again",
        }
        api = {"base_url": self.url or self.sandbox.url, "key": self.sandbox.key, "requests_per_minute": 0}
        whole = Config.model_validate(
            {
                "api": api,
                "state_dir": str(self.root / "state"),
                "orders_in_flight": self.workers,
                "transfers": self.workers,
                "inboxes": {
                    "photos": {**inbox, "watch": "polling", "max_files_per_order": 1, "max_file_bytes": 64 << 20}
                },
            }
        )
        quick = {"photos": whole.inboxes["photos"].model_copy(update={"scan_seconds": 0.02})}
        probing = whole.api.model_copy(update={"blocked_probe_seconds": 0.05})
        return whole.model_copy(update={"inboxes": quick, "api": probing})

    def live(self, until: Callable[[Snapshot], object]) -> None:
        """Run the daemon until then, and end it by the signal that ends it anywhere."""
        late = threading.Event()
        clock = threading.Timer(_LATE_SECONDS, late.set)
        clock.start()

        try:
            loop.run(self.config(), self.config, onlookers=[Ending(lambda seen: late.is_set() or until(seen))])
        finally:
            clock.cancel()
        assert not late.is_set(), f"it did not come true in {_LATE_SECONDS} s"

    def history(self) -> list[str]:
        return [line for path in (self.root / "state/history").glob("*") for line in path.read_text().splitlines()]

    def is_over(self) -> bool:
        return len(self.history()) >= len(self.contents) and not any((self.root / "state/journal").iterdir())

    def files(self, folder: str) -> set[str]:
        return {path.name for path in (self.root / folder).iterdir() if not path.name.startswith(".")}

    def paid_once_each(self) -> dict[str, int]:
        return {sha256(content): 1 for content in self.contents.values()}


@dataclass
class Cell:
    """What one misbehaviour of one operation came to."""

    turn: str = "delivered"  # what the fault led to while it lasted
    requests: int = 0  # of the operation, until then
    others: int = 0  # of all other operations, and everything that came after
    end: str = ""


def lived_through(studio: Studio, operation: str, mend: Callable[[], None]) -> Cell:
    """Let the operation misbehave until something follows from it, then mend it; live on to the end."""
    sandbox, cell, first = studio.sandbox, Cell(), threading.Lock()

    def turn(word: str) -> None:
        if first.acquire(blocking=False):
            cell.turn, cell.requests = word, sandbox.requests_by_operation().get(operation, 0)
            mend()

    def hears(name: str, _facts: Mapping[str, Any]) -> None:
        if name in _TURNS:
            turn(_TURNS[name])

    def until(snapshot: Snapshot) -> bool:
        if snapshot.is_slowed:
            turn("slowed")
        return bool(studio.history())

    with witnessed(hears):
        studio.live(until)
    total = sandbox.requests_by_operation()
    if not first.locked():
        cell.requests = total.get(operation, 0)
    cell.others = sum(total.values()) - cell.requests
    cell.end = "delivered" if studio.files("outbox") else "quarantined"
    return cell
