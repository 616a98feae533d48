"""From nothing to the first protected picture by the lines of each page, typed as they stand, with a stopwatch.

To read the stopwatch, and the size of the image: pytest -rP tests/acceptance/container/test_typed_lines.py
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest
import yaml
from engine import BASE, Engine, engine, need_engine, running_engine
from installation import made_once, steps, stopwatch
from oci_image import PROJECT
from running import START_SECONDS, picture
from waiting import wait_until

__all__ = ["engine"]

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]  # the first one may wait for debootstrap

MOST_MEGABYTES = 100.0


def repository(there: Path) -> Path:
    """Make a copy of this repository, as far as an image is made of it."""
    there.mkdir()
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    for name in (".dockerignore", "compose.yaml", *(line[1:] for line in lines if line.startswith("!"))):
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, there / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, there / name)
    return there


@pytest.fixture(scope="session")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the image as it is carried to a NAS."""
    return made_once(tmp_path_factory, "carried", _make_carried) / "watchfolder.tar"


def _make_carried(made: Path) -> None:
    need_engine()
    (build, save) = steps("docs/install/docker.md", "On another machine")[0].splitlines()
    with tempfile.TemporaryDirectory() as home, running_engine(Path(home)) as engine:
        copy = repository(Path(home) / "watchfolder")
        engine.type(f"{build.replace('linux/arm64', 'linux/amd64')}\n{save}", at=copy)
        shutil.move(copy / "watchfolder.tar", made)


def test_docker_s_lines_protect_a_picture(engine: Engine, tmp_path: Path) -> None:
    copy = repository(tmp_path / "watchfolder")
    three, look, alone = steps("docs/install/docker.md", "Start")
    with stopwatch("Docker, with Compose", three):
        engine.type(three.replace("cat ", "sleep 3; cat "), at=copy)
        protect(engine, copy / "config", copy / "photos", then=f"cd {copy}\n{look.replace('NAME', '')}")
    base, whole = (
        int(engine.type(f"docker image inspect --format '{{{{.Size}}}}' {name}", at=copy)) / 1e6
        for name in (BASE, "watchfolder")
    )
    print(f"The image is {whole:.0f} MB, of which {whole - base:.0f} are not its base's")  # noqa: T201 - for the report
    assert whole - base < MOST_MEGABYTES
    engine.type("docker rm --force watchfolder", at=copy)
    shutil.rmtree(copy / "config")
    shutil.rmtree(copy / "photos")
    with stopwatch("Docker, without Compose", alone):
        engine.type(f"mkdir config photos\n{alone}", at=copy)
        protect(engine, copy / "config", copy / "photos")


def test_the_lines_for_unraid_protect_a_picture(engine: Engine, carried: Path) -> None:
    share, photos = engine.mnt / "user/appdata", engine.mnt / "user/photos"
    for folder in (share, photos):
        folder.mkdir(parents=True)
        os.chown(folder, 99, 100)
    shutil.copy(carried, share)
    start, upgrade = (steps("docs/install/unraid.md", heading)[0] for heading in ("Start", "Upgrade"))
    with stopwatch("Unraid", start):
        engine.type(start, at=share)
        protect(engine, share / "watchfolder", photos)
    engine.type(upgrade, at=share)
    engine.type(start.partition("mkdir")[2].partition("\n")[2], at=share)
    engine.type(steps("docs/install/unraid.md", "Uninstall")[0], at=share)


@pytest.mark.parametrize("page", ["synology", "qnap", "truenas"])
def test_the_file_for_a_nas_protects_a_picture(engine: Engine, carried: Path, tmp_path: Path, page: str) -> None:
    (told,) = re.findall(r"^```yaml\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL)
    told = re.sub(r"- /(volume1|share)/", r"- /mnt/\1/", told)  # what can be there only on such a machine
    (tmp_path / "compose.yaml").write_text(told)
    service = yaml.safe_load(told)["services"]["watchfolder"]
    config, photos = (tmp_path / volume.split(":")[0].lstrip("/") for volume in service["volumes"])
    for folder in (config, photos):
        folder.mkdir(parents=True)
        os.chown(folder, service["environment"]["PUID"], service["environment"]["PGID"])
    shutil.copy(carried, tmp_path)
    lines = "docker load --input watchfolder.tar\ndocker compose up --detach"  # as the menus do
    with stopwatch(page, lines):
        engine.type(lines, at=tmp_path)
        protect(engine, config, photos)


def text_of(page: str) -> str:
    return (PROJECT / f"docs/install/{page}.md").read_text(encoding="utf-8")


def protect(engine: Engine, config: Path, photos: Path, then: str = "true") -> None:
    """Put the key where the pages say, then a picture into the inbox. `then` is typed while all of it is there."""
    with engine.served("watchfolder") as key:
        wait_until((config / "page-password").exists, START_SECONDS, "the page has a password")
        (config / "api-key").write_text(f"{key}\n")
        wait_until((photos / "inbox").is_dir, START_SECONDS, engine.type("docker logs watchfolder", at=config))
        (photos / "inbox/a.jpg").write_bytes(picture(1))
        delivered = photos / "protected/a.jpg"
        wait_until(delivered.exists, START_SECONDS, "a picture is protected")
        page = "http://127.0.0.1:8686/healthz"
        assert engine.type(f"curl --silent {page}; docker healthcheck run watchfolder", at=config).startswith("ok")
        engine.type(then, at=config)
    assert delivered.stat().st_uid == photos.stat().st_uid
