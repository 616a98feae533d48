"""What the service under the shipped unit can reach, and who can reach its key."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from installation import UNIT, Installation, disks, picture, program, sandbox, watchfolder
from machine import eventually

__all__ = ["disks", "program", "sandbox", "watchfolder"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the first one may wait for debootstrap

CREDENTIAL = f"/run/credentials/{UNIT}/bizmori-api-key"
CAP_LEASE = 1 << 28


@pytest.fixture
def running(watchfolder: Installation) -> Iterator[Installation]:
    watchfolder.start()
    return watchfolder


def as_user(watchfolder: Installation, user: str, *command: str) -> str:
    return watchfolder.machine.run("setpriv", f"--reuid={user}", "--clear-groups", *command, check=False)


def inside(watchfolder: Installation, *command: str) -> str:
    """Run as root, but where the service lives."""
    return watchfolder.machine.run(
        "nsenter", f"--target={watchfolder.facts()['MainPID']}", "--mount", *command, check=False
    )
