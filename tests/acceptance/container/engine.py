"""A real engine, Podman, that answers to the name of docker: what the pages tell people to type is typed as it stands.

It has namespaces of its own, so that its ports are free, its /mnt is empty, and nothing of it is left. What it lacks
here are the base image, which no registry gives (Debian's own has that name instead), and the service.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import pytest
from debian_root import SLIM, debian
from machine_cache import CACHE, alone
from oci_image import settings_of_pip

TOOLS = {
    "podman": "podman",
    "podman-compose": "podman-compose",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "ip": "iproute2",
    "debootstrap": "debootstrap",
}
SUITE = "trixie"
BASE = "docker.io/library/python:3.13-slim"  # of the Containerfile
SANDBOX = "http://127.0.0.1:8080"  # as the container sees it
TYPED_SECONDS = 400.0  # the image is built in it
_START = """
umount /sys/fs/cgroup/unified 2>/dev/null || true  # crun refuses it beside the older cgroups
mount --bind "$1" /mnt
for kept in /var/lib/cni /run/netns; do mkdir -p "$kept"; mount -t tmpfs tmpfs "$kept"; done
ip link set lo up
echo ready
exec cat >/dev/null  # until its stdin is closed, also by a death
"""


def obstacle() -> str:
    """Return why no engine can run here, "" when it can."""
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if os.geteuid() != 0:
        return "only root can have namespaces of its own"
    return f"apt-get install {' '.join(missing)}" if missing else ""


class Engine:
    """Runs while its context is entered. Its /mnt is the folder `mnt` of this machine."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.mnt = home / "mnt"
        self._programs = home / "bin"
        self._environment = {
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "CONTAINERS_CONF": str(home / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(home / "storage.conf"),
        }

    def __enter__(self) -> Self:
        for folder in (self.mnt, self._programs, self._home / "networks"):
            folder.mkdir()
        self._write_settings()
        self._write_programs()
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--net", "--propagation=private", "sh", "-ec", _START, "sh", str(self.mnt)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        self._clear()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._clear()
        finally:
            self._holder.communicate(timeout=30)

    def _clear(self) -> None:
        """Leave no container and no image but the base."""
        forget = "podman rm --all --force; podman rmi --force watchfolder || true; podman image prune --force"
        self.type(forget, at=self._home)

    def type(self, lines: str, *, at: Path, text: str = "", seconds: float = TYPED_SECONDS) -> str:
        """Type lines into a shell, in a folder; return what they say. They must succeed."""
        done = self._typed(lines, at, text, seconds)
        assert done.returncode == 0, f"{lines}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def refusal(self) -> str:
        """Return why this machine lets the engine start no container at all; "" when it does."""
        done = self._typed(f"podman run --rm --network none {BASE} true", self._home, "", TYPED_SECONDS)
        return "" if done.returncode == 0 else done.stderr.strip()

    def _typed(self, lines: str, at: Path, text: str, seconds: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._doorway(self._holder.pid, "--mount"), "sh", "-ec", f'cd "$0"\n{lines}', str(at)],
            env=self._environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    @contextlib.contextmanager
    def served(self, container: str) -> Iterator[str]:
        """Let the sandbox be what the container finds at SANDBOX; give a key that it takes."""
        process = int(self.type(f"podman inspect --format '{{{{.State.Pid}}}}' {container}", at=self._home))
        command = [sys.executable, "-m", "watchfolder", "sandbox", "--port", SANDBOX.rpartition(":")[2]]
        with subprocess.Popen(
            [*self._doorway(process), *command],
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            text=True,
        ) as sandbox:
            try:
                assert sandbox.stdout is not None
                told = iter(sandbox.stdout.readline, "")
                yield next(found[1] for line in told if (found := re.search(r"BIZMORI_API_KEY=(\S+)", line)))
            finally:
                sandbox.terminate()
                sandbox.communicate(timeout=30)

    def _doorway(self, process: int, *spaces: str) -> list[str]:
        return ["nsenter", f"--target={process}", "--net", *spaces]

    def _write_settings(self) -> None:
        images = CACHE / "podman"
        images.mkdir(parents=True, exist_ok=True)
        storage = {"driver": "overlay", "graphroot": str(images), "runroot": str(CACHE / "podman-run")}
        (self._home / "storage.conf").write_text(_toml({"storage": storage}))
        limits = ["nofile=1024:1024", "nproc=4096:4096"]  # no more than a root without CAP_SYS_RESOURCE may give
        hints = [f"WATCHFOLDER__API__BASE_URL={SANDBOX}"]
        settings: dict[str, dict[str, object]] = {
            "containers": {"default_ulimits": limits, "env": hints, "log_driver": "k8s-file"},
            "engine": {"cgroup_manager": "cgroupfs", "events_logger": "file"},
            "network": {"network_config_dir": str(self._home / "networks")},
        }
        (self._home / "containers.conf").write_text(_toml(settings))

    def _write_programs(self) -> None:
        mounts = " ".join(f"--volume {path}:{path}:ro" for path in settings_of_pip())
        out = f"nsenter --net=/proc/{os.getpid()}/ns/net"  # a build asks pip's indexes
        build = f"{out} {shutil.which('podman')} build --isolation chroot --network host --format docker {mounts}"
        programs = {
            "podman": f'case $1 in build) shift; exec {build} "$@";; esac\nexec {shutil.which("podman")} "$@"\n',
            "docker": 'case $1 in compose) shift; exec podman-compose "$@";; esac\nexec podman "$@"\n',
            "sudo": 'exec "$@"\n',
        }
        for name, script in programs.items():
            (self._programs / name).write_text(f"#!/bin/sh\n{script}")
            (self._programs / name).chmod(0o755)


def _toml(sections: Mapping[str, Mapping[str, object]]) -> str:
    lines = []
    for name, values in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {_quoted(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _quoted(value: object) -> str:
    return f"[{', '.join(_quoted(each) for each in value)}]" if isinstance(value, list) else f'"{value}"'


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    need_engine()
    with running_engine(tmp_path) as engine:
        yield engine


def need_engine() -> None:
    """Skip the test where no engine can run; in CI, fail."""
    why_not = obstacle()
    if why_not and os.environ.get("CI") == "true" and os.geteuid() == 0:
        pytest.fail(f"no container engine, and CI must not go without it: {why_not}")
    if why_not:
        pytest.skip(f"no container engine: {why_not}")


@contextlib.contextmanager
def running_engine(home: Path) -> Iterator[Engine]:
    """Run one, alone on this machine: containers, which have the names of the pages, share their place with all."""
    home.chmod(0o755)
    root = debian(SUITE, SLIM)
    with alone(CACHE / "engine.lock"), Engine(home) as engine:
        engine.type(f"podman image exists {BASE} || tar --directory . --create . | podman import - {BASE}", at=root)
        if why_not := engine.refusal():
            pytest.skip(f"this machine lets podman start no container: {why_not}")
        yield engine
