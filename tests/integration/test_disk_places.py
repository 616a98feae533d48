"""Reaching what lies below a folder: never through a link, never stuck, and seeing who else is at it."""

import contextlib
import errno
import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from contents import place
from file_systems import mounted, tmpfs
from holding import another_process, being_written, leased

from watchfolder import disk
from watchfolder.disk import Entry, Held, NotAFolder, NotRegular, Place
from watchfolder.errors import FolderFault

ATTACK_SECONDS = 1.0
WAIT_SECONDS = 20
SWAPPER = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
one, other = map(os.fsencode, sys.argv[1:])
print("ready", flush=True)
while True:
    libc.renameat2(-100, one, -100, other, 2)  # RENAME_EXCHANGE: there is always something under the name
"""


@pytest.fixture
def leases() -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


def left_open(folder: Path) -> list[str]:
    """Return what this process has open there; other files are other tests' and the garbage collector's."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the list's own
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return [path for path in found if path.startswith(str(folder))]


# --- never through a link


def test_a_link_in_the_way_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.jpg").write_bytes(b"secret")
    (tmp_path / "inbox/deep").mkdir(parents=True)
    (tmp_path / "inbox/link").symlink_to("../outside")
    (tmp_path / "inbox/deep/link").symlink_to("../../outside")
    (tmp_path / "inbox/secret.jpg").symlink_to("../outside/secret.jpg")
    for name in ("link/secret.jpg", "deep/link/secret.jpg"):
        for ask in (disk.open_regular, disk.stat_of, disk.hash_of):
            with pytest.raises(NotAFolder):
                ask(place(tmp_path / "inbox", name))
    with pytest.raises(NotRegular):
        disk.open_regular(place(tmp_path / "inbox", "secret.jpg"))
    with pytest.raises(NotAFolder), disk.open_folder(str(tmp_path / "inbox"), "link/new", create=True):
        pass
    assert os.listdir(tmp_path / "outside") == ["secret.jpg"]


def test_the_way_up_is_no_way_in(tmp_path: Path) -> None:
    (tmp_path / "inbox/sub").mkdir(parents=True)
    (tmp_path / "secret.jpg").touch()
    for name in ("../secret.jpg", "sub/../../secret.jpg"):
        with pytest.raises(NotAFolder):
            disk.open_regular(place(tmp_path / "inbox", name))


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    (tmp_path / "share/a.jpg").write_bytes(b"picture")
    (tmp_path / "inbox").symlink_to("share")
    assert disk.read_bytes(place(tmp_path / "inbox", "a.jpg"), 100) == b"picture"


@pytest.mark.parametrize("victim", ["folder", "file"])
def test_one_who_swaps_names_for_links_never_leads_us_outside(tmp_path: Path, victim: str) -> None:
    inbox, outside = tmp_path / "inbox", tmp_path / "outside"
    (inbox / "sub").mkdir(parents=True)
    outside.mkdir()
    (inbox / "sub/a.jpg").write_bytes(b"picture")
    (outside / "a.jpg").write_bytes(b"secret")
    if victim == "folder":
        swapped, link = inbox / "sub", inbox / "trap"
        link.symlink_to(outside)
    else:
        swapped, link = inbox / "sub/a.jpg", inbox / "trap"
        link.symlink_to(outside / "a.jpg")
    seen = {b"picture": 0, b"": 0}
    with another_process(SWAPPER, swapped, link):
        began = time.monotonic()
        while time.monotonic() < began + ATTACK_SECONDS or (not min(seen.values()) and time.monotonic() < began + 60):
            try:
                content = disk.read_bytes(place(inbox, "sub/a.jpg"), 100)
            except (FolderFault, FileNotFoundError):
                content = b""
            seen[content] += 1  # KeyError: the secret
            with contextlib.suppress(FolderFault, FileNotFoundError):
                disk.write_atomically(place(inbox, "sub/new"), b"ours")
    assert min(seen.values()) > 0  # the attack did meet us
    assert os.listdir(outside) == ["a.jpg"]
    assert left_open(tmp_path) == []


def test_a_scan_gives_links_and_pipes_but_does_not_follow_them(tmp_path: Path) -> None:
    (tmp_path / "inbox/sub").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.jpg").touch()
    (tmp_path / "inbox/sub/a.jpg").write_bytes(b"picture")
    (tmp_path / "inbox/link").symlink_to("../outside")
    os.mkfifo(tmp_path / "inbox/pipe")
    found = {entry.name: entry.is_regular for entry in disk.scan(str(tmp_path / "inbox"))}
    assert found == {"sub/a.jpg": True, "link": False, "pipe": False}


