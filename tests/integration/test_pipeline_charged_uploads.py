"""A service whose work starts with the last upload: that is the purchase, and nothing is bought twice."""

import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from contents import sha256
from PIL import Image
from sandbox_client import Client
from shop import OTHER, PICTURE, Open, Shop, calls, has_failed_once, move_back, told, work_place

from watchfolder.api.transport import Pace
from watchfolder.errors import FolderFault
from watchfolder.order import Order, State
from watchfolder.pipeline import timing, upload
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

PERSISTENT = Pace(attempts=3, first_wait_seconds=0.01, max_wait_seconds=0.02, connect_seconds=5, read_seconds=5)
UNSURE_SECONDS = 70.0  # longer than an upload may take to become known
TO_STORAGE = {"upload", "fetch"}
LATER = 3600.0  # longer than any backoff
USUAL = {"service": "watermark-embed", "kept": {"look_seconds": 0}, "api": {"reads": "v3"}}


def pour(shop: Shop, count: int = 4) -> dict[str, bytes]:
    """Drop pictures that go into one order."""
    pictures = {f"{number}.jpg": sample("jpeg", width=64, height=48, seed=number) for number in range(count)}
    for name, content in pictures.items():
        shop.drop(name, content)
    return pictures


def cmyk() -> bytes:
    content = io.BytesIO()
    Image.new("CMYK", (64, 48), (10, 20, 30, 0)).save(content, "JPEG")
    return content.getvalue()


def results(shop: Shop) -> list[str]:
    return [name for name in shop.files("outbox") if not name.endswith(".csv")]


def notes(shop: Shop) -> list[str]:
    return [name for name in shop.files("quarantine") if name.endswith(".why.txt")]


def assert_bought_once(shop: Shop, service: Sandbox, pictures: Mapping[str, bytes]) -> None:
    assert results(shop) == sorted(pictures)
    assert shop.files("inbox") == shop.files("quarantine") == []
    assert shop.orders() == ()
    assert service.paid_files == {sha256(content): 1 for content in pictures.values()}
    assert service.paid == len(pictures)
    assert service.sins == []


def test_pictures_go_the_whole_way_in_one_order_without_a_start(begin: Open) -> None:
    shop, service = begin()
    pictures = pour(shop)
    shop.to_the_end()
    assert_bought_once(shop, service, pictures)
    assert len(service.orders) == calls(service, "create") == 1
    assert service.requests_by_operation().keys() == {"create", "upload", "status", "link", "fetch"}


@pytest.mark.parametrize("has_restarted", [False, True])
@pytest.mark.parametrize("count", [1, 4])
def test_an_upload_whose_answer_is_lost_is_not_bought_again(begin: Open, count: int, *, has_restarted: bool) -> None:
    shop, service = begin()
    pictures = pour(shop, count)
    service.faults.add("upload", "reset_after", nth=count)
    shop.work(lambda: has_failed_once(shop))
    assert shop.order().charged
    if has_restarted:
        shop.live_again()
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, pictures)
    assert (len(service.orders), calls(service, "upload")) == (1, count)


def test_an_upload_that_is_repeated_at_once_after_a_lost_answer_is_bought_once(begin: Open) -> None:
    shop, service = begin(pace=PERSISTENT)
    service.faults.add("upload", "reset_after")
    shop.drop("a.jpg")
    shop.to_the_end()
    assert_bought_once(shop, service, {"a.jpg": PICTURE})
    assert len(service.orders) == 1


def test_the_disk_says_that_it_may_be_paid_before_the_first_byte_leaves(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin()
    pictures = pour(shop)
    upload, told = shop.service.upload, list[bool]()

    def watched(*arguments: Any) -> None:  # noqa: ANN401 - whatever it takes
        (entry,) = (shop.folder("state") / "journal").glob("*.json")
        told.append(json.loads(entry.read_bytes())["charged"])
        upload(*arguments)

    monkeypatch.setattr(shop.service, "upload", watched)
    shop.to_the_end()
    assert_bought_once(shop, service, pictures)
    assert told == [True] * len(pictures)


def test_an_outage_of_the_storage_leaves_the_order_as_one_that_may_be_paid(begin: Open) -> None:
    shop, service = begin()
    pictures = pour(shop)
    service.faults.add("upload", "reset_before", times=None)
    shop.work(lambda: has_failed_once(shop))
    shop.live_again()
    assert [order.charged for order in shop.orders()] == [True]
    service.faults.clear()
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, pictures)


