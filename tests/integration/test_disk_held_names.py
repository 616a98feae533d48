"""Names held by an empty file, where no rename refuses to replace: none is lost, none is taken from anybody."""

import errno
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from contents import contents_of, place
from file_systems import by_fuse, on_a_poor_file_system, tmpfs
from rights import as_root, nobodys_folder
from shop import PICTURE, Shop, opened

from watchfolder import disk
from watchfolder.disk import HIDDEN, Place, moves, placeholders, places
from watchfolder.errors import FolderFault
from watchfolder.folders import TOKEN
from watchfolder.sandbox import Sandbox

OWNER = "0e5f1a2b"
KILLER = """
import os, sys
from watchfolder import disk
at, count = int(sys.argv[4]), 0
def deadly(name):
    call = getattr(os, name)
    def one(*values, **words):
        global count
        is_look = name == "open" and not values[1] & os.O_CREAT
        count += not is_look
        if count == at and not is_look:
            os._exit(9)
        return call(*values, **words)
    setattr(os, name, one)
for name in ("open", "fsync", "unlink", "rename", "mkdir", "write"):
    deadly(name)
source, target = disk.Place(sys.argv[2], "a.jpg"), disk.Place(sys.argv[3], "sub/a.jpg")
getattr(disk, sys.argv[1])(source, target, owner="0e5f1a2b")
"""


@pytest.fixture
def exfat(tmp_path: Path) -> Iterator[Path]:
    with by_fuse("exfat", tmp_path / "exfat", tmp_path / "image") as folder:
        yield folder


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Give a folder with a picture and one that it shall go to."""
    return two_folders(tmp_path)


def two_folders(top: Path) -> tuple[Path, Path]:
    for name in ("here", "there"):
        (top / name).mkdir()
    (top / "here/a.jpg").write_bytes(b"picture")
    return top / "here", top / "there"


def hold(target: Place) -> None:
    with disk.open_folder(target.root, target.folder) as folder:
        placeholders.hold(target, folder, OWNER)


def hold_in_an_earlier_life(target: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(places, "_LIFE", "0dead0")
        hold(target)


# --- after a death


@pytest.mark.parametrize("gesture", ["move", "publish_new"])
def test_a_death_anywhere_keeps_no_name_and_no_empty_file(exfat: Path, gesture: str) -> None:
    here, there = two_folders(exfat)
    code, at = 9, 0
    while code == 9:
        at += 1
        (here / "a.jpg").write_bytes(b"picture")
        command = [sys.executable, "-c", KILLER, gesture, str(here), str(there), str(at)]
        code = subprocess.run(command, check=False, timeout=30).returncode
        disk.sweep(str(there), HIDDEN, OWNER)
        assert contents_of(there) in ({}, {"sub/a.jpg": b"picture"}), at
        if not (there / "sub/a.jpg").exists():
            getattr(disk, gesture)(place(here), place(there, "sub/a.jpg"), owner=OWNER)
        assert (contents_of(here), contents_of(there)) == ({}, {"sub/a.jpg": b"picture"}), at
        (there / "sub/a.jpg").unlink()
        (there / "sub").rmdir()
    assert code == 0
    assert at > 8


def test_a_sweep_frees_the_name_that_an_earlier_life_held(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, there = two
    hold_in_an_earlier_life(place(there), monkeypatch)
    assert "a.jpg" in contents_of(there)
    assert disk.sweep(str(there), HIDDEN, "another") == 1
    assert contents_of(there) == {}


def test_a_sweep_leaves_what_has_come_there(two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = two
    hold_in_an_earlier_life(place(there), monkeypatch)
    (here / "a.jpg").rename(there / "a.jpg")
    disk.sweep(str(there), HIDDEN, OWNER)
    assert contents_of(there) == {"a.jpg": b"picture"}


def test_a_sweep_leaves_the_names_that_are_being_held_now(two: tuple[Path, Path]) -> None:
    _, there = two
    hold(place(there))
    assert disk.sweep(str(there), HIDDEN, OWNER) == 0
    assert "a.jpg" in contents_of(there)


def test_a_sweep_frees_a_name_whose_holding_was_cut_in_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS 3 and 4.0 make a new file without any rights, and give it them by a second request."""
    with nobodys_folder() as there:
        hold_in_an_earlier_life(place(there), monkeypatch)
        (there / "a.jpg").chmod(0)
        assert disk.sweep(str(there), HIDDEN, OWNER) == 1
        assert contents_of(there) == {}


