"""Watermark embed of what lies at addresses: the service fetches it, each recipient has a copy with its own text."""

import json
from typing import Any

import pytest
from contents import sha256, table
from sandbox_client import found_in
from shop import OTHER, PICTURE, Open, Shop, a_list, shortcut

from watchfolder import history
from watchfolder.order import State
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.orders import SandboxOrder
from watchfolder.sandbox.pictures import sample_pdf

ADDRESS = "https://img.example.com/a/gr%C3%B6%C3%9Fe%20eins.jpg?token=s3cret"
SECOND = "https://img.example.com/zwei.jpg"
GONE = "https://img.example.com/gone.jpg"
BROCHURE = "https://img.example.com/doc/Prospekt%20%C3%BC.pdf"
NAMELESS = "https://img.example.com/download?id=7"
PDF = sample_pdf("a brochure")
CONTENTS: dict[str, bytes | None] = {ADDRESS: PICTURE, SECOND: OTHER, BROCHURE: PDF, NAMELESS: PDF}
TWO = {"text": "{stem} in {folder} for {recipient} {serial}", "recipients": ["dpa", "afp"]}
LATER = 3600.0  # longer than any backoff
KEPT = {"origins": CONTENTS, "look_seconds": 0, "processing_seconds": 0.2}
USUAL = {"service": "watermark-embed", "kept": KEPT, "links": True, "watermark": TWO}


def texts(shop: Shop) -> dict[str, str]:
    """Return the text of each copy, without its serial; no serial was given twice."""
    issued = {line["file"]: line["text"] for line in table(shop.folder("outbox") / "watermarks.csv")}
    serials = [text.rpartition(" ")[2] for text in issued.values()]
    assert len(set(serials)) == len(serials)
    return {name: text.rpartition(" ")[0] for name, text in issued.items()}


def assert_bought_once(shop: Shop, service: Sandbox, *names: str, orders: int = 1) -> None:
    copies = sorted(f"{recipient}/{name}" for recipient in ("dpa", "afp") for name in names)
    assert shop.files("outbox") == [*copies, "watermarks.csv"]
    assert sorted(texts(shop)) == copies
    assert service.credits["watermarkEmbed"] == len(copies)
    assert len(service.orders) == orders
    assert shop.files("inbox") == shop.files("quarantine") == []
    assert "upload" not in service.requests_by_operation()
    assert "confirm" not in service.requests_by_operation()
    assert service.sins == []


def test_of_one_address_each_recipient_has_a_copy_with_its_text(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 0.0})
    shop.drop("Presse/Strand.url", shortcut(ADDRESS))
    shop.to_the_end()

    assert_bought_once(shop, service, "Presse/größe eins.jpg")
    assert texts(shop) == {
        "dpa/Presse/größe eins.jpg": "größe eins in Presse for dpa",
        "afp/Presse/größe eins.jpg": "größe eins in Presse for afp",
    }
    for line in table(shop.folder("outbox") / "watermarks.csv"):
        copy = shop.folder("outbox") / line["file"]
        assert line["sha256_source"] == ""  # the bytes were never here
        assert line["sha256_result"] == sha256(copy.read_bytes())
        assert found_in(service, copy, PICTURE) == line["text"]
    assert (shop.folder("originals") / "Presse/Strand.url").read_bytes() == shortcut(ADDRESS)
    told = [
        (each.file.name, each.file.recipient)
        for each in history.deliveries(shop.journal.orders(), shop.config.state_dir)
    ]
    assert sorted(told) == [("Presse/Strand.url", "afp"), ("Presse/Strand.url", "dpa")]


def test_the_folder_of_a_list_is_the_recipient_of_what_it_leads_to(begin: Open) -> None:
    watermark = {"text": "{name} {recipient} {folder} {serial}", "recipients": "folder"}
    shop, service = begin(watermark=watermark)
    shop.drop("dpa/Mai/Bilder.urls", a_list(ADDRESS, SECOND))
    shop.drop("nobody.urls", a_list(ADDRESS))
    shop.to_the_end()

    assert texts(shop) == {
        "dpa/Mai/größe eins.jpg": "größe eins.jpg dpa Mai",
        "dpa/Mai/zwei.jpg": "zwei.jpg dpa Mai",
    }
    assert shop.files("inbox") == ["nobody.urls"]
    assert service.sins == []


