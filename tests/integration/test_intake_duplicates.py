"""The same bytes dropped again: the result is there, or on its way, and nothing is bought twice."""

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from contents import files_in
from shop import OTHER, PICTURE, Open, Shop, history, opened

from watchfolder import delivery_index, disk
from watchfolder.delivery_index import Original
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.intake import Ready, dedup
from watchfolder.order import Order, OrderFile, State, Why
from watchfolder.pipeline import reuse, timing
from watchfolder.publish import Publisher, Received
from watchfolder.sandbox import PlannedFault, Sandbox

USUAL = {"kept": {"look_seconds": 0}, "duplicates": "reuse"}


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[dict[str, Any]]]:
    caplog.set_level(logging.INFO, "watchfolder")
    return lambda name: [vars(record)["facts"] for record in caplog.records if record.message == name]


def deliver(shop: Shop, name: str, content: bytes = PICTURE) -> bytes:
    """Let it go the whole way, and return what was made of it."""
    shop.drop(name, content)
    shop.to_the_end()
    return (shop.folder("outbox") / name).read_bytes()


def claim(shop: Shop) -> None:
    """Let the inbox take what is there; the pipeline sleeps."""
    shop.intake.nudge(None)
    shop.look(time.monotonic() + shop.ahead)


def paid(service: Sandbox) -> list[int]:
    return sorted(service.paid_files.values())


Told = Callable[[str], list[dict[str, Any]]]


def test_the_same_bytes_again_are_delivered_without_a_request(begin: Open, told: Told) -> None:
    shop, service = begin()
    made = deliver(shop, "a.jpg")
    asked = len(service.requests)
    assert deliver(shop, "sub/another name.jpg") == made
    assert len(service.requests) == asked
    assert shop.files("originals") == ["a.jpg", "sub/another name.jpg"]
    assert shop.files("inbox") == []
    assert shop.orders() == ()
    (reused,) = told("file.reused")
    assert (reused["file"], reused["from"]) == ("sub/another name.jpg", str(shop.folder("outbox") / "a.jpg"))
    assert shop.journal.counters.reused_files == 1


def test_the_history_says_from_which_order_it_was_taken(begin: Open) -> None:
    shop, _ = begin()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        deliver(shop, name)
    bought, *reused = history(shop)
    assert "reused_from" not in bought
    assert [line["reused_from"] for line in reused] == [bought["key"]] * 2
    assert [line["order_id"] for line in reused] == [None, None]
    assert len({line["files"][0]["delivered_sha256"] for line in (bought, *reused)}) == 1


def test_under_the_same_name_its_result_lies_there_already(begin: Open) -> None:
    shop, service = begin()
    for _ in range(2):
        deliver(shop, "a.jpg")
    assert shop.files("outbox") == ["a.jpg"]
    assert shop.files("originals") == ["a (2).jpg", "a.jpg"]
    assert paid(service) == [1]
    assert [line["files"][0]["delivered"] for line in history(shop)] == ["a.jpg", "a.jpg"]


def test_known_ones_among_new_ones_take_no_part_in_the_order(begin: Open) -> None:
    shop, service = begin()
    deliver(shop, "a.jpg")
    shop.drop("b.jpg")
    shop.drop("c.jpg", OTHER)
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg", "b.jpg", "c.jpg"]
    assert sorted(order.files for order in service.orders.values()) == [("a.jpg",), ("c.jpg",)]


@pytest.mark.parametrize("fate", ["removed", "changed", "swapped for a link", "shorter", "its folder is a file"])
def test_a_delivery_that_is_no_longer_what_it_was_is_bought_again(begin: Open, told: Told, fate: str) -> None:
    shop, service = begin()
    made = deliver(shop, "sub/a.jpg")
    delivered = shop.folder("outbox") / "sub/a.jpg"
    delivered.unlink()
    match fate:
        case "changed":
            delivered.write_bytes(bytes(len(made)))
        case "swapped for a link":
            (shop.top / "elsewhere").write_bytes(made)
            delivered.symlink_to(shop.top / "elsewhere")
        case "shorter":
            delivered.write_bytes(made[:-1])
        case "its folder is a file":
            delivered.parent.rmdir()
            delivered.parent.touch()
    assert deliver(shop, "b.jpg") == made
    assert paid(service) == [2]
    assert len(told("file.not_reused")) == 1
    assert shop.files("inbox") == []


