"""A service that is away for a day: what that costs, and how it ends. The day is played, all else is real."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from played_clock import PlayedClock
from shop import PICTURE, Shop, opened

from watchfolder.api import Pace
from watchfolder.order import State
from watchfolder.sandbox import Sandbox

pytestmark = pytest.mark.lab
HOUR = 3600.0
DAY = 24 * HOUR
PERSISTENT = Pace(first_wait_seconds=0.001, max_wait_seconds=0.002)  # tries as often as in real life
# An order's tries: 30 s, 1 min … 32 min apart, then hourly; sooner by a quarter at most; three requests each.
MOST_PER_ORDER = 3 * (8 + int(24 / 0.75))
MOST_TO_ASK_WITH = 1 + 4  # one order may be at fault itself: others are asked with after 1 h, 3 h, 7 h and 15 h


class Day:
    """A shop that lives by the played clock: from one thing that is due to the next."""

    def __init__(self, shop: Shop, clock: PlayedClock, service: Sandbox) -> None:
        self.shop = shop
        self.clock = clock
        self.service = service
        self.dropped: list[str] = []

    def drop(self) -> None:
        number = len(self.dropped)
        self.dropped.append(f"{number:02}.jpg")
        self.shop.drop(self.dropped[-1], PICTURE + bytes([number]))

    def live(self, seconds: float) -> None:
        until = self.clock.elapsed() + seconds
        while self.clock.elapsed() < until:
            self._pass_time(until)

    def live_until_all_is_delivered(self, seconds: float) -> float:
        began = self.clock.elapsed()
        while self.shop.files("outbox") != self.dropped or self.shop.orders():
            assert self.clock.elapsed() < began + seconds, [str(order.state) for order in self.shop.orders()]
            self._pass_time(began + seconds)
        return self.clock.elapsed() - began

    def _pass_time(self, until: float) -> None:
        """Do what is due; when nothing is, go on to when something will be."""
        now, elapsed = self.clock.awake(), self.clock.elapsed()
        intake = self.shop.intake
        look = intake.beat(now) if intake.health.is_open else intake.open_again(now)
        wait = min(look - now, self.shop.pipeline.beat(elapsed) - elapsed)
        if self.shop.pipeline.running():
            self.shop.rest()
        else:
            self.clock.pass_time(min(until - elapsed, max(0.01, wait)))


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    clock = PlayedClock()
    with (
        Sandbox(processing_seconds=0, look_seconds=0) as service,
        opened(
            Shop(
                tmp_path,
                service,
                clock=clock,
                pace=PERSISTENT,
                scan_seconds=30.0,
                max_files_per_order=1,
                api={"reads": "v3"},
            )
        ) as shop,
    ):
        yield Day(shop, clock, service)


@pytest.mark.parametrize("under_way", [1, 8])
@pytest.mark.parametrize("does", ["answer", "reset_before", "html"])
def test_a_day_without_the_service_costs_few_requests(
    day: Day, under_way: int, does: str, record_property: Callable[[str, object], None]
) -> None:
    looking = day.service.faults.add("status", "answer", status=503, times=None)
    for _ in range(under_way):
        day.drop()
    day.live(10)
    assert [order.state for order in day.shop.orders()] == [State.CONFIRMED] * under_way
    day.service.faults.add("any", does, status=503, times=None)
    looking.times = 0
    before = len(day.service.requests)
    for _ in range(24):
        day.live(HOUR)
        day.drop()
    in_outage = day.service.requests[before:]
    claimed = {file.name for order in day.shop.orders() for file in order.files}
    day.service.faults.clear()
    day.service.end_links()  # those of yesterday
    back_after = day.live_until_all_is_delivered(2 * HOUR)

    record_property("requests", len(in_outage))
    record_property("minutes_until_all_was_delivered", round(back_after / 60))
    assert len(in_outage) <= len(claimed) * MOST_PER_ORDER
    assert len(claimed) <= max(under_way, MOST_TO_ASK_WITH), "new pictures wait where people see them"
    assert day.shop.files("quarantine") == []
    assert day.service.paid == len(day.dropped)
    assert set(day.service.paid_files.values()) == {1}
    assert day.service.sins == []
