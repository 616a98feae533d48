"""The shipped unit under a real systemd, from start to stop; installed from the source, its sandboxing on."""

import fcntl
import json
import os
import signal
import stat
import time
from pathlib import Path

import pytest
from hung_share import hung_share
from installation import (
    COMES_SECONDS,
    RESTART_SECONDS,
    WATCHDOG_SECONDS,
    Installation,
    disks,
    installed,
    names,
    picture,
    program,
    sandbox,
    steps,
    watchfolder,
)
from waiting import wait_until

from watchfolder.sandbox import Sandbox

__all__ = ["disks", "program", "sandbox", "watchfolder"]

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]  # the first one may wait for debootstrap

PICTURE = picture(1)


@pytest.fixture(scope="session")
def pictures() -> dict[str, bytes]:
    return {f"p{number:02}.jpg": picture(number) for number in range(40)}


def expect_nothing_lost_and_nothing_paid_twice(watchfolder: Installation, dropped: dict[str, bytes]) -> None:
    watchfolder.await_delivery(*dropped)
    wait_until(lambda: not watchfolder.is_at_work(), COMES_SECONDS, "the journal is empty")
    originals = watchfolder.photos / "originals"
    assert {name: (originals / name).read_bytes() for name in names(originals)} == dropped
    assert watchfolder.delivered() == set(dropped)
    assert names(watchfolder.photos / "inbox") == names(watchfolder.photos / "quarantine") == set()
    assert (watchfolder.sandbox.paid, max(watchfolder.sandbox.paid_files.values())) == (len(dropped), 1)
    assert watchfolder.sandbox.sins == []


def expect_it_works(watchfolder: Installation, name: str = "meadow.jpg") -> None:
    watchfolder.drop(name, PICTURE)
    watchfolder.await_delivery(name)


def await_restart(watchfolder: Installation, times: int) -> None:
    def has_come_back() -> bool:
        facts = watchfolder.facts()
        return (facts["NRestarts"], facts["ActiveState"]) == (str(times), "active")

    wait_until(has_come_back, COMES_SECONDS, f"start number {times + 1}")


def test_a_picture_goes_through_and_the_group_of_the_share_may_open_it(watchfolder: Installation) -> None:
    watchfolder.start()
    watchfolder.drop("meadow.jpg", PICTURE)
    expect_nothing_lost_and_nothing_paid_twice(watchfolder, {"meadow.jpg": PICTURE})
    delivered = (watchfolder.photos / "protected/meadow.jpg").stat()
    assert stat.S_IMODE(delivered.st_mode) == 0o664
    assert delivered.st_gid == (watchfolder.photos / "protected").stat().st_gid != 0


def test_the_steps_from_the_source_end_in_a_service_that_works(watchfolder: Installation) -> None:
    watchfolder.machine.run("watchfolder", "check")
    enable, status = steps("docs/install/source.md")[-1].splitlines()
    watchfolder.machine.run("sh", "-ec", enable)
    expect_it_works(watchfolder)
    assert "photos  ok" in watchfolder.machine.run("sh", "-ec", status)
    assert watchfolder.systemctl("is-enabled").strip() == "enabled"


def test_a_second_init_changes_nothing(watchfolder: Installation) -> None:
    listed = (
        "find /etc/watchfolder /etc/systemd/system -printf '%p %m %U %G %T@ %s\\n'; find /srv -printf '%p %m %U %G\\n'"
    )
    before = watchfolder.machine.run("sh", "-c", listed)
    said = watchfolder.machine.run("watchfolder", "init")
    assert "made " not in said
    assert "wrote " not in said
    assert watchfolder.machine.run("sh", "-c", listed) == before


def test_a_folder_that_somebody_of_the_group_made_is_no_obstacle(watchfolder: Installation) -> None:
    watchfolder.start()
    watchfolder.machine.run("useradd", "--groups", "photos", "anna")
    (watchfolder.photos / "inbox" / ".waiting.jpg").write_bytes(PICTURE)
    (watchfolder.photos / "inbox" / ".waiting.jpg").chmod(0o644)
    put = "umask 022; cd /srv/photos/inbox; mkdir wedding; cp .waiting.jpg wedding/.a; mv wedding/.a wedding/a.jpg"
    watchfolder.machine.run("setpriv", "--reuid=anna", "--regid=anna", "--init-groups", "sh", "-ec", put)
    wait_until((watchfolder.photos / "protected/wedding/a.jpg").exists, COMES_SECONDS, "delivered")


def test_the_status_of_the_service_shows_the_counts(watchfolder: Installation) -> None:
    watchfolder.start()
    (watchfolder.photos / "inbox/torn.jpg").write_bytes(PICTURE[:1000])
    expect_it_works(watchfolder)
    counts = 'Status: "1 waiting, 0 in progress, 0 deferred; since the start 1 delivered, 0 quarantined"'
    wait_until(lambda: counts in watchfolder.systemctl("status"), COMES_SECONDS, counts)


