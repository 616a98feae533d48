"""Answers that do not fit what was asked: nobody is given what is another one's, and nothing is bought twice."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from shop import OTHER, PICTURE, Open, Shop, said
from werkzeug.wrappers import Response

from watchfolder.order import State
from watchfolder.pipeline import timing
from watchfolder.sandbox import Sandbox, faults
from watchfolder.sandbox.pictures import sample, sample_pdf

Data = dict[str, Any]
Say = Callable[..., None]
WIDTHS = {"0.jpg": 40, "1.jpg": 44, "2.jpg": 48}
TWO = {"text": "© Berg {year} {serial}", "recipients": ["dpa", "afp"]}
COPIES = ["afp/a.jpg", "dpa/a.jpg", "watermarks.csv"]
USUAL = {"kept": {"look_seconds": 0, "report_seconds": 0.0}}


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch) -> Say:
    """Let the service do what it is asked, and say what `change` makes of its answer's data."""

    def add(service: Sandbox, operation: str, change: Callable[[Data], object], **facts: Any) -> None:  # noqa: ANN401 - those of a fault
        def reword(_fault: faults.PlannedFault, call: faults.FaultyCall) -> Response:
            response = call.work()
            answer = json.loads(b"".join(response.iter_encoded()))
            if "data" in answer:
                change(answer["data"])
            return Response(json.dumps(answer), response.status, mimetype="application/json")

        monkeypatch.setitem(faults.ACTIONS, f"reword {operation}", reword)
        service.faults.add(operation, f"reword {operation}", **{"times": None} | facts)

    return add


def drop(shop: Shop) -> None:
    for seed, (name, width) in enumerate(WIDTHS.items()):
        shop.drop(name, sample("jpeg", width=width, height=30, seed=seed))


def widths(shop: Shop) -> dict[str, int]:
    found = {}
    for name in shop.files("outbox"):
        with Image.open(shop.folder("outbox") / name) as picture:
            found[name] = picture.width
    return found


def fail(shop: Shop, times: int = 3) -> str:
    """Let the one order fail so often; return the last reason."""
    shop.work(lambda: any(order.failures for order in shop.orders()))
    while shop.order().failures < times:
        shop.clock.pass_time(3600)
        shop.beat()
        shop.rest()
    return shop.order().last_error


def mend(shop: Shop, service: Sandbox) -> None:
    service.faults.clear()
    shop.clock.pass_time(3600)
    shop.to_the_end()


def made(data: Data) -> list[Data]:
    found: list[Data] = (data.get("result") or {}).get("outputFiles", [])
    return found


# --- whose result is it?


def test_inputs_in_another_order_than_the_requests_are_told_by_their_ids(begin: Open, say: Say) -> None:
    def reverse(data: Data) -> None:
        data["inputFiles"] = [{**file, "fileName": None} for file in reversed(data["inputFiles"])]

    shop, service = begin()
    say(service, "status", reverse)
    drop(shop)
    shop.to_the_end()
    assert widths(shop) == WIDTHS


def test_inputs_of_an_order_that_is_found_again_are_told_by_their_names(begin: Open, say: Say) -> None:
    shop, service = begin()
    say(service, "status", lambda data: data["inputFiles"].reverse())
    say(service, "refresh", lambda data: data["files"].reverse())
    service.faults.add("create", "answer_after", status=503)
    drop(shop)
    shop.work(lambda: any(order.failures for order in shop.orders()))
    shop.clock.pass_time(7200)  # now it is looked for by its name first
    shop.to_the_end()
    assert service.requests_by_operation()["list"] == 1
    assert widths(shop) == WIDTHS


def test_inputs_of_an_order_whose_entry_was_lost_are_told_by_their_names(begin: Open, say: Say) -> None:
    shop, service = begin({"processing_seconds": 3600.0})
    drop(shop)
    shop.work(lambda: shop.has(State.CONFIRMED))
    shop.close()
    shutil.rmtree(shop.folder("state/journal"))
    say(service, "status", lambda data: data["inputFiles"].reverse())
    for order in service._state.orders.values():
        order.processing_seconds = 0.0
    shop.open()
    shop.clock.pass_time(7200)
    shop.to_the_end()
    assert widths(shop) == WIDTHS
    assert set(service.paid_files.values()) == {1}