def test_of_two_deliveries_the_one_that_is_still_there_serves(begin: Open) -> None:
    shop, service = begin()
    made = deliver(shop, "a.jpg")
    deliver(shop, "b.jpg")
    (shop.folder("outbox") / "b.jpg").write_bytes(bytes(len(made)))
    assert deliver(shop, "c.jpg") == made
    assert paid(service) == [1]


def test_another_strength_is_another_picture(begin: Open, tmp_path: Path) -> None:
    shop, service = begin()
    deliver(shop, "a.jpg")
    shop.close()
    with opened(Shop(tmp_path, service, duplicates="reuse", strength="low")) as weaker:
        weaker.ahead = 20.0
        deliver(weaker, "b.jpg")
    assert paid(service) == [2]
    shop.open()


def test_again_buys_again_and_reads_nothing_for_it(begin: Open) -> None:
    shop, service = begin(duplicates="again")
    deliver(shop, "a.jpg")
    deliver(shop, "b.jpg")
    assert paid(service) == [2]
    assert not (shop.folder("state") / delivery_index.FILE).exists()


def test_a_picture_whose_size_nobody_else_has_is_not_read_for_its_hash(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, _ = begin()
    hashed: list[str] = []
    real = disk.hash_of

    def watched(place: Place) -> str:
        hashed.append(place.path)
        return real(place)

    monkeypatch.setattr(disk, "hash_of", watched)
    deliver(shop, "a.jpg")
    deliver(shop, "b.jpg", PICTURE + b"longer")
    assert hashed == []


# --- duplicates under way


def test_duplicates_dropped_together_are_paid_once(begin: Open) -> None:
    shop, service = begin()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        shop.drop(name)
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg", "b.jpg", "c.jpg"]
    assert paid(service) == [1]
    assert sum("reused_from" in line for line in history(shop)) == 2


def test_a_duplicate_waits_in_the_inbox_and_holds_up_nobody(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 3.0})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    shop.drop("b.jpg")
    shop.drop("c.jpg", OTHER)
    shop.work(lambda: service.paid == 2)
    assert shop.files("inbox") == ["b.jpg"]
    assert f"wf-{shop.orders()[0].key}" in shop.intake.candidates.left_waiting(shop.intake.allowance)["b.jpg"]
    assert len(shop.orders()) == 2
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg", "b.jpg", "c.jpg"]
    assert paid(service) == [1, 1]


def test_when_the_first_fails_the_next_of_its_duplicates_becomes_the_first(begin: Open) -> None:
    shop, service = begin()
    for name in ("1_fail.jpg", "2_fail.jpg", "3.jpg", "4.jpg"):
        shop.drop(name)
        os.utime(shop.folder("inbox") / name, (0, 1_000_000_000 + int(name[0])))
    shop.to_the_end()
    assert shop.files("outbox") == ["3.jpg", "4.jpg"]
    assert shop.files("quarantine") == ["1_fail.jpg", "1_fail.jpg.why.txt", "2_fail.jpg", "2_fail.jpg.why.txt"]
    assert paid(service) == [3]


def test_a_duplicate_of_an_order_of_an_earlier_life_waits_as_well(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 1.0})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    shop.drop("b.jpg")
    shop.live_again()
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg", "b.jpg"]
    assert paid(service) == [1]


def test_a_duplicate_whose_wait_is_over_may_be_held(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, _ = begin({"processing_seconds": 1.0})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    shop.drop("b.jpg")
    shop.work(lambda: "b.jpg" in shop.intake.candidates.left_waiting(shop.intake.allowance))
    brake = "the brake"
    monkeypatch.setattr(shop.pipeline.admission._quota, "meet", lambda _, __, waits, ___: brake if waits() else None)
    shop.work(lambda: not shop.orders())
    shop.work(lambda: shop.intake.allowance.is_held)
    assert shop.intake.candidates.left_waiting(shop.intake.allowance)["b.jpg"] == "held: the brake"


def test_a_waiting_duplicate_that_changes_is_a_picture_of_its_own(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 2.0})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    shop.drop("b.jpg")
    shop.work(lambda: "b.jpg" in shop.intake.candidates.left_waiting(shop.intake.allowance))
    shop.drop("b.jpg", OTHER)
    shop.work(lambda: service.paid == 2)
    shop.to_the_end()
    assert paid(service) == [1, 1]
    assert shop.files("outbox") == ["a.jpg", "b.jpg"]


