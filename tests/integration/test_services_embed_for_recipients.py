"""Watermark embed from a folder: a copy for each recipient, each with a text that says whose it is."""

import io
from pathlib import Path
from typing import Any

import pytest
from contents import sha256, table
from holding import leased
from PIL import Image
from sandbox_client import found_in
from shop import OTHER, PICTURE, Killed, Open, Shop, closing_a_sub_folder

from watchfolder import history
from watchfolder.order import Order, State
from watchfolder.publish import Publisher
from watchfolder.publish.originals import OriginalPublisher
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample, sample_pdf
from watchfolder.services import tables

NAME = "Ferien/Füße am Strand.jpg"
FIVE = ["dpa", "afp", "Reuters", "Süddeutsche Zeitung", "Ärzteblatt"]
TWO = {"text": "© Berg {year} {serial}", "recipients": ["dpa", "afp"]}
USUAL = {"service": "watermark-embed"}


def ledger(shop: Shop) -> list[dict[str, str]]:
    return table(shop.folder("outbox") / "watermarks.csv")


def assert_issued_once(shop: Shop, service: Sandbox, name: str, *recipients: str, orders: int = 1) -> None:
    """Each copy is there once, was paid once, is told once, and holds the text of its line."""
    assert shop.files("outbox") == sorted(["watermarks.csv", *(f"{each}/{name}" for each in recipients)])
    assert shop.files("originals") == [name]
    assert shop.files("inbox") == shop.files("quarantine") == []
    assert sorted(line["recipient"] for line in ledger(shop)) == sorted(recipients)
    for line in ledger(shop):
        copy = shop.folder("outbox") / line["file"]
        assert line["file"] == f"{line['recipient']}/{name}"
        assert line["sha256_source"] == sha256(PICTURE)
        assert line["sha256_result"] == sha256(copy.read_bytes())
        assert found_in(service, copy, (shop.folder("originals") / name).read_bytes()) == line["text"]
    told = [
        (each.file.recipient, each.file.text)
        for each in history.deliveries(shop.journal.orders(), shop.config.state_dir)
    ]
    assert sorted(told) == sorted((line["recipient"], line["text"]) for line in ledger(shop))
    embedded = [order for order in service.orders.values() if order.watermarks]
    assert len(embedded) == orders
    assert service.credits["watermarkEmbed"] == len(recipients)
    assert service.sins == []


def test_of_five_copies_each_says_whose_it_is(begin: Open) -> None:
    shop, service = begin(watermark={"text": "© Berg {year} {serial}", "recipients": FIVE})
    shop.drop(NAME)
    shop.to_the_end()
    assert_issued_once(shop, service, NAME, *FIVE)
    assert (shop.folder("originals") / NAME).read_bytes() == PICTURE


def test_without_recipients_the_one_copy_has_its_own_name(begin: Open) -> None:
    shop, service = begin()
    shop.drop(NAME)
    shop.to_the_end()
    assert shop.files("outbox") == [NAME, "watermarks.csv"]
    (line,) = ledger(shop)
    assert line["recipient"] == ""
    assert (
        found_in(service, shop.folder("outbox") / NAME, (shop.folder("originals") / NAME).read_bytes()) == line["text"]
    )


def test_a_table_that_is_held_at_a_start_ends_the_series_and_keeps_nobody(begin: Open) -> None:
    shop, _ = begin(watermark=TWO)
    shop.drop(NAME)
    shop.to_the_end()
    with leased(shop.folder("outbox") / "watermarks.csv"):
        shop.live_again()
        shop.drop("b.jpg", OTHER)
        shop.work((shop.folder("outbox") / "afp/b.jpg").exists)
        assert shop.intake.health.is_open
    shop.pass_time(60)
    shop.to_the_end()
    first, _, _, last = (line["text"].rpartition(" ")[2].partition("-") for line in ledger(shop))
    assert (first[0] != last[0], first[2], last[2]) == (True, "1", "2")


