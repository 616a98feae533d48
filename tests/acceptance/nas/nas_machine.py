"""A machine with Debian's own user-mode kernel, which mounts real shares of servers that it runs itself.

It needs neither KVM nor a disk: its kernel is a program, which runs processes by ptrace, at this processor's own pace;
the rest is one initramfs, built once and cached, and whatever the overlay adds.
"""

import compileall
import contextlib
import hashlib
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from machine_cache import CACHE, alone
from requirements_of import requirements

import watchfolder

RECIPE = Path(__file__).with_name("build_nas_machine.sh")
_MADE_OF = (RECIPE, RECIPE.with_name("full_xstate.c"))
ITS_PYTHON = (3, 11)
TOOLS = {"cc": "build-essential", "debootstrap": "debootstrap", "cpio": "cpio", "unshare": "util-linux"}
BUILD_SECONDS = 900.0
SITE = Path("opt/site-packages")
_NAME = "machine"
_LOOK_SECONDS = 30.0
_ANSWER_SECONDS = 60.0  # of a kernel, which needs milliseconds
_MCONSOLE_MAGIC, _MCONSOLE_VERSION = 0xCAFEBABE, 2
_MEMORY = ("mem=3000M", "rdinit=/init", "root=")  # with a root of its own the memory's files could not be exported
_CONSOLES = ("quiet", "console=ttyS0", "con=null", "ssl=null", "ssl0=null,fd:1")


def obstacle() -> str:
    """Return why the machine cannot be built or run here, "" when it can."""
    if platform.machine() != "x86_64":
        return "the user-mode kernel is made for x86-64 alone"
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if os.geteuid() != 0:
        return "only root can build a machine"
    if missing:
        return f"apt-get install {' '.join(missing)}"
    if sys.version_info[:2] != ITS_PYTHON:
        return "the packages of this Python do not fit the machine's own, 3.11"
    return ""


def built() -> Path:
    """Return the folder of kernel and initramfs; the first call after a change of the recipe makes them."""
    CACHE.mkdir(mode=0o700, exist_ok=True)
    recipe = b"".join(path.read_bytes() for path in _MADE_OF)
    made = CACHE / f"nas-{hashlib.sha256(recipe).hexdigest()[:12]}"
    with alone(CACHE / "nas.lock"):
        if not made.exists():
            for old in CACHE.glob("nas-*"):  # of an older recipe, or half made
                shutil.rmtree(old)
            half = made.with_name("nas-half")
            half.mkdir()
            command = ["bash", str(RECIPE), str(half)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
            assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
            half.rename(made)
    return made


def lay_program(overlay: Path) -> None:
    """Put watchfolder and all that it imports into the overlay, as /opt/site-packages."""
    site = overlay / SITE
    for package in requirements("watchfolder"):
        for file in package.files or ():
            source = Path(str(package.locate_file(file)))
            if ".." not in file.parts and source.is_file():
                _copy(source, site / file)
    shutil.copytree(Path(watchfolder.__file__).parent, site / "watchfolder", dirs_exist_ok=True)
    compileall.compile_dir(site, quiet=1)  # its own user cannot keep that in there: each start would do it again


def boot(overlay: Path, folder: Path, seconds: float) -> bool:
    """Run the overlay's /lab/main.sh as root of the machine until it ends, or has reported nothing for so long.

    What it writes to /dev/ttyS1 is added to the folder's file `reports`, what it says otherwise to `console`.
    False if its kernel did not answer any more: the machine was ended, whatever was being played.
    """
    made, initrd = built(), folder / "initrd"
    with initrd.open("wb") as whole:
        with (made / "base.cpio").open("rb") as base:
            shutil.copyfileobj(base, whole, 1 << 20)
        whole.flush()
        _append(overlay, whole.fileno())
    with (folder / "console").open("ab") as console, (folder / "reports").open("ab") as reports:
        reports.write(b"\n")  # behind half a line of a machine that hung
        reports.flush()
        command = [
            *("unshare", "--pid", "--fork", "--kill-child", str(made / "linux")),  # all of its processes end with it
            *(*_MEMORY, *_CONSOLES, f"initrd={initrd}", f"ssl1=null,fd:{reports.fileno()}"),
            *(f"uml_dir={folder}", f"umid={_NAME}"),
        ]
        machine = subprocess.Popen(
            command,
            env=os.environ | {"LD_PRELOAD": str(made / "full_xstate.so")},
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            pass_fds=[reports.fileno()],
        )
    try:
        return _wait_while_it_reports(machine, folder, seconds)
    finally:
        machine.kill()
        machine.wait()
        shutil.rmtree(folder / _NAME, ignore_errors=True)
        initrd.unlink()


def _wait_while_it_reports(machine: "subprocess.Popen[bytes]", folder: Path, seconds: float) -> bool:
    """Wait for its end; how long that takes is the load's doing, and one that hangs says nothing more.

    Return whether its kernel answered to the last.
    """
    reported, since = 0, time.monotonic()
    while time.monotonic() < since + seconds:
        with contextlib.suppress(subprocess.TimeoutExpired):
            machine.wait(_LOOK_SECONDS)
            return True
        before, reported = reported, (folder / "reports").stat().st_size
        if reported != before:
            since = time.monotonic()
        elif not _kernel_answers(folder):
            return False
    return True


def _kernel_answers(folder: Path) -> bool:
    """Ask the kernel for its version, by the protocol of its tool `uml_mconsole`."""
    own, question = folder / "question", b"version"
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as console:
        console.bind(str(own))
        try:
            console.settimeout(_ANSWER_SECONDS)
            request = struct.pack("=III512s", _MCONSOLE_MAGIC, _MCONSOLE_VERSION, len(question), question)
            console.sendto(request, str(folder / _NAME / "mconsole"))
            return bool(console.recv(4096))
        except TimeoutError:
            return False
        except OSError:  # nobody listens yet: it boots
            return True
        finally:
            own.unlink()


def _append(overlay: Path, target: int) -> None:
    """Add an archive of the overlay's files; the top folder stays out, so that its mode cannot close the machine's."""
    found = subprocess.run(["find", ".", "-mindepth", "1", "-print0"], cwd=overlay, capture_output=True, check=True)
    pack = ["cpio", "--null", "--create", "--format=newc", "--owner=0:0", "--quiet"]
    subprocess.run(pack, cwd=overlay, input=found.stdout, stdout=target, timeout=120, check=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