def pour_unsent(shop: Shop, service: Sandbox) -> dict[str, bytes]:
    """Drop pictures that go into one order, whose uploads fail once."""
    pictures = pour(shop)
    service.faults.add("upload", "reset_before", times=None)
    shop.work(lambda: has_failed_once(shop))
    service.faults.clear()
    return pictures


def test_a_picture_that_changed_before_its_upload_comes_back_and_others_go_on(begin: Open) -> None:
    shop, service = begin()
    pictures = pour_unsent(shop, service)
    work_place(shop, shop.order(), "2.jpg").write_bytes(OTHER)
    shop.pass_time(LATER)
    shop.work(lambda: calls(service, "upload") >= 7)
    assert [order.state for order in shop.orders()] == [State.CREATED]  # an upload may still be on its way
    shop.clock.pass_time(UNSURE_SECONDS)
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, pictures | {"2.jpg": OTHER})
    assert [sorted(order.files) for order in service.orders.values() if order.is_confirmed] == [
        ["0.jpg", "1.jpg", "3.jpg"],
        ["2.jpg"],
    ]


def test_pictures_that_all_changed_before_their_upload_all_come_back(begin: Open) -> None:
    shop, service = begin()
    pictures = pour_unsent(shop, service)
    changed = {name: sample("jpeg", width=64, height=48, seed=90 + number) for number, name in enumerate(pictures)}
    for name, content in changed.items():
        work_place(shop, shop.order(), name).write_bytes(content)
    shop.clock.pass_time(UNSURE_SECONDS)
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, changed)


def test_a_picture_that_changes_after_its_upload_comes_back_beside_its_result(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("upload", "reset_after")
    shop.drop("a.jpg")
    shop.work(lambda: has_failed_once(shop))
    work_place(shop, shop.order(), "a.jpg").write_bytes(OTHER)
    shop.pass_time(LATER)
    shop.to_the_end()
    assert results(shop) == ["a (2).jpg", "a.jpg"]
    assert service.paid_files == {sha256(PICTURE): 1, sha256(OTHER): 1}
    assert (shop.folder("originals") / "a.jpg").read_bytes() == OTHER
    assert service.sins == []


def test_a_picture_that_the_storage_refuses_is_parted_with_and_paid_once(begin: Open) -> None:
    shop, service = begin()
    pictures = pour(shop)
    service.faults.add("upload", "answer", status=413)
    shop.work(lambda: len(service.orders) > 1)
    shop.pass_time(LATER)
    shop.to_the_end()
    assert sum(service.paid_files.values()) == service.paid == 4
    assert set(service.paid_files) == {sha256(content) for content in pictures.values()}
    assert service.sins == []


def test_a_picture_whose_upload_is_never_answered_keeps_others_for_a_while_only(begin: Open) -> None:
    shop, service = begin()
    pictures = pour(shop, 3)
    service.faults.add("upload", "reset_before", times=None, path="1.jpg")
    shop.work(lambda: has_failed_once(shop))
    assert shop.journal.note(shop.order(), failures=3).charged  # as after three rounds
    shop.clock.pass_time(UNSURE_SECONDS)
    shop.pass_time(LATER)
    shop.work(lambda: results(shop) == ["0.jpg", "2.jpg"])
    assert [[file.name for file in order.files] for order in shop.orders()] == [["1.jpg"]]
    service.faults.clear()
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, pictures)


def test_a_picture_that_changes_while_it_is_hashed_is_not_sent(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, service = begin()
    hash_ = upload._hash

    def and_then_it_changes(opened: BinaryIO, size: int) -> tuple[BinaryIO, str, bytes]:
        hashed = hash_(opened, size)
        monkeypatch.setattr(upload, "_hash", hash_)
        Path(os.readlink(f"/proc/self/fd/{opened.fileno()}")).write_bytes(OTHER)
        return hashed

    monkeypatch.setattr(upload, "_hash", and_then_it_changes)
    shop.drop("a.jpg")
    shop.work(lambda: not shop.files("inbox") and shop.orders())
    shop.clock.pass_time(UNSURE_SECONDS)
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, {"a.jpg": OTHER})


@pytest.mark.parametrize("step", ["create", "upload", "status", "link"])
@pytest.mark.parametrize("count", [1, 3])
def test_an_order_whose_entry_is_lost_is_asked_for_by_its_key(begin: Open, step: str, count: int) -> None:
    shop, service = begin()
    pictures = pour(shop, count)
    service.faults.add(step, "reset_after", nth=count if step == "upload" else 1)
    shop.work(lambda: has_failed_once(shop))
    shop.lose_entry()
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, pictures)
    assert len(service.orders) == 1
    assert (calls(service, "create"), calls(service, "list")) == (2, 0)


