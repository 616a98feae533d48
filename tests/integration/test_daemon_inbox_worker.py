"""An inbox's own thread: long work on a slow share is told from a share that hangs."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_systems import on_a_poor_file_system
from shop import PICTURE, Shop, opened, told

from watchfolder import disk
from watchfolder.daemon.inbox_worker import InboxWorker
from watchfolder.disk import Place

LATER = 100.0  # seconds


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with opened(Shop(tmp_path)) as made:
        yield made


def test_a_long_beat_is_silent_only_while_a_call_does_not_come_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_answer, has_answered = threading.Semaphore(0), threading.Semaphore(0)

    def long_beat(now: float) -> float:
        for _ in range(3):
            assert may_answer.acquire(timeout=30)
            disk.stat_of(Place(shop.intake.inbox.path, "a.jpg"))
            has_answered.release()
        return now + 3600.0

    monkeypatch.setattr(shop.intake, "beat", long_beat)
    worker = InboxWorker(shop.intake, lambda: None)
    worker.start()
    try:
        then = time.monotonic() + LATER
        silent = []
        for _ in range(2):
            may_answer.release()
            assert has_answered.acquire(timeout=30)
            silent.append(worker.health.silent_seconds(then))
        assert 0 < silent[1] < silent[0]  # the same beat, but it goes on
        assert worker.health.silent_seconds(then + LATER) == pytest.approx(silent[1] + LATER)  # and now it hangs
    finally:
        worker.stop()
        may_answer.release(3)
    assert worker.wait_for_end(time.monotonic() + 30)
    assert worker.health.silent_seconds(then) == 0.0


def test_a_beat_that_broke_is_told_and_followed_by_another(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("watchfolder.daemon.inbox_worker._AFTER_A_BREAK_SECONDS", 0.0)
    beat, goes_on = shop.intake.beat, threading.Event()

    def go_on(now: float) -> float:
        goes_on.set()
        return beat(now)

    def break_once(_now: float) -> float:
        monkeypatch.setattr(shop.intake, "beat", go_on)
        raise RuntimeError

    monkeypatch.setattr(shop.intake, "beat", break_once)
    worker = InboxWorker(shop.intake, lambda: None)
    worker.start()
    try:
        assert goes_on.wait(30)
    finally:
        worker.stop()
        assert worker.wait_for_end(time.monotonic() + 30)
    assert told(caplog, "inbox.beat_broke") == [{"inbox": "photos"}]


@pytest.mark.parametrize("lacks", ["inotify", "a watch"])
def test_where_nothing_may_be_watched_the_timed_scan_finds_the_pictures(tmp_path: Path, lacks: str) -> None:
    code = """
import sys, time
from pathlib import Path
from shop import Shop
from watchfolder.daemon.inbox_worker import InboxWorker
shop = Shop(Path(sys.argv[1]), watch="events")
shop.drop("a.jpg")
worker = InboxWorker(shop.intake, lambda: None)
worker.start()
deadline = time.monotonic() + 20
while not shop.orders() and time.monotonic() < deadline:
    time.sleep(0.01)
worker.stop()
assert worker.wait_for_end(time.monotonic() + 20)
print(len(shop.orders()), worker.watcher.kind)
"""
    assert on_a_poor_file_system(code, tmp_path, lacks=lacks) == "1 polling"


def test_each_entry_of_a_listing_and_each_block_of_a_file_is_an_answer(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}.jpg").write_bytes(PICTURE)
    (tmp_path / "large.tif").write_bytes(bytes(5 << 20))
    answers: list[float] = []
    with disk.tell_answer(lambda: answers.append(time.monotonic())):
        assert len(list(disk.scan(str(tmp_path)))) == 51
        of_the_listing = len(answers)
        disk.hash_of(Place(str(tmp_path), "large.tif"))
    assert of_the_listing >= 51
    assert len(answers) - of_the_listing >= 5
    list(disk.scan(str(tmp_path)))
    assert len(answers) - of_the_listing < 51  # it hears no more


def test_work_on_the_entries_of_a_large_folder_is_no_silence(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.jpg").touch()
    answers: list[str] = []
    with disk.tell_answer(lambda: answers.append("")):
        heard = [len(answers) for _ in disk.scan(str(tmp_path))]
    assert heard == sorted(set(heard))  # between any two of them
