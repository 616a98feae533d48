"""A picture's way through the service and back: a real disk, the real sandbox over HTTP, the clock in our hands."""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest
from contents import files_in, sha256
from shop import (
    FRESH,
    OTHER,
    PICTURE,
    QUICK,
    Open,
    Shop,
    calls,
    closing_a_sub_folder,
    give_up,
    history,
    move_back,
    told,
    work_place,
)

from watchfolder import daemon, disk
from watchfolder.api.transport import Pace
from watchfolder.config import Config
from watchfolder.disk import places
from watchfolder.errors import ConfigError, FolderFault
from watchfolder.intake.claim import Claims
from watchfolder.journal import Journal
from watchfolder.order import Order, State
from watchfolder.pipeline import timing
from watchfolder.pipeline.successors import under_new_key
from watchfolder.publish import Publisher, Received
from watchfolder.report.conditions import left
from watchfolder.sandbox import Dialect, Sandbox
from watchfolder.sandbox.pictures import sample
from watchfolder.services import FLOWS, Flow, Stage
from watchfolder.services.anti_ai import ANTI_AI

PERSISTENT = Pace(attempts=3, first_wait_seconds=0.01, max_wait_seconds=0.02)


def assert_delivered_once(shop: Shop, service: Sandbox, *names: str) -> None:
    assert shop.files("outbox") == sorted(names)
    assert set(service.paid_files.values()) == {1}
    assert shop.files("inbox") == []
    assert shop.orders() == ()
    assert service.sins == []


# --- the way home


@pytest.mark.parametrize("dialect", ["both", "v2", "v3"])
def test_pictures_come_home_in_every_dialect_found_out_by_itself(begin: Open, dialect: Dialect) -> None:
    shop, service = begin({"dialect": dialect})
    originals = {f"{number}.jpg": sample("jpeg", width=40, height=30, seed=number) for number in range(5)}
    for name, content in originals.items():
        shop.drop(f"sub/{name}", content)
    shop.to_the_end()
    assert_delivered_once(shop, service, *(f"sub/{name}" for name in originals))
    for name, content in originals.items():
        assert (shop.folder("originals") / "sub" / name).read_bytes() == content
        assert (shop.folder("outbox") / "sub" / name).read_bytes() != content
    assert calls(service, "create") == (5 if dialect == "v2" else 1)
    assert sum(len(line["files"]) for line in history(shop)) == 5
    asked = [each.path for each in service.requests if each.path.endswith("/orders/0")]
    assert (
        asked == ["/api/v3/orders/0", "/api/v2/orders/0"][: 2 if dialect == "v2" else 1]
    )  # once, before many are taken


@pytest.mark.parametrize("dialect", ["both", "v2"])
def test_both_shapes_of_a_v2_download_are_read(begin: Open, dialect: Dialect) -> None:
    shop, service = begin({"dialect": dialect}, api={"reads": "v2"})
    shop.drop("a.jpg")
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")


@pytest.mark.parametrize(
    "name",
    [
        ("ü" * 125).encode() + b"x.jpg",
        b"\xff\xfe broken \x80.jpg",
        b"two\nlines.jpg",
        "🦊 ünïcode (1) %20.jpg".encode(),
        b'quote".jpg',
        b"-rf.jpg",
    ],
    ids=["255 bytes", "no UTF-8", "newline", "emoji", "quote", "dash"],
)
def test_any_name_keeps_its_bytes_all_the_way(begin: Open, name: bytes) -> None:
    shop, service = begin()
    shop.drop(b"sub \xfc/" + name)
    shop.to_the_end()
    assert os.listdir(os.fsencode(shop.folder("outbox")) + b"/sub \xfc") == [name]
    assert os.listdir(os.fsencode(shop.folder("originals")) + b"/sub \xfc") == [name]
    assert service.sins == []
    (order,) = service.orders.values()
    assert order.files[0].isascii()


def test_a_new_file_of_the_same_name_is_another_order_and_replaces_nothing(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 0.3})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    shop.drop("a.jpg", OTHER)
    shop.to_the_end()
    assert shop.files("outbox") == ["a (2).jpg", "a.jpg"]
    assert {(shop.folder("originals") / name).read_bytes() for name in shop.files("originals")} == {PICTURE, OTHER}
    assert set(service.paid_files.values()) == {1}


def test_originals_are_deleted_where_so_configured_but_only_after_delivery(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 0.3}, originals="delete")
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    assert list(shop.folder("inbox").rglob("a.jpg"))
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")
    assert not list(shop.folder("inbox").rglob("a.jpg"))
    assert shop.files("originals") == []


def test_a_test_key_delivers_marked_samples_and_gives_the_originals_back(begin: Open) -> None:
    shop, service = begin({"test_processing_seconds": 0.0, "test_samples": True}, api={"key": "sk_test_x"})
    shop.drop("a.jpg")
    shop.to_the_end()
    assert shop.files("outbox") == ["a (TEST).jpg"]
    assert shop.files("quarantine") == ["test/a.jpg"]
    assert (shop.folder("quarantine") / "test/a.jpg").read_bytes() == PICTURE
    assert (service.paid, service.sins) == (0, [])


def test_a_test_key_on_a_v2_service_is_named_as_the_reason(begin: Open) -> None:
    shop, service = begin({"test_processing_seconds": 0.0, "dialect": "v2"}, api={"key": "sk_test_x"})
    shop.drop("a.jpg")
    shop.to_the_end()
    assert "test key" in (shop.folder("quarantine") / "a.jpg.why.txt").read_text()
    assert service.sins == []


def test_a_test_keys_order_that_names_none_of_its_samples_is_refused_at_once(begin: Open) -> None:
    given = {"test_processing_seconds": 0.0, "test_samples": True}
    shop, service = begin(given, api={"key": "sk_test_x", "reads": "v3"})
    body = json.dumps({"data": {"status": "complete", "result": {"outputFiles": []}}})
    service.faults.add("status", "other_json", times=None, body=body)
    shop.drop("a.jpg")
    shop.drop("b.jpg", OTHER)
    shop.to_the_end()
    assert shop.files("quarantine") == ["a.jpg", "a.jpg.why.txt", "b.jpg", "b.jpg.why.txt"]
    assert "test key" in (shop.folder("quarantine") / "a.jpg.why.txt").read_text()


def test_several_orders_are_under_way_at_once_but_no_more_than_configured(begin: Open) -> None:
    shop, _ = begin(orders_in_flight=3, max_files_per_order=1)
    for number in range(7):
        shop.drop(f"{number}.jpg", sample("jpeg", width=40, height=30, seed=number))
    most = 0

    def is_done() -> bool:
        nonlocal most
        most = max(most, len(shop.orders()))
        return shop.is_done()

    shop.ahead = 0.0  # what is at the service stays there for a while
    shop.work(is_done)
    assert most == 3
    assert len(shop.files("outbox")) == 7