def test_a_status_that_is_not_ascii_arrives_all_the_same(watchfolder: Installation) -> None:
    watchfolder.add_inbox("büro")
    watchfolder.write_config()
    watchfolder.machine.run("rmdir", "/mnt/büro/protected")
    watchfolder.start()
    words = "Not available: b?ro (/mnt/b?ro/protected: "
    wait_until(lambda: watchfolder.facts()["StatusText"].startswith(words), COMES_SECONDS, words)


def test_a_start_is_over_when_the_inboxes_have_been_looked_at(watchfolder: Installation) -> None:
    watchfolder.start()
    facts, log = watchfolder.facts(), watchfolder.log()
    assert (facts["ActiveState"], facts["SubState"], facts["Result"]) == ("active", "running", "success")
    assert log.index("daemon.started") < log.index("watch.started") < log.index("daemon.ready")


def test_a_reload_takes_up_the_new_configuration_in_the_same_process(watchfolder: Installation) -> None:
    watchfolder.start()
    before = watchfolder.facts()["MainPID"]
    watchfolder.config["inboxes"]["photos"]["outbox"] = "/srv/photos/elsewhere"
    watchfolder.machine.run("install", "-d", "-g", "photos", "-m", "2775", "/srv/photos/elsewhere")
    watchfolder.write_config()
    watchfolder.systemctl("reload")
    wait_until(lambda: "config.reloaded" in watchfolder.log(), COMES_SECONDS, "the reload in the log")
    watchfolder.drop("meadow.jpg", PICTURE)
    wait_until(lambda: names(watchfolder.photos / "elsewhere"), COMES_SECONDS, "delivered to the new outbox")
    facts = watchfolder.facts()
    assert (facts["MainPID"], facts["ActiveState"], facts["SubState"]) == (before, "active", "running")


def test_a_reload_of_a_broken_configuration_keeps_the_old(watchfolder: Installation) -> None:
    watchfolder.start()
    before = watchfolder.facts()["MainPID"]
    watchfolder.config["inboxes"]["photos"]["outbox"] = "nowhere"
    watchfolder.write_config()
    with pytest.raises(AssertionError, match="failed"):
        watchfolder.systemctl("reload")
    wait_until(lambda: "config.refused" in watchfolder.log(), COMES_SECONDS, "the refusal in the log")
    assert "inboxes.photos.outbox" in watchfolder.log()
    status = watchfolder.machine.path("/var/lib/watchfolder/status.json")
    wait_until(
        lambda: "inboxes.photos.outbox" in json.loads(status.read_text())["refused"],
        COMES_SECONDS,
        "the status says so",
    )
    expect_it_works(watchfolder)
    assert (watchfolder.facts()["MainPID"], watchfolder.facts()["ActiveState"]) == (before, "active")


def test_restarts_under_load_lose_nothing_and_pay_nothing_twice(
    watchfolder: Installation, pictures: dict[str, bytes]
) -> None:
    watchfolder.start()
    dropped = list(pictures.items())
    for first in range(0, len(dropped), 10):  # each restart finds it at work, however fast it is
        for name, content in dropped[first : first + 10]:
            watchfolder.drop(name, content)
        wait_until(watchfolder.is_at_work, COMES_SECONDS, "at work")
        watchfolder.systemctl("restart")
    expect_nothing_lost_and_nothing_paid_twice(watchfolder, pictures)


def test_a_killed_process_is_started_again_and_goes_on(watchfolder: Installation, pictures: dict[str, bytes]) -> None:
    watchfolder.start()
    for name, content in pictures.items():
        watchfolder.drop(name, content)
    for times in (1, 2):
        wait_until(watchfolder.is_at_work, COMES_SECONDS, "at work")
        os.kill(watchfolder.process(), signal.SIGKILL)
        await_restart(watchfolder, times)
    expect_nothing_lost_and_nothing_paid_twice(watchfolder, pictures)


@pytest.mark.parametrize("end", ["power_off", "pull_the_plug"])
def test_a_machine_that_goes_down_at_work_goes_on_when_it_is_back(
    end: str, program: Path, disks: dict[str, Path], sandbox: Sandbox, pictures: dict[str, bytes]
) -> None:
    with installed(program, disks, sandbox) as watchfolder:
        watchfolder.start()
        for name, content in pictures.items():
            watchfolder.drop(name, content)
        wait_until(watchfolder.is_at_work, COMES_SECONDS, "at work")
        getattr(watchfolder.machine, end)()
    assert len(watchfolder.delivered()) < len(pictures), "all was done before the machine went down"
    with installed(program, disks, sandbox) as watchfolder:
        watchfolder.start()
        expect_nothing_lost_and_nothing_paid_twice(watchfolder, pictures)


def test_the_watchdog_ends_a_process_that_is_stuck(watchfolder: Installation) -> None:
    watchfolder.start()
    os.kill(watchfolder.process(), signal.SIGSTOP)
    await_restart(watchfolder, 1)
    assert "Watchdog timeout" in watchfolder.log()
    expect_it_works(watchfolder)


