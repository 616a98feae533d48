"""When an order is looked at next: learned from those before. The clock is an argument."""

import random

from watchfolder.order import Order, OrderFile, State
from watchfolder.pipeline import tempo
from watchfolder.pipeline.visits import Visits
from watchfolder.pushes import PushResult
from watchfolder.services.anti_ai import ANTI_AI


def order(files: int = 1, number: int = 1) -> Order:
    key = f"00000000-0000-4000-8000-{number:012}"
    names = [f"{index}.jpg" for index in range(files)]
    pictures = [OrderFile(name=name, sent_name=name, media_type="image/jpeg", size=1, mtime_ns=1) for name in names]
    return Order(
        key=key,
        confirm_key=key,
        inbox="photos",
        kind="live",
        service="anti-ai",
        options={"strength": "high"},
        body=ANTI_AI.body(key, pictures, {"strength": "high"}),
        files=tuple(pictures),
    )


def serve(visits: Visits, seconds: float, files: int = 1) -> tuple[int, float]:
    """Let the service take so long; return how many looks that took and how late the last one was."""
    each, now, looks = order(files), 0.0, 0
    visits.confirmed(each, now)
    while True:
        visit = visits.get(each.key)
        assert visit is not None
        now, looks = visit.at, looks + 1
        if now >= seconds:
            visits.done(each, now, now)
            return looks, now - seconds
        visits.at_work(each.key, now, now)


def test_what_has_been_learned_makes_the_first_look_the_last_one() -> None:
    visits = Visits()
    serve(visits, 60.0)
    looks = [serve(visits, 60.0)[0] for _ in range(100)]
    assert sum(looks) / 100 <= 1.25
    assert max(looks) == 2


def test_nobody_waits_much_longer_than_the_service_takes() -> None:
    visits = Visits()
    for seconds in (1.0, 5.0, 60.0, 600.0):
        late = [serve(visits, seconds)[1] for _ in range(60)]
        assert max(late[30:]) <= max(2.0, 0.35 * seconds)


def test_a_service_that_becomes_quicker_is_noticed() -> None:
    visits = Visits()
    for _ in range(5):
        serve(visits, 60.0)
    late = [serve(visits, 5.0)[1] for _ in range(100)]
    assert late[-1] < 3.0


def test_small_orders_do_not_wait_for_what_large_ones_take() -> None:
    visits = Visits()
    for _ in range(5):
        serve(visits, 2.0, files=1)
        serve(visits, 300.0, files=100)
    assert serve(visits, 2.0, files=1)[1] < 2.0
    assert serve(visits, 300.0, files=100)[0] <= 2
    assert serve(visits, 2.0, files=2)[1] < 2.0  # as the nearest smaller ones


def test_looks_at_an_order_that_takes_long_become_rare() -> None:
    visits, now = Visits(), 0.0
    each = order()
    visits.confirmed(each, now)
    waits = []
    for _ in range(400):
        visit = visits.get(each.key)
        assert visit is not None
        waits.append(visit.at - now)
        now = visit.at
        visits.at_work(each.key, now, now)
    assert min(waits) >= tempo.LEAST_BETWEEN_LOOKS_SECONDS
    first_hour = [wait for wait, at in zip(waits, _running_sum(waits), strict=True) if at <= 3600]
    assert len(first_hour) <= 100
    assert waits[-1] > 600


def _running_sum(waits: list[float]) -> list[float]:
    total, sums = 0.0, []
    for wait in waits:
        total += wait
        sums.append(total)
    return sums


def test_an_outage_is_no_lesson() -> None:
    visits = Visits()
    for _ in range(5):
        serve(visits, 5.0)
    each = order()
    visits.confirmed(each, 0.0)
    visits.at_work(each.key, 5.0, 5.0)
    visits.done(each, 86_400.0, 86_400.0)
    visits.confirmed(each, 0.0)
    visit = visits.get(each.key)
    assert visit is not None
    assert visit.at <= 12.0


def test_an_order_of_an_earlier_life_teaches_nothing() -> None:
    visits = Visits()
    visits.done(order(), 86_400.0, 86_400.0)
    visits.confirmed(order(), 0.0)
    visit = visits.get(order().key)
    assert visit is not None
    assert visit.at == tempo.FIRST_LOOK_SECONDS


def test_the_list_is_asked_only_for_what_it_knows_better() -> None:
    visits, (fresh, early, listed) = Visits(), (order(number=number) for number in (1, 2, 3))
    for each in (fresh, early, listed):
        visits.confirmed(each, 0.0)
    visits.at_work(early.key, 2.0, 2.0)
    visits.at_work(listed.key, 2.0, 2.0)
    visits.look_alone(listed.key, 3.0)
    assert visits.asked_before([fresh, early, listed, order(number=4)]) == [early]
    visits.at_work(listed.key, 3.0, 3.0)
    assert visits.asked_before([listed]) == [listed]


# --- pushes


