"""What the service under the shipped unit can reach, and who can reach its key."""

import re
import time
from pathlib import Path

import pytest
from installation import (
    COMES_SECONDS,
    SETTLE_SECONDS,
    UNIT,
    Installation,
    disks,
    picture,
    program,
    sandbox,
    watchfolder,
)
from waiting import wait_until

from watchfolder.clock import BOOT_ID_FILE, BOOT_ID_VARIABLE

__all__ = ["disks", "program", "sandbox", "watchfolder"]

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]  # the first one may wait for debootstrap

KEY_FILE = "/etc/watchfolder/api-key"
CREDENTIAL = f"/run/credentials/{UNIT}/bizmori-api-key"
CAP_LEASE = 1 << 28


@pytest.fixture
def running(watchfolder: Installation) -> Installation:
    watchfolder.start()
    return watchfolder


def reads(watchfolder: Installation, user: str, path: str) -> bool:
    return watchfolder.sandbox.key in watchfolder.machine.run("runuser", "-u", user, "--", "cat", path, check=False)


def in_its_place(watchfolder: Installation, *command: str) -> str:
    """Run a command as root, but among the service's file systems; return what it says."""
    place = ("nsenter", f"--target={watchfolder.facts()['MainPID']}", "--mount")
    return watchfolder.machine.run(*place, *command, check=False)


def status_of(process: Path) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)


def test_the_key_is_for_root_and_the_service_alone(running: Installation) -> None:
    running.machine.run("useradd", "--groups=photos", "anna")
    who = ("nobody", "anna", "watchfolder", "root")
    assert [user for user in who if reads(running, user, KEY_FILE)] == ["root"]
    assert [user for user in who if reads(running, user, CREDENTIAL)] == ["watchfolder", "root"]


def test_the_key_is_in_no_place_that_is_told_to_others(running: Installation) -> None:
    running.drop("meadow.jpg", picture(1))
    running.await_delivery("meadow.jpg")
    process, key = Path(f"/proc/{running.process()}"), running.sandbox.key
    assert key.encode() not in (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
    assert key not in running.log() + running.systemctl("show") + running.systemctl("status")
    assert re.search(r"^Max core file size\s+0\s+0\b", (process / "limits").read_text(), re.MULTILINE)


def test_a_missing_key_file_is_status_243_until_it_is_there(watchfolder: Installation) -> None:
    watchfolder.machine.run("rm", KEY_FILE)
    watchfolder.systemctl("start", check=False)
    wait_until(lambda: "status=243/CREDENTIALS" in watchfolder.log(), COMES_SECONDS, "the reason in the log")
    watchfolder.machine.run("install", "-m", "600", "/dev/stdin", KEY_FILE, text=watchfolder.sandbox.key)
    wait_until(lambda: watchfolder.facts()["ActiveState"] == "active", COMES_SECONDS, "started again by itself")


def test_only_the_state_and_the_named_folders_can_be_written(running: Installation) -> None:
    closed = ["/", "/opt/watchfolder", "/etc/watchfolder", "/usr", "/var", "/srv"]
    open_ones = ["/var/lib/watchfolder", "/srv/photos", "/mnt"]
    script = 'for folder; do touch "$folder/x" && echo "$folder"; done 2>/dev/null'
    assert in_its_place(running, "sh", "-c", script, "sh", *closed, *open_ones).split() == open_ones


def test_homes_temporary_files_and_other_processes_cannot_be_seen(running: Installation) -> None:
    running.machine.run("sh", "-c", "mkdir /home/anna && touch /home/anna/diary /tmp/note")
    look = ("runuser", "-u", "watchfolder", "--", "sh", "-c", "ls -d /home/anna /tmp/note /proc/1 2>/dev/null")
    assert in_its_place(running, *look) == ""
    assert running.machine.run(*look[4:])


def test_the_process_is_told_which_boot_this_is_though_it_cannot_see(running: Installation) -> None:
    assert in_its_place(running, "sh", "-c", f"cat {BOOT_ID_FILE} 2>/dev/null || true") == ""
    environment = Path(f"/proc/{running.process()}/environ").read_bytes().decode().split("\0")
    seen = running.machine.run("cat", BOOT_ID_FILE).strip().replace("-", "")
    assert f"{BOOT_ID_VARIABLE}={seen}" in environment


def test_the_process_has_the_one_capability_and_a_filter_on_its_calls(running: Installation) -> None:
    status = status_of(Path(f"/proc/{running.process()}"))
    rights = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert set(rights.values()) == {CAP_LEASE}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_systemd_finds_the_running_service_well_confined(running: Installation) -> None:
    said = running.machine.run("systemd-analyze", "security", "--no-pager", UNIT)
    found = re.search(r"Overall exposure level for .*?: ([0-9.]+)", said)
    assert found is not None, said
    assert float(found[1]) <= 2.0


def test_a_file_that_somebody_else_still_writes_is_left_alone(running: Installation) -> None:
    explain = ("watchfolder", "explain", "/srv/photos/inbox/meadow.jpg")
    with (running.photos / "inbox/meadow.jpg").open("wb") as writer:  # root's file, and whole
        writer.write(picture(1))
        writer.flush()
        wait_until(lambda: "still writing" in running.machine.run(*explain), COMES_SECONDS, "the writer is seen")
        time.sleep(4 * SETTLE_SECONDS)
        assert running.delivered() == set()
    running.await_delivery("meadow.jpg")
