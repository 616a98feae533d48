"""The wall clock jumps, the machine sleeps: nothing waits for long, fails, is forgotten or is paid again."""

import pytest
from shop import FRESH, PICTURE, Open, Shop, move_back

from watchfolder.order import Order, State
from watchfolder.sandbox import Sandbox

HOUR, DAY, YEAR = 3600.0, 24 * 3600.0, 365 * 24 * 3600.0
JUMPS = pytest.mark.parametrize("jump", [-YEAR, -DAY, 30 * DAY, YEAR])
USUAL = {"give_up_after_hours": 1.0}


def fail_once(shop: Shop, service: Sandbox) -> Order:
    """Let an order fail, and wait half a minute for its next try."""
    service.faults.add("create", "answer", status=503)
    shop.drop("a.jpg")
    shop.work(lambda: shop.orders() and shop.order().failures)
    return shop.order()


def assert_delivered_soon(shop: Shop, service: Sandbox, *, seconds: float) -> None:
    """Let so much time pass, and no more: then it goes on. What it then waits for at the service is not at issue."""
    shop.clock.pass_time(seconds)
    shop.ahead = 0.0
    shop.work(lambda: shop.has(State.CONFIRMED) or shop.is_done())
    shop.ahead = FRESH
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg"]
    assert service.paid == 1


def give_up(shop: Shop, service: Sandbox) -> None:
    """Park a paid order: its result cannot be fetched for longer than the time that it is given."""
    refusal = service.faults.add("fetch", "truncated", times=None)
    shop.drop("a.jpg")
    shop.work(lambda: shop.orders() and shop.order().failures)
    shop.journal.note(shop.order(), failing_seconds=2 * HOUR, not_before=None)
    shop.work(lambda: shop.orders() and shop.order().state is State.QUARANTINED and shop.is_done())
    refusal.times = 0
    assert service.paid == 1


@JUMPS
def test_a_failed_order_is_due_in_time_though_the_clock_is_put_right(begin: Open, jump: float) -> None:
    shop, service = begin()
    fail_once(shop, service)
    shop.clock.set_wall(jump)
    assert_delivered_soon(shop, service, seconds=40.0)


@JUMPS
@pytest.mark.parametrize(("begins", "seconds"), [("restart", 40.0), ("reboot", 75 * 60.0)])  # after the longest wait
def test_a_failed_order_is_due_in_the_next_life_and_in_the_next_boot(
    begin: Open, jump: float, begins: str, seconds: float
) -> None:
    shop, service = begin()
    fail_once(shop, service)
    shop.close()
    shop.clock.set_wall(jump)
    getattr(shop.clock, begins)()
    shop.open()
    assert_delivered_soon(shop, service, seconds=seconds)


def test_what_was_put_off_is_due_when_the_machine_wakes(begin: Open) -> None:
    shop, service = begin()
    fail_once(shop, service)
    shop.clock.sleep(6 * DAY)
    assert_delivered_soon(shop, service, seconds=0.0)


@pytest.mark.parametrize("passes", ["sleep", "set_wall"])
def test_six_days_that_nobody_was_awake_are_not_six_days_of_failing(begin: Open, passes: str) -> None:
    shop, service = begin()
    service.faults.add("fetch", "truncated", times=2)
    shop.drop("a.jpg")
    shop.work(lambda: shop.orders() and shop.order().failures == 1)
    getattr(shop.clock, passes)(6 * DAY)
    shop.pass_time(60)
    shop.work(lambda: shop.orders() and shop.order().failures == 2)
    assert shop.order().failing_seconds < HOUR
    assert_delivered_soon(shop, service, seconds=80.0)


def test_doubt_gives_up_nothing_that_slept(begin: Open) -> None:
    shop, service = begin(max_files_per_order=1, orders_in_flight=1)
    for number in range(5):
        shop.drop(f"{number}_fail.jpg", PICTURE + bytes([number]))
    shop.work(lambda: doubted(shop))
    before = doubted(shop)
    shop.clock.sleep(6 * DAY)
    shop.pass_time(61)
    shop.work(lambda: doubted(shop) - before)
    assert len(service.orders) == 6
    assert len(shop.files("quarantine")) == 2 * 4


def doubted(shop: Shop) -> set[str]:
    """Return what has failed while everything did, and is kept until the next try."""
    return {order.key for order in shop.orders() if order.doubted_seconds is not None and order.state is State.CLAIMED}


@JUMPS
def test_an_order_under_way_is_looked_at_as_often_as_ever(begin: Open, jump: float) -> None:
    shop, service = begin({"processing_seconds": 1000.0})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    shop.clock.set_wall(jump)
    looks = 0
    for _ in range(20):  # five minutes in steps of fifteen seconds
        shop.clock.pass_time(15.0)
        before = service.requests_by_operation().get("status", 0)
        shop.beat()
        shop.rest()
        looks += service.requests_by_operation().get("status", 0) > before
    assert looks >= 10
    assert shop.order().last_error == ""  # nor is it called overdue
    assert not shop.pipeline.admission.is_closed_to("anti-ai")


@pytest.mark.parametrize("goes_on", ["at once", "in the next life", "in the next boot"])
@JUMPS
def test_a_parked_order_is_taken_up_again_whatever_the_date(begin: Open, jump: float, goes_on: str) -> None:
    shop, service = begin()
    give_up(shop, service)
    shop.clock.set_wall(jump)
    shop.beat()
    if goes_on != "at once":
        shop.close()
        if goes_on == "in the next boot":
            shop.clock.reboot()
        shop.open()
    move_back(shop)
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg"]
    assert service.paid == 1
    assert service.requests_by_operation()["create"] == 1


def test_a_parked_order_is_bought_again_only_once_it_is_gone(begin: Open) -> None:
    shop, service = begin()
    give_up(shop, service)
    service.forget(*service.orders)
    move_back(shop)
    shop.work(lambda: shop.orders() and shop.order().missing_since)
    shop.clock.pass_time(601)
    shop.to_the_end()
    assert service.paid == 1
    assert "no longer has it" in (shop.folder("quarantine") / "a.jpg.why.txt").read_text()
    move_back(shop)
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg"]
    assert service.paid == 2


@pytest.mark.parametrize("between", ["one life", "two lives", "two blind lives", "two boots"])
def test_gone_is_believed_after_ten_minutes_awake_not_by_the_wall_clock(begin: Open, between: str) -> None:
    shop, service = begin({"processing_seconds": 600.0, "look_seconds": 0})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    service.forget(str(shop.order().order_id))
    shop.work(lambda: shop.order().missing_since)
    shop.clock.set_wall(YEAR)
    if between != "one life":
        shop.close()
        if between == "two boots":
            shop.clock.reboot()
        else:
            shop.clock.restart(is_blind=between == "two blind lives")
        shop.open()
    for _ in range(9):
        shop.clock.pass_time(60.0)
        shop.beat()
        shop.rest()
    assert shop.has(State.CONFIRMED)
    shop.clock.pass_time(61.0)
    shop.to_the_end()
    assert "no longer has it" in (shop.folder("quarantine") / "a.jpg.why.txt").read_text()
    assert service.paid == 1
