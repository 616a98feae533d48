"""The container image as its owner meets it: any user, a read-only root, two folders, an end when it is told."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from free_ports import free_port
from oci_image import PROJECT, Image, image
from running import START_SECONDS, Container, mounts, picture
from waiting import wait_until

from watchfolder.sandbox import Sandbox

__all__ = ["image", "mounts"]

pytestmark = pytest.mark.lab  # the image is built first

FOLDERS = {"PATH": "inbox", "OUTBOX": "protected", "QUARANTINE": "quarantine", "ORIGINALS": "originals"}
HURRY = "WATCHFOLDER__INBOXES__PHOTOS__SETTLE_SECONDS"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(processing_seconds=0.1) as running:
        yield running


@pytest.fixture
def environment(sandbox: Sandbox) -> dict[str, str]:
    """Return the variables that let a container find the sandbox, and its page a free port of this machine."""
    return {
        "WATCHFOLDER__API__BASE_URL": sandbox.url,
        "WATCHFOLDER__API__REQUESTS_PER_MINUTE": "0",
        "WATCHFOLDER__HTTP__LISTEN": f"0.0.0.0:{free_port()}",
        HURRY: "0.2",
    }


def test_a_picture_is_protected_from_nothing_but_two_folders_and_a_key(
    image: Image, mounts: dict[str, Path], environment: dict[str, str], sandbox: Sandbox
) -> None:
    config, photos = mounts["/config"], mounts["/photos"]
    owner = {"PUID": "1026", "PGID": "100", "UMASK": "007", "TZ": "Asia/Tokyo"}
    os.chown(photos, 1026, 100)
    with Container(image, mounts, environment=environment | owner) as container:
        container.says("page.served")
        assert not container.is_healthy()
        page = container.asked("/", password=(config / "page-password").read_text().strip())
        assert "api.key_file" in page
        assert container.asked("/healthz") == "not configured\n"
        key_file = config / "api-key"
        key_file.unlink()
        key_file.write_text(f"{sandbox.key}\n")  # as a NAS's file manager puts it there
        key_file.chmod(0o777)
        os.chown(key_file, 1026, 100)
        container.says("daemon.ready")
        wait_until(container.is_healthy, START_SECONDS, "it is healthy")
        assert container.asked("/healthz") == "ok\n"
        container.drop("a.jpg", picture(1))
        delivered = container.await_delivery("a.jpg").stat()
        assert (delivered.st_uid, delivered.st_gid, delivered.st_mode & 0o777) == (1026, 100, 0o660)
        assert container.facts()["Uid"].split() == ["1026"] * 4
        assert container.facts()["Groups"].split() == ["1234"], "one that --group-add gave, and none of root's"
        assert int(container.facts()["CapEff"], 16) == 0
        assert "+09:00 INFO daemon.ready" in container.log()
        checked = container.run("watchfolder", "check")
        assert checked.returncode == 0, checked.stdout
        assert "FAIL" not in checked.stdout
        assert container.run("watchfolder", "status").returncode == 0
        assert container.stop() == 0
        assert sandbox.key not in container.log() + page + checked.stdout
        assert container.stderr() == "", "all is said on stdout"
        assert key_file.stat().st_mode & 0o777 == 0o600
    assert (photos / "originals" / "a.jpg").read_bytes() == picture(1)
    assert {path.stat().st_uid for path in (config, *config.rglob("*"))} == {1026}
    assert sandbox.sins == []


def test_a_picture_is_protected_as_any_user_and_without_a_file(
    image: Image, mounts: dict[str, Path], environment: dict[str, str], sandbox: Sandbox
) -> None:
    secret = mounts["/config"].parent / "secret"
    secret.write_text(sandbox.key)
    secret.chmod(0o444)  # as engines have it
    for folder in (*mounts.values(), *(mounts["/photos"] / name for name in FOLDERS.values())):
        folder.mkdir(exist_ok=True)
        os.chown(folder, 1026, 100)
    settings = {f"WATCHFOLDER__INBOXES__PHOTOS__{role}": f"/photos/{name}" for role, name in FOLDERS.items()}
    settings |= environment | {"WATCHFOLDER__API__KEY_FILE": "/run/secrets/bizmori-api-key"}
    mounts["/run/secrets/bizmori-api-key"] = secret
    with Container(image, mounts, environment=settings, user="1026:100") as container:
        container.says("daemon.ready")
        container.drop("a.jpg", picture(1))
        container.await_delivery("a.jpg")
        assert not (mounts["/config"] / "config.yaml").exists()
        assert container.stop() == 0
    assert (mounts["/photos"] / "originals" / "a.jpg").read_bytes() == picture(1)


def test_the_engine_s_signals_reach_the_daemon_at_any_time(
    image: Image, mounts: dict[str, Path], environment: dict[str, str], sandbox: Sandbox
) -> None:
    key = environment | {"BIZMORI_API_KEY": sandbox.key}
    (mounts["/photos"] / "somebody's").touch()
    with Container(image, mounts, environment=key) as container:
        container.says("/photos/inbox: permission denied (for user 1000 and group 1000")
        os.chown(mounts["/photos"], 1000, 1000)
        container.says("daemon.ready")
        container.send(signal.SIGHUP)
        container.says("config.reloaded")
        with Container(image, mounts, environment=key) as second:
            assert second.ended() == 69
        assert container.stop() == 0
    with Container(image, mounts, environment=environment) as waiting:
        waiting.says("/config/api-key is empty: put your API key into it")
        assert waiting.stop() == 0
    with Container(image, mounts, environment=key) as container:
        wait_until(lambda: container.holds_back(signal.SIGHUP), START_SECONDS, "it has just begun")
        assert container.stop() == 0, "a stop that comes amid the start is not lost"


def test_what_is_not_mounted_is_refused_before_a_picture_is_in_it(
    image: Image, mounts: dict[str, Path], environment: dict[str, str], sandbox: Sandbox
) -> None:
    only_inbox = mounts["/photos"] / "inbox"
    only_inbox.mkdir()
    key = environment | {"BIZMORI_API_KEY": sandbox.key}
    partly = {"/config": mounts["/config"], "/photos/inbox": only_inbox}
    with Container(image, partly, environment=key, has_layer=True) as container:
        container.says("inboxes.photos.originals: /photos/originals lies in the container itself")
        assert container.stop() == 0
    assert list(only_inbox.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [("PUID", "admin", "must be a number"), ("UMASK", "8", "must be a number"), ("TZ", "Europe/Berln", "no time zone")],
)
def test_a_wrong_variable_is_named(
    image: Image, mounts: dict[str, Path], environment: dict[str, str], variable: str, value: str, fault: str
) -> None:
    with Container(image, mounts, environment=environment | {variable: value}) as container:
        container.says("page.served")
        assert f"${variable}: " in container.log()
        assert fault in container.log()
        password = (mounts["/config"] / "page-password").read_text().strip()
        assert f"${variable}: " in container.asked("/", password=password)
        assert container.stop() == 0


def test_compose_yaml_starts_what_the_image_expects(image: Image) -> None:
    service = yaml.safe_load((PROJECT / "compose.yaml").read_text())["services"]["watchfolder"]
    assert [volume.split(":")[1] for volume in service["volumes"]] == ["/config", "/photos"]
    assert {f"{port.split(':')[-1]}/tcp" for port in service["ports"]} == set(image.config["ExposedPorts"])
    assert image.environment["WATCHFOLDER__HTTP__LISTEN"].endswith(":8686")
    assert service["read_only"]
    assert service["build"]["dockerfile"] == "Containerfile"


def test_the_image_holds_no_key_and_no_password(image: Image) -> None:
    assert "BIZMORI_API_KEY" not in image.environment
    assert [name for name in ("config", "photos") if list((image.root / name).iterdir())] == []
