"""AI detection from a folder: the picture comes out untouched, with what the service says of it beside it."""

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from contents import sha256, table
from holding import leased
from shop import OTHER, PICTURE, Killed, Open, Shop, opening, said, work_place

from watchfolder import disk, history, intake
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.order import Order, State
from watchfolder.pipeline import timing
from watchfolder.publish import FindingPublisher, originals
from watchfolder.publish.free_names import free_name
from watchfolder.publish.notes import PictureNote
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample
from watchfolder.services import tables

SHA256 = sha256(PICTURE)
SIDECAR = ".ai.json"
USUAL = {"service": "ai-detection", "duplicates": "reuse"}


def ledger(shop: Shop) -> list[dict[str, str]]:
    return table(shop.folder("outbox") / "verdicts.csv")


def finish(service: Sandbox) -> None:
    """Have the service be done with what it has, and with what comes."""
    for each in service._state.orders.values():
        each.processing_seconds = 0.0
    service.processing_seconds = 0.0


def assert_told_once(shop: Shop, service: Sandbox, name: str, verdict: str = "likely_real") -> None:
    assert (shop.folder("outbox") / name).read_bytes() == PICTURE
    assert said(shop, f"{name}{SIDECAR}")["verdict"] == verdict
    assert [line["file"] for line in ledger(shop)] == [name]
    assert [end.outcome for end in history.newest_first(shop.config.state_dir)] == [State.DELIVERED]
    assert service.paid_files == {SHA256: 1}
    assert service.sins == []
    assert shop.files("inbox") == shop.files("quarantine") == []