def about_to_be_given_up(shop: Shop, service: Sandbox, pictures: Mapping[str, bytes]) -> PlannedFault:
    """Let one order be paid and fail for so long that it is parked at its next step; return what keeps it failing."""
    fault = service.faults.add("link", "answer", times=None, status=503)
    for name, content in pictures.items():
        shop.drop(name, content)
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    shop.journal.note(shop.order(), failing_seconds=1e9)
    return fault


def park(shop: Shop, service: Sandbox, pictures: Mapping[str, bytes]) -> None:
    """Bring one order into quarantine that is paid and alive at the service."""
    fault = about_to_be_given_up(shop, service, pictures)
    shop.pass_time(3600)
    shop.to_the_end()
    fault.times = 0
    assert shop.order().is_resumable


def test_what_a_parked_order_waits_for_takes_it_up_before_anything_is_reused(begin: Open) -> None:
    shop, service = begin()
    park(shop, service, {"a.jpg": PICTURE})
    shop.drop("b.jpg")
    shop.drop("c.jpg")
    shop.to_the_end()
    assert shop.files("outbox") == ["b.jpg", "c.jpg"]
    assert paid(service) == [1]


def give_up_an_order_of_three(shop: Shop, service: Sandbox) -> None:
    """Let an order of three be paid and be about to be given up, and then parked file by file."""
    about_to_be_given_up(shop, service, {f"{number}.jpg": PICTURE + bytes([number]) for number in range(3)})
    shop.pass_time(3600)


def at_the_first_entry_of_a_file(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, act: Callable[[Order], None]
) -> Callable[[], bool]:
    """Do this once, when the first file of an order of many is parked by itself; return the question whether it was."""
    note, seen = shop.journal.note, list[str]()

    def noted(order: Order, **facts: Any) -> Order:  # noqa: ANN401 - whatever it takes
        after = note(order, **facts)
        if order.state is State.QUARANTINED and len(order.files) == 1 and not seen:
            seen.append(order.key)
            act(after)
        return after

    monkeypatch.setattr(shop.journal, "note", noted)
    return lambda: bool(seen)


@pytest.mark.parametrize("duplicates", ["reuse", "again"])
def test_what_comes_back_while_its_order_is_parked_is_not_bought_again(
    begin: Open, monkeypatch: pytest.MonkeyPatch, duplicates: str
) -> None:
    shop, service = begin({"processing_seconds": 2.0}, duplicates=duplicates, api={"reads": "v3"})
    give_up_an_order_of_three(shop, service)

    def drop_and_look(_order: Order) -> None:
        service.faults.clear()
        for number in range(3):
            shop.drop(f"again {number}.jpg", PICTURE + bytes([number]))
        shop.intake.nudge(None)
        for _ in range(3):
            shop.look(time.monotonic() + shop.ahead)

    is_parked = at_the_first_entry_of_a_file(shop, monkeypatch, drop_and_look)
    shop.work(is_parked, takes=False)
    shop.to_the_end()
    assert shop.files("outbox") == ["again 0.jpg", "again 1.jpg", "again 2.jpg"]
    assert paid(service) == [1, 1, 1]
    assert shop.orders() == ()


