"""The arithmetic of the progress bar."""

from datetime import UTC, datetime
from io import StringIO

from rich.console import Console

from watchfolder.console.progress import ProgressBar
from watchfolder.snapshot import InboxSnapshot, Snapshot

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def snapshot(*, waiting: int = 0, in_progress: int = 0, delivered: int = 0, quarantined: int = 0) -> Snapshot:
    return Snapshot(
        at=NOW,
        pid=1,
        version="1",
        started=NOW,
        inboxes={"a": InboxSnapshot(waiting=waiting), "b": InboxSnapshot(waiting=waiting)},
        in_progress=in_progress,
        delivered=delivered,
        quarantined=quarantined,
    )


class Played:
    """A bar on no terminal, by a clock that is told the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.console = Console(file=StringIO(), width=200)
        self.bar = ProgressBar(self.console, lambda: self.now)

    def see(self, now: float, **counts: int) -> None:
        self.now = now
        self.bar.see(snapshot(**counts))

    @property
    def said(self) -> str:
        with self.console.capture() as captured:
            self.console.print(self.bar)
        return captured.get()


def test_waiting_files_of_all_inboxes_orders_and_what_has_ended_are_known() -> None:
    played = Played()
    played.see(0.0, waiting=3, in_progress=2, delivered=4, quarantined=1)
    assert " 5/13 files" in played.said


def test_what_is_known_never_shrinks_when_a_file_is_between_two_counts() -> None:
    played = Played()
    played.see(0.0, waiting=5)
    played.see(1.0, waiting=4)
    assert "0/10 files" in played.said


def test_the_rate_is_that_of_the_last_minute() -> None:
    played = Played()
    played.see(0.0, waiting=100)
    played.see(500.0, delivered=50)
    played.see(1000.0, delivered=90)
    played.see(1030.0, delivered=100)
    assert "20 a minute, 5:00 left" in played.said


def test_before_the_first_file_nothing_is_promised() -> None:
    played = Played()
    played.see(0.0, waiting=1)
    played.see(1.0, waiting=1)
    assert "left" not in played.said
