"""The shipped unit under a real systemd: installed as the README says, with every line of its sandboxing on."""

import fcntl
import os
import re
import signal
import stat
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hung_share import hung_share
from installation import CONFIG, DROPINS, UNIT, Installation, disks, installed, names, picture, program, sandbox, watchfolder
from machine import eventually

from watchfolder.sandbox import Sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the first one waits for debootstrap

__all__ = ["disks", "program", "sandbox", "watchfolder"]

PICTURES = {f"p{number:02}.jpg": picture(number, 320) for number in range(24)}
CAP_LEASE = 1 << 28


def expect_nothing_lost_and_nothing_paid_twice(watchfolder: Installation, dropped: dict[str, bytes]) -> None:
    watchfolder.await_delivery(*dropped, seconds=60)
    eventually(lambda: not watchfolder.is_busy(), 30, "the journal is empty")
    originals = watchfolder.photos / "originals"
    assert {path.name: path.read_bytes() for path in originals.iterdir() if path.suffix == ".jpg"} == dropped
    assert watchfolder.delivered() == set(dropped)
    assert names(watchfolder.photos / "inbox") == names(watchfolder.photos / "quarantine") == set()
    assert (watchfolder.sandbox.paid, max(watchfolder.sandbox.paid_files.values())) == (len(dropped), 1)
    assert watchfolder.sandbox.sins == []


def test_a_picture_goes_through_and_the_share_s_group_may_open_what_comes_out(watchfolder: Installation) -> None:
    watchfolder.start()
    watchfolder.drop("meadow.jpg", PICTURES["p00.jpg"])
    expect_nothing_lost_and_nothing_paid_twice(watchfolder, {"meadow.jpg": PICTURES["p00.jpg"]})
    delivered = (watchfolder.photos / "protected/meadow.jpg").stat()
    assert stat.S_IMODE(delivered.st_mode) == 0o664
    assert delivered.st_gid == (watchfolder.photos / "protected").stat().st_gid


def test_systemd_s_status_shows_the_counts(watchfolder: Installation) -> None:
    watchfolder.start()
    watchfolder.drop("meadow.jpg", PICTURES["p00.jpg"])
    (watchfolder.photos / "inbox/torn.jpg").write_bytes(PICTURES["p01.jpg"][:1000])
    counts = 'Status: "1 waiting, 0 in progress, 1 delivered, 0 quarantined"'
    eventually(lambda: counts in watchfolder.systemctl("status"), 20, counts)


def test_a_start_is_over_when_the_inboxes_have_been_looked_at(watchfolder: Installation) -> None:
    watchfolder.drop("backlog.jpg", PICTURES["p00.jpg"])
    watchfolder.start()
    log = watchfolder.log()
    assert log.index("daemon.ready") > log.index("watch.started") > log.index("daemon.started")
    assert watchfolder.facts()["SubState"] == "running"
    watchfolder.await_delivery("backlog.jpg")


def test_a_reload_takes_up_the_new_configuration_in_the_same_process(watchfolder: Installation) -> None:
    watchfolder.start()
    before = watchfolder.facts()
    watchfolder.add_inbox("studio")
    watchfolder.write_config()
    watchfolder.systemctl("reload")
    watchfolder.drop("meadow.jpg", PICTURES["p00.jpg"], inbox="studio")
    eventually(lambda: watchfolder.delivered("studio") == {"meadow.jpg"}, 20, "delivered by the new inbox")
    after = watchfolder.facts()
    assert (after["MainPID"], after["ActiveState"], after["NRestarts"]) == (before["MainPID"], "active", "0")


def test_a_reload_of_a_broken_configuration_keeps_the_old(watchfolder: Installation) -> None:
    watchfolder.start()
    before = watchfolder.facts()["MainPID"]
    watchfolder.config["inboxes"]["photos"]["outbox"] = "nowhere"
    watchfolder.write_config()
    watchfolder.systemctl("reload")
    eventually(lambda: "config.refused" in watchfolder.log(), 20, "the refusal in the log")
    assert "inboxes.photos.outbox" in watchfolder.log()
    watchfolder.drop("meadow.jpg", PICTURES["p00.jpg"])
    watchfolder.await_delivery("meadow.jpg")
    assert (watchfolder.facts()["MainPID"], watchfolder.facts()["ActiveState"]) == (before, "active")


def test_restarts_under_load_lose_nothing_and_pay_nothing_twice(watchfolder: Installation) -> None:
    watchfolder.start()
    for name, content in PICTURES.items():
        watchfolder.drop(name, content)
    for part in (1, 6, 12):
        eventually(lambda least=part: len(watchfolder.delivered()) >= least, 30, f"{part} delivered")
        watchfolder.systemctl("restart")
    assert len(watchfolder.delivered()) < len(PICTURES), "the last restart came when all was done"
    expect_nothing_lost_and_nothing_paid_twice(watchfolder, PICTURES)


def test_a_killed_process_is_started_again_and_goes_on(watchfolder: Installation) -> None:
    watchfolder.start()
    for name, content in PICTURES.items():
        watchfolder.drop(name, content)
    eventually(watchfolder.delivered, 30, "something delivered")
    os.kill(watchfolder.process(), signal.SIGKILL)
    expect_nothing_lost_and_nothing_paid_twice(watchfolder, PICTURES)
    assert watchfolder.facts()["NRestarts"] == "1"


def test_a_machine_that_is_switched_off_goes_on_when_it_is_back(
    program: Path, disks: dict[str, Path], sandbox: Sandbox
) -> None:
    for end in ("power_off", "pull_the_plug"):
        with installed(program, disks, sandbox) as watchfolder:
            watchfolder.start()
            if end == "power_off":
                for name, content in PICTURES.items():
                    watchfolder.drop(name, content)
            before = len(watchfolder.delivered())
            eventually(lambda: len(watchfolder.delivered()) >= before + 4, 30, "some more delivered")  # noqa: B023 - asked at once
            getattr(watchfolder.machine, end)()
    with installed(program, disks, sandbox) as watchfolder:
        assert len(watchfolder.delivered()) < len(PICTURES), "the last end came when all was done"
        watchfolder.start()
        expect_nothing_lost_and_nothing_paid_twice(watchfolder, PICTURES)


def test_the_watchdog_ends_a_process_that_is_stuck(watchfolder: Installation) -> None:
    watchfolder.start()
    os.kill(watchfolder.process(), signal.SIGSTOP)
    eventually(lambda: watchfolder.facts()["NRestarts"] == "1", 20, "started again")
    assert "Watchdog timeout" in watchfolder.log()
    watchfolder.drop("meadow.jpg", PICTURES["p00.jpg"])
    watchfolder.await_delivery("meadow.jpg")


def test_the_watchdog_leaves_an_idle_process_alone(watchfolder: Installation) -> None:
    watchfolder.start()
    before = watchfolder.facts()["MainPID"]
    eventually_unchanged(watchfolder, before, seconds=8)
