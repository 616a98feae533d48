"""Files that another program keeps to itself for a while: they are waited for, and nothing else is."""

import errno
from pathlib import Path
from typing import BinaryIO

import pytest
from holding import leased
from shop import OTHER, PICTURE, Open, Shop, told, work_place

from watchfolder import disk
from watchfolder.order import Order, State
from watchfolder.pipeline import upload
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample
from watchfolder.work import ORDER_COPY

USUAL = {"kept": {"look_seconds": 0}}


def claimed(shop: Shop, service: Sandbox, *names: str) -> Order:
    """Drop pictures, and bring their order as far as to its claim."""
    service.faults.add("create", "answer", times=None, status=503)
    for seed, name in enumerate(names):
        shop.drop(name, sample("jpeg", width=40, height=30, seed=seed))
    shop.work(lambda: shop.has(State.CLAIMED) and shop.order().failures)
    service.faults.clear()
    shop.pass_time(60)
    return shop.order()


def test_a_claimed_file_that_another_program_holds_is_waited_for(begin: Open, caplog: pytest.LogCaptureFixture) -> None:
    shop, service = begin(api={"reads": "v3"})
    order = claimed(shop, service, "a.jpg")
    with leased(work_place(shop, order, "a.jpg")):
        shop.work(lambda: shop.has(State.CREATED) and shop.order().failures > order.failures)
        assert disk.HELD in shop.order().last_error
        assert told(caplog, "order.step_broke") == told(caplog, "inbox.waits") == []
        assert shop.intake.health.is_open
        shop.drop("b.jpg", OTHER)
        shop.intake.nudge("b.jpg")
        shop.work(lambda: shop.files("outbox") == ["b.jpg"])
    shop.pass_time(120)
    shop.to_the_end()
    assert shop.files("outbox") == shop.files("originals") == ["a.jpg", "b.jpg"]
    assert service.paid == 2
    assert len(service.orders) == 2


def test_a_claimed_file_that_is_held_keeps_none_of_its_order_waiting(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3"})
    names = [f"{number}.jpg" for number in range(12)]
    order = claimed(shop, service, *names)
    with leased(work_place(shop, order, "0.jpg")):
        shop.work(lambda: shop.order().failures > order.failures)
        assert [file.name for file in shop.order().files if not file.is_uploaded] == ["0.jpg"]
    shop.pass_time(120)
    shop.to_the_end()
    assert shop.files("outbox") == sorted(names)
    assert service.paid == 12


def give_the_picture_a_bad_sector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the disk read no file of the size of `PICTURE`, once it is claimed."""
    digested = upload._hash

    def unreadable(opened: BinaryIO, size: int) -> tuple[BinaryIO, str, bytes]:
        if size == len(PICTURE):
            raise OSError(errno.EIO, "Input/output error")
        return digested(opened, size)

    monkeypatch.setattr(upload, "_hash", unreadable)


def test_a_claimed_file_with_a_bad_sector_closes_no_inbox(
    begin: Open, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, _ = begin(api={"reads": "v3"})
    give_the_picture_a_bad_sector(monkeypatch)
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CREATED) and shop.order().failures)
    assert "a.jpg: the disk reports errors" in shop.order().last_error
    assert told(caplog, "order.step_broke") == []
    assert shop.intake.health.is_open


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_claimed_file_that_cannot_be_read_for_days_is_quarantined(
    begin: Open, monkeypatch: pytest.MonkeyPatch, *, is_alone: bool
) -> None:
    shop, service = begin(api={"reads": "v3"})
    give_the_picture_a_bad_sector(monkeypatch)
    names = ["a.jpg"] if is_alone else ["a.jpg", "b.jpg", "c.jpg"]
    for number, name in enumerate(names):
        shop.drop(name, PICTURE if name == "a.jpg" else sample("jpeg", width=40, height=30, seed=number))
    for _ in range(8):  # far less than 120 hours, which pass only once the file stands alone
        shop.work(lambda: shop.orders() and not shop.pipeline.running())
        shop.pass_time(3600.0)
        shop.beat()
        shop.rest()
    shop.work(lambda: shop.files("outbox") == names[1:])
    assert shop.files("quarantine") == []
    assert shop.intake.health.is_open
    shop.journal.note(shop.order(), failing_seconds=1e9, not_before=None)
    shop.to_the_end()
    assert shop.files("quarantine") == ["a.jpg", "a.jpg.why.txt"]
    assert (shop.folder("quarantine") / "a.jpg").read_bytes() == PICTURE
    assert "the disk reports errors" in (shop.folder("quarantine") / "a.jpg.why.txt").read_text().lower()
    assert shop.orders() == ()
    assert service.paid == len(names) - 1


def test_an_order_whose_copy_is_held_is_rebuilt_later_and_not_paid_again(begin: Open) -> None:
    shop, service = begin(api={"reads": "v3"})
    service.faults.add("status", "answer", times=None, status=503)
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED) and shop.order().failures)
    copy = work_place(shop, shop.lose_entry(), ORDER_COPY)
    service.faults.clear()
    with leased(copy):
        shop.beat()
        assert not shop.intake.health.is_open
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg"]
    assert len(service.orders) == service.paid == 1


def reusing(begin: Open) -> tuple[Shop, Sandbox, Path]:
    """Deliver a picture, and return where its result lies."""
    shop, service = begin(api={"reads": "v3"}, duplicates="reuse")
    shop.drop("a.jpg")
    shop.to_the_end()
    return shop, service, shop.folder("outbox") / "a.jpg"


def test_a_delivered_picture_that_somebody_looks_at_is_reused_later(begin: Open) -> None:
    shop, service, delivered = reusing(begin)
    with leased(delivered):
        shop.drop("b.jpg")
        shop.work(lambda: shop.has(State.MATCHED) and shop.order().failures)
        assert disk.HELD in shop.order().last_error
    shop.pass_time(60)
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg", "b.jpg"]
    assert service.paid == 1


def test_a_delivered_picture_that_is_held_for_long_keeps_no_other_waiting(begin: Open) -> None:
    shop, service, delivered = reusing(begin)
    with leased(delivered):
        shop.drop("b.jpg")
        for failures in range(1, 4):
            shop.work(lambda: [order.failures for order in shop.orders()] == [failures])  # noqa: B023 - asked at once
            shop.pass_time(600)
        shop.work(lambda: shop.files("outbox") == ["a.jpg", "b.jpg"])
    assert service.paid == 2
