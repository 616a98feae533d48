"""One file or note that is out of order, by accident or on purpose, concerns nobody but itself."""

import contextlib
import json
import logging
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shop import OTHER, PICTURE, Shop, opened, told

from watchfolder import disk
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.order import State

UNREADABLE = "/sys/class/net/lo/speed"  # 4096 bytes long, and no byte of it can be read


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with opened(Shop(tmp_path, settle_seconds=5.0)) as made:
        yield made


def taken(shop: Shop) -> list[str]:
    kept = [order for order in shop.orders() if order.state in {State.CLAIMED, State.CREATED}]
    return sorted(file.name for order in kept for file in order.files)


def look_for(shop: Shop, seconds: int) -> None:
    """Look every five seconds of the test's clock; in between what was claimed is created, or given back if in vain."""
    for now in range(0, seconds, 5):
        shop.look(float(now))
        assert shop.intake.health.fault is None
        for order in shop.orders():
            if order.state is State.CLAIMED:
                shop.journal.advance(order, State.CREATED, order_id="1")
        if shop.has(State.RELEASED):
            shop.pipeline.beat(shop.clock.elapsed())
            shop.rest()


@contextlib.contextmanager
def mounted_over(path: Path, source: str) -> Iterator[None]:
    command = ["mount", "--bind", source, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True, timeout=20)


def test_a_file_that_cannot_be_read_stays_with_one_line_and_the_others_go_on(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.drop("a.jpg")
    shop.drop("b.jpg")
    with mounted_over(shop.top / "inbox/a.jpg", UNREADABLE):
        look_for(shop, 200)
        assert "cannot be read" in shop.intake.candidates.remarks()["a.jpg"]
        assert [fact["file"] for fact in told(caplog, "file.stays")] == ["a.jpg"]
    assert taken(shop) == ["b.jpg"]


@pytest.mark.parametrize("code", ["EBUSY", "ETXTBSY"])
def test_a_file_held_by_another_machine_waits_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    real = disk.open_regular

    def held(place: Place) -> int:
        if place.base == "a.jpg":
            raise FolderFault(f"{place.path}: it is busy", code=code)
        return real(place)

    with opened(Shop(tmp_path, settle_seconds=5.0, api={"reads": "v3"})) as shop:
        shop.drop("a.jpg")
        shop.drop("b.jpg")
        with monkeypatch.context() as patch:
            patch.setattr(disk, "open_regular", held)
            look_for(shop, 20)
            assert taken(shop) == ["b.jpg"]
            assert shop.intake.candidates.left_waiting(shop.intake.allowance) == {"a.jpg": disk.HELD}
        look_for(shop, 40)
        assert taken(shop) == ["a.jpg", "b.jpg"]


def test_a_file_that_nobody_can_move_is_tried_ever_more_rarely_with_one_line(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "watchfolder")
    shop.drop("a.jpg")
    shop.drop("b.jpg")
    with mounted_over(shop.top / "inbox/a.jpg", str(shop.top / "inbox/a.jpg")):
        look_for(shop, 4000)
        assert re.fullmatch(r"we may not move it: .* \(EBUSY\)", shop.intake.candidates.remarks()["a.jpg"])
        assert len(told(caplog, "file.stays")) == 1
        assert len(told(caplog, "order.claiming")) == 8  # b.jpg's, and at 5, 65, 185, 425, 905, 1865, 3785 seconds
    assert taken(shop) == ["b.jpg"]


@pytest.mark.parametrize("code", ["EACCES", "EPERM", "EBUSY", "ETXTBSY"])
def test_a_file_that_is_kept_where_it_lies_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    real = disk.move

    def keep(source: Place, target: Place, **rest: Any) -> None:  # noqa: ANN401 - passed on as it came
        if source.base == "a.jpg":
            raise FolderFault.at(source.path, "it is kept", code=code)
        real(source, target, **rest)

    with opened(Shop(tmp_path, settle_seconds=5.0, api={"reads": "v3"})) as shop:
        shop.drop("a.jpg")
        shop.drop("b.jpg", OTHER)
        monkeypatch.setattr(disk, "move", keep)
        look_for(shop, 20)
        assert taken(shop) == ["b.jpg"]
        assert f"({code})" in shop.intake.candidates.remarks()["a.jpg"]


def test_what_hindered_a_claim_that_failed_is_not_told_of_a_file_taken_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: Place, _target: Place, **_rest: object) -> None:
        raise FolderFault.at(source.path, "it fails", code="EBUSY" if source.base == "a.jpg" else "EIO")

    with opened(Shop(tmp_path, settle_seconds=5.0, api={"reads": "v3"})) as shop:
        shop.drop("a.jpg")
        shop.drop("b.jpg", OTHER)
        shop.look(0.0)
        with monkeypatch.context() as patch:
            patch.setattr(disk, "move", fail)
            shop.look(5.0)
            assert shop.intake.health.fault is not None
        shop.look(10.0)
        assert taken(shop) == ["a.jpg", "b.jpg"]
        assert shop.intake.candidates.remarks() == {}


