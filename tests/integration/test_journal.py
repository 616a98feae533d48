"""The journal on a real disk: what it refuses, what it survives, and what it never writes twice."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from made_orders import made_file, made_order
from played_clock import PlayedClock
from pydantic import SecretStr

from watchfolder import disk, state_file
from watchfolder.config import Config
from watchfolder.disk import Place
from watchfolder.errors import ConfigError, FolderFault, InstanceLocked
from watchfolder.journal import ForbiddenTransitionError, Journal, read_orders, refuse_other_mode
from watchfolder.order import TRANSITIONS, Order, State, Why, read_order
from watchfolder.report.status import LastWord, running
from watchfolder.snapshot import FILE, Snapshot

WAIT_SECONDS = 20
S = State
HOUR, DAY = 3600.0, 24 * 3600.0
STRAIGHT = (S.CLAIMING, S.CLAIMED, S.CREATED, S.UPLOADED, S.CONFIRMED, S.COMPLETED, S.DELIVERED)
ASIDE = (S.CLAIMING, S.QUARANTINING, S.QUARANTINED)


@pytest.fixture
def clock() -> PlayedClock:
    return PlayedClock(datetime(2026, 11, 30, 23, 59, 58, tzinfo=UTC))


@pytest.fixture
def opened(tmp_path: Path, clock: PlayedClock) -> Iterator[Callable[[], Journal]]:
    """Give a function that opens the journal afresh, as the next life of the process does."""
    journals: list[Journal] = []

    def afresh() -> Journal:
        for journal in journals:
            journal.close()
        journals.append(Journal(str(tmp_path), clock))
        journals[-1].open()
        return journals[-1]

    yield afresh
    for journal in journals:
        journal.close()


@pytest.fixture
def journal(opened: Callable[[], Journal]) -> Journal:
    return opened()


def an_order(name: str = "sub/a.jpg") -> Order:
    return made_order(made_file(name))


def brought_to(journal: Journal, *states: State, **facts: object) -> Order:
    order = journal.begin(an_order().having(**facts))
    for state in states[1:]:
        order = journal.advance(order, state)
    return order


def way_to(goal: State) -> tuple[State, ...]:
    """Return the shortest way through the table."""
    ways: list[tuple[State, ...]] = [(S.CLAIMING,)]
    for way in ways:
        if way[-1] is goal:
            return way
        ways += [(*way, after) for after in sorted(TRANSITIONS[way[-1]]) if after not in way]
    raise AssertionError(goal)


def entry(folder: Path, order: Order) -> Path:
    return folder / "journal" / f"{order.key}.json"


def history(folder: Path) -> list[str]:
    return [line for file in sorted((folder / "history").glob("*")) for line in file.read_text().splitlines()]


# --- states


@pytest.mark.parametrize("state", list(State))
def test_the_journal_takes_what_the_table_shows_and_refuses_the_rest(journal: Journal, state: State) -> None:
    for after in State:
        order = brought_to(journal, *way_to(state))
        if after in TRANSITIONS[state]:
            assert journal.advance(order, after).state is after
        else:
            with pytest.raises(ForbiddenTransitionError):
                journal.advance(order, after)
            assert journal.get(order.key) == order


def test_an_order_that_has_left_goes_nowhere(journal: Journal) -> None:
    order = brought_to(journal, S.CLAIMING)
    journal.forget(order)
    with pytest.raises(ForbiddenTransitionError):
        journal.advance(order, S.CLAIMED)


def test_a_key_begins_once(journal: Journal) -> None:
    order = brought_to(journal, S.CLAIMING, S.CLAIMED)
    with pytest.raises(ForbiddenTransitionError):
        journal.begin(order)


def test_each_state_is_durable_before_it_is_true(
    tmp_path: Path, opened: Callable[[], Journal], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "watchfolder")
    order = opened().begin(an_order("two\nlines\udcff.jpg"))
    for before, after in pairwise(STRAIGHT):
        journal = opened()
        assert journal.orders() == (order,)
        assert order.state is before
        order = journal.advance(order, after, order_id="9" * 20)
        assert read_order(entry(tmp_path, order).read_bytes(), order.key) == order
    assert [record.message for record in caplog.records] == [f"order.{state}" for state in STRAIGHT]


def test_a_refused_write_changes_nothing(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    order = brought_to(journal, S.CLAIMING)

    def full(*_: object, **__: object) -> None:
        raise FolderFault("the disk is full", code="ENOSPC")

    monkeypatch.setattr(disk, "write_atomically", full)
    with pytest.raises(FolderFault):
        journal.advance(order, S.CLAIMED)
    assert journal.get(order.key) == order


def test_an_advance_forgets_failures_and_deaths(journal: Journal, clock: PlayedClock) -> None:
    order = brought_to(journal, S.CLAIMING)
    now = clock.read()
    order = journal.note(order, failures=3, deaths=2, not_before=now, last_error="down", missing_since=now)
    order = journal.note(order, is_delayed=True, is_overdue=True)
    order = journal.advance(order, S.CLAIMED)
    assert (order.failures, order.deaths, order.not_before, order.last_error) == (0, 0, None, "")
    assert order.missing_since is None
    assert not order.is_delayed
    assert not order.is_overdue


def test_orders_come_in_the_order_of_their_claims(opened: Callable[[], Journal], clock: PlayedClock) -> None:
    journal = opened()
    keys = []
    for number in range(8):
        clock.pass_time(1.0)
        keys.append(brought_to(journal, S.CLAIMING, inbox=("one", "two")[number % 2]).key)
    assert [order.key for order in opened().orders()] == keys
    assert [order.key for order in opened().orders("two")] == keys[1::2]


# --- what it survives


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 700,
        b"HALF",
        b"[]",
        b"null",
        b"not json",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"schema": 1}',
        b'{"schema": 1, "files": [{"name": "../../etc/passwd"}]}',
    ],
)
def test_a_broken_entry_is_set_aside_and_the_others_are_read(
    tmp_path: Path, opened: Callable[[], Journal], caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    journal = opened()
    good, broken = brought_to(journal, *STRAIGHT[:3]), brought_to(journal, *STRAIGHT[:3])
    whole = entry(tmp_path, broken).read_bytes()
    content = whole[: len(whole) // 2] if content == b"HALF" else content
    entry(tmp_path, broken).write_bytes(content)
    assert opened().orders() == (good,)
    assert [record.message for record in caplog.records].count("journal.entry_broken") == 1
    [aside] = (tmp_path / "journal/broken").iterdir()
    assert aside.read_bytes() == content
    assert not entry(tmp_path, broken).exists()
    assert opened().orders() == (good,)


def test_an_entry_under_another_key_is_set_aside(tmp_path: Path, opened: Callable[[], Journal]) -> None:
    order = brought_to(opened(), S.CLAIMING)
    entry(tmp_path, order).rename(tmp_path / f"journal/{uuid.uuid4()}.json")
    assert opened().orders() == ()
    assert len(list((tmp_path / "journal/broken").iterdir())) == 1


def test_an_entry_without_the_time_of_its_state_is_set_aside(tmp_path: Path, opened: Callable[[], Journal]) -> None:
    order = brought_to(opened(), S.CLAIMING)
    entry(tmp_path, order).write_text(order.having(times={}).model_dump_json())
    assert opened().orders() == ()


def test_what_is_no_file_of_ours_in_the_journal_is_no_reason_not_to_start(
    tmp_path: Path, opened: Callable[[], Journal]
) -> None:
    order = brought_to(opened(), S.CLAIMING)
    (tmp_path / f"journal/{uuid.uuid4()}.json").symlink_to("nothing")
    os.mkfifo(tmp_path / f"journal/{uuid.uuid4()}.json")
    (tmp_path / f"journal/{uuid.uuid4()}.json").mkdir()
    (tmp_path / "journal/README").touch()
    with (tmp_path / f"journal/{uuid.uuid4()}.json").open("wb") as sparse:
        sparse.truncate(1 << 30)
    assert opened().orders() == (order,)


def test_two_broken_lives_of_one_entry_are_both_kept_at_whatever_time(
    tmp_path: Path, opened: Callable[[], Journal]
) -> None:
    order = brought_to(opened(), S.CLAIMING)
    for _ in range(2):  # the clock stands still, as one does that is set back
        entry(tmp_path, order).write_bytes(b"")
        opened()
    assert len(list((tmp_path / "journal/broken").iterdir())) == 2


def test_an_entry_of_a_newer_watchfolder_stops_us_and_stays(tmp_path: Path, opened: Callable[[], Journal]) -> None:
    journal = opened()
    order = brought_to(journal, S.CLAIMING)
    journal.close()
    newer = json.dumps({**json.loads(order.model_dump_json()), "schema": 2, "novelty": True})
    entry(tmp_path, order).write_text(newer)
    newcomer = Journal(str(tmp_path))
    for _ in range(2):  # the lock is given back
        with pytest.raises(ConfigError, match="newer"):
            newcomer.open()
    assert entry(tmp_path, order).read_text() == newer


def test_leftovers_of_a_write_that_was_cut_are_swept(tmp_path: Path, opened: Callable[[], Journal]) -> None:
    opened()
    leftovers = [tmp_path / ".wf-state-000000-01234567.tmp", tmp_path / "journal/.wf-state-000000-01234567.tmp"]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    assert opened().orders() == ()
    assert not any(leftover.exists() for leftover in leftovers)


def test_the_journal_can_be_read_beside_the_daemon(tmp_path: Path, journal: Journal) -> None:
    order = brought_to(journal, S.CLAIMING)
    broken = tmp_path / f"journal/{uuid.uuid4()}.json"
    broken.write_bytes(b"")
    told: list[str] = []
    assert list(read_orders(str(tmp_path), lambda place, _reason: told.append(place.path))) == [order]
    assert told == [str(broken)]
    assert broken.exists()


# --- one instance


def test_one_state_directory_has_one_holder(tmp_path: Path, journal: Journal) -> None:
    assert journal.instance
    with pytest.raises(InstanceLocked), Journal(str(tmp_path)):
        pass


def test_a_dead_process_holds_no_journal(tmp_path: Path) -> None:
    script = """
