"""A real daemon, without root's powers where we are root, on an inbox that everybody may write to."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from contents import sha256
from outside import Outside
from waiting import wait_until

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

SOMEBODY = 65534
ROLES = ("inbox", "outbox", "quarantine", "originals", "state")
_POWERLESS = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")  # root's files are its own, and no others
_BROKEN = ("step_broke", "beat_broke", "Traceback")


@dataclass
class Studio:
    root: Path
    sandbox: Sandbox
    outside: Outside
    process: "subprocess.Popen[bytes] | None" = None
    contents: dict[bytes, bytes] = field(default_factory=dict)  # by name below the inbox

    def path(self, role: str, name: bytes | str = b"") -> bytes:
        return os.path.join(os.fsencode(self.root / role), os.fsencode(name))

    def drop(self, name: bytes | str, content: bytes) -> bytes:
        path = self.path("inbox", name)
        make_folders(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, 0o666)  # noqa: S103 - everybody's, as on a share
        self.contents[os.fsencode(name)] = content
        return path

    def holds(self, role: str, name: bytes | str) -> bool:
        return os.path.lexists(self.path(role, name))

    def command(self, *arguments: str) -> list[str]:
        command, *rest = arguments
        program = [sys.executable, "-m", "watchfolder", command, "-c", str(self.root / "config.yaml"), *rest]
        return [*_POWERLESS, *program] if os.geteuid() == 0 else program

    def run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        environ = os.environ | {"BIZMORI_API_KEY": self.sandbox.key, "COLUMNS": "200"}
        return subprocess.run(self.command(*arguments), env=environ, capture_output=True, check=False, timeout=60)

    def log(self) -> list[dict[str, Any]]:
        """Return every line of the log; one that a name had forged or torn would be no JSON."""
        return [json.loads(line) for line in (self.root / "daemon.log").read_bytes().split(b"\n") if line]

    def check(self, *, may_cut: bool = False) -> None:
        """Nothing broke, nothing came from outside, nothing was sent or paid twice, and no request was a sin.

        Where files are cut and added to all the time (`may_cut`), what was sent needs only be a whole picture.
        """
        assert self.lives()
        assert self.sandbox.sins == []
        broken = [line for line in self.log() if any(word in json.dumps(line) for word in _BROKEN)]
        assert broken == []
        assert may_cut or set(self.sandbox.sent_files) <= {sha256(content) for content in self.contents.values()}
        assert may_cut or len(self.sandbox.sent_files) == len(set(self.sandbox.sent_files))
        assert set(self.sandbox.paid_files.values()) <= {1}

    def lives(self) -> bool:
        """Fail with the end of its log where the daemon has died."""
        assert self.process is None or self.process.poll() is None, self.tail()
        return True

    def tail(self) -> str:
        return (self.root / "daemon.log").read_bytes()[-3000:].decode("utf-8", "replace")


@contextlib.contextmanager
def studio(**settings: object) -> Iterator[Studio]:
    """Give the folders; nothing outside of them may be touched until the end."""
    root = Path(tempfile.mkdtemp(prefix="watchfolder-hostile-"))
    try:
        outside = Outside.make(root / "outside")
        digests = outside.digests()
        for role in ROLES:
            (root / role).mkdir()
            (root / role).chmod(0o777)
        with Sandbox(processing_seconds=0.1) as sandbox:
            made = Studio(root, sandbox, outside)
            _configure(made, settings)
            with outside.untouched():
                yield made
            assert not digests & set(made.sandbox.sent_files)
        assert outside.digests() == digests
    finally:
        unpin(root)
        shutil.rmtree(os.fsencode(root))


def _configure(studio: Studio, settings: dict[str, object]) -> None:
    paths = {role: str(studio.root / role) for role in ("outbox", "quarantine", "originals")}
    inbox = {"path": str(studio.root / "inbox"), **paths, "settle_seconds": 0.3, "scan_seconds": 1}
    inbox |= {"duplicates": "again"} | settings
    tree = {
        "api": {"base_url": studio.sandbox.url, "requests_per_minute": 0},
        "state_dir": str(studio.root / "state"),
        "orders_in_flight": 40,
        "inboxes": {"photos": inbox},
    }
    (studio.root / "config.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")


@contextlib.contextmanager
def daemon(studio: Studio) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the daemon; it has to be alive at the end, and to stop when it is told to."""
    environ = os.environ | {"BIZMORI_API_KEY": studio.sandbox.key}
    with (studio.root / "daemon.log").open("ab") as log:
        command = studio.command("run", "--log-format", "json")
        process = subprocess.Popen(command, env=environ, cwd="/", stdout=log, stderr=log)
    studio.process = process
    try:
        said = studio.root / "daemon.log"
        wait_until(lambda: studio.lives() and b'"daemon.ready"' in said.read_bytes(), what="it is ready")
        yield process
        assert process.poll() is None, studio.tail()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, studio.tail()
    finally:
        studio.process = None
        process.kill()
        process.wait()


def picture(seed: int, kind: str = "jpeg") -> bytes:
    """Return a small picture whose bytes no other has: what follows its end makes it another file."""
    return sample(kind, width=48, height=36, seed=7) + b"%06d" % seed


def make_folders(path: bytes) -> None:
    with contextlib.suppress(FileExistsError):
        os.makedirs(path)
        os.chmod(path, 0o777)  # noqa: S103 - everybody's, as on a share


def unpin(root: Path) -> None:
    """Take away the marks that would keep even root from removing what is there."""
    if os.geteuid() == 0 and shutil.which("chattr"):
        subprocess.run(["chattr", "-R", "-f", "-ia", str(root)], check=False, capture_output=True, timeout=60)
