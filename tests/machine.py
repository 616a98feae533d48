"""A throw-away machine with a real systemd as its first process, whatever the first process of this one is."""

import contextlib
import itertools
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from debian_root import SUITE, debian, first_process, spawned
from waiting import wait_until

TOOLS = {"systemd-nspawn": "systemd-container", "debootstrap": "debootstrap", "nsenter": "util-linux"}
BOOT_SECONDS = 180.0  # on a machine that is busy with other tests, as the next one
COMMAND_SECONDS = 180.0

_numbers = itertools.count()


def obstacle() -> str:
    """Return why no machine can be started here, "" when it can."""
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if os.geteuid() != 0:
        return "only root can boot a container with a systemd of its own"
    return f"apt-get install {' '.join(missing)}" if missing else ""


class Machine:
    """Runs while its context is entered; what it writes outside of `folders` (inside: outside) is gone afterwards.

    It shares the network of this machine, so that a test can be its service on 127.0.0.1.
    """

    def __init__(self, folders: dict[str, Path], *, read_only_folders: dict[str, Path], suite: str = SUITE) -> None:
        self._root = debian(suite)
        self.name = f"watchfolder-{os.getpid()}-{next(_numbers)}"
        self.boot_seconds = 0.0
        self._binds = [f"--bind={outside}:{inside}" for inside, outside in folders.items()]
        self._binds += [f"--bind-ro={outside}:{inside}" for inside, outside in read_only_folders.items()]
        self._init = 0

    def __enter__(self) -> Self:
        self._container = subprocess.Popen(
            self._command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            self.boot_seconds = wait_until(self._is_up, BOOT_SECONDS, f"{self.name} has booted")
        except BaseException:
            self.pull_the_plug()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._container.poll() is None:
            self.pull_the_plug()
        assert self._container.stderr is not None
        self._container.stderr.close()

    def run(
        self,
        *command: str,
        text: str = "",
        files: Sequence[int] = (),
        check: bool = True,
        seconds: float = COMMAND_SECONDS,
    ) -> str:
        """Run a command in the machine as its root, with open `files`; return what it says.

        Only with `check` must it succeed. `text` is what it reads.
        """
        done = subprocess.run(
            [*self._doorway(), *command],
            input=text,
            pass_fds=files,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        said = done.stdout + done.stderr
        assert not check or done.returncode == 0, f"{shlex.join(command)}: {done.returncode}: {said}"
        return said

    def path(self, inside: str) -> Path:
        """Return where this machine sees a path of that one."""
        return Path(f"/proc/{self._init}/root{inside}")

    def process(self, inside: int) -> int:
        """Return the number under which this machine knows a process of that one."""
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                numbers = status.read_text().partition("NSpid:")[2].partition("\n")[0].split()
                if numbers[-1] == str(inside) and self._is_of_us(status.parent):
                    return int(numbers[0])
        raise ProcessLookupError(inside)

    def power_off(self) -> None:
        """Shut down as the button does: every service is stopped first."""
        os.kill(self._init, signal.SIGRTMIN + 4)
        self._container.wait(timeout=90)

    def pull_the_plug(self) -> None:
        if self._init:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._init, signal.SIGKILL)
        else:
            self._container.kill()
        self._container.wait(timeout=30)

    def _command(self) -> list[str]:
        return spawned(
            *(f"--directory={self._root}", "--volatile=overlay", f"--machine={self.name}"),
            *("--console=pipe", *self._binds, "--boot"),
            *("systemd.mask=getty.target", "systemd.mask=console-getty.service"),
            *("systemd.mask=apt-daily.timer", "systemd.mask=apt-daily-upgrade.timer"),
        )

    def _doorway(self) -> list[str]:
        spaces = ("--mount", "--uts", "--ipc", "--pid", "--cgroup", "--root", "--wd")
        clean = (
            "env",
            "-i",
            "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL=C.UTF-8",
            "TERM=dumb",
            "SYSTEMD_PAGER=",
        )
        return ["nsenter", f"--target={self._init}", *spaces, *clean]

    def _is_up(self) -> bool:
        assert self._container.poll() is None, f"it did not boot: {self._container.communicate()[1]}"
        self._init = self._init or first_process(self._container.pid)
        return self._init > 0 and self.run("systemctl", "is-system-running", check=False).strip() in {
            "running",
            "degraded",
        }

    def _is_of_us(self, process: Path) -> bool:
        return os.readlink(process / "ns/pid") == os.readlink(f"/proc/{self._init}/ns/pid")
