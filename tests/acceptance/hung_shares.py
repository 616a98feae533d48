"""Shares whose server is gone: FUSE file systems that let themselves be mounted and never answer again."""

import contextlib
import os
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

_INIT = 26
_HEADER = struct.Struct("<IIQQIII4x")  # length, operation, unique, node, uid, gid, pid
_ANSWER = struct.Struct("<IiQ")
_INITIAL = struct.Struct("<IIIIHHIIHHI28x")  # of protocol 7.31
_LARGEST = 1 << 20


def skip_unless_mountable() -> None:
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("only root can mount, and /dev/fuse is needed")


@contextlib.contextmanager
def hung(*folders: Path) -> Iterator[None]:
    """Cover the folders by shares that take every request and answer none. In the end they die and are gone."""
    with contextlib.ExitStack() as stack:
        for folder in folders:
            stack.enter_context(_hung(folder))
        yield


@contextlib.contextmanager
def _hung(folder: Path) -> Iterator[None]:
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
        command = ["mount", "-i", "-t", "fuse.sshfs", "-o", options, "nas:", str(folder)]
        subprocess.run(command, check=True, capture_output=True, timeout=60, pass_fds=[device])
        _answer_the_mount(device)
        taker = threading.Thread(target=_take, args=(device,), daemon=True)
        taker.start()
        yield
    finally:
        subprocess.run(["umount", "--lazy", "--force", str(folder)], check=False, capture_output=True, timeout=60)
        os.close(device)


def _answer_the_mount(device: int) -> None:
    _, operation, unique, *_ = _HEADER.unpack_from(os.read(device, _LARGEST))
    assert operation == _INIT
    body = _INITIAL.pack(7, 31, 0, 0, 12, 9, 4096, 1, 1, 0, 0)
    os.write(device, _ANSWER.pack(_ANSWER.size + len(body), 0, unique) + body)


def _take(device: int) -> None:
    """Take each request away from the kernel: who made it can no longer be interrupted, not even killed."""
    with contextlib.suppress(OSError):  # the share has been taken away
        while True:
            os.read(device, _LARGEST)