# --- what is no plain file


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def a_link(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def a_dangling_link(path: Path) -> None:
    path.symlink_to("nothing")


def a_folder(path: Path) -> None:
    path.mkdir()


def a_device(path: Path) -> None:
    try:
        os.mknod(path, 0o20666, os.makedev(1, 5))  # /dev/zero: to read it is to read for ever
    except PermissionError:
        pytest.skip("only root makes devices")


@pytest.mark.parametrize("make", [a_fifo, a_socket, a_link, a_dangling_link, a_folder, a_device])
def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "a.jpg")
    with pytest.raises(NotRegular):
        disk.open_regular(place(tmp_path, "a.jpg"))
    assert left_open(tmp_path) == []


def test_what_is_missing_is_an_answer_but_a_missing_root_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        disk.open_regular(place(tmp_path, "a.jpg"))
    assert disk.stat_of(place(tmp_path, "no/such/a.jpg")) is None
    for ask in (disk.open_regular, disk.stat_of):
        with pytest.raises(FolderFault) as caught:
            ask(place(tmp_path / "gone", "a.jpg"))
        assert caught.value.code == "ENOENT"
    for question in (disk.room_in, disk.name_limit):
        with pytest.raises(FolderFault):
            question(str(tmp_path / "gone"))


def test_a_file_too_long_to_be_ours_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert disk.read_bytes(place(tmp_path, "a"), 5) == b"12345"
    with pytest.raises(FolderFault):
        disk.read_bytes(place(tmp_path, "a"), 4)


# --- who else is at it


def test_a_file_on_which_another_process_holds_a_lease_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"picture")
    with leased(tmp_path / "a.jpg"):
        for read in (disk.open_regular, disk.hash_of, lambda each: disk.read_bytes(each, 100)):
            with pytest.raises(Held, match="another program holds it") as caught:
                read(place(tmp_path, "a.jpg"))
            assert caught.value.code == "EAGAIN"


@pytest.mark.usefixtures("leases")
def test_a_writer_in_another_process_is_seen_until_it_closes(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"picture")
    descriptor = disk.open_regular(place(tmp_path, "a.jpg"))
    with being_written(tmp_path / "a.jpg"):
        assert disk.has_writer(descriptor) is True
    assert disk.has_writer(descriptor) is False
    os.close(descriptor)


@pytest.mark.usefixtures("leases")
def test_a_lease_is_given_back_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"picture")
    descriptor = disk.open_regular(place(tmp_path, "a.jpg"))
    assert disk.has_writer(descriptor) is False
    assert fcntl.fcntl(descriptor, fcntl.F_GETLEASE) == fcntl.F_UNLCK
    os.close(descriptor)


def test_without_a_hand_on_the_signal_nobody_is_asked(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    descriptor = disk.open_regular(place(tmp_path, "a.jpg"))
    assert signal.getsignal(signal.SIGIO) is signal.SIG_DFL
    assert disk.has_writer(descriptor) is None
    os.close(descriptor)


# --- scanning


@pytest.mark.parametrize("name", ["ä" * 127, "caf\udce9.jpg", "two\nlines.jpg", "\U0001f389.jpg", "-n"])
def test_a_scan_gives_names_as_they_are(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / name).write_bytes(b"12345")
    [entry] = disk.scan(str(tmp_path))
    assert entry == Entry(f"sub/{name}", 5, (tmp_path / "sub" / name).stat().st_mtime_ns, is_regular=True)


def test_a_scan_leaves_out_what_it_is_told_to(tmp_path: Path) -> None:
    for folder in ("keep", "@eaDir", "keep/@eaDir"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jpg").touch()
    found = disk.scan(str(tmp_path), skip_folder=lambda base: base.startswith("@"))
    assert [entry.name for entry in found] == ["keep/a.jpg"]
    assert list(disk.scan(str(tmp_path), recursive=False)) == []


def test_one_folder_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    """Asked in a process without root's rights."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open/a.jpg").touch()
    (tmp_path / "shut").mkdir(mode=0)
    script = """
import os, sys
from watchfolder import disk
os.chdir(sys.argv[1])  # the folders above are for us alone
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)
told = []
found = disk.scan(".", on_fault=lambda folder, fault: told.append((folder, fault.code)))
print([entry.name for entry in found], told)
"""
    tmp_path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False, timeout=WAIT_SECONDS
    )
    (tmp_path / "shut").chmod(0o700)
    assert done.stdout.strip() == "['open/a.jpg'] [('shut', 'EACCES')]", done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_becomes_another_user_while_a_share_hangs_keeps_nothing_of_root() -> None:
    script = """
import re, subprocess, threading
from pathlib import Path
from watchfolder import disk

def who(read=Path("/proc/thread-self/status").read_text):
    print(*re.findall("^(?:Uid|Gid|Groups|CapPrm|CapEff):(.*)", read(), re.MULTILINE), flush=True)

threading.Thread(target=threading.Event().wait, daemon=True).start()  # asks a share that hangs
disk.act_as(4294900000, 65533, [12, 7])
who()
later = threading.Thread(target=who)
later.start()
later.join()
who(lambda: subprocess.check_output(["cat", "/proc/self/status"], text=True))
try:
    disk.act_as(0, 0, [])
except PermissionError:
    print("for good", flush=True)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=WAIT_SECONDS)
    told = [line.split() for line in done.stdout.splitlines()]
    other = [*4 * ["4294900000"], *4 * ["65533"], "7", "12", *2 * ["0" * 16]]
    assert told == [other, other, other, ["for", "good"]], done.stderr


