"""Originals that another inbox keeps: found by name, copied for the order, and never touched."""

import errno
import json
import os
import threading
import unicodedata
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from contents import sha256
from holding import leased
from shop import OTHER, PICTURE, Killed, Open, Shop

from watchfolder import disk, history, intake
from watchfolder.disk import Held, Place, files, moves
from watchfolder.errors import FolderFault
from watchfolder.intake import Decision
from watchfolder.order import Role, State
from watchfolder.pipeline.context import MOST_WAITS
from watchfolder.sandbox.pictures import sample

ORIGINAL = sample("jpeg", width=64, height=48, seed=9)
SIDECAR = ".watermark.json"
USUAL = {"service": "watermark-extract", "inboxes": ("found", "press"), "originals_from": "press"}


def keep(shop: Shop, name: str, content: bytes = ORIGINAL) -> Path:
    path = shop.folder("press/originals") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def find(shop: Shop, name: str, content: bytes = PICTURE) -> None:
    shop.drop(name, content, inbox="found/inbox")


def assert_lent(shop: Shop, name: str, *kept: str) -> None:
    outbox = shop.folder("found/outbox") / "undetected"
    assert (outbox / name).read_bytes() == PICTURE
    assert json.loads((outbox / f"{name}{SIDECAR}").read_text())["verdict"] == "undetected"
    assert shop.files("press/originals") == sorted(kept)
    assert shop.files("found/originals") == shop.files("found/inbox") == shop.files("found/quarantine") == []
    assert shop.orders() == ()
    work = shop.folder("found/inbox/.watchfolder") / shop.journal.instance
    assert [path.name for path in work.rglob("*") if path.is_file()] == ["owner.json"]


def waits_for(shop: Shop, name: str) -> str:
    shop.to_the_end()
    assert shop.files("found/inbox") == [name]
    return shop.intakes["found"].candidates.remarks()[name]


def test_the_original_is_copied_and_stays_what_and_where_it_was(begin: Open) -> None:
    shop, service = begin()
    kept = keep(shop, "Berg/Füße.jpg")
    os.utime(kept, ns=(10**18, 10**18 + 7))
    before = kept.stat()
    find(shop, "Berg/Füße.jpg")
    shop.to_the_end()
    assert_lent(shop, "Berg/Füße.jpg", "Berg/Füße.jpg")
    after = kept.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_nlink) == (before.st_ino, before.st_mtime_ns, 1)
    assert kept.read_bytes() == ORIGINAL
    assert service.paid == 1
    assert service.sins == []
    (end,) = history.newest_first(shop.config.state_dir)
    assert [file.name for file in end.files] == ["Berg/Füße.jpg"]


