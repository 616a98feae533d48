"""The daemon's main loop finds out that a share hangs, and has the others go on."""

import threading
import time
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest
from shop import Shop, opened
from waiting import wait_until

from watchfolder import state_file
from watchfolder.config import Inbox
from watchfolder.daemon.signals import Wakeup
from watchfolder.daemon.supervisor import Supervisor
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.pushes import Pushes
from watchfolder.report.conditions import line
from watchfolder.snapshot import FILE, Snapshot

LATER = 100.0  # seconds


def test_what_waits_for_a_worker_that_hangs_on_a_share_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, has_begun = threading.Event(), threading.Event()
    with closing(Wakeup()) as wakeup, opened(Shop(tmp_path, inboxes=("hangs", "well"))) as shop:
        config = shop.config.model_copy(update={"transfers": 1})
        supervisor = Supervisor(config, shop.journal, wakeup, Pushes(), shop.clock.now())
        parts = supervisor._parts
        monkeypatch.setattr(parts.intakes["hangs"], "beat", lambda now: answers.wait(60) and now + LATER)
        supervisor.open(adopt=False)
        try:
            wait_until(lambda: parts.intakes["hangs"].health.is_open)
            for inbox, work in (("hangs", answers.wait), ("well", has_begun.set)):
                threading.Thread(target=parts.transfers.run, args=(inbox, work), daemon=True).start()
                wait_until(lambda: parts.transfers._busy["hangs"] == 1)
            wait_until(lambda: parts.transfers._line)
            assert not has_begun.is_set()
            supervisor.beat(time.monotonic() + LATER)
            assert has_begun.wait(20)
        finally:
            answers.set()
            assert supervisor.close(time.monotonic() + 30)


def test_a_fault_that_names_a_file_in_any_bytes_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(inbox: Inbox, name: str, *_: object) -> NoReturn:
        raise FolderFault.at(f"{inbox.path}/{name}", "input/output error", code="EIO")

    monkeypatch.setattr("watchfolder.intake.inbox.decide", fail)
    with closing(Wakeup()) as wakeup, opened(Shop(tmp_path)) as shop:
        supervisor = Supervisor(shop.config, shop.journal, wakeup, Pushes(), shop.clock.now())
        health = supervisor._parts.intakes["photos"].health
        shop.drop("caf\udce9\n.jpg")
        supervisor.open(adopt=False)
        try:
            wait_until(lambda: health.fault)
            written, _ = supervisor.publish_status(0.0)
        finally:
            assert supervisor.close(time.monotonic() + 30)
        read = state_file.read(Place(shop.config.state_dir, FILE), Snapshot, "it cannot be told")
        assert read is not None
        assert read.inboxes == written.inboxes
        assert r"caf\xe9\n.jpg: input/output error" in line(read, shop.config)
