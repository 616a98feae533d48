"""Reading the history that the journal writes."""

import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from made_orders import made_file, made_order
from played_clock import PlayedClock

from watchfolder import history
from watchfolder.history import EndedOrder
from watchfolder.journal import Journal
from watchfolder.order import Finding, Order, Result, Role, State, Why

KEYS = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(4)]
MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)


def deliver(state_dir: str, key: str, at: datetime, name: str = "a.jpg") -> None:
    journal = Journal(state_dir, PlayedClock(at))
    journal.record(journal.advance(journal.enter(completed(key, name)), State.DELIVERED))


def completed(key: str, name: str) -> Order:
    results = (Result(delivery=name, delivered_at=MIDNIGHT),)
    return made_order(made_file(name, results=results), key=key, state=State.COMPLETED)


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


@pytest.mark.parametrize(
    "rewritten",
    [
        '{"outcome":"delivered","at":"2026-11-01T05:00:00Z",',
        '{ "at" : "2026-11-01 05:00Z", "outcome": "delivered",',
        '{"at":"2026-11-01T14:00:00+09:00","outcome":"delivered",',
    ],
)
def test_a_line_that_a_person_rewrote_is_passed_over_by_its_date_alone(state_dir: str, rewritten: str) -> None:
    (path,) = Path(state_dir).glob("history/2026-11.jsonl")
    *others, last = path.read_text().splitlines()
    rest = last.partition('"outcome":"delivered",')[2]
    path.write_text("\n".join([*others, rewritten + rest]) + "\n")
    assert [end.key for end in history.newest_first(state_dir, MIDNIGHT + timedelta(hours=3))] == [KEYS[3]]
    assert list(history.newest_first(state_dir, MIDNIGHT + timedelta(hours=6))) == []


def test_of_a_line_whose_date_is_none_it_is_said_that_it_was_passed_over(state_dir: str) -> None:
    (path,) = Path(state_dir).glob("history/2026-11.jsonl")
    path.write_text(path.read_text().replace('"at":"2026-11-01T01:', '"at":"1.11.2026 01:'))
    broken: list[str] = []
    assert [end.key for end in history.newest_first(state_dir, MIDNIGHT, broken.append)] == [KEYS[2]]
    assert broken == [str(path)]


def test_names_come_back_as_the_bytes_that_they_were(tmp_path: Path) -> None:
    name = b"caf\xe9 100%.jpg".decode("utf-8", "surrogateescape")
    deliver(str(tmp_path), KEYS[0], MIDNIGHT, name)
    (end,) = history.newest_first(str(tmp_path))
    assert (end.files[0].name, end.files[0].delivered) == (name, name)


def test_a_line_that_is_read_is_what_was_written(tmp_path: Path) -> None:
    written = ended_with_everything(State.DELIVERED)
    history.append(str(tmp_path), written, perhaps_there=False)
    (read,) = history.newest_first(str(tmp_path))
    assert read == EndedOrder.of(written)
    facts = read.model_dump()
    assert [name for name, value in facts.items() if value in ("", None)] == []
    assert [name for name, value in facts["files"][0].items() if value in ("", None)] == []


def test_a_line_has_each_result_that_is_news_and_one_entry_for_the_missing(tmp_path: Path) -> None:
    order = ended_with_everything(State.QUARANTINED)
    (made,) = order.files[0].results
    results = (made, made.having(delivery="told.jpg", was_told=True), *(Result(recipient=name) for name in ("b", "c")))
    copy = order.files[0].having(name="copy.jpg", role=Role.COPY)
    history.append(
        str(tmp_path), order.having(files=(order.files[0].having(results=results), copy)), perhaps_there=False
    )
    (end,) = history.newest_first(str(tmp_path))
    assert [(file.name, file.delivered, file.recipient) for file in end.files] == [
        ("a.jpg", "afp/a.jpg", "afp"),
        ("a.jpg", None, None),
    ]


def test_what_is_delivered_is_told_once_while_its_order_is_under_way_and_after(tmp_path: Path) -> None:
    order = completed(KEYS[0], "a.jpg").having(times={State.COMPLETED: PlayedClock(MIDNIGHT).read()})
    before = list(history.deliveries([order], str(tmp_path)))
    deliver(str(tmp_path), KEYS[0], MIDNIGHT + timedelta(hours=1))
    after = list(history.deliveries([order], str(tmp_path)))
    assert [(each.at, each.order.key, each.file) for each in before] == [(MIDNIGHT, KEYS[0], before[0].file)]
    assert [(each.at, each.order.key, each.file) for each in after] == [(MIDNIGHT, KEYS[0], before[0].file)]


def test_a_name_that_no_key_can_be_is_looked_for_in_vain(state_dir: str) -> None:
    assert history.last_end(state_dir, "\udcff\ud800") is None
    found = history.last_end(state_dir, KEYS[1])
    assert found is not None
    assert found.key == KEYS[1]


def ended_with_everything(state: State) -> Order:
    """Return an order every field of whose line has something to say."""
    facts = {"size": 4, "sha256": "b" * 64, "recipient": "afp", "text": "© 7", "delivered_at": MIDNIGHT}
    result = Result(delivery="afp/a.jpg", **facts)
    order = completed(KEYS[0], "a.jpg")
    file = order.files[0].having(sha256="a" * 64, line=3, finding=Finding(verdict="found"), results=(result,))
    times = {each: PlayedClock(MIDNIGHT).read() for each in (State.CREATED, state)}
    why = Why(reason="It is broken.", code="BAD")
    return order.having(
        files=(file,), state=state, times=times, why=why, order_id="1", of_list=KEYS[1], reused_from=KEYS[2]
    )


def test_no_history_is_an_empty_one(tmp_path: Path) -> None:
    assert list(history.newest_first(str(tmp_path))) == []


def test_what_an_editor_leaves_beside_the_history_is_not_read(state_dir: str) -> None:
    month = Path(state_dir, "history", "2026-11.jsonl")
    month.with_name("2026-11.jsonl~").write_bytes(month.read_bytes())
    month.with_name(".#2026-11.jsonl").symlink_to("somebody@desk.4711")
    assert [end.key for end in history.newest_first(state_dir)] == KEYS[::-1]


@pytest.mark.parametrize("piece_bytes", [1, 7, 600, 1 << 20])
def test_lines_are_whole_wherever_the_pieces_end(
    state_dir: str, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    monkeypatch.setattr(history, "_PIECE_BYTES", piece_bytes)
    month = Path(state_dir, "history", "2026-11.jsonl")
    month.write_bytes(b"\n" + month.read_bytes().removesuffix(b"\n"))
    assert [end.key for end in history.newest_first(state_dir)] == KEYS[::-1]


def test_of_a_month_with_very_many_lines_a_piece_is_in_memory(state_dir: str) -> None:
    month = Path(state_dir, "history", "2026-11.jsonl")
    line = month.read_bytes().splitlines(keepends=True)[0]
    month.write_bytes(line * (30_000_000 // len(line)))
    tracemalloc.start()
    try:
        assert next(history.newest_first(state_dir)).key == KEYS[2]
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_month_of_more_than_a_gigabyte_is_read(state_dir: str) -> None:
    month = Path(state_dir, "history", "2026-11.jsonl")
    line = month.read_bytes().splitlines()[-1]
    with month.open("r+b") as file:  # the rest of it is a hole
        file.seek(3 << 30)
        file.write(b"\n" + line + b"\n")
    assert next(history.newest_first(state_dir)).key == KEYS[3]
