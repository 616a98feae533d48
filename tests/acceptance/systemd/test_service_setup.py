"""`watchfolder init` as root where something is not as usual: what it makes is a service that works all the same."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from installation import COMES_SECONDS, DROPINS, UNIT, Installation, picture, program, sandbox
from machine import Machine
from waiting import wait_until

from watchfolder.sandbox import Sandbox

__all__ = ["program", "sandbox"]

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]  # the first one may wait for debootstrap

PICTURE = picture(1)
OFTEN = "WATCHFOLDER__INBOXES__PHOTOS__SCAN_SECONDS=1"
SFTP_SERVER = "/usr/lib/openssh/sftp-server"


@pytest.fixture
def machine(program: Path) -> Iterator[Machine]:
    with Machine({}, read_only_folders={"/opt/watchfolder": program}) as machine:
        yield machine


def init(machine: Machine, sandbox: Sandbox, *options: str, photos: str = "/srv/photos") -> Installation:
    """Run it with its key, in a shell whose umask hides everything from everybody else."""
    at_sandbox = f"WATCHFOLDER__API__BASE_URL={sandbox.url}"
    script = 'umask 077; exec env "$@"'
    command = ("/opt/watchfolder/bin/watchfolder", "init", "--key-file=-", f"--folder={photos}", *options)
    machine.run("sh", "-ec", script, "sh", at_sandbox, *command, text=f"{sandbox.key}\n")
    installation = Installation(machine, sandbox, machine.path(photos))
    installation.add_dropin("sandbox", f"[Service]\nEnvironment={at_sandbox} {OFTEN}\n")
    return installation


def expect_it_works(installation: Installation, photos: str = "/srv/photos") -> None:
    """Let somebody of the group put a picture in, and find it protected."""
    machine = installation.machine
    installation.start()
    machine.run("useradd", "--groups=photos", "anna")
    machine.path("/var/lib/meadow.jpg").write_bytes(PICTURE)
    machine.path("/var/lib/meadow.jpg").chmod(0o644)
    as_anna = ("setpriv", "--reuid=anna", "--regid=anna", "--init-groups")
    machine.run(*as_anna, "cp", "/var/lib/meadow.jpg", f"{photos}/inbox/meadow.jpg")
    installation.await_delivery("meadow.jpg")


def test_a_root_who_hides_what_it_makes_locks_out_neither_people_nor_daemon(machine: Machine, sandbox: Sandbox) -> None:
    expect_it_works(init(machine, sandbox))


@pytest.mark.parametrize("is_packaged", [False, True])
def test_the_daemon_runs_as_the_user_that_was_named(machine: Machine, sandbox: Sandbox, *, is_packaged: bool) -> None:
    if is_packaged:
        machine.run("cp", f"/opt/watchfolder/share/watchfolder/systemd/{UNIT}", "/usr/lib/systemd/system/")
    machine.run("useradd", "--system", "--no-user-group", "--gid=daemon", "pictures")
    installation = init(machine, sandbox, "--user=pictures")
    expect_it_works(installation)
    assert installation.facts()["User"] == "pictures"


def test_folders_in_somebodys_home_are_within_the_daemons_reach(machine: Machine, sandbox: Sandbox) -> None:
    machine.run("mkdir", "-m", "755", "/home/bea")
    photos = "/home/bea/pictures"
    expect_it_works(init(machine, sandbox, photos=photos), photos)
    assert f"BindPaths=-{photos}\n" in machine.path(f"{DROPINS}/folders.conf").read_text()


def test_a_python_in_somebodys_home_is_refused_as_the_program_is(machine: Machine) -> None:
    machine.run("cp", "/usr/bin/python3", "/root/python3")
    machine.run("cp", "--recursive", "/opt/watchfolder", "/opt/ours")
    machine.run("ln", "--force", "--symbolic", "/root/python3", "/opt/ours/bin/python3")
    said = machine.run("/opt/ours/bin/python3", "-m", "watchfolder", "init", check=False)
    assert "/root/python3: systemd hides people's homes" in said
    assert not machine.path(f"/etc/systemd/system/{UNIT}").exists()


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Path]:
    """Return where a share is mounted here, by sshfs."""
    missing = [name for name in ("sshfs", SFTP_SERVER) if shutil.which(name) is None]
    assert not (missing and "CI" in os.environ), f"CI must have {missing}"
    if missing or not os.path.exists("/dev/fuse"):
        pytest.skip(f"needs {', '.join(missing) or '/dev/fuse'}")
    far, near, login = tmp_path / "far", tmp_path / "near", tmp_path / "login"
    far.mkdir()
    near.mkdir()
    login.write_text(f"#!/bin/sh\nexec {SFTP_SERVER}\n")  # in place of ssh: it asks for a host that is not there
    login.chmod(0o755)
    command = ["sshfs", "-f", f"nas:{far}", str(near), "-o", f"ssh_command={login},allow_other"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as server:
        try:
            wait_until(near.is_mount, COMES_SECONDS, "mounted")
            yield near
        finally:
            server.kill()
            subprocess.run(["umount", "--lazy", str(near)], check=True, timeout=20)


def test_of_a_share_the_folder_above_its_mount_point_is_named(program: Path, share: Path, sandbox: Sandbox) -> None:
    with Machine({"/mnt/nas": share}, read_only_folders={"/opt/watchfolder": program}) as machine:
        expect_it_works(init(machine, sandbox, photos="/mnt/nas"), "/mnt/nas")
        assert machine.path(f"{DROPINS}/folders.conf").read_text().endswith("\nReadWritePaths=-/mnt\n")