def test_inboxes_share_the_slots_and_none_is_starved(begin: Open) -> None:
    inboxes = ("one", "two", "three")
    shop, service = begin({"processing_seconds": 3.0}, inboxes=inboxes, orders_in_flight=6, max_files_per_order=1)
    for inbox in inboxes:
        for number in range(8 if inbox == "one" else 3):
            seed = 100 * len(inbox) + number + ord(inbox[1])
            shop.drop(f"{number}.jpg", sample("jpeg", width=40, height=30, seed=seed), inbox=f"{inbox}/inbox")
    for intake in shop.intakes.values():  # all have asked for room before the first takes any
        shop.pipeline.admission.allowance(intake.inbox.name, 1)
    shop.work(lambda: len(shop.orders()) == 6)
    held = {inbox: len(shop.journal.orders(inbox)) for inbox in inboxes}
    assert held == {"one": 2, "two": 2, "three": 2}
    service.processing_seconds = 0.0
    shop.to_the_end()
    assert [len(files_in(shop.folder(inbox) / "outbox")) for inbox in inboxes] == [8, 3, 3]
    assert service.sins == []


def test_no_order_is_looked_at_twice_within_a_second(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 3.0})
    shop.ahead = 0.0
    service.faults.add("upload", "lose", times=2)
    service.faults.add("confirm", "answer_after", nth=3, status=400, code="ORDER_ALREADY_COMPLETED")
    shop.drop("a.jpg")
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")
    assert 4 <= calls(service, "status") <= 8


def test_a_new_configuration_does_not_look_again_at_once(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 4.0})
    shop.ahead = 0.0
    shop.drop("a.jpg")
    shop.work(lambda: calls(service, "status") == 1)
    shop.live_again()
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")


def test_an_order_that_a_worker_took_further_is_not_begun_from_an_old_page(begin: Open) -> None:
    shop, service = begin()
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CLAIMED) or calls(service, "create"))
    old = shop.orders()[0] if shop.orders() else None
    shop.to_the_end()
    assert old is not None
    shop.pipeline._start(old, shop.clock.elapsed())
    assert not shop.pipeline.running()
    assert_delivered_once(shop, service, "a.jpg")
    assert len(history(shop)) == 1


# --- links


@pytest.mark.parametrize(
    "end_links",
    [lambda _, service: service.end_links(), lambda shop, _: shop.live_again()],
    ids=["they ran out", "a restart"],
)
def test_upload_links_that_are_gone_are_asked_for_again(
    begin: Open, end_links: Callable[[Shop, Sandbox], object]
) -> None:
    shop, service = begin()
    service.faults.add("upload", "reset_before")
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CREATED) and shop.order().failures)
    end_links(shop, service)
    shop.pass_time(60)
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")
    assert calls(service, "refresh") == 1


def test_a_storage_that_refuses_twice_is_tried_without_checksum_and_then_later(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("upload", "answer", times=2, status=403)
    shop.drop("a.jpg")
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")
    assert calls(service, "upload") == 3
    service.faults.add("upload", "answer", times=3, status=403)
    shop.drop("b.jpg", OTHER)
    shop.work(lambda: shop.has(State.CREATED) and shop.order().failures)
    assert "three times" in shop.order().last_error


def test_a_download_link_that_ran_out_is_renewed_at_once(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("fetch", "answer", status=403)
    shop.drop("a.jpg")
    shop.to_the_end(seconds=5)  # far within any backoff
    assert_delivered_once(shop, service, "a.jpg")
    assert (calls(service, "link"), calls(service, "fetch")) == (2, 2)


@pytest.mark.parametrize("does", ["truncated", "wrong_length", "empty", "same_bytes", "html", "reset_before"])
def test_a_result_that_is_not_the_whole_protected_picture_is_never_delivered(begin: Open, does: str) -> None:
    shop, service = begin()
    service.faults.add("fetch", does)
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    assert shop.files("outbox") == []
    assert not [path for path in shop.folder("outbox").rglob("*") if path.is_file() and path.stat().st_size > 100]
    shop.pass_time(60)
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")


# --- what may have been paid


@pytest.mark.parametrize("operation", ["create", "upload", "confirm", "status", "link", "fetch"])
@pytest.mark.parametrize("pace", [QUICK, PERSISTENT], ids=["later", "at once"])
def test_a_lost_answer_costs_nothing(begin: Open, operation: str, pace: Pace) -> None:
    shop, service = begin({"look_seconds": 0}, pace=pace)
    service.faults.add(operation, "reset_after")
    shop.drop("a.jpg")
    shop.work(lambda: shop.is_done() or (shop.orders() and shop.orders()[0].failures))
    shop.pass_time(60)
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")
    assert len(service.orders) == 1


@pytest.mark.parametrize("operation", ["create", "upload", "confirm", "link", "fetch"])
def test_a_lost_answer_and_a_restart_cost_nothing(begin: Open, operation: str) -> None:
    shop, service = begin()
    service.faults.add(operation, "reset_after")
    shop.drop("a.jpg")
    shop.work(lambda: shop.orders() and shop.orders()[0].failures)
    shop.live_again()
    shop.pass_time(60)
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")
    assert len(service.orders) == 1


@pytest.mark.parametrize("state", [State.CREATED, State.UPLOADED, State.CONFIRMED, State.COMPLETED])
def test_an_order_whose_entry_is_lost_is_adopted_by_its_name_and_not_paid_again(begin: Open, state: State) -> None:
    shop, service = begin()
    step = {"created": "upload", "uploaded": "confirm", "confirmed": "status", "completed": "link"}[state]
    service.faults.add(step, "answer", status=503)
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(state) and shop.order().failures)
    service.look_seconds = 0
    shop.lose_entry()
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")
    assert len(service.orders) == 1
    assert calls(service, "list") >= 1


@pytest.mark.parametrize("code", ["EIO", "EACCES"])
def test_what_is_paid_comes_home_though_its_original_cannot_be_read(
    begin: Open, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    shop, service = begin()
    service.faults.add("status", "answer", status=503)
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED) and shop.order().failures)
    service.look_seconds = 0
    shop.lose_entry()

    def unreadable(place: disk.Place) -> str:
        raise FolderFault(f"{place.path}: it cannot be read", code=code)

    with monkeypatch.context() as patched:
        patched.setattr(disk, "hash_of", unreadable)
        if code == "EACCES":
            shop.work(lambda: shop.orders() and shop.order().failures)
            assert shop.files("outbox") == []
        else:
            shop.to_the_end()
    shop.pass_time(60)
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")


