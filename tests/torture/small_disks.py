"""Real small disks that are full or read-only: one inbox waits and says why, the other goes on, and nothing is lost."""

import errno
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from campaign import Verdict
from deaths import breaks
from stage import Stage, picture

_DELIVERED_SECONDS = 20.0
_LOOK_SECONDS = 0.02
MAKES = ("tmpfs", "ext4")


@dataclass(frozen=True)
class Trouble:
    """What is wrong with the file system below one folder of the inbox `small`, and the words that must name it."""

    group: str
    make: str  # tmpfs or ext4
    folder: str  # of the inbox `small`; empty: all of them on one disk
    is_full: bool  # else read-only


def troubles_of(group: str, make: str) -> Iterator[Trouble]:
    for folder in ("", "outbox", "originals", "quarantine", "inbox"):
        for is_full in (True, False):
            yield Trouble(group, make, folder, is_full)


def why_not(make: str) -> str:
    if os.geteuid() != 0:
        return "only root may mount"
    return "" if make == "tmpfs" or shutil.which(f"mkfs.{make}") else f"mkfs.{make} is not there"


def play(stage: Stage, trouble: Trouble) -> Verdict:
    stage.clear()
    where = stage.root / "small" / trouble.folder
    where.mkdir(parents=True)
    with _mounted(trouble, stage, where):
        small = stage.add_inbox("small")
        faults = list(_live_through(stage, trouble, small))
    what = f"{trouble.make}, {trouble.folder or 'all folders'}, {'full' if trouble.is_full else 'read-only'}"
    return Verdict(trouble.group, was_struck=True, faults=[*faults, *breaks(stage)], at=what)


def _live_through(stage: Stage, trouble: Trouble, small: Path) -> Iterator[str]:
    first, second = picture("first.jpg", 11), picture("second.jpg", 12)
    (small / "inbox" / first.name).write_bytes(first.content)
    stage.drop(second)
    stage.run()  # the folders are known, and both pictures delivered, while all is well
    third, fourth = picture("third.jpg", 13), picture("fourth.jpg", 14)
    (small / "inbox" / third.name).write_bytes(third.content)
    lift = _impose(trouble, small / trouble.folder)
    try:
        stage.start()
        stage.drop(fourth)
        if not comes((stage.root / "outbox" / fourth.name).exists):
            yield "the other inbox does not go on"
        if not comes(partial(_is_told, stage, trouble)):
            yield "nothing says what is wrong"
        if (small / "outbox" / third.name).exists():
            yield "it was delivered although it could not be"
    finally:
        lift()
    if not comes(lambda: (small / "outbox" / third.name).exists() and (small / "originals" / third.name).exists()):
        yield f"it does not go on when the disk is well again: {stage.log()[-600:]}"
    stage.nursery.stop()
    ending = stage.wait(_DELIVERED_SECONDS)
    if ending.word != "stopped":
        yield f"ended: {ending.word} {ending.error}"
    if stage.sandbox.paid != 4 or stage.sandbox.sins:
        yield f"paid {stage.sandbox.paid} of 4, sins {stage.sandbox.sins}"
    for each in (first, third):
        yield from compare(small / "originals" / each.name, each.content)
        yield from compare(small / "outbox" / each.name, stage.expected(each))


def compare(path: Path, content: bytes) -> Iterator[str]:
    if not path.exists():
        yield f"{path.parent.name}/{path.name} is not there"
    elif path.read_bytes() != content:
        yield f"{path.parent.name}/{path.name} is not what it should be"


def _is_told(stage: Stage, trouble: Trouble) -> bool:
    """Does a warning name the inbox and the trouble?"""
    words = (" MB are free", "the disk is full") if trouble.is_full else ("read-only", "may not write")
    for line in stage.log().splitlines():
        told = json.loads(line)
        if told["level"] == "WARNING" and told["facts"].get("inbox") == "small" and any(word in line for word in words):
            return True
    return False


def comes(question: Callable[[], bool]) -> bool:
    until = time.monotonic() + _DELIVERED_SECONDS
    while not (answer := question()) and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
    return answer


def _impose(trouble: Trouble, where: Path) -> Callable[[], object]:
    """Make the disk full, or read-only; return what lifts it."""
    if not trouble.is_full:
        _sh("mount", "-o", "remount,ro", str(where))
        return lambda: _sh("mount", "-o", "remount,rw", str(where))
    filler = where / ".filler"
    with filler.open("wb") as file:
        for size in (1 << 16, 1 << 12, 1):
            _fill(file.fileno(), size)
    return filler.unlink


def _fill(descriptor: int, size: int) -> None:
    try:
        while True:
            os.write(descriptor, bytes(size))
            os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


@contextmanager
def _mounted(trouble: Trouble, stage: Stage, where: Path) -> Iterator[None]:
    if trouble.make == "tmpfs":
        _sh("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(where))
    else:
        image = stage.aside / "small.image"
        with image.open("wb") as file:
            file.truncate(8 << 20)
        _sh("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        _sh("mount", "-o", "loop", str(image), str(where))
        shutil.rmtree(where / "lost+found")
    try:
        yield
    finally:
        _sh("umount", "--lazy", str(where))


def _sh(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
