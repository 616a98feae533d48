"""The watcher on a real disk, with the real kernel: what is told, what is not, and what happens at the limits."""

import fcntl
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from watchfolder.watcher import Mode, Watcher, are_events_told

WAIT_SECONDS = 10.0
Told = str | None


class Ears:
    """Hears what a watcher tells."""

    def __init__(self, inbox: Path) -> None:
        self.inbox = inbox
        self.told: queue.Queue[Told] = queue.Queue()

    def until(self, expected: Told) -> list[Told]:
        """Return what was told before `expected`."""
        before: list[Told] = []
        while (changed := self.told.get(timeout=WAIT_SECONDS)) != expected:
            before.append(changed)
        return before

    def since(self, action: Callable[[], object]) -> set[Told]:
        """Return what `action` makes the watcher tell: events come in order, so a mark ends it without waiting."""
        action()
        mark = f"mark-{time.monotonic_ns()}"
        (self.inbox / mark).touch()
        return {changed for changed in self.until(mark) if not (changed or "").startswith("mark-")}


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def ears(inbox: Path) -> Ears:
    return Ears(inbox)


Start = Callable[..., Watcher]


@pytest.fixture
def start(inbox: Path, ears: Ears) -> Iterator[Start]:
    started: list[Watcher] = []

    def start_(
        *, mode: Mode = "events", recursive: bool = True, on_change: Callable[[Told], None] = ears.told.put
    ) -> Watcher:
        watcher = Watcher(
            str(inbox),
            mode=mode,
            is_left_out=lambda name: not recursive or name.startswith((".", "@")),
            on_change=on_change,
        )
        started.append(watcher)
        watcher.start()
        return watcher

    yield start_
    for watcher in started:
        watcher.stop()


@pytest.fixture
def sub(inbox: Path) -> Path:
    folder = inbox / "a" / "b"
    folder.mkdir(parents=True)
    return folder


# What is told


def test_a_file_that_is_written_is_told(start: Start, ears: Ears, inbox: Path) -> None:
    start()
    assert ears.since(lambda: (inbox / "photo.jpg").write_bytes(b"x")) == {"photo.jpg"}


def test_creating_writing_and_closing_are_each_told(start: Start, ears: Ears, inbox: Path) -> None:
    start()
    opened: list[int] = []
    assert ears.since(lambda: opened.append(os.open(inbox / "photo.jpg", os.O_CREAT | os.O_WRONLY))) == {"photo.jpg"}
    assert ears.since(lambda: os.write(opened[0], b"x")) == {"photo.jpg"}
    assert ears.since(lambda: os.close(opened[0])) == {"photo.jpg"}


def test_a_file_renamed_into_the_inbox_is_told(start: Start, ears: Ears, inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "p.jpg").touch()
    start()
    assert ears.since(lambda: os.rename(tmp_path / "p.jpg", inbox / "photo.jpg")) == {"photo.jpg"}


def test_a_file_renamed_within_the_inbox_is_told_by_its_new_name(start: Start, ears: Ears, inbox: Path) -> None:
    (inbox / "photo.jpg.part").touch()
    start()
    assert ears.since(lambda: os.rename(inbox / "photo.jpg.part", inbox / "photo.jpg")) == {"photo.jpg"}


def test_a_hard_link_is_told(start: Start, ears: Ears, inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "p.jpg").touch()
    start()
    assert ears.since(lambda: os.link(tmp_path / "p.jpg", inbox / "photo.jpg")) == {"photo.jpg"}


def test_a_file_in_a_sub_folder_is_told_with_its_folder(start: Start, ears: Ears, sub: Path) -> None:
    start()
    assert ears.since((sub / "photo.jpg").touch) == {"a/b/photo.jpg"}


def test_names_are_told_as_the_file_system_has_them(start: Start, ears: Ears, inbox: Path) -> None:
    start()
    for name in (b"caf\xe9.jpg", b"new\nline.jpg", "사진 🙂.jpg".encode()):
        assert ears.since((inbox / os.fsdecode(name)).touch) == {os.fsdecode(name)}


# Folders that come and go


def test_a_new_folder_is_told_and_watched(start: Start, ears: Ears, inbox: Path) -> None:
    start()
    assert ears.since((inbox / "new").mkdir) == {"new"}
    assert ears.since((inbox / "new" / "photo.jpg").touch) == {"new/photo.jpg"}


def test_a_folder_moved_in_is_told_and_watched_to_its_depth(
    start: Start, ears: Ears, inbox: Path, tmp_path: Path
) -> None:
    (tmp_path / "shoot" / "day 1").mkdir(parents=True)
    start()
    assert ears.since(lambda: os.rename(tmp_path / "shoot", inbox / "shoot")) == {"shoot"}
    assert ears.since((inbox / "shoot" / "day 1" / "photo.jpg").touch) == {"shoot/day 1/photo.jpg"}