def test_upload_links_in_another_order_than_the_requests_take_each_its_own(begin: Open, say: Say) -> None:
    shop, service = begin()
    say(service, "status", lambda data: data.update(inputFiles=[]))
    say(service, "refresh", lambda data: data["files"].reverse())
    service.faults.add("create", "answer_after", status=503)
    drop(shop)
    shop.work(lambda: any(order.failures for order in shop.orders()))
    shop.clock.pass_time(7200)
    shop.to_the_end()
    assert widths(shop) == WIDTHS
    assert service.sins == []


def test_results_of_nobody_knows_which_input_are_nobodys(begin: Open, say: Say) -> None:
    def hide_ids(data: Data) -> None:
        data["inputFiles"] = []
        for output in made(data):
            output["inputFileId"] = None

    shop, service = begin()
    say(service, "status", hide_ids)
    service.faults.add("create", "answer_after", status=503)
    drop(shop)
    shop.work(lambda: any(order.failures for order in shop.orders()))
    shop.clock.pass_time(7200)
    shop.work(lambda: any(order.state is State.COMPLETED and order.failures for order in shop.orders()))
    assert shop.files("outbox") == []
    assert "names no result" in shop.order().last_error
    mend(shop, service)
    assert widths(shop) == WIDTHS
    assert set(service.paid_files.values()) == {1}


@pytest.mark.parametrize("what", ["fileId", "inputFileId"])
def test_two_results_that_nobody_can_tell_apart_are_nobodys(begin: Open, say: Say, what: str) -> None:
    def repeat(data: Data) -> None:
        for output in made(data):
            output[what] = made(data)[0][what]

    shop, service = begin()
    say(service, "status", repeat)
    drop(shop)
    assert "faulty answer" in fail(shop)
    assert shop.files("outbox") == []
    mend(shop, service)
    assert widths(shop) == WIDTHS
    assert set(service.paid_files.values()) == {1}


def test_a_result_that_is_told_twice_and_one_of_nobodys_do_no_harm(begin: Open, say: Say) -> None:
    def add(data: Data) -> None:
        if made(data):
            made(data).extend([made(data)[0], {"fileId": "77", "fileName": None, "inputFileId": "78"}])

    shop, service = begin()
    say(service, "status", add)
    drop(shop)
    shop.to_the_end()
    assert widths(shop) == WIDTHS


def test_one_id_for_two_copies_gives_nobody_the_others_copy(begin: Open, say: Say) -> None:
    def repeat(data: Data) -> None:
        for output in made(data):
            output["fileId"] = made(data)[0]["fileId"]

    shop, service = begin(service="watermark-embed", watermark=TWO)
    say(service, "status", repeat)
    shop.drop("a.jpg")
    assert "one id for two results" in fail(shop)
    assert shop.files("outbox") == []
    mend(shop, service)
    assert shop.files("outbox") == COPIES
    assert service.credits["watermarkEmbed"] == 2


def test_one_link_for_two_copies_gives_nobody_the_others_copy(begin: Open, say: Say) -> None:
    def repeat(data: Data) -> None:
        for file in data["files"]:
            file["downloadUrl"] = data["files"][0]["downloadUrl"]

    shop, service = begin(service="watermark-embed", watermark=TWO)
    say(service, "link", repeat)
    shop.drop("a.jpg")
    assert "one link for two files" in fail(shop)
    assert shop.files("outbox") == []
    mend(shop, service)
    assert shop.files("outbox") == COPIES


def test_the_same_bytes_never_go_to_two_recipients(begin: Open) -> None:
    shop, service = begin(service="watermark-embed", watermark=TWO)
    service.faults.add("fetch", "another_picture", times=None)  # the same at each fetch
    shop.drop("a.jpg")
    assert "one and the same copy for two watermarks" in fail(shop)
    assert len(shop.files("outbox")) <= 1
    mend(shop, service)
    copies = [path.read_bytes() for path in shop.folder("outbox").glob("*/a.*")]
    assert len(copies) == len(set(copies)) == 2