def test_what_a_person_takes_out_before_it_is_written_down_counts_as_delivered(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, _ = begin()
    deliver = FindingPublisher.deliver

    def fails_once(publisher: FindingPublisher, order: Order) -> Order:
        monkeypatch.setattr(FindingPublisher, "deliver", deliver)
        deliver(publisher, order)
        raise FolderFault.at(shop.config.state_dir, "the disk reports errors", code="EIO")

    monkeypatch.setattr(FindingPublisher, "deliver", fails_once)
    shop.drop("a.jpg")
    shop.work(lambda: shop.files("outbox"))
    assert shop.has(State.COMPLETED)
    (shop.folder("outbox") / "a.jpg").unlink()
    shop.live_again()
    shop.pass_time(60)
    shop.to_the_end()
    assert said(shop, f"a.jpg{SIDECAR}")["verdict"] == "likely_real"
    assert [line["file"] for line in ledger(shop)] == ["a.jpg"]
    (end,) = history.newest_first(shop.config.state_dir)
    assert [file.delivered for file in end.files] == ["a.jpg"]


def test_a_picture_that_went_with_its_share_does_not_count_as_taken_out(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin()
    move, folders = disk.move, ("inbox", "outbox")

    def go_away(source: Place, target: Place, **rest: Any) -> None:  # noqa: ANN401 - whatever it takes
        if target.root != str(shop.folder("outbox")):
            return move(source, target, **rest)
        monkeypatch.setattr(disk, "move", move)
        for name in folders:
            os.rename(shop.folder(name), shop.top / f"{name} away")
            shop.folder(name).mkdir()
        raise FolderFault.at(str(shop.folder("outbox")), "the share is stale", code="ESTALE")

    monkeypatch.setattr(disk, "move", go_away)
    shop.drop("a.jpg")
    shop.work(lambda: disk.move is move)
    shop.rest()
    shop.pass_time(60)
    for _ in range(20):
        shop.beat()
    shop.rest()
    assert shop.has(State.COMPLETED)
    for name in folders:
        shop.folder(name).rmdir()
        os.rename(shop.top / f"{name} away", shop.folder(name))
    shop.pass_time(60)
    shop.to_the_end()
    assert_told_once(shop, service, "a.jpg")


def test_a_picture_comes_out_bit_for_bit_with_its_verdict_beside_it(begin: Open) -> None:
    shop, service = begin({"probabilities": {SHA256: 0.98}})
    dropped = shop.drop("Ferien/Füße am Strand.jpg")
    inode = os.stat(dropped).st_ino
    shop.to_the_end()

    name = "Ferien/Füße am Strand.jpg"
    assert_told_once(shop, service, name, "likely_ai")
    assert (shop.folder("outbox") / name).stat().st_ino == inode
    assert shop.files("outbox") == [name, f"{name}{SIDECAR}", "verdicts.csv"]
    (order_id,) = service.orders
    told = said(shop, f"{name}{SIDECAR}")
    assert told.pop("checkedAt").endswith("+00:00")
    assert told == {
        "service": "ai-detection",
        "verdict": "likely_ai",
        "probability": 0.98,
        "orderId": order_id,
        "sha256": SHA256,
    }
    (line,) = ledger(shop)
    assert (line["verdict"], line["probability"], line["sha256"]) == ("likely_ai", "0.98", SHA256)
    (end,) = history.newest_first(shop.config.state_dir)
    assert end.files[0].finding is not None
    assert (end.service, end.files[0].finding.verdict) == ("ai-detection", "likely_ai")


def test_a_tiff_is_sent_under_the_extension_that_the_service_lists(begin: Open) -> None:
    shop, service = begin()
    shop.drop("scan.tif", sample("tiff", width=32, height=24, seed=4))
    shop.to_the_end()
    assert shop.files("outbox") == ["scan.tif", f"scan.tif{SIDECAR}", "verdicts.csv"]
    assert service.sins == []


def test_sorted_each_verdict_has_a_folder_of_its_own(begin: Open) -> None:
    shop, _ = begin({"probabilities": {SHA256: 0.98}}, sort=True)
    shop.drop("in/a.jpg")
    shop.drop("in/b.jpg", OTHER)
    shop.to_the_end()
    found = ["likely_ai/in/a.jpg", f"likely_ai/in/a.jpg{SIDECAR}", "likely_real/in/b.jpg"]
    assert shop.files("outbox") == [*found, f"likely_real/in/b.jpg{SIDECAR}", "verdicts.csv"]
    assert sorted(line["file"] for line in ledger(shop)) == ["likely_ai/in/a.jpg", "likely_real/in/b.jpg"]


def test_the_same_bytes_again_are_answered_from_the_history(begin: Open) -> None:
    shop, service = begin()
    shop.drop("a.jpg")
    shop.to_the_end()
    (shop.folder("outbox") / "a.jpg").unlink()  # what was found stands in the history all the same
    before = len(service.requests)
    shop.drop("b.jpg")
    shop.to_the_end()

    assert len(service.requests) == before
    assert (shop.folder("outbox") / "b.jpg").read_bytes() == PICTURE
    assert said(shop, f"b.jpg{SIDECAR}") == said(shop, f"a.jpg{SIDECAR}")
    assert [line["file"] for line in ledger(shop)] == ["a.jpg", "b.jpg"]
    assert service.paid == 1


def test_with_duplicates_quarantine_the_note_says_what_was_found(begin: Open) -> None:
    shop, service = begin({"probabilities": {SHA256: 0.6}}, duplicates="quarantine")
    shop.drop("a.jpg")
    shop.to_the_end()
    shop.drop("b.jpg")
    shop.to_the_end()
    assert shop.files("quarantine") == ["b.jpg", "b.jpg.why.txt"]
    assert "was found uncertain_ai" in (shop.folder("quarantine") / "b.jpg.why.txt").read_text()
    assert service.paid == 1


def test_a_picture_and_its_sidecar_take_nobody_elses_name(begin: Open) -> None:
    shop, _ = begin()
    (shop.folder("outbox") / "a.jpg").write_bytes(b"somebody else's")
    (shop.folder("outbox") / f"a (2).jpg{SIDECAR}").write_bytes(b"somebody's note")
    shop.drop("a.jpg")
    shop.to_the_end()
    assert (shop.folder("outbox") / "a (3).jpg").read_bytes() == PICTURE
    assert said(shop, f"a (3).jpg{SIDECAR}")["sha256"] == SHA256
    assert (shop.folder("outbox") / "a.jpg").read_bytes() == b"somebody else's"
    assert (shop.folder("outbox") / f"a (2).jpg{SIDECAR}").read_bytes() == b"somebody's note"


def test_a_picture_that_changed_after_its_start_goes_back_and_is_looked_at_anew(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 3600.0})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    order = shop.order()
    work = work_place(shop, order, "a.jpg")
    work.write_bytes(OTHER)
    finish(service)
    shop.to_the_end()

    assert (shop.folder("outbox") / "a.jpg").read_bytes() == OTHER
    assert said(shop, f"a.jpg{SIDECAR}")["sha256"] == sha256(OTHER)
    assert service.paid_files == {SHA256: 1, sha256(OTHER): 1}
    assert [line["sha256"] for line in ledger(shop)] == [sha256(OTHER)]  # no old bytes lie here
    shop.drop("b.jpg")  # and what was said of the old bytes was paid for: it is remembered
    shop.to_the_end()
    assert service.paid == 2


def test_a_picture_that_vanishes_after_its_start_leaves_nothing_behind(
    begin: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    shop, service = begin({"processing_seconds": 3600.0})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    work_place(shop, shop.order(), "a.jpg").unlink()
    finish(service)
    shop.to_the_end()
    assert (shop.files("outbox"), shop.orders()) == ([], ())
    assert [vars(record)["facts"]["file"] for record in caplog.records if record.msg == "file.vanished"] == ["a.jpg"]
    shop.drop("b.jpg")  # what was said of it was paid for
    shop.to_the_end()
    assert said(shop, f"b.jpg{SIDECAR}")["verdict"] == "likely_real"
    assert service.paid == 1


def test_a_picture_that_changes_when_only_its_sidecar_is_there_takes_that_back(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin({"processing_seconds": 3600.0})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    work, move, died = work_place(shop, shop.order(), "a.jpg"), disk.move, list[Place]()

    def dying(source: Place, target: Place, **rest: Any) -> None:  # noqa: ANN401 - whatever it takes
        if source.path == str(work):
            died.append(target)
            raise Killed
        move(source, target, **rest)

    with monkeypatch.context() as patched:
        patched.setattr(disk, "move", dying)
        finish(service)
        shop.work(lambda: died)
    assert shop.files("outbox") == [f"a.jpg{SIDECAR}"]
    work.write_bytes(OTHER)
    shop.live_again()
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg", f"a.jpg{SIDECAR}", "verdicts.csv"]
    assert said(shop, f"a.jpg{SIDECAR}")["sha256"] == sha256(OTHER)
    assert service.paid == 2


def test_a_known_picture_rewritten_with_its_time_put_back_is_looked_at_anew(begin: Open) -> None:
    shop, service = begin()
    mine, other = PICTURE.ljust(4096, b"\0"), OTHER.ljust(4096, b"\0")
    shop.drop("a.jpg", mine)
    shop.to_the_end()
    shop.drop("b.jpg", mine)
    shop.intake.nudge(None)
    shop.look(time.monotonic() + shop.ahead)
    assert shop.order().state is State.MATCHED
    work = work_place(shop, shop.order(), "b.jpg")
    found = work.stat()
    work.write_bytes(other)
    os.utime(work, ns=(found.st_atime_ns, found.st_mtime_ns))
    shop.to_the_end()
    assert said(shop, f"b.jpg{SIDECAR}")["sha256"] == sha256(other)
    assert service.paid_files == {sha256(mine): 1, sha256(other): 1}


def test_a_start_whose_answer_is_lost_is_paid_once(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("confirm", "reset_after")
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.UPLOADED) and shop.order().failures)
    assert shop.order().charged
    shop.live_again()
    shop.pass_time(60)
    shop.to_the_end()
    assert_told_once(shop, service, "a.jpg")


def test_an_order_that_does_not_say_what_it_found_is_asked_again(begin: Open) -> None:
    shop, service = begin({"probabilities": {SHA256: None}})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED) and shop.order().failures)
    assert "does not say" in shop.order().last_error
    service.probabilities = {SHA256: 0.3}
    shop.pass_time(60)
    shop.to_the_end()
    assert_told_once(shop, service, "a.jpg", "uncertain_real")


