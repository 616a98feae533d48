"""watchfolder on a machine of its own, installed there as the README says, and the service that it talks to."""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from debian_root import ITS_PYTHON, SUITE
from documents import blocks, section
from machine import Machine, obstacle
from machine_cache import alone
from waiting import wait_until

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

PROJECT = Path(__file__).parents[1]
UNIT = "watchfolder.service"
CONFIG = "/etc/watchfolder/config.yaml"
DROPINS = f"/etc/systemd/system/{UNIT}.d"

# What a test cannot wait for.
WATCHDOG_SECONDS = 6.0
INSTALL_SECONDS = 300.0  # beside the other tests
COMES_SECONDS = 120.0  # for whatever must come, on a machine that is busy with other tests
WITHIN_SECONDS = 300.0  # from nothing to the first protected picture, as is promised
RESTART_SECONDS = 0.3
SETTLE_SECONDS = 0.3
IN_A_HURRY = f"[Service]\nWatchdogSec={WATCHDOG_SECONDS}\nRestartSec={RESTART_SECONDS}\n"


class Installation:
    """The service on a machine; its folders, as this machine sees them, are below `photos`."""

    def __init__(self, machine: Machine, sandbox: Sandbox, photos: Path) -> None:
        self.machine = machine
        self.sandbox = sandbox
        self.photos = photos
        self.config: dict[str, Any] = {}

    def install(self) -> None:
        """Take the steps of docs/install/source.md, up to the start."""
        package, init, _ = steps("docs/install/source.md")
        self.machine.run(*shlex.split(package.splitlines()[-1]))  # the link; what is linked is there (`program`)
        self.init(init)

    def init(self, init: str) -> None:
        at_sandbox = f"WATCHFOLDER__API__BASE_URL={self.sandbox.url}"
        self.machine.run("env", at_sandbox, *shlex.split(init), "--key-file=-", text=f"{self.sandbox.key}\n")
        self.add_dropin("shares", "[Service]\nReadWritePaths=-/mnt\n")
        self.config = yaml.safe_load(self.machine.path(CONFIG).read_text())
        self.config["api"] |= {"base_url": self.sandbox.url, "requests_per_minute": 0}
        self.config["inboxes"]["photos"] |= {"settle_seconds": SETTLE_SECONDS, "scan_seconds": 1, "duplicates": "again"}
        self.write_config()
        self.add_dropin("in-a-hurry", IN_A_HURRY)

    def add_dropin(self, name: str, text: str) -> None:
        self.machine.path(f"{DROPINS}/{name}.conf").write_text(text)
        self.machine.run("systemctl", "daemon-reload")

    def write_config(self) -> None:
        self.machine.path(CONFIG).write_text(yaml.safe_dump(self.config))

    def start(self) -> None:
        self.systemctl("start")

    def systemctl(self, verb: str, *, check: bool = True) -> str:
        return self.machine.run("systemctl", verb, UNIT, check=check)

    def facts(self) -> Mapping[str, str]:
        """Return what systemd knows of the service."""
        return dict(line.split("=", 1) for line in self.systemctl("show").splitlines() if "=" in line)

    def process(self) -> int:
        """Return the service's main process, as this machine counts."""
        return self.machine.process(int(self.facts()["MainPID"]))

    def log(self) -> str:
        return self.machine.run("journalctl", "--unit", UNIT, "--output=cat", "--no-pager")

    def add_inbox(self, name: str) -> None:
        """Make another inbox below /mnt, the place for shares, and a section for it in what `write_config` writes."""
        below = f"/mnt/{name}"
        roles = {"path": "inbox", "outbox": "protected", "quarantine": "quarantine", "originals": "originals"}
        self.machine.run("mkdir", "-p", below)
        folders = [f"{below}/{folder}" for folder in roles.values()]
        self.machine.run("install", "-d", "-g", "photos", "-m", "2775", *folders)
        self.config["inboxes"][name] = self.config["inboxes"]["photos"] | dict(zip(roles, folders, strict=True))

    def drop(self, name: str, content: bytes) -> None:
        """Put a picture into the inbox as a careful program does: whole, by rename."""
        half = self.photos / f".{name}.half"
        half.write_bytes(content)
        half.rename(self.photos / "inbox" / name)

    def delivered(self) -> set[str]:
        return names(self.photos / "protected")

    def is_at_work(self) -> bool:
        return any(self.machine.path("/var/lib/watchfolder/journal").glob("*.json"))

    def await_delivery(self, *expected: str) -> float:
        return wait_until(
            lambda: self.delivered() >= set(expected),
            COMES_SECONDS,
            lambda: f"{expected} delivered; there are {self.delivered()}\n{self.log()}",
        )