def test_one_upload_link_for_two_pictures_is_not_used(begin: Open, say: Say) -> None:
    def repeat(data: Data) -> None:
        files = data["files"] if "files" in data else data["inputFiles"]
        for file in files:
            file["uploadUrl"] = files[0].get("uploadUrl")

    shop, service = begin()
    for operation in ("create", "status", "refresh"):
        say(service, operation, repeat)
    drop(shop)
    assert "one upload link for two files" in fail(shop)
    assert service.requests_by_operation().get("upload", 0) == 0
    mend(shop, service)
    assert widths(shop) == WIDTHS
    assert set(service.paid_files.values()) == {1}


# --- which order is it about?


@pytest.mark.parametrize("has_left", [False, True], ids=["under way", "delivered"])
def test_an_order_of_another_picture_is_not_taken_for_ones_own(begin: Open, say: Say, *, has_left: bool) -> None:
    shop, service = begin({"processing_seconds": 0.0 if has_left else 3600.0}, max_files_per_order=1)
    shop.drop("a/x.jpg", PICTURE)
    shop.work(lambda: shop.files("outbox") if has_left else shop.has(State.CONFIRMED))
    (first,) = service._state.orders.values()
    say(service, "create", lambda data: data.update(orderId=first.order_id, orderName=first.name))
    shop.drop("b/x.jpg", OTHER)
    shop.work(lambda: any("id of another order" in order.last_error for order in shop.orders()))
    service.faults.clear()
    service.processing_seconds = 0.0
    for order in service._state.orders.values():
        order.processing_seconds = 0.0
    shop.pass_time(300)
    shop.to_the_end()
    assert shop.files("outbox") == ["a/x.jpg", "b/x.jpg"]
    assert set(service.paid_files.values()) == {1}
    assert len(service.paid_files) == 2
    assert service.sins == []


@pytest.mark.parametrize(("service_name", "operation"), [("anti-ai", "status"), ("ai-detection", "status")])
def test_what_is_said_of_another_order_is_not_believed(
    begin: Open, say: Say, service_name: str, operation: str
) -> None:
    shop, service = begin(service=service_name)
    service.faults.add("list", "answer", times=None, status=503)  # else that tells the verdict
    say(service, operation, lambda data: data.update(orderId="77"))
    shop.drop("a.jpg")
    assert "about another order" in fail(shop)
    assert shop.files("outbox") == []
    mend(shop, service)
    assert "a.jpg" in shop.files("outbox")
    assert service.paid == 1


def test_a_report_on_another_order_does_not_come_to_lie_beside_a_picture(begin: Open, say: Say) -> None:
    shop, service = begin(service="ai-detection", report="always")
    say(service, "report", lambda data: data.update(orderId="77"))
    shop.drop("a.jpg")
    assert "about another order" in fail(shop)
    assert "a.jpg.report.en-US.pdf" not in shop.files("outbox")
    mend(shop, service)
    assert "a.jpg.report.en-US.pdf" in shop.files("outbox")


# --- what is said in another way


def test_an_order_that_failed_after_it_was_complete_is_not_bought_again(begin: Open, say: Say) -> None:
    shop, service = begin()
    service.faults.add("fetch", "truncated", path="1.jpg", times=None)
    drop(shop)
    fail(shop, 1)
    service.faults.add("link", "answer", status=400, code="ORDER_ALREADY_FAILED", times=None)
    say(service, "status", lambda data: data.update(status="failed", errors={"errorCode": "PROCESSING_ERROR"}))
    assert "calls the order failed, which does not fit" in fail(shop)
    assert shop.files("quarantine") == []
    mend(shop, service)
    assert widths(shop) == WIDTHS
    assert set(service.paid_files.values()) == {1}


