"""What a push does to an order under way, in a real pipeline against the sandbox."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Shop, opened

from watchfolder.order import State
from watchfolder.pushes import signature
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

SECRET = "whsec_of_these_tests"  # noqa: S105 - of these tests


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(processing_seconds=0.0) as running:
        yield running


@pytest.fixture
def shop(tmp_path: Path, sandbox: Sandbox) -> Iterator[Shop]:
    with opened(Shop(tmp_path, sandbox)) as shop:
        yield shop


def push(shop: Shop, order_id: str | None) -> None:
    event = {"eventType": "order.antiAi.completed", "data": {"orderId": order_id}}
    body = json.dumps(event).encode()
    assert shop.pushes.receive(body, signature(SECRET, body), SECRET) is None


def test_a_push_brings_a_picture_home_at_once_without_asking_for_its_status(shop: Shop, sandbox: Sandbox) -> None:
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    push(shop, shop.order().order_id)
    shop.work(shop.is_done)
    requests = sandbox.requests_by_operation()
    assert (requests.get("status", 0), requests["link"], requests["fetch"]) == (0, 1, 1)
    assert shop.files("outbox") == ["a.jpg"]
    assert shop.pushes.counts()["nudged"] == 1


def test_a_push_makes_one_look_due_for_an_order_of_many(shop: Shop, sandbox: Sandbox) -> None:
    for seed in range(5):
        shop.drop(f"{seed}.jpg", sample("jpeg", width=64, height=48, seed=seed))
    shop.work(lambda: shop.has(State.CONFIRMED))
    before = sandbox.requests_by_operation()["status"]  # it was asked which reads it has
    push(shop, shop.order().order_id)
    shop.work(shop.is_done)
    requests = sandbox.requests_by_operation()
    assert (requests["status"] - before, requests["link"]) == (1, 1)
    assert len(shop.files("outbox")) == 5


def test_a_push_for_a_picture_that_failed_is_looked_after(shop: Shop, sandbox: Sandbox) -> None:
    shop.drop("a_fail.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    push(shop, shop.order().order_id)
    shop.work(shop.is_done)
    assert "a_fail.jpg" in shop.files("quarantine")
    assert sandbox.requests_by_operation()["status"] == 1


def test_a_push_that_is_quicker_than_the_confirm_s_answer_is_not_lost(shop: Shop, sandbox: Sandbox) -> None:
    sandbox.faults.add("confirm", "hang_after", seconds=0.5)
    shop.drop("a.jpg")
    shop.beat_until(lambda: any(order.is_confirmed for order in sandbox.orders.values()))
    assert shop.order().state is State.UPLOADED  # its answer is not there yet
    push(shop, shop.order().order_id)
    shop.beat()
    shop.work(shop.is_done)
    assert sandbox.requests_by_operation().get("status", 0) == 0


def test_a_confirm_whose_answer_is_lost_does_not_lose_the_push(shop: Shop, sandbox: Sandbox) -> None:
    sandbox.faults.add("confirm", "reset_after")
    shop.drop("a.jpg")
    shop.work(lambda: any(order.not_before for order in shop.orders()))
    push(shop, shop.order().order_id)
    shop.beat()
    shop.pass_time(60)
    shop.work(shop.is_done)
    assert sandbox.requests_by_operation().get("status", 0) == 0
    assert sandbox.paid == 1


def test_a_push_for_an_unknown_or_delivered_order_costs_no_request(shop: Shop, sandbox: Sandbox) -> None:
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    order_id = shop.order().order_id
    shop.to_the_end()
    before = sandbox.requests_by_operation()
    for each in (order_id, order_id, "77"):
        push(shop, each)
    for _ in range(20):
        shop.beat()
        time.sleep(0.01)
    assert sandbox.requests_by_operation() == before
    assert (shop.pushes.counts()["late"], shop.pushes.counts()["unknown_order"]) == (2, 1)


def test_a_push_ahead_of_its_orders_end_costs_one_look_a_second(shop: Shop, sandbox: Sandbox) -> None:
    sandbox.processing_seconds = 3.0
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    while not shop.is_done():
        if shop.has(State.CONFIRMED):
            push(shop, shop.order().order_id)
        shop.beat()
        time.sleep(0.01)
    assert sandbox.requests_by_operation()["status"] <= 6
    assert sandbox.sins == []


def test_one_push_that_runs_ahead_does_not_make_every_look_urgent(shop: Shop, sandbox: Sandbox) -> None:
    sandbox.processing_seconds = 7.0
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.CONFIRMED))
    push(shop, shop.order().order_id)
    shop.work(shop.is_done)
    assert sandbox.requests_by_operation()["status"] <= 6