def test_a_picture_that_the_service_cannot_judge_goes_to_quarantine(begin: Open) -> None:
    shop, _ = begin()
    shop.drop("bad_fail.jpg")
    shop.to_the_end()
    note = (shop.folder("quarantine") / "bad_fail.jpg.why.txt").read_text()
    assert note.startswith("bad_fail.jpg could not be checked.")


@pytest.mark.parametrize("reads", ["v2", "v3"])
def test_many_pictures_cost_little_more_than_two_requests_each(
    begin: Open, monkeypatch: pytest.MonkeyPatch, reads: str
) -> None:
    monkeypatch.setattr(timing, "LIST_SECONDS", 0.5)
    shop, service = begin({"processing_seconds": 0.3}, api={"reads": reads})
    shop.ahead = 0.0
    for number in range(24):
        shop.drop(f"{number}.jpg", PICTURE + bytes([number]))
    began = time.monotonic()
    shop.to_the_end(seconds=120)
    seconds = time.monotonic() - began

    asked = service.requests_by_operation()
    counted = {name: asked.get(name, 0) for name in ("create", "confirm", "status", "link", "refresh")}
    assert counted["status"] <= 1  # which reads the service has
    assert sum(counted.values()) <= 2.1 * 24, counted
    assert asked.get("list", 0) <= 1 + seconds / timing.LIST_SECONDS  # for all that are at work
    assert len(ledger(shop)) == service.paid == 24
    assert service.sins == []