def test_a_sweep_frees_a_half_made_name_that_only_the_server_knows_as_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all_squash our files look like somebody else's: our kernel then refuses to touch them, the server does not.

    Seen on a real mount; a time that is named is for the server to refuse.
    """
    really = os.utime

    def of_somebody_else(
        path: str, times: tuple[float, float] | None = None, *, dir_fd: int, follow_symlinks: bool
    ) -> None:
        if times is None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        really(path, times, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    with nobodys_folder() as there:
        hold_in_an_earlier_life(place(there), monkeypatch)
        (there / "a.jpg").chmod(0)
        monkeypatch.setattr(os, "utime", of_somebody_else)
        assert disk.sweep(str(there), HIDDEN, OWNER) == 1
        assert contents_of(there) == {}


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
@pytest.mark.parametrize(("call", "end"), [("stat", "a.jpg"), ("open", "a.jpg"), ("open", ".held.tmp")])
def test_a_name_that_a_share_tells_nothing_of_is_freed_by_a_later_sweep(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, call: str, end: str, code: int
) -> None:
    _, there = two
    hold_in_an_earlier_life(place(there), monkeypatch)
    really = getattr(os, call)

    def fail(path: str, *values: object, **words: object) -> object:
        if path.endswith(end):
            raise OSError(code, os.strerror(code))
        return really(path, *values, **words)

    with monkeypatch.context() as failing:
        failing.setattr(os, call, fail)
        assert disk.sweep(str(there), HIDDEN, OWNER) == 0
    assert disk.sweep(str(there), HIDDEN, OWNER) == 1
    assert contents_of(there) == {}


def test_a_sweep_removes_a_note_that_was_itself_cut_in_half(monkeypatch: pytest.MonkeyPatch) -> None:
    with nobodys_folder() as there:
        hold_in_an_earlier_life(place(there), monkeypatch)
        (there / "a.jpg").unlink()  # it comes after its note
        (note,) = (there / HIDDEN).iterdir()
        note.write_bytes(b"")
        note.chmod(0)
        assert disk.sweep(str(there), HIDDEN, OWNER) == 1
        assert contents_of(there) == {}


@pytest.mark.parametrize("text", [b"../outside", b"sub/../../outside", b"link", b"a\0b", b"", b"/", b"x" * 99_999])
def test_a_sweep_believes_no_note_that_leads_elsewhere(two: tuple[Path, Path], text: bytes) -> None:
    _, there = two
    (there.parent / "outside").touch()
    (there / "link").symlink_to(there.parent / "outside")
    (there / HIDDEN).mkdir()
    (there / HIDDEN / ".wf-0e5f1a2b-0dead0-0123456789abcdef.held.tmp").write_bytes(text)
    disk.sweep(str(there), HIDDEN, OWNER)
    assert (there.parent / "outside").exists()
    assert os.listdir(there / HIDDEN) == []


def test_a_sweep_removes_a_note_that_is_a_link_and_follows_it_nowhere(two: tuple[Path, Path]) -> None:
    here, there = two
    (there / HIDDEN).mkdir()
    (there / HIDDEN / ".wf-0e5f1a2b-0dead0-0123456789abcdef.held.tmp").symlink_to(here / "a.jpg")
    assert disk.sweep(str(there), HIDDEN, OWNER) == 1
    assert contents_of(there) == {}
    assert contents_of(here) == {"a.jpg": b"picture"}


@pytest.mark.parametrize("content", [None, b""])
def test_a_stray_gets_its_own_name_after_a_death_amid_its_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    with Sandbox() as sandbox, opened(Shop(tmp_path, sandbox, settle_seconds=1000.0)) as shop:
        folder = shop.folder("inbox") / HIDDEN / shop.journal.instance / str(uuid.uuid4())
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes(PICTURE)
        if content is None:
            hold_in_an_earlier_life(place(shop.folder("inbox")), monkeypatch)
        else:
            shop.drop("a.jpg", content)  # a person's own
        shop.look(0.0)
        returned = "a.jpg" if content is None else "a (2).jpg"
        assert (shop.folder("inbox") / returned).read_bytes() == PICTURE
        assert len(shop.files("inbox")) == (1 if content is None else 2)


# --- within a life


GESTURES: list[Callable[..., None]] = [disk.move, disk.publish_new]


@pytest.mark.parametrize("gesture", GESTURES)
def test_a_held_name_is_taken_by_what_it_is_held_for(two: tuple[Path, Path], gesture: Callable[..., None]) -> None:
    here, there = two
    hold(place(there))
    gesture(place(here), place(there), owner=OWNER)
    assert (contents_of(here), contents_of(there)) == ({}, {"a.jpg": b"picture"})


@pytest.mark.parametrize("gesture", GESTURES)
def test_a_name_whose_holding_was_cut_in_half_is_taken(gesture: Callable[..., None]) -> None:
    with nobodys_folder() as top:
        here, there = two_folders(top)
        hold(place(there))
        (there / "a.jpg").chmod(0)
        gesture(place(here), place(there), owner=OWNER)
        assert (contents_of(here), contents_of(there)) == ({}, {"a.jpg": b"picture"})


@pytest.mark.parametrize("gesture", GESTURES)
def test_an_empty_file_of_somebody_else_is_left_alone_though_we_held_its_name(gesture: Callable[..., None]) -> None:
    with nobodys_folder() as top:
        here, there = two_folders(top)
        hold(place(there))
        with as_root():
            (there / "a.jpg").chmod(0)
            os.chown(there / "a.jpg", 0, 0)
        with pytest.raises(FileExistsError):
            gesture(place(here), place(there), owner=OWNER)
        assert (here / "a.jpg").read_bytes() == b"picture"
        assert (there / "a.jpg").stat().st_uid == 0


def test_a_held_name_is_taken_by_a_copy_from_another_file_system(tmp_path: Path, two: tuple[Path, Path]) -> None:
    here, _ = two
    with tmpfs(tmp_path / "elsewhere") as elsewhere:
        hold(place(elsewhere))
        disk.move(place(here), place(elsewhere), owner=OWNER)
        assert contents_of(elsewhere) == {"a.jpg": b"picture"}


@pytest.mark.parametrize("gesture", GESTURES)
def test_an_empty_file_of_a_person_is_left_alone(exfat: Path, gesture: Callable[..., None]) -> None:
    here, there = two_folders(exfat)
    (there / "a.jpg").touch()
    with pytest.raises(FileExistsError):
        gesture(place(here), place(there), owner=OWNER)
    assert (contents_of(here), contents_of(there)) == ({"a.jpg": b"picture"}, {"a.jpg": b""})


def test_a_name_whose_holding_a_share_has_failed_is_held_at_the_next_try(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = place(two[1])
    with monkeypatch.context() as silent:
        silent.setattr(placeholders, "create_in", lambda *_: (_ for _ in ()).throw(TimeoutError))
        with pytest.raises(FolderFault):
            hold(target)
    hold(target)
    assert contents_of(two[1])["a.jpg"] == b""


def test_a_name_held_for_what_never_came_is_free_again(two: tuple[Path, Path]) -> None:
    here, there = two
    (here / "a.jpg").unlink()
    hold(place(there))
    with pytest.raises(FileNotFoundError):
        disk.move(place(here), place(there), owner=OWNER)
    assert contents_of(there) == {}


def test_an_empty_file_that_was_moved_is_not_taken_for_a_held_name(two: tuple[Path, Path]) -> None:
    here, there = two
    (here / "a.jpg").write_bytes(b"")
    on_a_poor_file_system(
        "import sys\nfrom watchfolder import disk\n"
        "source, target = disk.Place(sys.argv[1], 'a.jpg'), disk.Place(sys.argv[2], 'a.jpg')\n"
        "disk.move(source, target, owner='0e5f1a2b', batch=disk.FsyncBatch())",
        here,
        there,
    )
    disk.sweep(str(there), HIDDEN, OWNER)
    assert contents_of(there) == {"a.jpg": b""}


def test_a_move_into_a_folder_of_ours_holds_no_name(two: tuple[Path, Path]) -> None:
    here, there = two
    said = on_a_poor_file_system(
        "import sys\nfrom watchfolder import disk\n"
        "source, target = disk.Place(sys.argv[1], 'a.jpg'), disk.Place(sys.argv[2], 'a.jpg')\n"
        "disk.move(source, target, owner='0e5f1a2b', private=True)\n"
        "open(source.path, 'wb').close()\n"
        "try: disk.move(source, target, owner='0e5f1a2b', private=True)\n"
        "except FileExistsError: print('taken')",
        here,
        there,
    )
    assert said == "taken"
    assert sorted(os.listdir(there)) == ["a.jpg"]
    assert contents_of(there) == {"a.jpg": b"picture"}


def test_where_only_hard_links_are_lacking_nothing_empty_is_ever_seen(two: tuple[Path, Path]) -> None:
    here, there = two
    publish = (
        "import sys\nfrom watchfolder import disk\n"
        "try: disk.publish_new(disk.Place(sys.argv[1], 'a.jpg'), disk.Place(sys.argv[2], 'a.jpg'), owner='0e5f1a2b')\n"
        "except FileExistsError: print('taken')"
    )
    on_a_poor_file_system(publish, here, there, lacks="link")
    assert (contents_of(here), os.listdir(there)) == ({}, ["a.jpg"])  # a placeholder would have had its note
    (here / "a.jpg").write_bytes(b"another")
    assert on_a_poor_file_system(publish, here, there, lacks="link") == "taken"
    assert (contents_of(here), contents_of(there)) == ({"a.jpg": b"another"}, {"a.jpg": b"picture"})


@pytest.mark.parametrize("mode", [0, 0o600])
def test_a_token_that_was_cut_in_half_keeps_no_inbox_shut(monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    with nobodys_folder() as top, opened(Shop(top)) as shop:
        hold_in_an_earlier_life(place(shop.folder("outbox"), TOKEN), monkeypatch)
        (shop.folder("outbox") / TOKEN).chmod(mode)
        shop.look(0.0)
        assert shop.intake.health.is_open
        assert (shop.folder("outbox") / TOKEN).read_text() != ""


@pytest.mark.parametrize("mode", [0, 0o600])
def test_lines_are_not_taken_for_the_table_whose_name_is_held(mode: int) -> None:
    with nobodys_folder() as there:
        table = place(there, "table.csv")
        hold(table)
        (there / "table.csv").chmod(mode)
        with pytest.raises(FileNotFoundError):
            disk.append_to_table(table, [b"line"], owner=OWNER)
        disk.write_new(table, b"head\n", owner=OWNER)
        disk.append_to_table(table, [b"line"], owner=OWNER)
        assert (there / "table.csv").read_bytes() == b"head\nline\n"


# --- several at once, and late answers


TWO_AT_ONCE = """
import random, sys, threading, time
from watchfolder import disk
together = threading.Barrier(2, timeout=20)
def take(name):
    for number in range(300):
        together.wait()
        time.sleep(random.random() * 0.003)
        source, target = disk.Place(sys.argv[1], f"{name}-{number}"), disk.Place(sys.argv[2], f"{number}")
        try: disk.move(source, target, owner="0e5f1a2b", batch=disk.FsyncBatch())
        except FileExistsError: pass
