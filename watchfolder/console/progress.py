"""The bar of `run --once` on a terminal: files done, how fast, how long still."""

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text
from typing_extensions import override

from watchfolder.config import Config
from watchfolder.report.conditions import NO_ANSWER
from watchfolder.snapshot import Snapshot

_SPEED_SECONDS = 60.0  # the rate is that of the last minute


class _Speed(ProgressColumn):
    @override
    def render(self, task: Task) -> Text:
        if not task.speed or task.remaining is None:
            return Text()
        minutes, seconds = divmod(round(task.remaining / task.speed), 60)
        return Text(f"{task.speed * 60:.0f} a minute, {minutes}:{seconds:02} left")


class ProgressBar(Progress):
    """Shown for as long as its block lasts. What is known only grows, so that the bar never runs backwards."""

    def __init__(self, console: Console, now: Callable[[], float] | None = None) -> None:
        what, count = TextColumn("{task.description}", markup=False), MofNCompleteColumn()
        columns = (what, BarColumn(), count, TextColumn("files"), _Speed())
        super().__init__(*columns, console=console, transient=True, speed_estimate_period=_SPEED_SECONDS, get_time=now)
        self.add_task("looking", total=None)

    def follow(self, config: Config) -> None:
        """Do nothing: what is shown does not depend on the configuration."""

    def see(self, snapshot: Snapshot) -> None:
        (task,) = self.tasks
        done = snapshot.delivered + snapshot.quarantined
        task.total = max(task.total or 0, done + snapshot.in_progress + snapshot.deferred + snapshot.waiting) or None
        what = snapshot.blocked or (NO_ANSWER if snapshot.is_down else "protecting")
        self.update(task.id, description=what, completed=done)