def test_links_that_have_run_out_are_renewed_by_a_read(begin: Open) -> None:
    shop, service = begin({"watermark_link_seconds": -1.0})
    pictures = pour(shop)
    shop.work(lambda: calls(service, "upload") >= 1)
    service.watermark_link_seconds = 900.0
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, pictures)
    assert calls(service, "refresh") == 0
    assert len(service.orders) == 1


def test_a_storage_that_refuses_its_links_is_tried_thrice_and_then_later(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("upload", "answer", times=3, status=403)
    shop.drop("a.jpg")
    shop.work(lambda: has_failed_once(shop))
    assert "three times" in shop.order().last_error
    assert (calls(service, "upload"), calls(service, "status")) == (3, 1)
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, {"a.jpg": PICTURE})


def test_a_read_that_names_no_files_is_a_failure_and_not_asked_for_each_second(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("upload", "answer", status=503)
    shop.drop("a.jpg")
    shop.work(lambda: has_failed_once(shop))
    nameless = json.dumps({"data": {"orderId": shop.order().order_id, "status": "pending", "inputFiles": None}})
    service.faults.add("status", "other_json", times=None, body=nameless)
    shop.pass_time(LATER)
    shop.work(lambda: shop.order().failures == 2)
    assert "no upload link" in shop.order().last_error
    service.faults.clear()
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, {"a.jpg": PICTURE})


def test_an_upload_that_is_refused_and_yet_arrived_is_not_sent_again(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("upload", "answer_after", status=403)
    shop.drop("a.jpg")
    shop.work(lambda: has_failed_once(shop))
    assert shop.order().charged
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, {"a.jpg": PICTURE})
    assert (calls(service, "upload"), len(service.orders)) == (1, 1)


def test_an_upload_that_the_storage_lost_is_sent_again_to_the_same_order(begin: Open) -> None:
    shop, service = begin()
    pictures = pour(shop)
    service.faults.add("upload", "lose", nth=2)
    shop.work(lambda: shop.has(State.CONFIRMED))
    shop.clock.pass_time(UNSURE_SECONDS)
    shop.work(lambda: calls(service, "upload") >= 5)
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, pictures)
    assert (len(service.orders), calls(service, "upload")) == (1, 5)


def test_uploads_that_were_not_there_in_time_are_ordered_again_under_a_new_key(begin: Open) -> None:
    shop, service = begin({"watermark_upload_seconds": 0.0})
    pictures = pour(shop)
    shop.work(lambda: shop.orders() and shop.orders()[0].reordered == 1)
    service.watermark_upload_seconds = 43200.0
    shop.clock.pass_time(LATER)
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, pictures)
    assert [order.is_confirmed for order in service.orders.values()] == [False, True]


@pytest.mark.parametrize("count", [1, 3])
def test_a_key_that_was_used_before_is_parked_and_nothing_is_bought(begin: Open, count: int) -> None:
    shop, service = begin()
    pour(shop, count)
    service.faults.add("create", "answer", times=None, status=409, code="WATERMARK_V2_CONFLICT")
    shop.to_the_end()
    assert len(notes(shop)) == count
    said = (shop.folder("quarantine") / notes(shop)[0]).read_text()
    assert "WATERMARK_V2_CONFLICT" in said
    assert "may have been paid" in said
    assert "save it anew in a picture editor" in said
    assert (calls(service, "create"), calls(service, "list")) == (1, 0)  # no list has its name
    service.faults.clear()
    move_back(shop)
    shop.to_the_end()
    assert len(notes(shop)) == (0 if count == 1 else count)  # one alone has the body that asks for it again
    assert (service.paid, len(service.orders)) == ((1, 1) if count == 1 else (0, 0))


def test_a_conflict_that_passes_lets_the_same_order_go_on(begin: Open) -> None:
    shop, service = begin()
    shop.drop("a.jpg")
    service.faults.add("create", "answer", status=409, code="WATERMARK_V2_CONFLICT")
    shop.to_the_end()
    key = shop.order().key
    move_back(shop)
    shop.to_the_end()
    (order,) = service.orders.values()
    assert order.idempotency_key == key
    assert_bought_once(shop, service, {"a.jpg": PICTURE})


def test_an_outage_of_the_watermark_service_passes(begin: Open) -> None:
    shop, service = begin()
    shop.drop("a.jpg")
    service.faults.add("create", "answer", status=503, code="WATERMARK_V2_UNAVAILABLE")
    shop.work(lambda: has_failed_once(shop))
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, {"a.jpg": PICTURE})


