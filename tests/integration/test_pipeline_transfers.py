"""Transfers: so many at once over all inboxes, in turns, whose outcomes are given as they arrive."""

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, TypeVar

import pytest
from waiting import wait_until

from watchfolder.errors import Retry
from watchfolder.pipeline import TransferPool
from watchfolder.pipeline.transfers import Round

T = TypeVar("T")


class Transfers:
    """Orders whose transfers go on until they are let, under names of one letter and a number."""

    def __init__(self, size: int) -> None:
        self.silent = set[str]()
        self.pool = TransferPool(size, self.silent.__contains__)
        self.begun: list[str] = []
        self._ends: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def order(self, inbox: str, name: str, files: int = 1) -> None:
        """Have the files of one order sent; return once each of them stands in line."""

        def send(index: int) -> None:
            self.begun.append(names[index])
            assert self._ends[names[index]].wait(20)

        def run() -> None:
            for _ in self.pool.run_all(inbox, send, range(files), Round([])):
                pass

        names = [f"{name}{index}" for index in range(files)]
        self._ends |= {each: threading.Event() for each in names}
        thread = threading.Thread(target=run, daemon=True)
        before = self._known()
        thread.start()
        wait_until(lambda: self._known() >= before + files)
        self._threads.append(thread)

    def set_silent(self, inbox: str, *, is_silent: bool) -> None:
        (self.silent.add if is_silent else self.silent.discard)(inbox)
        self.pool.wake()

    def end(self, *names: str) -> None:
        for name in names:
            self._ends[name].set()

    def end_all(self) -> None:
        self.end(*self._ends)
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()

    def have_begun(self, *names: str) -> None:
        wait_until(lambda: len(self.begun) >= len(names))
        time.sleep(0.02)  # for one too many
        assert sorted(self.begun) == sorted(names)

    def _known(self) -> int:
        return len(self.begun) + sum(len(batch.waiting) for batch in self.pool._line)


def workers() -> int:
    return sum(thread.name == "transfer" for thread in threading.enumerate())


@pytest.fixture
def two() -> Iterator[Transfers]:
    transfers = Transfers(2)
    yield transfers
    transfers.end_all()
    wait_until(lambda: workers() == 0)  # nobody sits and waits for work


def test_so_many_at_once_and_the_orders_in_turns(two: Transfers) -> None:
    two.order("photos", "a", files=4)
    two.have_begun("a0", "a1")
    two.order("photos", "b")
    two.order("scans", "c", files=2)
    two.end("a0")
    two.have_begun("a0", "a1", "a2")  # it had asked first
    two.end("a1")
    two.have_begun("a0", "a1", "a2", "b0")
    two.end("a2", "b0")
    two.have_begun("a0", "a1", "a2", "b0", "c0", "a3")


def test_it_is_seen_when_all_are_busy(two: Transfers) -> None:
    two.order("photos", "a")
    two.have_begun("a0")
    assert not two.pool.is_at_limit(0.0)
    two.order("photos", "b")
    two.have_begun("a0", "b0")
    assert two.pool.is_at_limit(time.monotonic())  # for as long as they are
    two.end_all()
    ended = time.monotonic()
    assert two.pool.is_at_limit(ended - 60)
    assert not two.pool.is_at_limit(ended)


def test_workers_that_hang_on_a_silent_share_are_replaced(two: Transfers) -> None:
    two.order("dead", "d", files=9)
    two.have_begun("d0", "d1")
    two.order("photos", "a", files=3)
    two.set_silent("dead", is_silent=True)
    two.have_begun("d0", "d1", "a0", "a1")
    two.set_silent("dead", is_silent=False)  # it comes back after all: that makes no place a second time
    two.end("d0")
    two.have_begun("d0", "d1", "a0", "a1")
    two.end("d1", "a0")
    two.have_begun("d0", "d1", "a0", "a1", "d2")


def test_a_share_called_silent_goes_on_beside_the_others_when_it_answers(two: Transfers) -> None:
    two.order("slow", "s", files=3)
    two.have_begun("s0", "s1")
    two.order("photos", "a", files=3)
    two.set_silent("slow", is_silent=True)
    two.end("s0")
    two.have_begun("s0", "s1", "s2", "a0", "a1")