def test_a_key_that_the_service_knows_with_other_words_is_adopted_by_name(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("create", "answer_after", status=409, code="IDEMPOTENCY_KEY_CONFLICT")
    shop.drop("a.jpg")
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")
    assert (len(service.orders), calls(service, "list")) == (1, 1)


def test_a_key_that_is_taken_but_has_no_order_is_changed(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("create", "answer", status=503)
    service.faults.add("create", "answer", status=409, code="IDEMPOTENCY_KEY_CONFLICT")
    shop.drop("a.jpg")
    shop.work(lambda: shop.orders() and shop.order().failures)
    key = shop.order().key
    shop.pass_time(60)
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")
    (bought,) = service.orders.values()
    assert bought.idempotency_key != key
    assert calls(service, "create") == 3


def ten_minutes_later(shop: Shop) -> None:
    assert is_missing(shop)
    shop.clock.pass_time(601)


def is_missing(shop: Shop) -> bool:
    return bool(not shop.pipeline.running() and shop.orders() and shop.orders()[0].missing_since)


@pytest.mark.parametrize("before", ["upload", "confirm"])
def test_an_order_that_is_gone_unpaid_gets_a_new_key_when_that_was_said_twice(begin: Open, before: str) -> None:
    shop, service = begin()
    service.faults.add(before, "answer", status=503)
    shop.drop("sub/a.jpg")
    shop.work(lambda: shop.orders() and shop.orders()[0].failures)
    old = shop.order()
    assert old.order_id is not None
    service.forget(old.order_id)
    if before == "confirm":  # its first attempt got no clear answer, and might have been heard
        shop.journal.note(shop.order(), charged=False)
    shop.live_again()
    shop.pass_time(60)
    shop.work(lambda: is_missing(shop))
    assert calls(service, "create") == 1
    ten_minutes_later(shop)
    shop.to_the_end()
    assert_delivered_once(shop, service, "sub/a.jpg")
    (bought,) = service.orders.values()
    assert bought.idempotency_key != old.key


@pytest.mark.parametrize("gestures", [0, 1, 2, 3])
def test_a_new_key_that_died_between_any_two_gestures_is_finished_and_pays_once(begin: Open, gestures: int) -> None:
    shop, service = begin()
    service.faults.add("upload", "answer", status=503)
    shop.drop("sub/a.jpg")
    shop.work(lambda: shop.orders() and shop.orders()[0].failures)
    child = under_new_key(shop.pipeline.runtimes["photos"].context, shop.order())
    parent = shop.journal.advance(shop.order(), State.SUPERSEDING, children=(child,))
    if gestures >= 1:
        child = shop.journal.begin(child)
    if gestures >= 2:
        shop.pipeline.runtimes["photos"].context.publisher.work.move_over(parent, child)
    if gestures >= 3:
        shop.journal.note(child, work_folder_of=None)
    shop.live_again()
    shop.look(0.0)
    begun = shop.journal.get(child.key)
    assert begun is None or begun.state is State.CLAIMING  # it asks for nothing while its parent is there
    shop.to_the_end()
    assert_delivered_once(shop, service, "sub/a.jpg")
    assert [each.idempotency_key for each in service.orders.values()] == [parent.key, child.key]


def test_a_paid_order_that_is_gone_is_quarantined_as_paid_and_not_bought_again(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 60.0, "look_seconds": 0})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    service.forget(str(shop.order().order_id))
    shop.work(lambda: is_missing(shop))
    for _ in range(50):
        shop.beat()
    shop.rest()
    assert shop.has(State.CONFIRMED)  # once is not enough
    ten_minutes_later(shop)
    shop.work(lambda: shop.files("quarantine"))
    assert "paid" in (shop.folder("quarantine") / "a.jpg.why.txt").read_text()
    assert calls(service, "create") == 1
    assert shop.files("inbox") == []


def test_an_order_known_in_between_is_not_gone_when_missed_again(begin: Open) -> None:
    shop, service = begin()
    not_found: dict[str, Any] = {"status": 404, "code": "ORDER_NOT_FOUND"}
    service.faults.add("status", "answer", **not_found, times=2)  # v2 is asked as well
    shop.drop("a.jpg")
    shop.work(lambda: is_missing(shop))
    service.faults.add("fetch", "answer", status=503)  # there are links, but a bad hour of the storage
    ten_minutes_later(shop)
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    service.faults.add("link", "answer", **not_found)
    service.faults.add("status", "answer", **not_found, times=2)
    shop.clock.pass_time(7200)  # the links have run out
    shop.work(lambda: is_missing(shop) or shop.files("quarantine"))
    ten_minutes_later(shop)
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")


def test_a_confirm_that_may_have_been_heard_counts_as_paid(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("confirm", "reset_after")
    service.faults.add("confirm", "answer", nth=2, status=401, code="AUTH_TOKEN_INVALID")
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.UPLOADED) and shop.order().failures)
    shop.pass_time(60)
    shop.work(lambda: shop.pipeline.breaker.refusal)
    assert shop.order().charged


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "VALIDATION_FAILED"),
        (400, "ORDER_ALREADY_FAILED"),
        (400, "USAGE_NOT_ENOUGH"),
        (401, "AUTH_TOKEN_INVALID"),
    ],
)
def test_a_confirm_heard_and_then_refused_in_one_call_counts_as_paid(begin: Open, status: int, code: str) -> None:
    shop, service = begin(pace=PERSISTENT, api={"reads": "v3"})
    service.faults.add("confirm", "reset_after")
    service.faults.add("confirm", "answer", times=1, status=status, code=code)
    for number in range(3):
        shop.drop(f"{number}.jpg", PICTURE + bytes([number]))
    shop.work(lambda: calls(service, "confirm") == 2)
    assert all(order.charged for order in shop.orders())
    shop.pass_time(60)
    shop.to_the_end()
    for name in shop.files("quarantine"):
        if name.endswith(".jpg"):
            (shop.folder("quarantine") / name).rename(shop.folder("inbox") / name)
    shop.to_the_end()
    assert shop.files("outbox") == ["0.jpg", "1.jpg", "2.jpg"]
    assert set(service.paid_files.values()) == {1}


def test_a_create_that_charges_counts_as_paid_from_its_first_try(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast("dict[str, Flow]", FLOWS), ANTI_AI.name, replace(ANTI_AI, charged_at=Stage.CREATE))
    shop, service = begin()
    service.faults.add("create", "reset_after")
    service.faults.add("create", "answer", nth=2, status=401, code="AUTH_TOKEN_INVALID")
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CLAIMED) and shop.order().failures)
    assert shop.order().charged
    shop.pass_time(60)
    shop.work(lambda: shop.pipeline.breaker.refusal)
    assert shop.order().charged


def test_a_create_that_charges_and_is_clearly_refused_counts_as_unpaid(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cast("dict[str, Flow]", FLOWS), ANTI_AI.name, replace(ANTI_AI, charged_at=Stage.CREATE))
    shop, service = begin()
    service.faults.add("create", "answer", times=None, status=400, code="USAGE_NOT_ENOUGH")
    shop.drop("a.jpg")
    shop.work(lambda: shop.pipeline.breaker.refusal)
    assert not shop.order().charged


