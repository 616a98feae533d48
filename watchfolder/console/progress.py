"""The bar of `run --once` on a terminal: files done, how fast, how long still."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from typing_extensions import override

from watchfolder.config import Config
from watchfolder.report.conditions import NO_ANSWER
from watchfolder.snapshot import Snapshot

_SPEED_SECONDS = 60.0  # the rate is that of the last minute


@dataclass
class Progressed:
    """Files done and files known of. What is known only grows, so that the bar never runs backwards."""

    done: int = 0
    known: int = 0
    _steps: list[tuple[float, int]] = field(default_factory=list)

    def take(self, snapshot: Snapshot, now: float) -> None:
        self.done = snapshot.delivered + snapshot.quarantined
        waiting = sum(inbox.waiting for inbox in snapshot.inboxes.values())
        self.known = max(self.known, self.done + snapshot.in_progress + snapshot.deferred + waiting)
        self._steps = [step for step in self._steps if step[0] > now - _SPEED_SECONDS]
        self._steps.append((now, self.done))

    @override
    def __str__(self) -> str:
        (began, before), (ended, after) = self._steps[0], self._steps[-1]
        if after == before or ended == began:
            return ""
        rate = (after - before) * 60 / (ended - began)
        minutes, seconds = divmod(round((self.known - self.done) * 60 / rate), 60)
        return f"{rate:.0f} a minute, {minutes}:{seconds:02} left"


@contextmanager
def shown(console: Console) -> Iterator["ProgressBar"]:
    """Show a bar for as long as the block lasts; give the onlooker that moves it."""
    speed = TextColumn("{task.fields[speed]}")
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn("files"))
    with Progress(*columns, speed, console=console, transient=True) as bar:
        yield ProgressBar(bar)


class ProgressBar:
    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("looking", total=None, speed="")
        self._tally = Progressed()

    def follow(self, config: Config) -> None:
        """Show the same, whatever the configuration."""

    def see(self, snapshot: Snapshot) -> None:
        counters = self._tally
        counters.take(snapshot, time.monotonic())
        what = snapshot.blocked or (NO_ANSWER if snapshot.is_down else "protecting")
        self._bar.update(
            self._task, description=what, completed=counters.done, total=counters.known or None, speed=str(counters)
        )
