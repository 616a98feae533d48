"""Many pictures in one order: one at fault hurts no other, and a service at fault condemns none."""

import dataclasses
import itertools
import logging
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from contents import files_in
from shop import Open, Shop, calls, closing_a_sub_folder

from watchfolder import disk
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.images import Format
from watchfolder.intake import Ready
from watchfolder.order import Order, State
from watchfolder.pipeline.breaker import Breaker
from watchfolder.pipeline.successors import split
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

CONTENT = sample("jpeg", width=40, height=30, seed=1)
USUAL = {"kept": {"look_seconds": 0}}


def pour(shop: Shop, count: int, *bad: int) -> list[str]:
    """Drop so many pictures, each of its own bytes; the service fails the bad ones. Return the good ones' names."""
    for number in range(count):
        name = f"{number:03}{'_fail' if number in bad else ''}.jpg"
        shop.drop(name, CONTENT + number.to_bytes(2, "big"))
    return [f"{number:03}.jpg" for number in range(count) if number not in bad]


def ready(shop: Shop, name: str) -> Ready:
    found = (shop.folder("inbox") / name).stat()
    return Ready(name, found.st_size, found.st_mtime_ns, Format.JPEG)


def assert_processed_once(service: Sandbox, good: list[str]) -> None:
    """Each good picture is in exactly one order that did not fail, and nothing broke the contract."""
    done = [name for order in service.orders.values() if order.status == "complete" for name in order.files]
    assert Counter(done) == Counter(good)
    assert service.sins == []


def break_file(service: Sandbox, operation: str, name: str, fault: str) -> None:
    """Let the transfer of one file fail lastingly, or of all of them for an empty name."""
    match fault:
        case "server":
            service.faults.add(operation, "answer", times=None, path=name, status=500)
        case "link":
            service.faults.add(operation, "answer", times=None, path=name, status=403)
        case _:
            service.faults.add(operation, "truncated", times=None, path=name)


def failing(shop: Shop, service: Sandbox) -> None:
    """Bring the shop to the point where it doubts the service."""
    service.faults.add("confirm", "fail", code="PROCESSING_ERROR", times=None)
    shop.work(lambda: shop.pipeline.breaker.is_open("anti-ai"))


def to_the_end_of_a_doubt(shop: Shop) -> float:
    """Work to the end, and let a second pass whenever nothing but a doubt is waited for; return how many did."""
    before = shop.ahead

    def is_done() -> bool:
        if shop.pipeline.breaker.is_open("anti-ai") and not shop.pipeline.running():
            shop.pass_time(1.0)
        return shop.is_done()

    shop.work(is_done, seconds=120)
    return shop.ahead - before


# --- formed by nature


def test_what_has_settled_together_is_one_order_oldest_first_up_to_the_limit(begin: Open) -> None:
    shop, service = begin(max_files_per_order=10)
    good = pour(shop, 25)
    for number, name in enumerate(reversed(good)):
        os.utime(shop.folder("inbox") / name, (1000 + number,) * 2)
    shop.to_the_end()
    assert shop.files("outbox") == good
    sizes = [len(order.files) for order in service.orders.values()]
    assert sizes == [10, 10, 5]
    assert list(next(iter(service.orders.values())).files) == good[:14:-1]
    assert_processed_once(service, good)


