"""A studio for the tests of the command line: a sandbox, folders, a configuration, and the real program."""

import contextlib
import functools
import os
import pwd
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from contents import whole_lines
from waiting import wait_until
from warm_watchfolder import Fork, Warm

from watchfolder.clock import Clock
from watchfolder.command_line import CommandLine
from watchfolder.config.installed_unit import command_line
from watchfolder.disk import Place
from watchfolder.order import Order, OrderFile, State, Why
from watchfolder.publish import notes
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

PICTURE = sample("jpeg", width=160, height=120, seed=1)
KEY = "sk_studio_0123456789"


_AT_START = re.compile("PYTHON|LC_|LANG|TZ|LD_").match
"""A variable that Python reads when it starts."""


_PROMPT = """
import importlib, sys
for name, seconds in {waits!r}.items():
    module, _, constant = name.rpartition(".")
    module = importlib.import_module(f"watchfolder.{{module}}")
    getattr(module, constant)  # it has gone where it is not there
    setattr(module, constant, seconds)
sys.argv[0] = "watchfolder"
from watchfolder.console import cli
cli.main()
"""


@functools.cache
def warm() -> Warm:
    return Warm({"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONPATH": os.environ.get("PYTHONPATH", "")})


@dataclass
class Studio:
    """Folders below `root` and a configuration for them; `environment` is what the program finds besides PATH.

    `waits` are those of the program that are other here: seconds by "pipeline.timing.FIRST_BACKOFF_SECONDS".
    """

    root: Path
    url: str = "http://127.0.0.1:9"  # nobody is there
    environment: dict[str, str] = field(default_factory=lambda: {"BIZMORI_API_KEY": KEY})
    waits: dict[str, float] = field(default_factory=lambda: {"pipeline.timing.FIRST_POLL_SECONDS": 0.2})

    def __post_init__(self) -> None:
        for name in ("inbox", "outbox", "quarantine", "originals", "state"):
            (self.root / name).mkdir()
        self.configure()

    def folder(self, name: str) -> Path:
        return self.root / name

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    def configure(
        self, api: Mapping[str, Any] | None = None, inboxes: Mapping[str, Any] | None = None, **photos: object
    ) -> None:
        """Write the configuration, with changes."""
        paths = {name: str(self.root / name) for name in ("outbox", "quarantine", "originals")}
        quick = {
            "settle_seconds": 0.2,
            "scan_seconds": 1,
            "duplicates": "again",
        }  # most drop one picture, over and over
        inbox = {"path": str(self.root / "inbox"), **paths, **quick, **photos}
        tree = {
            "api": {"base_url": self.url, "requests_per_minute": 0, **(api or {})},
            "state_dir": str(self.root / "state"),
            "inboxes": {"photos": inbox} | dict(inboxes or {}),
        }
        self.config.write_text(yaml.safe_dump(tree), encoding="utf-8")

    def drop(self, name: str, content: bytes = PICTURE) -> Path:
        path = self.root / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def command(self, *arguments: str) -> list[str]:
        command, *rest = arguments
        program = ["-c", _PROMPT.format(waits=self.waits)] if self.waits else ["-m", "watchfolder"]
        return [sys.executable, *program, command, "-c", str(self.config), *rest]

    @property
    def typed(self) -> CommandLine:
        """Return what people type to it."""
        return command_line(str(self.config), {}, is_found=False)

    def environ(self) -> dict[str, str]:
        plain = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        return plain | {"COLUMNS": "9999"} | self.environment  # a sentence is looked for in one line

    def run(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        command = self.command(*arguments)
        if self._is_plain(command):
            return warm().run(command[1:], self.environ(), self.root, timeout)
        return subprocess.run(
            command,
            env=self.environ(),
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def _is_plain(self, command: Sequence[str]) -> bool:
        """Can one that has started already become it?"""
        return command[0] == sys.executable and not any(map(_AT_START, self.environment))

    def headline(self) -> str:
        """Return what `status` says first."""
        return self.run("status").stdout.partition("\n")[0]

    @contextlib.contextmanager
    def daemon(self, *options: str, is_anew: bool = False) -> Iterator["Daemon"]:
        """Give a running daemon, ended by SIGTERM; one that is started anew has its command line, as others see it."""
        log = self.root / "daemon.log"
        command = self.command("run", "--log-format", "json", *options)
        with log.open("wb") as stderr:
            process: Fork | subprocess.Popen[bytes]
            if self._is_plain(command) and not is_anew:
                process = warm().start(command[1:], self.environ(), self.root, [os.devnull, os.devnull, str(log)])
            else:
                process = subprocess.Popen(command, env=self.environ(), cwd=self.root, stderr=stderr)
        with ending(process):
            daemon = Daemon(process, log)
            wait_until(lambda: "daemon.ready" in daemon.log() or process.poll() is not None)
            yield daemon

    def set_aside(self, name: str, *, inbox: str = "photos", folder: str = "quarantine", **why: object) -> Path:
        """Put a picture into quarantine, with its note, as the daemon does."""
        path = self.root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        place = Place(str(self.root / folder), name)
        order = quarantined_order(name, inbox)
        order = order.having(why=order.why and order.why.having(**why))
        notes.QuarantineNote(order, str(self.root / "inbox"), "0" * 8).write(place)
        path.write_bytes(PICTURE)
        return path


@contextlib.contextmanager
def ending(process: "Fork | subprocess.Popen[bytes]") -> Iterator[None]:
    """End it by SIGTERM; it has half a minute."""
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def as_nobody(studio: Studio, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as another user, who may perhaps not read where Python and we lie."""
    program = (
        "import codecs, importlib, os, pkgutil, sys, watchfolder\n"
        "codecs.lookup('utf-8-sig')\n"
        "for room in pkgutil.walk_packages(watchfolder.__path__, 'watchfolder.'):\n"
        "    if not room.name.startswith(('watchfolder.sandbox', 'watchfolder.__main__')):\n"
        "        importlib.import_module(room.name)\n"
        "os.setgroups([])\n"
        f"os.setresuid(*3 * [{pwd.getpwnam('nobody').pw_uid}])\n"
        f"sys.argv = {['watchfolder', *studio.command(*words)[3:]]!r}\n"
        "from watchfolder.console import cli; cli.main()"
    )
    return warm().run(["-c", program], studio.environ(), Path.cwd(), 60)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(processing_seconds=0.1) as sandbox:
        yield sandbox


@pytest.fixture
def studio(tmp_path: Path, sandbox: Sandbox) -> Studio:
    return Studio(tmp_path, sandbox.url)


@dataclass
class Daemon:
    process: "Fork | subprocess.Popen[bytes]"
    log_file: Path

    def log(self) -> str:
        return whole_lines(self.log_file)


def quarantined_order(name: str, inbox: str = "photos", **facts: object) -> Order:
    now = Clock().read()
    file = OrderFile(name=name, sent_name="a.jpg", media_type="image/jpeg", size=len(PICTURE), mtime_ns=1)
    order = Order(
        key=str(uuid.uuid4()),
        confirm_key=str(uuid.uuid4()),
        inbox=inbox,
        mode="live",
        service="anti-ai",
        options={"strength": "high"},
        body="{}",
        files=(file,),
        state=State.QUARANTINING,
        times={State.CLAIMING: now, State.QUARANTINING: now, State.QUARANTINED: now},
        why=Why(reason="The service could not process it.", code="PROCESSING_ERROR"),
    )
    return order.having(**facts)