import sys
from watchfolder.journal import Journal
journal = Journal(sys.argv[1])
journal.open()
print(journal.instance, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        instance = other.stdout.readline().strip()
        with pytest.raises(InstanceLocked), Journal(str(tmp_path)):
            pass
        other.kill()
        other.wait(WAIT_SECONDS)
    with Journal(str(tmp_path)) as mine:
        assert mine.instance == instance


def test_for_how_long_the_main_loop_has_not_turned_is_told_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(str(tmp_path)) as journal:
        monkeypatch.setattr(journal.clock, "awake", lambda: time.monotonic() - 300)
        journal.note_turn()
        assert 300 <= running(str(tmp_path)).silent_seconds < 600


def test_what_an_earlier_life_said_is_not_told_of_the_next_one(tmp_path: Path) -> None:
    now = datetime(2026, 11, 30, tzinfo=UTC)
    said = Snapshot(at=now, pid=17, version="0.1.0", started=now, blocked="no credits")
    state_file.write(Place(str(tmp_path), FILE), said)
    with Journal(str(tmp_path)) as journal:
        assert running(str(tmp_path)) == LastWord(snapshot=None, silent_seconds=0.0, is_running=True)
        state_file.write(Place(str(tmp_path), FILE), said)
        journal.note_turn()
        assert running(str(tmp_path)).snapshot == said


@pytest.mark.parametrize("content", [b"", b"\0" * 37, b"x" * 5000, b"\xff"])
def test_a_broken_instance_file_is_no_reason_not_to_start(
    tmp_path: Path, opened: Callable[[], Journal], content: bytes
) -> None:
    (tmp_path / "instance").write_bytes(content)
    instance = opened().instance
    assert str(uuid.UUID(instance)) == instance
    assert opened().instance == instance


# --- deaths


def test_a_death_counts_against_the_order_whose_step_was_under_way(opened: Callable[[], Journal]) -> None:
    journal = opened()
    working, resting, done = (brought_to(journal, S.CLAIMING) for _ in range(3))
    for deaths in (1, 2, 3):
        journal.mark_running(working)
        journal.mark_running(done)
        journal.clear_running(done.key)
        journal = opened()
        assert {each.key: each.deaths for each in journal.orders()} == {
            working.key: deaths,
            resting.key: 0,
            done.key: 0,
        }
    after = opened().get(working.key)
    assert after is not None
    assert after.deaths == 3  # no more since
    assert resting.deaths == 0


def test_a_marker_of_an_order_that_has_left_goes(tmp_path: Path, opened: Callable[[], Journal]) -> None:
    journal = opened()
    order = brought_to(journal, S.CLAIMING)
    journal.mark_running(order)
    journal.forget(order)
    assert os.listdir(tmp_path / "running") == []
    (tmp_path / "running" / str(uuid.uuid4())).touch()
    assert opened().orders() == ()
    assert os.listdir(tmp_path / "running") == []


# --- history


def test_a_delivery_is_one_line_with_everything_to_find_it_by(tmp_path: Path, journal: Journal) -> None:
    order = brought_to(journal, *STRAIGHT[:-1])
    facts = {"delivery": "sub/ä.jpg", "sha256": "b2", "size": 4, "delivered_at": datetime(2026, 11, 30, 12, tzinfo=UTC)}
    order = order.with_file(0, sha256="a1").with_result(0, **facts)
    order = journal.advance(order, S.DELIVERED, order_id="12345678901234567890")
    journal.record(order)
    [line] = history(tmp_path)
    told = json.loads(line)
    assert (told["key"], told["order_id"], told["outcome"]) == (order.key, "12345678901234567890", "delivered")
    assert told["files"] == [
        {
            "name": "sub/a.jpg",
            "size": 3,
            "sha256": "a1",
            "delivered": "sub/%C3%A4.jpg",
            "delivered_at": "2026-11-30T12:00:00Z",
            "delivered_size": 4,
            "delivered_sha256": "b2",
        }
    ]
    assert list(told["times"]) == [str(state) for state in STRAIGHT]


def test_a_death_between_the_line_and_the_farewell_writes_no_second_line(
    tmp_path: Path, opened: Callable[[], Journal]
) -> None:
    order = brought_to(opened(), *STRAIGHT)
    opened().record(order)
    for _ in range(2):  # each life dies before it forgets the order
        journal = opened()
        assert journal.needs_record(order)
        journal.record(journal.orders()[0])
        assert not journal.needs_record(order)
    assert len(history(tmp_path)) == 1


def test_a_death_before_the_line_writes_it_in_the_next_life(tmp_path: Path, opened: Callable[[], Journal]) -> None:
    order = brought_to(opened(), *STRAIGHT)
    journal = opened()
    journal.record(journal.orders()[0])
    assert [json.loads(line)["key"] for line in history(tmp_path)] == [order.key]


def test_a_torn_line_is_written_again_on_a_line_of_its_own(tmp_path: Path, opened: Callable[[], Journal]) -> None:
    journal = opened()
    order = brought_to(journal, *STRAIGHT)
    journal.record(order)
    [file] = (tmp_path / "history").iterdir()
    os.truncate(file, file.stat().st_size // 2)
    journal = opened()
    journal.record(journal.orders()[0])
    torn, whole = history(tmp_path)
    assert json.loads(whole)["key"] == order.key
    assert whole.startswith(torn)


def test_what_was_entered_before_the_line_failed_may_be_there_at_the_next_try(tmp_path: Path, journal: Journal) -> None:
    order, told = brought_to(journal, *STRAIGHT), list[bool]()
    (tmp_path / "history").touch()  # no folder
    with pytest.raises(FolderFault):
        journal.record(order, told.append)
    (tmp_path / "history").unlink()
    for _ in range(2):
        journal.record(order, told.append)
    assert told == [False, True]
    assert len(history(tmp_path)) == 1


def test_a_line_belongs_to_the_month_of_its_end(
    tmp_path: Path, opened: Callable[[], Journal], clock: PlayedClock
) -> None:
    journal = opened()
    order = brought_to(journal, *STRAIGHT)
    clock.pass_time(DAY)  # the next month begins
    journal.record(order)
    opened().record(order)
    assert [file.name for file in (tmp_path / "history").iterdir()] == ["2026-11.jsonl"]
    assert len(history(tmp_path)) == 1


def test_an_order_that_was_quarantined_and_came_back_has_a_line_for_each_end(
    tmp_path: Path, opened: Callable[[], Journal]
) -> None:
    journal = opened()
    order = brought_to(journal, *ASIDE, why=Why(reason="It is broken.", code="BAD"), is_resumable=True)
    journal.record(order)
    journal = opened()
    order = journal.begin(order)
    for state in STRAIGHT[1:]:
        order = journal.advance(order, state)
    journal.record(order)
    assert [json.loads(line)["outcome"] for line in history(tmp_path)] == ["quarantined", "delivered"]
    assert json.loads(history(tmp_path)[0])["code"] == "BAD"


# --- parked orders


def recorded(journal: Journal, **facts: object) -> Order:
    order = brought_to(journal, *ASIDE, **facts)
    journal.record(order)
    return order


def parked(journal: Journal) -> list[Order]:
    order = an_order()
    return journal.parked(order.mode, order.product)


@pytest.mark.parametrize("expires_in", [None, DAY, -DAY])
def test_a_paid_order_waits_in_quarantine_whatever_the_date(
    opened: Callable[[], Journal], clock: PlayedClock, expires_in: float | None
) -> None:
    expires_at = clock.now() + timedelta(seconds=expires_in) if expires_in is not None else None
    order = recorded(opened(), is_resumable=True, expires_at=expires_at)
    journal = opened()
    journal.record(order)
    for seconds in (DAY, 30 * DAY, -60 * DAY, 365 * DAY):
        clock.set_wall(seconds)
        assert parked(journal) == parked(opened()) == [order]
        journal = opened()


def test_an_order_that_failed_at_the_service_is_not_taken_up_again(journal: Journal) -> None:
    recorded(journal, is_resumable=False)
    assert not parked(journal)


@pytest.mark.parametrize(
    ("key", "mode", "state", "is_refused"),
    [
        ("sk_live_0123456789", "test", S.CLAIMED, True),
        ("sk_test_0123456789", "live", S.CLAIMED, True),
        ("sk_live_0123456789", "live", S.CLAIMED, False),
        ("sk_live_0123456789", "test", S.QUARANTINED, False),
    ],
)
def test_only_open_orders_of_the_other_kind_of_key_refuse_a_start(
    key: str, mode: str, state: State, *, is_refused: bool
) -> None:
    inbox = {"name": "photos", "path": "/in", "outbox": "/out", "quarantine": "/quarantine"}
    config = Config.model_validate({"api": {"key": SecretStr(key)}, "inboxes": {"photos": inbox}})
    orders = [made_order(mode=mode, state=state, is_resumable=state is S.QUARANTINED)]
    with pytest.raises(ConfigError, match=f"finish them with a {mode} key") if is_refused else nullcontext():
        refuse_other_mode(orders, config)


@pytest.mark.parametrize(
    "facts",
    [
        {"mode": "test"},
        {"options": {"strength": "low"}},
        {"service": "watermark-embed", "options": {}},
        {"files": (made_file("a.jpg"), made_file("b.jpg"))},
    ],
    ids=["another kind of key", "another option", "another service", "many in one"],
)
def test_an_order_of_another_product_or_of_many_is_not_taken_up(journal: Journal, facts: dict[str, object]) -> None:
    recorded(journal, is_resumable=True, **facts)
    assert not parked(journal)
