"""The package on Debian 12 and 13, each with its own Python: installed, upgraded, removed, purged, as people do it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from installation import (
    COMES_SECONDS,
    CONFIG,
    PROJECT,
    Installation,
    made_once,
    names,
    need_machine,
    picture,
    sandbox,
    steps,
    stopwatch,
)
from machine import Machine
from waiting import wait_until

from watchfolder.sandbox import Sandbox

__all__ = ["sandbox"]

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]  # the first one may wait for debootstrap

SUITES = ["bookworm", "trixie"]
BUILD_SECONDS = 500.0
BUILDER = {"DEBFULLNAME": "Studio Berg", "DEBEMAIL": "it@studio-berg.example"}
PICTURE = picture(1)
STATE = "/var/lib/watchfolder"
OF_THIS_TEST = {"shares.conf", "in-a-hurry.conf"}  # drop-ins that Installation adds, as an administrator might
DROPPED = {"first.jpg", "under way.jpg", "after.jpg", "waits.jpg"}  # in the life of the package
IS_UNDER_WAY_FOR_SECONDS = 15.0  # long enough for an upgrade to begin


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the package, in `now`, and the one that comes after it, in `next`."""
    need_machine("" if shutil.which("dpkg-deb") else "dpkg-deb is missing")
    return made_once(tmp_path_factory, "packages", build)


def build(made: Path) -> None:
    builder: list[str | Path] = [sys.executable, PROJECT / "packaging/debian/build.py", "--compression=gzip"]
    call(*builder, f"--output={made / 'now'}")
    (now,) = (made / "now").iterdir()
    tree = made / "tree"
    call("dpkg-deb", "--raw-extract", now, tree)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace("\nVersion: ", "\nVersion: 1:", 1))
    call("dpkg-deb", "--build", "-Zgzip", "-z1", "--root-owner-group", tree, made / "next.deb")
    shutil.rmtree(tree)


def call(*command: str | Path) -> None:
    environment = os.environ | BUILDER
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def on_debian_12(packages: Path) -> Iterator[Machine]:
    with Machine({}, read_only_folders={"/packages": packages}) as machine:
        yield machine


def running(machine: Machine, sandbox: Sandbox) -> Installation:
    """Type the three lines of the README."""
    package, init, start = steps("README.md", "Install on a server")[0].splitlines()
    machine.run("sh", "-ec", f"cd /packages/now; {package}", seconds=120)
    there = Installation(machine, sandbox, machine.path("/srv/photos"))
    there.init(init)
    machine.run("sh", "-ec", start)
    return there


@pytest.mark.parametrize("suite", SUITES)
def test_the_package_from_its_three_lines_to_its_purge(suite: str, packages: Path, sandbox: Sandbox) -> None:
    with Machine({}, read_only_folders={"/packages": packages}, suite=suite) as machine:
        with stopwatch("Debian package", steps("README.md", "Install on a server")[0]):
            watchfolder = running(machine, sandbox)
            watchfolder.drop("first.jpg", PICTURE)
            watchfolder.await_delivery("first.jpg")
        expect_the_package_to_the_byte_and_what_it_needs(machine)
        upgrade_at_work(watchfolder)
        remove_and_install_again(watchfolder)
        purge_without_and_with_the_journal(watchfolder)


def install_next(machine: Machine) -> None:
    machine.run("dpkg", "--install", "/packages/next.deb", seconds=120)


def version(machine: Machine) -> str:
    return machine.run("dpkg-query", "--show", "--showformat=${Version}", "watchfolder")


def purge(machine: Machine, answer: bool | None = None) -> str:
    if answer is not None:
        line = f"watchfolder watchfolder/remove-state boolean {str(answer).lower()}\n"
        machine.run("debconf-set-selections", text=line)
    return machine.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--purge", "watchfolder")


def expect_the_package_to_the_byte_and_what_it_needs(machine: Machine) -> None:
    assert machine.run("dpkg", "--verify", "watchfolder") == ""
    assert machine.run("dpkg-query", "--show", "--showformat=${Maintainer}", "watchfolder") == (
        "Studio Berg <it@studio-berg.example>"
    )
    python = machine.run("python3", "-c", "import sys; print(sys.implementation.cache_tag, end='')")
    compiled = f"find /opt/watchfolder -name '*.{python}-*.so' -o -name '*.so.*'"
    needs = machine.run("sh", "-ec", f"{compiled} | xargs ldd")
    assert "_pydantic_core" in needs
    assert "not found" not in needs


def upgrade_at_work(watchfolder: Installation) -> None:
    machine, service = watchfolder.machine, watchfolder.sandbox
    configuration, process = machine.path(CONFIG).read_text(), watchfolder.facts()["MainPID"]
    service.processing_seconds = IS_UNDER_WAY_FOR_SECONDS
    watchfolder.drop("under way.jpg", picture(2))
    wait_until(lambda: service.paid == 2, COMES_SECONDS, "paid")
    install_next(machine)
    service.processing_seconds = 0.2
    assert version(machine).startswith("1:")
    assert machine.path(CONFIG).read_text() == configuration
    facts = watchfolder.facts()
    assert (facts["ActiveState"], facts["NRestarts"], facts["Result"]) == ("active", "0", "success")
    assert facts["MainPID"] != process
    watchfolder.drop("after.jpg", picture(3))
    watchfolder.await_delivery("under way.jpg", "after.jpg")
    log = watchfolder.log()
    assert log.index("under way.jpg") < log.rindex("daemon.started") < log.rindex("under way.jpg")
    assert (service.paid, max(service.paid_files.values()), service.sins) == (3, 1, [])


