"""One order, one share or one suspect that cannot go on is no reason for the others to stand still."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from shop import OTHER, PICTURE, Open, Shop

from watchfolder.config import Inbox
from watchfolder.order import Order, State
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample


def an_hour_older(shop: Shop, order: Order) -> Order:
    return shop.journal.note(order, times={state: moment.after(-3600) for state, moment in order.times.items()})


def beats(shop: Shop) -> None:
    """Beat so often that whatever may be done now is begun, and let it end."""
    for _ in range(20):
        shop.beat()
        shop.rest()


# --- one order that keeps failing


def fail_alone(shop: Shop, times: int) -> None:
    """Let the one order fail so often, and then wait for long."""
    for failures in range(1, times + 1):
        shop.work(lambda count=failures: shop.orders() and shop.order().failures >= count)  # type: ignore[misc]  # mypy and defaults
        shop.journal.note(shop.order(), not_before=None)
    shop.journal.put_off(shop.order(), 3600)


@pytest.mark.parametrize("does", ["truncated", "same_bytes", "html"])
def test_one_order_whose_result_is_never_right_is_no_outage_and_stops_no_other(begin: Open, does: str) -> None:
    shop, service = begin()
    fault = service.faults.add("fetch", does, times=None)
    shop.drop("bad.jpg")
    fail_alone(shop, 4)
    assert not shop.pipeline.breaker.is_down
    fault.times = 0  # for the others
    shop.drop("good.jpg", OTHER)
    shop.work(lambda: "good.jpg" in shop.files("outbox"))


def test_an_order_whose_result_is_never_right_is_given_up_in_a_quiet_house(begin: Open) -> None:
    shop, service = begin(give_up_after_hours=1.0)
    service.faults.add("fetch", "same_bytes", times=None)
    shop.drop("a.jpg")
    fail_alone(shop, 1)
    shop.live_again()  # in this life nothing succeeds
    shop.clock.pass_time(7200)
    shop.work(lambda: shop.files("quarantine"))
    assert "It failed for 1 h. Last: " in (shop.folder("quarantine") / "a.jpg.why.txt").read_text()


def test_one_order_that_always_fails_delays_the_others_an_hour_at_most(begin: Open) -> None:
    shop, service = begin()
    fault = service.faults.add("status", "answer", status=500, times=None)
    shop.drop("bad.jpg")
    fail_alone(shop, 3)
    assert shop.pipeline.breaker.is_down
    fault.times = 0  # for the others
    shop.drop("good.jpg", OTHER)
    beats(shop)
    assert shop.files("inbox") == ["good.jpg"]
    an_hour_older(shop, shop.order())
    shop.work(lambda: "good.jpg" in shop.files("outbox"))
    assert not shop.pipeline.breaker.is_down


# --- one share that is away


def take_away(shop: Shop, inbox: str, how: str) -> None:
    if how == "silent":  # as the inbox's health says when a folder does not answer
        shop.pipeline.runtimes[inbox].health.is_silent = True
        return
    os.rename(shop.top / inbox / "inbox", shop.top / inbox / "away")
    os.mkdir(shop.top / inbox / "inbox")

    def is_closed() -> bool:
        shop.pass_time(30)
        return not shop.intakes[inbox].health.is_open

    shop.work(is_closed)


@pytest.mark.parametrize("how", ["gone", "silent"])
@pytest.mark.parametrize(
    ("operation", "refusal"),
    [
        ("any", {"status": 503}),
        ("create", {"status": 429, "code": "USAGE_NOT_ENOUGH"}),
        ("confirm", {"status": 429, "code": "USAGE_NOT_ENOUGH"}),
        ("any", {"status": 401, "code": "AUTH_TOKEN_EXPIRED"}),
    ],
    ids=["outage", "no credits for a create", "no credits for a confirm", "key"],
)
def test_a_share_that_goes_while_the_service_refuses_shuts_no_other_inbox_out(
    begin: Open, operation: str, refusal: dict[str, Any], how: str
) -> None:
    shop, service = begin(inboxes=("a", "b"))
    service.faults.add(operation, "answer", times=None, **refusal)
    shop.drop("one.jpg", inbox="a/inbox")
    if "code" not in refusal:
        fail_alone(shop, 3)
    shop.work(lambda: shop.pipeline.admission.is_closed_to("anti-ai"))
    take_away(shop, "a", how)
    shop.journal.put_off(shop.order(), 24 * 3600)
    service.faults.clear()
    shop.drop("two.jpg", OTHER, inbox="b/inbox")
    shop.pass_time(90)  # longer than until the next probe
    shop.work(lambda: shop.files("b/outbox") == ["two.jpg"])
    assert not shop.pipeline.admission.is_closed_to("anti-ai")


def begin_with_failures_of_one_and_two(begin: Open) -> tuple[Shop, Sandbox]:
    """Open a shop whose service has failed an order of one picture in `a` and one of two in `b`, and still would."""
    shop, service = begin(inboxes=("a", "b"), api={"reads": "v3"})
    service.faults.add("create", "answer", times=None, status=503)
    shop.drop("lone.jpg", inbox="a/inbox")
    for number in (1, 2):
        shop.drop(f"{number}.jpg", sample("jpeg", width=40, height=30, seed=number), inbox="b/inbox")
    shop.work(lambda: sorted(order.failures for order in shop.orders()) == [1, 1])
    return shop, service


@pytest.mark.parametrize("how", ["gone", "silent"])
def test_no_doubt_waits_for_a_picture_on_a_share_that_is_away(begin: Open, how: str) -> None:
    shop, service = begin_with_failures_of_one_and_two(begin)
    take_away(shop, "a", how)
    lone, many = sorted(shop.orders(), key=lambda order: len(order.files))
    assert (len(lone.files), len(many.files)) == (1, 2)
    shop.journal.put_off(lone, 24 * 3600)
    shop.journal.note(many, not_before=None)
    service.faults.clear()
    shop.doubt_service()
    shop.work(lambda: shop.files("b/outbox") == ["1.jpg", "2.jpg"])


# --- one suspect, during whose step the process died twice


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Shop, str], None]]:
    """Let the steps of an inbox hang from now on, and say so as the inbox's health does."""
    answers = threading.Event()

    def begin_to(shop: Shop, inbox: str) -> None:
        require = shop.folders.require

        def wait(asked: Inbox) -> None:
            if asked.name == inbox and threading.current_thread().name.startswith("step-"):
                hung.set()
                assert answers.wait(60)
            require(asked)

        hung = threading.Event()
        monkeypatch.setattr(shop.folders, "require", wait)
        shop.pass_time(40)  # a suspect is tried once its life has lasted
        shop.beat_until(hung.is_set, takes=False)
        shop.pipeline.runtimes[inbox].health.is_silent = True

    yield begin_to
    answers.set()


