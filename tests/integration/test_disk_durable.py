"""Replace, append, lock and sweep on a real disk, also on one that is full."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from contents import place
from file_systems import ext4, tmpfs
from rights import as_root, nobodys_folder

from watchfolder import disk
from watchfolder.disk import Place
from watchfolder.disk.files import set_times, write_all
from watchfolder.errors import FolderFault

WAIT_SECONDS = 20
OURS = "0e5f"
LEFTOVER = f".wf-{OURS}-000000-12345678.tmp"


def names_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o002)
    yield
    os.umask(before)


def test_a_replaced_file_holds_the_new_content_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    disk.write_atomically(place(tmp_path, "a/b/entry.json"), b"one")
    disk.write_atomically(place(tmp_path, "a/b/entry.json"), b"two")
    assert (tmp_path / "a/b/entry.json").read_bytes() == b"two"
    assert names_in(tmp_path / "a/b") == {"entry.json"}


def test_an_open_reader_keeps_the_old_content_whole(tmp_path: Path) -> None:
    disk.write_atomically(place(tmp_path, "entry"), b"old")
    with (tmp_path / "entry").open("rb") as reader:
        disk.write_atomically(place(tmp_path, "entry"), b"new")
        assert reader.read() == b"old"


def test_a_name_at_the_limit_can_be_replaced(tmp_path: Path) -> None:
    name = "ä" * 127 + "b"
    disk.write_atomically(place(tmp_path, name), b"x")
    assert names_in(tmp_path) == {name}


def test_a_full_disk_keeps_the_old_content(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", size="64k") as small:
        disk.write_atomically(place(small, "entry"), b"old")
        with pytest.raises(FolderFault) as caught:
            disk.write_atomically(place(small, "entry"), b"x" * 200_000)
        assert caught.value.code == "ENOSPC"
        assert "the disk is full" in caught.value.reason
        assert (small / "entry").read_bytes() == b"old"
        assert names_in(small) == {"entry"}


def test_a_read_only_disk_is_a_fault_in_plain_words(tmp_path: Path) -> None:
    with ext4(tmp_path / "disk", tmp_path / "image") as folder:
        (folder / LEFTOVER).touch()
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True, timeout=WAIT_SECONDS)
        write = partial(disk.write_atomically, place(folder, "entry"), b"x")
        for act in (write, partial(disk.sweep, str(folder), ""), partial(disk.may_write, str(folder))):
            with pytest.raises(FolderFault) as caught:
                act()
            assert caught.value.code == "EROFS"


def test_a_write_that_a_signal_cuts_short_goes_on() -> None:
    reading, writing = os.pipe()
    told = threading.Event()
    got: list[bytes] = []

    def read() -> None:
        told.wait(WAIT_SECONDS)
        while block := os.read(reading, 1 << 16):
            got.append(block)

    before = signal.signal(signal.SIGALRM, lambda *_: told.set())
    reader = threading.Thread(target=read)
    reader.start()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)  # the pipe is full by then: write() returns what it took
        write_all(writing, b"x" * 1_000_000)
    finally:
        signal.signal(signal.SIGALRM, before)
        os.close(writing)
        reader.join(WAIT_SECONDS)
        os.close(reading)
    assert len(b"".join(got)) == 1_000_000


def test_new_files_are_for_the_people_of_the_share(tmp_path: Path, umask: None) -> None:  # noqa: ARG001 - set for us
    if os.geteuid() != 0:
        pytest.skip("only root may give a folder any group")
    os.chown(tmp_path, -1, 4711)
    disk.write_new(place(tmp_path, "sub/picture"), b"x", owner=OURS)
    folder, file = (tmp_path / "sub").stat(), (tmp_path / "sub/picture").stat()
    assert (folder.st_gid, stat.S_IMODE(folder.st_mode)) == (4711, 0o775)
    assert (file.st_gid, stat.S_IMODE(file.st_mode)) == (4711, 0o664)


def test_a_journal_file_is_for_us_alone(tmp_path: Path, umask: None) -> None:  # noqa: ARG001 - set for us
    disk.write_atomically(place(tmp_path, "entry"), b"x", mode=0o600)
    disk.make_folder(str(tmp_path), "private", 0o700)
    assert stat.S_IMODE((tmp_path / "entry").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o700


@pytest.mark.parametrize(("keeps_owner", "mode"), [(True, 0o600), (False, 0o660)])
def test_what_replaces_somebodys_file_is_as_private_as_that_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, keeps_owner: bool, mode: int
) -> None:
    file = tmp_path / "a.jpg.xmp"
    file.write_bytes(b"before")
    file.chmod(0o600)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    if not keeps_owner:
        monkeypatch.setattr("watchfolder.disk.durable.os.chown", refuse)
    disk.replace(Place(str(tmp_path), file.name), b"after", owner="0e5f1a2b")
    assert file.read_bytes() == b"after"
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_a_new_file_never_replaces_another(tmp_path: Path) -> None:
    (tmp_path / "note").write_bytes(b"somebody's")
    with pytest.raises(FileExistsError):
        disk.write_new(place(tmp_path, "note"), b"ours", owner=OURS)
    assert (tmp_path / "note").read_bytes() == b"somebody's"
    assert names_in(tmp_path / disk.HIDDEN) == set()


def test_a_full_disk_tells_the_one_who_writes_block_by_block(tmp_path: Path) -> None:
    with (
        tmpfs(tmp_path / "small", size="64k") as small,
        pytest.raises(FolderFault) as caught,
        disk.new_file(place(small, "part")) as write,
    ):
        write(b"x" * 200_000)
    assert caught.value.code == "ENOSPC"


def test_a_fault_of_the_network_while_a_file_is_written_stays_one(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), disk.new_file(place(tmp_path, "part")):
        raise ConnectionResetError


def test_lines_are_appended(tmp_path: Path) -> None:
    for line in (b"one", b"two"):
        disk.append_line(place(tmp_path, "history/2026-11.jsonl"), line)
    assert (tmp_path / "history/2026-11.jsonl").read_bytes() == b"one\ntwo\n"


def test_after_a_torn_tail_a_newline_comes_first(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'one\n{"at": "2026')
    disk.append_line(place(tmp_path, "log"), b"two")
    assert (tmp_path / "log").read_bytes() == b'one\n{"at": "2026\ntwo\n'


def test_a_line_that_did_not_fit_costs_only_itself(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", size="64k") as small:
        disk.append_line(place(small, "log"), b"one")
        with pytest.raises(FolderFault):
            disk.append_line(place(small, "log"), b"x" * 200_000)
        os.truncate(small / "log", 10)  # as a power cut would have it
        disk.append_line(place(small, "log"), b"two")
        lines = (small / "log").read_bytes().splitlines()
        assert lines[0] == b"one"
        assert lines[-1] == b"two"


def test_nothing_is_appended_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    (tmp_path / "log").symlink_to("victim")
    with pytest.raises(FolderFault):
        disk.append_line(place(tmp_path, "log"), b"x")
    assert (tmp_path / "victim").read_bytes() == b"mine"


def test_removing_what_is_not_there_is_fine(tmp_path: Path) -> None:
    disk.remove(place(tmp_path, "never"))
    disk.remove(place(tmp_path, "no/such/folder"))


def test_a_lock_is_held_once_and_given_back_by_closing(tmp_path: Path) -> None:
    held = disk.hold_lock(place(tmp_path, "lock"))
    assert held is not None
    assert disk.hold_lock(place(tmp_path, "lock")) is None
    os.close(held)
    again = disk.hold_lock(place(tmp_path, "lock"))
    assert again is not None
    os.close(again)


def test_a_dead_process_holds_no_lock(tmp_path: Path) -> None:
    script = (
        "import sys, time; from watchfolder import disk\n"
        "held = disk.hold_lock(disk.Place(sys.argv[1], 'lock')); print(held, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip().isdigit()
        assert disk.hold_lock(place(tmp_path, "lock")) is None
        other.kill()
        other.wait(WAIT_SECONDS)
    held = disk.hold_lock(place(tmp_path, "lock"))
    assert held is not None
    os.close(held)


def test_a_replacement_whose_temporary_file_is_swept_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, swept = os.rename, list[str]()

    def after_a_sweep(temporary: str, name: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if not swept:
            swept.append(temporary)
            os.unlink(temporary, dir_fd=src_dir_fd)
        rename(temporary, name, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", after_a_sweep)
    disk.write_atomically(Place(str(tmp_path), "a"), b"new")
    assert swept
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"new"}


def test_a_replacement_whose_temporary_file_is_always_swept_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def after_a_sweep(temporary: str, name: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        os.unlink(temporary, dir_fd=src_dir_fd)
        rename(temporary, name, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    disk.write_atomically(place(tmp_path, "a"), b"old")
    monkeypatch.setattr(os, "rename", after_a_sweep)
    with pytest.raises(FolderFault, match="another program has removed our temporary file"):
        disk.write_atomically(place(tmp_path, "a"), b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}


def test_a_time_that_no_file_can_have_keeps_no_picture_back(tmp_path: Path) -> None:
    with disk.new_file(place(tmp_path, "a.jpg"), 10**40) as write:
        write(b"picture")
    assert (tmp_path / "a.jpg").read_bytes() == b"picture"


def test_a_time_that_we_may_not_set_keeps_no_picture_back() -> None:
    with nobodys_folder() as folder:
        with as_root():  # as a share does that makes all files another user's
            (folder / "a.jpg").touch(0o666)
            (folder / "a.jpg").chmod(0o666)
        descriptor = os.open(folder / "a.jpg", os.O_WRONLY)
        try:
            set_times(descriptor, 1, 1)
        finally:
            os.close(descriptor)


def test_leftovers_of_an_earlier_life_are_swept(tmp_path: Path) -> None:
    for name in (LEFTOVER, ".wf-ffff-000000-12345678.tmp", "picture.jpg", ".wf-note"):
        (tmp_path / name).touch()
    assert disk.sweep(str(tmp_path), "", OURS) == 1
    assert names_in(tmp_path) == {".wf-ffff-000000-12345678.tmp", "picture.jpg", ".wf-note"}


def test_what_the_journal_names_is_not_swept(tmp_path: Path) -> None:
    (tmp_path / disk.HIDDEN).mkdir()
    (tmp_path / disk.HIDDEN / LEFTOVER).touch()
    assert disk.sweep(str(tmp_path), disk.HIDDEN, OURS, keep={f"{disk.HIDDEN}/{LEFTOVER}"}) == 0
    assert disk.sweep(str(tmp_path), disk.HIDDEN, OURS) == 1


def test_a_download_under_way_is_not_swept_by_an_inbox_that_shares_the_outbox(tmp_path: Path) -> None:
    part = disk.hidden_part(str(tmp_path), OURS)
    with disk.new_file(part) as write:
        write(b"half")
        assert disk.sweep(str(tmp_path), disk.HIDDEN, OURS) == 0
    assert disk.read_bytes(part, 100) == b"half"


def test_a_folder_that_is_not_there_needs_no_sweep(tmp_path: Path) -> None:
    assert disk.sweep(str(tmp_path), "never") == 0


@pytest.mark.parametrize("fails_before", [False, True], ids=["only at close", "before that as well"])
def test_a_share_that_fails_at_close_is_a_folder_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, fails_before: bool
) -> None:
    close = os.close

    def fail(descriptor: int) -> None:
        is_ours = os.readlink(f"/proc/self/fd/{descriptor}").endswith("/part")
        close(descriptor)
        if is_ours:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def write() -> None:
        with disk.new_file(Place(str(tmp_path), "part")) as append:
            append(b"picture")
            if fails_before:
                raise FolderFault("full", code="ENOSPC")

    monkeypatch.setattr("watchfolder.disk.durable.os.close", fail)
    with pytest.raises(FolderFault) as told:
        write()
    assert told.value.code == ("ENOSPC" if fails_before else "EIO")


def test_a_line_is_looked_for_among_very_many_without_all_of_them_in_memory(tmp_path: Path) -> None:
    table = place(tmp_path, "lines")
    with open(table.path, "wb") as file:
        file.writelines(b"%0500d\n" % number for number in range(60_000))
    tracemalloc.start()
    try:
        disk.append_line(table, b"%0500d" % 7, perhaps_there=True)
        disk.append_line(table, b"%0500d" % 60_000, perhaps_there=True)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert os.path.getsize(table.path) == 501 * 60_001
