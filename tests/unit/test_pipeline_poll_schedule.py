"""When an order is polled next: learned from those before, called for by a push. The clock is an argument."""

import logging
import random
import threading
from dataclasses import dataclass, field

import pytest
from made_orders import made_file, made_order
from played_clock import PlayedClock

from watchfolder.api import Service as Api
from watchfolder.config import ApiSection
from watchfolder.order import Order, State
from watchfolder.pipeline import timing
from watchfolder.pipeline.poll_schedule import PollSchedule
from watchfolder.pushes import PushResult
from watchfolder.sandbox import Sandbox
from watchfolder.services.anti_ai import ANTI_AI


@dataclass
class Service:
    """Takes so long for an order, one after the other, and pushes, where it does, so much later."""

    is_pushed_to: bool = False
    push_delay_seconds: float | None = None
    number: int = 0
    polls_in_vain: int = 0  # found an order still at work
    clock: PlayedClock = field(default_factory=PlayedClock)

    def __post_init__(self) -> None:
        self.polls = PollSchedule(self.clock, is_pushed_to=self.is_pushed_to)

    def confirmed(self, files: int = 1) -> Order:
        """Let another order be confirmed now."""
        self.number += 1
        order = confirmed_order(self.number, self.clock, files)
        self.polls.add(order)
        return order

    def wait_seconds(self, order: Order) -> float:
        """Return how long it still is until the order is polled."""
        return max(0.0, self.polls.due_at(order) - self.clock.elapsed())

    def serve(self, seconds: float, files: int = 1) -> tuple[int, float]:
        """Play the life of an order; return how often it was polled, and how late it was found done."""
        order, began, polls = self.confirmed(files), self.clock.elapsed(), 0
        never = float("inf")
        pushed_at = never if self.push_delay_seconds is None else began + seconds + self.push_delay_seconds
        while True:
            if pushed_at <= self.polls.due_at(order):
                self.clock.pass_time(max(0.0, pushed_at - self.clock.elapsed()))
                assert self.polls.wake(order.order_id or "", order) is PushResult.NUDGED
                pushed_at = never
            self.clock.pass_time(self.wait_seconds(order))
            self.polls.begin(order)
            polls += 1
            if self.clock.elapsed() >= began + seconds:
                late = self.clock.elapsed() - began - seconds
                self.polls.done(order)
                break
            self.polls_in_vain += 1
            self.polls.at_work(order)
        if pushed_at < never:
            self.clock.pass_time(pushed_at - self.clock.elapsed())
            assert self.polls.wake(order.order_id or "", None) is PushResult.LATE
        return polls, late


def confirmed_order(number: int, clock: PlayedClock, files: int = 1) -> Order:
    key = f"00000000-0000-4000-8000-{number:012}"
    pictures = [made_file(f"{index}.jpg", sent_name=f"{index}.jpg") for index in range(files)]
    body, times = ANTI_AI.body(key, pictures, {"strength": "high"}), {State.CONFIRMED: clock.read()}
    return made_order(*pictures, key=key, body=body, order_id=str(number), state=State.CONFIRMED, times=times)


# --- learning


def test_what_has_been_learned_makes_the_first_poll_the_last_one() -> None:
    service = Service()
    service.serve(60.0)
    polls = [service.serve(60.0)[0] for _ in range(100)]
    assert sum(polls) / 100 <= 1.25
    assert max(polls) == 2


def test_nobody_waits_much_longer_than_the_service_takes() -> None:
    service = Service()
    for seconds in (1.0, 5.0, 60.0, 600.0):
        late = [service.serve(seconds)[1] for _ in range(60)]
        assert max(late[30:]) <= max(2.0, 0.35 * seconds)


def test_a_service_that_becomes_quicker_is_noticed() -> None:
    service = Service()
    for _ in range(5):
        service.serve(60.0)
    late = [service.serve(5.0)[1] for _ in range(100)]
    assert late[-1] < 3.0


def test_small_orders_do_not_wait_for_what_large_ones_take() -> None:
    service = Service()
    for _ in range(5):
        service.serve(2.0, files=1)
        service.serve(300.0, files=100)
    assert service.serve(2.0, files=1)[1] < 2.0
    assert service.serve(300.0, files=100)[0] <= 2
    assert service.serve(2.0, files=2)[1] < 2.0  # as the nearest smaller ones


def test_polls_of_an_order_that_takes_long_become_rare() -> None:
    service = Service()
    order, began, waits, polls_of_the_first_hour = service.confirmed(), service.clock.elapsed(), list[float](), 0
    for _ in range(400):
        waits.append(service.wait_seconds(order))
        service.clock.pass_time(waits[-1])
        service.polls.at_work(order)
        polls_of_the_first_hour += service.clock.elapsed() - began <= 3600
    assert min(waits) >= timing.LEAST_BETWEEN_POLLS_SECONDS
    assert polls_of_the_first_hour <= 100
    assert waits[-1] > 600


def test_an_outage_is_no_lesson() -> None:
    service = Service()
    for _ in range(5):
        service.serve(5.0)
    order = service.confirmed()
    service.clock.pass_time(5.0)
    service.polls.at_work(order)
    service.clock.pass_time(86_400.0)
    service.polls.done(order)
    assert service.wait_seconds(service.confirmed()) <= 12.0


def test_an_order_of_an_earlier_life_teaches_nothing() -> None:
    service = Service()
    order = confirmed_order(77, service.clock)
    service.clock.pass_time(86_400.0)
    service.polls.done(order)
    assert service.wait_seconds(service.confirmed()) == timing.FIRST_POLL_SECONDS


