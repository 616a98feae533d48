"""Watermark extract from a folder: a picture and its original go in, what was found comes out beside the picture."""

import contextlib
import logging
import os
import time
import unicodedata
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from contents import sha256
from sandbox_client import Client, data
from shop import OTHER, PICTURE, Killed, Open, Shop, said, work_place

from watchfolder import disk, history, intake
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.intake import Claims, Decision
from watchfolder.intake.decide import Ready
from watchfolder.order import Enclosure, Order, OrderFile, Role, State, Why
from watchfolder.pipeline import timing
from watchfolder.publish import FindingPublisher
from watchfolder.publish.originals import OriginalPublisher
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample, sample_pdf

ORIGINAL = sample("jpeg", width=64, height=48, seed=9)
SIDECAR = ".watermark.json"
USUAL = {"service": "watermark-extract"}


def leaked(service: Sandbox, text: str, content: bytes = ORIGINAL) -> bytes:
    """Return the copy that was given out with this text."""
    client, seconds = Client(service), service.processing_seconds
    service.processing_seconds = 0.0
    try:
        order_id = client.sent(data(client.embed(texts=[text])), (content, "image/jpeg"))
        (file,) = data(client.link(order_id, "v3"))["files"]
        return client.get(file["downloadUrl"]).content
    finally:
        client.close()
        service.paid_files.clear()
        service.processing_seconds = seconds


def drop_pair(shop: Shop, name: str, content: bytes = PICTURE, original: bytes = ORIGINAL) -> None:
    stem, extension = os.path.splitext(name)
    shop.drop(name, content)
    shop.drop(f"{stem}.original{extension}", original)


def waiting(shop: Shop) -> dict[str, str]:
    shop.to_the_end()
    assert shop.orders() == ()
    return shop.intake.candidates.remarks()


# --- what goes together


def test_a_picture_and_its_original_are_one_order(begin: Open) -> None:
    shop, _ = begin()
    drop_pair(shop, "a.jpg")
    shop.work(shop.orders, seconds=30)
    (order,) = shop.orders()
    assert [(file.name, file.role) for file in order.files] == [
        ("a.original.jpg", Role.ORIGINAL),
        ("a.jpg", Role.PICTURE),
    ]


def test_what_was_found_lies_beside_the_picture_which_comes_out_bit_for_bit(begin: Open) -> None:
    shop, service = begin()
    copy, name = leaked(service, "2026-17 dpa"), "Ferien/Füße am Strand.jpg"
    drop_pair(shop, name, copy)
    inode = os.stat(shop.folder("inbox") / name).st_ino
    shop.to_the_end()

    delivered = shop.folder("outbox") / "detected" / name
    assert delivered.read_bytes() == copy
    assert delivered.stat().st_ino == inode
    assert shop.files("outbox") == [f"detected/{name}", f"detected/{name}{SIDECAR}"]
    assert shop.files("originals") == ["Ferien/Füße am Strand.original.jpg"]
    assert shop.files("inbox") == shop.files("quarantine") == []
    told = said(shop, f"detected/{name}{SIDECAR}")
    assert told.pop("checkedAt").endswith("+00:00")
    assert told == {
        "service": "watermark-extract",
        "verdict": "detected",
        "watermarkText": "2026-17 dpa",
        "recipient": None,
        "originalSha256": sha256(ORIGINAL),
        "orderId": max(service.orders, key=int),
        "sha256": sha256(copy),
    }
    (end,) = history.newest_first(shop.config.state_dir)
    assert [file.name for file in end.files if file.delivered_at] == [name]
    assert service.credits["watermarkExtract"] == 1
    assert service.sins == []


def is_repeated(shop: Shop, times: int) -> bool:
    return any(order.reordered == times for order in shop.orders())


def test_a_check_that_failed_by_itself_is_repeated_before_that_is_its_verdict(begin: Open) -> None:
    shop, service = begin({"detections": {sha256(PICTURE): "error"}})
    drop_pair(shop, "a.jpg")
    for times in range(1, 4):
        shop.work(partial(is_repeated, shop, times))
        assert shop.files("outbox") == []
        shop.pass_time(3600)
    shop.to_the_end()
    assert shop.files("outbox") == ["error/a.jpg", f"error/a.jpg{SIDECAR}"]
    assert shop.files("originals") == ["a.original.jpg"]
    assert (service.requests_by_operation()["create"], service.paid) == (4, 0)
    assert service.sins == []