def put_off(shop: Shop, inbox: str, name: str, content: bytes, service: Sandbox, *, deaths: int) -> Order:
    """Bring an order as far as its create, which fails once, and let it have died there so often."""
    service.faults.add("create", "answer", status=503)
    shop.drop(name, content, inbox=inbox)
    shop.work(lambda: any(order.failures and order.files[0].name == name for order in shop.orders()))
    (order,) = (order for order in shop.orders() if order.files[0].name == name)
    return shop.journal.note(order, deaths=deaths, not_before=None)


def test_a_suspect_that_waits_for_credits_keeps_no_paid_picture_waiting(begin: Open) -> None:
    shop, service = begin(max_files_per_order=1)
    looking = service.faults.add("status", "answer", status=503, times=None)
    shop.drop("paid.jpg")
    shop.work(lambda: shop.orders() and shop.order().failures)
    put_off(shop, "inbox", "new.jpg", OTHER, service, deaths=2)
    service.faults.add("create", "answer", times=None, status=429, code="USAGE_NOT_ENOUGH")
    looking.times = 0
    shop.live_again()
    shop.pass_time(40)
    shop.work(lambda: shop.pipeline.breaker.refusal is not None)  # the suspect alone has asked
    shop.work(lambda: shop.files("outbox") == ["paid.jpg"])
    assert [order.deaths for order in shop.orders()] == [2]


def test_a_suspect_on_a_hung_share_holds_up_nobody_and_is_not_convicted(
    begin: Open, hang: Callable[[Shop, str], None]
) -> None:
    shop, service = begin(inboxes=("a", "b"))
    suspect = put_off(shop, "a/inbox", "one.jpg", PICTURE, service, deaths=2)
    hang(shop, "a")
    assert os.listdir(shop.folder("state") / "running") == [suspect.key]
    shop.drop("two.jpg", OTHER, inbox="b/inbox")
    shop.beat_until(lambda: shop.files("b/outbox") == ["two.jpg"])
    assert suspect.key not in os.listdir(shop.folder("state") / "running")


