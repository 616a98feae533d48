"""Moves and publications: never onto another file, never by halves, on one file system, between two, on a poor one."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from contents import contents_of, place
from file_systems import ext4, on_a_poor_file_system, tmpfs
from rights import as_nobody, as_root, nobodys_folder

from watchfolder import disk
from watchfolder.disk import Place, moves
from watchfolder.errors import FolderFault

OWNER = "0e5f1a2b"
LONGEST = "ä" * 125 + "b.jpg"
ODD_NAMES = ["a.jpg", LONGEST, "caf\udce9.jpg", "two\nlines.jpg", "-rf *", " .jpg"]
MTIME_NS = 1_111_111_111_222_222_222
MOVE = """
import sys
from watchfolder import disk
disk.move(disk.Place(sys.argv[1], "a.jpg"), disk.Place(sys.argv[2], "a.jpg"), owner="0e5f1a2b")
"""
PUBLISH = MOVE.replace("disk.move", "disk.publish_new")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "there"
    folder.mkdir()
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Another file system."""
    with tmpfs(tmp_path / "elsewhere") as folder:
        yield folder


def move(source: Path, target: Path, name: str = "a.jpg") -> None:
    disk.move(place(source, name), place(target, name), owner=OWNER)


# --- what fails


def test_a_file_that_cannot_be_read_is_named_itself_and_not_its_copy(there: Path) -> None:
    memory = Place(f"/proc/{os.getpid()}", "mem")  # of which nobody can read the first byte
    with pytest.raises(FolderFault) as raised:
        disk.copy(memory, place(there), owner=OWNER)
    assert (raised.value.path, raised.value.code) == (memory.path, "EIO")
    assert contents_of(there) == {}


# --- on one file system


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_file_moves_under_any_name(here: Path, there: Path, name: str) -> None:
    (here / name).write_bytes(b"picture")
    move(here, there, name)
    assert contents_of(here) == {}
    assert contents_of(there) == {name: b"picture"}


def test_missing_folders_are_made_on_the_way(here: Path, there: Path) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    disk.move(place(here), place(there, "2026/11/a.jpg"), owner=OWNER)
    assert contents_of(there) == {"2026/11/a.jpg": b"picture"}


def test_a_move_never_replaces_a_file_even_of_the_same_bytes(here: Path, there: Path) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    (there / "a.jpg").write_bytes(b"picture")
    with pytest.raises(FileExistsError):
        move(here, there)
    assert contents_of(here) == contents_of(there) == {"a.jpg": b"picture"}


@pytest.mark.parametrize("kind", ["folder", "dangling link", "fifo"])
def test_a_move_never_replaces_anything_else(here: Path, there: Path, kind: str) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    target = there / "a.jpg"
    if kind == "folder":
        target.mkdir()
    elif kind == "fifo":
        os.mkfifo(target)
    else:
        target.symlink_to("x")
    with pytest.raises(FileExistsError):
        move(here, there)
    assert contents_of(here) == {"a.jpg": b"picture"}


def test_a_repeated_move_finds_that_it_has_happened(here: Path, there: Path) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    move(here, there)
    move(here, there)
    assert contents_of(there) == {"a.jpg": b"picture"}