def test_pictures_of_every_format_are_sent_as_what_their_links_were_signed_for(begin: Open) -> None:
    shop, service = begin()
    kinds = {"a.jpg": "jpeg", "b.png": "png", "c.webp": "webp", "d.bmp": "bmp", "e.tif": "tiff", "f.TIFF": "tiff"}
    pictures = {name: sample(kind, width=64, height=48, seed=seed) for seed, (name, kind) in enumerate(kinds.items())}
    for name, content in pictures.items():
        shop.drop(name, content)
    shop.to_the_end()
    assert_bought_once(shop, service, pictures)


def test_a_picture_that_the_service_can_not_mark_is_told_why_and_costs_nothing(begin: Open) -> None:
    shop, service = begin()
    pictures = pour(shop, 3)
    shop.drop("cmyk.jpg", cmyk())
    shop.to_the_end(seconds=60.0)
    assert results(shop) == sorted(pictures)
    assert shop.files("quarantine") == ["cmyk.jpg", "cmyk.jpg.why.txt"]
    assert "Save it in RGB" in (shop.folder("quarantine") / "cmyk.jpg.why.txt").read_text()
    assert service.paid_files == {sha256(content): 1 for content in pictures.values()}
    assert service.sins == []


def test_an_order_that_people_must_see_to_is_told_once_and_asked_for_rarely(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 3600.0, "processing_delayed": True})
    shop.drop("a.jpg")
    shop.work(lambda: calls(service, "status") >= 1)
    assert "people there see to it" in shop.order().last_error
    for _ in range(10):
        shop.pass_time(60)
        shop.beat()
        shop.rest()
    assert calls(service, "status") == 1
    shop.pass_time(1800)
    shop.work(lambda: calls(service, "status") == 2)


def test_an_order_that_people_must_see_to_is_not_asked_for_among_others(
    begin: Open, caplog: pytest.LogCaptureFixture
) -> None:
    shop, service = begin({"processing_seconds": 1e9}, max_files_per_order=1)

    def asked(order: Order) -> int:
        return sum(each.operation == "status" and str(order.order_id) in each.path for each in service.requests)

    shop.drop("a.jpg")
    shop.work(lambda: shop.orders() and asked(shop.order()))
    order = shop.order()
    service.processing_delayed = True
    shop.pass_time(60)
    shop.work(lambda: shop.order().last_error)
    said, polls = shop.order().last_error, asked(order)
    shop.journal.note(shop.order(), times={state: at.after(-3700) for state, at in order.times.items()})
    service.processing_delayed = False
    pour(shop, 3)
    shop.work(lambda: all(map(asked, shop.orders())) and len(shop.orders()) == 4)
    for _ in range(4):
        lists = calls(service, "list")
        shop.pass_time(240)
        shop.work(lambda lists=lists: calls(service, "list") > lists)  # type: ignore[misc]  # mypy and defaults
    service.faults.add("list", "html", times=None)  # then each is asked for by itself, when it is due
    service.processing_delayed = True
    for _ in range(5):
        shop.pass_time(60)
        shop.beat()
        shop.rest()
    assert asked(order) == polls
    shop.live_again()
    shop.work(lambda: asked(order) > polls)
    assert next(each.last_error for each in shop.orders() if each.key == order.key) == said
    assert [each["order"] for each in told(caplog, "order.processing_delayed")].count(order.key) == 1
    assert told(caplog, "order.overdue") == []


def test_an_order_that_people_have_seen_to_is_as_any_other(begin: Open, caplog: pytest.LogCaptureFixture) -> None:
    shop, service = begin({"processing_seconds": 1e9, "processing_delayed": True})
    shop.drop("a.jpg")
    shop.work(lambda: shop.orders() and shop.order().is_delayed)
    service.processing_delayed = False
    shop.pass_time(1800)
    shop.work(lambda: not shop.order().is_delayed)
    assert shop.order().last_error == ""
    shop.journal.note(shop.order(), times={state: at.after(-3700) for state, at in shop.order().times.items()})
    shop.pass_time(1800)
    shop.work(lambda: told(caplog, "order.overdue"))
    service.processing_delayed = True
    shop.pass_time(1800)
    shop.work(lambda: len(told(caplog, "order.processing_delayed")) == 2)


def test_a_server_without_v3_reads_makes_the_inbox_wait(begin: Open) -> None:
    shop, service = begin({"dialect": "v2"}, api={"reads": "auto"})
    shop.drop("a.jpg")
    for _ in range(5):
        shop.beat()
        shop.rest()
    assert shop.orders() == ()
    assert shop.pipeline.admission.allowance("photos", 1).files == 0
    assert service.orders == {}


