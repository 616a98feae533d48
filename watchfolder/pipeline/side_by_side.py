"""Several files of one order at once, each outcome given as it arrives."""

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from queue import Empty, SimpleQueue
from typing import TypeVar

_T = TypeVar("_T")
Arrived = tuple[int, _T | Exception]


def side_by_side(
    work: Callable[[int], _T],
    indexes: Sequence[int],
    *,
    most: int,
    gather_seconds: float = 0.0,
    enough: threading.Event | None = None,
    drop: Callable[[_T], object] = lambda _outcome: None,
) -> Generator[list[Arrived[_T]]]:
    """Do `work` for each index in up to `most` threads; give what has arrived since the last time, never nothing.

    What arrives waits so long for others that are on their way; the last waits for none. An exception of `work` is an
    outcome. Once it is `enough` nothing more is begun, and what was under way still arrives. Once the iterator is
    closed, that goes to `drop` if it came to anything.
    """
    arrived: SimpleQueue[list[Arrived[_T]]] = SimpleQueue()  # one list an index, empty where it was not begun
    enough = enough or threading.Event()

    def do(index: int) -> None:
        arrived.put([] if enough.is_set() else [(index, _outcome_of(work, index))])

    if len(indexes) == 1:
        do(indexes[0])
        yield arrived.get()
        return
    left = len(indexes)
    pool = ThreadPoolExecutor(min(most, max(1, left)), "transfer")
    try:
        for index in indexes:
            pool.submit(do, index)
        while left:
            lists = _gathered(arrived, left, gather_seconds)
            left -= len(lists)
            if group := list(chain(*lists)):
                yield group
    finally:
        enough.set()
        pool.shutdown()
        for _, outcome in chain(*_at_hand(arrived)):
            if not isinstance(outcome, Exception):
                drop(outcome)


def _outcome_of(work: Callable[[int], _T], index: int) -> _T | Exception:
    try:
        return work(index)
    except Exception as error:  # noqa: BLE001 - the caller decides
        return error


def _gathered(queue: SimpleQueue[_T], most: int, seconds: float) -> list[_T]:
    """Take the first, and what comes within `seconds` of it."""
    group = [queue.get()]
    until = time.monotonic() + seconds
    while len(group) < most:
        try:
            group.append(queue.get(timeout=max(0.0, until - time.monotonic())))
        except Empty:
            break
    return group


def _at_hand(queue: SimpleQueue[_T]) -> Iterator[_T]:
    while not queue.empty():
        yield queue.get()
