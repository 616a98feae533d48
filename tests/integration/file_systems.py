"""File systems that have what a temporary folder has not: another device, no room, no hard links."""

import contextlib
import ctypes
import errno
import os
import platform
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_CALLS = {  # name → number on x86_64, aarch64
    "link": (86, None),
    "linkat": (265, 37),
    "renameat2": (316, 276),
    "rename": (82, None),
    "renameat": (264, 38),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
}
_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_ENOTSUPP = 524  # a number of the kernel that no header for programs knows
_SECONDS = 30


@contextlib.contextmanager
def mounted(at: Path, *options: str) -> Iterator[Path]:
    """Mount at the folder, as mount(8) is told; skip the test where we may not."""
    at.mkdir(exist_ok=True, parents=True)
    done = subprocess.run(["mount", *options, str(at)], capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True, timeout=_SECONDS)


def tmpfs(at: Path, size: str = "16m") -> contextlib.AbstractContextManager[Path]:
    return mounted(at, "-t", "tmpfs", "-o", f"size={size}", "none")


@contextlib.contextmanager
def ext4(at: Path, image: Path) -> Iterator[Path]:
    """Mount a small ext4 of its own: with room that ends, extended attributes, and to be mounted read-only."""
    with image.open("wb") as file:
        file.truncate(8 << 20)
    try:
        made = subprocess.run(["mkfs.ext4", "-q", str(image)], capture_output=True, check=False, timeout=_SECONDS)
    except FileNotFoundError:
        pytest.skip("no mkfs.ext4 here")
    assert made.returncode == 0, made.stderr
    with mounted(at, "-o", "loop", str(image)) as folder:
        yield folder


_FUSE_TOOLS = {"exfat": ("mkfs.exfat", "mount.exfat-fuse"), "ntfs": ("mkfs.ntfs", "ntfs-3g")}


@contextlib.contextmanager
def by_fuse(kind: str, at: Path, image: Path) -> Iterator[Path]:
    """Mount a small disk of a camera's or of Windows, by its FUSE driver: other names, no RENAME_NOREPLACE."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    if any(shutil.which(tool) is None for tool in _FUSE_TOOLS[kind]):
        reason = "apt-get install exfat-fuse exfatprogs ntfs-3g"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    if not os.path.exists("/dev/fuse"):
        pytest.skip("no /dev/fuse here")
    with image.open("wb") as file:
        file.truncate(64 << 20)
    make = {"exfat": ["mkfs.exfat"], "ntfs": ["mkfs.ntfs", "-F", "-q"]}[kind]
    subprocess.run([*make, str(image)], check=True, capture_output=True, timeout=60)
    with _loop(image) as device, contextlib.ExitStack() as stack:
        how = {"exfat": ["-t", "exfat-fuse", device], "ntfs": ["-t", "ntfs-3g", "-o", "windows_names", device]}
        yield stack.enter_context(mounted(at, *how[kind]))


@contextlib.contextmanager
def _loop(image: Path) -> Iterator[str]:
    done = subprocess.run(["losetup", "-f", "--show", image], capture_output=True, text=True, check=False, timeout=20)
    if done.returncode:
        pytest.skip(f"no loop device here: {done.stderr.strip()}")
    device = done.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "-d", device], check=True, timeout=20)


def on_a_poor_file_system(code: str, *arguments: str | Path, lacks: str = "link,renameat2") -> str:
    """Run `code` where the kernel answers as exFAT does: EPERM to a hard link, EINVAL to RENAME_NOREPLACE.

    Returns what it printed; the arguments are in sys.argv[1:].
    """
    if platform.machine() not in {"x86_64", "aarch64"}:
        pytest.skip("no system call numbers for this machine")
    script = f"import file_systems\nfile_systems.refuse({lacks!r})\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    if "seccomp is not to be had" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def refuse(lacks: str) -> None:
    """Take system calls away from this process, by a seccomp filter."""
    column = 0 if platform.machine() == "x86_64" else 1
    answers = {
        "link": {"link": errno.EPERM, "linkat": errno.EPERM},
        "link of NFS": {"link": _ENOTSUPP, "linkat": _ENOTSUPP},  # its server says NFS3ERR_NOTSUPP
        "renameat2": {"renameat2": errno.EINVAL},
        "rename": {"rename": errno.EACCES, "renameat": errno.EACCES},
        "inotify": {"inotify_init": errno.ENOSYS, "inotify_init1": errno.ENOSYS},
        "a watch": {"inotify_add_watch": errno.EACCES},  # as a security module refuses it
    }
    program = [struct.pack("HBBI", _LOAD, 0, 0, 0)]
    for lacking in lacks.split(","):
        for name, answer in answers[lacking].items():
            number = _CALLS[name][column]
            if number is not None:
                program.append(struct.pack("HBBI", _JUMP_EQUAL, 0, 1, number))
                program.append(struct.pack("HBBI", _RETURN, 0, 0, _ERRNO | answer))
    program.append(struct.pack("HBBI", _RETURN, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(program))
    head = struct.pack("HP", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.create_string_buffer(head), 0, 0):
        sys.exit(f"seccomp is not to be had: {os.strerror(ctypes.get_errno())}")