def test_a_hundred_pictures_cost_at_most_five_requests_of_the_plan(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 1.0})
    pictures = pour(shop, 100)
    shop.to_the_end(seconds=60.0)
    assert_bought_once(shop, service, pictures)
    assert len(service.orders) == 1
    of_the_plan = {name: count for name, count in service.requests_by_operation().items() if name not in TO_STORAGE}
    assert sum(of_the_plan.values()) <= 5, of_the_plan


@pytest.mark.parametrize("status", [403, 413])
def test_a_refusal_right_after_a_lost_answer_takes_no_charge_back(begin: Open, status: int) -> None:
    shop, service = begin(pace=PERSISTENT)
    pictures = pour(shop, 2)
    service.faults.add("upload", "reset_after", nth=2)
    service.faults.add("upload", "answer", nth=3, status=status)
    service.faults.add("status", "answer", status=429, code="RATE_LIMIT_EXCEEDED")
    shop.work(lambda: calls(service, "upload") >= 3)
    assert [(order.state, order.charged) for order in shop.orders()] == [(State.CREATED, True)]
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, pictures)
    assert len(service.orders) == 1


def test_one_that_is_refused_amid_doubt_keeps_no_other_from_its_result(begin: Open) -> None:
    shop, service = begin()
    pictures = pour(shop)
    service.faults.add("upload", "reset_before", times=4)
    shop.work(lambda: has_failed_once(shop))
    service.faults.add("upload", "answer", status=413)
    shop.pass_time(LATER)
    shop.work(lambda: calls(service, "upload") >= 8)
    assert shop.files("quarantine") == []
    shop.clock.pass_time(UNSURE_SECONDS)
    shop.to_the_end()
    assert_bought_once(shop, service, pictures)


@pytest.mark.parametrize("bad", ["a_fail.jpg", "z_fail.jpg"])
def test_parts_whose_answers_are_lost_cast_no_doubt_on_the_service(
    begin: Open, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    shop, service = begin()
    shop.drop(bad, OTHER)
    shop.drop("m.jpg")
    service.faults.add("upload", "reset_after", nth=3, times=2)
    shop.work(lambda: sum(order.failures > 0 for order in shop.orders()) == 2)
    shop.pass_time(LATER)
    shop.to_the_end()
    assert (results(shop), len(notes(shop)), len(service.orders)) == (["m.jpg"], 1, 3)
    assert "service.fails_all" not in caplog.text


def test_a_clear_no_beside_a_lost_answer_takes_no_charge_back(begin: Open) -> None:
    shop, service = begin()
    pictures = pour(shop, 2)
    service.faults.add("upload", "reset_after")
    service.faults.add("upload", "answer", nth=2, status=413)
    shop.work(lambda: has_failed_once(shop))
    assert shop.order().charged
    shop.clock.pass_time(UNSURE_SECONDS)
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, pictures)
    assert len(service.orders) == 1


def test_an_upload_that_broke_off_counts_as_one_that_may_still_arrive(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin()
    pictures = pour(shop, 2)
    service.faults.add("upload", "reset_before", times=2)
    shop.work(lambda: has_failed_once(shop))
    order, context = shop.order(), shop.pipeline.runtimes["photos"].context
    shop.clock.pass_time(UNSURE_SECONDS)
    with monkeypatch.context() as amid:
        amid.setattr(timing, "REMEMBER_SECONDS", -1.0)
        amid.setattr(shop.journal, "note", failing_amid(shop, service))
        shop.pass_time(LATER)
        shop.work(lambda: calls(service, "upload") >= 3)
        assert context.seconds_since_upload(order) < UNSURE_SECONDS
    shop.clock.pass_time(UNSURE_SECONDS)
    shop.to_the_end()
    assert_bought_once(shop, service, pictures)


def failing_amid(shop: Shop, service: Sandbox) -> Callable[..., Order]:
    """Return a `note` whose disk fails once an upload of the second round has come through."""
    note = shop.journal.note

    def failing(order: Order, **facts: object) -> Order:
        if calls(service, "upload") > 2:
            raise FolderFault.at(shop.config.state_dir, "the disk reports errors", code="EIO")
        return note(order, **facts)

    return failing


def test_a_read_that_is_behind_the_last_upload_has_nothing_sent_again(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("upload", "answer", status=503)
    shop.drop("a.jpg")
    shop.work(lambda: calls(service, "upload") == 1)
    behind = Client(service).call("GET", f"/api/v3/orders/{shop.order().order_id}").text
    stale = service.faults.add("status", "answer", times=3, nth=2, status=200, body=behind)
    shop.pass_time(LATER)
    shop.to_the_end()
    assert stale.befallen
    assert calls(service, "upload") == 2
    assert_bought_once(shop, service, {"a.jpg": PICTURE})
