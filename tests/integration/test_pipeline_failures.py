"""What the service fails: what may pass is ordered again, and what does not is told in our words."""

from typing import Any

import pytest
from shop import OTHER, PICTURE, Open, Shop

from watchfolder import disk
from watchfolder.api.failures import FAILURES, OF_THE_FILE
from watchfolder.errors import FolderFault, SlowDown
from watchfolder.order import State
from watchfolder.pipeline import timing
from watchfolder.publish import Publisher
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.orders import SENTENCES

PASSING = [code for code, known in FAILURES.items() if known.tries > 1]
PAUSES = (300.0, 900.0, 2700.0)
USUAL = {"kept": {"look_seconds": 0}, "api": {"reads": "v3"}}


def fail(service: Sandbox, code: str, times: int | None = None) -> None:
    service.faults.add("confirm", "fail", code=code, times=times)


def note_of(shop: Shop, name: str) -> str:
    return (shop.folder("quarantine") / f"{name}.why.txt").read_text(encoding="utf-8")


def wait_for_order(shop: Shop, service: Sandbox, number: int) -> None:
    """Let so many orders have been made, and the last one wait for its turn."""
    shop.work(lambda: len(service.orders) == number and shop.has(State.CLAIMED) and shop.order().reordered == number)


def test_every_code_that_the_service_can_tell_has_a_sentence_and_advice_of_ours() -> None:
    assert set(SENTENCES) <= set(FAILURES)
    for code, known in FAILURES.items():
        assert known.reason.isascii(), code
        assert known.reason.endswith("."), code
        assert known.advice.endswith("."), code


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (FolderFault("away", code="EIO"), timing.FOLDER_BACKOFF_SECONDS),
        (SlowDown("too many", retry_after_seconds=7.0), 7.0),
        (SlowDown("too many"), timing.FIRST_POLL_SECONDS),
        (RuntimeError("ours"), timing.FIRST_BACKOFF_SECONDS),
    ],
)
def test_a_fault_that_is_not_the_orders_puts_it_off_for_a_time_of_its_own(
    begin: Open, error: Exception, seconds: float
) -> None:
    shop, _ = begin({"processing_seconds": 3600.0})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    agenda, now = shop.pipeline._agenda, shop.clock.elapsed()
    agenda.put_off(shop.order().key, error)
    assert agenda.plan(now, ()).next_at == pytest.approx(now + seconds, abs=1.0)


@pytest.mark.parametrize("code", PASSING)
def test_what_may_pass_is_ordered_again_and_delivered(begin: Open, code: str) -> None:
    shop, service = begin()
    fail(service, code, times=2)
    shop.drop("a.jpg")
    for number, pause in enumerate(PAUSES[:2], 1):
        wait_for_order(shop, service, number)
        assert shop.order().last_error == FAILURES[code].reason
        shop.pass_time(pause * 1.26)
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg"]
    assert shop.files("quarantine") == []
    assert len({order.idempotency_key for order in service.orders.values()}) == 3
    assert service.sins == []


def test_what_does_not_pass_after_an_hour_goes_to_quarantine(begin: Open) -> None:
    shop, service = begin()
    fail(service, "ORDER_TIMEOUT")
    shop.drop("a.jpg")
    for number, pause in enumerate(PAUSES, 1):
        wait_for_order(shop, service, number)
        shop.ahead = pause * 0.5  # anew for each pause, which began now
        for _ in range(20):
            shop.beat()
        shop.rest()
        assert len(service.orders) == number  # not before its time
        shop.ahead = pause * 1.26
    shop.to_the_end()
    assert len(service.orders) == 4
    assert FAILURES["ORDER_TIMEOUT"].reason in note_of(shop, "a.jpg")


def test_an_order_of_many_that_may_pass_is_ordered_again_whole(begin: Open) -> None:
    shop, service = begin()
    fail(service, "ORDER_TIMEOUT", times=1)
    for number in range(9):
        shop.drop(f"{number}.jpg", PICTURE + bytes([number]))
    wait_for_order(shop, service, 1)
    shop.pass_time(PAUSES[0] * 1.26)
    shop.to_the_end()
    assert len(shop.files("outbox")) == 9
    assert [len(order.files) for order in service.orders.values()] == [9, 9]


def test_the_pause_before_an_order_is_made_again_outlives_a_restart(begin: Open) -> None:
    shop, service = begin()
    fail(service, "ORDER_TIMEOUT", times=1)
    shop.drop("a.jpg")
    wait_for_order(shop, service, 1)
    shop.live_again()
    for _ in range(20):
        shop.beat()
    assert len(service.orders) == 1
    shop.pass_time(PAUSES[0] * 1.26)
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg"]


def test_while_one_waits_to_be_ordered_again_others_are_taken(begin: Open) -> None:
    shop, service = begin(orders_in_flight=1)
    fail(service, "ORDER_TIMEOUT", times=1)
    shop.drop("a.jpg")
    wait_for_order(shop, service, 1)
    shop.drop("b.jpg", OTHER)
    shop.work(lambda: shop.files("outbox") == ["b.jpg"])