@pytest.mark.parametrize("data", ["", ', "data": null', ', "data": {}'])
@pytest.mark.parametrize("operation", ["create", "confirm"])
def test_a_refusal_that_comes_as_a_200_is_one(begin: Open, operation: str, data: str) -> None:
    shop, service = begin()
    service.faults.add(operation, "answer", status=200, body=f'{{"code": "USAGE_NOT_ENOUGH"{data}}}', times=None)
    shop.drop("a.jpg")
    shop.work(lambda: shop.pipeline.breaker.refusal)
    refusal = shop.pipeline.breaker.refusal
    assert refusal is not None
    assert "credits are used up" in refusal.reason
    assert not shop.order().charged
    mend(shop, service)
    assert shop.files("outbox") == ["a.jpg"]
    assert service.requests_by_operation()["upload"] == 1


@pytest.mark.parametrize("probability", ["0.98", 0.98], ids=str)
def test_a_probability_may_come_as_text(begin: Open, say: Say, probability: object) -> None:
    shop, service = begin(service="ai-detection")
    say(
        service, "list", lambda data: [each.update(probability=probability, statusCode=None) for each in data["orders"]]
    )
    shop.drop("a.jpg")
    shop.to_the_end()
    told = said(shop, "a.jpg.ai.json")
    assert (told["verdict"], told["probability"]) == ("likely_ai", 0.98)


def test_a_number_beyond_all_bounds_holds_up_no_other_verdict(begin: Open, say: Say) -> None:
    shop, service = begin(service="ai-detection")
    say(service, "list", lambda data: data["orders"][-1].update(probability=10**400, statusCode=None))
    shop.drop("a.jpg")
    shop.drop("b.jpg", OTHER)
    shop.to_the_end()
    assert {"a.jpg", "b.jpg"} <= set(shop.files("outbox"))


@pytest.mark.parametrize(
    ("text", "told"), [({}, None), ({"watermarkText": 17}, None), ({"watermarkText": "a\ud800b"}, "a?b")], ids=str
)
def test_a_watermark_whose_text_is_none_is_detected_all_the_same(
    begin: Open, say: Say, text: Data, told: str | None
) -> None:
    def answer(data: Data) -> None:
        if data["status"] == "complete":
            data["result"] = {"detectionStatus": "detected", **text}

    shop, service = begin(service="watermark-extract")
    say(service, "list", lambda data: [each.update(statusCode="detected") for each in data["orders"]])
    say(service, "status", answer)
    shop.drop("a.jpg")
    shop.drop("a.original.jpg", OTHER)
    shop.to_the_end()
    sidecar = shop.folder("outbox") / "detected/a.jpg.watermark.json"
    assert json.loads(sidecar.read_text())["watermarkText"] == told
    assert service.paid == 1


def test_a_detection_whose_list_of_files_is_null_has_its_one_file(begin: Open, say: Say) -> None:
    shop, service = begin(service="ai-detection")
    say(service, "create", lambda data: data.update(files=None))
    shop.drop("a.jpg")
    shop.to_the_end()
    assert "a.jpg" in shop.files("outbox")


def test_a_picture_that_comes_for_a_pdf_is_not_delivered_as_that(begin: Open) -> None:
    shop, service = begin(service="watermark-embed")
    service.faults.add("fetch", "another_picture", times=None)
    shop.drop("a.pdf", sample_pdf("a brochure"))
    assert "no whole PDF" in fail(shop)
    assert shop.files("outbox") == []
    mend(shop, service)
    assert shop.files("outbox") == ["a.pdf", "watermarks.csv"]
    assert service.credits["watermarkEmbed"] == 1


def test_a_report_that_is_never_made_is_given_up_after_few_questions(
    begin: Open, caplog: pytest.LogCaptureFixture
) -> None:
    shop, service = begin({"report_seconds": 1e9, "retention_days": None}, service="ai-detection", report="always")
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.RECORDED))
    passed = 0.0
    while shop.orders() and passed < 2 * timing.ENCLOSE_SECONDS:
        shop.clock.pass_time(60.0)
        passed += 60.0
        if shop.pipeline._polls.due_at(shop.order()) <= shop.clock.elapsed():
            shop.beat()
            shop.rest()
    assert shop.orders() == ()
    (facts,) = (vars(record)["facts"] for record in caplog.records if record.msg == "file.not_enclosed")
    assert facts["reason"] == "the service never made the report"
    assert service.requests_by_operation()["report"] < 200
