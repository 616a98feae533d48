"""The arithmetic of the progress bar."""

from datetime import UTC, datetime

from watchfolder.console.progress import Progressed
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


def test_waiting_files_of_all_inboxes_orders_and_what_has_ended_are_known() -> None:
    counters = Progressed()
    counters.take(snapshot(waiting=3, in_progress=2, delivered=4, quarantined=1), 0.0)
    assert (counters.done, counters.known) == (5, 13)


def test_what_is_known_never_shrinks_when_a_file_is_between_two_counts() -> None:
    counters = Progressed()
    counters.take(snapshot(waiting=5), 0.0)
    counters.take(snapshot(waiting=4), 1.0)
    assert counters.known == 10


def test_the_rate_is_that_of_the_last_minute() -> None:
    counters = Progressed()
    counters.take(snapshot(waiting=100), 0.0)
    counters.take(snapshot(delivered=90), 1000.0)
    counters.take(snapshot(delivered=100), 1030.0)
    assert str(counters) == "20 a minute, 5:00 left"


def test_before_the_first_file_nothing_is_promised() -> None:
    counters = Progressed()
    counters.take(snapshot(waiting=1), 0.0)
    counters.take(snapshot(waiting=1), 1.0)
    assert str(counters) == ""