def test_a_picture_that_replaced_a_link_is_taken_without_an_event(shop: Shop) -> None:
    path = Path(os.fsdecode(shop.drop("a.jpg")))
    shop.look(0.0)
    path.rename(path.with_name(".away"))
    path.symlink_to(".away")
    shop.look(5.0)
    path.unlink()
    path.with_name(".away").rename(path)
    shop.look(10.0)
    shop.look(15.0)
    assert taken(shop) == ["a.jpg"]


def leftover(shop: Shop, folder: str) -> Path:
    """Return a name that a temporary file of an earlier life of ours could have there."""
    return shop.folder(folder) / f".wf-{shop.journal.instance[:8]}-000000-00000000.tmp"


@pytest.mark.parametrize("folder", ["inbox", "outbox", "outbox/.watchfolder", "quarantine"])
def test_a_folder_that_is_called_as_our_temporary_files_closes_no_inbox(shop: Shop, folder: str) -> None:
    leftover(shop, folder).mkdir(parents=True)
    (leftover(shop, folder) / "picture.jpg").write_bytes(PICTURE)
    shop.drop("a.jpg")
    look_for(shop, 20)
    assert taken(shop) == ["a.jpg"]
    assert (leftover(shop, folder) / "picture.jpg").read_bytes() == PICTURE


def test_a_temporary_file_that_cannot_be_removed_closes_no_inbox(shop: Shop) -> None:
    kept = leftover(shop, "outbox")
    kept.touch()
    with mounted_over(kept, str(kept)):
        shop.drop("a.jpg")
        look_for(shop, 20)
        assert taken(shop) == ["a.jpg"]
    assert disk.sweep(str(shop.folder("outbox")), "", shop.journal.instance) == 1


def test_a_file_in_the_place_of_a_folder_that_we_emptied_closes_no_inbox(shop: Shop) -> None:
    shop.drop("sub/deep/a.jpg")
    look_for(shop, 10)
    (shop.top / "inbox/sub/deep").rmdir()
    (shop.top / "inbox/sub").rmdir()
    shop.drop("sub", OTHER)
    look_for(shop, 20)
    shop.look(86_500.0)  # a day later
    assert taken(shop) == ["sub", "sub/deep/a.jpg"]


def test_a_picture_deeper_than_any_path_can_say_is_taken_and_comes_back(shop: Shop) -> None:
    here = os.open(shop.top / "inbox", os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=here)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    with open(os.open("a.jpg", os.O_WRONLY | os.O_CREAT, dir_fd=here), "wb") as file:
        file.write(PICTURE)
    look_for(shop, 10)
    assert [name.rpartition("/")[2] for name in taken(shop)] == ["a.jpg"]
    assert os.listdir(here) == []
    shop.journal.advance(shop.order(), State.RELEASED)
    look_for(shop, 5)
    assert os.listdir(here) == ["a.jpg"]
    os.close(here)


@pytest.mark.parametrize(
    "mark",
    [json.dumps({"order": "x", "file": name}) for name in ("a%00b", "..", ".", "", "a/b", "%2e%2e%2f")]
    + ["[" * 30_000, "{" * 30_000, '{"order": 1}', "9" * 9000, "\x00"],
)
def test_a_forged_note_in_quarantine_is_left_where_it_is(shop: Shop, mark: str) -> None:
    note = shop.top / "quarantine/a.jpg.why.txt"
    note.write_text(f"forged\nwatchfolder: {mark}\n")
    look_for(shop, 10)
    assert note.exists()