def test_in_a_folder_that_was_renamed_files_are_told_under_its_new_name(
    start: Start, ears: Ears, inbox: Path, sub: Path
) -> None:
    start()
    assert sub.is_dir()
    assert ears.since(lambda: os.rename(inbox / "a", inbox / "z")) == {"z"}
    assert ears.since((inbox / "z" / "b" / "photo.jpg").touch) == {"z/b/photo.jpg"}


def test_a_folder_that_left_is_no_longer_watched(
    start: Start, ears: Ears, inbox: Path, sub: Path, tmp_path: Path
) -> None:
    start()
    assert sub.is_dir()
    os.rename(inbox / "a", tmp_path / "a")
    assert ears.since((tmp_path / "a" / "b" / "photo.jpg").touch) == set()


def test_a_folder_that_was_removed_and_made_again_is_watched(start: Start, ears: Ears, inbox: Path) -> None:
    start()
    for _ in range(3):
        (inbox / "again").mkdir()
        ears.until("again")
        assert ears.since((inbox / "again" / "photo.jpg").touch) == {"again/photo.jpg"}
        shutil.rmtree(inbox / "again")


def test_nothing_is_missed_in_a_tree_that_grows_while_it_is_being_watched(
    start: Start, ears: Ears, inbox: Path
) -> None:
    start()
    for number in range(200):
        (inbox / f"d{number}" / "e" / "f").mkdir(parents=True)
    late = [inbox / f"d{number}" / "e" / "f" / "late.jpg" for number in range(200)]
    assert ears.since(lambda: None) >= {f"d{number}" for number in range(200)}
    for file in late:
        file.touch()
    assert ears.since(lambda: None) == {f"d{number}/e/f/late.jpg" for number in range(200)}


def test_sub_folders_are_left_out_unless_recursive(start: Start, ears: Ears, inbox: Path, sub: Path) -> None:
    start(recursive=False)
    assert ears.since((sub / "photo.jpg").touch) == set()
    assert ears.since((inbox / "new").mkdir) == set()
    assert ears.since((inbox / "photo.jpg").touch) == {"photo.jpg"}