def test_a_list_that_no_longer_has_a_recipient_waits_for_one(begin: Open) -> None:
    shop, service = begin()
    shop.drop("Bilder.urls", a_list(SECOND))
    shop.look(0.0)  # it is claimed, and none of its lines has an order yet
    shop.look(1.0)
    assert shop.order().is_list
    before = shop.config
    inbox = before.inboxes["photos"]
    nobody = inbox.watermark.model_copy(update={"recipients": "folder"})
    shop.close()
    shop.config = before.model_copy(update={"inboxes": {"photos": inbox.model_copy(update={"watermark": nobody})}})
    shop.open()
    shop.work(lambda: any("recipient" in order.last_error for order in shop.orders()))
    assert service.orders == {}

    shop.close()
    shop.config = before
    shop.open()
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, "zwei.jpg")


def test_an_address_that_is_gone_comes_back_alone_and_every_copy_is_named(begin: Open) -> None:
    shop, service = begin()
    shop.drop("Presse/Bilder.urls", a_list(ADDRESS, GONE, SECOND))
    shop.to_the_end_of_a_doubt()

    names = ("Presse/größe eins.jpg", "Presse/zwei.jpg")
    assert sorted(texts(shop)) == sorted(f"{each}/{name}" for each in ("dpa", "afp") for name in names)
    assert service.credits["watermarkEmbed"] == 4
    assert shop.files("quarantine") == ["Presse/Bilder.failed.urls", "Presse/Bilder.failed.urls.why.txt"]
    failed = (shop.folder("quarantine") / "Presse/Bilder.failed.urls").read_text("utf-8").splitlines()
    assert [line for line in failed if not line.startswith("#")] == [GONE]
    done = table(shop.folder("originals") / "Presse/Bilder.done.csv")
    assert sorted((line["line"], line["result"]) for line in done) == [
        ("1", "afp/Presse/größe eins.jpg"),
        ("1", "dpa/Presse/größe eins.jpg"),
        ("2", ""),
        ("3", "afp/Presse/zwei.jpg"),
        ("3", "dpa/Presse/zwei.jpg"),
    ]
    assert [bool(line["reason"]) for line in done] == [not line["result"] for line in done]
    assert service.sins == []


@pytest.mark.parametrize("address", [BROCHURE, NAMELESS], ids=["named so", "under another name"])
def test_a_pdf_at_an_address_comes_out_as_a_pdf(begin: Open, address: str) -> None:
    shop, service = begin()
    shop.drop("brochure.url", shortcut(address))
    shop.to_the_end()
    name = "Prospekt ü.pdf" if address == BROCHURE else "download.pdf"
    assert shop.files("outbox") == [f"afp/{name}", f"dpa/{name}", "watermarks.csv"]
    assert service.credits["watermarkEmbed"] == 2


def test_the_same_address_at_one_time_is_a_new_issue_each_time(begin: Open) -> None:
    shop, service = begin(duplicates="reuse")
    shop.drop("a.url", shortcut(SECOND))
    shop.drop("b.url", shortcut(SECOND))
    shop.drop("c.urls", a_list(SECOND))
    shop.to_the_end()
    assert len(texts(shop)) == 6
    assert service.credits["watermarkEmbed"] == 6


# --- the create is what is paid for