def test_a_hundred_pictures_cost_five_requests_and_few_entries(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, service = begin(api={"reads": "v3"})
    service.faults.add("fetch", "hang", seconds=0.02, times=None)
    entries = []
    write = disk.write_atomically

    def counted(place: disk.Place, data: bytes, **options: Any) -> None:  # noqa: ANN401 - whatever it takes
        entries.append(place.folder == "journal")
        write(place, data, **options)

    monkeypatch.setattr("watchfolder.disk.write_atomically", counted)
    good = pour(shop, 100)
    shop.to_the_end()
    assert shop.files("outbox") == good
    api = {name: calls(service, name) for name in ("create", "refresh", "confirm", "status", "link", "list")}
    assert api == {"create": 1, "refresh": 0, "confirm": 1, "status": 1, "link": 1, "list": 0}
    assert sum(entries) < 50


def test_a_service_with_v2_reads_alone_gets_orders_of_one(begin: Open) -> None:
    shop, service = begin({"dialect": "v2"})
    good = pour(shop, 6)
    shop.to_the_end()
    assert shop.files("outbox") == good
    assert [len(order.files) for order in service.orders.values()] == [1] * 6


def test_while_an_order_waits_to_be_created_the_next_one_grows(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3"})
    slow = service.faults.add("create", "hang", seconds=1.0)
    shop.drop("first.jpg")
    shop.work(lambda: slow.befallen)
    pour(shop, 7)
    shop.to_the_end()
    assert [len(order.files) for order in service.orders.values()] == [1, 7]


def test_two_files_of_one_name_made_into_one_format_both_arrive(begin: Open) -> None:
    shop, _ = begin(api={"reads": "v3"})
    shop.drop("a.jpg", CONTENT)
    shop.drop("a.png", CONTENT + b"\1")  # a JPEG as well, whatever it is called
    shop.to_the_end()
    assert shop.files("outbox") == ["a (2).jpg", "a.jpg"]
    assert shop.files("originals") == ["a.jpg", "a.png"]


def test_no_order_is_larger_than_its_destinations_have_room_for(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, service = begin(api={"reads": "v3"})
    room = 2 * 3 * (len(CONTENT) + 2) + 1
    free = disk.room_in("/")._replace(free=10**9)
    monkeypatch.setattr(disk, "room_in", lambda path: free if path.endswith("/state") else free._replace(free=room))
    good = pour(shop, 7)
    shop.to_the_end()
    assert [len(order.files) for order in service.orders.values()] == [3, 3, 1]
    assert shop.files("outbox") == good


# --- looks


def test_many_orders_that_take_longer_than_thought_are_asked_for_by_one_list(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 4.0, "look_seconds": 1.0}, max_files_per_order=2, api={"reads": "v3"})
    shop.ahead = 0.0
    good = pour(shop, 12)
    shop.to_the_end(seconds=40)
    assert shop.files("outbox") == good
    assert calls(service, "list") >= 1
    assert calls(service, "status") + calls(service, "list") <= 6 + 6 + 4  # too early, in time, and the lists between
    assert service.sins == []


def test_a_list_that_fails_costs_nothing_but_the_looks(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 4.0, "look_seconds": 1.0}, max_files_per_order=2, api={"reads": "v3"})
    service.faults.add("list", "answer", times=None, status=500)
    shop.ahead = 0.0
    good = pour(shop, 8)
    shop.to_the_end(seconds=40)
    assert shop.files("outbox") == good
    assert calls(service, "list") <= 3  # one, tried again within the call
    assert service.sins == []


def test_a_list_that_comes_too_soon_is_asked_again_and_not_made_up_for_by_looks(begin: Open) -> None:
    told = {"processing_seconds": 3600.0, "look_seconds": 1.0}
    shop, service = begin(told, max_files_per_order=2, api={"reads": "v3"})
    shop.ahead = 0.0
    good = pour(shop, 12)
    for_list = shop.pipeline._polls.for_list
    shop.work(lambda: len(for_list(shop.orders(), shop.orders())) == 6, seconds=60)  # each was looked at too early
    refusal = service.faults.add("list", "answer", status=429, headers={"Retry-After": "1"})
    looks, lists = calls(service, "status"), calls(service, "list")
    for order in service._state.orders.values():
        order.processing_seconds = 0.0
    shop.to_the_end(seconds=60)
    assert refusal.befallen
    assert shop.files("outbox") == good
    assert calls(service, "list") - lists >= 2
    assert calls(service, "status") - looks <= 6  # one for each that the list calls done
    assert service.sins == []


def test_workers_that_hang_on_one_share_hold_up_no_look_for_another(begin: Open, tmp_path: Path) -> None:
    shop, service = begin(
        {"processing_seconds": 10.0, "look_seconds": 1.0},
        inboxes=("dead", "well"),
        max_files_per_order=1,
        api={"reads": "v3"},
    )
    shop.ahead = 0.0
    shop.drop("x.jpg", CONTENT + b"x", inbox="dead/inbox")
    shop.work(lambda: calls(service, "confirm") == 1)
    for number in range(3):
        shop.drop(f"{number}.jpg", CONTENT + bytes([number]), inbox="well/inbox")
    for_list = shop.pipeline._polls.for_list
    shop.work(lambda: len(for_list(shop.orders(), shop.orders())) == 4)  # too early: from now on one list tells of all
    runtime = shop.pipeline.runtimes["dead"]
    answers = threading.Event()
    for _ in range(shop.config.orders_in_flight + 1):  # all its workers
        runtime.workers.submit(answers.wait)
    runtime.health.is_silent = True
    until = time.monotonic() + 40
    while len(files_in(tmp_path / "well" / "outbox")) < 3:
        assert time.monotonic() < until
        shop.beat(takes=False)
        time.sleep(0.01)
    assert calls(service, "list") >= 1
    answers.set()
    shop.rest()


def test_results_that_are_not_named_are_waited_for_ever_longer_however_many(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin(api={"reads": "v3"})
    poll, links = shop.service.poll, shop.service.links
    monkeypatch.setattr(shop.service, "poll", lambda key: dataclasses.replace(poll(key), outputs=()))
    monkeypatch.setattr(shop.service, "links", lambda key: dataclasses.replace(links(key), files=()))
    pour(shop, 6)
    shop.work(lambda: shop.orders() and shop.orders()[0].failures)
    assert calls(service, "status") <= 2  # it is done; and once more, for the names
    assert calls(service, "link") <= 2


# --- one at fault


@pytest.mark.parametrize("bad", [0, 13, 31])
def test_one_bad_picture_goes_to_quarantine_alone(begin: Open, bad: int) -> None:
    shop, service = begin(api={"reads": "v3"})
    good = pour(shop, 32, bad)
    shop.to_the_end()
    assert shop.files("outbox") == good
    assert shop.files("quarantine") == [f"{bad:03}_fail.jpg", f"{bad:03}_fail.jpg.why.txt"]
    assert len(service.orders) - 1 <= 2 * math.ceil(math.sqrt(32))
    assert_processed_once(service, good)


def test_an_order_that_is_refused_as_invalid_is_split_as_well(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3"})
    service.faults.add("create", "answer", status=400, code="VALIDATION_FAILED")
    good = pour(shop, 8)
    shop.to_the_end()
    assert shop.files("outbox") == good
    assert sorted(len(order.files) for order in service.orders.values()) == [2, 3, 3]  # side by side: in any order
    assert set(service.paid_files.values()) == {1}


@pytest.mark.parametrize("gestures", range(6))
def test_a_split_that_died_between_any_two_gestures_loses_and_doubles_nothing(begin: Open, gestures: int) -> None:
    shop, service = begin(api={"reads": "v3"})
    refusal = service.faults.add("upload", "answer", times=None, status=503)
    good = pour(shop, 4)
    shop.work(lambda: shop.orders() and shop.orders()[0].failures)
    context = shop.pipeline.runtimes["photos"].context
    parent = shop.journal.advance(shop.order(), State.SUPERSEDING, children=split(context, shop.order()))
    publisher = context.publisher
    first, second = parent.children
    for gesture in range(gestures):
        match gesture:
            case 0:
                first = shop.journal.begin(first)
            case 1:
                publisher.work.move_over(parent, first)
            case 2:
                shop.journal.note(first, work_folder_of=None)
            case 3:
                second = shop.journal.begin(second)
            case 4:
                publisher.work.move_over(parent, second.having(files=second.files[:1]))
    shop.live_again()
    shop.look(0.0)
    assert not any(order.state is State.CLAIMED for order in shop.orders())  # none asks while its parent is there
    refusal.times = 0
    shop.to_the_end()
    assert shop.files("outbox") == good
    assert shop.files("originals") == good
    assert_processed_once(service, good)
    assert shop.orders() == ()


def test_a_picture_refused_by_the_storage_leaves_the_order_to_others(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3"})
    service.faults.add("upload", "answer", nth=3, status=413)
    good = pour(shop, 6)
    shop.work(lambda: len(service.orders) == 3)
    service.faults.add("upload", "answer", times=None, status=413)
    service.faults.clear()
    shop.to_the_end()
    assert shop.files("outbox") == good
    assert sorted(len(order.files) for order in service.orders.values()) == [1, 5, 6]
    assert set(service.paid_files.values()) == {1}


def test_a_picture_that_changes_before_confirm_comes_back_and_the_others_go_on(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3"})
    service.faults.add("confirm", "answer", status=503)
    good = pour(shop, 5)
    shop.work(lambda: shop.orders() and shop.orders()[0].failures)
    order = shop.order()
    place = Path(shop.pipeline.runtimes["photos"].context.publisher.work.place(order, order.files[2]).path)
    place.write_bytes(CONTENT + b"changed")
    shop.journal.note(order, charged=False)  # the attempt was clearly not heard
    shop.pass_time(60)
    shop.to_the_end()
    assert shop.files("outbox") == good
    assert (shop.folder("originals") / "002.jpg").read_bytes() == CONTENT + b"changed"
    assert [sorted(each.files) for each in service.orders.values()] == [
        good,
        [name for name in good if name != "002.jpg"],
        ["002.jpg"],
    ]
    assert set(service.paid_files.values()) == {1}


def test_a_claim_that_got_half_way_leaves_no_empty_folder(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3"})
    shop.drop("a.jpg", CONTENT + b"a")
    shop.drop("sub folder/deep/b.jpg", CONTENT + b"b")
    publisher = shop.pipeline.runtimes["photos"].context.publisher
    claims = shop.intake._claims
    shop.intake.open_again(0.0)
    order = shop.journal.begin(claims._new_order([ready(shop, "a.jpg"), ready(shop, "sub folder/deep/b.jpg")]))
    publisher.work.make_folder(order)
    first, second = (Path(publisher.work.place(order, file).path) for file in order.files)
    os.rename(shop.folder("inbox") / "a.jpg", first)
    second.parent.mkdir(parents=True)  # and there it died
    shop.live_again()
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg", "sub folder/deep/b.jpg"]
    assert set(service.paid_files.values()) == {1}
    assert list((shop.folder("inbox") / ".watchfolder" / shop.journal.instance).iterdir()) == [
        shop.folder("inbox") / ".watchfolder" / shop.journal.instance / "owner.json"
    ]


# --- nothing twice


@pytest.mark.parametrize("is_journalled", [True, False])
def test_what_was_uploaded_before_a_death_is_not_sent_again(begin: Open, *, is_journalled: bool) -> None:
    shop, service = begin(api={"reads": "v3"})
    service.faults.add("upload", "answer", nth=5, times=None, status=503)
    good = pour(shop, 12)
    shop.work(lambda: shop.orders() and shop.orders()[0].failures)
    order = shop.order()
    sent = sum(file.is_uploaded for file in order.files)
    assert sent == 4
    if not is_journalled:
        shop.journal.note(order, files=tuple(file.having(is_uploaded=False, sha256=None) for file in order.files))
    service.faults.clear()
    before = calls(service, "upload")
    shop.live_again()
    shop.pass_time(120)
    shop.to_the_end()
    assert shop.files("outbox") == good
    assert calls(service, "upload") - before == 12 - sent
    assert calls(service, "refresh") == 0
    assert service.sins == []


def test_a_result_that_does_not_come_keeps_no_other_one_waiting(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3"})
    service.faults.add("fetch", "truncated", nth=2)
    good = pour(shop, 6)
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    assert len(shop.files("outbox")) == 5
    assert len(shop.files("originals")) == 5
    shop.pass_time(60)
    shop.to_the_end()
    assert shop.files("outbox") == good
    assert calls(service, "fetch") == 7
    assert set(service.paid_files.values()) == {1}


@pytest.mark.parametrize("fault", ["server", "link", "damaged"])
@pytest.mark.parametrize("bad", [range(6), range(20)], ids=["six", "twenty"])
def test_results_that_never_come_keep_no_good_one_waiting(begin: Open, bad: range, fault: str) -> None:
    shop, service = begin(api={"reads": "v3"})
    for number in bad:
        break_file(service, "fetch", f"/{number:03}.jpg", fault)
    good = pour(shop, 36)
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    assert shop.files("outbox") == good[len(bad) :]
    assert calls(service, "fetch") <= 36 + (len(bad) if fault == "link" else 0)
    assert calls(service, "link") <= 2
    service.faults.clear()
    shop.pass_time(60)
    shop.to_the_end()
    assert shop.files("outbox") == good
    assert service.paid == 36


@pytest.mark.parametrize("fault", ["server", "link", "damaged"])
def test_a_round_while_the_storage_gives_nothing_is_a_few_requests(begin: Open, fault: str) -> None:
    shop, service = begin(api={"reads": "v3"})
    break_file(service, "fetch", "", fault)
    good = pour(shop, 60)
    for rounds in (1, 2, 3):
        shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures == rounds)  # noqa: B023
        asked = {record.path for record in service.requests if record.operation == "fetch"}
        assert 10 <= len(asked) - 10 * (rounds - 1) <= 10 + 3 * rounds  # others each time; those under way still come
        shop.pass_time(4000)
    assert calls(service, "link") <= 2 * 3
    service.faults.clear()
    shop.to_the_end()
    assert shop.files("outbox") == good


def test_links_that_cannot_be_had_are_asked_for_once_a_round(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3"})
    service.faults.add("link", "answer", times=None, status=503)
    pour(shop, 30)
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    assert calls(service, "link") == 1


def test_an_upload_that_never_gets_there_keeps_the_others_waiting_for_minutes(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3"})
    break_file(service, "upload", "/004.jpg", "server")
    break_file(service, "upload", "/017.jpg", "link")
    good = pour(shop, 36)
    shop.work(lambda: shop.orders() and shop.orders()[0].failures)
    assert sum(file.is_uploaded for file in shop.order().files) == 34
    shop.pass_time(60)
    shop.work(lambda: shop.orders() and shop.orders()[0].failures == 2)
    shop.pass_time(120)
    shop.work(lambda: len(shop.files("outbox")) == 34)
    service.faults.clear()
    shop.pass_time(4000)
    shop.to_the_end()
    assert shop.files("outbox") == good
    assert service.paid == 36
    assert service.sins == []


def test_a_storage_that_takes_nothing_tears_no_order_apart(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3"})
    break_file(service, "upload", "", "server")
    good = pour(shop, 36)
    for rounds in (1, 2, 3, 4):
        shop.work(lambda: shop.orders() and shop.orders()[0].failures == rounds)  # noqa: B023
        shop.pass_time(4000)
    assert calls(service, "upload") <= 4 * (10 + 3)
    service.faults.clear()
    shop.to_the_end()
    assert shop.files("outbox") == good
    assert len(service.orders) == 1


def test_a_result_that_is_long_in_coming_keeps_no_other_one_waiting(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3"})
    service.faults.add("fetch", "hang", nth=2, seconds=4.0)
    good = pour(shop, 6)
    shop.work(lambda: calls(service, "fetch") == 6)
    shop.to_the_end()
    assert shop.files("outbox") == good
    named = sorted((shop.folder("outbox") / name).stat().st_ctime for name in good)
    assert named[-1] - named[-2] > 1.0


def test_paid_pictures_in_quarantine_are_taken_up_again_each_by_itself(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3"})
    service.faults.add("fetch", "truncated", nth=3, times=None)
    good = pour(shop, 5)
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    arrived = shop.files("outbox")
    shop.journal.note(shop.order(), failing_seconds=1e9, not_before=None)
    shop.work(lambda: len(shop.files("quarantine")) == 2 * (5 - len(arrived)))
    shop.to_the_end()
    service.faults.clear()
    shop.live_again()
    left = [name for name in good if name not in arrived]
    for name in reversed(left):
        os.rename(shop.folder("quarantine") / name, shop.folder("inbox") / name)
        shop.pass_time(120)
        shop.to_the_end()
    assert shop.files("outbox") == good
    assert len(service.orders) == 1
    assert set(service.paid_files.values()) == {1}
    assert shop.orders() == ()


# --- the service at fault


@pytest.mark.parametrize("count", [2, 4, 16])
def test_a_service_that_fails_every_part_of_an_order_condemns_no_picture(begin: Open, count: int) -> None:
    shop, service = begin(api={"reads": "v3", "blocked_probe_seconds": 60.0})
    good = pour(shop, count)
    failing(shop, service)
    assert calls(service, "create") <= 1 + math.ceil(math.sqrt(count)) + min(count, 8)  # what was under way
    made = calls(service, "create")
    shop.work(lambda: not any(order.traits.is_at_service for order in shop.orders()))
    until = time.monotonic() + 0.5
    shop.work(lambda: time.monotonic() > until)
    assert calls(service, "create") - made <= 1  # one lone file is tried every minute
    assert shop.files("quarantine") == []
    service.faults.clear()
    shop.pass_time(61)
    shop.work(lambda: not shop.pipeline.breaker.is_open("anti-ai"))
    shop.to_the_end()
    assert shop.files("outbox") == good
    assert shop.files("quarantine") == []
    assert_processed_once(service, good)


def test_a_doubt_outlives_restarts_and_still_condemns_no_picture(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3", "blocked_probe_seconds": 60.0})
    good = pour(shop, 16)
    failing(shop, service)
    for _ in range(4):
        shop.live_again()
        made = calls(service, "create")
        until = time.monotonic() + 0.5
        shop.work(lambda: time.monotonic() > until)  # noqa: B023 - called before it changes
        assert calls(service, "create") - made <= 1  # a life is no reason to try more often
        assert shop.files("quarantine") == []
    service.faults.clear()
    shop.live_again()
    shop.pass_time(61)
    shop.to_the_end()
    assert shop.files("outbox") == good
    assert shop.files("quarantine") == []


@pytest.mark.parametrize("bad", [0, 1])
@pytest.mark.parametrize("orders_in_flight", [2, 8])
def test_a_bad_picture_waits_for_the_other_part_whose_create_fails_at_first(
    begin: Open, caplog: pytest.LogCaptureFixture, bad: int, orders_in_flight: int
) -> None:
    shop, service = begin({"processing_seconds": 0.05}, orders_in_flight=orders_in_flight, api={"reads": "v3"})
    good = pour(shop, 2, bad)
    service.faults.add("create", "answer", nth=2, status=500)  # the first part's that is created, bad or good
    shop.work(lambda: service.paid_failed == 2 + 1 or shop.files("outbox"))
    looks = calls(service, "status") + calls(service, "list")
    shop.work(lambda: calls(service, "status") + calls(service, "list") > looks + 1 or shop.files("outbox"))
    shop.pass_time(60)
    shop.to_the_end()
    assert shop.files("outbox") == good
    assert service.paid_failed == 2 + 1
    assert "service.fails_all" not in caplog.text
    assert_processed_once(service, good)


def test_a_part_for_which_there_is_no_room_is_not_waited_for(begin: Open) -> None:
    shop, _ = begin(orders_in_flight=1, api={"reads": "v3"})
    pour(shop, 2, 0, 1)
    shop.work(lambda: shop.pipeline.breaker.is_open("anti-ai"))


def test_a_part_whose_file_is_in_the_way_is_not_waited_for(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 1.0}, api={"reads": "v3"})
    pour(shop, 2, 0, 1)
    service.faults.add("create", "answer", nth=2, status=500)
    shop.work(lambda: any(order.failures for order in shop.orders()))
    (part,) = (order for order in shop.orders() if order.failures)
    shop.journal.put_off(part, 3600.0, failed_at=None, failures=1, last_error="somebody else has it open")
    shop.work(lambda: shop.pipeline.breaker.is_open("anti-ai"))


def test_five_failures_in_a_row_are_the_services_fault_and_the_fifth_is_kept(begin: Open) -> None:
    shop, service = begin(max_files_per_order=1, orders_in_flight=1, api={"blocked_probe_seconds": 5.0})
    good = pour(shop, 8)
    failing(shop, service)
    assert len(shop.files("quarantine")) == 2 * 4
    fault, _ = shop.pipeline.breaker.open_since or (None, 0.0)
    assert fault is not None
    assert "fails every picture" in fault.reason
    service.faults.clear()
    shop.pass_time(6)
    shop.to_the_end()
    assert shop.files("outbox") == good[4:]
    assert len(shop.files("quarantine")) == 2 * 4


def test_pictures_that_the_storage_will_never_take_cast_no_doubt_on_the_service(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3"})
    service.faults.add("upload", "answer", times=None, status=413)
    pour(shop, 7)
    shop.to_the_end()
    assert len(shop.files("quarantine")) == 2 * 7
    assert not shop.pipeline.breaker.is_open("anti-ai")
    assert service.paid == 0


def test_in_doubt_a_picture_that_has_not_failed_is_tried_before_those_that_have(begin: Open) -> None:
    shop, _ = begin(max_files_per_order=1, orders_in_flight=1, api={"blocked_probe_seconds": 60.0})
    pour(shop, 5, 0, 1, 2, 3, 4)
    shop.work(lambda: shop.pipeline.breaker.is_open("anti-ai"))
    shop.drop("good.jpg")
    shop.pass_time(61)
    shop.to_the_end()  # its success shows that it was the picture
    assert shop.files("outbox") == ["good.jpg"]
    assert len(shop.files("quarantine")) == 2 * 5


def test_a_picture_that_always_fails_is_given_up_though_nothing_ever_succeeds(begin: Open) -> None:
    shop, service = begin(max_files_per_order=1, orders_in_flight=1, give_up_after_hours=1)
    pour(shop, 5, 0, 1, 2, 3, 4)
    shop.work(lambda: shop.pipeline.breaker.is_open("anti-ai"))
    shop.work(lambda: shop.has(State.CLAIMED))
    order = shop.order()
    assert order.doubted_seconds is not None
    shop.clock.pass_time(3601)
    shop.pass_time(301)
    shop.to_the_end()
    assert len(shop.files("quarantine")) == 2 * 5
    assert calls(service, "create") == 6


def test_a_doubt_ends_with_the_last_picture_that_it_kept(begin: Open) -> None:
    shop, service = begin(max_files_per_order=1, orders_in_flight=1)
    pour(shop, 5)
    failing(shop, service)
    service.faults.clear()
    service.faults.add("confirm", "fail", code="WATERMARK_FILE_CORRUPTED", times=None)
    shop.pass_time(301)
    shop.to_the_end()
    assert len(shop.files("quarantine")) == 2 * 5
    assert not shop.pipeline.breaker.is_open("anti-ai")


def test_two_bad_pictures_far_apart_cost_the_others_nothing(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3", "blocked_probe_seconds": 1.0})
    good = pour(shop, 16, 1, 14)
    shop.to_the_end(seconds=60)
    assert shop.files("outbox") == good
    assert len(shop.files("quarantine")) == 4
    assert_processed_once(service, good)


def test_every_file_has_its_turn_before_one_that_failed_has_its_second(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3", "blocked_probe_seconds": 60.0})
    names = pour(shop, 9)
    failing(shop, service)
    before = {name for order in service.orders.values() if len(order.files) == 1 for name in order.files}
    seen = len(service.orders)
    for _ in range(9 - len(before)):
        shop.pipeline.try_again()
        made = len(service.orders)
        shop.work(lambda: len(service.orders) > made)  # noqa: B023 - called before it changes
    tried = [order.files for order in list(service.orders.values())[seen:]]
    assert sorted(before | {name for (name,) in tried}) == names
    assert shop.files("quarantine") == []


@pytest.mark.parametrize("bad", [range(6), range(2, 8), (0, 1, 3, 4, 6, 7)], ids=["first", "last", "between"])
def test_good_pictures_among_many_bad_ones_are_not_starved_by_a_doubt(begin: Open, bad: Iterable[int]) -> None:
    shop, service = begin(api={"reads": "v3", "blocked_probe_seconds": 1.0})
    good = pour(shop, 8, *bad)
    seconds = to_the_end_of_a_doubt(shop)
    assert shop.files("outbox") == good
    assert len(shop.files("quarantine")) == 2 * 6
    assert_processed_once(service, good)
    assert len(service.orders) <= 30
    assert seconds < 40
    assert not shop.pipeline.breaker.is_open("anti-ai")


def test_one_bad_picture_of_two_costs_its_neighbour_nothing_and_casts_no_doubt(
    begin: Open, caplog: pytest.LogCaptureFixture
) -> None:
    shop, service = begin({"processing_seconds": 0.5}, api={"reads": "v3"})
    good = pour(shop, 2, 0)
    shop.to_the_end()
    assert shop.files("outbox") == good
    assert len(shop.files("quarantine")) == 2
    assert "service.fails_all" not in caplog.text
    assert len(service.orders) == 1 + 2


def test_a_success_that_is_written_down_counts_at_once(
    begin: Open, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, _ = begin({"processing_seconds": 0.5}, api={"reads": "v3"})
    note_result, calls = Breaker.note_result, itertools.count()

    def noted_late(self: Breaker, order: Order) -> None:
        """Let its thread rest here until the other picture has failed."""
        deadline = time.monotonic() + 20 * (next(calls) == 0)
        while any(each.state is State.CONFIRMED for each in shop.orders()) and time.monotonic() < deadline:
            time.sleep(0.002)
        note_result(self, order)

    monkeypatch.setattr(Breaker, "note_result", noted_late)
    good = pour(shop, 2, 0)
    shop.to_the_end()
    assert (shop.files("outbox"), len(shop.files("quarantine"))) == (good, 2)
    assert "service.fails_all" not in caplog.text


def test_bad_pictures_that_are_left_alone_are_judged_by_a_success_long_before(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3", "blocked_probe_seconds": 1.0})
    good = pour(shop, 12, *range(11))
    to_the_end_of_a_doubt(shop)
    assert shop.files("outbox") == good
    assert len(shop.files("quarantine")) == 2 * 11
    alone = Counter(order.files[0] for order in service.orders.values() if len(order.files) == 1)
    assert max(alone.values()) <= 3  # by itself, while the service is doubted, and with the proof that it succeeds
    together = Counter(file for order in service.orders.values() if len(order.files) > 1 for file in order.files)
    assert max(together.values()) <= 4  # the whole, its part, and the rest of that: once in doubt, once after a success


@pytest.mark.parametrize(
    ("how", "count", "orders", "failed"), [("split", 100, 21, 111), ("single", 20, 21, 21)], ids=["split", "single"]
)
def test_one_bad_picture_among_many_costs_what_the_documents_say(
    begin: Open, how: str, count: int, orders: int, failed: int
) -> None:
    shop, service = begin({"processing_seconds": 0.2}, api={"reads": "v3"}, on_failure=how)
    good = pour(shop, count, 17)
    shop.to_the_end(seconds=120)
    assert shop.files("outbox") == good
    assert shop.files("quarantine") == ["017_fail.jpg", "017_fail.jpg.why.txt"]
    assert (len(service.orders), service.paid_failed) == (orders, failed)
    assert_processed_once(service, good)


def test_the_parts_of_an_order_are_no_more_at_once_than_orders_may_be(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 0.5}, orders_in_flight=3, api={"reads": "v3"}, on_failure="single")
    good = pour(shop, 9, 4)
    most = 0

    def is_done() -> bool:
        nonlocal most
        begun = [order for order in shop.orders() if order.state in {State.CREATED, State.UPLOADED, State.CONFIRMED}]
        most = max(most, len(begun))
        return shop.is_done()

    shop.work(lambda: service.orders)
    shop.work(is_done, seconds=60)
    assert shop.files("outbox") == good
    assert most <= 3


# --- what limits the flow


def test_the_plan_is_named_when_requests_wait_for_it(begin: Open) -> None:
    shop, _ = begin(max_files_per_order=1, api={"requests_per_minute": 60})
    pour(shop, 6)
    assert shop.pipeline.admission.limit(time.monotonic()) == ""
    shop.work(lambda: shop.pipeline.admission.limit(time.monotonic()) == "plan")


def test_the_line_is_named_when_transfers_wait_for_each_other(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3"})
    service.faults.add("upload", "hang", seconds=1.0, times=4)
    good = pour(shop, 8)
    shop.work(lambda: shop.pipeline.admission.limit(time.monotonic()) == "line")
    shop.to_the_end(seconds=40)
    assert shop.files("outbox") == good
    assert shop.pipeline.admission.limit(time.monotonic() + 60) == ""


def test_nothing_is_named_while_every_order_waits_for_another_try(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3"})
    service.faults.add("upload", "hang", seconds=1.0, times=4)
    service.faults.add("upload", "answer", status=503, times=None)
    begun = time.monotonic()
    pour(shop, 8)
    shop.work(lambda: shop.orders() and all(order.not_before for order in shop.orders()), seconds=40)
    assert shop.parts.transfers.is_at_limit(begun)
    assert shop.pipeline.admission.limit(begun) == ""


def test_the_service_is_named_when_it_has_all_that_it_may_have_or_refuses(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 60.0}, max_files_per_order=1, orders_in_flight=2)
    pour(shop, 4)
    shop.work(lambda: calls(service, "confirm") == 2)
    assert shop.pipeline.admission.limit(time.monotonic() + 60) == "service"
    service.faults.add("any", "answer", times=None, status=401, code="AUTH_TOKEN_INVALID")
    shop.work(lambda: shop.pipeline.breaker.open_since)
    assert shop.pipeline.admission.limit(time.monotonic() + 60) == "service"


def test_results_are_matched_after_a_restart_without_another_look(begin: Open) -> None:
    shop, service = begin({"look_seconds": 1.0}, api={"reads": "v3"})
    service.faults.add("link", "answer", status=503)
    good = pour(shop, 5)
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    shop.live_again()
    shop.pass_time(60)
    shop.to_the_end()
    assert shop.files("outbox") == good
    assert calls(service, "status") == 1
    assert service.sins == []


@pytest.mark.parametrize("names", [["client/a.jpg"], ["client/a.jpg", "b.jpg", "c.jpg"]])
def test_a_sub_folder_that_refused_once_is_told(
    begin: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, names: list[str]
) -> None:
    shop, service = begin(api={"reads": "v3"})
    publish, refusals = disk.publish_new, [FolderFault("/outbox/client: permission denied", code="EACCES")]

    def publish_new(part: Place, target: Place, **rest: Any) -> None:  # noqa: ANN401 - whatever it takes
        if refusals and target.folder == "client":
            raise refusals.pop()
        publish(part, target, **rest)

    monkeypatch.setattr(disk, "publish_new", publish_new)
    for number, name in enumerate(names):
        shop.drop(name, CONTENT + bytes([number]))
    shop.work(lambda: not refusals and (not shop.orders() or shop.order().failures))
    shop.pass_time(3600)
    shop.to_the_end()
    assert shop.files("outbox") == sorted(names)
    assert service.paid == len(names)
    warnings = [str(record.__dict__) for record in caplog.records if record.levelno == logging.WARNING]
    assert any("/outbox/client: permission denied" in words for words in warnings)


def test_a_sub_folder_that_takes_nothing_keeps_back_its_own_pictures_only(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin(api={"reads": "v3"})
    opens = closing_a_sub_folder(monkeypatch, "client")
    names = ["client/a.jpg", *(f"{number}.jpg" for number in range(6)), "client/b.jpg"]
    for number, name in enumerate(names):
        shop.drop(name, CONTENT + bytes([number]))
    shop.work(lambda: shop.orders() and shop.order().failures)
    rest = [name for name in names if not name.startswith("client/")]
    assert shop.files("outbox") == shop.files("originals") == rest
    assert sum(file.is_delivered for file in shop.order().files) == len(rest)
    assert shop.intake.health.is_open
    opens()
    shop.pass_time(3600)
    shop.to_the_end()
    assert shop.files("outbox") == shop.files("originals") == sorted(names)
    assert calls(service, "fetch") == len(names)
    assert service.paid == len(names)
