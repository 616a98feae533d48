"""A real daemon on an inbox that real servers write into, and the record of what reached the service."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml
from cli_studio import ending
from contents import sha256
from waiting import wait_until

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

SETTLE_SECONDS = 1.0
GRACE_SECONDS = 1.0

small = cache(lambda seed: sample("jpeg", width=160, height=120, seed=seed))
slow = cache(lambda seed: sample("jpeg", width=3000, height=2250, seed=seed))  # under 2 MB
large = cache(lambda seed: sample("tiff", width=1920, height=1440, seed=seed))  # 8 MB


@dataclass
class Studio:
    """`inbox` is watched as long as the daemon runs; `finished` are the pictures that were put there whole."""

    root: Path
    sandbox: Sandbox
    inbox: Path
    taking_seconds: float
    finished: set[str] = field(default_factory=set)
    process: "subprocess.Popen[bytes] | None" = None

    def source(self, name: str, content: bytes, *, is_finished: bool = True) -> Path:
        """Lay a picture ready to be dropped, and note it as one that may be uploaded."""
        path = Path(tempfile.mkdtemp(dir=self.root)) / name
        path.write_bytes(content)
        if is_finished:
            self.finished.add(sha256(content))
        return path

    def check_uploads(self) -> None:
        """Not one byte of an unfinished file was sent, and no file twice."""
        assert set(self.sandbox.sent_files) <= self.finished
        assert len(self.sandbox.sent_files) == len(set(self.sandbox.sent_files))
        assert set(self.sandbox.paid_files.values()) <= {1}
        assert self.sandbox.sins == []

    def taken_after(self, name: str, closed: float) -> float:
        """Wait until the daemon has taken the file out of the inbox; return how many seconds after `closed`."""
        wait_until(lambda: not (self.inbox / name).exists(), what=f"{name} is taken")
        return time.monotonic() - closed

    def check_delivered(self, content: bytes) -> None:
        wait_until(lambda: self.sandbox.paid_files.get(sha256(content)) == 1, what="it is uploaded and paid")

    def log(self) -> str:
        return (self.root / "daemon.log").read_text(encoding="utf-8")


@contextlib.contextmanager
def studio(*, watch: str = "events", scan_seconds: float = 30.0, inbox: Path | None = None) -> Iterator[Studio]:
    """Run a daemon; its folders lie where a server that has put its rights down still finds the inbox."""
    root = Path(tempfile.mkdtemp(prefix="watchfolder-droppers-"))
    root.chmod(0o755)
    try:
        with Sandbox(processing_seconds=0.5) as sandbox:
            inbox = inbox or root / "share" / "inbox"
            inbox.mkdir(parents=True, exist_ok=True)
            inbox.chmod(0o777)
            late = SETTLE_SECONDS + GRACE_SECONDS + (0 if watch == "events" else scan_seconds)
            made = Studio(root, sandbox, inbox, late)
            _configure(made, watch, scan_seconds)
            with _daemon(made):
                yield made
    finally:
        shutil.rmtree(root)


def _configure(studio: Studio, watch: str, scan_seconds: float) -> None:
    folders: dict[str, str] = {role: str(studio.root / role) for role in ("outbox", "quarantine", "originals")}
    for folder in (*folders.values(), str(studio.root / "state")):
        Path(folder).mkdir()
    settling = {"settle_seconds": SETTLE_SECONDS, "scan_seconds": scan_seconds, "watch": watch, "duplicates": "again"}
    tree = {
        "api": {"base_url": studio.sandbox.url, "requests_per_minute": 0},
        "state_dir": str(studio.root / "state"),
        "orders_in_flight": 40,
        "inboxes": {"photos": {"path": str(studio.inbox), **folders, **settling}},
    }
    (studio.root / "config.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")


@contextlib.contextmanager
def _daemon(studio: Studio) -> Iterator[None]:
    command = [sys.executable, "-m", "watchfolder", "run", "-c", str(studio.root / "config.yaml")]
    environ = os.environ | {"BIZMORI_API_KEY": studio.sandbox.key}
    with (studio.root / "daemon.log").open("wb") as log:
        process = subprocess.Popen([*command, "--log-format", "json"], env=environ, stdout=log, stderr=log)
    with ending(process):
        wait_until(lambda: "daemon.ready" in studio.log() or process.poll() is not None, what="the daemon is ready")
        assert process.poll() is None, studio.log()[-2000:]
        yield