def test_a_check_that_is_repeated_may_succeed(begin: Open) -> None:
    shop, service = begin({"detections": {sha256(PICTURE): "error"}})
    drop_pair(shop, "a.jpg")
    shop.work(partial(is_repeated, shop, 1))
    service.detections.clear()
    shop.pass_time(3600)
    shop.to_the_end()
    assert shop.files("outbox") == ["undetected/a.jpg", f"undetected/a.jpg{SIDECAR}"]
    assert service.paid_files == {sha256(PICTURE): 1}


@pytest.mark.parametrize("verdict", ["undetected", "inconclusive", "unsupported"])
def test_every_verdict_has_a_folder_and_none_is_quarantined(begin: Open, verdict: str) -> None:
    shop, service = begin({"detections": {sha256(PICTURE): verdict}})
    drop_pair(shop, "a.jpg")
    shop.to_the_end()
    assert shop.files("outbox") == [f"{verdict}/a.jpg", f"{verdict}/a.jpg{SIDECAR}"]
    assert said(shop, f"{verdict}/a.jpg{SIDECAR}")["verdict"] == verdict
    assert shop.files("quarantine") == []
    assert service.sins == []


def test_the_service_is_told_the_original_first_and_both_are_sent_once(begin: Open) -> None:
    shop, service = begin()
    drop_pair(shop, "a.jpg")
    shop.to_the_end()
    asked = service.requests_by_operation()
    assert (asked["create"], asked["upload"]) == (1, 2)
    assert "confirm" not in asked
    assert service.sins == []  # the wrong way round would be one


@pytest.mark.parametrize("name", ["a.pdf", "a.png", "a.jpg"])
def test_a_pdf_is_compared_with_a_pdf_or_the_capture_of_a_page(begin: Open, name: str) -> None:
    shop, service = begin()
    kind = {".png": "png", ".jpg": "jpeg"}.get(Path(name).suffix)
    found = sample(kind, width=64, height=48, seed=5) if kind else sample_pdf("a page of it, printed anew")
    shop.drop(name, found)
    shop.drop("a.original.pdf", sample_pdf("a brochure"))
    shop.to_the_end()
    assert (shop.folder("outbox") / "undetected" / name).read_bytes() == found
    assert said(shop, f"undetected/{name}{SIDECAR}")["originalSha256"] == sha256(sample_pdf("a brochure"))
    assert service.sins == []


@pytest.mark.parametrize(("name", "original"), [("a.pdf", "a.original.jpg"), ("a.webp", "a.original.pdf")])
def test_what_the_service_does_not_compare_waits(begin: Open, name: str, original: str) -> None:
    shop, service = begin()
    content = {"pdf": sample_pdf("a page"), "jpg": ORIGINAL, "webp": sample("webp", width=64, height=48, seed=5)}
    for each in (name, original):
        shop.drop(each, content[each.rpartition(".")[2]])
    assert any("is not compared with a" in reason for reason in waiting(shop).values())
    assert service.requests_by_operation().get("create") is None


def test_unsorted_it_keeps_its_sub_folder(begin: Open) -> None:
    shop, _ = begin(sort=False)
    drop_pair(shop, "in/a.jpg")
    shop.to_the_end()
    assert shop.files("outbox") == ["in/a.jpg", f"in/a.jpg{SIDECAR}"]


# --- what waits


def test_a_picture_without_its_original_waits_and_is_explained(begin: Open) -> None:
    shop, service = begin()
    shop.drop("a.jpg")
    shop.drop("b.original.jpg", OTHER)
    assert waiting(shop) == {
        "a.jpg": "its original is not there yet: a.original.jpg, beside it",
        "b.original.jpg": "the picture that it is the original of is not there yet: b.jpg, beside it",
    }
    for name, reason in shop.intake.candidates.remarks().items():
        decision = intake.explain(shop.intake.inbox, name, 1e9, 2e9)
        assert isinstance(decision, Decision)
        assert (decision.answer, decision.reason) == (intake.Action.WAIT, reason)
    assert service.requests_by_operation().get("create") is None
    assert shop.files("inbox") == ["a.jpg", "b.original.jpg"]


