"""What the throw-away machines and containers of the tests share: Debian's file system, and the way to their init."""

import contextlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from machine_cache import CACHE, alone

SUITE, ITS_PYTHON = "bookworm", (3, 11)
PACKAGES = ("systemd", "systemd-sysv", "dbus", "procps", "python3-venv")
SLIM = ("ca-certificates", "netbase", "tzdata", "python3-venv")
"""What python:3.13-slim adds to a Debian of required packages and apt, and Python (which that one builds itself)."""


def debian(suite: str = SUITE, packages: Sequence[str] = PACKAGES) -> Path:
    """Return a file system that machines start from; the first call makes it, which takes a minute."""
    CACHE.mkdir(mode=0o700, exist_ok=True)
    made = CACHE / "+".join((suite, *packages))
    with alone(CACHE / f"{suite}.lock"):
        if not made.exists():
            half = CACHE / f"{suite}.half"
            shutil.rmtree(half, ignore_errors=True)
            command = ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, str(half)]
            made_it = subprocess.run(command, capture_output=True, text=True, timeout=540, check=False)
            assert made_it.returncode == 0, made_it.stdout[-2000:]
            half.rename(made)
    return made


def spawned(*arguments: str) -> list[str]:
    """Return the command that runs systemd-nspawn so: it keeps its own files below /run and wants them on a tmpfs."""
    script = 'mount -t tmpfs tmpfs /run && exec systemd-nspawn --quiet --keep-unit --register=no --link-journal=no "$@"'
    return ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "systemd-nspawn", *arguments]


def first_process(nspawn: int) -> int:
    """Return the child of nspawn that is number 1 in a world of its own, 0 while there is none."""
    process = Path(f"/proc/{nspawn}")
    for child in (process / f"task/{nspawn}/children").read_text().split():
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{child}/status").read_text()
            if status.partition("NSpid:")[2].partition("\n")[0].split()[-1] == "1":
                return int(child)
    return 0