def test_a_confirm_that_was_put_off_unheard_counts_as_unpaid(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("confirm", "answer", times=1, status=429, code="RATE_LIMIT_EXCEEDED")
    shop.drop("a.jpg")
    shop.work(lambda: calls(service, "confirm") == 1)
    assert shop.order().state is State.UPLOADED
    assert not shop.order().charged


def test_a_confirm_that_was_clearly_refused_counts_as_unpaid(begin: Open) -> None:
    shop, service = begin()
    shop.drop("a.jpg")
    service.faults.add("confirm", "answer", times=None, status=400, code="USAGE_NOT_ENOUGH")
    shop.work(lambda: shop.pipeline.breaker.refusal)
    assert shop.order().state is State.UPLOADED
    assert not shop.order().charged


def test_uploads_that_the_service_loses_are_sent_again_five_times_and_no_more(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "LEAST_BETWEEN_POLLS_SECONDS", 0.0)  # of real time, of which hardly any passes
    shop, service = begin({"look_seconds": 0})
    service.faults.add("upload", "lose", times=None)
    shop.drop("a.jpg")
    shop.pass_time(2 + 4 + 8 + 16 + 32)  # with a pause before each
    shop.work(lambda: shop.files("quarantine"), seconds=30)
    assert "5 times" in (shop.folder("quarantine") / "a.jpg.why.txt").read_text()
    assert calls(service, "upload") == 6
    assert service.paid == 0


def test_an_order_that_changed_before_confirm_is_released_and_taken_anew(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("confirm", "answer", status=503)
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.UPLOADED) and shop.order().failures)
    order = shop.order()
    shop.journal.note(order, charged=False)
    shop.live_again()
    work = work_place(shop, order, "a.jpg")
    work.write_bytes(OTHER)
    shop.pass_time(60)
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")
    assert list(service.paid_files) == [sha256(OTHER)]


def test_an_original_changed_after_confirm_comes_back_beside_its_result(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 0.5, "look_seconds": 0})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    work = work_place(shop, shop.order(), "a.jpg")
    work.write_bytes(OTHER)
    shop.to_the_end()
    assert shop.files("outbox") == ["a (2).jpg", "a.jpg"]
    sent = {sha256(content): 1 for content in (PICTURE, OTHER)}
    assert service.paid_files == sent
    assert (shop.folder("originals") / "a.jpg").read_bytes() == OTHER


def test_an_original_that_got_another_time_after_confirm_is_not_paid_for_again(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 0.5, "look_seconds": 0})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    os.utime(work_place(shop, shop.order(), "a.jpg"), (1, 1))
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")
    assert (shop.folder("originals") / "a.jpg").read_bytes() == PICTURE


def rewrite_through_another_link(place: Path, content: bytes) -> None:
    """Write other bytes of the same length by a second name, and put the time back, as some tag editors do."""
    before, other = place.stat(), place.parents[4] / "another link"
    assert len(content) == before.st_size
    os.link(place, other)
    with other.open("r+b") as file:
        file.write(content)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.unlink()


REWRITTEN = PICTURE[:-12] + b"\x11" * 10 + PICTURE[-2:]


def test_an_original_rewritten_with_its_time_put_back_is_taken_anew(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("confirm", "answer", status=503)
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.UPLOADED) and shop.order().failures)
    shop.journal.note(shop.order(), charged=False)
    shop.live_again()
    rewrite_through_another_link(work_place(shop, shop.order(), "a.jpg"), REWRITTEN)
    shop.pass_time(60)
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")
    assert list(service.paid_files) == [sha256(REWRITTEN)]


def test_an_original_rewritten_after_confirm_with_its_time_put_back_comes_back(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 0.5, "look_seconds": 0})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    rewrite_through_another_link(work_place(shop, shop.order(), "a.jpg"), REWRITTEN)
    shop.to_the_end()
    assert shop.files("outbox") == ["a (2).jpg", "a.jpg"]
    assert service.paid_files == {sha256(content): 1 for content in (PICTURE, REWRITTEN)}


def test_attributes_that_somebody_sets_amid_the_work_change_nothing(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 0.5, "look_seconds": 0})
    service.faults.add("confirm", "answer", status=503)
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.UPLOADED) and shop.order().failures)
    work_place(shop, shop.order(), "a.jpg").chmod(0o600)
    shop.pass_time(60)
    shop.work(lambda: shop.has(State.CONFIRMED))
    work_place(shop, shop.order(), "a.jpg").chmod(0o640)
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")
    assert calls(service, "upload") == 1
    assert (shop.folder("originals") / "a.jpg").read_bytes() == PICTURE


def test_an_original_returned_beside_a_new_one_is_seen_at_once(begin: Open) -> None:
    shop, _ = begin({"processing_seconds": 0.5, "look_seconds": 0}, scan_seconds=1000.0)
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    work = work_place(shop, shop.order(), "a.jpg")
    work.write_bytes(OTHER)
    shop.drop("a.jpg", sample("jpeg", width=40, height=30, seed=3))
    shop.work(lambda: shop.files("inbox") == ["a (2).jpg", "a.jpg"] and not shop.orders(), takes=False)
    assert not shop.intake.is_idle()
    shop.work(lambda: shop.files("inbox") == ["a.jpg"])  # no event tells of that one here, and no scan is due


def test_a_delivery_does_not_keep_the_next_picture_of_its_name_waiting(begin: Open) -> None:
    shop, service = begin(settle_seconds=5.0, scan_seconds=1000.0)
    shop.drop("a.jpg")
    shop.look(0.0)
    shop.look(5.0)
    shop.drop("a.jpg", OTHER)
    shop.intake.nudge("a.jpg")
    shop.look(6.0)
    shop.work(lambda: not shop.orders(), takes=False)
    shop.look(10.0)
    shop.look(11.0)
    shop.work(lambda: not shop.orders(), takes=False)
    assert_delivered_once(shop, service, "a (2).jpg", "a.jpg")


# --- refusals that are no file's fault


def probe_times(service: Sandbox, operation: str) -> int:
    return sum(each.operation == operation and each.status in {401, 403} for each in service.requests)


def test_a_refused_key_stops_everything_blames_no_file_and_goes_on_by_itself(begin: Open) -> None:
    shop, service = begin({"keys": ["sk_other"]}, api={"key": "sk_mine", "blocked_probe_seconds": 60.0})
    for number in range(3):
        shop.drop(f"{number}.jpg", sample("jpeg", width=40, height=30, seed=number))
    shop.ahead = 0.0
    shop.work(lambda: shop.pipeline.breaker.refusal)
    first = probe_times(service, "create")
    assert first <= 3  # those that were under way at once
    for _ in range(200):
        shop.beat()
    shop.rest()
    assert probe_times(service, "create") == first
    for minute in (1, 2, 3):
        shop.ahead = 61.0 * minute
        for _ in range(20):
            shop.beat()
            shop.rest()
        assert probe_times(service, "create") == first + minute
    assert shop.files("quarantine") == []
    service.keys = ["sk_mine"]
    shop.ahead += 61.0
    shop.to_the_end()
    assert_delivered_once(shop, service, "0.jpg", "1.jpg", "2.jpg")


def test_orders_that_wait_for_a_worker_when_the_key_is_refused_ask_nothing(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 60.0}, orders_in_flight=40, max_files_per_order=1)
    for number in range(40):
        shop.drop(f"{number}.jpg", sample("jpeg", width=40, height=30, seed=number))
    shop.work(lambda: [order.state for order in shop.orders()] == [State.CONFIRMED] * 40, seconds=60)
    service.keys = ["sk_other"]
    service.faults.add("status", "hang", seconds=0.3, times=None)
    shop.ahead = 0.0
    shop.config = shop.config.model_copy(update={"orders_in_flight": 8})  # it has a worker more
    shop.live_again()
    before = calls(service, "status")
    shop.work(lambda: shop.pipeline.breaker.refusal)
    assert 1 <= calls(service, "status") - before <= 9