def remove_and_install_again(watchfolder: Installation) -> None:
    machine = watchfolder.machine
    machine.run("dpkg", "--remove", "watchfolder")
    assert not machine.path("/opt/watchfolder").exists()
    assert machine.run("systemctl", "is-active", "watchfolder", check=False).strip() == "inactive"
    watchfolder.drop("waits.jpg", picture(4))
    install_next(machine)
    watchfolder.await_delivery("waits.jpg")


def purge_without_and_with_the_journal(watchfolder: Installation) -> None:
    machine = watchfolder.machine
    said = purge(machine)
    assert f"{STATE} stays" in said
    assert any(machine.path(f"{STATE}/history").iterdir())
    left = machine.run("find", "/etc", "/usr", "/opt", "-path", "*watchfolder*", "-type", "f", check=False)
    assert {Path(path).name for path in left.splitlines() if path.startswith("/")} == OF_THIS_TEST
    install_next(machine)
    purge(machine, answer=True)
    assert not machine.path(STATE).exists()
    assert names(watchfolder.photos / "protected") == names(watchfolder.photos / "originals") == DROPPED


def test_a_purge_at_a_terminal_asks_before_the_journal_goes(on_debian_12: Machine) -> None:
    on_debian_12.run("sh", "-ec", "dpkg --install /packages/now/*.deb", seconds=120)
    on_debian_12.run("sh", "-ec", f"mkdir -p {STATE}/journal; touch {STATE}/journal/1.json {STATE}/journal/2.json")
    at_terminal = "DEBIAN_FRONTEND=teletype dpkg --purge watchfolder"
    said = on_debian_12.run("script", "--quiet", "--return", "--command", at_terminal, "/dev/null", text="yes\n")
    assert "Orders in its journal now: 2" in " ".join(said.split())
    assert not on_debian_12.path(STATE).exists()


def test_an_upgrade_starts_only_what_ran_also_without_being_enabled(on_debian_12: Machine, sandbox: Sandbox) -> None:
    watchfolder = running(on_debian_12, sandbox)
    on_debian_12.run("systemctl", "disable", "watchfolder")
    install_next(on_debian_12)
    assert watchfolder.facts()["ActiveState"] == "active"
    on_debian_12.run("systemctl", "enable", "watchfolder")
    watchfolder.systemctl("stop")
    on_debian_12.run("sh", "-ec", "dpkg --force-downgrade --install /packages/now/*.deb", seconds=120)
    assert watchfolder.facts()["ActiveState"] == "inactive"


def test_an_instance_of_the_template_works_beside_the_first_and_is_upgraded(
    on_debian_12: Machine, sandbox: Sandbox
) -> None:
    first = running(on_debian_12, sandbox)
    template, instance = steps("docs/install/README.md", "Several daemons on one plan")
    environment = f"WATCHFOLDER__API__BASE_URL={sandbox.url}"
    in_a_hurry = f"[Service]\nEnvironment={environment} WATCHFOLDER__INBOXES__PHOTOS__SCAN_SECONDS=1\n"
    on_debian_12.run("sh", "-ec", template)
    on_debian_12.path("/etc/systemd/system/watchfolder@.service.d/in-a-hurry.conf").write_text(in_a_hurry)
    on_debian_12.run("systemctl", "daemon-reload")
    said = on_debian_12.run("sh", "-ec", f"export {environment}; {instance}")
    assert "To start it: systemctl enable --now watchfolder@studio" in said
    studio = Installation(on_debian_12, sandbox, on_debian_12.path("/srv/studio"))
    studio.drop("before.jpg", PICTURE)
    studio.await_delivery("before.jpg")
    install_next(on_debian_12)
    studio.drop("after.jpg", picture(2))
    first.drop("after.jpg", picture(3))
    studio.await_delivery("after.jpg")
    first.await_delivery("after.jpg")
    assert first.delivered() == {"after.jpg"}
    assert (sandbox.paid, sandbox.sins) == (3, [])


def test_what_somebody_installed_by_hand_is_not_written_over(on_debian_12: Machine) -> None:
    on_debian_12.run("python3", "-m", "venv", "--without-pip", "/opt/watchfolder")
    said = on_debian_12.run("sh", "-c", "dpkg --install /packages/now/*.deb", check=False, seconds=120)
    assert "somebody installed it by hand" in said
    assert on_debian_12.run("find", "/opt/watchfolder/bin", "-name", "watchfolder") == ""
    on_debian_12.run("rm", "-r", "/opt/watchfolder")
    on_debian_12.run("sh", "-c", "dpkg --install /packages/now/*.deb", seconds=120)