@contextlib.contextmanager
def stopwatch(page: str, lines: str) -> Iterator[None]:
    """Time the lines of a page, up to the first protected picture; docs/install/README.md has a table of that."""
    started = time.monotonic()
    yield
    seconds = time.monotonic() - started
    count = len(lines.replace("\\\n", "").splitlines())
    print(f"{page}: lines {count}, seconds {seconds:.0f}")  # noqa: T201 - for the report
    assert seconds < WITHIN_SECONDS


def steps(document: str, heading: str = "Install") -> list[str]:
    """Return the commands that a document tells people to type below a heading, block by block."""
    return blocks(section(document, heading), "sh")


def picture(seed: int, width: int = 640) -> bytes:
    return sample("jpeg", width=width, height=width * 3 // 4, seed=seed)


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return /opt/watchfolder, made once for this test run by that machine's own Python from the project's wheel."""
    wheels = project_wheels(tmp_path_factory)
    return made_once(tmp_path_factory, "program", lambda made: _make_program(made, wheels))


def project_wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all that an installation from the checkout asks for, the builder of the wheel with it."""
    fits = sys.version_info[:2] == ITS_PYTHON
    need_machine("" if fits else f"the wheels of this Python do not fit the one of Debian {SUITE}")
    return made_once(tmp_path_factory, "wheels", lambda made: pip("wheel", f"--wheel-dir={made}", PROJECT, "hatchling"))


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", *arguments]
    subprocess.run(command, capture_output=True, timeout=INSTALL_SECONDS, check=True)


def need_machine(why_not: str = "") -> None:
    """Skip the test where no machine can be started, or `why_not` is in the way; in CI, fail."""
    why_not = why_not or obstacle()
    if why_not and os.environ.get("CI") == "true" and os.geteuid() == 0:
        pytest.fail(f"no machine with systemd, and CI must not go without it: {why_not}")
    if why_not:
        pytest.skip(f"no machine with systemd: {why_not}")


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that `make` fills, once for all processes of this test run."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with alone(shared / f"{name}.lock"):
        made = shared / name
        if not made.exists():
            half_made = shared / f"{name}.half"
            shutil.rmtree(half_made, ignore_errors=True)  # of a try that failed
            half_made.mkdir()
            make(half_made)
            half_made.rename(made)
    return made


def _make_program(made: Path, wheels: Path) -> None:
    with Machine({"/opt/watchfolder": made}, read_only_folders={"/wheels": wheels}) as machine:
        machine.run("python3", "-m", "venv", "/opt/watchfolder", seconds=INSTALL_SECONDS)
        install = ("/opt/watchfolder/bin/pip", "install", "--quiet", "--no-index", "--find-links=/wheels")
        machine.run(*install, "watchfolder", seconds=INSTALL_SECONDS)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(processing_seconds=0.2) as running:
        yield running


@pytest.fixture
def disks(tmp_path: Path) -> dict[str, Path]:
    """Return what outlives a machine: where it is in there, where here."""
    kept = {"/srv": tmp_path / "srv", "/var/lib/watchfolder": tmp_path / "state"}
    for folder in kept.values():
        folder.mkdir()
    return kept


@contextlib.contextmanager
def installed(program: Path, disks: dict[str, Path], sandbox: Sandbox) -> Iterator[Installation]:
    with Machine(disks, read_only_folders={"/opt/watchfolder": program}) as machine:
        there = Installation(machine, sandbox, disks["/srv"] / "photos")
        there.install()
        yield there


@pytest.fixture
def watchfolder(program: Path, disks: dict[str, Path], sandbox: Sandbox) -> Iterator[Installation]:
    with installed(program, disks, sandbox) as there:
        yield there