def test_a_probe_that_comes_a_moment_too_early_is_made_a_moment_later(begin: Open) -> None:
    mine = ["sk_mine"]
    shop, service = begin({"keys": mine, "processing_seconds": 0.3, "look_seconds": 0}, api={"key": "sk_mine"})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    service.keys = ["sk_other"]
    shop.work(lambda: shop.pipeline.breaker.refusal)
    service.keys = mine
    shop.pipeline.try_again()  # at once: no order is looked at twice within a second
    shop.to_the_end(seconds=10)
    assert_delivered_once(shop, service, "a.jpg")


def test_another_accounts_order_waits_for_its_own_key_while_the_others_go_on(begin: Open) -> None:
    mine = {"sk_mine": "me"}
    told = {"dialect": "v2", "keys": mine}  # which alone says whose an order is
    shop, service = begin(told | {"processing_seconds": 0.3, "look_seconds": 0}, api={"key": "sk_mine"})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    service.keys = {"sk_mine": "somebody else"}
    shop.work(lambda: shop.order().last_error)
    assert "another account" in shop.order().last_error
    shop.drop("b.jpg", OTHER)
    shop.work(lambda: shop.files("outbox") == ["b.jpg"])
    assert shop.pipeline.breaker.refusal is None
    looks = calls(service, "status")
    for _ in range(100):
        shop.beat()
    assert calls(service, "status") == looks
    assert shop.has(State.CONFIRMED)
    service.keys = mine
    shop.pass_time(61)
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg", "b.jpg")


def test_another_accounts_orders_are_proof_that_the_key_itself_is_accepted(begin: Open) -> None:
    told = {"dialect": "v2", "keys": ["sk_mine"]}  # which alone says whose an order is
    shop, service = begin(told | {"processing_seconds": 0.3, "look_seconds": 0}, api={"key": "sk_mine"})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    service.keys = ["sk_other"]
    shop.work(lambda: shop.pipeline.breaker.refusal)
    service.keys = {"sk_mine": "somebody else"}
    shop.pass_time(61)
    shop.work(lambda: shop.order().last_error)
    assert shop.pipeline.breaker.refusal is None


def test_without_credits_nothing_is_bought_and_what_is_under_way_comes_home(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 0.5, "credits_left": 1, "look_seconds": 0})
    shop.ahead = 0.0
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    shop.drop("b.jpg", OTHER)
    shop.work(lambda: shop.pipeline.breaker.refusal)
    refusals = calls(service, "create")
    shop.work(lambda: shop.files("outbox") == ["a.jpg"])
    for _ in range(100):
        shop.beat()
    assert shop.pipeline.breaker.refusal is not None  # the delivery opened nothing
    assert calls(service, "create") == refusals
    assert shop.files("quarantine") == []
    service.credits_left = None
    shop.ahead = FRESH
    shop.pipeline.try_again()
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg", "b.jpg")


def test_too_many_requests_are_waited_out_and_are_no_failure(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("create", "answer", status=429, code="RATE_LIMIT_EXCEEDED", headers={"Retry-After": "1"})
    shop.drop("a.jpg")
    shop.work(lambda: calls(service, "create") == 1)
    assert shop.order().failures == 0
    assert shop.order().not_before is None
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")


# --- passing faults


def test_a_backoff_doubles_is_bounded_and_survives_in_the_journal(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("create", "answer", times=None, status=503)
    shop.drop("a.jpg")
    waits = []
    shop.work(lambda: shop.orders() and shop.order().failures == 1)
    for failures in range(1, 10):
        order = shop.order()
        assert order.failures == failures
        assert order.not_before is not None
        assert order.failed_at is not None
        waits.append(order.not_before.elapsed - order.failed_at.elapsed)
        if failures < 9:
            shop.ahead = order.not_before.elapsed - shop.clock.elapsed() + 1.0
            shop.beat()  # one alone: the next wait is from now on, and shorter than so far ahead
            shop.rest()
    expected = [min(3600, 30 * 2**number) for number in range(9)]
    assert all(0.74 * bound <= wait <= 1.26 * bound for wait, bound in zip(waits, expected, strict=True))
    assert len({round(wait / bound, 3) for wait, bound in zip(waits, expected, strict=True)}) > 1  # jitter
    before = shop.order()
    shop.live_again()
    after = shop.order()
    assert before.not_before is not None
    assert after.not_before is not None
    assert after.not_before.elapsed == pytest.approx(before.not_before.elapsed, abs=0.01)
    calls_before = calls(service, "create")
    shop.ahead = 0.0
    for _ in range(20):
        shop.beat()
    shop.rest()
    assert calls(service, "create") == calls_before


def test_after_an_outage_everything_is_delivered_soon(begin: Open) -> None:
    shop, service = begin()
    outage = service.faults.add("any", "answer", times=None, status=503)
    for number in range(4):
        shop.drop(f"{number}.jpg", sample("jpeg", width=40, height=30, seed=number))
    shop.work(lambda: shop.pipeline.breaker.is_down)
    for _ in range(50):
        shop.beat()
    shop.rest()
    assert 1 <= len(shop.orders()) <= 4  # an outage claims no more than it has
    outage.times = 0
    shop.pass_time(60)
    for order in shop.orders()[1:]:
        shop.journal.put_off(order, 3600)
    shop.work(lambda: not shop.pipeline.breaker.is_down)
    shop.pass_time(11)
    shop.to_the_end()
    assert_delivered_once(shop, service, *(f"{number}.jpg" for number in range(4)))


def test_an_order_is_given_up_only_for_time_in_which_others_were_served(begin: Open) -> None:
    shop, service = begin(give_up_after_hours=1.0)
    service.faults.add("create", "answer", times=None, status=503)
    shop.drop("a.jpg")
    shop.work(lambda: shop.orders() and shop.orders()[0].failures == 1)

    shop.clock.pass_time(7200)
    shop.work(lambda: shop.order().failures == 2)
    assert shop.has(State.CLAIMED)  # nobody was served
    assert shop.order().failing_seconds == 0
    shop.clock.pass_time(7200)
    permit = shop.pipeline.breaker.may_begin(shop.order(), shop.clock.elapsed())
    assert permit is not None
    with permit:
        pass  # somebody was
    shop.work(lambda: shop.files("quarantine"))
    assert "It failed for 1 h. Last: " in (shop.folder("quarantine") / "a.jpg.why.txt").read_text()


def test_an_order_given_up_before_its_upload_goes_on_when_its_picture_returns(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("upload", "answer", times=None, status=503)
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CREATED) and shop.order().failures)
    shop.journal.note(shop.order(), failing_seconds=1e9, not_before=None)
    shop.work(lambda: shop.files("quarantine") == ["a.jpg", "a.jpg.why.txt"])
    service.faults.clear()
    move_back(shop)
    shop.pass_time(60)
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")
    assert calls(service, "create") == 1


def test_a_fault_of_a_folder_defers_no_order_and_quarantines_nothing(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 0.3, "look_seconds": 0})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    os.rename(shop.folder("outbox"), shop.folder("away"))
    shop.folder("outbox").mkdir()
    shop.work(lambda: not shop.intake.health.is_open and shop.intake.health.fault)
    assert shop.order().failures == 0
    assert list(shop.folder("outbox").iterdir()) == []
    shop.folder("outbox").rmdir()
    os.rename(shop.folder("away"), shop.folder("outbox"))
    shop.pass_time(30)
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")