def test_a_step_that_hangs_on_a_share_keeps_no_suspect_of_another_inbox_waiting(
    begin: Open, hang: Callable[[Shop, str], None]
) -> None:
    shop, service = begin(inboxes=("a", "b"))
    hung = put_off(shop, "a/inbox", "one.jpg", PICTURE, service, deaths=0)
    hang(shop, "a")
    service.faults.add("create", "answer", status=503)
    shop.drop("two.jpg", OTHER, inbox="b/inbox")
    shop.beat_until(lambda: any(order.failures for order in shop.journal.orders("b")))
    (suspect,) = shop.journal.orders("b")
    while shop.pipeline.running() > 1:  # without a beat, in which it would begin anew
        time.sleep(0.005)
    shop.journal.note(suspect, deaths=2, not_before=None)
    shop.beat_until(lambda: shop.files("b/outbox") == ["two.jpg"])
    assert hung.key not in os.listdir(shop.folder("state") / "running")


def test_a_suspect_and_a_lone_picture_do_not_wait_for_each_other(begin: Open) -> None:
    shop, service = begin_with_failures_of_one_and_two(begin)
    for order in shop.orders():
        shop.journal.note(order, not_before=None, deaths=2 if len(order.files) == 2 else 0)
    service.faults.clear()
    shop.doubt_service()
    shop.pass_time(40)
    shop.work(lambda: shop.files("b/outbox") == ["1.jpg", "2.jpg"])
    assert shop.files("a/outbox") == ["lone.jpg"]


def test_a_plan_names_one_suspect_at_a_time_and_none_beside_another_step(begin: Open) -> None:
    shop, service = begin(max_files_per_order=1)
    service.faults.add("create", "answer", times=None, status=503)
    for number in range(3):
        shop.drop(f"{number}.jpg", sample("jpeg", width=40, height=30, seed=number))
    shop.work(lambda: [order.failures for order in shop.orders()] == [1, 1, 1])
    for order, deaths in zip(shop.orders(), (0, 2, 2), strict=True):
        shop.journal.note(order, not_before=None, deaths=deaths)
    other, *suspects = shop.orders()
    plan, now = shop.pipeline._agenda.plan, shop.clock.elapsed() + 40.0  # a suspect is tried once its life has lasted
    assert plan(now, ()).ready == suspects[:1]
    assert plan(now, {other.key}).ready == []
    assert plan(now, {suspects[0].key}).ready == []
    assert plan(now - 40.0, ()).ready == [other]


# --- orders that the service never ends


def at_work(shop: Shop, service: Sandbox, count: int) -> tuple[Order, ...]:
    """Fill the slots with orders that the service is at work on, for ever."""
    for number in range(count):
        shop.drop(f"stuck{number}.jpg", sample("jpeg", width=30, height=30, seed=number))
    shop.work(lambda: service.paid == count)
    beats(shop)
    assert {order.state for order in shop.orders()} == {State.CONFIRMED}
    return shop.orders()


def test_orders_that_the_service_never_ends_make_room_one_after_the_other(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 1e9, "look_seconds": 0}, orders_in_flight=2, max_files_per_order=1)
    at_work(shop, service, 2)
    shop.drop("new.jpg", OTHER)
    beats(shop)
    assert shop.files("inbox") == ["new.jpg"]
    for order in shop.orders():
        an_hour_older(shop, order)
    shop.work(lambda: service.paid == 3)
    assert shop.files("inbox") == []
    shop.drop("newer.jpg", PICTURE)
    beats(shop)
    assert shop.files("inbox") == ["newer.jpg"]  # where nothing ends, ever less is bought
    for order in shop.orders()[:2]:
        an_hour_older(shop, order)
    shop.work(lambda: service.paid == 4)


@pytest.mark.parametrize("count", [1, 4])
def test_an_order_that_takes_long_is_told_once(begin: Open, count: int, caplog: pytest.LogCaptureFixture) -> None:
    shop, service = begin({"processing_seconds": 1e9, "look_seconds": 0}, max_files_per_order=1)
    for order in at_work(shop, service, count):
        assert order.last_error == ""
        an_hour_older(shop, order)
    shop.pass_time(3600)
    shop.work(lambda: all(order.last_error for order in shop.orders()))
    asked = len(service.requests)
    shop.pass_time(3600)
    shop.work(lambda: len(service.requests) > asked)
    told = [record.msg for record in caplog.records if record.msg == "order.overdue"]
    assert len(told) == count
    assert all("more than an hour" in order.last_error for order in shop.orders())
    assert (service.requests_by_operation().get("list", 0) > 0) == (count == 4)