def test_what_has_just_been_taken_away_or_exchanged_is_in_use(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    assert [disk.may_be_open(place(tmp_path, name)) for name in ("a.jpg", "gone.jpg", "link.jpg")] == [
        False,
        True,
        True,
    ]


def test_folders_are_named_without_links(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "c").symlink_to("a")
    (tmp_path / "d").touch()
    assert disk.folders_in(str(tmp_path)) == ["a", "b"]
    assert disk.folders_in(str(tmp_path), "never") == []


# --- empty folders


def test_empty_folders_go_up_to_the_first_that_is_not(tmp_path: Path) -> None:
    (tmp_path / "keep/a/b").mkdir(parents=True)
    (tmp_path / "keep/note").touch()
    disk.remove_empty_folders(str(tmp_path), "keep/a/b")
    assert os.listdir(tmp_path / "keep") == ["note"]


def test_the_root_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "root/a").mkdir(parents=True)
    disk.remove_empty_folders(str(tmp_path / "root"), "a")
    assert os.listdir(tmp_path / "root") == []


def test_a_folder_that_is_gone_already_does_not_keep_those_above_it(tmp_path: Path) -> None:
    (tmp_path / "root/a").mkdir(parents=True)
    disk.remove_empty_folders(str(tmp_path / "root"), "a/b")
    assert os.listdir(tmp_path / "root") == []


def test_an_emptied_mount_point_stays_and_is_no_fault(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "a/mount") as mount:
        disk.remove_empty_folders(str(tmp_path), "a/mount")
        assert mount.is_dir()


# --- limits