def test_each_silent_share_keeps_no_more_workers_than_there_are() -> None:
    """Four inboxes of eight orders of ten files each: sixteen threads when three of the shares are silent."""
    transfers = Transfers(4)
    inboxes = ("a", "b", "c", "d")
    for number in range(8):
        for inbox in inboxes:
            transfers.order(inbox, f"{inbox}{number}-", files=10)
    wait_until(lambda: len(transfers.begun) == 4)
    assert workers() == 4
    for inbox in inboxes[:3]:
        transfers.set_silent(inbox, is_silent=True)
    wait_until(lambda: len(transfers.begun) == 16)
    wait_until(lambda: workers() <= 16)
    transfers.end_all()
    assert len(transfers.begun) == 320


def test_an_order_may_be_given_less_than_the_pool_has(two: Transfers) -> None:
    most, busy, guard = 0, 0, threading.Lock()

    def work(_index: int) -> None:
        nonlocal most, busy
        with guard:
            busy += 1
            most = max(most, busy)
        time.sleep(0.002)
        with guard:
            busy -= 1

    assert sum(map(len, two.pool.run_all("photos", work, range(9), Round([]), at_once=1))) == 9
    assert most == 1


def test_one_transfer_by_itself_returns_and_raises_as_if_called(two: Transfers) -> None:
    assert two.pool.run("photos", lambda: 5) == 5
    with pytest.raises(KeyError):
        two.pool.run("photos", {}.popitem)


def each(
    work: Callable[[int], T],
    indexes: Sequence[int],
    *,
    size: int,
    round_: Round | None = None,
    **rest: Any,  # noqa: ANN401 - as the pool takes them
) -> Generator[dict[int, T]]:
    return TransferPool(size, lambda _inbox: False).run_all("photos", work, indexes, round_ or Round([]), **rest)


def test_outcomes_are_given_as_they_arrive_and_the_round_has_the_failures() -> None:
    last, round_ = threading.Event(), Round([])

    def work(index: int) -> int:
        if index == 2:
            raise Retry("two")
        if index == 3:
            assert last.wait(10)
        return index * 10

    seen: dict[int, int] = {}
    with closing(each(work, range(4), size=2, round_=round_)) as arrivals:
        for group in arrivals:
            seen.update(group)
            if len(seen) == 2:
                assert 3 not in seen
                last.set()
    assert [(index, str(failure)) for index, failure in round_.failures.items()] == [(2, "two")]
    assert seen == {0: 0, 1: 10, 3: 30}


def test_what_arrives_waits_for_others_on_their_way_and_the_last_for_none() -> None:
    began = time.monotonic()
    with closing(each(lambda index: time.sleep(index / 50), range(10), size=10, gather_seconds=30)) as arrivals:
        assert [len(group) for group in arrivals] == [10]
    assert time.monotonic() - began < 15


def test_what_has_arrived_waits_no_longer_than_that() -> None:
    last = threading.Event()
    with closing(each(lambda index: index and last.wait(10), range(2), size=2, gather_seconds=0.01)) as arrivals:
        assert next(arrivals) == {0: 0}
        last.set()
        assert next(arrivals) == {1: True}


def test_nothing_comes_of_no_files() -> None:
    assert list(each(lambda index: index, [], size=2)) == []


def test_once_closed_nothing_is_begun_and_what_was_under_way_is_dropped() -> None:
    begun, dropped, go_on = list[int](), list[int](), threading.Event()

    def work(index: int) -> int:
        begun.append(index)
        if index:
            assert go_on.wait(10)
        return index

    with closing(each(work, range(50), size=2, drop=dropped.append)) as arrivals:
        assert next(arrivals) == {0: 0}
        while len(begun) < 3:
            time.sleep(0.001)
        threading.Timer(1.0, go_on.set).start()
    assert begun == [0, 1, 2]
    assert sorted(dropped) == [1, 2]


def test_after_enough_failures_only_what_is_under_way_still_arrives() -> None:
    begun, dropped, round_, go_on = list[int](), list[int](), Round([]), threading.Event()

    def work(index: int) -> int:
        begun.append(index)
        if index:
            assert go_on.wait(10)
        return index

    with closing(each(work, range(50), size=2, round_=round_, drop=dropped.append)) as arrivals:
        assert next(arrivals) == {0: 0}
        while len(begun) < 3:
            time.sleep(0.001)
        round_.is_enough = True
        go_on.set()
        late = {index: outcome for group in arrivals for index, outcome in group.items()}
    assert begun == [0, 1, 2]
    assert late == {1: 1, 2: 2}
    assert dropped == []
