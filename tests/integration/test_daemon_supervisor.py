"""The daemon's main loop finds out that a share hangs, and has the others go on."""

import os
import shutil
import signal
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest
from shop import Shop, opened, told
from waiting import wait_until

from watchfolder import daemon, state_file
from watchfolder.config import Config, Inbox
from watchfolder.daemon.signals import Wakeup
from watchfolder.daemon.supervisor import Supervisor
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.intake import Intake
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


def test_taking_over_what_a_lost_state_left_waits_for_no_folder_that_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    inboxes = ("away", "well")
    with opened(Shop(tmp_path, inboxes=inboxes)) as lost:
        lost.drop("a.jpg", inbox="well/inbox")
        lost.beat_until(lost.orders)
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "away/inbox").rename(tmp_path / "not mounted")
    with closing(Wakeup()) as wakeup, opened(Shop(tmp_path, inboxes=inboxes)) as shop:
        (tmp_path / "away/inbox").rmdir()
        supervisor = Supervisor(shop.config, shop.journal, wakeup, Pushes(), shop.clock.now())
        supervisor.open(adopt=True)
        try:
            wait_until(lambda: [order.inbox for order in shop.orders()] == ["well"])
        finally:
            assert supervisor.close(time.monotonic() + 30)
    assert [line["inbox"] for line in told(caplog, "inbox.not_adopted")] == ["away"]


def test_a_reload_that_a_hung_share_holds_up_ends_the_process_for_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, hangs = threading.Event(), threading.Event()

    def hang(_intake: Intake, now: float) -> float:
        hangs.set()
        return answers.wait(60) and now

    class Reloading:
        def follow(self, config: Config) -> None:
            assert config == shop.config  # never the new one

        def see(self, _snapshot: Snapshot) -> None:
            if hangs.is_set():
                os.kill(os.getpid(), signal.SIGHUP)

    shop = Shop(tmp_path)
    shop.close()
    monkeypatch.setattr(Intake, "beat", hang)
    monkeypatch.setattr("watchfolder.daemon.loop.STOP_SECONDS", 0.2)
    new = shop.config.model_copy(update={"transfers": 1})
    try:
        outcome = daemon.run(shop.config, lambda: new, onlookers=[Reloading()])
    finally:
        answers.set()
    assert (outcome.ending, outcome.is_hung) == (daemon.Ending.UNFINISHED, True)
