"""A running container of the image: its own command as the first process, on a root file system that is read-only.

systemd-nspawn plays the engine, with what compose.yaml asks for: no rights but a few, and none to be gained.
"""

import itertools
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import pytest
import requests
import yaml
from debian_root import first_process, spawned
from oci_image import PROJECT, Image
from waiting import wait_until

from watchfolder.sandbox.pictures import sample

START_SECONDS = 120.0  # on a machine that is busy with other tests
STOP_SECONDS = 40.0
_COMPOSE = yaml.safe_load((PROJECT / "compose.yaml").read_text())["services"]["watchfolder"]
_RIGHTS = ",".join(["-all", *(f"+{right.lower()}" for right in _COMPOSE["cap_add"])])
_numbers = itertools.count()


class Container:
    """Runs while its context is entered. `mounts` are folders of this machine, by where they are inside.

    With `has_layer` the root can be written to, as it is by default, and that is gone afterwards.
    `user` is what an engine's --user says ("1026:100"); with none the first process is root. The network is this
    machine's.
    """

    def __init__(
        self,
        image: Image,
        mounts: Mapping[str, Path],
        *,
        environment: Mapping[str, str],
        user: str = "",
        command: Sequence[str] = (),
        has_layer: bool = False,
    ) -> None:
        self.image = image
        self.mounts = mounts
        self._environment = {**image.environment, **environment}
        self._user = user
        self._command = [*image.config["Entrypoint"], *command] if command else image.command
        self._root = "--volatile=overlay" if has_layer else "--read-only"
        self._init = 0

    def __enter__(self) -> Self:
        name = f"watchfolder-{os.getpid()}-{next(_numbers)}"
        binds = [f"--bind={outside}:{inside}" for inside, outside in self.mounts.items()]
        options = [f"--directory={self.image.root}", f"--machine={name}", self._root, "--tmpfs=/tmp", *binds]
        inside = [f"--chdir={self.image.config['WorkingDir']}", *self._become(), *self._clean(), *self._command]
        self._nspawn = subprocess.Popen(
            spawned("--console=pipe", *options, *inside),
            stdin=subprocess.DEVNULL,
            stdout=self._file("stdout"),
            stderr=self._file("stderr"),
        )
        try:
            wait_until(self._is_there, START_SECONDS, f"{name} runs")
        except BaseException:
            self._nspawn.kill()
            self._nspawn.wait(timeout=30)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._nspawn.poll() is None:
            self.send(signal.SIGKILL)
            self._nspawn.wait(timeout=30)

    def send(self, number: int) -> None:
        """Send a signal to the first process, as the engine does."""
        os.kill(self._init, number)

    def ended(self) -> int:
        """Return the exit code of the first process, which ends."""
        return self._nspawn.wait(timeout=STOP_SECONDS)

    def stop(self) -> int:
        self.send(signal.SIGTERM)
        return self.ended()

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in the container, as the engine's `exec` does."""
        spaces = ("--mount", "--uts", "--ipc", "--pid", "--root")
        there = [f"--wd=/proc/{self._init}/root{self.image.config['WorkingDir']}"]
        doorway = ["nsenter", f"--target={self._init}", *spaces, *there, *self._become(), *self._clean()]
        return subprocess.run([*doorway, *command], capture_output=True, text=True, timeout=60, check=False)

    def asked(self, path: str, *, password: str = "") -> str:
        """Return what the page says, whatever its status."""
        port = self._environment["WATCHFOLDER__HTTP__LISTEN"].rpartition(":")[2]
        auth = ("", password) if password else None
        return requests.get(f"http://127.0.0.1:{port}{path}", auth=auth, timeout=30).text

    def holds_back(self, number: int) -> bool:
        """Does the first process take a signal only later?"""
        return bool(int(self.facts()["SigBlk"], 16) >> (number - 1) & 1)

    def is_healthy(self) -> bool:
        return self.run(*self.image.health_check).returncode == 0

    def log(self) -> str:
        return self._file_named("stdout").read_text()

    def stderr(self) -> str:
        return self._file_named("stderr").read_text()

    def says(self, word: str) -> None:
        """Wait until it says so in its log."""

        def everything() -> str:
            return f"{word}\n{self.log()}\n{self.stderr()}"

        wait_until(lambda: word in self.log() or self._nspawn.poll() is not None, START_SECONDS, everything)
        assert word in self.log(), everything()

    def drop(self, name: str, content: bytes) -> None:
        """Put a picture into the inbox as a careful program does: whole, by rename."""
        half = self.mounts["/photos"] / f".{name}.half"
        half.write_bytes(content)
        owner = half.parent.stat()
        os.chown(half, owner.st_uid, owner.st_gid)
        half.rename(self.mounts["/photos"] / "inbox" / name)

    def await_delivery(self, name: str) -> Path:
        delivered = self.mounts["/photos"] / "protected" / name
        wait_until(delivered.exists, START_SECONDS, lambda: f"{name} is delivered\n{self.log()}")
        return delivered

    def facts(self) -> dict[str, str]:
        """Return what the kernel says of the first process (proc_pid_status(5))."""
        lines = Path(f"/proc/{self._init}/status").read_text().splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

    def _is_there(self) -> bool:
        self._init = self._init or first_process(self._nspawn.pid) if self._nspawn.poll() is None else self._init
        return self._init > 0 or self._nspawn.poll() is not None

    def _become(self) -> list[str]:
        uid, _, gid = self._user.partition(":")
        who = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups"] if self._user else ["--groups=0,1234"]
        rights = "-all" if self._user else _RIGHTS
        return ["/usr/bin/setpriv", *who, f"--bounding-set={rights}", "--inh-caps=-all", "--no-new-privs"]

    def _clean(self) -> list[str]:
        return ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in self._environment.items())]

    def _file_named(self, stream: str) -> Path:
        return self.mounts["/config"].parent / f"{stream}-{id(self)}"

    def _file(self, stream: str) -> int:
        return os.open(self._file_named(stream), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)


def picture(seed: int) -> bytes:
    return sample("jpeg", width=160, height=120, seed=seed)


@pytest.fixture
def mounts(tmp_path: Path) -> dict[str, Path]:
    """Return what an owner mounts, by where it is inside: two empty folders, of root as an engine makes them."""
    tmp_path.chmod(0o755)
    folders = {"/config": tmp_path / "config", "/photos": tmp_path / "photos"}
    for folder in folders.values():
        folder.mkdir(mode=0o755)
    return folders
