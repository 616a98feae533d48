"""Several files of one order at once, each outcome given as it arrives."""

import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    drop: Callable[[_T], object] = lambda _outcome: None,
) -> Generator[list[Arrived[_T]]]:
    """Do `work` for each index in up to `most` threads; give what has arrived since the last time, never nothing.

    What arrives waits so long for others that are on their way; the last waits for none. An exception of `work` is an
    outcome. Once the iterator is closed nothing more is begun; what was under way ends, and goes to `drop` if it came
    to anything.
    """
    arrived: SimpleQueue[Arrived[_T]] = SimpleQueue()
    is_closed = threading.Event()

    def do(index: int) -> None:
        if not is_closed.is_set():
            try:
                arrived.put((index, work(index)))
            except Exception as error:  # noqa: BLE001 - whoever iterates decides
                arrived.put((index, error))

    if len(indexes) == 1:
        do(indexes[0])
        yield [arrived.get()]
        return
    left = len(indexes)
    pool = ThreadPoolExecutor(min(most, max(1, left)), "transfer")
    try:
        for index in indexes:
            pool.submit(do, index)
        while left:
            group = _gathered(arrived, left, gather_seconds)
            left -= len(group)
            yield group
    finally:
        is_closed.set()
        pool.shutdown()
        while not arrived.empty():
            _, outcome = arrived.get()
            if not isinstance(outcome, Exception):
                drop(outcome)


def _gathered(arrived: SimpleQueue[Arrived[_T]], most: int, seconds: float) -> list[Arrived[_T]]:
    """Take the first, and what comes within `seconds` of it."""
    group = [arrived.get()]
    until = time.monotonic() + seconds
    while len(group) < most:
        try:
            group.append(arrived.get(timeout=max(0.0, until - time.monotonic())))
        except Empty:
            break
    return group
