"""One order, one share or one suspect that cannot go on is no reason for the others to stand still."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from shop import OTHER, Shop, opened

from watchfolder.journal import utc_now
from watchfolder.order import Order
from watchfolder.sandbox import Sandbox

Open = Callable[..., tuple[Shop, Sandbox]]
FRESH = 20.0  # so far ahead, no first look has to be waited for


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:

        def build(sandbox: dict[str, Any] | None = None, **settings: Any) -> tuple[Shop, Sandbox]:  # noqa: ANN401 - a YAML's values
            service = stack.enter_context(Sandbox(**{"processing_seconds": 0.0} | (sandbox or {})))
            shop = stack.enter_context(opened(Shop(tmp_path, service, **settings)))
            shop.ahead = FRESH
            return shop, service

        yield build


def an_hour_older(shop: Shop, order: Order) -> Order:
    return shop.journal.note(order, times={state: at - timedelta(hours=1) for state, at in order.times.items()})


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
    shop.journal.note(shop.order(), not_before=utc_now() + timedelta(hours=1))


@pytest.mark.parametrize("does", ["truncated", "same_bytes", "html"])
def test_one_order_whose_result_is_never_right_is_no_outage_and_stops_no_other(begin: Open, does: str) -> None:
    shop, service = begin()
    fault = service.faults.add("fetch", does, times=None)
    shop.drop("bad.jpg")
    fail_alone(shop, 4)
    assert not shop.pipeline.gate.is_down
    fault.times = 0  # for the others
    shop.drop("good.jpg", OTHER)
    shop.work(lambda: "good.jpg" in shop.files("outbox"))


def test_an_order_whose_result_is_never_right_is_given_up_in_a_quiet_house(begin: Open) -> None:
    shop, service = begin(give_up_after_hours=1.0)
    service.faults.add("fetch", "same_bytes", times=None)
    shop.drop("a.jpg")
    fail_alone(shop, 1)
    shop.live_again()  # in this life nothing succeeds
    shop.journal.note(shop.order(), failed_at=utc_now() - timedelta(hours=2), not_before=None)
    shop.work(lambda: shop.files("quarantine"))
    assert "1 hours" in (shop.folder("quarantine") / "a.jpg.why.txt").read_text()


def test_one_order_for_which_the_service_is_down_keeps_the_others_waiting_for_an_hour(begin: Open) -> None:
    shop, service = begin()
    fault = service.faults.add("status", "answer", status=500, times=None)
    shop.drop("bad.jpg")
    fail_alone(shop, 3)
    assert shop.pipeline.gate.is_down
    fault.times = 0  # for the others
    shop.drop("good.jpg", OTHER)
    beats(shop)
    assert shop.files("inbox") == ["good.jpg"]
    an_hour_older(shop, shop.order())
    shop.work(lambda: "good.jpg" in shop.files("outbox"))
    assert not shop.pipeline.gate.is_down
