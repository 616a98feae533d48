"""The index of deliveries: filled from the history alone, read on from where it was, made anew when it is lost."""

import hashlib
import json
import logging
import os
import sqlite3
import tracemalloc
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import pytest
from holding import leased
from rights import nobodys_folder
from waiting import wait_until

from watchfolder import delivery_index as delivery_index_module
from watchfolder.delivery_index import FILE, DeliveryIndex, EarlierDelivery, Original

ROWS = 10_000

PRODUCT = "anti-ai strength=high"


def sha256(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def original(number: int) -> Original:
    return Original(1000 + number % 50, "live", PRODUCT, sha256(number))


def line(number: int, **facts: object) -> bytes:
    """Return the history's line of one delivered picture."""
    file = {
        "name": f"{number}.jpg",
        "size": original(number).size,
        "sha256": sha256(number),
        "delivered": f"{number} %FF.jpg",
        "delivered_at": "2026-03-01T12:00:00Z",
        "delivered_size": 7,
        "delivered_sha256": sha256(-number),
    }
    plain = {"at": "2026-03-01T12:00:00+00:00", "outcome": "delivered", "key": str(uuid.uuid4()), "inbox": "photos"}
    whole = (
        plain
        | {"mode": "live", "service": "anti-ai", "options": {"strength": "high"}, "order_id": "1", "files": [file]}
        | facts
    )
    return json.dumps(whole).encode() + b"\n"


def write(state_dir: Path, month: str, *lines: bytes) -> Path:
    path = state_dir / "history" / f"{month}.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.writelines(lines)
    return path


@contextmanager
def opened(state_dir: Path) -> Iterator[DeliveryIndex]:
    """Begin a life, and wait until it has read what there is."""
    with closing(DeliveryIndex(str(state_dir))) as delivery_index:
        delivery_index.begin()
        wait_until(lambda: delivery_index.is_ready)
        yield delivery_index


def test_what_was_delivered_is_found_by_its_bytes(tmp_path: Path) -> None:
    key = str(uuid.uuid4())
    write(tmp_path, "2026-03", line(1, key=key), line(2))
    with opened(tmp_path) as delivery_index:
        assert delivery_index.has_size(original(1).size, "live", PRODUCT)
        assert not delivery_index.has_size(original(1).size, "test", PRODUCT)
        assert not delivery_index.has_size(original(1).size, "live", "low")
        at = "2026-03-01T12:00:00+00:00"
        assert delivery_index.find(original(1)) == [
            EarlierDelivery("photos", os.fsdecode(b"1 \xff.jpg"), 7, sha256(-1), key, at),
        ]
        assert delivery_index.find(original(3)) == []


def test_a_new_line_is_found_as_soon_as_it_was_caught_up_with(tmp_path: Path) -> None:
    with opened(tmp_path) as delivery_index:
        write(tmp_path, "2026-03", line(1))
        delivery_index.read_new()
        assert len(delivery_index.find(original(1))) == 1


def test_the_first_order_stays_the_one_that_was_paid(tmp_path: Path) -> None:
    first = str(uuid.uuid4())
    write(tmp_path, "2026-03", line(1, reused_from=first))
    with opened(tmp_path) as delivery_index:
        assert [delivery.key for delivery in delivery_index.find(original(1))] == [first]


@pytest.mark.parametrize("dates", [("2026-03-01", "2026-03-02"), ("2026-03-30", "2026-03-02")])
def test_of_two_results_under_one_name_both_are_found_whatever_their_dates(
    tmp_path: Path, dates: tuple[str, str]
) -> None:
    for number, date in enumerate(dates):
        delivered = {"name": "1.jpg", "size": original(1).size, "sha256": sha256(1), "delivered": "1.jpg"}
        file = delivered | {"delivered_at": None, "delivered_size": 7 + number, "delivered_sha256": sha256(-number)}
        write(tmp_path, "2026-03", line(1, at=f"{date}T12:00:00+00:00", files=[file]))
    with opened(tmp_path) as delivery_index:
        found = delivery_index.find(original(1))
        assert {delivery.size for delivery in found} == {7, 8}
        delivery_index.forget(original(1), found[0])
        assert delivery_index.find(original(1)) == found[1:]


def test_what_is_forgotten_is_not_found_any_more(tmp_path: Path) -> None:
    write(tmp_path, "2026-03", line(1))
    with opened(tmp_path) as delivery_index:
        (delivery,) = delivery_index.find(original(1))
        delivery_index.forget(original(1), delivery)
        assert delivery_index.find(original(1)) == []


def test_one_that_was_cut_in_half_as_it_was_made_is_made_all_the_same() -> None:
    """NFS 3 and 4.0 make a new file without any rights, and give it them by a second request."""
    with nobodys_folder() as state_dir:
        write(state_dir, "2026-03", line(1))
        (state_dir / FILE).touch()
        (state_dir / FILE).chmod(0)
        with opened(state_dir) as delivery_index:
            assert len(delivery_index.find(original(1))) == 1


def test_a_start_reads_only_what_came_since(tmp_path: Path) -> None:
    for year in range(2016, 2026):
        write(tmp_path, f"{year}-03", *(line(number) for number in range(100)))
    newest = write(tmp_path, "2026-03", *(line(number) for number in range(100)))
    with opened(tmp_path) as delivery_index:
        whole = sum(path.stat().st_size for path in newest.parent.iterdir())
        assert delivery_index.bytes_read == whole
    since = line(1000)
    write(tmp_path, "2026-03", since)
    with opened(tmp_path) as delivery_index:
        assert delivery_index.bytes_read == len(since)
        assert len(delivery_index.find(original(1000))) == 1
        assert len(delivery_index.find(original(99))) == 1


@pytest.mark.parametrize("wreck", ["deleted", "garbage", "half", "older schema", "a folder of zeros"])
def test_a_lost_damaged_or_older_one_is_made_anew(tmp_path: Path, wreck: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "watchfolder")
    write(tmp_path, "2026-03", *(line(number) for number in range(2000)))
    with opened(tmp_path):
        pass
    file = tmp_path / FILE
    match wreck:
        case "deleted":
            file.unlink()
        case "garbage":
            file.write_bytes(os.urandom(10_000))
        case "half":
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        case "older schema":
            with closing(sqlite3.connect(file)) as tables:
                tables.execute("PRAGMA user_version = 99")
        case _:
            file.write_bytes(bytes(file.stat().st_size))
    with opened(tmp_path) as delivery_index:
        for number in range(0, 2000, 50):
            if not delivery_index.find(original(number)):  # damage may only show when that page is read
                wait_until(lambda: delivery_index.is_ready)
        delivery_index.read_new()
        wait_until(lambda: delivery_index.is_ready)
        assert all(delivery_index.find(original(number)) for number in range(0, 2000, 50))


def test_a_torn_tail_is_passed_over_once_it_has_an_end(tmp_path: Path) -> None:
    month = write(tmp_path, "2026-03", line(1), line(2)[:40])
    with opened(tmp_path) as delivery_index:
        assert delivery_index.bytes_read == month.stat().st_size - 40
        write(tmp_path, "2026-03", b"\n", line(3))
        delivery_index.read_new()
        assert delivery_index.find(original(2)) == []
        assert len(delivery_index.find(original(3))) == 1


def test_lines_that_are_not_ours_or_tell_of_no_delivery_are_passed_over(tmp_path: Path) -> None:
    quarantined = line(2, outcome="quarantined").replace(b'"2 %FF.jpg"', b"null")
    odd = [b"\0" * 100 + b"\n", b"[]\n", quarantined, line(3, key="no uuid")]
    odd += [
        line(4).replace(b"4 %FF.jpg", b"../4.jpg"),
        line(5).replace(b'"size": 1005', b'"size": 9999999999999999999'),
    ]
    write(tmp_path, "2026-03", *odd, line(1))
    with opened(tmp_path) as delivery_index:
        assert len(delivery_index.find(original(1))) == 1
        assert not any(delivery_index.find(original(number)) for number in (2, 3, 4, 5))


def test_what_an_order_delivered_before_it_was_given_up_is_found_as_well(tmp_path: Path) -> None:
    write(tmp_path, "2026-03", line(1, outcome="quarantined"))
    with opened(tmp_path) as delivery_index:
        assert len(delivery_index.find(original(1))) == 1


def test_a_history_that_was_cut_is_read_again(tmp_path: Path) -> None:
    month = write(tmp_path, "2026-03", line(1), line(2))
    with opened(tmp_path):
        pass
    month.write_bytes(line(3))
    with opened(tmp_path) as delivery_index:
        assert delivery_index.find(original(1)) == []
        assert len(delivery_index.find(original(3))) == 1


@pytest.mark.parametrize("is_held", [False, True], ids=["a folder in its place", "a month that somebody holds"])
def test_what_cannot_be_opened_is_said_once_and_holds_up_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, *, is_held: bool
) -> None:
    monkeypatch.setattr(delivery_index_module, "_BRIEF_SECONDS", 0.05)
    month = write(tmp_path, "2026-03", line(1))
    if not is_held:
        (tmp_path / FILE).mkdir()
    with leased(month) if is_held else nullcontext(), opened(tmp_path) as delivery_index:
        assert delivery_index.find(original(1)) == []
        for _ in range(3):
            delivery_index.read_new()
    assert [record.message for record in caplog.records] == ["delivery_index.broken"]


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


def test_lookups_among_ten_thousand_take_little_memory(tmp_path: Path) -> None:
    write(tmp_path, "2026-03", *(line(number) for number in range(ROWS)))
    with opened(tmp_path) as delivery_index:
        tracemalloc.start()
        assert all(len(delivery_index.find(original(number))) == 1 for number in range(0, ROWS, 10))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 1 << 20
