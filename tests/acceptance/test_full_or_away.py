"""A full disk and a share that is not mounted: what is said names the cause, and it goes on when that is mended."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_studio import PICTURE, Studio, sandbox, studio
from contents import files_in
from share_studio import skip_unless_possible
from waiting import wait_until

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

__all__ = ["sandbox", "studio"]

pytestmark = pytest.mark.lab


@contextlib.contextmanager
def tmpfs(at: Path, size: str) -> Iterator[None]:
    skip_unless_possible(is_network=False)
    at.mkdir(exist_ok=True)
    _call("mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(at))
    try:
        yield
    finally:
        _call("umount", "--lazy", str(at))


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def test_a_full_disk_says_how_much_is_needed_and_goes_on_when_there_is_room(studio: Studio) -> None:
    large = sample("bmp", width=1000, height=1000, seed=1)  # 3 MB
    with tmpfs(studio.folder("outbox"), "8m"), studio.daemon():
        filler = studio.folder("outbox") / "holiday.mp4"
        wait_until((studio.folder("outbox") / ".watchfolder-id").exists)
        filler.write_bytes(bytes(5 << 20))
        studio.drop("large.bmp", large)
        outbox = studio.folder("outbox")
        wait_until(lambda: f"photos ({outbox}: 3.1 MB are free, 6.0 MB are needed)" in studio.headline())
        assert studio.headline().endswith("It goes on by itself when there is room")
        filler.unlink()
        wait_until(lambda: files_in(outbox) == ["large.bmp"])
        wait_until(lambda: studio.headline() == "All done, nothing waits")


def test_a_full_state_directory_stops_all_says_so_and_goes_on_by_itself(studio: Studio, sandbox: Sandbox) -> None:
    state = studio.folder("state")
    with tmpfs(state, "3m"), studio.daemon() as daemon:
        wait_until((studio.folder("outbox") / ".watchfolder-id").exists)
        filler = state / "core.dump"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(1 << 12)):
                pass
        studio.drop("a.jpg")
        told = f"photos ({state}: 0.0 MB are free, 1.0 MB are needed). It goes on by itself when there is room"
        assert studio.headline() == f"Not available: {told}"
        wait_until(lambda: "1.0 MB are needed" in daemon.log())
        assert sandbox.paid == 0
        filler.unlink()
        wait_until(lambda: files_in(studio.folder("outbox")) == ["a.jpg"])
        wait_until(lambda: studio.headline() == "All done, nothing waits")


def test_a_share_that_is_not_mounted_is_called_that_and_goes_on_when_it_is(studio: Studio) -> None:
    nas = studio.root / "nas"
    with tmpfs(studio.root / "server", "8m"):
        nas.mkdir()
        studio.configure(path=str(nas))
        mount = ("mount", "--bind", str(studio.root / "server"), str(nas))
        _call(*mount)
        try:
            with studio.daemon():
                wait_until((nas / ".watchfolder-id").exists)
                _call("umount", "--lazy", str(nas))
                wait_until(lambda: f"photos ({nas} is not mounted)" in studio.headline())
                assert studio.headline().endswith("It goes on by itself when it is mounted")
                checked = studio.run("check").stdout
                assert f"photos: path: {nas} is not mounted" in checked
                assert all("chown" not in line for line in checked.splitlines() if str(nas) in line)
                assert list(nas.iterdir()) == []
                _call(*mount)
                (nas / "a.jpg").write_bytes(PICTURE)
                wait_until(lambda: files_in(studio.folder("outbox")) == ["a.jpg"])
        finally:
            subprocess.run(["umount", "--lazy", str(nas)], check=False, capture_output=True, timeout=30)
