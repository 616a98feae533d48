"""Transfers side by side, with real threads."""

import threading
import time
from contextlib import closing

import pytest

from watchfolder.pipeline.lanes import Lanes
from watchfolder.pipeline.side_by_side import side_by_side


def hold(lanes: Lanes, inbox: str, name: str, log: list[str]) -> tuple[threading.Thread, threading.Event]:
    """Start a transfer that ends when it is told to; return once it waits for its lane or has one."""
    end = threading.Event()

    def run() -> None:
        with lanes.one(inbox):
            log.append(name)
            end.wait(10)

    thread = threading.Thread(target=run, daemon=True)
    before = len(lanes._waiting) + len(lanes._taken)
    thread.start()
    deadline = time.monotonic() + 5
    while len(lanes._waiting) + len(lanes._taken) == before and time.monotonic() < deadline:
        time.sleep(0.001)
    return thread, end


def until(log: list[str], *names: str) -> None:
    deadline = time.monotonic() + 5
    while log != list(names) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert log == list(names)


def test_so_many_at_once_and_the_others_in_the_order_of_asking() -> None:
    lanes, log = Lanes(2), list[str]()
    held = [hold(lanes, "photos", name, log) for name in "abcd"]
    until(log, "a", "b")
    held[1][1].set()
    until(log, "a", "b", "c")
    held[0][1].set()
    until(log, "a", "b", "c", "d")
    for thread, end in held:
        end.set()
        thread.join(5)


def test_it_is_seen_when_all_are_taken() -> None:
    lanes, log = Lanes(2), list[str]()
    first = hold(lanes, "photos", "a", log)
    assert not lanes.have_been_full(0.0)
    second = hold(lanes, "photos", "b", log)
    until(log, "a", "b")
    assert lanes.have_been_full(time.monotonic())  # for as long as they are
    for thread, end in (first, second):
        end.set()
        thread.join(5)
    ended = time.monotonic()
    assert lanes.have_been_full(ended - 5)
    assert not lanes.have_been_full(ended)


def test_a_share_that_hangs_does_not_keep_the_lanes() -> None:
    lanes, log = Lanes(1), list[str]()
    hung = hold(lanes, "dead", "hung", log)
    other = hold(lanes, "photos", "other", log)
    until(log, "hung")
    lanes.set_silent("dead", is_silent=True)
    until(log, "hung", "other")
    third = hold(lanes, "photos", "third", log)
    hung[1].set()  # it comes back after all: that frees no lane a second time
    hung[0].join(5)
    time.sleep(0.05)
    assert log == ["hung", "other"]
    other[1].set()
    until(log, "hung", "other", "third")
    third[1].set()
    third[0].join(5)


def test_outcomes_are_given_as_they_arrive_and_exceptions_are_outcomes() -> None:
    last = threading.Event()

    def work(index: int) -> int:
        if index == 2:
            raise ValueError("two")
        if index == 3:
            assert last.wait(10)
        return index * 10

    seen: dict[int, int | Exception] = {}
    with closing(side_by_side(work, range(4), most=2)) as arrivals:
        for group in arrivals:
            seen.update(group)
            if len(seen) == 3:
                assert 3 not in seen
                last.set()
    assert isinstance(seen.pop(2), ValueError)
    assert seen == {0: 0, 1: 10, 3: 30}


def test_what_arrives_waits_for_others_on_their_way_and_the_last_for_none() -> None:
    began = time.monotonic()
    with closing(side_by_side(lambda index: time.sleep(index / 50), range(10), most=10, gather_seconds=30)) as arrivals:
        assert [len(group) for group in arrivals] == [10]
    assert time.monotonic() - began < 15


def test_what_has_arrived_waits_no_longer_than_that() -> None:
    last = threading.Event()
    with closing(
        side_by_side(lambda index: index and last.wait(10), range(2), most=2, gather_seconds=0.01)
    ) as arrivals:
        assert next(arrivals) == [(0, 0)]
        last.set()
        assert next(arrivals) == [(1, True)]


@pytest.mark.parametrize("count", [0, 1])
def test_none_and_one_need_no_threads(count: int) -> None:
    before = threading.active_count()
    threads = []

    def work(index: int) -> int:
        threads.append(threading.active_count())
        return index

    assert [each for group in side_by_side(work, range(count), most=4) for each in group] == [(0, 0)][:count]
    assert all(number <= before for number in threads)


def test_once_closed_nothing_is_begun_and_what_was_under_way_is_dropped() -> None:
    begun, dropped, go_on = list[int](), list[int](), threading.Event()

    def work(index: int) -> int:
        begun.append(index)
        if index:
            assert go_on.wait(10)
        return index

    with closing(side_by_side(work, range(50), most=2, drop=dropped.append)) as arrivals:
        assert next(arrivals) == [(0, 0)]
        while len(begun) < 3:
            time.sleep(0.001)
        threading.Timer(1.0, go_on.set).start()
    assert begun == [0, 1, 2]
    assert sorted(dropped) == [1, 2]


def test_after_enough_failures_only_what_is_under_way_still_arrives() -> None:
    begun, dropped, enough, go_on = list[int](), list[int](), threading.Event(), threading.Event()

    def work(index: int) -> int:
        begun.append(index)
        if index:
            assert go_on.wait(10)
        return index

    with closing(side_by_side(work, range(50), most=2, enough=enough, drop=dropped.append)) as arrivals:
        assert next(arrivals) == [(0, 0)]
        while len(begun) < 3:
            time.sleep(0.001)
        enough.set()
        go_on.set()
        late = sorted(each for group in arrivals for each in group)
    assert begun == [0, 1, 2]
    assert late == [(1, 1), (2, 2)]
    assert dropped == []