@pytest.mark.parametrize("known_as", ["a.jpg", "another"])
def test_a_repeated_move_has_happened_though_its_old_name_is_still_known(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch, known_as: str
) -> None:
    """Seen on SMB, when the answer to the first rename was lost: the second one says that the new name is taken.

    With `noserverino` our kernel makes up an inode for each name.
    """
    for name in {"a.jpg", known_as}:
        (here / name).write_bytes(b"picture")
    really, kept = os.stat, os.stat(here / known_as)
    move(here, there)

    def stale_rename(*_: object) -> None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    def stale_stat(path: str, *, dir_fd: int, follow_symlinks: bool) -> os.stat_result:
        is_old_name = os.readlink(f"/proc/self/fd/{dir_fd}") == str(here)
        return kept if is_old_name else really(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(moves, "_rename_new", stale_rename)
    with monkeypatch.context() as stale:
        stale.setattr(os, "stat", stale_stat)
        move(here, there)
    assert contents_of(there) == {"a.jpg": b"picture"}


def test_a_repeated_move_needs_the_old_folder_no_more(here: Path, there: Path) -> None:
    (here / "sub").mkdir()
    (here / "sub/a.jpg").write_bytes(b"picture")
    move(here, there, "sub/a.jpg")
    (here / "sub").rmdir()
    move(here, there, "sub/a.jpg")
    assert contents_of(there) == {"sub/a.jpg": b"picture"}


def test_one_file_under_both_names_after_a_power_cut_keeps_the_new_one(here: Path, there: Path) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    os.link(here / "a.jpg", there / "a.jpg")
    move(here, there)
    assert contents_of(here) == {}
    assert contents_of(there) == {"a.jpg": b"picture"}


def test_nothing_at_either_place_is_said_so(here: Path, there: Path) -> None:
    with pytest.raises(FileNotFoundError):
        move(here, there)
    with pytest.raises(FileNotFoundError):
        move(here, there, "sub/a.jpg")


def test_a_folder_that_vanishes_under_our_hands_is_not_a_file_that_is_missing(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    rename = moves._rename_new

    def after_a_person_removed_the_folder(*names: object) -> None:
        (there / "sub").rmdir()
        rename(*names)  # type: ignore[arg-type]

    monkeypatch.setattr(moves, "_rename_new", after_a_person_removed_the_folder)
    with pytest.raises(FolderFault):
        disk.move(place(here), place(there, "sub/a.jpg"), owner=OWNER)
    assert contents_of(here) == {"a.jpg": b"picture"}


def test_a_link_in_the_way_is_not_followed(here: Path, there: Path) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    (there / "sub").symlink_to(here)
    with pytest.raises(disk.NotAFolder):
        disk.move(place(here), place(there, "sub/b.jpg"), owner=OWNER)
    assert contents_of(here) == {"a.jpg": b"picture"}


# --- between file systems


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_copy_keeps_time_and_bytes_under_any_name(here: Path, elsewhere: Path, name: str) -> None:
    (here / name).write_bytes(b"picture" * 500_000)
    os.utime(here / name, ns=(MTIME_NS, MTIME_NS))
    move(here, elsewhere, name)
    assert contents_of(here) == {}
    assert contents_of(elsewhere) == {name: b"picture" * 500_000}
    assert (elsewhere / name).stat().st_mtime_ns == MTIME_NS


def test_a_copy_keeps_extended_attributes(tmp_path: Path, here: Path) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    os.setxattr(here / "a.jpg", "user.rating", b"5")
    with ext4(tmp_path / "disk", tmp_path / "image") as elsewhere:
        move(here, elsewhere)
        assert os.getxattr(elsewhere / "a.jpg", "user.rating") == b"5"


@pytest.mark.parametrize("content", [b"another", b"of another length"])
def test_a_copy_never_replaces_a_file(here: Path, elsewhere: Path, content: bytes) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    (elsewhere / "a.jpg").write_bytes(content)
    with pytest.raises(FileExistsError):
        move(here, elsewhere)
    assert contents_of(here) == {"a.jpg": b"picture"}
    assert contents_of(elsewhere) == {"a.jpg": content}


def test_a_copy_never_goes_through_a_link(here: Path, elsewhere: Path) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    (elsewhere / "a.jpg").symlink_to("outside")
    with pytest.raises(FileExistsError):
        move(here, elsewhere)
    assert not (elsewhere / "outside").exists()


def test_a_name_of_a_file_that_we_may_not_read_is_taken() -> None:
    with nobodys_folder() as here, as_root(), tmpfs(here / "elsewhere") as elsewhere:
        (elsewhere / "a.jpg").write_bytes(b"another")
        (elsewhere / "a.jpg").chmod(0o600)
        with as_nobody():
            (here / "a.jpg").write_bytes(b"picture")
            with pytest.raises(FileExistsError):
                move(here, elsewhere)
        assert (here / "a.jpg").read_bytes() == b"picture"


def test_a_file_that_we_may_not_read_replaces_nothing_either() -> None:
    with nobodys_folder() as here:
        for name in ("a.jpg", "b.jpg"):
            (here / name).write_bytes(name.encode())
        with as_root():
            os.chown(here / "a.jpg", 0, 0)
            os.chmod(here / "a.jpg", 0o600)
        with pytest.raises(FileExistsError):
            disk.move(place(here, "a.jpg"), place(here, "b.jpg"), owner=OWNER)
        assert (here / "b.jpg").read_bytes() == b"b.jpg"


def test_a_copy_that_was_finished_but_for_the_original_is_finished(here: Path, elsewhere: Path) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    (elsewhere / "a.jpg").write_bytes(b"picture")
    move(here, elsewhere)
    assert contents_of(here) == {}
    assert contents_of(elsewhere) == {"a.jpg": b"picture"}


def test_a_copy_without_room_leaves_the_original_and_nothing_else(tmp_path: Path, here: Path) -> None:
    (here / "a.jpg").write_bytes(b"x" * 200_000)
    with tmpfs(tmp_path / "small", size="64k") as small:
        with pytest.raises(FolderFault) as caught:
            move(here, small)
        assert caught.value.code == "ENOSPC"
        assert contents_of(small) == {}
    assert (here / "a.jpg").stat().st_size == 200_000


def test_a_copy_that_differs_is_thrown_away(here: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    copy = moves._copy

    def copied_by_a_bad_disk(source: Place, part: Place) -> None:
        copy(source, part)
        Path(part.path).write_bytes(b"pictXre")

    monkeypatch.setattr(moves, "_copy", copied_by_a_bad_disk)
    with pytest.raises(FolderFault) as caught:
        move(here, elsewhere)
    assert caught.value.code == "EIO"
    assert contents_of(here) == {"a.jpg": b"picture"}
    assert contents_of(elsewhere) == {}


def test_an_original_that_changes_under_our_hands_is_never_removed(
    here: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    compare = moves._require_same

    def and_then_somebody_saved_again(source: Place, part: Place) -> None:
        compare(source, part)
        (here / "a.jpg").write_bytes(b"a newer one")

    monkeypatch.setattr(moves, "_require_same", and_then_somebody_saved_again)
    with pytest.raises(FolderFault):
        move(here, elsewhere)
    assert contents_of(here) == {"a.jpg": b"a newer one"}


def test_a_swept_copy_is_not_a_missing_original(here: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    monkeypatch.setattr(moves, "_require_same", lambda _source, part: Path(part.path).unlink())
    with pytest.raises(FolderFault):
        move(here, elsewhere)
    assert contents_of(here) == {"a.jpg": b"picture"}


def test_a_move_killed_anywhere_is_finished_by_the_next(here: Path, elsewhere: Path) -> None:
    """Kill the mover at each system call that changes the disk, then repeat the move."""
    killer = """
import os, sys
import watchfolder.disk.moves as moves
at, count = int(sys.argv[3]), 0
def deadly(name):
    call = getattr(os, name)
    def one(*values, **words):
        global count
        count += 1
        if count == at:
            os._exit(9)
        return call(*values, **words)
    setattr(os, name, one)
for name in ("fsync", "link", "unlink", "rename", "utime", "mkdir", "write"):
    deadly(name)
"""
    killed = 0
    for at in range(1, 40):
        (here / "a.jpg").write_bytes(b"picture")
        done = subprocess.run(
            [sys.executable, "-c", killer + MOVE, str(here), str(elsewhere), str(at)], check=False, timeout=30
        )
        somewhere = {**contents_of(here), **contents_of(elsewhere)}
        assert b"picture" in somewhere.values()
        move(here, elsewhere)
        assert contents_of(here) == {}
        assert (elsewhere / "a.jpg").read_bytes() == b"picture"
        (elsewhere / "a.jpg").unlink()
        killed += done.returncode == 9
        if done.returncode == 0:
            break
    assert killed >= 5


def test_a_copy_of_an_earlier_life_has_a_durable_name_before_its_original_goes(
    here: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (here, elsewhere):
        (folder / "a.jpg").write_bytes(b"picture")
    done: list[str] = []
    sync, unlink = os.fsync, os.unlink

    def noting_sync(descriptor: int) -> None:
        done.append(f"sync {os.readlink(f'/proc/self/fd/{descriptor}')}")
        sync(descriptor)

    def noting_unlink(name: str, *, dir_fd: int) -> None:
        done.append(f"unlink {os.readlink(f'/proc/self/fd/{dir_fd}')}/{name}")
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "fsync", noting_sync)
    monkeypatch.setattr(os, "unlink", noting_unlink)
    move(here, elsewhere)
    assert done.index(f"sync {elsewhere}") < done.index(f"unlink {here}/a.jpg")


# --- where there are no hard links and no RENAME_NOREPLACE


def test_without_noreplace_a_file_moves(here: Path, there: Path) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    on_a_poor_file_system(MOVE, here, there)
    assert contents_of(here) == {}
    assert contents_of(there) == {"a.jpg": b"picture"}


def test_without_noreplace_nothing_is_replaced(here: Path, there: Path) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    (there / "a.jpg").write_bytes(b"another")
    said = on_a_poor_file_system(
        f"try:\n  {MOVE.strip().replace(chr(10), chr(10) + '  ')}\nexcept FileExistsError: print('taken')", here, there
    )
    assert said == "taken"
    assert contents_of(there) == {"a.jpg": b"another"}


def test_without_noreplace_a_move_that_fails_leaves_no_placeholder(here: Path, there: Path) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    said = on_a_poor_file_system(
        "from watchfolder.errors import FolderFault\n"
        f"try:\n  {MOVE.strip().replace(chr(10), chr(10) + '  ')}\nexcept FolderFault as fault: print(fault.code)",
        here,
        there,
        lacks="renameat2,rename",
    )
    assert said == "EACCES"
    assert contents_of(here) == {"a.jpg": b"picture"}
    assert contents_of(there) == {}


def test_without_noreplace_a_missing_file_leaves_no_placeholder(here: Path, there: Path) -> None:
    said = on_a_poor_file_system(
        f"try:\n  {MOVE.strip().replace(chr(10), chr(10) + '  ')}\nexcept FileNotFoundError: print('gone')", here, there
    )
    assert said == "gone"
    assert contents_of(there) == {}


def test_without_noreplace_a_folder_moves_as_well(here: Path, there: Path) -> None:
    (here / "a.jpg").mkdir()
    (here / "a.jpg/inside").write_bytes(b"picture")
    on_a_poor_file_system(MOVE, here, there)
    assert contents_of(there) == {"a.jpg/inside": b"picture"}


@pytest.mark.parametrize("link", ["link", "link of NFS"])
def test_without_hard_links_a_delivery_gets_its_name(here: Path, there: Path, link: str) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    on_a_poor_file_system(PUBLISH, here, there, lacks=f"{link},renameat2")
    assert contents_of(here) == {}
    assert contents_of(there) == {"a.jpg": b"picture"}


def test_without_hard_links_no_delivery_replaces_a_file(here: Path, there: Path) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    (there / "a.jpg").write_bytes(b"another")
    said = on_a_poor_file_system(
        f"try:\n  {PUBLISH.strip().replace(chr(10), chr(10) + '  ')}\nexcept FileExistsError: print('taken')",
        here,
        there,
    )
    assert said == "taken"
    assert contents_of(here) == {"a.jpg": b"picture"}
    assert contents_of(there) == {"a.jpg": b"another"}


# --- publishing


def test_a_publication_gets_its_name_and_loses_the_temporary_one(here: Path, there: Path) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    disk.publish_new(place(here), place(there, f"sub/{LONGEST}"), owner=OWNER)
    assert contents_of(here) == {}
    assert contents_of(there) == {f"sub/{LONGEST}": b"picture"}


def test_a_publication_never_replaces_a_file(here: Path, there: Path) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    (there / "a.jpg").write_bytes(b"picture")
    with pytest.raises(FileExistsError):
        disk.publish_new(place(here), place(there), owner=OWNER)
    assert contents_of(here) == {"a.jpg": b"picture"}


def test_a_publication_cut_after_the_link_is_finished_though_no_file_opens(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen on SMB, whose server still had the file open for a process that was killed: EINVAL by the other name."""
    (here / "a.jpg").write_bytes(b"picture")
    os.link(here / "a.jpg", there / "a.jpg")
    really = os.open

    def refuse(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "a.jpg":
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return really(path, flags, mode, dir_fd=dir_fd)

    with monkeypatch.context() as on_smb:
        on_smb.setattr(os, "open", refuse)
        disk.publish_new(place(here), place(there), owner=OWNER)
    assert (contents_of(here), contents_of(there)) == ({}, {"a.jpg": b"picture"})


def test_a_publication_cut_after_the_link_is_finished(here: Path, there: Path) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    os.link(here / "a.jpg", there / "a.jpg")
    disk.publish_new(place(here), place(there), owner=OWNER)
    assert contents_of(here) == {}
    assert contents_of(there) == {"a.jpg": b"picture"}


def test_a_publication_without_its_file_is_said_so(here: Path, there: Path) -> None:
    with pytest.raises(FileNotFoundError):
        disk.publish_new(place(here), place(there), owner=OWNER)
    assert contents_of(there) == {}


def test_an_outbox_folder_that_vanishes_is_not_a_delivery_that_has_happened(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "a.jpg").write_bytes(b"picture")
    link = os.link

    def after_a_person_removed_the_folder(
        source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int, follow_symlinks: bool
    ) -> None:
        (there / "sub").rmdir()
        link(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "link", after_a_person_removed_the_folder)
    with pytest.raises(FolderFault):
        disk.publish_new(place(here), place(there, "sub/a.jpg"), owner=OWNER)
    assert contents_of(here) == {"a.jpg": b"picture"}


def test_a_sub_folder_that_is_a_mount_of_its_own_takes_publications_as_well(here: Path) -> None:
    (here / "part").write_bytes(b"picture")
    with tmpfs(here / "sub") as mount:
        (mount / "part").write_bytes(b"pict")  # what an earlier try left
        disk.publish_new(place(here, "part"), place(here, "sub/a.jpg"), owner=OWNER)
        assert contents_of(here) == {"sub/a.jpg": b"picture"}
