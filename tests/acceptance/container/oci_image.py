"""The container image, built from the Containerfile with neither an engine nor an image registry.

Its base is Debian's own, made by debootstrap; buildah builds on it. What comes out is cached by what went in.
"""

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from debian_root import SLIM, debian
from machine_cache import CACHE, alone

PROJECT = Path(__file__).parents[3]
TOOLS = {"buildah": "buildah", "debootstrap": "debootstrap", "systemd-nspawn": "systemd-container"}
_STORE = (
    *("buildah", "--storage-driver", "overlay"),
    *("--root", str(CACHE / "oci"), "--runroot", str(CACHE / "oci-run")),
)
_SUITE = "trixie"  # its Python is the one of the Containerfile's own base, 3.13
_BASE, _TAG = f"localhost/watchfolder-slim:{_SUITE}", "localhost/watchfolder"
_BUILD_SECONDS = 540.0
_FORGOTTEN_SECONDS = 3600.0
_INTO_THE_BUILD = ("/etc/pip.conf", "/etc/xdg/pip", "/etc/ssl/certs", "/usr/local/share/ca-certificates")


@dataclass(frozen=True)
class Image:
    """`root` is its file system; `config` what the engine does with it (the image specification's words)."""

    root: Path
    config: Mapping[str, Any]
    base_bytes: int
    own_bytes: int

    @property
    def command(self) -> list[str]:
        return [*self.config["Entrypoint"], *self.config["Cmd"]]

    @property
    def environment(self) -> dict[str, str]:
        return dict(variable.split("=", 1) for variable in self.config["Env"])

    @property
    def health_check(self) -> list[str]:
        kind, *command = self.config["Healthcheck"]["Test"]
        assert kind == "CMD", f"{kind} would need a shell"
        return list(command)


@pytest.fixture(scope="session")
def image() -> Image:
    why_not = _obstacle()
    if why_not and os.environ.get("CI") == "true" and os.geteuid() == 0:
        pytest.fail(f"no container image, and CI must not go without it: {why_not}")
    if why_not:
        pytest.skip(f"no container image: {why_not}")
    return _built()


def _obstacle() -> str:
    """Return why no image can be built here, "" when it can."""
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if os.geteuid() != 0:
        return "only root can build an image in a chroot"
    if missing:
        return f"apt-get install {' '.join(missing)}"
    return ""


def _built() -> Image:
    """Return the image; the first call after a change of what goes into it builds it, in half a minute."""
    base = debian(_SUITE, SLIM)
    made = CACHE / f"image-{_digest(base)}"
    with alone(CACHE / "image.lock"):
        if not made.exists():
            for old in CACHE.glob("image-*"):
                if time.time() - old.stat().st_mtime > _FORGOTTEN_SECONDS:  # others may be looking at it
                    shutil.rmtree(old)
            half = CACHE / "half-image"
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir()
            _build(base, half)
            half.rename(made)
        os.utime(made)
    whole = json.loads((made / "image.json").read_text())
    base_bytes, own_bytes = (layer["size"] for layer in json.loads(whole["Manifest"])["layers"])
    return Image(made / "root", whole["Docker"]["config"], base_bytes, own_bytes)


def _build(base: Path, target: Path) -> None:
    if not _run(*_STORE, "images", "--noheading", "--quiet", "--filter", f"reference={_BASE}"):
        _import(base)
    mounts = [argument for path in settings_of_pip() for argument in ("--volume", f"{path}:{path}:ro")]
    _run(
        *(*_STORE, "build", "--isolation", "chroot", "--network", "host", "--format", "docker"),
        *("--build-arg", f"BASE={_BASE}", *mounts, "--output", f"type=local,dest={target / 'root'}"),
        *("--tag", _TAG, str(PROJECT)),
    )
    (target / "root").chmod(0o755)  # the folder is the builder's, and only what is in it the image's
    (target / "image.json").write_text(_run(*_STORE, "inspect", "--type", "image", _TAG))
    _run(*_STORE, "rmi", _TAG)


def _import(base: Path) -> None:
    container = _run(*_STORE, "from", "scratch")
    mounted = _run(*_STORE, "mount", container)
    _run("cp", "--archive", f"{base}/.", mounted)
    _run(*_STORE, "umount", container)
    _run(*_STORE, "commit", "--quiet", "--rm", container, _BASE)


def settings_of_pip() -> Sequence[str]:
    """Return what the build needs to reach pip's indexes as we do; it is laid into the build, not into the image."""
    settings = _run("pip", "config", "list")
    named = (part.removeprefix("file://").removesuffix("/simple") for part in settings.replace("'", " ").split())
    paths = dict.fromkeys([*_INTO_THE_BUILD, *(path for path in named if path.startswith("/"))])
    return [path for path in paths if os.path.exists(path)]


def _digest(base: Path) -> str:
    digest = hashlib.sha256(base.name.encode())
    for path in _ingredients():
        digest.update(f"{path.relative_to(PROJECT)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _ingredients() -> Iterator[Path]:
    """Yield what .dockerignore lets into the build."""
    for line in (PROJECT / ".dockerignore").read_text().splitlines():
        found = PROJECT / line.removeprefix("!")
        if line.startswith("!"):
            yield from sorted(path for path in (found, *found.rglob("*")) if path.is_file() and path.suffix != ".pyc")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {(done.stdout + done.stderr)[-4000:]}"
    return done.stdout.strip()