class Service:
    """Takes `seconds` for an order and says so `delay_seconds` later; counts the looks that found it at work."""

    def __init__(self, visits: Visits, *, delay_seconds: float | None = 0.0) -> None:
        self.visits = visits
        self.delay_seconds = delay_seconds
        self.now = 0.0
        self.number = 0
        self.looks_in_vain = 0
        self.late_seconds = 0.0

    def serve(self, seconds: float) -> None:
        """Play the life of one order after the other, as the pipeline does."""
        self.number += 1
        each = confirmed_order(self.number)
        began = self.now
        self.visits.confirmed(each, began)
        pushed_at = began + seconds + self.delay_seconds if self.delay_seconds is not None else float("inf")
        while True:
            visit = self.visits.get(each.key)
            assert visit is not None
            if pushed_at <= visit.at:
                self.now = max(self.now, pushed_at)
                pushed_at = float("inf")
                self.visits.pushed(each.order_id or "", each)
                assert self.visits.is_called_for(each.key)
            else:
                self.now = visit.at
            self.visits.looking(each.key)
            if self.now >= began + seconds:
                self.late_seconds = self.now - began - seconds
                self.visits.done(each, self.now, self.now - began)
                break
            self.looks_in_vain += 1
            self.visits.at_work(each.key, self.now, self.now - began)
        if pushed_at < float("inf"):
            self.now = max(self.now, pushed_at)
            self.visits.pushed(each.order_id or "", None)
        self.visits.trusts_pushes(self.now)

    def serve_many(self, number: int, dice: random.Random) -> int:
        before = self.looks_in_vain
        for _ in range(number):
            self.serve(dice.uniform(1.0, 30.0))
        return self.looks_in_vain - before


def confirmed_order(number: int) -> Order:
    return order(number=number).having(order_id=str(number), state=State.CONFIRMED)


def test_while_pushes_arrive_no_look_is_in_vain() -> None:
    dice = random.Random(1)  # noqa: S311 - no secret
    asked, told = Service(Visits(), delay_seconds=None), Service(Visits())
    told.serve_many(10, dice)
    assert told.serve_many(300, dice) == 0
    assert told.late_seconds < 1e-9
    assert asked.serve_many(300, dice) > 20


def test_the_first_pushes_prove_little() -> None:
    visits = Visits()
    service = Service(visits)
    for proofs in range(1, tempo.PUSHES_PROVE + 1):
        assert not visits.trusts_pushes(service.now)
        service.serve(5.0)
        assert visits.trusts_pushes(service.now) == (proofs == tempo.PUSHES_PROVE)


def test_a_push_that_comes_just_after_its_look_proves_as_much() -> None:
    visits = Visits()
    service = Service(visits, delay_seconds=10.0)
    for _ in range(8):
        service.serve(5.0)
    assert visits.trusts_pushes(service.now)


def test_a_push_that_comes_long_after_its_look_proves_nothing() -> None:
    visits = Visits()
    service = Service(visits, delay_seconds=120.0)
    for _ in range(20):
        service.serve(5.0)
    assert not visits.trusts_pushes(service.now)


def test_when_pushes_stop_orders_are_soon_polled_again() -> None:
    visits, dice = Visits(), random.Random(2)  # noqa: S311 - no secret
    service = Service(visits)
    service.serve_many(20, dice)
    service.delay_seconds = None
    service.serve(10.0)
    assert service.late_seconds <= 60.0
    assert not visits.trusts_pushes(service.now)
    for _ in range(50):
        service.serve(10.0)
        assert service.late_seconds <= 20.0  # learned from those that took 30 s


def test_when_pushes_stop_orders_are_polled_when_they_would_have_been() -> None:
    visits = Visits()
    service = Service(visits)
    for _ in range(5):
        service.serve(10.0)
    first, second = confirmed_order(101), confirmed_order(102)
    visits.confirmed(first, 1000.0)
    visits.confirmed(second, 1020.0)
    planned = visits.get(first.key)
    assert planned is not None
    assert planned.at >= 1000.0 + 10.0 + tempo.PUSH_GRACE_SECONDS - 1.0
    visits.looking(first.key)
    visits.done(first, planned.at, planned.at - 1000.0)
    other = visits.get(second.key)
    assert other is not None
    assert other.at <= max(planned.at, 1031.0)


def test_when_pushes_come_again_they_are_trusted_again() -> None:
    visits, dice = Visits(), random.Random(3)  # noqa: S311 - no secret
    service = Service(visits)
    service.serve_many(10, dice)
    service.delay_seconds = None
    service.serve_many(10, dice)
    service.delay_seconds = 0.0
    service.serve_many(10, dice)
    assert service.serve_many(100, dice) == 0


def test_a_push_may_be_quicker_than_the_answer_to_the_confirm() -> None:
    visits = Visits()
    uploaded = order().having(order_id="7", state=State.UPLOADED)
    assert visits.pushed("7", uploaded) is PushResult.NUDGED
    visits.forget(uploaded.key, has_left=False)  # the answer was lost, and the confirm is tried again
    visits.confirmed(uploaded, 0.0)
    assert visits.is_called_for(uploaded.key)


def test_a_push_that_comes_while_a_look_is_under_way_calls_for_another_look() -> None:
    visits, each = Visits(), confirmed_order(1)
    visits.confirmed(each, 0.0)
    visits.looking(each.key)
    visits.pushed("1", each)
    visits.at_work(each.key, 2.0, 2.0)
    assert visits.is_called_for(each.key)
    visits.looking(each.key)
    assert not visits.is_called_for(each.key)


def test_a_push_for_an_order_done_or_not_ours_changes_nothing() -> None:
    visits, each = Visits(), confirmed_order(1)
    assert visits.pushed("2", None) is PushResult.UNKNOWN_ORDER
    assert visits.pushed("1", each.having(state=State.COMPLETED)) is PushResult.LATE
    visits.confirmed(each, 0.0)
    visits.done(each, 2.0, 2.0)
    assert visits.pushed("1", None) is PushResult.LATE
    assert not visits.is_called_for(each.key)


def test_an_order_that_a_push_calls_for_is_not_left_to_the_list() -> None:
    visits, each = Visits(), confirmed_order(1)
    visits.confirmed(each, 0.0)
    visits.at_work(each.key, 2.0, 2.0)
    assert visits.asked_before([each]) == [each]
    visits.pushed("1", each)
    assert visits.asked_before([each]) == []
