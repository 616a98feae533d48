"""A service and a journal that do not agree: asked ever more rarely, paid once, and told as what it is."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from shop import Open, Shop, opening

from watchfolder.order import State
from watchfolder.sandbox import Dialect, Sandbox
from watchfolder.sandbox.pictures import sample


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Open]:
    with opening(tmp_path, kept={"look_seconds": 0}) as build:
        yield build


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
    visit = shop.pipeline._visits.get(order.key)
    dues = [visit.at if visit else 0.0, order.not_before.elapsed if order.not_before else 0.0]
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
    ("refresh", 400, "ORDER_NOT_PENDING"),
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
