"""A service and a journal that do not agree: asked ever more rarely, paid once, and told as what it is."""

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from pydantic import SecretStr
from shop import OTHER, Open, Shop, give_up

from watchfolder.order import State
from watchfolder.pipeline import timing
from watchfolder.report import status
from watchfolder.sandbox import Dialect, Sandbox
from watchfolder.sandbox.pictures import sample

USUAL = {"kept": {"look_seconds": 0}}


def drop(shop: Shop, count: int) -> list[str]:
    names = [f"{number}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        shop.drop(name, sample("jpeg", width=40, height=30, seed=number))
    return names


def why(shop: Shop, name: str) -> str:
    return (shop.folder("quarantine") / f"{name}.why.txt").read_text()


def pauses(shop: Shop, tries: int) -> list[float]:
    """Let the one order be tried so often; return how long it waited after each try."""
    shop.ahead, found = 0.0, list[float]()
    for _ in range(tries):
        shop.work(lambda: shop.orders() and pause(shop) > 0, takes=False)
        found.append(pause(shop))
        shop.clock.pass_time(found[-1])
    return found


def pause(shop: Shop) -> float:
    shop.rest()
    order = shop.order()
    dues = [shop.pipeline._polls.due_at(order), order.not_before.elapsed if order.not_before else 0.0]
    return max(dues) - shop.clock.elapsed()


# --- the journal is behind


@pytest.mark.parametrize("dialect", ["both", "v2"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("stays_before", "behind"), [("upload", State.CREATED), ("confirm", State.UPLOADED)])
@pytest.mark.parametrize("is_done", [True, False], ids=["complete there", "at work there"])
def test_an_order_that_is_further_at_the_service_is_adopted_where_it_is(
    begin: Open, dialect: Dialect, count: int, stays_before: str, behind: State, is_done: bool
) -> None:
    shop, service = begin({"dialect": dialect, "processing_seconds": 3600.0})
    service.faults.add(stays_before, "answer", status=503, times=None)
    names, orders = drop(shop, count), count if dialect == "v2" else 1
    shop.work(lambda: [order.state for order in shop.orders() if order.failures] == [behind] * orders)
    entries = {path: path.read_bytes() for path in (shop.folder("state") / "journal").glob("*.json")}
    service.faults.clear()
    shop.pass_time(60)
    shop.work(lambda: {order.state for order in shop.orders()} == {State.CONFIRMED})
    shop.close()
    for path, entry in entries.items():  # restored from a backup, or never synced by a disk that lied
        path.write_bytes(entry)
    for order in service._state.orders.values():
        order.processing_seconds = 0.0 if is_done else 1.0
    before = len(service.requests)
    shop.open()
    for waiting in shop.orders():
        shop.journal.note(waiting, not_before=None)
    shop.ahead = 60.0 if is_done else 0.0  # what is under way would be asked for without a pause
    shop.to_the_end()
    assert shop.files("outbox") == names
    assert set(service.paid_files.values()) == {1}
    assert len(service.orders) == len(entries)
    uploads = [each for each in list(service.requests)[before:] if each.operation == "upload"]
    assert uploads == []
    assert len(service.requests) - before <= 12 * len(entries)
    assert service.sins == []


# --- the service contradicts itself


CONTRADICTIONS = [
    ("confirm", 404, "ORDER_NOT_FOUND"),
    ("confirm", 404, "RESOURCE_NOT_FOUND"),
    ("confirm", 400, "ORDER_ALREADY_CONFIRMED"),
    ("confirm", 400, "ORDER_ALREADY_COMPLETED"),
    ("confirm", 400, "ORDER_EXPIRED"),
    ("confirm", 400, "ORDER_ALREADY_FAILED"),
    ("refresh", 400, "ORDER_NOT_PENDING"),
    ("refresh", 400, "ORDER_NOT_COMPLETED"),
    ("refresh", 404, "ORDER_NOT_FOUND"),
]


def contradict(shop: Shop, service: Sandbox, operation: str, status: int, code: str) -> None:
    """Let the service refuse the step to the order of one picture that it calls pending all the while."""
    service.faults.add(operation, "answer", times=None, status=status, code=code)
    if operation == "refresh":  # asked for where the links at hand are refused
        service.faults.add("upload", "answer", times=None, status=403, code="AccessDenied")
    shop.drop("a.jpg")
    shop.work(lambda: shop.orders() and shop.orders()[0].failures)


@pytest.mark.parametrize(("operation", "status", "code"), CONTRADICTIONS)
def test_the_note_says_that_the_service_contradicted_itself(
    begin: Open, operation: str, status: int, code: str
) -> None:
    shop, service = begin()
    contradict(shop, service, operation, status, code)
    shop.journal.note(shop.order(), failing_seconds=1e9)
    shop.clock.pass_time(60)
    shop.work(lambda: shop.files("quarantine"))
    assert "contradicts itself" in why(shop, "a.jpg")
    assert code in why(shop, "a.jpg")
    assert "lost" not in why(shop, "a.jpg")


def test_an_order_goes_on_when_the_service_agrees_with_itself_again(begin: Open) -> None:
    shop, service = begin()
    contradict(shop, service, "confirm", 404, "ORDER_NOT_FOUND")
    service.faults.clear()
    shop.pass_time(60)
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg"]
    assert set(service.paid_files.values()) == {1}
    assert service.requests_by_operation()["upload"] == 1


def test_a_complete_order_that_is_called_pending_waits_and_is_told(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("link", "answer", times=None, status=400, code="ORDER_NOT_COMPLETED")
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures == 1)
    service.faults.add("status", "answer", times=None, status=200, body='{"data": {"status": "pending"}}')
    shop.pass_time(60)
    shop.work(lambda: shop.order().failures == 2)
    assert shop.order().state is State.COMPLETED
    assert "the service calls the order pending, which does not fit" in shop.order().last_error
    assert shop.pipeline.breaker._failures == 0  # it is this order's trouble alone


def test_a_status_that_nobody_knows_is_told_once_and_is_no_failure(
    begin: Open, caplog: pytest.LogCaptureFixture
) -> None:
    shop, service = begin()
    service.faults.add("status", "answer", times=3, status=200, body='{"data": {"status": "resting"}}')
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    pauses(shop, 4)
    assert shop.order().failures == 0
    assert caplog.text.count("order.status_unknown") == 1
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg"]


def test_a_confirmation_that_comes_to_nothing_is_told_as_that(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("confirm", "answer", times=None, status=200, body='{"data": {}}')
    shop.drop("a.jpg")
    shop.work(shop.orders)
    waited = pauses(shop, 12)
    assert service.requests_by_operation()["confirm"] == 6
    assert sum(waited) > 2 + 4 + 8 + 16 + 32
    shop.journal.note(shop.order(), failing_seconds=1e9)
    shop.work(lambda: shop.files("quarantine"))
    assert "took the confirmation 5 times" in why(shop, "a.jpg")


REPEATED: list[tuple[str, dict[str, Any]]] = [
    *((operation, {"status": status, "code": code}) for operation, status, code in CONTRADICTIONS),
    ("status", {"status": 400, "code": "ORDER_NOT_PENDING"}),
    ("status", {"status": 400, "code": "USAGE_NOT_ENOUGH"}),
    ("link", {"status": 400, "code": "ORDER_NOT_COMPLETED"}),
    ("link", {"status": 400, "code": "PLAN_LIMIT_EXCEEDED"}),
    ("create", {"status": 409, "code": "IDEMPOTENCY_KEY_CONFLICT"}),
    ("upload", {"status": 404}),
]


@pytest.mark.parametrize(("operation", "fault"), REPEATED, ids=str)
def test_no_step_is_repeated_without_a_pause_that_grows(begin: Open, operation: str, fault: dict[str, Any]) -> None:
    shop, service = begin()
    service.faults.add(operation, "answer", times=None, **fault)
    if operation == "refresh":  # asked for where the links at hand are refused
        service.faults.add("upload", "answer", times=None, status=403, code="AccessDenied")
    shop.drop("a.jpg")
    shop.work(shop.orders)
    waited = pauses(shop, 8)[1:]
    assert all(after > before for before, after in pairwise(waited)), waited
    assert waited[-1] > 60


def test_an_order_called_pending_by_a_stale_read_is_not_bought_again(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "LEAST_BETWEEN_POLLS_SECONDS", 0.1)
    shop, service = begin(api={"reads": "v3"})
    stale = service.faults.add("status", "answer", status=200, body='{"data": {"status": "pending"}}')
    names = drop(shop, 4)
    shop.work(lambda: shop.has(State.CONFIRMED))
    (claimed,) = (shop.folder("inbox") / ".watchfolder").glob("*/*/0.jpg")
    claimed.write_bytes(OTHER)
    shop.pass_time(60)
    shop.to_the_end()
    assert stale.befallen
    assert set(service.paid_files.values()) == {1}
    assert shop.files("outbox") == sorted([*names, "0 (2).jpg"])


# --- whose is the order?

MINE, THEIRS = {"sk_mine": "me"}, {"sk_mine": "me", "sk_theirs": "somebody else"}


def paid(shop: Shop, count: int = 1) -> list[str]:
    """Bring pictures as far as to be paid for, each by an order of its own."""
    names = drop(shop, count)
    shop.work(lambda: [order.state for order in shop.orders()] == [State.CONFIRMED] * count)
    return names


def finish(service: Sandbox) -> None:
    for order in service._state.orders.values():
        order.processing_seconds = 0.0


def live_with(shop: Shop, key: str) -> None:
    """Begin another life with this key in the file."""
    shop.close()
    api = shop.config.api.model_copy(update={"key": SecretStr(key)})
    shop.config = shop.config.model_copy(update={"api": api})
    shop.open()


def pass_hours(shop: Shop, count: int) -> None:
    for _ in range(count * 12):
        shop.clock.pass_time(300)
        for _ in range(3):
            shop.beat()
            shop.rest()


@pytest.mark.parametrize("dialect", ["both", "v3", "v2"])
def test_a_paid_order_waits_for_the_key_it_was_made_with(begin: Open, dialect: Dialect) -> None:
    shop, service = begin({"dialect": dialect, "keys": THEIRS, "processing_seconds": 60.0}, api={"key": "sk_mine"})
    names = paid(shop)
    live_with(shop, "sk_theirs")
    pass_hours(shop, 3)
    assert shop.files("quarantine") == []
    assert shop.has(State.CONFIRMED)
    (named,) = status.read_status(shop.config, shop.clock.now()).deferred
    assert named.files == names
    assert "key" in named.reason
    assert shop.pipeline.breaker.refusal is None  # others go on
    finish(service)
    live_with(shop, "sk_mine")
    shop.clock.pass_time(5)
    shop.to_the_end()
    assert shop.files("outbox") == names
    assert set(service.paid_files.values()) == {1}


def test_an_order_that_waits_for_another_key_is_asked_for_ever_more_rarely(begin: Open) -> None:
    shop, service = begin({"keys": THEIRS, "processing_seconds": 60.0}, api={"key": "sk_mine"})
    paid(shop)
    live_with(shop, "sk_theirs")
    pass_hours(shop, 24)
    before = service.requests_by_operation()["status"]
    pass_hours(shop, 24)
    assert service.requests_by_operation()["status"] - before <= 2 * 24  # v3 and v2, once an hour


def test_what_waits_for_another_key_keeps_nobody_waiting(begin: Open) -> None:
    shop, service = begin({"keys": THEIRS, "processing_seconds": 60.0}, api={"key": "sk_mine"}, max_files_per_order=1)
    paid(shop, 8)
    live_with(shop, "sk_theirs")
    pass_hours(shop, 1)
    service.processing_seconds = 0.0
    shop.drop("new.jpg", OTHER)
    shop.work(lambda: shop.files("outbox") == ["new.jpg"])
    assert len(shop.orders()) == 8


@pytest.mark.parametrize("dialect", ["both", "v3"])
def test_a_parked_picture_is_not_bought_again_under_another_key(begin: Open, dialect: Dialect) -> None:
    shop, service = begin({"dialect": dialect, "keys": THEIRS}, api={"key": "sk_mine"})
    give_up(shop, service)
    live_with(shop, "sk_theirs")
    (shop.folder("quarantine") / "a.jpg").rename(shop.folder("inbox") / "a.jpg")
    shop.clock.pass_time(5)
    pass_hours(shop, 2)
    assert shop.files("quarantine") == shop.files("outbox") == []
    assert set(service.paid_files.values()) == {1}
    live_with(shop, "sk_mine")
    shop.clock.pass_time(5)
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg"]
    assert set(service.paid_files.values()) == {1}


def test_several_paid_orders_that_are_suddenly_unknown_are_not_called_lost(begin: Open) -> None:
    shop, service = begin(
        {"dialect": "v3", "keys": MINE, "processing_seconds": 60.0}, api={"key": "sk_mine"}, max_files_per_order=1
    )
    names = paid(shop, 3)
    service.keys = {"sk_mine": "somebody else"}  # the same key, another account's
    pass_hours(shop, 3)
    assert shop.files("quarantine") == []
    assert {order.state for order in shop.orders()} == {State.CONFIRMED}
    service.keys = MINE
    finish(service)
    shop.clock.pass_time(3600)
    shop.to_the_end()
    assert shop.files("outbox") == names
    assert set(service.paid_files.values()) == {1}


def test_an_order_that_cost_nothing_is_made_by_another_accounts_key_hours_later(begin: Open) -> None:
    shop, service = begin({"keys": MINE | {"sk_other": "somebody else"}}, api={"key": "sk_mine"})
    service.faults.add("create", "answer", times=None, status=503)
    shop.drop("a.jpg")
    shop.work(lambda: shop.orders() and shop.order().failures)
    service.faults.clear()
    live_with(shop, "sk_other")
    shop.clock.pass_time(2 * 3600)
    shop.to_the_end()
    assert (shop.files("outbox"), service.paid) == (["a.jpg"], 1)


def test_a_new_key_of_the_same_account_goes_on_with_its_orders(begin: Open) -> None:
    shop, service = begin({"keys": MINE | {"sk_new": "me"}, "processing_seconds": 60.0}, api={"key": "sk_mine"})
    names = paid(shop)
    finish(service)
    live_with(shop, "sk_new")
    shop.clock.pass_time(5)
    shop.to_the_end()
    assert shop.files("outbox") == names


def test_an_order_that_its_own_key_does_not_know_is_lost(begin: Open) -> None:
    shop, service = begin({"keys": MINE, "processing_seconds": 60.0}, api={"key": "sk_mine"})
    paid(shop)
    service.forget(str(shop.order().order_id))
    pass_hours(shop, 1)
    assert shop.files("quarantine") == ["0.jpg", "0.jpg.why.txt"]
    assert "no longer has it" in why(shop, "0.jpg")


def test_an_order_that_is_lost_is_called_so_though_others_are_under_way(begin: Open) -> None:
    shop, service = begin({"keys": MINE, "processing_seconds": 7200.0}, api={"key": "sk_mine"}, max_files_per_order=1)
    paid(shop, 2)
    lost = next(order for order in shop.orders() if order.files[0].name == "0.jpg")
    service.forget(str(lost.order_id))
    pass_hours(shop, 1)
    assert shop.files("quarantine") == ["0.jpg", "0.jpg.why.txt"]
    assert [order.files[0].name for order in shop.orders() if order.is_open] == ["1.jpg"]


def test_the_journal_holds_a_fingerprint_of_the_key_and_nothing_of_the_key(begin: Open) -> None:
    shop, _ = begin({"processing_seconds": 60.0})
    paid(shop)
    assert shop.order().fingerprint == shop.config.api.fingerprint
    assert len(shop.order().fingerprint) == 12
    key = shop.config.api.key.get_secret_value()
    assert key not in "".join(path.read_text() for path in shop.folder("state").rglob("*.json"))


# --- what a test key gets, and links that do not come


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("dialect", ["both", "v2"])
def test_a_test_keys_empty_order_is_told_at_once_and_not_of_money(begin: Open, dialect: Dialect, count: int) -> None:
    told = {"dialect": dialect, "test_processing_seconds": 0.0}
    shop, service = begin(told, api={"key": "sk_test_x"})
    names = drop(shop, count)
    shop.to_the_end()
    assert shop.files("outbox") == []
    assert [name for name in shop.files("quarantine") if name.endswith(".jpg")] == names
    assert shop.orders() == ()  # nothing of it could be taken up again
    assert service.requests_by_operation().get("fetch", 0) == 0
    for name in names:
        note = why(shop, name)
        assert "test key" in note
        assert not re.search("paid|pay|credit|money", note)


def test_a_test_keys_order_that_is_gone_is_made_anew(begin: Open) -> None:
    told = {"test_processing_seconds": 60.0, "test_samples": True}
    shop, service = begin(told, api={"key": "sk_test_x"})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    service.forget(str(shop.order().order_id))
    service.test_processing_seconds = 0.0
    pass_hours(shop, 1)
    shop.to_the_end()
    assert shop.files("outbox") == ["a (TEST).jpg"]


def test_a_picture_whose_retention_stays_unknown_is_fetched_as_v2_tells(begin: Open) -> None:
    shop, service = begin({"retention_days": None})
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    assert not shop.pipeline.breaker.is_down
    pass_hours(shop, 1)
    shop.to_the_end()
    assert shop.files("outbox") == ["a.jpg"]
    assert set(service.paid_files.values()) == {1}
    assert service.requests_by_operation()["link"] <= 6


def test_an_entry_with_a_name_that_no_disk_holds_keeps_nobody_waiting(begin: Open) -> None:
    shop, service = begin(USUAL["kept"])
    shop.drop("a.jpg")
    shop.look(0.0)
    shop.close()
    (path,) = (shop.folder("state") / "journal").glob("*.json")
    entry = json.loads(path.read_bytes())
    entry["files"][0]["name"] = "x" * 300
    path.write_text(json.dumps(entry))
    shop.open()
    shop.drop("b.jpg", OTHER)
    shop.intake.nudge(None)
    shop.work(lambda: shop.files("outbox") == ["b.jpg"])
    assert shop.order().last_error.endswith(": its name is too long")
    assert service.paid == 1
