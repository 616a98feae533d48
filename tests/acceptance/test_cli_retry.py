"""`watchfolder retry`: from quarantine back to where it came from, and never onto another file."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from cli_studio import PICTURE, Studio
from contents import files_in

from watchfolder.command_line import CommandLine
from watchfolder.disk import Place
from watchfolder.folders import Folders
from watchfolder.sandbox import Sandbox

SHM = Path("/dev/shm")  # noqa: S108 - another file system, as most machines have one


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    """Return a studio whose key cannot be read: retry needs none."""
    return Studio(tmp_path, environment={})


def test_a_picture_goes_back_to_its_place_and_its_note_goes(studio: Studio) -> None:
    studio.set_aside("wedding/a.jpg")
    done = studio.run("retry", "wedding/a.jpg")
    assert done.returncode == 0, done.stderr
    assert files_in(studio.folder("quarantine")) == []
    assert (studio.folder("inbox") / "wedding/a.jpg").read_bytes() == PICTURE
    assert str(studio.folder("inbox") / "wedding/a.jpg") in done.stdout


@pytest.mark.parametrize(
    "how", ["quarantine/a.jpg", "quarantine/a.jpg.why.txt", "a.jpg.why.txt", "{root}/quarantine/a.jpg"]
)
def test_a_path_and_the_note_name_the_picture_as_well(studio: Studio, how: str) -> None:
    studio.set_aside("a.jpg")
    done = studio.run("retry", how.format(root=studio.root))
    assert done.returncode == 0, done.stderr
    assert files_in(studio.folder("inbox")) == ["a.jpg"]


def test_a_folder_stands_for_all_that_is_in_it(studio: Studio) -> None:
    for name in ("wedding/a.jpg", "wedding/below/b.jpg", "c.jpg"):
        studio.set_aside(name)
    assert studio.run("retry", "wedding").returncode == 0
    assert files_in(studio.folder("inbox")) == ["wedding/a.jpg", "wedding/below/b.jpg"]


def test_all_takes_everything_that_failed_but_not_a_test_keys_originals(studio: Studio) -> None:
    studio.set_aside("a.jpg")
    studio.set_aside("below/b.jpg")
    original = studio.folder("quarantine") / "test/c.jpg"
    original.parent.mkdir()
    original.write_bytes(PICTURE)
    done = studio.run("retry", "--all")
    assert done.returncode == 0, done.stderr
    assert files_in(studio.folder("inbox")) == ["a.jpg", "below/b.jpg"]
    assert original.exists()


def test_all_leaves_what_no_other_try_can_help(studio: Studio) -> None:
    studio.set_aside("slow.jpg")
    studio.set_aside("poster.psd", retry_helps=False)
    done = studio.run("retry", "--all")
    assert done.returncode == 0, done.stderr
    assert files_in(studio.folder("inbox")) == ["slow.jpg"]
    assert "1 file left there, since another try does not help: " in done.stdout
    assert studio.run("retry", "poster.psd").returncode == 0
    assert files_in(studio.folder("inbox")) == ["poster.psd", "slow.jpg"]


def test_an_unknown_name_moves_nothing_and_tells_what_lies_near(studio: Studio) -> None:
    studio.set_aside("landscape 1.jpg")
    studio.set_aside("other.jpg")
    done = studio.run("retry", "other.jpg", "landscape1.jpg")
    assert done.returncode == 2
    assert "landscape 1.jpg" in done.stderr
    assert files_in(studio.folder("inbox")) == []


def test_a_file_outside_the_quarantine_is_no_name(studio: Studio) -> None:
    path = studio.root / "originals/a.jpg"
    path.write_bytes(PICTURE)
    assert studio.run("retry", str(path)).returncode == 2
    assert path.exists()


def test_a_taken_name_gets_a_number_and_nothing_is_overwritten(studio: Studio) -> None:
    studio.set_aside("a.jpg")
    studio.drop("a.jpg", b"another picture")
    studio.drop("a (2).jpg", b"a third one")
    assert studio.run("retry", "a.jpg").returncode == 0
    assert files_in(studio.folder("inbox")) == ["a (2).jpg", "a (3).jpg", "a.jpg"]
    assert (studio.folder("inbox") / "a.jpg").read_bytes() == b"another picture"
    assert (studio.folder("inbox") / "a (3).jpg").read_bytes() == PICTURE


def test_a_name_that_is_no_text_is_moved_like_any_other(studio: Studio) -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    studio.set_aside(name)
    done = studio.run("retry", "--all")
    assert done.returncode == 0, done.stderr
    assert files_in(studio.folder("inbox")) == [name]
    assert "\\xe9" in done.stdout


@pytest.mark.skipif(not SHM.is_dir(), reason="needs a second file system")
def test_it_works_from_one_file_system_to_another(studio: Studio) -> None:
    quarantine = Path(tempfile.mkdtemp(dir=SHM))
    try:
        studio.configure(quarantine=str(quarantine))
        studio.folder("quarantine").rmdir()
        studio.folder("quarantine").symlink_to(quarantine)
        studio.set_aside("below/a.jpg")
        os.utime(quarantine / "below/a.jpg.why.txt", (4e11, 4e11))  # of the year 14645
        assert "1 file needs you" in studio.run("status").stdout
        done = studio.run("retry", "below/a.jpg")
        assert done.returncode == 0, done.stderr
        assert (studio.folder("inbox") / "below/a.jpg").read_bytes() == PICTURE
        assert files_in(quarantine) == []
    finally:
        shutil.rmtree(quarantine)


def test_nothing_is_moved_onto_the_mount_point_of_a_share_that_is_gone(studio: Studio) -> None:
    Folders(str(studio.folder("state")), "", CommandLine()).require_folder(str(studio.folder("inbox")))
    (studio.folder("inbox") / ".watchfolder-id").unlink()
    studio.set_aside("a.jpg")
    done = studio.run("retry", "--all")
    assert done.returncode == 75
    assert "mounted" in done.stderr
    assert files_in(studio.folder("inbox")) == []
    assert files_in(studio.folder("quarantine")) == ["a.jpg", "a.jpg.why.txt"]


def test_names_or_all_but_not_both(studio: Studio) -> None:
    studio.set_aside("a.jpg")
    assert studio.run("retry").returncode == 2
    assert studio.run("retry", "--all", "a.jpg").returncode == 2
    assert files_in(studio.folder("inbox")) == []


def test_an_empty_quarantine_is_no_fault(studio: Studio) -> None:
    done = studio.run("retry", "--all")
    assert done.returncode == 0
    assert done.stdout == "Nothing is in quarantine.\n"


def share_the_quarantine(studio: Studio) -> Path:
    folders = {name: str(studio.folder(name)) for name in ("outbox", "quarantine", "originals")}
    second = studio.root / "second"
    second.mkdir()
    studio.configure(inboxes={"second": {"path": str(second), **folders, "settle_seconds": 0.2}})
    return second


def test_where_inboxes_share_a_quarantine_the_history_tells_the_way_back(tmp_path: Path) -> None:
    with Sandbox(processing_seconds=0.1) as sandbox:
        studio = Studio(tmp_path, sandbox.url)
        second = share_the_quarantine(studio)
        (second / "b_fail.jpg").write_bytes(PICTURE)
        assert studio.run("run", "--once").returncode == 1
    done = studio.run("retry", "--all")
    assert done.returncode == 0, done.stderr
    assert files_in(second) == ["b_fail.jpg"]


def test_a_picture_that_no_history_knows_stays_in_a_shared_quarantine(studio: Studio) -> None:
    share_the_quarantine(studio)
    stranger = studio.set_aside("a.jpg")
    done = studio.run("retry", "--all")
    assert done.returncode == 75
    assert stranger.exists()
    assert Place(str(stranger.parent), "a.jpg").path in done.stderr
