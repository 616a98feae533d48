"""Reading the history that the journal writes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from played_clock import PlayedClock

from watchfolder import history
from watchfolder.journal import Journal
from watchfolder.order import Order, OrderFile, Result, State

KEYS = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(4)]
MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)


def deliver(state_dir: str, key: str, at: datetime, name: str = "a.jpg") -> None:
    journal = Journal(state_dir, PlayedClock(at))
    journal.record(journal.advance(journal.adopt(completed(key, name)), State.DELIVERED))


def completed(key: str, name: str) -> Order:
    results = (Result(delivery=name, delivered_at=MIDNIGHT),)
    file = OrderFile(name=name, sent_name="a.jpg", media_type="image/jpeg", size=3, mtime_ns=1, results=results)
    return Order(
        key=key,
        confirm_key=key,
        inbox="photos",
        mode="live",
        service="anti-ai",
        options={"strength": "high"},
        body="{}",
        files=(file,),
        state=State.COMPLETED,
    )


@pytest.fixture
def state_dir(tmp_path: Path) -> str:
    """Return a state directory whose history goes over the end of a month."""
    for number, key in enumerate(KEYS):
        deliver(str(tmp_path), key, MIDNIGHT + timedelta(hours=number - 2))
    return str(tmp_path)


def test_the_latest_comes_first_over_the_months(state_dir: str) -> None:
    assert [end.key for end in history.newest_first(state_dir)] == KEYS[::-1]


def test_what_ended_before_the_asked_moment_is_left_out(state_dir: str) -> None:
    assert [end.key for end in history.newest_first(state_dir, MIDNIGHT)] == KEYS[:1:-1]


def test_the_moment_may_be_of_any_time_zone_and_lie_in_the_month_before(state_dir: str) -> None:
    east = (MIDNIGHT - timedelta(hours=1)).astimezone(datetime.fromisoformat("2026-01-01T00:00+09:00").tzinfo)
    assert [end.key for end in history.newest_first(state_dir, east)] == KEYS[:0:-1]


def test_a_torn_line_costs_itself_alone(state_dir: str) -> None:
    (path,) = Path(state_dir).glob("history/2026-11.jsonl")
    path.write_bytes(path.read_bytes() + b'\n{"at":"2026-11-01T05:00:00+00:00","outc\n[]\n\0\0\0')
    assert [end.key for end in history.newest_first(state_dir)] == KEYS[::-1]


def test_names_come_back_as_the_bytes_that_they_were(tmp_path: Path) -> None:
    name = b"caf\xe9 100%.jpg".decode("utf-8", "surrogateescape")
    deliver(str(tmp_path), KEYS[0], MIDNIGHT, name)
    (end,) = history.newest_first(str(tmp_path))
    assert (end.files[0].name, end.files[0].delivered) == (name, name)


def test_no_history_is_an_empty_one(tmp_path: Path) -> None:
    assert list(history.newest_first(str(tmp_path))) == []