def test_a_lent_original_is_none_of_the_inboxs_own_before_it_opens(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, _ = begin()
    keep(shop, "a.jpg")
    find(shop, "a.jpg")
    ask, may_ask = shop.service._ask_reads, threading.Event()
    monkeypatch.setattr(shop.service, "_ask_reads", lambda: may_ask.wait() and ask())
    for _ in range(3):  # its inbox opens later than ours
        shop.beat()
        shop.pass_time(5.0)
    assert shop.intakes["found"].waits_for_pipeline
    may_ask.set()
    shop.to_the_end()
    assert_lent(shop, "a.jpg", "a.jpg")


def test_it_is_found_whatever_its_kind_its_case_and_its_sub_folder(begin: Open) -> None:
    shop, _ = begin()
    keep(shop, f"2026/{unicodedata.normalize('NFD', 'FÜHRUNG')}.PNG", sample("png", width=32, height=24, seed=3))
    find(shop, "evening edition/Führung.jpg")
    shop.to_the_end()
    assert_lent(shop, "evening edition/Führung.jpg", f"2026/{unicodedata.normalize('NFD', 'FÜHRUNG')}.PNG")


def test_of_several_the_one_in_the_same_sub_folder_is_meant(begin: Open) -> None:
    shop, _ = begin()
    keep(shop, "a.jpg", OTHER)
    keep(shop, "in/a.jpg")
    find(shop, "in/a.jpg")
    shop.work(lambda: any(order.files[0].sha256 for order in shop.orders()))
    original = shop.orders()[0].files[0]
    assert (original.role, original.name, original.size) == (Role.COPY, "in/a.original.jpg", len(ORIGINAL))
    shop.to_the_end()
    assert_lent(shop, "in/a.jpg", "a.jpg", "in/a.jpg")


@pytest.mark.parametrize("kept", [("x/a.jpg", "y/a.png"), ("a.jpg", "a.png")])
def test_where_several_may_be_meant_it_waits_and_is_told_so(begin: Open, kept: tuple[str, str]) -> None:
    shop, service = begin()
    for name, content in zip(kept, (ORIGINAL, ORIGINAL[:-1] + b"."), strict=True):
        keep(shop, name, content)
    find(shop, "a.jpg")
    reason = waits_for(shop, "a.jpg")
    assert reason.startswith(f"the inbox press has 2 originals of this name ({kept[0]}, {kept[1]}): put the right one")
    found, press = shop.config.inboxes["found"], shop.config.inboxes["press"]
    beside = intake.Beside(found, {"press": press}.get)
    decision = intake.explain(found, "a.jpg", 1e9, 2e9, beside=beside)
    assert isinstance(decision, Decision)
    assert decision.reason == reason
    assert service.paid == 0


def test_of_several_of_the_same_bytes_any_will_do(begin: Open) -> None:
    shop, service = begin()
    for name in ("dpa/a.jpg", "afp/a.jpg"):  # one picture, dropped for each of its recipients
        keep(shop, name)
    find(shop, "a.jpg")
    shop.to_the_end()
    assert_lent(shop, "a.jpg", "afp/a.jpg", "dpa/a.jpg")
    assert service.paid == 1


def test_another_original_that_came_before_the_picture_counts_at_once(begin: Open) -> None:
    shop, service = begin(own={"found": {"scan_seconds": 3600.0}})
    keep(shop, "a.jpg", OTHER)
    find(shop, "b.jpg")
    assert "no original" in waits_for(shop, "b.jpg")
    keep(shop, "in/a.jpg")
    (shop.folder("found/inbox") / "b.jpg").unlink()
    find(shop, "new/a.jpg")
    assert "2 originals of this name (a.jpg, in/a.jpg)" in waits_for(shop, "new/a.jpg")
    assert service.orders == {}


@pytest.mark.parametrize("other", [OTHER, ORIGINAL])
def test_the_very_copy_that_was_given_out_finds_its_own_original_by_the_table(begin: Open, other: bytes) -> None:
    shop, _ = begin(own={"press": {"service": "watermark-embed", "originals_from": None}})
    keep(shop, "a.jpg", other)
    keep(shop, "in/a.jpg")
    digests = [sha256(content) for content in (ORIGINAL, PICTURE)]
    table = f"file,recipient,text,sha256_source,sha256_result\ndpa/in/a.jpg,dpa,K-1,{digests[0]},{digests[1]}\n"
    (shop.folder("press/outbox") / "watermarks.csv").write_text(table)
    find(shop, "a.jpg")
    shop.to_the_end()
    told = json.loads((shop.folder("found/outbox") / f"undetected/a.jpg{SIDECAR}").read_text())
    assert told["originalSha256"] == digests[0]


def test_where_the_table_is_held_the_name_tells(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, _ = begin(own={"press": {"service": "watermark-embed", "originals_from": None}})
    keep(shop, "a.jpg")
    held, open_regular = shop.folder("press/outbox") / "watermarks.csv", disk.open_regular

    def open_others(place: Place, *rest: Any, **more: Any) -> int:  # noqa: ANN401 - whatever it takes
        if place.path == str(held):
            raise Held.at(place.path, "another program keeps it to itself", code="EAGAIN")
        return open_regular(place, *rest, **more)

    monkeypatch.setattr(disk, "open_regular", open_others)
    find(shop, "a.jpg")
    shop.to_the_end()
    assert_lent(shop, "a.jpg", "a.jpg")


def test_a_finding_waits_a_while_for_a_table_that_somebody_has_open(begin: Open) -> None:
    shop, service = begin(own={"press": {"service": "watermark-embed", "originals_from": None}})
    table, outbox = shop.folder("press/outbox") / "watermarks.csv", shop.folder("found/outbox") / "detected"
    table.write_text("file,recipient,text\ndpa/a.jpg,dpa,K-1\n")
    found = {"status": "complete", "result": {"detectionStatus": "detected", "watermarkText": "K-1"}}
    service.faults.add("status", "other_json", times=None, body=json.dumps({"data": found}))
    service.faults.add("list", "answer", times=None, status=500)
    for name in ("a.jpg", "b.jpg"):
        keep(shop, name)
        find(shop, name)
    with leased(table):
        shop.work(lambda: [order.failures for order in shop.orders()] == [1, 1])
        first = next(order for order in shop.orders() if order.pictures[0].name == "a.jpg")
        shop.journal.note(first, failures=MOST_WAITS, not_before=None)
        shop.work((outbox / f"a.jpg{SIDECAR}").exists)
    shop.pass_time(60)
    shop.to_the_end()
    told = [json.loads((outbox / f"{name}{SIDECAR}").read_text()) for name in ("a.jpg", "b.jpg")]
    assert [each["recipient"] for each in told] == [None, "dpa"]
    assert service.paid == 2


def test_a_single_run_waits_for_the_look_that_a_picture_needs(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, _ = begin()
    monkeypatch.setattr(disk, "seconds_at_work", lambda: nullcontext(lambda: 10.0))  # so it may look every 100 seconds
    find(shop, "a.jpg")
    waits_for(shop, "a.jpg")
    keep(shop, "b.jpg")
    find(shop, "b.jpg")
    found = shop.intakes["found"]
    found.nudge(None)
    shop.work(lambda: found.candidates.remarks().get("b.jpg") == "its original is looked for")
    assert not found.is_idle()
    shop.pass_time(100.0)
    shop.to_the_end()
    assert shop.files("found/inbox") == ["a.jpg"]


def test_an_original_that_comes_later_is_found_then(begin: Open) -> None:
    shop, _ = begin()
    find(shop, "a.jpg")
    said = "the inbox press has no original of this name: put it beside it, as a.original.jpg"
    assert waits_for(shop, "a.jpg") == said
    keep(shop, "a.jpg")
    shop.pass_time(60)
    shop.to_the_end()
    assert_lent(shop, "a.jpg", "a.jpg")


def test_what_lies_beside_it_goes_before_what_is_kept(begin: Open) -> None:
    shop, _ = begin()
    keep(shop, "a.jpg", OTHER)
    find(shop, "a.original.jpg", ORIGINAL)
    find(shop, "a.jpg")
    shop.to_the_end()
    assert shop.files("found/originals") == ["a.original.jpg"]
    assert shop.files("press/originals") == ["a.jpg"]


def test_an_original_that_is_no_whole_picture_is_not_sent(begin: Open) -> None:
    shop, service = begin()
    kept = keep(shop, "a.jpg", ORIGINAL[:-40])
    find(shop, "a.jpg")
    assert waits_for(shop, "a.jpg") == f"its original, {kept}, is no whole picture"
    assert service.paid == 0


@pytest.mark.parametrize("lies_there", ["nothing", "a link"])
def test_an_original_that_has_left_since_it_was_found_is_waited_for(begin: Open, lies_there: str) -> None:
    shop, service = begin(own={"found": {"scan_seconds": 3600.0}})
    kept = keep(shop, "a.jpg", ORIGINAL[:-40])
    find(shop, "a.jpg")
    assert "no whole picture" in waits_for(shop, "a.jpg")
    kept.unlink()
    if lies_there == "a link":
        kept.symlink_to(keep(shop, "b.jpg"))
    shop.intakes["found"].nudge("a.jpg")
    assert waits_for(shop, "a.jpg") == "its original has just left the inbox press"
    assert service.orders == {}


@pytest.mark.parametrize("names", [("a.jpg",), ("x/a.jpg", "y/a.jpg")])
def test_an_original_that_another_program_holds_is_waited_for(begin: Open, names: tuple[str, ...]) -> None:
    shop, service = begin()
    held, *_ = [keep(shop, name) for name in names]
    find(shop, "a.jpg")
    with leased(held):
        assert waits_for(shop, "a.jpg") == f"its original cannot be read: {held}: another program holds it"
    shop.pass_time(60)
    shop.to_the_end()
    assert_lent(shop, "a.jpg", *names)
    assert service.paid == 1


@pytest.mark.parametrize("lies_there", ["nothing", "a link"])
def test_an_original_that_leaves_amid_the_claim_leaves_its_picture_in_the_inbox(
    begin: Open, monkeypatch: pytest.MonkeyPatch, lies_there: str
) -> None:
    shop, service = begin()
    kept, copy = keep(shop, "in/a.jpg"), disk.copy

    def copy_late(source: Place, target: Place, *, owner: str) -> None:
        away = kept.rename(kept.with_name("b.jpg"))
        if lies_there == "a link":
            kept.symlink_to(away)
        copy(source, target, owner=owner)

    monkeypatch.setattr(disk, "copy", copy_late)
    find(shop, "a.jpg")
    shop.to_the_end()
    monkeypatch.undo()
    shop.pass_time(60)
    assert "no original" in waits_for(shop, "a.jpg")
    assert shop.orders() == ()
    assert service.orders == {}


def test_a_link_that_is_kept_is_no_original(begin: Open) -> None:
    shop, service = begin()
    keep(shop, "a.url", b"[InternetShortcut]\r\nURL=https://img.example.com/a.jpg\r\n")
    find(shop, "a.jpg")
    assert (
        waits_for(shop, "a.jpg") == "the inbox press has no original of this name: put it beside it, as a.original.jpg"
    )
    keep(shop, "Mai/a.jpg")
    shop.pass_time(60)
    shop.to_the_end()
    assert_lent(shop, "a.jpg", "Mai/a.jpg", "a.url")
    assert service.paid == 1


def test_originals_whose_inbox_is_away_are_waited_for(begin: Open) -> None:
    shop, _ = begin()
    keep(shop, "a.jpg")
    (shop.folder("press/outbox")).rename(shop.folder("press/gone"))
    find(shop, "a.jpg")
    shop.work(shop.intakes["found"].candidates.remarks)
    assert shop.intakes["found"].candidates.remarks()["a.jpg"] == "the inbox press, which keeps its original, is away"
    shop.folder("press/gone").rename(shop.folder("press/outbox"))
    shop.pass_time(60)
    shop.work((shop.folder("found/outbox") / "undetected/a.jpg").exists)
    shop.to_the_end()
    assert_lent(shop, "a.jpg", "a.jpg")


@pytest.mark.parametrize("moment", ["before the copy", "after the copy", "before the upload"])
def test_whenever_it_dies_the_copy_is_made_once_and_goes_in_the_end(
    begin: Open, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    shop, service = begin()
    keep(shop, "a.jpg")
    copy = disk.copy

    def dying_copy(source: Place, target: Place, *, owner: str) -> None:
        if moment == "after the copy":
            copy(source, target, owner=owner)
        raise Killed

    find(shop, "a.jpg")
    if moment == "before the upload":
        service.faults.add("create", "answer", times=1, status=500)
        shop.work(lambda: shop.has(State.CLAIMED) and shop.order().failures)
        keep(shop, "a.jpg", OTHER)  # what the order holds is its own by now
    else:
        monkeypatch.setattr(disk, "copy", dying_copy)
        with pytest.raises(Killed):
            shop.work(shop.is_done)
        monkeypatch.undo()
    shop.live_again()
    shop.pass_time(60)
    shop.to_the_end()
    assert_lent(shop, "a.jpg", "a.jpg")
    assert service.paid == 1
    assert service.sins == []


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EDQUOT, "the disk quota is used up"), (errno.EACCES, "permission denied")]
)
def test_a_work_folder_that_fails_during_the_copy_is_told_and_outlasted(
    begin: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int, words: str
) -> None:
    shop, service = begin()
    keep(shop, "a.jpg")
    fails, set_times = [OSError(number, os.strerror(number))], files.set_times

    def failing_once(descriptor: int, atime_ns: int, mtime_ns: int) -> None:
        if fails:
            raise fails.pop()
        set_times(descriptor, atime_ns, mtime_ns)

    monkeypatch.setattr(moves, "set_times", failing_once)
    find(shop, "a.jpg")
    shop.work(lambda: not fails)
    shop.work((shop.folder("found/outbox") / "undetected/a.jpg").exists)
    shop.to_the_end()
    (fault,) = (vars(record)["facts"] for record in caplog.records if record.msg == "inbox.waits")
    assert f"{shop.folder('found/inbox')}/" in fault["reason"]
    assert words in fault["reason"]
    assert_lent(shop, "a.jpg", "a.jpg")
    assert service.paid == 1


def test_an_original_that_cannot_be_read_keeps_no_other_picture(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, service = begin()
    keep(shop, "bad.jpg", OTHER)
    keep(shop, "a.jpg")
    copy = disk.copy

    def copy_of_readable(source: Place, target: Place, *, owner: str) -> None:
        if source.base == "bad.jpg":
            raise FolderFault.at(source.path, "input/output error", code="EIO")
        copy(source, target, owner=owner)

    monkeypatch.setattr(disk, "copy", copy_of_readable)
    find(shop, "bad.jpg")
    find(shop, "a.jpg")
    shop.work((shop.folder("found/outbox") / "undetected/a.jpg").exists)
    shop.to_the_end()
    assert shop.files("found/inbox") == ["bad.jpg"]
    assert "press/originals/bad.jpg: it cannot be read" in shop.intakes["found"].candidates.remarks()["bad.jpg"]
    assert service.paid == 1


def test_a_copy_whose_order_is_given_up_is_not_quarantined(begin: Open) -> None:
    shop, _ = begin()
    keep(shop, "a_fail.jpg")
    find(shop, "a_fail.jpg")
    shop.to_the_end()
    assert shop.files("found/quarantine") == ["a_fail.jpg", "a_fail.jpg.why.txt"]
    assert shop.files("press/originals") == ["a_fail.jpg"]
    assert shop.orders() == ()


def test_a_copy_goes_when_its_order_goes_back(begin: Open) -> None:
    shop, service = begin()
    keep(shop, "a.jpg")
    service.faults.add("create", "answer", times=1, status=500)
    find(shop, "a.jpg")
    shop.work(lambda: shop.has(State.CLAIMED) and shop.order().failures)
    work = shop.folder("found/inbox/.watchfolder") / shop.journal.instance / shop.order().key / "a.jpg"
    work.write_bytes(PICTURE)
    os.utime(work, ns=(1, 1))
    shop.pass_time(60)
    shop.to_the_end()
    assert_lent(shop, "a.jpg", "a.jpg")