def test_room_is_counted_for_us(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", size="64k") as small:
        assert disk.room_in(str(small)).free == 65536
        (small / "a").write_bytes(b"x" * 4096)
        assert disk.room_in(str(small)).free == 61440


def test_a_file_system_that_keeps_no_count_has_room(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "endless", size="0") as endless:
        assert disk.room_in(str(endless)).free > 1 << 60


def test_rights_are_named_for_people(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch(mode=0o640)
    (tmp_path / "a.jpg").chmod(0o640)
    assert disk.rights_of(place(tmp_path, "a.jpg")).endswith("mode 0640")
    assert disk.rights_of(place(tmp_path, "b.jpg")) == "it is gone"
    if os.geteuid() == 0:
        os.chown(tmp_path / "a.jpg", 54321, 54322)
        assert disk.rights_of(place(tmp_path, "a.jpg")) == "owner 54321, group 54322, mode 0640"


# --- many files in a row


def opened_folders() -> int:
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor that listed them
            count += stat.S_ISDIR(os.fstat(int(name)).st_mode)
    return count


def test_a_few_folders_are_kept_open_while_the_block_lasts(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "a").write_bytes(b"%d" % number)
    before = opened_folders()
    with disk.folders_kept_open():
        for turn in range(3):
            for number in range(100):
                place = Place(str(tmp_path), f"{number}/a")
                assert disk.read_bytes(place, 10) == b"%d" % number, turn
        assert 0 < opened_folders() - before <= 40
    assert opened_folders() == before


def test_a_folder_that_is_kept_open_is_the_one_that_was_reached_without_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.jpg").write_bytes(b"secret")
    (tmp_path / "root/sub").mkdir(parents=True)
    (tmp_path / "root/sub/a.jpg").write_bytes(b"ours")
    root = str(tmp_path / "root")
    with disk.folders_kept_open():
        assert disk.stat_of(Place(root, "sub/a.jpg")) is not None
        (tmp_path / "root/sub").rename(tmp_path / "root/away")
        (tmp_path / "root/sub").symlink_to(tmp_path / "outside")
        assert disk.stat_of(Place(root, "sub/secret.jpg")) is None
        assert disk.read_bytes(Place(root, "sub/a.jpg"), 10) == b"ours"
    with pytest.raises(disk.NotAFolder):
        disk.stat_of(Place(root, "sub/secret.jpg"))


def test_other_threads_keep_their_own_folders(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    with disk.folders_kept_open():
        assert disk.read_bytes(Place(str(tmp_path), "a"), 10) == b"1"
        within = opened_folders()
        thread = threading.Thread(target=disk.read_bytes, args=(Place(str(tmp_path), "a"), 10))
        thread.start()
        thread.join()
        assert opened_folders() == within


def test_a_plain_file_that_is_known_costs_no_look(tmp_path: Path) -> None:
    for name in ("known.jpg", "new.jpg"):
        (tmp_path / name).write_bytes(b"12345")
    (tmp_path / "link.jpg").symlink_to("known.jpg")
    known = {"known.jpg", "link.jpg"}
    found = {entry.name: entry for entry in disk.scan(str(tmp_path), is_known=known.__contains__)}
    assert found["known.jpg"] == Entry("known.jpg", -1, -1, is_regular=True)
    assert found["new.jpg"].size == 5
    assert not found["link.jpg"].is_regular  # however well known


def test_a_share_that_says_try_again_is_a_folder_fault_and_no_answer() -> None:
    with pytest.raises(FolderFault) as caught, disk.translated("/mnt/nas/inbox"):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")  # seen at SMB: a withdrawn share
    assert caught.value.code == "EAGAIN"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_an_empty_folder_of_ours_is_given_to_another_user_and_a_used_one_is_not(tmp_path: Path) -> None:
    used, empty = tmp_path / "used", tmp_path / "empty"
    for folder in (used, empty):
        folder.mkdir(mode=0o755)
    (used / "somebody's").touch()
    assert not disk.give_empty_folder(str(used), 1234, 1234, is_private=True)
    assert disk.give_empty_folder(str(empty), 1234, 1234, is_private=True)
    assert not disk.give_empty_folder(str(empty), 1234, 1234, is_private=True)
    there = empty.stat()
    assert (there.st_uid, there.st_gid, stat.S_IMODE(there.st_mode)) == (1234, 1234, 0o750)
    assert used.stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_of_a_folder_that_is_given_away_only_what_is_its_own_goes_along(tmp_path: Path) -> None:
    given, outside = tmp_path / "given", tmp_path / "outside"
    (given / "sub").mkdir(parents=True)
    (given / "sub/config.yaml").touch()
    outside.touch()
    (given / "link").symlink_to(outside)
    (given / "second name").hardlink_to(outside)
    with tmpfs(given / "disk") as other:
        (other / "photo").touch()
        disk.give_all(str(given), 1234, 1234)
        owners = {path.name for path in (given, *given.rglob("*")) if path.lstat().st_uid == 1234}
    assert owners == {"given", "sub", "config.yaml"}
    assert outside.stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files of others at hand")
def test_only_a_file_of_ours_is_closed_to_others_and_no_link_is_followed(tmp_path: Path) -> None:
    ours, others, link = (tmp_path / name for name in ("ours", "others", "link"))
    for path in (ours, others):
        path.touch(0o644)
    os.chown(others, 1234, 1234)
    link.symlink_to(ours)
    for name in ("others", "nothing"):
        disk.keep_secret(Place(str(tmp_path), name))
    with pytest.raises(FolderFault):
        disk.keep_secret(Place(str(tmp_path), "link"))
    assert [stat.S_IMODE(path.stat().st_mode) for path in (ours, others)] == [0o644, 0o644]
    disk.keep_secret(Place(str(tmp_path), "ours"))
    assert stat.S_IMODE(ours.stat().st_mode) == 0o600


def test_what_people_make_in_a_folder_is_for_its_group_where_that_can_be_said(tmp_path: Path) -> None:
    assert disk.may_write_in_new_folders(str(tmp_path)) is False
    assert disk.let_group_write(str(tmp_path))
    tmp_path.chmod(0o2775)
    assert disk.may_write_in_new_folders(str(tmp_path)) is True
    with mounted(tmp_path / "plain", "-t", "ramfs", "none") as plain:
        assert not disk.let_group_write(str(plain))
        assert disk.may_write_in_new_folders(str(plain)) is None