def test_it_is_charged_before_its_create_leaves_and_goes_on_without_uploads(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("create", "hang", seconds=1.0)
    shop.drop("a.url", shortcut(SECOND))
    while not any(request.operation == "create" for request in service.requests):
        shop.beat()
    (entry,) = (shop.folder("state") / "journal").glob("*.json")
    assert json.loads(entry.read_text("utf-8"))["charged"] is True
    shop.to_the_end()
    assert_bought_once(shop, service, "zwei.jpg")


def test_it_is_waited_for_while_the_service_calls_it_pending(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, service = begin()
    with monkeypatch.context() as fetching:
        fetching.setattr(SandboxOrder, "status", property(lambda _order: "pending"))
        shop.drop("a.url", shortcut(SECOND))
        shop.work(lambda: shop.has(State.CONFIRMED))
        for looks in (1, 2):
            shop.pass_time(60)
            shop.work(lambda: service.requests_by_operation().get("status", 0) >= looks)  # noqa: B023 - used at once
    assert (shop.order().state, shop.order().redos, shop.order().charged) == (State.CONFIRMED, 0, True)
    assert shop.order().failures == 0
    shop.pass_time(60)
    shop.to_the_end()
    assert_bought_once(shop, service, "zwei.jpg")


@pytest.mark.parametrize("does", ["reset_after", "truncated", "answer_after"])
@pytest.mark.parametrize("loses", ["nothing", "the process", "the entry"])
def test_a_create_that_was_not_answered_buys_once(begin: Open, does: str, loses: str) -> None:
    shop, service = begin()
    service.faults.add("create", does, status=502)
    shop.drop("Presse/a.urls", a_list(ADDRESS, SECOND))
    shop.work(lambda: any(order.failures for order in shop.orders()))
    (order,) = (order for order in shop.orders() if order.of_list)
    issued = sorted(result.text for _, result in order.results)
    if loses == "the entry":
        shop.lose_entry(order)
    elif loses != "nothing":
        shop.live_again()
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, "Presse/größe eins.jpg", "Presse/zwei.jpg")
    assert sorted(line["text"] for line in table(shop.folder("outbox") / "watermarks.csv")) == issued


@pytest.mark.parametrize("state", [State.CREATED, State.CONFIRMED, State.COMPLETED])
def test_an_order_whose_entry_is_lost_keeps_its_texts_and_is_paid_once(begin: Open, state: State) -> None:
    shop, service = begin()
    service.faults.add("fetch", "answer", nth=1, times=4, status=503)
    shop.drop("a.url", shortcut(SECOND))
    shop.work(lambda: shop.has(state) or (state is State.CREATED and shop.has(State.CONFIRMED)))
    order = shop.order()
    issued = sorted(result.text for _, result in order.results)
    shop.close()
    entry = shop.folder("state") / "journal" / f"{order.key}.json"
    if state is State.CREATED:  # the death came before the rest
        told: dict[str, Any] = json.loads(entry.read_text("utf-8"))
        times = {each: told["times"][each] for each in ("claiming", "claimed", "created")}
        entry.write_text(json.dumps(told | {"state": "created", "times": times}), "utf-8")
    else:
        entry.unlink()
    shop.open()
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, "zwei.jpg")
    assert sorted(line["text"] for line in table(shop.folder("outbox") / "watermarks.csv")) == issued


def test_a_key_that_was_used_before_is_parked_and_not_bought_anew(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("create", "answer", times=None, status=409, code="WATERMARK_V2_CONFLICT")
    shop.drop("a.url", shortcut(SECOND))
    shop.to_the_end()
    assert shop.files("quarantine") == ["a.url", "a.url.why.txt"]
    why = " ".join((shop.folder("quarantine") / "a.url.why.txt").read_text("utf-8").split())
    assert "download the picture, and move that into the inbox" in why
    service.faults.clear()
    (shop.folder("quarantine") / "a.url").rename(shop.folder("inbox") / "a.url")
    shop.pass_time(LATER)
    shop.to_the_end()
    assert len(service.orders) == 1
    assert_bought_once(shop, service, "zwei.jpg")


def test_a_clear_no_to_the_first_create_takes_the_charge_back(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("create", "answer", times=None, status=429, code="PLAN_LIMIT_EXCEEDED")
    shop.drop("a.url", shortcut(SECOND))
    shop.work(lambda: service.requests_by_operation().get("create"))
    assert [order.charged for order in shop.orders()] == [False]
    service.faults.clear()
    shop.pipeline.try_again()
    shop.pass_time(60)
    shop.to_the_end()
    assert_bought_once(shop, service, "zwei.jpg")


def test_a_line_of_which_one_copy_came_is_named_and_comes_back_for_the_other(begin: Open) -> None:
    shop, service = begin(give_up_after_hours=1)
    service.faults.add("fetch", "answer", nth=2, times=None, status=500)
    shop.drop("a.urls", a_list(SECOND))
    shop.work(lambda: any(order.state is State.COMPLETED and order.failures for order in shop.orders()))
    (failing,) = (order for order in shop.orders() if order.of_list)
    shop.journal.note(failing, failing_seconds=3601.0, not_before=None)
    shop.clock.pass_time(3601)
    shop.to_the_end()
    assert shop.files("quarantine") == ["a.failed.urls", "a.failed.urls.why.txt"]
    (came,) = (name for name in shop.files("outbox") if name != "watermarks.csv")
    first, second = table(shop.folder("originals") / "a.done.csv")
    assert (first["line"], first["result"], second["line"], second["result"]) == ("1", came, "1", "")
    assert second["reason"]

    service.faults.clear()
    (shop.folder("quarantine") / "a.failed.urls").rename(shop.folder("inbox") / "a.failed.urls")
    (shop.folder("quarantine") / "a.failed.urls.why.txt").unlink()
    shop.pass_time(LATER)
    shop.to_the_end()
    assert_bought_once(shop, service, "zwei.jpg")