def test_a_picture_that_is_on_its_way_again_is_not_parked_by_a_repeated_parking(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin({"processing_seconds": 2.0}, api={"reads": "v3"})
    give_up_an_order_of_three(shop, service)

    parent = shop.order().key

    def come_back_and_fail(_order: Order) -> None:
        service.faults.clear()
        service.faults.add("link", "answer", times=None, status=503)
        shop.drop("again.jpg", PICTURE + bytes([0]))
        shop.intake.nudge(None)
        for _ in range(3):
            shop.look(time.monotonic() + shop.ahead)
        raise FolderFault("the disk is full", code="ENOSPC")

    is_parked = at_the_first_entry_of_a_file(shop, monkeypatch, come_back_and_fail)
    shop.work(is_parked, takes=False)
    (again,) = (order.key for order in shop.orders() if order.is_open and order.key != parent)
    shop.pass_time(60)
    shop.work(lambda: shop.journal.get(parent) is None)
    service.faults.clear()
    shop.live_again()
    shop.pass_time(3600)
    shop.to_the_end()
    assert shop.files("outbox") == ["again.jpg"]
    assert shop.files("inbox") == []
    assert shop.journal.get(again) is None
    assert paid(service) == [1, 1, 1]


def test_a_duplicate_that_is_sorted_while_the_first_is_parked_takes_that_up(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin({"processing_seconds": 2.0})
    fault = about_to_be_given_up(shop, service, {"a.jpg": PICTURE})
    shop.drop("b.jpg")
    hashed = dedup._hash

    def parked_meanwhile(place: Place) -> str | None:
        monkeypatch.setattr(dedup, "_hash", hashed)
        shop.pass_time(3600)
        shop.work(lambda: not shop.order().is_open, takes=False)
        fault.times = 0
        return hashed(place)

    monkeypatch.setattr(dedup, "_hash", parked_meanwhile)
    shop.to_the_end()
    assert shop.files("outbox") == ["b.jpg"]
    assert paid(service) == [1]


@pytest.mark.parametrize("is_known_to_have_failed", [False, True])
def test_what_an_order_delivered_before_it_was_given_up_is_not_bought_again(
    begin: Open, monkeypatch: pytest.MonkeyPatch, *, is_known_to_have_failed: bool
) -> None:
    shop, service = begin(api={"reads": "v3"})
    service.faults.add("fetch", "truncated", nth=3, times=None)
    for number in range(5):
        shop.drop(f"{number}.jpg", PICTURE + bytes([number]))
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    number = int(shop.files("outbox")[0][0])
    shop.drop("duplicate.jpg", PICTURE + bytes([number]))
    shop.intake.nudge(None)
    shop.work(lambda: "duplicate.jpg" in shop.intake.candidates.left_waiting(shop.intake.allowance))
    service.faults.clear()
    record = shop.journal.record

    def looked_at_first(order: Order) -> None:
        shop.look(time.monotonic() + shop.ahead)  # the inbox's own thread asks whenever it likes
        record(order)
        shop.look(time.monotonic() + shop.ahead)

    monkeypatch.setattr(shop.journal, "record", looked_at_first)
    why = Why(reason="It failed for 120 h.")
    shop.journal.advance(shop.order(), State.QUARANTINING, why=why, is_resumable=not is_known_to_have_failed)
    shop.work(lambda: not any(order.state is State.QUARANTINING for order in shop.orders()), takes=False)
    monkeypatch.undo()
    shop.to_the_end()
    deliver(shop, "later.jpg", PICTURE + bytes([number]))
    assert shop.journal.counters.reused_files == 2
    assert paid(service) == [1] * 5


# --- without the service, and after a death


def test_a_reuse_does_not_open_a_closed_gate(begin: Open) -> None:
    shop, service = begin()
    deliver(shop, "a.jpg")
    service.credits_left = 0
    shop.drop("b.jpg")
    claim(shop)
    assert shop.order().state is State.MATCHED
    shop.drop("new.jpg", OTHER)
    shop.work(lambda: shop.pipeline.breaker.refusal is not None)
    assert shop.files("outbox") == ["a.jpg", "b.jpg"]
    assert shop.pipeline.breaker.refusal is not None


def test_an_order_that_was_begun_as_a_reuse_is_rebuilt_as_one(begin: Open) -> None:
    shop, service = begin()
    deliver(shop, "a.jpg")
    shop.drop("b.jpg")
    claim(shop)
    shop.lose_entry()
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg", "b.jpg"]
    assert paid(service) == [1]


def test_a_delivery_that_goes_after_its_duplicate_was_claimed_is_bought_again(begin: Open, told: Told) -> None:
    shop, service = begin()
    deliver(shop, "a.jpg")
    shop.drop("b.jpg")
    claim(shop)
    (shop.folder("outbox") / "a.jpg").unlink()
    shop.to_the_end()
    assert (shop.files("outbox"), paid(service)) == (["b.jpg"], [2])
    assert len(told("file.not_reused")) == 1


def test_a_copy_that_another_program_cleans_away_is_made_again(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, service = begin()
    deliver(shop, "a.jpg")
    accept, cleaned = Publisher.accept, list[Path]()

    def and_then_it_cleans(publisher: Publisher, order: Order, received: Mapping[int, Received]) -> Order:
        order = accept(publisher, order, received)
        for part in [] if cleaned else shop.folder("outbox").glob(".watchfolder/*.tmp"):
            part.unlink()
            cleaned.append(part)
        return order

    monkeypatch.setattr(Publisher, "accept", and_then_it_cleans)
    shop.drop("b.jpg")
    shop.work(lambda: cleaned and shop.has(State.MATCHED) and shop.order().failures)
    shop.pass_time(60)
    shop.to_the_end()
    assert shop.files("outbox") == shop.files("originals") == ["a.jpg", "b.jpg"]
    assert paid(service) == [1]


def test_an_original_that_changed_in_the_work_folder_goes_back_as_a_new_picture(begin: Open) -> None:
    shop, service = begin()
    deliver(shop, "a.jpg", PICTURE.ljust(4096, b"\0"))
    shop.drop("b.jpg", PICTURE.ljust(4096, b"\0"))
    claim(shop)
    (claimed,) = (shop.folder("inbox") / ".watchfolder").rglob("b.jpg")
    found = claimed.stat()
    claimed.write_bytes(OTHER.ljust(4096, b"\0"))
    os.utime(claimed, ns=(found.st_atime_ns, found.st_mtime_ns))
    shop.to_the_end()
    assert paid(service) == [1, 1]
    assert shop.files("outbox") == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("wreck", ["gone", "garbage", "empty", "half"])
def test_a_lost_or_damaged_index_is_made_anew_from_the_history(begin: Open, wreck: str) -> None:
    shop, service = begin()
    deliver(shop, "a.jpg")
    shop.close()
    file = shop.folder("state") / delivery_index.FILE
    match wreck:
        case "gone":
            file.unlink()
        case "garbage":
            file.write_bytes(b"no database at all" * 1000)
        case "empty":
            file.write_bytes(b"")
        case _:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    shop.open()
    asked = len(service.requests)
    deliver(shop, "b.jpg")
    assert len(service.requests) == asked


# --- quarantine


def test_on_wish_a_duplicate_is_quarantined_with_when_and_where(begin: Open) -> None:
    shop, service = begin(duplicates="quarantine")
    deliver(shop, "a.jpg")
    shop.drop("b.jpg")
    shop.to_the_end()
    why = (shop.folder("quarantine") / "b.jpg.why.txt").read_text()
    assert history(shop)[0]["at"][:10] in why
    assert str(shop.folder("outbox") / "a.jpg") in why
    assert "duplicates: again" in why
    assert paid(service) == [1]
    (shop.folder("outbox") / "a.jpg").unlink()
    (shop.folder("quarantine") / "b.jpg").rename(shop.folder("inbox") / "b.jpg")
    shop.to_the_end()
    assert shop.files("outbox") == ["b.jpg"]
    assert paid(service) == [2]


# --- other inboxes


def test_another_inboxs_delivery_serves_while_that_inbox_is_there(begin: Open, tmp_path: Path) -> None:
    shop, service = begin(inboxes=("one", "two", "three"))
    shop.drop("a.jpg", inbox="one/inbox")
    shop.to_the_end()
    shop.drop("b.jpg", inbox="two/inbox")
    shop.to_the_end()
    assert files_in(tmp_path / "two" / "outbox") == ["b.jpg"]
    assert paid(service) == [1]


def test_a_share_that_is_away_holds_up_no_other_inbox(begin: Open, tmp_path: Path) -> None:
    shop, service = begin(inboxes=("one", "two"))
    shop.drop("a.jpg", inbox="one/inbox")
    shop.to_the_end()
    (tmp_path / "one" / "inbox").rename(tmp_path / "one" / "away")
    shop.work(lambda: not shop.intakes["one"].health.is_open)
    shop.drop("b.jpg", inbox="two/inbox")
    shop.work((tmp_path / "two" / "outbox" / "b.jpg").exists)
    assert paid(service) == [2]


def test_a_share_that_goes_before_the_copy_is_made_is_not_forgotten(begin: Open, tmp_path: Path) -> None:
    shop, service = begin(inboxes=("one", "two"))
    shop.drop("a.jpg", inbox="one/inbox")
    shop.to_the_end()
    shop.drop("b.jpg", inbox="two/inbox")
    intake, now = shop.intakes["two"], time.monotonic() + shop.ahead
    intake.nudge(None)
    intake.beat(now)
    assert shop.order().state is State.MATCHED
    original = Original(len(PICTURE), "live", shop.order().product, shop.order().files[0].sha256 or "")
    (tmp_path / "one" / "outbox").rename(tmp_path / "one" / "away")
    shop.work(lambda: service.paid == 2)
    assert [each.inbox for each in shop.delivery_index.find(original)] == ["one"]


def test_duplicates_in_two_inboxes_at_once_are_paid_once(begin: Open, tmp_path: Path) -> None:
    shop, service = begin(inboxes=("one", "two"))
    for inbox in ("one", "two"):
        shop.drop("a.jpg", inbox=f"{inbox}/inbox")
    shop.to_the_end()
    assert files_in(tmp_path / "one" / "outbox") == files_in(tmp_path / "two" / "outbox") == ["a.jpg"]
    assert paid(service) == [1]


def test_pictures_of_one_size_in_two_inboxes_wait_for_no_more_than_an_upload(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 600.0}, inboxes=("one", "two"))
    for inbox, last in (("one", b"1"), ("two", b"2"), ("one", b"3"), ("two", b"4")):
        shop.drop(f"{last.decode()}.jpg", PICTURE + last, inbox=f"{inbox}/inbox")
    shop.work(lambda: service.paid == 4)


def test_what_another_inbox_uploads_keeps_only_pictures_of_its_size(begin: Open) -> None:
    shop, _ = begin(inboxes=("one", "two"))

    def take(inbox: str, *contents: bytes) -> list[str]:
        for number, content in enumerate(contents):
            shop.drop(f"{number}.jpg", content, inbox=f"{inbox}/inbox")
        intake, deadline = shop.intakes[inbox], time.monotonic() + 20
        intake.open_again(time.monotonic())
        while not shop.journal.orders(inbox):
            assert time.monotonic() < deadline
            intake.beat(time.monotonic() + 1)
        return [file.name for order in shop.journal.orders(inbox) for file in order.files]

    assert take("one", PICTURE + b"1") == ["0.jpg"]
    assert take("two", PICTURE + b"2", PICTURE + b"33", PICTURE + b"44") == ["1.jpg", "2.jpg"]


def test_a_copy_that_hangs_on_another_share_holds_up_one_step_only(begin: Open, tmp_path: Path) -> None:
    shop, _ = begin(inboxes=("one", "two"))
    shop.drop("a.jpg", inbox="one/inbox")
    shop.to_the_end()
    context = shop.pipeline.runtimes["two"].context
    with context.read_other_inbox():  # as a step does that reads there, and gets no answer
        shop.drop("b.jpg", inbox="two/inbox")
        shop.drop("c.jpg", OTHER, inbox="two/inbox")
        shop.work(lambda: files_in(tmp_path / "two" / "outbox") == ["c.jpg"])
        assert [order.state for order in shop.orders()] == [State.MATCHED]
        shop.pipeline.runtimes["one"].health.is_silent = True
        shop.work(lambda: files_in(tmp_path / "two" / "outbox") == ["b.jpg", "c.jpg"])


def test_a_copy_that_hangs_on_another_share_leaves_a_worker_for_the_one_order(
    begin: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_arguments: object) -> None:
        is_hung.set()
        assert answers.wait(60)
        raise FolderFault("it was away", code="EIO")

    is_hung, answers = threading.Event(), threading.Event()
    shop, _ = begin(inboxes=("one", "two"), orders_in_flight=1)
    shop.drop("a.jpg", inbox="one/inbox")
    shop.to_the_end()
    monkeypatch.setattr(reuse, "_copy", hang)
    try:
        shop.drop("b.jpg", inbox="two/inbox")
        shop.beat_until(is_hung.is_set)
        shop.drop("c.jpg", OTHER, inbox="two/inbox")
        shop.beat_until(lambda: files_in(tmp_path / "two" / "outbox") == ["c.jpg"])
    finally:
        answers.set()


def test_while_one_inbox_begins_an_order_no_other_decides_what_is_new(begin: Open) -> None:
    shop, _ = begin()
    scope = shop.intake._claims.dedup._scope
    shop.drop("a.jpg")
    looks = threading.Thread(target=shop.to_the_end, daemon=True)
    with scope.one_claim():
        looks.start()
        looks.join(1.0)  # without the wait it would be done by then
        assert shop.files("inbox") == ["a.jpg"]
    looks.join(20.0)
    assert shop.files("outbox") == ["a.jpg"]


def test_an_order_that_waits_for_another_key_keeps_no_other_picture_waiting(begin: Open, tmp_path: Path) -> None:
    shop, service = begin(inboxes=("one", "two"))
    refusal = service.faults.add("upload", "answer", times=None, status=503)
    shop.drop("a.jpg", PICTURE + b"1", inbox="one/inbox")
    shop.work(lambda: refusal.befallen)
    (order,) = shop.orders()
    shop.journal.put_off(order, 24 * 3600, failures=0, last_error="it belongs to another account")
    service.faults.clear()
    shop.drop("b.jpg", PICTURE + b"2", inbox="two/inbox")
    shop.work(lambda: files_in(tmp_path / "two" / "outbox") == ["b.jpg"])


def test_files_that_are_put_off_are_not_forgotten(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, service = begin(api={"reads": "v3"}, scan_seconds=3600.0)
    service.processing_seconds = 600.0
    shop.drop("under way.jpg", PICTURE + b"and longer")
    shop.work(lambda: shop.has(State.CONFIRMED))
    monkeypatch.setattr(dedup, "_READING_SECONDS", 0.0)
    (under_way,) = shop.orders()
    for number in range(3):
        shop.drop(f"{number}.jpg", PICTURE + bytes([number]))
        os.utime(shop.folder("inbox") / f"{number}.jpg", (1000 + number,) * 2)
    shop.drop("late.jpg", PICTURE + b"and changed")
    seen = dedup.Dedup._under_way

    def first_without(self: dedup.Dedup, ready: Sequence[Ready]) -> list[tuple[Order, OrderFile]]:
        monkeypatch.setattr(dedup.Dedup, "_under_way", seen)  # an order came to its end just now
        return [*seen(self, ready), (under_way.having(key=str(uuid.uuid4())), under_way.files[0])]

    monkeypatch.setattr(dedup.Dedup, "_under_way", first_without)
    shop.intake.nudge(None)
    shop.work(lambda: service.paid == 5)


def test_an_index_that_breaks_when_it_is_asked_lets_nothing_be_bought_again(begin: Open, told: Told) -> None:
    shop, service = begin()
    deliver(shop, "a.jpg")
    connection = shop.delivery_index._connection
    assert connection is not None
    connection.close()
    deliver(shop, "b.jpg")
    assert told("delivery_index.broken")
    assert paid(service) == [1]
    assert shop.journal.counters.reused_files == 1


def test_a_copy_whose_entry_cannot_be_written_is_made_once(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, _ = begin()
    deliver(shop, "a.jpg")
    monkeypatch.setattr(timing, "FOLDER_BACKOFF_SECONDS", 0.02)
    parts = shop.folder("outbox") / ".watchfolder"
    write, tries = disk.write_atomically, list[int]()

    def full(place: Place, data: bytes, **options: Any) -> None:  # noqa: ANN401 - whatever it takes
        if place.folder == "journal" and b'"part":"' in data and len(tries) < 5:
            tries.append(len(os.listdir(parts)))
            raise FolderFault(f"{place.path}: the disk is full", code="ENOSPC")
        write(place, data, **options)

    monkeypatch.setattr("watchfolder.disk.write_atomically", full)
    made = deliver(shop, "b.jpg")
    assert made == (shop.folder("outbox") / "a.jpg").read_bytes()
    assert tries == [1] * 5
    assert os.listdir(parts) == []


def test_many_files_of_one_size_are_read_in_goes_that_look_like_no_hung_share(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin(api={"reads": "v3"})
    service.processing_seconds = 600.0
    monkeypatch.setattr(dedup, "_READING_SECONDS", 0.0)
    for number in range(3):
        shop.drop(f"{number}.jpg", PICTURE + bytes([number]))
    shop.work(lambda: service.paid == 3)
    assert len(service.orders) == 3


# --- what cannot be read


def unreadable(monkeypatch: pytest.MonkeyPatch, code: str, base: str) -> None:
    """Let no more of this file be read than the look does: it is damaged in its middle."""

    def damaged(read: Callable[..., object], place: Place, *what: object) -> object:
        if place.base == base:
            raise FolderFault(f"{place.path}: damaged", code=code)
        return read(place, *what)

    for name in ("hash_of", "holds"):
        monkeypatch.setattr(disk, name, partial(damaged, getattr(disk, name)))


@pytest.mark.parametrize("code", ["EIO", "EACCES", "EAGAIN"])
def test_a_file_that_cannot_be_read_to_its_end_keeps_none_of_its_neighbours(
    begin: Open, told: Told, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    shop, service = begin()
    deliver(shop, "first.jpg", PICTURE + b"1")
    with monkeypatch.context() as patch:
        unreadable(patch, code, "bad.jpg")
        shop.drop("bad.jpg", PICTURE + b"2")
        os.utime(shop.folder("inbox") / "bad.jpg", (1000, 1000))  # the oldest
        shop.drop("good.jpg", PICTURE + b"3")
        for _ in range(3):
            shop.to_the_end()
            shop.pass_time(200)
        assert shop.files("outbox") == ["first.jpg", "good.jpg"]
        assert shop.files("inbox") == ["bad.jpg"]
        assert shop.intake.candidates.remarks().keys() == {"bad.jpg"}
        assert [fact["file"] for fact in told("file.stays")] == ["bad.jpg"]
        assert told("inbox.waits") == []
    shop.pass_time(3600)
    shop.to_the_end()
    assert shop.files("outbox") == ["bad.jpg", "first.jpg", "good.jpg"]
    assert paid(service) == [1, 1, 1]


def test_a_share_that_goes_while_a_file_is_read_closes_its_inbox(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, _ = begin()
    deliver(shop, "first.jpg", PICTURE + b"1")
    unreadable(monkeypatch, "ENOTCONN", "b.jpg")
    shop.drop("b.jpg", PICTURE + b"2")
    claim(shop)
    assert not shop.intake.health.is_open


@pytest.mark.parametrize("duplicates", ["reuse", "again"])
def test_an_unreadable_file_of_a_parked_orders_size_delays_no_other(
    begin: Open, monkeypatch: pytest.MonkeyPatch, duplicates: str
) -> None:
    shop, service = begin(duplicates=duplicates)
    content = PICTURE + b"1"
    park(shop, service, {"parked.jpg": content})
    unreadable(monkeypatch, "EIO", "bad.jpg")
    shop.drop("bad.jpg", PICTURE + b"2")
    shop.drop("back.jpg", content)
    shop.drop("good.jpg", PICTURE + b"3")
    shop.to_the_end()
    assert shop.files("outbox") == ["back.jpg", "good.jpg"]
    assert shop.files("inbox") == ["bad.jpg"]
    assert paid(service) == [1, 1]


def test_a_claimed_file_that_cannot_be_read_keeps_no_other_of_its_size(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin()
    service.faults.add("create", "answer", times=None, status=503)
    shop.drop("bad.jpg", PICTURE + b"1")
    shop.work(lambda: shop.orders() and shop.order().failures)
    unreadable(monkeypatch, "EIO", "bad.jpg")
    service.faults.clear()
    shop.drop("good.jpg", PICTURE + b"2")
    claim(shop)
    assert shop.intake.health.is_open
    shop.work(lambda: "good.jpg" in shop.files("outbox"))


def test_a_known_picture_that_cannot_be_read_any_more_goes_back_alone(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin()
    deliver(shop, "a.jpg")
    shop.drop("b.jpg")
    claim(shop)
    assert shop.order().state is State.MATCHED
    unreadable(monkeypatch, "EIO", "b.jpg")
    shop.drop("good.jpg", OTHER)
    shop.work(lambda: "b.jpg" in shop.intake.candidates.remarks())
    assert shop.intake.health.is_open
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg", "good.jpg"]
    assert shop.files("inbox") == ["b.jpg"]
    assert paid(service) == [1, 1]


def test_a_delivery_that_cannot_be_looked_at_keeps_no_picture_waiting(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, _ = begin()
    deliver(shop, "sub/a.jpg")
    look = disk.stat_of

    def refused(place: Place) -> os.stat_result | None:
        if place.path == str(shop.folder("outbox") / "sub/a.jpg"):
            raise FolderFault(f"{place.path}: permission denied", code="EACCES")
        return look(place)

    monkeypatch.setattr(disk, "stat_of", refused)
    deliver(shop, "b.jpg")