def test_a_service_that_times_out_on_everything_is_not_sent_ever_more(begin: Open) -> None:
    shop, service = begin(max_files_per_order=1)
    fail(service, "ORDER_TIMEOUT")
    for number in range(30):
        shop.drop(f"{number:02}.jpg", PICTURE + bytes([number]))
    shop.work(lambda: shop.pipeline.breaker.is_open("anti-ai"))
    for _ in range(50):
        shop.beat()
    shop.rest()
    assert len(service.orders) <= 5 + 8 + 1  # five tell, others were under way, and one is tried
    assert shop.files("quarantine") == []


def test_a_fault_that_passes_leaves_no_inbox_closed_for_want_of_room(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin()
    service.faults.add("fetch", "answer", times=1, status=503)
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    outbox, room_in, receive = str(shop.folder("outbox")), disk.room_in, Publisher.receive
    full = room_in(outbox)._replace(free=100)  # a delivery fits yet
    monkeypatch.setattr(disk, "room_in", lambda path: full if path == outbox else room_in(path))
    failed = list[str]()

    def fail_once(*given: Any, **facts: Any) -> Any:  # noqa: ANN401 - whatever it takes
        if not failed:
            failed.append(outbox)
            raise FolderFault.at(outbox, "input/output error", code="EIO")
        return receive(*given, **facts)

    monkeypatch.setattr(Publisher, "receive", fail_once)
    shop.pass_time(60)
    shop.work(lambda: shop.files("outbox") == ["a.jpg"])
    assert failed


def test_a_service_that_fails_every_picture_holds_up_no_other_service(begin: Open) -> None:
    marked = {"service": "watermark-embed", "watermark": {"text": "{stem}"}}
    shop, service = begin(inboxes=("plain", "marked"), own={"marked": marked}, orders_in_flight=2)
    fail(service, "PROCESSING_ERROR")
    for number in range(8):
        shop.drop(f"{number}.jpg", PICTURE + bytes([number]), inbox="plain/inbox")
    shop.work(lambda: shop.pipeline.breaker.is_open("anti-ai"))
    shop.drop("a.jpg", OTHER, inbox="marked/inbox")
    shop.drop("b.jpg", PICTURE, inbox="marked/inbox")
    shop.work(lambda: {"a.jpg", "b.jpg"} <= set(shop.files("marked/outbox")))
    assert shop.pipeline.breaker.is_open("anti-ai")  # which the other one's success does not end


@pytest.mark.parametrize("code", OF_THE_FILE)
def test_the_files_own_fault_is_told_in_our_words(begin: Open, code: str) -> None:
    shop, service = begin()
    fail(service, code)
    shop.drop("a.jpg")
    shop.to_the_end()
    what, _, support = note_of(shop, "a.jpg").partition("For support:")
    assert FAILURES[code].reason in what
    assert FAILURES[code].advice in what
    assert SENTENCES[code] not in what
    assert SENTENCES[code] in support
    assert code in support
    assert len(service.orders) == 1


def test_any_number_of_files_at_fault_casts_no_doubt_on_the_service(begin: Open) -> None:
    shop, service = begin(max_files_per_order=1)
    fail(service, "WATERMARK_IMAGE_COLOR_MODE_UNSUPPORTED")
    for number in range(12):
        shop.drop(f"{number:02}.jpg", PICTURE + bytes([number]))
    shop.to_the_end()
    assert len(shop.files("quarantine")) == 2 * 12
    assert len(service.orders) == 12


@pytest.mark.parametrize("code", ["", "SOMETHING_NEW"])
def test_an_unknown_code_or_none_is_a_failure_as_any(begin: Open, code: str) -> None:
    shop, service = begin()
    fail(service, code)
    shop.drop("a.jpg")
    shop.to_the_end()
    assert FAILURES["PROCESSING_ERROR"].reason in note_of(shop, "a.jpg")
    assert (code or "FAILED") in note_of(shop, "a.jpg")
    assert len(service.orders) == 1


def die_three_times_over_one_order(shop: Shop, service: Sandbox) -> None:
    """Drop one more picture, and die over the order of all before it is made; then go on to the end."""
    service.faults.add("create", "answer", times=None, status=503)
    shop.drop("a.jpg")
    shop.work(lambda: shop.orders() and shop.order().failures)
    for _ in range(3):
        shop.die_over_its_order()
    service.faults.clear()
    shop.pass_time(timing.LONGEST_BACKOFF_SECONDS)
    shop.to_the_end()


def test_an_order_over_which_it_dies_three_times_is_split_and_paid_once(begin: Open) -> None:
    shop, service = begin()
    shop.drop("b.jpg", OTHER)
    die_three_times_over_one_order(shop, service)
    assert shop.files("outbox") == ["a.jpg", "b.jpg"]
    assert sorted(order.files for order in service.orders.values()) == [("a.jpg",), ("b.jpg",)]
    assert service.paid == 2


def test_a_picture_over_which_it_dies_three_times_by_itself_is_given_up(begin: Open) -> None:
    shop, service = begin()
    die_three_times_over_one_order(shop, service)
    assert shop.files("quarantine") == ["a.jpg", "a.jpg.why.txt"]
    said = (shop.folder("quarantine") / "a.jpg.why.txt").read_text()
    assert "What happened: Watchfolder died 3 times while it worked on this picture." in said
    assert service.orders == {}
