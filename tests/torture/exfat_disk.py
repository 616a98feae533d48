"""A real disk that knows neither hard links nor renames that replace nothing: exFAT, by its FUSE driver."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import deaths
from campaign import Verdict
from deaths import Death
from stage import Stage
from stories import Story

_BYTES = 32 << 20


def why_not() -> str:
    if os.geteuid() != 0:
        return "only root may mount"
    if not os.path.exists("/dev/fuse"):
        return "/dev/fuse is not there"
    is_there = shutil.which("mkfs.exfat") and shutil.which("mount.exfat-fuse")
    return "" if is_there else "apt-get install exfat-fuse exfatprogs"


def deaths_of(stage: Stage, group: str, story: Story) -> Iterator[Death]:
    """Give a death after each call in a life on such a disk."""
    with _mounted(stage):
        calls = deaths.calls_of(stage, story)
    yield from deaths.deaths_of(group, story.name, calls)


def play(stage: Stage, death: Death) -> Verdict:
    with _mounted(stage):
        return deaths.play(stage, death)


@contextmanager
def _mounted(stage: Stage) -> Iterator[None]:
    """Let all folders of the stage lie on a new disk."""
    image, disk, root = stage.aside / "exfat.image", stage.aside / "exfat", stage.root
    with image.open("wb") as file:
        file.truncate(_BYTES)
    disk.mkdir(exist_ok=True)
    _sh("mkfs.exfat", str(image))
    _sh("mount", "-t", "exfat-fuse", "-o", "loop", str(image), str(disk))
    stage.root = disk / "root"
    try:
        yield
    finally:
        stage.root = root
        _sh("umount", "--lazy", str(disk))


def _sh(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)