def test_where_the_first_folder_is_the_recipient_it_gets_the_one_copy(begin: Open) -> None:
    shop, service = begin(watermark={"text": "{recipient} {serial}", "recipients": "folder"})
    shop.drop("Ärzteblatt/Mai/a.jpg")
    shop.drop("dpa/b.jpg", OTHER)
    shop.drop("c.jpg", sample("jpeg", width=30, height=30, seed=9))
    shop.to_the_end()
    assert shop.files("outbox") == ["dpa/b.jpg", "watermarks.csv", "Ärzteblatt/Mai/a.jpg"]
    assert shop.files("inbox") == ["c.jpg"]
    assert {line["recipient"]: line["text"].partition(" ")[0] for line in ledger(shop)} == {
        "Ärzteblatt": "Ärzteblatt",
        "dpa": "dpa",
    }
    assert service.sins == []


def test_a_pdf_is_marked_as_a_picture_is_and_a_locked_one_is_not_sent(begin: Open) -> None:
    shop, service = begin(watermark=TWO)
    brochure = sample_pdf("a brochure")
    shop.drop("Prospekt ü.pdf", brochure)
    shop.drop("locked.pdf", brochure.replace(b"/Root", b"/Encrypt 9 0 R /Root"))
    shop.to_the_end()
    assert shop.files("outbox") == ["afp/Prospekt ü.pdf", "dpa/Prospekt ü.pdf", "watermarks.csv"]
    assert shop.files("quarantine") == ["locked.pdf", "locked.pdf.why.txt"]
    assert "a PDF that is locked" in (shop.folder("quarantine") / "locked.pdf.why.txt").read_text("utf-8")
    original = shop.folder("originals") / "Prospekt ü.pdf"
    for line in ledger(shop):
        assert found_in(service, shop.folder("outbox") / line["file"], original.read_bytes()) == line["text"]
    assert service.sins == []


def test_what_the_service_would_refuse_by_its_pixels_is_not_sent(begin: Open) -> None:
    shop, service = begin()
    shop.drop("print.jpg", saved("jpeg", "CMYK"))
    shop.drop("web.png", saved("png", "P"))
    shop.drop("icon.bmp", saved("bmp", "1").replace(b"\xff\xff\xff\0", b"\xff\0\0\0", 1))
    out = io.BytesIO()
    Image.new("RGB", (32, 24)).save(out, "tiff", save_all=True, append_images=[Image.new("RGB", (32, 24), "red")])
    shop.drop("scan.tif", out.getvalue())
    shop.drop("fine.png", saved("png", "RGBA"))
    shop.to_the_end()
    assert shop.files("outbox") == ["fine.png", "watermarks.csv"]
    why = (shop.folder("quarantine") / "print.jpg.why.txt").read_text("utf-8")
    assert "This picture is in CMYK, which the service does not take." in why
    assert "Save it in RGB" in why
    refused = [name for name in shop.files("quarantine") if not name.endswith(".why.txt")]
    assert refused == ["icon.bmp", "print.jpg", "scan.tif", "web.png"]
    assert [len(order.files) for order in service.orders.values()] == [service.paid] == [1]
    assert service.sins == []


def saved(form: str, mode: str) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (32, 24)).save(out, form)
    return out.getvalue()


def test_a_hundred_pictures_for_two_are_one_order_of_few_requests(begin: Open) -> None:
    shop, service = begin(watermark=TWO, orders_in_flight=1)
    for number in range(100):
        shop.drop(f"{number:03}.png", sample("png", width=16, height=12, seed=number))
    shop.to_the_end(seconds=120.0)
    assert len(shop.files("outbox")) == 201
    assert len({line["text"] for line in ledger(shop)}) == len(ledger(shop)) == 200
    assert service.credits["watermarkEmbed"] == 200
    asked = service.requests_by_operation()
    assert len(service.orders) == 1
    assert sum(asked.get(name, 0) for name in ("create", "status", "list", "link", "refresh")) / 100 <= 0.05, asked
    assert service.sins == []