def test_a_link_to_a_folder_is_not_followed(start: Start, ears: Ears, inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (inbox / "door").symlink_to(tmp_path / "outside")
    start()
    assert ears.since((tmp_path / "outside" / "photo.jpg").touch) == set()


def test_an_inbox_may_itself_be_reached_by_a_link(tmp_path: Path, inbox: Path, ears: Ears) -> None:
    (tmp_path / "door").symlink_to(inbox)
    watcher = Watcher(str(tmp_path / "door"), mode="auto", is_left_out=lambda _: False, on_change=ears.told.put)
    watcher.start()
    assert ears.since((inbox / "photo.jpg").touch) == {"photo.jpg"}
    watcher.stop()


# What is not told


def look_for_writers(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    os.close(descriptor)


def test_attributes_looks_and_removals_are_silent(start: Start, ears: Ears, inbox: Path) -> None:
    photo = inbox / "photo.jpg"
    photo.write_bytes(b"x")
    start()
    assert ears.since(lambda: photo.chmod(0o600)) == set()
    assert ears.since(lambda: os.utime(photo, (1, 1))) == set()
    assert ears.since(photo.read_bytes) == set()
    assert ears.since(lambda: look_for_writers(photo)) == set()
    assert ears.since(lambda: os.listdir(inbox)) == set()
    assert ears.since(photo.unlink) == set()


def test_a_claim_is_silent(start: Start, ears: Ears, inbox: Path) -> None:
    (inbox / ".watchfolder").mkdir()
    (inbox / "photo.jpg").touch()
    start()
    assert ears.since(lambda: os.rename(inbox / "photo.jpg", inbox / ".watchfolder" / "photo.jpg")) == set()


def test_what_happens_in_an_ignored_folder_is_silent_however_it_came(
    start: Start, ears: Ears, inbox: Path, sub: Path
) -> None:
    old = sub / "@eaDir"
    (old / "x").mkdir(parents=True)
    start()
    assert ears.since((old / "x" / "photo.jpg").touch) == set()
    assert ears.since(lambda: (inbox / ".watchfolder" / "key").mkdir(parents=True)) == set()
    assert ears.since((inbox / ".watchfolder" / "key" / "photo.jpg").touch) == set()
    ears.since((inbox / "new").mkdir)
    os.rename(inbox / "new", inbox / "@new")
    assert ears.since((inbox / "@new" / "photo.jpg").touch) == set()


def watches_of_this_process() -> int:
    count = 0
    for descriptor in os.listdir("/proc/self/fdinfo"):
        try:
            count += Path("/proc/self/fdinfo", descriptor).read_text(encoding="ascii").count("inotify wd:")
        except FileNotFoundError:  # the listing's own
            continue
    return count


def test_ignored_folders_cost_no_watch_and_files_cost_none(start: Start, inbox: Path, sub: Path) -> None:
    for number in range(50):
        (sub / "@eaDir" / str(number)).mkdir(parents=True)
        (sub / f"{number}.jpg").touch()
    (inbox / ".watchfolder" / "instance").mkdir(parents=True)
    before = watches_of_this_process()
    watcher = start()
    assert watches_of_this_process() - before == len(["inbox", "a", "b"])
    watcher.stop()
    assert watches_of_this_process() == before


def test_polling_has_neither_thread_nor_watch(start: Start, ears: Ears, inbox: Path) -> None:
    threads, watches = threading.active_count(), watches_of_this_process()
    watcher = start(mode="polling")
    assert (watcher.kind, watcher.reason) == ("polling", "as configured")
    assert threading.active_count() <= threads
    assert watches_of_this_process() == watches
    (inbox / "photo.jpg").touch()
    assert ears.told.empty()


# When the kernel cannot keep up


def test_an_overflow_of_the_queue_means_look_everywhere(start: Start, ears: Ears, inbox: Path) -> None:
    (inbox / "first").touch()
    released = threading.Event()

    def on_change(changed: Told) -> None:
        released.wait(WAIT_SECONDS)
        ears.told.put(changed)

    start(on_change=on_change)
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text(encoding="ascii"))
    descriptors = [os.open(inbox / name, os.O_WRONLY | os.O_CREAT) for name in ("one", "two")]
    for number in range(limit + 5000):  # two files in turn: equal events in a row would become one
        os.pwrite(descriptors[number % 2], b"x", 0)
    (inbox / "unseen" / "deep").mkdir(parents=True)
    released.set()
    ears.until(None)
    assert ears.since((inbox / "unseen" / "deep" / "photo.jpg").touch) >= {"unseen/deep/photo.jpg"}
    for descriptor in descriptors:
        os.close(descriptor)


OUTER = """
import os, queue, subprocess, sys, threading
from watchfolder.watcher import Watcher
told = queue.Queue()
inbox = sys.argv[1]
watcher = Watcher(inbox, mode="auto", is_left_out=lambda _: False, on_change=told.put)
watcher.start()
"""
REMAINS = "watcher.stop(); print(threading.active_count(), 'thread', len(os.listdir('/proc/self/fd')), 'descriptors')"
NOTHING = "1 thread 4 descriptors"  # the main one; in, out, error and the listing's own


def in_a_namespace(setup: str, code: str, inbox: Path) -> tuple[list[str], list[str]]:
    """Run `code` with limits and mounts of its own; return the lines that it prints and the events that it logs."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f'{setup} && exec "$0" -c "$@"']
    done = subprocess.run(
        [*command, sys.executable, OUTER + code, str(inbox)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if any(word in done.stderr.lower() for word in ("unshare:", "denied", "not permitted")):
        pytest.skip("this machine gives no user namespaces")
    return done.stdout.splitlines(), done.stderr.splitlines()


def test_without_enough_watches_it_polls_and_says_so_once(inbox: Path, sub: Path) -> None:
    assert sub.is_dir()
    code = "print(watcher.kind); print(watcher.reason)\n" + REMAINS
    said, logged = in_a_namespace("echo 2 > /proc/sys/user/max_inotify_watches", code, inbox)
    remedy = "no more inotify watches: raise them with sysctl fs.inotify.max_user_watches=1048576"
    assert said == ["polling", remedy, NOTHING]
    assert logged == ["watch.limited"]


def test_without_an_instance_it_polls_and_says_so_once(inbox: Path) -> None:
    code = "print(watcher.kind); print(watcher.reason)\n" + REMAINS
    said, logged = in_a_namespace("echo 0 > /proc/sys/user/max_inotify_instances", code, inbox)
    remedy = "no more inotify instances: raise them with sysctl fs.inotify.max_user_instances=1024"
    assert said == ["polling", remedy, NOTHING]
    assert logged == ["watch.limited"]


def test_when_watches_run_out_later_it_looks_everywhere_and_polls_from_then_on(inbox: Path) -> None:
    code = f"""
print(watcher.kind)
for name in "abcdef": os.mkdir(os.path.join(inbox, name))
while told.get(timeout=10) is not None: pass
print(watcher.kind)
{REMAINS}
"""
    said, logged = in_a_namespace("echo 3 > /proc/sys/user/max_inotify_watches", code, inbox)
    assert said == ["events", "polling", NOTHING]
    assert logged == ["watch.limited"]


def test_an_unmounted_inbox_is_told_once_and_leaves_nothing(inbox: Path) -> None:
    code = f"""
subprocess.run(["umount", inbox], check=True)
print(told.get(timeout=10), told.qsize(), watcher.reason)
{REMAINS}
"""
    said, logged = in_a_namespace(f"mount -t tmpfs none {inbox}", code, inbox)
    assert said == ["None 0 the folder is gone", NOTHING]
    assert logged == ["watch.ended"]


def test_a_folder_that_is_there_under_two_names_is_told_once(inbox: Path) -> None:
    (inbox / "a").mkdir()
    (inbox / "b").mkdir()
    code = f"""
os.mkfifo(os.path.join(inbox, "a", "fifo"))
os.mkfifo(os.path.join(inbox, "mark"))
print(os.path.basename(told.get(timeout=10)), told.get(timeout=10))
{REMAINS}
"""
    said, _ = in_a_namespace(f"mount --bind {inbox}/a {inbox}/b", code, inbox)
    assert said == ["fifo mark", NOTHING]


# The inbox goes, the watcher goes


@pytest.mark.parametrize("way", ["removed", "moved"])
def test_a_lost_inbox_is_told_once_and_can_be_watched_again(
    start: Start, ears: Ears, inbox: Path, tmp_path: Path, way: str
) -> None:
    (inbox / "sub").mkdir()
    others = set(threading.enumerate())
    watcher = start()
    (thread,) = set(threading.enumerate()) - others
    if way == "removed":
        shutil.rmtree(inbox)
    else:
        os.rename(inbox, tmp_path / "elsewhere")
    ears.until(None)
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()
    assert watcher.reason == "the folder is gone"
    assert ears.told.empty()
    inbox.mkdir()
    watcher.start()
    assert watcher.kind == "events"
    assert ears.since((inbox / "photo.jpg").touch) == {"photo.jpg"}


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_folder_that_is_not_there_is_left_to_the_timed_scan(start: Start, inbox: Path, kind: str) -> None:
    inbox.rmdir()
    if kind == "file":
        inbox.touch()
    descriptors = len(os.listdir("/proc/self/fd"))
    watcher = start()
    assert watcher.kind == "polling"
    assert watcher.reason.endswith("the folder is not there" if kind == "missing" else "Not a directory")
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_stopping_is_bounded_repeatable_and_leaves_nothing(start: Start, inbox: Path) -> None:
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        watcher = start()
        (inbox / "photo.jpg").touch()
        watcher.stop()
        watcher.stop()
    assert threading.active_count() <= threads
    assert len(os.listdir("/proc/self/fd")) <= descriptors


def test_stopping_does_not_wait_for_a_nudge_that_hangs(
    start: Start, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchfolder.watcher._STOP_SECONDS", 0.1)
    entered, released = threading.Event(), threading.Event()

    def on_change(_: Told) -> None:
        entered.set()
        released.wait(WAIT_SECONDS)

    watcher = start(on_change=on_change)
    (inbox / "photo.jpg").touch()
    assert entered.wait(WAIT_SECONDS)
    began = time.monotonic()
    watcher.stop()
    assert time.monotonic() - began < WAIT_SECONDS / 2
    released.set()


def test_a_nudge_may_stop_the_watcher(start: Start, inbox: Path) -> None:
    stopped = threading.Event()
    watchers: list[Watcher] = []

    def on_change(_: Told) -> None:
        watchers[0].stop()
        stopped.set()

    watchers.append(start(on_change=on_change))
    (inbox / "photo.jpg").touch()
    assert stopped.wait(WAIT_SECONDS)


def test_a_nudge_that_fails_is_logged_and_the_next_one_comes(
    start: Start, ears: Ears, inbox: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def on_change(changed: Told) -> None:
        if changed == "bad":
            raise OSError(28, "not the kernel's limit")
        ears.told.put(changed)

    watcher = start(on_change=on_change)
    (inbox / "bad").touch()
    assert ears.since((inbox / "good").touch) == {"good"}
    assert watcher.kind == "events"
    assert "watch.failed" in [record.getMessage() for record in caplog.records]


# For `check`


def test_check_can_ask_whether_events_arrive(inbox: Path) -> None:
    assert are_events_told(str(inbox), (inbox / ".probe").touch, WAIT_SECONDS)
    assert not are_events_told(str(inbox), lambda: None, 0.05)