def test_orders_of_an_earlier_life_are_polled_almost_at_once() -> None:
    service = Service()
    assert service.wait_seconds(confirmed_order(77, service.clock)) == timing.LEAST_BETWEEN_POLLS_SECONDS


# --- the list


def test_the_list_is_asked_only_for_what_it_knows_better() -> None:
    service = Service()
    fresh, *early = (service.confirmed() for _ in range(1 + timing.LIST_PAYS))
    for order in early[1:]:
        service.polls.at_work(order)
    everything = [fresh, *early]
    assert service.polls.for_list(everything, everything) == []  # they are too few
    service.polls.at_work(early[0])
    assert service.polls.for_list(everything, everything) == early
    assert service.polls.for_list([fresh], everything) == []  # none of them is due


def service_at(sandbox: Sandbox) -> Api:
    api = ApiSection.model_validate({"base_url": sandbox.url, "key": sandbox.key})
    return Api(api, transfers=1, stop=threading.Event())


@pytest.mark.parametrize("bought", ["anti-ai", "ai-detection"])
def test_the_list_hastens_no_poll_of_an_order_that_it_does_not_show(bought: str) -> None:
    service = Service()
    orders = [service.confirmed().having(service=bought) for _ in range(5)]
    early, late = orders[:3], orders[3:]
    for order in early:
        service.polls.at_work(order)
    service.clock.pass_time(timing.LONGEST_POLL_SECONDS)
    for order in late:
        service.polls.at_work(order)
    waits = [service.wait_seconds(order) for order in late]
    with Sandbox() as elsewhere:  # none of the newest is ours
        assert service.polls.ask_list(service_at(elsewhere), orders) == ([], {})
    assert [service.wait_seconds(order) for order in early] == [0.0] * 3
    assert all(after >= before > 0 for before, after in zip(waits, map(service.wait_seconds, late), strict=True))


def test_an_order_that_a_push_calls_for_is_not_left_to_the_list() -> None:
    service = Service()
    orders = [service.confirmed() for _ in range(timing.LIST_PAYS + 1)]
    for order in orders:
        service.polls.at_work(order)
    service.polls.wake(orders[0].order_id or "", orders[0])
    assert service.polls.for_list(orders, orders) == orders[1:]


# --- pushes


def test_while_pushes_come_hardly_a_poll_is_in_vain() -> None:
    dice = random.Random(1)  # noqa: S311 - no secret
    polled, told = Service(), Service(is_pushed_to=True, push_delay_seconds=0.0)
    seconds = [dice.uniform(1.0, 30.0) for _ in range(300)]
    late = [(polled.serve(each)[1], told.serve(each)[1]) for each in seconds]
    assert polled.polls_in_vain > 20
    assert told.polls_in_vain <= 3  # at the beginning, while nothing has been learned
    assert max(by_push for _, by_push in late[20:]) < 1e-6


def test_a_push_that_is_lost_costs_its_grace_and_no_request() -> None:
    asked, unheard = Service(), Service(is_pushed_to=True)
    for _ in range(20):
        asked.serve(10.0)
        unheard.serve(10.0)
    before = asked.polls_in_vain, unheard.polls_in_vain
    for _ in range(50):
        assert unheard.serve(10.0)[1] <= asked.serve(10.0)[1] + timing.PUSH_GRACE_SECONDS + 3.0
    assert unheard.polls_in_vain - before[1] <= asked.polls_in_vain - before[0]


def test_only_where_pushes_may_come_the_first_poll_leaves_them_time() -> None:
    for is_pushed_to, seconds in ((False, 0.0), (True, timing.PUSH_GRACE_SECONDS)):
        service = Service(is_pushed_to=is_pushed_to)
        assert service.wait_seconds(service.confirmed()) == timing.FIRST_POLL_SECONDS + seconds


def test_pushes_that_cease_and_come_again_are_told_once_each(caplog: pytest.LogCaptureFixture) -> None:
    service = Service(is_pushed_to=True, push_delay_seconds=1.0)
    caplog.set_level(logging.INFO)
    for delay in (1.0, None, 1.0, 40.0):  # in the end the polls are quicker
        service.push_delay_seconds = delay
        for _ in range(8):
            service.serve(5.0)
    said = [record.message for record in caplog.records if record.message.startswith("pushes.")]
    assert said == ["pushes.arrive", "pushes.stopped", "pushes.arrive"]


def test_a_push_may_be_quicker_than_the_answer_to_the_confirm() -> None:
    service = Service()
    uploaded = confirmed_order(7, service.clock).having(state=State.UPLOADED)
    assert service.polls.wake("7", uploaded) is PushResult.NUDGED
    service.polls.forget(uploaded.key, has_left=False)  # the answer was lost, and the confirm is tried again
    service.polls.add(uploaded)
    assert service.wait_seconds(uploaded.having(state=State.CONFIRMED)) == 0
    assert service.polls.begin(uploaded)


def test_a_push_that_comes_while_a_poll_is_under_way_calls_for_another() -> None:
    service = Service()
    order = service.confirmed()
    assert not service.polls.begin(order)
    service.polls.wake(order.order_id or "", order)
    service.polls.at_work(order)
    assert service.wait_seconds(order) == 0
    assert service.polls.begin(order)
    assert service.wait_seconds(order) > 0
    assert not service.polls.begin(order)


def test_a_push_for_an_order_done_or_not_ours_changes_nothing() -> None:
    service = Service()
    order = service.confirmed()
    assert service.polls.wake("2", None) is PushResult.UNKNOWN_ORDER
    assert service.polls.wake("1", order.having(state=State.COMPLETED)) is PushResult.LATE
    service.polls.done(order)
    assert service.polls.wake("1", None) is PushResult.LATE
    assert not service.polls.begin(order)