def test_what_another_program_cleans_away_is_fetched_again(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, service = begin({"look_seconds": 0}, max_files_per_order=5)
    originals = {f"{number}.jpg": sample("jpeg", width=48, height=36, seed=number) for number in range(20)}
    accept, cleaning, left = Publisher.accept, threading.Lock(), list(range(12))

    def and_then_it_cleans(publisher: Publisher, order: Order, received: Mapping[int, Received]) -> Order:
        order = accept(publisher, order, received)
        with cleaning:
            for part in sorted(shop.folder("outbox").glob(".watchfolder/*.tmp"))[: len(left[:1])]:
                part.unlink(missing_ok=True)
                left.pop()
        return order

    monkeypatch.setattr(Publisher, "accept", and_then_it_cleans)
    for name, content in originals.items():
        shop.drop(name, content)

    def are_home() -> bool:
        shop.pass_time(5.0)
        return shop.is_done()

    shop.work(are_home, seconds=60)
    assert left == []
    assert shop.files("outbox") == shop.files("originals") == sorted(originals)
    assert service.paid == len(originals)


@pytest.mark.parametrize("folder", ["client", "caf\udce9: 100 %\n…"], ids=["client", "any bytes"])
def test_a_sub_folder_that_takes_nothing_holds_up_its_own_pictures_only(
    begin: Open, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    caplog.set_level(logging.INFO, "watchfolder")
    shop, service = begin({"look_seconds": 0}, scan_seconds=1000.0)
    opens = closing_a_sub_folder(monkeypatch, folder)
    shop.drop(f"{folder}/a.jpg")
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    shop.pass_time(60)
    shop.work(lambda: shop.order().failures > 1)
    until = shop.order().not_before
    assert until is not None
    assert until.elapsed - shop.clock.elapsed() > 39  # the first wait has 38 at most
    assert len(told(caplog, "order.obstructed")) == 1
    assert f"{folder}/a.jpg: permission denied" in shop.order().last_error
    entry = shop.folder("state") / "journal" / f"{shop.order().key}.json"
    assert Order.model_validate_json(entry.read_bytes()).last_error == shop.order().last_error
    assert told(caplog, "inbox.waits") == []
    assert shop.intake.health.is_open
    shop.drop("b.jpg", OTHER)
    shop.intake.nudge("b.jpg")
    shop.work(lambda: shop.files("outbox") == ["b.jpg"])
    opens()
    shop.pass_time(3600)
    shop.to_the_end()
    assert_delivered_once(shop, service, "b.jpg", f"{folder}/a.jpg")


def test_no_more_is_bought_than_may_be_under_way_while_nothing_can_be_delivered(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin({"look_seconds": 0}, orders_in_flight=2, max_files_per_order=1)
    opens = closing_a_sub_folder(monkeypatch, "client")
    names = [f"client/{number}.jpg" for number in range(5)]
    for number, name in enumerate(names):
        shop.drop(name, sample("jpeg", width=40, height=30, seed=number))
    shop.work(lambda: [order.failures > 0 for order in shop.orders()] == [True, True])
    for _ in range(20):
        shop.beat()
    shop.rest()
    assert service.paid == 2
    opens()
    shop.pass_time(60)
    shop.to_the_end()
    assert_delivered_once(shop, service, *names)


@pytest.mark.parametrize("dies", [False, True])
def test_a_result_whose_entry_was_not_saved_is_not_fetched_again(
    begin: Open, monkeypatch: pytest.MonkeyPatch, *, dies: bool
) -> None:
    shop, service = begin(originals="delete")
    write, broken = disk.write_atomically, list[disk.Place]()

    def unsafely(place: disk.Place, data: bytes, **options: Any) -> None:  # noqa: ANN401 - whatever it takes
        write(place, data, **options)
        if place.folder == "journal" and b'"part":"' in data and not broken:
            broken.append(place)
            raise FolderFault(f"{place.path}: it could not be synced", code="EIO")

    monkeypatch.setattr("watchfolder.disk.write_atomically", unsafely)
    shop.drop("a.jpg")
    shop.work(lambda: broken)
    if dies:
        monkeypatch.setattr(places, "_LIFE", "another")  # in which what the journal does not name is swept
        shop.live_again()
    shop.pass_time(60)
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg"]
    assert service.requests_by_operation()["fetch"] == 1
    assert os.listdir(shop.folder("outbox") / ".watchfolder") == []


def test_an_unexpected_fault_of_ours_is_deferred_with_its_trace(
    begin: Open, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin()
    broken = threading.Event()

    def stumble(*_: object) -> None:
        broken.set()
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(shop.service, "create", stumble)
        shop.drop("a.jpg")
        shop.work(lambda: shop.has(State.CLAIMED) and shop.order().failures)
    assert broken.is_set()
    assert [record.exc_info is not None for record in caplog.records if record.msg == "order.step_broke"] == [True]
    shop.pass_time(60)
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")


# --- quarantine and back


def bring_back(shop: Shop, name: str = "a.jpg") -> None:
    os.rename(shop.folder("quarantine") / name, shop.folder("inbox") / name)
    shop.pass_time(120)


@pytest.mark.parametrize("code", ["PROCESSING_ERROR", "SOMETHING_NEW", ""])
def test_a_failed_orders_picture_is_bought_anew_when_it_comes_back(begin: Open, code: str) -> None:
    shop, service = begin()
    failure = {"errorCode": code, "errorMessage": "too odd"} if code else "too odd"
    body = json.dumps({"data": {"status": "failed", "errors": failure}})
    service.faults.add("status", "other_json", body=body)
    shop.drop("a.jpg")
    shop.to_the_end()
    why = (shop.folder("quarantine") / "a.jpg.why.txt").read_text()
    assert "too odd" in why
    assert "Moving it back into the inbox tries again" in why
    assert shop.orders() == ()
    bring_back(shop)
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg"]
    assert len(service.orders) == 2
    assert shop.files("quarantine") == []  # the note has gone with its picture
    assert [line["outcome"] for line in history(shop)] == ["quarantined", "delivered"]


def test_a_picture_that_the_service_fails_keeps_the_services_own_words(begin: Open) -> None:
    shop, service = begin()
    shop.drop("bad_fail.jpg")
    shop.to_the_end()
    why = (shop.folder("quarantine") / "bad_fail.jpg.why.txt").read_text()
    assert "PROCESSING_ERROR" in why
    assert next(iter(service.orders)) in why
    assert (shop.folder("quarantine") / "bad_fail.jpg").read_bytes() == PICTURE


def test_the_bytes_of_a_paid_order_on_its_way_back_are_not_bought_anew(begin: Open) -> None:
    shop, service = begin()
    parked = give_up(shop, service)
    taken_up = shop.journal.begin(parked.taken_up("photos", parked.files))
    shop.journal.advance(taken_up, State.RELEASED)
    shop.drop("b.jpg")
    for now in range(10):
        shop.look(float(now))
    assert [order.key for order in shop.orders()] == [parked.key]
    shop.to_the_end()
    assert shop.files("outbox") == ["b.jpg"]
    assert service.paid == 1


def test_without_credits_what_is_parked_but_not_paid_for_stays_in_the_inbox(begin: Open) -> None:
    shop, service = begin()
    shop.journal.note(give_up(shop, service), charged=False)
    service.faults.add("create", "answer", times=None, status=400, code="USAGE_NOT_ENOUGH")
    shop.drop("other.jpg", OTHER)
    shop.work(lambda: shop.pipeline.breaker.refusal)
    shop.drop("a.jpg")
    shop.work(lambda: "a.jpg" in shop.intake.candidates.quiet or "a.jpg" not in shop.files("inbox"))
    for _ in range(20):
        shop.beat()
    assert shop.files("inbox") == ["a.jpg"]


@pytest.mark.parametrize("name", ["a.jpg", "another name.jpg"])
def test_a_paid_order_is_taken_up_again_when_its_picture_comes_back(begin: Open, name: str) -> None:
    shop, service = begin({"look_seconds": 0})
    parked = give_up(shop, service)
    assert "not paid again" in (shop.folder("quarantine") / "a.jpg.why.txt").read_text()
    shop.live_again()
    os.rename(shop.folder("quarantine") / "a.jpg", shop.folder("inbox") / name)
    shop.pass_time(120)
    shop.to_the_end()
    assert_delivered_once(shop, service, name)
    assert [line["key"] for line in history(shop)] == [parked.key] * 2
    assert len(service.orders) == 1


def test_a_paid_order_is_taken_up_again_also_without_credits(begin: Open) -> None:
    shop, service = begin({"look_seconds": 0}, api={"reads": "v3"})
    give_up(shop, service)
    service.credits_left = 0
    shop.drop("b.jpg", OTHER)
    shop.work(lambda: shop.pipeline.breaker.refusal)
    refusals = calls(service, "create")
    same_size = PICTURE[:-3] + bytes([PICTURE[-3] ^ 1]) + PICTURE[-2:]
    shop.drop("c.jpg", same_size)
    os.rename(shop.folder("quarantine") / "a.jpg", shop.folder("inbox") / "a.jpg")
    shop.intake.nudge(None)
    shop.work(lambda: shop.files("outbox") == ["a.jpg"])
    assert shop.pipeline.breaker.refusal is not None  # what was there already says nothing of the credits
    assert calls(service, "create") == refusals
    assert shop.files("inbox") == ["c.jpg"]
    service.credits_left = None
    shop.pipeline.try_again()
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg", "b.jpg", "c.jpg")


@pytest.mark.parametrize("failures", [0, 1])
def test_a_resumed_paid_order_is_no_proof_that_the_service_works(begin: Open, failures: int) -> None:
    shop, service = begin({"look_seconds": 0}, api={"reads": "v3"})
    parked = give_up(shop, service)
    service.faults.add("confirm", "fail", code="PROCESSING_ERROR", times=None)
    for number in range(4):
        shop.drop(f"{number}.jpg", PICTURE + bytes([number]))
    shop.work(lambda: shop.pipeline.breaker.is_open("anti-ai"))
    service.faults.add("status", "answer", times=failures, status=503, path=parked.order_id or "")
    os.rename(shop.folder("quarantine") / "a.jpg", shop.folder("inbox") / "a.jpg")
    shop.intake.nudge(None)
    shop.pipeline.try_again()
    shop.pass_time(45 * failures)  # it is looked for once more
    shop.work(lambda: shop.files("outbox") == ["a.jpg"])  # which the service had made before it began to fail
    assert shop.pipeline.breaker.is_open("anti-ai")
    assert [name for name in shop.files("quarantine") if name.endswith(".jpg")] == []


def test_other_bytes_of_the_same_length_do_not_take_up_a_paid_order(begin: Open) -> None:
    shop, service = begin({"look_seconds": 0})
    give_up(shop, service)
    other = PICTURE + b"\0"
    shop.drop("a.jpg", other[: len(PICTURE) - 3] + b"\1" + other[len(PICTURE) - 2 : -1])
    shop.pass_time(120)
    shop.to_the_end()
    assert len(service.orders) == 2
    assert [order.state for order in shop.orders()] == [State.QUARANTINED]


def test_the_same_bytes_twice_take_up_a_paid_order_once(begin: Open) -> None:
    shop, service = begin({"look_seconds": 0})
    give_up(shop, service)
    shop.drop("b.jpg")
    shop.drop("c.jpg")
    shop.pass_time(120)
    shop.to_the_end()
    assert shop.files("outbox") == ["b.jpg", "c.jpg"]
    assert len(service.orders) == 2


def test_a_paid_order_whose_picture_vanishes_again_at_the_claim_stays_parked(begin: Open) -> None:
    shop, service = begin({"look_seconds": 0})
    parked = give_up(shop, service)
    shop.drop("b.jpg")
    order = shop.journal.begin(parked.having(files=(parked.files[0].having(name="b.jpg", destination=None),)))
    (shop.folder("inbox") / "b.jpg").unlink()
    shop.live_again()
    assert shop.journal.get(order.key) is not None
    shop.pass_time(120)
    shop.to_the_end()
    assert shop.order().is_resumable
    bring_back(shop)
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")


# --- the daemon


def test_a_run_takes_everything_to_its_end_through_the_daemon(tmp_path: Path) -> None:
    with Sandbox(processing_seconds=0.2) as service:
        shop = Shop(tmp_path, service, inboxes=("one", "two", "three"), settle_seconds=0.1)
        shop.close()
        for number, inbox in enumerate(("one", "two", "three")):
            shop.drop(f"sub/{inbox}.jpg", sample("jpeg", width=40, height=30, seed=number), inbox=f"{inbox}/inbox")
        shop.drop("bad.jpg", b"%PDF-1.7\n" + bytes(5000), inbox="one/inbox")
        outcome = daemon.run(shop.config, _same(shop.config), once=True)
        assert (outcome.snapshot.delivered, outcome.snapshot.quarantined, left(outcome)) == (3, 1, [])
        assert outcome.ending is daemon.Ending.QUARANTINED
        assert files_in(tmp_path / "two/outbox") == ["sub/two.jpg"]
        assert service.sins == []


def test_files_that_could_not_be_taken_use_up_no_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    move = disk.move

    def move_but_the_busy(source: disk.Place, target: disk.Place, **options: Any) -> None:  # noqa: ANN401 - whatever it takes
        if source.base.startswith("busy"):
            raise FolderFault(f"{source.path}: device or resource busy", code="EBUSY")
        move(source, target, **options)

    monkeypatch.setattr(disk, "move", move_but_the_busy)
    with Sandbox() as service:
        shop = Shop(tmp_path, service, settle_seconds=0.1, budget={"files_per_day": 3})
        shop.close()
        for number in range(6):
            name = f"busy{number}.jpg" if number < 3 else f"{number}.jpg"
            os.utime(
                shop.drop(name, sample("jpeg", width=40, height=30, seed=number)), (number, number)
            )  # in this order
        outcome = daemon.run(shop.config, _same(shop.config), once=True)
        assert outcome.snapshot.delivered == 3
        assert [line.split(": ")[1] for line in left(outcome)] == ["busy0.jpg", "busy1.jpg", "busy2.jpg"]


@pytest.mark.parametrize("error", [FolderFault("the share has gone", code="EIO"), RuntimeError("the process dies")])
@pytest.mark.parametrize("owner", [Claims, Journal])  # before it is counted, or after
def test_files_of_an_interrupted_claim_count_once_against_the_budget(
    begin: Open, monkeypatch: pytest.MonkeyPatch, owner: type, error: Exception
) -> None:
    shop, _ = begin(budget={"files_per_day": 2})
    name, failed = "_keep" if owner is Claims else "advance", list[Order]()
    do = getattr(owner, name)

    def fail_once(self: object, order: Order, *given: object, **facts: object) -> Order:
        if not failed:
            failed.append(order)
            raise error
        return cast("Order", do(self, order, *given, **facts))

    monkeypatch.setattr(owner, name, fail_once)
    for number in range(8):
        shop.drop(f"{number}.jpg", PICTURE + bytes([number]))
    with suppress(RuntimeError):
        shop.work(lambda: failed)
    if isinstance(error, RuntimeError):
        shop.live_again()
    shop.work(lambda: len(shop.files("outbox")) == 2)
    for _ in range(20):
        shop.beat()
    shop.rest()
    assert len(shop.files("outbox")) == 2


def test_a_paid_order_that_is_taken_up_again_does_not_count_again(begin: Open) -> None:
    shop, service = begin({"look_seconds": 0}, budget={"files_per_day": 10})
    give_up(shop, service)
    left = shop.pipeline.admission._quota.left("photos")
    os.rename(shop.folder("quarantine") / "a.jpg", shop.folder("inbox") / "a.jpg")
    shop.pass_time(120)
    shop.to_the_end()
    assert (shop.files("outbox"), len(service.orders)) == (["a.jpg"], 1)
    assert shop.pipeline.admission._quota.left("photos") == left


def test_a_run_without_a_service_ends_and_says_what_is_left(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.close()
    shop.drop("a.jpg")
    outcome = daemon.run(shop.config, _same(shop.config), once=True)
    assert outcome.ending is daemon.Ending.UNFINISHED
    assert left(outcome)[0].startswith("photos: a.jpg: ")


@pytest.mark.parametrize("dialect", ["v2", "v3"])
def test_a_live_key_is_refused_while_a_test_keys_order_is_under_way_alone(tmp_path: Path, dialect: Dialect) -> None:
    with Sandbox(dialect=dialect, test_processing_seconds=0.0, look_seconds=0) as service:
        tried = Shop(tmp_path, service, api={"key": "sk_test_x"})
        tried.drop("a.jpg")
        if dialect == "v3":
            tried.work(lambda: tried.has(State.CONFIRMED))
        else:  # which gives a test key nothing
            tried.ahead = FRESH
            tried.to_the_end()
            assert tried.orders() == ()  # nothing of it could be taken up again
            os.rename(tmp_path / "quarantine/a.jpg", tmp_path / "inbox/a.jpg")
        tried.close()
        shop = Shop(tmp_path, service)
        shop.close()
        if dialect == "v3":
            with pytest.raises(ConfigError):
                daemon.run(shop.config, _same(shop.config), once=True)
        else:
            assert daemon.run(shop.config, _same(shop.config), once=True).snapshot.delivered == 1
            assert service.sins == []


def _same(config: Config) -> Callable[[], Config]:
    return lambda: config


def test_a_start_that_is_sent_back_says_nothing_of_the_credits(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("confirm", "answer", status=400, code="USAGE_NOT_ENOUGH")
    shop.drop("a.jpg")
    shop.work(lambda: shop.pipeline.breaker.refusal is not None and shop.has(State.UPLOADED))
    back = service.faults.add("confirm", "answer", status=409, code="ORDER_FILE_NOT_UPLOADED")
    service.faults.add("confirm", "answer", status=400, code="USAGE_NOT_ENOUGH", times=None)
    shop.pipeline.try_again()
    shop.beat(takes=False)
    shop.rest()
    assert back.befallen == 1
    assert shop.pipeline.breaker.refusal is not None


def test_a_probe_found_complete_when_it_is_started_again_ends_the_doubt(begin: Open) -> None:
    shop, service = begin()
    shop.drop("a.jpg")
    shop.doubt_service()
    lost = service.faults.add("confirm", "answer_after", status=500)
    service.faults.add("confirm", "answer", status=409, code="ORDER_ALREADY_COMPLETED")
    shop.work(lambda: shop.orders() and shop.order().failures)
    shop.pass_time(200)
    shop.to_the_end()
    assert lost.befallen == 1
    assert shop.files("outbox") == ["a.jpg"]
    assert not shop.pipeline.breaker.is_open("anti-ai")


def test_a_suspect_without_a_place_holds_up_nobody_who_has_one(begin: Open) -> None:
    shop, _ = begin({"processing_seconds": 1.0}, orders_in_flight=1)
    shop.drop("a.jpg")
    now = time.monotonic()
    shop.look(now)
    shop.look(now + 2)
    suspect = shop.journal.put_off(shop.order(), 3600, deaths=2, last_error="it was put off")
    shop.drop("b.jpg", OTHER)
    shop.intake.nudge(None)
    shop.work(lambda: shop.has(State.CONFIRMED))
    shop.journal.note(suspect, not_before=None)
    shop.pass_time(60)  # a suspect is tried when a life has lasted for half a minute
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg", "b.jpg"]


def test_a_probe_for_which_nothing_could_be_noted_was_none(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, service = begin()
    service.faults.add("create", "answer", status=400, code="USAGE_NOT_ENOUGH", times=1)
    shop.drop("a.jpg")
    shop.work(lambda: shop.pipeline.breaker.refusal)
    shop.pass_time(61.0)
    with monkeypatch.context() as full:
        full.setattr(shop.journal, "mark_running", Mock(side_effect=FolderFault("the disk is full", code="ENOSPC")))
        shop.beat(takes=False)
        shop.rest()
    shop.pass_time(timing.FOLDER_BACKOFF_SECONDS)
    shop.work(lambda: not shop.pipeline.breaker.refusal, seconds=5)
    shop.to_the_end()
    assert_delivered_once(shop, service, "a.jpg")
