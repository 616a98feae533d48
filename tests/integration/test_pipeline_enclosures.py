"""What lies beside a finding: a heatmap, a report, keywords. None of it holds the finding up, nor comes twice."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from contents import sha256
from holding import being_written
from shop import OTHER, PICTURE, Killed, Open, Shop, opening

from watchfolder import disk, history, intake
from watchfolder.order import OrderFile, State
from watchfolder.pipeline import timing
from watchfolder.publish import Fetch, Publisher, Received, xmp
from watchfolder.sandbox import Sandbox, reports
from watchfolder.sandbox.pictures import sample_pdf

SHA256 = sha256(PICTURE)
BARE = ["a.jpg", "a.jpg.ai.json", "verdicts.csv"]
USUAL = {"kept": {"report_seconds": 0.0}, "service": "ai-detection", "duplicates": "reuse"}


def outbox(shop: Shop) -> list[str]:
    return sorted(set(shop.files("outbox")) - set(BARE))


def read(shop: Shop, name: str) -> bytes:
    return (shop.folder("outbox") / name).read_bytes()


def drop(shop: Shop) -> None:
    shop.drop("a.jpg")
    shop.to_the_end()


def assert_found_and_paid_once(shop: Shop, service: Sandbox) -> None:
    assert (read(shop, "a.jpg"), set(BARE) - set(shop.files("outbox"))) == (PICTURE, set())
    assert read(shop, "verdicts.csv").count(b"a.jpg") == 1
    assert [end.outcome for end in history.newest_first(shop.config.state_dir)] == [State.DELIVERED]
    assert service.paid_files == {SHA256: 1}
    assert service.sins == []


# Heatmaps


def test_a_heatmap_comes_to_lie_beside_the_picture(begin: Open) -> None:
    shop, service = begin(heatmaps=True)
    shop.drop("Ferien/Füße.jpg")
    shop.to_the_end()
    assert "Ferien/Füße.jpg.heatmap.webp" in shop.files("outbox")
    assert read(shop, "Ferien/Füße.jpg.heatmap.webp")[8:12] == b"WEBP"
    assert service.sins == []


def test_the_type_of_a_heatmap_is_that_of_its_bytes(begin: Open) -> None:
    shop, _ = begin({"has_small_copies": False}, heatmaps=True)
    drop(shop)
    assert outbox(shop) == ["a.jpg.heatmap.png"]
    assert read(shop, "a.jpg.heatmap.png")[1:4] == b"PNG"


def test_without_being_wanted_nothing_more_is_asked_or_written(begin: Open) -> None:
    shop, service = begin(sort=False)
    drop(shop)
    assert outbox(shop) == []
    assert service.requests_by_operation().get("report", 0) == 0
    assert_found_and_paid_once(shop, service)


def test_a_heatmap_wanted_later_comes_with_the_same_bytes_and_costs_nothing(begin: Open) -> None:
    shop, service = begin()
    drop(shop)
    shop.config.inboxes["photos"].__dict__["heatmaps"] = True
    shop.live_again()
    shop.drop("b.jpg")
    shop.to_the_end()
    assert "b.jpg.heatmap.webp" in shop.files("outbox")
    assert service.paid == 1


@pytest.mark.parametrize("fault", ["truncated", "wrong_length", "html", "empty", "same_bytes", "redirect"])
def test_a_heatmap_that_comes_wrong_is_fetched_again(begin: Open, fault: str) -> None:
    shop, service = begin(heatmaps=True)
    if fault == "same_bytes":
        service.faults.add("fetch", "other_json", body=PICTURE.decode("latin-1"))
    else:
        service.faults.add("fetch", fault, location=f"{service.url}/elsewhere")
    shop.drop("a.jpg")
    shop.work(lambda: any(order.failures for order in shop.orders()))
    assert outbox(shop) == []
    shop.pass_time(60)
    shop.to_the_end()
    assert outbox(shop) == ["a.jpg.heatmap.webp"]
    assert_found_and_paid_once(shop, service)


def test_a_link_that_has_run_out_is_renewed_by_reading_the_order_again(begin: Open) -> None:
    shop, service = begin(heatmaps=True, api={"reads": "v3"})
    service.faults.add("list", "answer", times=None, status=500)  # so that the look gives a link which is at hand
    service.faults.add("fetch", "answer", status=403, code="AccessDenied")
    drop(shop)
    assert outbox(shop) == ["a.jpg.heatmap.webp"]


def test_a_heatmap_that_never_comes_keeps_nothing_back_and_is_given_up(
    begin: Open, caplog: pytest.LogCaptureFixture
) -> None:
    shop, service = begin(heatmaps=True)
    service.faults.add("fetch", "answer", times=None, status=404)
    shop.drop("a.jpg")
    shop.work(lambda: any(order.failures for order in shop.orders()))
    assert_found_and_paid_once(shop, service)
    shop.drop("b.jpg")  # nor does its duplicate wait
    shop.drop("c.jpg", OTHER)
    shop.work(lambda: {"b.jpg", "c.jpg"} <= set(shop.files("outbox")))
    service.faults.clear()
    for order in service._state.orders.values():
        order.retention_days = 0.0
    shop.pass_time(4000)
    shop.to_the_end()
    assert outbox(shop) == ["b.jpg", "b.jpg.ai.json", "c.jpg", "c.jpg.ai.json"]
    assert caplog.text.count("file.not_enclosed") == 3


def test_what_is_tried_for_longer_than_results_are_kept_is_given_up(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin(heatmaps=True)
    service.faults.add("fetch", "answer", times=None, status=500)
    monkeypatch.setattr(timing, "ENCLOSE_SECONDS", -1.0)
    drop(shop)
    assert outbox(shop) == []
    assert_found_and_paid_once(shop, service)


def test_what_it_dies_over_three_times_is_given_up_and_the_finding_stays(begin: Open) -> None:
    shop, service = begin(heatmaps=True, report="always")
    service.faults.add("fetch", "answer", times=None, status=500)
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.RECORDED) and shop.order().failures)
    for _ in range(3):
        shop.die_over_its_order()
    service.faults.clear()
    shop.pass_time(timing.LONGEST_BACKOFF_SECONDS)
    shop.to_the_end()
    assert outbox(shop) == []
    assert_found_and_paid_once(shop, service)


@pytest.mark.parametrize(
    ("operation", "shown"),
    [
        ("status", {"status": "complete", "result": {"verdict": "likely_real", "heatmapUrl": None}}),
        ("report", {"status": "completed", "download": None}),
    ],
    ids=["heatmap", "report"],
)
def test_what_is_called_ready_without_a_link_is_asked_for_again(
    begin: Open, operation: str, shown: dict[str, object]
) -> None:
    shop, service = begin(heatmaps=operation == "status", report="always" if operation == "report" else "never")
    service.faults.add(operation, "other_json", body=json.dumps({"data": shown}))
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.RECORDED) and shop.order().failures)
    shop.pass_time(60)
    shop.to_the_end()
    assert len(outbox(shop)) == 1
    assert_found_and_paid_once(shop, service)


def test_one_that_another_program_cleans_away_is_fetched_again(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, service = begin(heatmaps=True)
    receive, cleaned = Publisher.receive, list[str]()

    def and_then_it_cleans(publisher: Publisher, file: OrderFile, fetch: Fetch) -> Received:
        received = receive(publisher, file, fetch)
        if not cleaned:
            cleaned.append(received.part.path)
            received.remove()
        return received

    monkeypatch.setattr(Publisher, "receive", and_then_it_cleans)
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.RECORDED) and shop.order().failures)
    assert "another program removes our hidden files" in shop.order().last_error
    shop.pass_time(60)
    shop.to_the_end()
    assert outbox(shop) == ["a.jpg.heatmap.webp"]
    assert_found_and_paid_once(shop, service)


def test_a_name_that_is_taken_is_left_to_its_file(begin: Open) -> None:
    shop, _ = begin(heatmaps=True, report="always", report_locale="ja-JP")
    taken = ["a.jpg.heatmap.webp", "a.jpg.report.ja-JP.pdf"]
    for name in taken:
        (shop.folder("outbox") / name).write_bytes(b"somebody's")
    drop(shop)
    assert [read(shop, name) for name in taken] == [b"somebody's"] * 2
    assert outbox(shop) == sorted([*taken, "a.jpg.heatmap (2).webp", "a.jpg.report.ja-JP (2).pdf"])


# Reports


def test_a_report_comes_to_lie_beside_the_picture_in_its_language(begin: Open) -> None:
    shop, service = begin({"report_seconds": 0.2}, report="always", report_locale="ko-KR", sort=True)
    shop.drop("in/a.jpg")
    shop.to_the_end()
    assert "likely_real/in/a.jpg.report.ko-KR.pdf" in shop.files("outbox")
    assert read(shop, "likely_real/in/a.jpg.report.ko-KR.pdf").startswith(b"%PDF-")
    assert service.sins == []


def test_while_a_report_is_made_the_finding_is_there_and_all_else_goes_on(begin: Open) -> None:
    shop, service = begin({"report_seconds": 3600.0}, report="always", orders_in_flight=1)
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.RECORDED))
    assert_found_and_paid_once(shop, service)
    shop.drop("b.jpg", OTHER)
    shop.work((shop.folder("outbox") / "b.jpg").exists)
    asked = service.requests_by_operation()["report"]
    for _ in range(50):
        shop.beat()
    shop.rest()
    assert service.requests_by_operation()["report"] - asked <= 2 * 2  # its first looks, and no more
    for report in service._state.reports.values():
        report.seconds = 0.0
    shop.to_the_end()
    assert {"a.jpg.report.en-US.pdf", "b.jpg.report.en-US.pdf"} <= set(shop.files("outbox"))


def test_a_report_that_is_asked_for_late_is_looked_at_as_soon_as_any(begin: Open) -> None:
    shop, service = begin({"report_seconds": 3600.0}, report="always")
    service.faults.add("report", "answer", status=500, times=None)
    shop.drop("a.jpg")
    shop.work(lambda: any(order.state is State.RECORDED and order.failed_at for order in shop.orders()))
    order = shop.order()
    long_ago = order.times[State.RECORDED].after(-2 * 86_400.0)
    shop.journal.note(order, times={**order.times, State.RECORDED: long_ago})
    service.faults.clear()
    shop.pass_time(timing.LONGEST_BACKOFF_SECONDS)
    shop.work(lambda: service._state.reports)
    (report,) = service._state.reports.values()
    report.seconds = 0.0
    shop.pass_time(2.0 * timing.report_wait(0.0))
    shop.work(lambda: outbox(shop) == ["a.jpg.report.en-US.pdf"])


def test_a_report_that_fails_is_begun_again_three_times_at_most(begin: Open) -> None:
    shop, service = begin(report="always")
    service.faults.add("report", "fail", times=None)
    shop.drop("a.jpg")
    shop.work(lambda: ((shop.folder("outbox") / "a.jpg").exists() and not shop.orders()) or pass_a_minute(shop))
    (report,) = service._state.reports.values()
    assert report.attempt == 3
    assert outbox(shop) == []
    assert_found_and_paid_once(shop, service)


def pass_a_minute(shop: Shop) -> bool:
    shop.pass_time(60)
    return False


@pytest.mark.parametrize(
    ("status", "code", "is_over"),
    [
        (400, "REPORT_LOCALE_UNSUPPORTED", True),
        (409, "REPORT_NOT_AVAILABLE", True),
        (400, "ORDER_EXPIRED", True),
        (400, "ORDER_TYPE_NOT_MATCH", True),
        (404, "ORDER_NOT_FOUND", False),
        (404, "REPORT_NOT_FOUND", False),
        (429, "RATE_LIMIT_EXCEEDED", False),
        (429, "PLAN_LIMIT_EXCEEDED", False),
        (503, "SERVICE_UNAVAILABLE", False),
        (401, "AUTH_TOKEN_EXPIRED", False),
    ],
)
def test_what_is_said_of_a_report_is_no_word_on_anything_else(
    begin: Open, status: int, code: str, *, is_over: bool
) -> None:
    shop, service = begin(report="always")
    service.faults.add("report", "answer", status=status, code=code)
    shop.drop("a.jpg")
    shop.work(lambda: service.faults._faults[0].befallen and not shop.pipeline.running())
    assert shop.pipeline.breaker.refusal is None
    assert_found_and_paid_once(shop, service)
    shop.drop("b.jpg", OTHER)
    shop.work((shop.folder("outbox") / "b.jpg").exists)
    shop.pass_time(120)
    shop.to_the_end()
    assert ("a.jpg.report.en-US.pdf" in shop.files("outbox")) is not is_over
    assert "b.jpg.report.en-US.pdf" in shop.files("outbox")


@pytest.mark.parametrize(
    ("operation", "fault", "facts"),
    [
        ("report", "fail", {}),
        ("fetch", "answer", {"status": 403, "code": "AccessDenied"}),  # its link is made anew
        ("fetch", "truncated", {}),
        ("fetch", "html", {}),
        ("fetch", "another_picture", {}),
    ],
)
def test_only_a_whole_report_is_delivered_and_it_comes_at_the_second_try(
    begin: Open, operation: str, fault: str, facts: dict[str, Any]
) -> None:
    shop, service = begin(report="always")
    service.faults.add(operation, fault, **facts)
    shop.drop("a.jpg")
    shop.work(lambda: any(order.failures for order in shop.orders()))
    assert outbox(shop) == []
    shop.pass_time(60)
    shop.to_the_end()
    assert outbox(shop) == ["a.jpg.report.en-US.pdf"]


def test_a_report_that_is_locked_against_changes_is_delivered(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = sample_pdf("a report").replace(b"/Root", b"/Encrypt 9 0 R /Root")
    monkeypatch.setattr(reports, "sample_pdf", lambda _: locked)
    shop, _ = begin(report="always")
    drop(shop)
    assert read(shop, "a.jpg.report.en-US.pdf") == locked


def test_no_signed_link_is_written_anywhere(begin: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    shop, service = begin(heatmaps=True, report="always")
    service.faults.add("fetch", "answer", times=2, status=403, code="AccessDenied")
    shop.drop("a.jpg")
    shop.work(lambda: any(order.failures for order in shop.orders()))
    written = caplog.text + "".join(path.read_text() for path in shop.folder("state").rglob("*.json*"))
    assert not re.search(r"/storage/made/|X-Amz|[?&]sig", written)
    shop.pass_time(60)
    shop.to_the_end()
    assert len(outbox(shop)) == 2


# Keywords


def subjects(content: bytes) -> list[str]:
    return re.findall(r"<rdf:li>([^<]*)</rdf:li>", content.decode())


def test_the_verdict_is_a_keyword_of_a_fresh_sidecar(begin: Open) -> None:
    shop, _ = begin({"probabilities": {SHA256: 0.98}}, xmp=True)
    drop(shop)
    assert outbox(shop) == ["a.jpg.xmp"]
    assert subjects(read(shop, "a.jpg.xmp")) == ["ai-detection: likely_ai"]
    assert b"DigitalSourceType" not in read(shop, "a.jpg.xmp")


def test_somebodys_sidecar_keeps_all_that_it_says(begin: Open) -> None:
    shop, _ = begin(xmp=True)
    (shop.folder("outbox") / "a.jpg.xmp").write_bytes(SIDECAR)
    drop(shop)
    added = b" <rdf:li>ai-detection: likely_real</rdf:li>\n     "
    assert read(shop, "a.jpg.xmp") == SIDECAR.replace(b"</rdf:Bag>", added + b"</rdf:Bag>")


def test_a_sidecar_that_somebody_is_writing_gets_the_keyword_later(begin: Open) -> None:
    shop, _ = begin(xmp=True)
    sidecar = shop.folder("outbox") / "a.jpg.xmp"
    sidecar.write_bytes(SIDECAR)
    with being_written(sidecar):
        shop.drop("a.jpg")
        shop.work(lambda: shop.has(State.RECORDED) and shop.order().failures)
        assert sidecar.read_bytes() == SIDECAR
    shop.pass_time(60)
    shop.to_the_end()
    assert len(subjects(sidecar.read_bytes())) == 2


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_sidecar_that_somebody_saves_at_the_last_moment_loses_nothing(
    begin: Open, monkeypatch: pytest.MonkeyPatch, *, is_gone: bool
) -> None:
    shop, _ = begin(xmp=True)
    sidecar, saved = shop.folder("outbox") / "a.jpg.xmp", SIDECAR.replace(b"my words", b"my last words")
    sidecar.write_bytes(SIDECAR)
    add = xmp.with_keyword

    def add_late(content: bytes, keyword: str) -> bytes | None:
        monkeypatch.setattr(xmp, "with_keyword", add)
        after = add(content, keyword)
        sidecar.unlink()
        if not is_gone:
            sidecar.write_bytes(saved)
        return after

    monkeypatch.setattr(xmp, "with_keyword", add_late)
    drop(shop)
    assert (b"my last words" in sidecar.read_bytes()) is not is_gone
    assert subjects(sidecar.read_bytes())[-1] == "ai-detection: likely_real"


def test_what_is_no_file_in_the_place_of_a_sidecar_is_left_there(begin: Open) -> None:
    shop, service = begin(xmp=True)
    (shop.folder("outbox") / "a.jpg.xmp").mkdir()
    drop(shop)
    assert os.listdir(shop.folder("outbox") / "a.jpg.xmp") == []
    assert_found_and_paid_once(shop, service)


@pytest.mark.parametrize(
    "sidecar", [b"", b"no xml", b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>']
)
def test_a_sidecar_that_cannot_be_read_is_left_as_it_is(
    begin: Open, caplog: pytest.LogCaptureFixture, sidecar: bytes
) -> None:
    shop, service = begin(xmp=True)
    (shop.folder("outbox") / "a.jpg.xmp").write_bytes(sidecar)
    drop(shop)
    assert read(shop, "a.jpg.xmp") == sidecar
    assert "file.not_enclosed" in caplog.text
    assert_found_and_paid_once(shop, service)


SIDECAR = """\
<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:mine="urn:mine" mine:rating="5">
   <!-- my words -->
   <dc:subject>
    <rdf:Bag>
     <rdf:li>HÃ¤fen</rdf:li>
     </rdf:Bag>
   </dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
