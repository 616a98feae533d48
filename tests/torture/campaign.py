"""Plays many cases side by side, each worker on a stage of its own, and counts what came of them."""

import ctypes
import multiprocessing
import os
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from queue import Empty
from typing import Any

from stage import Stage, keep_mounts_private, stage

_SILENCE_SECONDS = 300.0
_SIGNAL_WHEN_PARENT_DIES = 1  # PR_SET_PDEATHSIG


@dataclass
class Verdict:
    """What came of one case; `at` says where it was struck."""

    group: str
    was_struck: bool
    faults: list[str] = field(default_factory=list)
    at: str = ""


@dataclass
class Row:
    """One line of the report."""

    name: str
    points: int = 0  # calls, states or moments that were there to be struck
    announced: int = 0  # cases that are to be played
    cases: int = 0
    missed: int = 0  # cases that ended before the fault: threads do not always come in the same order
    violations: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def take(self, verdict: Verdict) -> None:
        self.cases += 1
        self.missed += not verdict.was_struck
        if "does not mount" in verdict.at:
            self.examples.setdefault("missed", verdict.at)
        self.violations += bool(verdict.faults)
        for fault in verdict.faults:
            self.kinds[fault] += 1
            self.examples.setdefault(fault, verdict.at)

    def lines(self) -> list[str]:
        figures = f"{self.points:6} points {self.cases:6} cases {self.violations:4} violations"
        missed = f" {self.missed} not reached {self.examples.get('missed', '')}" if self.missed else ""
        head = f"{self.name:44} {figures}{missed}  {self.seconds:.0f} s"
        return [
            head,
            *(f"    {count:4} × {fault}   e.g. {self.examples[fault]}" for fault, count in self.kinds.most_common(12)),
        ]


Play = Callable[[Stage, Any], Verdict]


def play_all(
    rows: dict[str, Row], cases: Iterable[tuple[Play, object]], jobs: int, tell: Callable[[Row], None]
) -> None:
    """Play each case with its function; the verdicts' groups are names of `rows`, told when all theirs are in.

    Functions must be importable.
    """
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    todo: Any = context.Queue()
    todo.cancel_join_thread()  # where a worker has died, nobody takes what is left, and the end would wait for that
    done: Any = context.Queue()
    workers = [context.Process(target=_work, args=(todo, done), daemon=True) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    waiting = 0
    for case in cases:  # making them takes time, in which the first are played
        todo.put(case)
        waiting += 1
        while not done.empty():
            _take(_next(done, workers), rows, began, tell)
            waiting -= 1
    for _ in workers:
        todo.put(None)
    for _ in range(waiting):
        _take(_next(done, workers), rows, began, tell)
    for worker in workers:
        worker.join(60)


def _take(verdict: Verdict, rows: dict[str, Row], began: float, tell: Callable[[Row], None]) -> None:
    row = rows[verdict.group]
    row.take(verdict)
    if row.cases == row.announced:
        row.seconds = time.monotonic() - began
        tell(row)


def _next(done: Any, workers: list[Any]) -> Verdict:  # noqa: ANN401 - what multiprocessing gives
    try:
        verdict = done.get(timeout=_SILENCE_SECONDS)
    except Empty:
        raise RuntimeError(f"no verdict for {_SILENCE_SECONDS:g} s; alive: {[w.is_alive() for w in workers]}") from None
    if isinstance(verdict, str):
        raise RuntimeError(verdict)  # noqa: TRY004 - not a wrong type: what a worker died of
    assert isinstance(verdict, Verdict)
    return verdict


def _work(todo: Any, done: Any) -> None:  # noqa: ANN401 - what multiprocessing gives
    ctypes.CDLL(None).prctl(_SIGNAL_WHEN_PARENT_DIES, signal.SIGTERM)  # nobody plays on alone
    try:
        keep_mounts_private()
        with stage() as own:
            while (case := todo.get()) is not None:
                play, what = case
                done.put(play(own, what))
    except BaseException:
        done.put(f"worker {os.getpid()} died:\n{traceback.format_exc()}")
        raise