def test_an_original_that_comes_later_is_all_that_was_missing(begin: Open) -> None:
    shop, _ = begin()
    shop.drop("a.jpg")
    waiting(shop)
    shop.live_again()
    waiting(shop)
    shop.drop("a.original.jpg", ORIGINAL)
    shop.to_the_end()
    assert shop.files("outbox") == ["undetected/a.jpg", f"undetected/a.jpg{SIDECAR}"]


def test_names_that_macos_writes_otherwise_belong_together(begin: Open) -> None:
    shop, _ = begin()
    shop.drop("in/Füße.jpg")
    shop.drop(f"in/{unicodedata.normalize('NFD', 'FÜSSE'.replace('SS', 'ß'))}.Original.JPG", ORIGINAL)
    shop.to_the_end()
    assert shop.files("outbox") == ["undetected/in/Füße.jpg", f"undetected/in/Füße.jpg{SIDECAR}"]


def test_where_it_is_not_clear_what_belongs_together_all_wait(begin: Open) -> None:
    shop, _ = begin()
    for name in ("a.jpg", "a.original.png", "a.original.webp"):
        shop.drop(name, ORIGINAL)
    remarks = waiting(shop)
    assert remarks.keys() == {"a.jpg", "a.original.png", "a.original.webp"}
    assert all(reason.startswith("which belongs to which?") for reason in remarks.values())
    (shop.folder("inbox") / "a.original.webp").unlink()
    shop.to_the_end()
    assert shop.files("outbox") == ["undetected/a.jpg", f"undetected/a.jpg{SIDECAR}"]


def test_what_is_no_picture_makes_nothing_unclear(begin: Open) -> None:
    shop, _ = begin()
    drop_pair(shop, "a.jpg")
    shop.drop("a.original.xmp", b"<x:xmpmeta/>")
    shop.drop("a.txt", b"found in the evening edition")
    (shop.folder("inbox") / "a.original.jpg").rename(shop.folder("inbox") / "a.original.png")
    explained = intake.explain(shop.intake.inbox, "a.jpg", 1e9, 2e9)
    assert isinstance(explained, Decision)
    assert explained.answer is intake.Action.TAKE
    shop.to_the_end()
    assert shop.files("outbox") == ["undetected/a.jpg", f"undetected/a.jpg{SIDECAR}"]
    assert shop.files("inbox") == ["a.original.xmp", "a.txt"]


def test_a_second_picture_of_one_original_waits_for_it_to_come_again(begin: Open) -> None:
    shop, service = begin()
    drop_pair(shop, "a.jpg")
    shop.drop("a.png", sample("png", width=32, height=24, seed=3))
    shop.to_the_end()
    assert shop.intake.candidates.remarks() == {"a.png": "its original is not there yet: a.original.png, beside it"}
    (shop.folder("originals") / "a.original.jpg").rename(shop.folder("inbox") / "a.original.jpg")
    shop.to_the_end()
    assert sorted(shop.files("outbox"))[::2] == ["undetected/a.jpg", "undetected/a.png"]
    assert service.credits["watermarkExtract"] == 2
    assert service.sins == []


# --- never by halves


@pytest.mark.parametrize("name", ["a.jpg", "a.original.jpg"])
def test_a_file_that_changes_before_it_is_sent_takes_its_partner_back_with_it(begin: Open, name: str) -> None:
    shop, service = begin()
    service.faults.add("create", "answer", times=1, status=500)
    drop_pair(shop, "a.jpg")
    shop.work(lambda: shop.has(State.CLAIMED) and shop.order().failures)
    work = work_place(shop, shop.order(), name)
    work.write_bytes(OTHER)
    shop.pass_time(60)
    shop.to_the_end()
    found, before = (OTHER, ORIGINAL) if name == "a.jpg" else (PICTURE, OTHER)
    assert service.paid_files == {sha256(found): 1}
    assert said(shop, f"undetected/a.jpg{SIDECAR}")["originalSha256"] == sha256(before)
    assert (shop.folder("outbox") / "undetected" / "a.jpg").read_bytes() == found
    assert service.sins == []