def test_the_same_picture_again_is_a_new_issue(begin: Open) -> None:
    shop, service = begin(watermark=TWO)
    for name in ("a.jpg", "b.jpg"):
        shop.drop(name)
    shop.to_the_end()
    shop.drop("c.jpg")
    shop.to_the_end()
    assert len({line["text"] for line in ledger(shop)}) == len(ledger(shop)) == 6
    assert service.credits["watermarkEmbed"] == 6


@pytest.mark.parametrize(
    "moment",
    ["before the first name", "after the first name", "after the originals", "before the ledger", "after the ledger"],
)
def test_whenever_it_dies_each_copy_is_there_once_and_told_once(
    begin: Open, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    shop, service = begin(watermark=TWO)
    deliver, place, enter = Publisher.deliver, OriginalPublisher.place, tables.enter

    def dying_deliver(self: Publisher, order: Order, numbers: Any) -> Order:  # noqa: ANN401 - a sequence
        if moment == "before the first name":
            raise Killed
        if moment == "after the first name":
            deliver(self, order, list(numbers)[:1])
            raise Killed
        return deliver(self, order, numbers)

    def dying_place(self: OriginalPublisher, order: Order, indexes: Any) -> Order:  # noqa: ANN401 - a sequence
        place(self, order, indexes)
        if moment == "after the originals":
            raise Killed
        return order

    def dying_enter(order: Order, outbox: str, owner: str, perhaps_there: bool) -> None:
        if moment == "after the ledger":
            enter(order, outbox, owner, perhaps_there)
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(Publisher, "deliver", dying_deliver)
        if moment == "after the originals":
            dying.setattr(OriginalPublisher, "place", dying_place)
        dying.setattr(tables, "enter", dying_enter)
        shop.drop(NAME)
        shop.work(lambda: shop.has(State.COMPLETED) or shop.has(State.DELIVERED))
        for _ in range(50):
            shop.beat()
            shop.rest()
    shop.live_again()
    shop.to_the_end()
    assert_issued_once(shop, service, NAME, "dpa", "afp")


@pytest.mark.parametrize(
    ("state", "step"),
    [(State.CLAIMED, "create"), (State.CREATED, "upload"), (State.CONFIRMED, "status"), (State.COMPLETED, "link")],
)
def test_an_order_whose_entry_is_lost_keeps_its_texts_and_is_paid_once(begin: Open, state: State, step: str) -> None:
    shop, service = begin(watermark=TWO)
    assert shop.service.reads == "v3"  # has been asked, so that the fault befalls the order
    service.faults.add(step, "answer", status=503)
    shop.drop(NAME)
    shop.work(lambda: shop.has(state) and shop.order().failures)
    before = [result.text for _, result in shop.order().results]
    service.look_seconds = 0
    shop.lose_entry()
    shop.to_the_end()
    assert_issued_once(shop, service, NAME, "dpa", "afp")
    assert sorted(line["text"] for line in ledger(shop)) == sorted(before)


@pytest.mark.parametrize(("code", "wait"), [("ORDER_TIMEOUT", 400.0), ("WATERMARK_FILE_CORRUPTED", 0.0)])
def test_a_copy_that_was_ordered_twice_still_says_whose_it_is(begin: Open, code: str, wait: float) -> None:
    """The service tells no text that it knows twice: what an order that failed has left there may count."""
    shop, service = begin(watermark=TWO)
    service.faults.add("upload", "fail", times=2, code=code)
    for name, content in (("a.jpg", PICTURE), ("b.jpg", OTHER)):
        shop.drop(name, content)
    shop.work(lambda: len(service.orders) == 1 and not shop.has(State.CONFIRMED))
    shop.pass_time(wait)
    shop.to_the_end()
    assert len(service.orders) > 1
    assert len(ledger(shop)) == 4
    for line in ledger(shop):
        original = shop.folder("originals") / line["file"].rpartition("/")[2]
        assert found_in(service, shop.folder("outbox") / line["file"], original.read_bytes()) == line["text"]
    assert service.credits["watermarkEmbed"] == 4


def test_a_folder_that_takes_nothing_keeps_back_its_own_copies_only(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin(watermark=TWO)
    let_in = closing_a_sub_folder(monkeypatch, "dpa/Ferien")
    shop.drop(NAME)
    shop.work(lambda: shop.files("outbox") and shop.order().last_error)
    assert shop.files("outbox") == [f"afp/{NAME}"]
    assert shop.files("originals") == []
    assert [each.file.recipient for each in history.deliveries(shop.journal.orders(), shop.config.state_dir)] == ["afp"]
    let_in()
    shop.pass_time(3600.0)
    shop.to_the_end()
    assert_issued_once(shop, service, NAME, "dpa", "afp")


@pytest.mark.parametrize("comes_late", [False, True])
def test_no_copy_comes_to_lie_in_another_recipients_folder(begin: Open, comes_late: bool) -> None:
    shop, service = begin(watermark=TWO | {"recipients": ["dpa", "dpa (2)"]})
    in_the_way = shop.folder("outbox") / "dpa"
    if comes_late:
        shop.drop(NAME)
        shop.work(lambda: shop.has(State.CONFIRMED))
    in_the_way.write_text("somebody's own")
    if comes_late:
        shop.work(lambda: shop.order().last_error)
        assert shop.files("outbox") == ["dpa", f"dpa (2)/{NAME}"]
    else:
        shop.drop(NAME)
        shop.to_the_end()
        assert (shop.files("inbox"), service.orders) == ([NAME], {})
    in_the_way.unlink()
    shop.pass_time(3600.0)
    shop.to_the_end()
    assert_issued_once(shop, service, NAME, "dpa", "dpa (2)")


def test_a_picture_that_goes_back_does_not_become_another_recipients(begin: Open) -> None:
    shop, service = begin(watermark={"text": "{recipient} {serial}", "recipients": "folder"})
    service.faults.add("create", "answer", times=None, status=500)
    shop.drop("dpa/a.jpg")
    shop.work(lambda: shop.has(State.CLAIMED))
    (shop.folder("inbox") / "dpa").rmdir()
    (shop.folder("inbox") / "dpa").write_text("somebody's own")
    shop.journal.advance(shop.order(), State.RELEASED)
    service.faults.clear()
    shop.work(lambda: shop.order().last_error)
    assert shop.files("outbox") == []

    (shop.folder("inbox") / "dpa").unlink()
    shop.pass_time(3600.0)
    shop.to_the_end()
    assert shop.files("outbox") == ["dpa/a.jpg", "watermarks.csv"]


def half_given_up(begin: Open, **settings: Any) -> tuple[Shop, Sandbox]:  # noqa: ANN401 - a YAML's values
    """Return a shop in which one of two copies was delivered, and the other one never came."""
    shop, service = begin(give_up_after_hours=1, **settings)
    service.faults.add("fetch", "answer", nth=2, times=None, status=500)
    shop.drop(NAME)
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    shop.journal.note(shop.order(), failing_seconds=3601.0)
    shop.clock.pass_time(3601)
    shop.to_the_end()
    service.faults.clear()
    service.look_seconds = 0
    assert len(shop.files("outbox")) == 2
    assert len(ledger(shop)) == 1
    return shop, service


def drop_again(shop: Shop) -> None:
    (shop.folder("quarantine") / f"{NAME}.why.txt").unlink()
    (shop.folder("inbox") / NAME).parent.mkdir(exist_ok=True)
    (shop.folder("quarantine") / NAME).rename(shop.folder("inbox") / NAME)
    shop.to_the_end()


@pytest.mark.parametrize("is_taken_out", [False, True])
def test_a_copy_that_was_missing_comes_when_the_picture_does(begin: Open, is_taken_out: bool) -> None:
    shop, service = half_given_up(begin, watermark=TWO)
    (first,) = (name for name in shop.files("outbox") if name != "watermarks.csv")
    taken_out = (shop.folder("outbox") / first).read_bytes()
    if is_taken_out:
        (shop.folder("outbox") / first).unlink()
    drop_again(shop)
    if is_taken_out:
        assert first not in shop.files("outbox")
        (shop.folder("outbox") / first).write_bytes(taken_out)
    assert_issued_once(shop, service, NAME, "dpa", "afp")


def test_in_another_order_they_are_the_same_recipients_and_pay_nothing(begin: Open) -> None:
    shop, service = half_given_up(begin, watermark=TWO)
    turned = shop.config.inboxes["photos"].watermark.model_copy(update={"recipients": ("afp", "dpa")})
    inbox = shop.config.inboxes["photos"].model_copy(update={"watermark": turned})
    shop.config = shop.config.model_copy(update={"inboxes": {"photos": inbox}})
    shop.live_again()
    drop_again(shop)
    assert_issued_once(shop, service, NAME, "dpa", "afp")


def test_for_other_recipients_the_same_picture_is_another_order(begin: Open) -> None:
    shop, service = half_given_up(begin, watermark=TWO)
    others = shop.config.inboxes["photos"].watermark.model_copy(update={"recipients": ("Reuters",)})
    inbox = shop.config.inboxes["photos"].model_copy(update={"watermark": others})
    shop.config = shop.config.model_copy(update={"inboxes": {"photos": inbox}})
    shop.live_again()
    drop_again(shop)
    assert f"Reuters/{NAME}" in shop.files("outbox")
    assert len({line["text"] for line in ledger(shop)}) == len(ledger(shop)) == 2
    assert service.credits["watermarkEmbed"] == 3


def test_a_restart_between_two_drops_repeats_no_serial(begin: Open) -> None:
    shop, _ = begin()
    for number in range(3):
        shop.drop(f"{number}.jpg")
        shop.to_the_end()
        shop.live_again()
    texts = [line["text"] for line in ledger(shop)]
    assert len(set(texts)) == 3
    assert len({text.partition("-")[0] for text in texts}) == 1


def deliver_and_keep_the_state(shop: Shop) -> dict[Path, bytes]:
    """Have one picture delivered; return what a backup of the state holds then."""
    shop.drop("a.jpg")
    shop.to_the_end()
    shop.close()
    older = {path: path.read_bytes() for path in shop.folder("state").rglob("*") if path.is_file()}
    shop.open()
    return older


def put_back_an_older_state(shop: Shop, older: dict[Path, bytes]) -> None:
    for path in shop.folder("state").rglob("*"):
        if path.is_file():
            path.unlink()
    for path, content in older.items():
        path.write_bytes(content)


@pytest.mark.parametrize("is_under_way", [False, True])
def test_an_older_state_that_was_put_back_repeats_no_serial(begin: Open, *, is_under_way: bool) -> None:
    """What was given out since stands in the table, or in an order that lies in its work folder."""
    shop, service = begin()
    older = deliver_and_keep_the_state(shop)
    shop.drop("b.jpg", OTHER)
    if is_under_way:
        service.faults.add("status", "answer", times=None, status=503)
        shop.work(lambda: shop.has(State.CONFIRMED) and shop.order().failures)
        service.faults.clear()
        service.look_seconds = 0
    else:
        shop.to_the_end()
    shop.close()
    put_back_an_older_state(shop, older)
    shop.open()
    shop.drop("c.jpg", sample("jpeg", width=40, height=30, seed=9))
    shop.to_the_end()
    texts = [line["text"] for line in ledger(shop)]
    assert len(set(texts)) == len(texts) == 3


@pytest.mark.parametrize("damage", [b'"', b'"' + bytes(200_000)])
def test_a_damaged_line_of_the_table_hides_no_serial_behind_it(begin: Open, damage: bytes) -> None:
    shop, _ = begin()
    older = deliver_and_keep_the_state(shop)
    shop.drop("b.jpg", OTHER)
    shop.to_the_end()
    (second,) = {line["text"] for line in ledger(shop) if line["file"] == "b.jpg"}
    shop.close()
    table = shop.folder("outbox") / "watermarks.csv"
    head, *lines = table.read_bytes().splitlines(keepends=True)
    table.write_bytes(b"".join([head, damage, *lines]))
    put_back_an_older_state(shop, older)
    shop.open()
    shop.drop("c.jpg", sample("jpeg", width=40, height=30, seed=9))
    shop.to_the_end()
    assert table.read_text("utf-8").count(second) == 1