""".encode()


# Messages


def test_a_verdict_that_a_person_wants_to_be_told_of_is_counted(begin: Open) -> None:
    shop, _ = begin({"probabilities": {SHA256: 0.98}}, notify_verdicts=["likely_ai"], sort=True)
    shop.drop("a.jpg")
    shop.drop("b.jpg", OTHER)
    shop.to_the_end()
    assert shop.journal.counters.found_files == 1
    (told,) = shop.journal.counters.last_found
    assert (told.inbox, told.name, told.reason) == ("photos", "likely_ai/a.jpg", "likely_ai")


# Deaths


DEATHS = [("note", 5), ("new_file", 2), ("publish_new", 2), ("write_new", 1)]  # each is called as often, at least


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("call", "nth"), [(call, nth) for call, most in DEATHS for nth in range(1, most + 1)])
def test_whenever_it_dies_each_lies_there_once(
    begin: Open, monkeypatch: pytest.MonkeyPatch, call: str, nth: int, *, is_after: bool
) -> None:
    shop, service = begin(heatmaps=True, report="always", xmp=True)
    owner = shop.journal if call == "note" else disk
    do, calls = getattr(owner, call), []

    def dying(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it takes
        if any(order.state is State.RECORDED for order in shop.orders()):
            calls.append(call)
        if len(calls) == nth and not is_after:
            calls.append("dead")
            raise Killed
        done = do(*given, **named)
        if len(calls) == nth:
            calls.append("dead")
            raise Killed
        return done

    with monkeypatch.context() as patched:
        patched.setattr(owner, call, dying)
        shop.drop("a.jpg")
        shop.work(lambda: "dead" in calls)
    shop.ahead = 0.0  # no look comes too soon
    shop.live_again()
    shop.to_the_end()
    assert outbox(shop) == ["a.jpg.heatmap.webp", "a.jpg.report.en-US.pdf", "a.jpg.xmp"]
    assert subjects(read(shop, "a.jpg.xmp")) == ["ai-detection: likely_real"]
    assert_found_and_paid_once(shop, service)


# An outbox as the next inbox


def test_what_lies_beside_a_finding_is_left_alone_by_the_next_inbox(begin: Open, tmp_path: Path) -> None:
    shop, _ = begin({"has_small_copies": False}, heatmaps=True, report="always", xmp=True)
    (shop.folder("outbox") / "a.jpg.heatmap.png").write_bytes(b"somebody's")
    (shop.folder("outbox") / "a.jpg.report.en-US.pdf").write_bytes(b"somebody's")
    drop(shop)
    assert len(outbox(shop)) == 5
    top = tmp_path / "next"
    top.mkdir()
    with opening(top) as build:
        following, _ = build()
        for name in shop.files("outbox"):
            (following.folder("inbox") / name).write_bytes(read(shop, name))
        following.drop("a.jpg.heatmap.jpg")  # the type is that of the bytes
        following.to_the_end()
        assert following.files("outbox") == ["a.jpg"]
        inbox = following.config.inboxes["photos"]
        assert all(isinstance(intake.explain(inbox, name, 0.0, 0.0), str) for name in outbox(shop))