def test_a_pair_of_which_one_vanishes_goes_back(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("create", "answer", times=1, status=500)
    drop_pair(shop, "a.jpg")
    shop.work(lambda: shop.has(State.CLAIMED) and shop.order().failures)
    work_place(shop, shop.order(), "a.original.jpg").unlink()
    shop.pass_time(60)
    assert waiting(shop) == {"a.jpg": "its original is not there yet: a.original.jpg, beside it"}
    assert service.paid == 0


@pytest.mark.parametrize("name", ["a.jpg", "a.original.jpg"])
def test_a_pair_of_which_one_may_not_be_moved_is_tried_ever_more_rarely(
    begin: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    shop, service = begin()
    move, tries = disk.move, list[Place]()

    def refuse(source: Place, target: Place, **settings: Any) -> None:  # noqa: ANN401 - its own
        if source == Place(shop.config.inboxes["photos"].path, name):
            tries.append(source)
            raise FolderFault.at(source.path, "permission denied", code="EACCES")
        move(source, target, **settings)

    monkeypatch.setattr(disk, "move", refuse)
    drop_pair(shop, "a.jpg")
    for _ in range(8):
        shop.to_the_end()
        shop.pass_time(5)
    assert len(tries) == 1
    (other,) = {"a.jpg", "a.original.jpg"} - {name}
    assert shop.intake.candidates.remarks()[other] == f"{name} cannot be taken with it yet"
    assert [record.getMessage() for record in caplog.records].count("file.stays") == 1
    monkeypatch.undo()
    shop.pass_time(60)
    shop.to_the_end()
    assert shop.files("outbox") == ["undetected/a.jpg", f"undetected/a.jpg{SIDECAR}"]
    assert service.sins == []


def test_a_picture_that_changes_after_it_was_sent_goes_back_with_its_original(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 3600.0})
    drop_pair(shop, "a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    work = work_place(shop, shop.order(), "a.jpg")
    work.write_bytes(OTHER)
    service.processing_seconds = 0.0
    for each in service._state.orders.values():
        each.processing_seconds = 0.0
    shop.to_the_end()
    assert service.paid_files == {sha256(PICTURE): 1, sha256(OTHER): 1}
    assert (shop.folder("outbox") / "undetected" / "a.jpg").read_bytes() == OTHER
    assert said(shop, f"undetected/a.jpg{SIDECAR}")["sha256"] == sha256(OTHER)


def test_a_pair_that_the_service_fails_goes_to_quarantine_as_a_whole(begin: Open) -> None:
    shop, service = begin()
    drop_pair(shop, "in/a_fail.jpg")
    shop.to_the_end()
    names = ["in/a_fail.jpg", "in/a_fail.original.jpg"]
    assert shop.files("quarantine") == [name + end for name in names for end in ("", ".why.txt")]
    assert (
        (shop.folder("quarantine") / "in/a_fail.jpg.why.txt").read_text().startswith("a_fail.jpg could not be checked")
    )
    assert shop.orders() == ()
    assert service.sins == []


def test_a_picture_that_is_cut_off_goes_to_quarantine_and_its_original_waits(begin: Open) -> None:
    shop, service = begin(incomplete_seconds=0.0)
    drop_pair(shop, "a.jpg", PICTURE[:-40])
    shop.to_the_end()
    assert shop.files("quarantine") == ["a.jpg", "a.jpg.why.txt"]
    assert shop.intake.candidates.remarks().keys() == {"a.original.jpg"}
    assert service.requests_by_operation().get("create") is None


def test_a_pair_that_was_given_up_is_taken_up_again_and_not_paid_twice(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 3600.0})
    drop_pair(shop, "a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    never = service.faults.add("status", "answer", status=500, times=None)
    service.faults.add("list", "answer", status=500, times=None)
    shop.journal.note(shop.order(), failing_seconds=1e9)
    shop.pass_time(600)
    shop.to_the_end()
    assert shop.files("quarantine") == [
        *("a.jpg", "a.jpg.why.txt"),
        *("a.original.jpg", "a.original.jpg.why.txt"),
    ]
    (parked,) = shop.orders()
    assert (parked.is_open, parked.is_resumable) == (False, True)
    never.times = 0
    for each in service._state.orders.values():
        each.processing_seconds = 0.0
    for name in ("a.jpg", "a.original.jpg"):  # under another name, and their notes stay
        (shop.folder("quarantine") / name).rename(shop.folder("inbox") / name.replace("a", "b", 1))
    shop.to_the_end()
    assert shop.files("outbox") == ["undetected/b.jpg", f"undetected/b.jpg{SIDECAR}"]
    assert shop.files("originals") == ["b.original.jpg"]
    assert service.paid == 1
    assert shop.orders() == ()
    assert service.sins == []


def test_a_pair_that_comes_back_before_its_order_is_parked_waits_for_that(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 3600.0})
    drop_pair(shop, "a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    shop.journal.advance(shop.order(), State.QUARANTINING, why=Why(reason="No."), is_resumable=True)
    for each in service._state.orders.values():
        each.processing_seconds = 0.0
    drop_pair(shop, "b.jpg")
    for _ in range(3):
        shop.intake.nudge(None)
        shop.look(time.monotonic() + shop.ahead)
    assert shop.files("inbox") == ["b.jpg", "b.original.jpg"]
    shop.to_the_end()
    assert shop.files("outbox") == ["undetected/b.jpg", f"undetected/b.jpg{SIDECAR}"]
    assert service.paid == 1


def test_a_lone_file_of_a_known_hash_is_no_half_of_a_parked_pair(begin: Open) -> None:
    shop, _ = begin({"processing_seconds": 3600.0})
    drop_pair(shop, "a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    shop.journal.advance(shop.order(), State.QUARANTINING, why=Why(reason="No."), is_resumable=True)
    shop.to_the_end()
    alone = Ready("a.jpg", len(PICTURE), 0, None, sha256=sha256(PICTURE))
    with shop.intake._claims.dedup.sort([alone]) as parts:
        assert (parts.fresh, parts.resumed) == ([alone], [])


@pytest.mark.parametrize("half", ["a.jpg", "a.original.jpg"])
def test_half_of_a_pair_that_was_given_up_waits_for_the_other(begin: Open, half: str) -> None:
    shop, service = begin({"processing_seconds": 3600.0})
    drop_pair(shop, "a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    service.faults.add("status", "answer", status=500, times=None)
    service.faults.add("list", "answer", status=500, times=None)
    shop.journal.note(shop.order(), failing_seconds=1e9)
    shop.pass_time(600)
    shop.to_the_end()
    (shop.folder("quarantine") / half).rename(shop.folder("inbox") / half)
    shop.to_the_end()
    assert shop.files("inbox") == [half]
    assert len(shop.orders()) == 1
    assert service.paid == 1


# --- money and requests


def test_a_last_upload_whose_answer_is_lost_is_paid_once(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("upload", "reset_after", times=None)
    drop_pair(shop, "a.jpg")
    shop.work(lambda: service.paid)
    service.faults.clear()
    shop.live_again()
    shop.pass_time(120)
    shop.to_the_end(seconds=60)
    assert shop.files("outbox") == ["undetected/a.jpg", f"undetected/a.jpg{SIDECAR}"]
    assert service.paid_files == {sha256(PICTURE): 1}
    assert service.sins == []


def test_an_order_rebuilt_from_its_work_folder_is_paid_once(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 3600.0})
    drop_pair(shop, "a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    for each in service._state.orders.values():
        each.processing_seconds = 0.0
    shop.lose_entry()
    shop.to_the_end()
    assert shop.files("outbox") == ["undetected/a.jpg", f"undetected/a.jpg{SIDECAR}"]
    assert shop.files("originals") == ["a.original.jpg"]
    assert service.paid_files == {sha256(PICTURE): 1}


def test_many_pairs_cost_little_more_than_two_requests_each(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "LIST_SECONDS", 0.5)
    shop, service = begin({"processing_seconds": 0.3})
    shop.ahead = 0.0
    copy = leaked(service, "2026-17 dpa")
    before = service.requests_by_operation()
    for number in range(12):
        drop_pair(shop, f"{number}.jpg", copy + bytes([number]))
    shop.to_the_end(seconds=120)

    after = service.requests_by_operation()
    asked = {name: after[name] - before.get(name, 0) for name in after}
    counted = {name: asked.get(name, 0) for name in ("create", "list", "status")}
    assert counted["create"] == 12
    assert counted["status"] <= 12 + 1  # the text stands in the order's read alone; and which reads the service has
    assert sum(counted.values()) <= 2.9 * 12, counted
    assert all(said(shop, f"detected/{number}.jpg{SIDECAR}")["watermarkText"] == "2026-17 dpa" for number in range(12))
    assert service.credits["watermarkExtract"] == 12
    assert service.sins == []


# --- whenever it dies


_MOMENTS = ("between the renames", "before the move", "between picture and original", "after both")


@pytest.mark.parametrize("moment", _MOMENTS)
def test_whenever_it_dies_each_of_a_pair_is_there_once(
    begin: Open, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    shop, service = begin()
    deliver, place, move = FindingPublisher.deliver, OriginalPublisher.place, Claims._move

    def dying_deliver(self: FindingPublisher, order: Order) -> Order:
        if moment == "before the move":
            raise Killed
        after = deliver(self, order)
        if moment == "after both":
            raise Killed
        return after

    def dying_place(self: OriginalPublisher, order: Order, indexes: Sequence[int]) -> Order:
        if moment == "between picture and original":
            raise Killed
        return place(self, order, indexes)

    def dying_move(self: Claims, order: Order, file: OrderFile, batch: disk.FsyncBatch) -> bool:
        if moment == "between the renames" and file.role is Role.PICTURE:
            raise Killed
        return move(self, order, file, batch)

    drop_pair(shop, "in/a.jpg")
    with monkeypatch.context() as dying, contextlib.suppress(Killed):
        dying.setattr(FindingPublisher, "deliver", dying_deliver)
        dying.setattr(OriginalPublisher, "place", dying_place)
        dying.setattr(Claims, "_move", dying_move)
        shop.work(lambda: any(order.state is State.COMPLETED for order in shop.orders()))
        shop.rest()
    shop.live_again()
    shop.to_the_end()
    assert shop.files("outbox") == ["undetected/in/a.jpg", f"undetected/in/a.jpg{SIDECAR}"]
    assert (shop.folder("outbox") / "undetected/in/a.jpg").read_bytes() == PICTURE
    assert shop.files("originals") == ["in/a.original.jpg"]
    assert shop.files("inbox") == shop.files("quarantine") == []
    assert service.paid_files == {sha256(PICTURE): 1}
    assert [end.outcome for end in history.newest_first(shop.config.state_dir)] == [State.DELIVERED]
    assert service.sins == []


# --- reports


@pytest.mark.parametrize(("report", "reported"), [("detected", ["a"]), ("always", ["a"]), ("never", [])])
def test_a_report_lies_beside_what_has_one(
    begin: Open, report: str, reported: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    shop, service = begin({"report_seconds": 0.0}, report=report)
    drop_pair(shop, "a.jpg", leaked(service, "2026-17 dpa"))
    drop_pair(shop, "b.jpg")
    with caplog.at_level(logging.INFO, "watchfolder"):
        shop.to_the_end(seconds=60)
    found = [name for name in shop.files("outbox") if name.endswith(".pdf")]
    assert found == [f"detected/{name}.jpg.report.en-US.pdf" for name in reported]
    assert service.credits.get("watermarkReport", 0) == len(reported)
    assert caplog.text.count("file.not_enclosed") == (report == "always")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert service.sins == []


@pytest.mark.parametrize(("locale", "reported"), [("en-US", []), ("ko-KR", ["detected/a.pdf.report.ko-KR.pdf"])])
def test_a_report_on_a_pdf_is_asked_for_in_its_one_language(
    begin: Open, locale: str, reported: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    brochure = sample_pdf("a brochure, as it was found")
    options = {"report_seconds": 0.0, "detections": {sha256(brochure): "detected"}}
    shop, service = begin(options, report="detected", report_locale=locale)
    drop_pair(shop, "a.pdf", brochure, sample_pdf("a brochure"))
    shop.to_the_end(seconds=60)
    assert [name for name in shop.files("outbox") if ".report." in name] == reported
    assert ("report" in service.requests_by_operation()) == bool(reported)
    assert ("file.not_enclosed" in caplog.text) == (not reported)
    assert service.sins == []


def test_a_report_that_the_service_fails_costs_nothing_and_the_finding_is_there(begin: Open) -> None:
    shop, service = begin({"report_seconds": 0.0}, report="detected")
    service.faults.add("report", "fail", times=None)
    drop_pair(shop, "a.jpg", leaked(service, "2026-17 dpa"))
    shop.work(lambda: any(order.attempts for order in enclosures(shop)), seconds=60)
    assert said(shop, f"detected/a.jpg{SIDECAR}")["verdict"] == "detected"
    service.faults.clear()
    shop.pass_time(60)
    shop.to_the_end(seconds=60)
    assert (shop.folder("outbox") / "detected/a.jpg.report.en-US.pdf").exists()
    assert service.credits["watermarkReport"] == 1


def enclosures(shop: Shop) -> list[Enclosure]:
    return [each for order in shop.orders() for each in order.enclosures]