threads = [threading.Thread(target=take, args=(name,)) for name in ("one", "two")]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_of_two_threads_that_want_a_name_one_gets_it_and_both_pictures_stay(two: tuple[Path, Path]) -> None:
    here, there = two
    (here / "a.jpg").unlink()
    pictures = {f"{name}-{number}".encode() for name in ("one", "two") for number in range(300)}
    for each in pictures:
        (here / each.decode()).write_bytes(each)
    on_a_poor_file_system(TWO_AT_ONCE, here, there)
    named = {name: each for name, each in contents_of(there).items() if HIDDEN not in name}
    assert len(named) == 300
    assert {*contents_of(here).values(), *named.values()} == pictures


@pytest.mark.parametrize("answer", [errno.ETIMEDOUT, errno.ENOENT])
def test_what_a_server_does_after_its_answer_was_given_up_loses_no_picture(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, answer: int
) -> None:
    here, there = two
    asked: list[Callable[[], object]] = []

    def later(step: Callable[[], object]) -> Callable[..., None]:
        def ask(*_: object, **__: object) -> None:
            asked.append(step)
            raise OSError(answer, os.strerror(answer))

        return ask

    with monkeypatch.context() as hung:
        hung.setattr(moves, "_renameat2", None)
        hung.setattr(os, "rename", later(partial((here / "a.jpg").rename, there / "a.jpg")))
        hung.setattr(os, "unlink", later(partial((there / "a.jpg").unlink, missing_ok=True)))
        with pytest.raises(FolderFault):
            disk.move(place(here), place(there), owner=OWNER)
    monkeypatch.setattr(moves, "_renameat2", None)
    for step in asked:
        step()
    disk.move(place(here), place(there), owner=OWNER)
    assert (contents_of(here), contents_of(there)) == ({}, {"a.jpg": b"picture"})


def test_a_name_that_is_taken_costs_no_note(two: tuple[Path, Path]) -> None:
    here, there = two
    (there / "a.jpg").write_bytes(b"another")
    on_a_poor_file_system(
        "import sys\nfrom watchfolder import disk\n"
        "try: disk.move(disk.Place(sys.argv[1], 'a.jpg'), disk.Place(sys.argv[2], 'a.jpg'), owner='0e5f1a2b')\n"
        "except FileExistsError: pass",
        here,
        there,
    )
    assert os.listdir(there) == ["a.jpg"]