def test_without_a_list_each_is_looked_at_by_itself(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("list", "answer", times=None, status=500)
    shop.drop("a.jpg")
    shop.to_the_end()
    assert_told_once(shop, service, "a.jpg")


DEATHS = {  # what dies, and whether it has done its work by then
    "before the name": (FindingPublisher, "deliver", False),
    "before the sidecar": (PictureNote, "write", False),
    "before the move": (disk, "move", False),
    "after the move": (FindingPublisher, "deliver", True),
    "before the ledger": (tables, "enter", False),
    "after the ledger": (tables, "enter", True),
}


@pytest.mark.parametrize("moment", DEATHS)
def test_whenever_it_dies_the_picture_is_there_once_and_told_once(
    begin: Open, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    shop, service = begin()
    owner, name, is_done = DEATHS[moment]
    do, deaths = getattr(owner, name), []

    def die(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it takes
        if not any(order.files[0].finding for order in shop.orders()):  # the claim moves as well
            return do(*given, **named)
        deaths.append(do(*given, **named) if is_done else None)
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(owner, name, die)
        shop.drop("a.jpg")
        shop.work(lambda: any(order.files[0].finding for order in shop.orders()))
        shop.rest()
    assert len(deaths) == 1
    shop.live_again()
    shop.to_the_end()
    assert_told_once(shop, service, "a.jpg")


def test_a_ledger_that_cannot_be_written_is_named_and_keeps_only_its_order(begin: Open) -> None:
    shop, service = begin()
    (shop.folder("outbox") / "verdicts.csv").mkdir()
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.DELIVERED) and shop.order().last_error)
    assert "verdicts.csv" in shop.order().last_error
    shop.drop("b.jpg", OTHER)
    shop.work((shop.folder("outbox") / "b.jpg").exists)
    (shop.folder("outbox") / "verdicts.csv").rmdir()
    shop.pass_time(120)
    shop.to_the_end()
    assert sorted(line["file"] for line in ledger(shop)) == ["a.jpg", "b.jpg"]
    assert service.paid == 2


def test_a_ledger_that_somebody_has_open_keeps_only_its_order(begin: Open) -> None:
    shop, service = begin()
    shop.drop("a.jpg")
    shop.to_the_end()
    with leased(shop.folder("outbox") / "verdicts.csv"):
        shop.drop("b.jpg", OTHER)
        shop.work(lambda: any(order.last_error for order in shop.orders()) or not shop.intake.health.is_open)
        assert shop.intake.health.is_open
        assert "verdicts.csv: another program holds it" in shop.order().last_error
    shop.pass_time(120)
    shop.to_the_end()
    assert [line["file"] for line in ledger(shop)] == ["a.jpg", "b.jpg"]
    assert service.paid == 2


def test_two_inboxes_write_the_ledger_of_their_one_outbox_in_turn(
    begin: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, writing, crowd = disk.append_to_table, threading.Semaphore(1), threading.Event()

    def alone(place: Place, lines: Sequence[bytes], *, owner: str, perhaps_there: bool = False) -> None:
        if not writing.acquire(blocking=False):
            crowd.set()
            return append(place, lines, owner=owner, perhaps_there=perhaps_there)
        try:
            crowd.wait(1.0)  # long enough for the other one to come
            return append(place, lines, owner=owner, perhaps_there=perhaps_there)
        finally:
            writing.release()

    monkeypatch.setattr(disk, "append_to_table", alone)
    (tmp_path / "outbox").mkdir()
    shop, _ = begin(inboxes=("one", "two"), outbox=str(tmp_path / "outbox"))
    shop.drop("a.jpg", inbox="one/inbox")
    shop.drop("b.jpg", OTHER, inbox="two/inbox")
    shop.to_the_end()
    assert not crowd.is_set()
    assert sorted(line["file"] for line in ledger(shop)) == ["a.jpg", "b.jpg"]


def ask_too_early(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the first question for a free name answered with one that was free before."""
    early = [name]

    def asked_too_early(root: str, wanted: str, *also: Any, **rest: Any) -> str:  # noqa: ANN401 - whatever it takes
        return early.pop() if early else free_name(root, wanted, *also, **rest)

    monkeypatch.setattr(originals, "free_name", asked_too_early)


def test_a_name_that_is_taken_in_between_takes_no_sidecar_from_the_same_bytes(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin()
    shop.drop("a.jpg")
    shop.to_the_end()
    shop.drop("in/b.jpg")
    shop.to_the_end()
    ask_too_early("in/b.jpg", monkeypatch)
    shop.drop("in/b.jpg")
    shop.to_the_end()
    names = ["a.jpg", "in/b (2).jpg", "in/b.jpg"]
    assert shop.files("outbox") == sorted([*names, *(name + SIDECAR for name in names), "verdicts.csv"])
    assert service.paid == 1


def test_a_long_file_that_takes_the_sidecar_s_name_in_between_is_left_there(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, _ = begin()
    theirs = shop.folder("outbox") / f"a.jpg{SIDECAR}"
    theirs.write_bytes(bytes(100_000))
    ask_too_early("a.jpg", monkeypatch)
    shop.drop("a.jpg")
    shop.to_the_end()
    assert shop.files("outbox") == sorted(["a (2).jpg", f"a (2).jpg{SIDECAR}", theirs.name, "verdicts.csv"])
    assert theirs.read_bytes() == bytes(100_000)


def test_a_file_name_is_no_formula_in_the_ledger(begin: Open) -> None:
    shop, _ = begin()
    shop.drop('=HYPERLINK("x").jpg')
    shop.to_the_end()
    assert [line["file"] for line in ledger(shop)] == ['\'=HYPERLINK("x").jpg']


def test_an_order_rebuilt_from_its_work_folder_is_paid_once(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 3600.0})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    for each in service._state.orders.values():
        each.processing_seconds = 0.0
    shop.lose_entry()
    shop.to_the_end()
    assert_told_once(shop, service, "a.jpg")


def test_an_outbox_of_findings_can_be_the_next_inbox(begin: Open, tmp_path: Path) -> None:
    shop, service = begin()
    shop.drop("a.jpg")
    shop.to_the_end()
    outbox, top = shop.folder("outbox"), tmp_path / "next"
    top.mkdir()
    with opening(top) as build:
        following, _ = build()
        for name in os.listdir(outbox):
            if name[0] != ".":
                (following.folder("inbox") / name).write_bytes((outbox / name).read_bytes())
        following.to_the_end()
        assert following.files("outbox") == ["a.jpg"]
        inbox = following.config.inboxes["photos"]
        left_alone = [intake.explain(inbox, name, 0.0, 0.0) for name in (f"a.jpg{SIDECAR}", "verdicts.csv")]
        assert all(isinstance(reason, str) for reason in left_alone)
    assert service.paid == 1