def test_the_watchdog_leaves_an_idle_process_alone_also_when_one_share_is_dead(watchfolder: Installation) -> None:
    watchfolder.add_inbox("nas")
    watchfolder.write_config()
    watchfolder.start()
    before = watchfolder.facts()["MainPID"]
    with hung_share(watchfolder.machine, "/mnt/nas"):
        time.sleep(4 * WATCHDOG_SECONDS)
        expect_it_works(watchfolder)
        words = "Not available: nas (a folder does not answer). It goes on by itself when the folders are back; "
        words += "0 waiting, 0 in progress, 0 deferred; since the start 1 delivered, 0 quarantined"
        wait_until(lambda: watchfolder.facts()["StatusText"] == words, COMES_SECONDS, words)
    facts = watchfolder.facts()
    assert (facts["MainPID"], facts["ActiveState"], facts["NRestarts"]) == (before, "active", "0")
    back = "0 waiting, 0 in progress, 0 deferred; since the start 1 delivered, 0 quarantined"
    wait_until(lambda: watchfolder.facts()["StatusText"] == back, COMES_SECONDS, back)


def test_a_dead_share_delays_neither_the_start_nor_the_stop_for_long(watchfolder: Installation) -> None:
    watchfolder.add_inbox("nas")
    watchfolder.write_config()
    with hung_share(watchfolder.machine, "/mnt/nas"):
        started = time.monotonic()
        watchfolder.start()
        assert time.monotonic() - started < 60  # systemd waits for 120
        expect_it_works(watchfolder)
        expect_a_stop_within(watchfolder, 29)


def test_a_reload_that_a_dead_share_holds_up_ends_in_a_new_process(watchfolder: Installation) -> None:
    watchfolder.add_inbox("nas")
    watchfolder.write_config()
    watchfolder.add_dropin("patient", "[Service]\nWatchdogSec=60\n")  # the reload waits for the share, 20 s at most
    watchfolder.start()
    with hung_share(watchfolder.machine, "/mnt/nas"):
        wait_until(lambda: "nas" in watchfolder.facts()["StatusText"], COMES_SECONDS, "the share is missed")
        watchfolder.config["transfers"] = 2
        watchfolder.write_config()
        watchfolder.systemctl("reload", check=False)
        await_restart(watchfolder, 1)
        expect_it_works(watchfolder)
    assert "status=75" in watchfolder.log()


def test_a_wrong_configuration_is_not_tried_again(watchfolder: Installation) -> None:
    watchfolder.config["inboxes"]["photos"]["outbox"] = "nowhere"
    watchfolder.write_config()
    assert "failed" in watchfolder.systemctl("start", check=False)
    assert "inboxes.photos.outbox" in watchfolder.log()
    time.sleep(5 * RESTART_SECONDS)
    facts = watchfolder.facts()
    assert (facts["ActiveState"], facts["ExecMainStatus"], facts["NRestarts"]) == ("failed", "78", "0")


def test_a_second_instance_is_tried_again_until_the_first_is_gone(watchfolder: Installation) -> None:
    watchfolder.start()
    watchfolder.systemctl("stop")
    with watchfolder.machine.path("/var/lib/watchfolder/lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        watchfolder.systemctl("start", check=False)
        wait_until(lambda: int(watchfolder.facts()["NRestarts"]) >= 2, COMES_SECONDS, "tried again and again")
        assert watchfolder.facts()["ExecMainStatus"] in {"0", "69"}  # 0: the next try is under way
    wait_until(lambda: watchfolder.facts()["ActiveState"] == "active", COMES_SECONDS, "the lock is free")
    expect_it_works(watchfolder)


def test_an_idle_service_stops_at_once(watchfolder: Installation) -> None:
    watchfolder.start()
    expect_a_stop_within(watchfolder, 15)  # what hangs may take 20; this machine is busy with other tests


@pytest.mark.parametrize(("operation", "fault"), [("upload", "hang"), ("confirm", "hang_after")])
def test_a_call_that_hangs_does_not_hold_up_the_stop(watchfolder: Installation, operation: str, fault: str) -> None:
    watchfolder.sandbox.faults.add(operation, fault, seconds=120)
    watchfolder.start()
    watchfolder.drop("meadow.jpg", PICTURE)
    wait_until(lambda: watchfolder.sandbox.requests_by_operation().get(operation), COMES_SECONDS, f"{operation} hangs")
    expect_a_stop_within(watchfolder, 29)
    watchfolder.start()
    expect_nothing_lost_and_nothing_paid_twice(watchfolder, {"meadow.jpg": PICTURE})


def expect_a_stop_within(watchfolder: Installation, seconds: float) -> None:
    began = time.monotonic()
    watchfolder.systemctl("stop")
    took = time.monotonic() - began
    facts = watchfolder.facts()
    assert (facts["ActiveState"], facts["Result"], facts["ExecMainStatus"]) == ("inactive", "success", "0")
    assert took < seconds
