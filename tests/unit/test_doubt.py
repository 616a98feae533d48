"""Is it the pictures or the service? The clock is an argument."""

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from watchfolder.clock import Moment
from watchfolder.order import Order, OrderFile, State
from watchfolder.pipeline.doubt import Doubt, Fault
from watchfolder.services import named
from watchfolder.services.anti_ai import ANTI_AI

KEY = "00000000-0000-4000-8000-000000000001"
PARENT = "00000000-0000-4000-8000-000000000002"
NUMBERS = itertools.count(10)
NOW = Moment(at=datetime(2026, 11, 3, 12, tzinfo=UTC))


def order(files: int = 1, **facts: object) -> Order:
    """Return another order each time."""
    file = OrderFile(name="a.jpg", sent_name="a.jpg", media_type="image/jpeg", size=1, mtime_ns=1)
    body = ANTI_AI.body(KEY, [named("a.jpg")], {"strength": "high"})
    key = f"00000000-0000-4000-8000-{next(NUMBERS):012}"
    usual = {
        "key": key,
        "confirm_key": KEY,
        "inbox": "photos",
        "mode": "live",
        "service": "anti-ai",
        "options": {"strength": "high"},
        "body": body,
    }
    times = {State.CLAIMING: NOW}
    return Order.model_validate({**usual, "files": (file,) * files, "times": times} | facts)


def judged(doubt: Doubt, *orders: Order, now: float = 0.0, at_work: Any = ()) -> list[Fault]:  # noqa: ANN401 - keys
    return [doubt.judge(each, "PROCESSING_ERROR", at_work, now) for each in orders]


def in_doubt(**facts: Any) -> Doubt:  # noqa: ANN401 - its fields
    doubt = Doubt(300.0, **facts)
    doubt.resume(0.0)
    return doubt


# --- who is at fault


def test_four_failures_in_a_row_are_the_pictures_a_fifth_is_the_services() -> None:
    doubt = Doubt(300.0)
    assert judged(doubt, *(order() for _ in range(6))) == [Fault.PICTURE] * 4 + [Fault.SERVICE] * 2
    assert doubt.fault is not None
    assert "PROCESSING_ERROR" in doubt.fault.reason
    assert "300 s" in doubt.fault.reason


def test_an_order_of_many_is_split_while_the_service_is_not_doubted() -> None:
    doubt = Doubt(300.0)
    assert judged(doubt, *(order(files=3) for _ in range(5))) == [Fault.ONE_OF_MANY] * 4 + [Fault.SERVICE]


def test_a_success_between_shows_that_it_was_the_pictures() -> None:
    doubt = Doubt(300.0)
    for _ in range(3):
        assert judged(doubt, *(order() for _ in range(4))) == [Fault.PICTURE] * 4
        assert not doubt.succeed(order())


def test_a_failure_that_is_told_again_counts_once() -> None:
    doubt, failed = Doubt(300.0), order(files=2)
    assert judged(doubt, *[failed] * 10) == [Fault.ONE_OF_MANY] * 10


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_while_no_part_of_a_failed_order_succeeds_no_picture_of_it_is_condemned(parts: int) -> None:
    doubt = Doubt(300.0)
    assert set(judged(doubt, *(order(split_from=PARENT) for _ in range(parts)))) == {Fault.SERVICE}


def test_once_another_picture_has_succeeded_the_part_that_fails_is_at_fault() -> None:
    doubt = Doubt(300.0)
    doubt.succeed(order())
    assert judged(doubt, order(split_from=PARENT, last_success=KEY)) == [Fault.PICTURE]


def test_what_the_service_is_at_work_on_may_still_tell_and_is_waited_for() -> None:
    doubt, first, second = Doubt(300.0), order(split_from=PARENT), order(split_from=PARENT)
    assert judged(doubt, first, at_work=[second.key]) == [Fault.OPEN]
    assert judged(doubt, second, at_work=[first.key]) == [Fault.SERVICE]  # else each would wait for the other
    assert judged(doubt, first) == [Fault.SERVICE]


def test_in_a_doubt_no_picture_is_condemned_however_often_it_fails() -> None:
    doubt = in_doubt()
    kept = [order(doubted_seconds=5.0, failed_alone=number) for number in range(50)]
    assert set(judged(doubt, *kept)) == {Fault.SERVICE}


def test_what_fails_alone_again_after_a_success_is_at_fault_in_any_doubt() -> None:
    doubt = in_doubt()
    doubt.succeed(order())
    assert judged(doubt, *(order() for _ in range(5)))[-1] is Fault.SERVICE
    assert judged(doubt, order(doubted_seconds=5.0, failed_alone=1)) == [Fault.PICTURE]
    assert judged(doubt, order(doubted_seconds=5.0, failed_alone=0)) == [Fault.SERVICE]  # it failed among others only


def test_what_fails_alone_again_after_a_success_casts_no_doubt() -> None:
    doubt = Doubt(300.0)
    doubt.succeed(order())
    assert judged(doubt, *(order(doubted_seconds=5.0, failed_alone=1) for _ in range(20))) == [Fault.PICTURE] * 20
    assert doubt.fault is None


# --- when one is tried


def test_a_lone_file_is_tried_at_once_and_then_now_and_again() -> None:
    doubt = in_doubt()
    doubt.lift()
    assert [doubt.take_probe(now) for now in (10.0, 10.1, 309.9, 310.0, 310.1)] == [True, False, False, True, False]
    doubt.lift()
    assert doubt.take_probe(311.0)


def test_a_new_doubt_tries_at_once_whatever_the_pace_of_the_last_one_was() -> None:
    doubt = in_doubt()
    assert doubt.take_probe(3 * 86400.0)  # an hour from one to the next by then
    doubt.succeed(order())
    judged(doubt, *(order() for _ in range(5)), now=3 * 86400.0 + 60)
    assert doubt.fault is not None
    assert doubt.may_probe(3 * 86400.0 + 60)


@pytest.mark.parametrize(("probe_seconds", "days", "most"), [(300.0, 1, 60), (300.0, 5, 160), (1.0, 1, 120)])
def test_a_doubt_of_days_costs_a_bounded_number_of_orders(probe_seconds: float, days: int, most: int) -> None:
    doubt = Doubt(probe_seconds)
    judged(doubt, *(order() for _ in range(5)))
    tried = [now for now in range(days * 86400) if doubt.take_probe(float(now))]
    assert len(tried) <= most
    assert max(after - before for before, after in itertools.pairwise(tried)) <= 3600


def test_a_success_ends_the_doubt_and_says_so_once() -> None:
    doubt = in_doubt()
    assert [doubt.succeed(order()), doubt.succeed(order())] == [True, False]
    assert doubt.fault is None


# --- over a restart


def test_a_doubt_of_an_earlier_life_keeps_its_pace_and_ends_with_a_success() -> None:
    kept = order(doubted_seconds=7200.0, failed_alone=1, last_success=KEY)
    doubt = Doubt(300.0)
    assert doubt.remember([kept], 1000.0, lambda _begun: 20.0) is not None
    assert not doubt.take_probe(1000.0 + 690)  # a tenth of two hours after the last one
    assert doubt.take_probe(1000.0 + 710)
    assert judged(doubt, kept) == [Fault.SERVICE]  # no success is known
    assert doubt.succeed(order())
    assert judged(doubt, kept) == [Fault.PICTURE]


@pytest.mark.parametrize("ago", [0.0, 1.0, 3600.0, 1e9])
def test_a_new_life_waits_no_longer_than_an_hour_to_try_again(ago: float) -> None:
    doubt = Doubt(300.0)
    doubt.remember([order(doubted_seconds=1e7, failed_alone=1)], 1000.0, lambda _begun: ago)
    assert doubt.may_probe(1000.0 + 3600)


def test_without_a_doubt_a_success_of_an_earlier_life_is_supposed() -> None:
    doubt = Doubt(300.0)
    part = order(split_from=PARENT, last_success=KEY)
    assert doubt.remember([part, order()], 0.0, lambda _begun: 0.0) is None
    assert judged(doubt, part) == [Fault.PICTURE]  # or it would wait for the next one, perhaps for days


@pytest.mark.parametrize(("ago", "is_doubted"), [(10.0, False), (30.0, True)])
def test_a_success_that_is_younger_than_what_was_kept_has_ended_the_doubt(ago: float, *, is_doubted: bool) -> None:
    doubt = Doubt(300.0)
    kept = order(doubted_seconds=5.0, failed_alone=1, last_success=KEY)
    done_at = Moment(at=NOW.at, elapsed=1.0)
    done = order(times={State.CLAIMING: NOW, State.COMPLETED: done_at}, state=State.COMPLETED)
    found = doubt.remember([kept, done], 1000.0, lambda moment: ago if moment == done_at else 20.0)
    assert (found is not None) == is_doubted
    assert judged(doubt, kept) == [Fault.SERVICE if is_doubted else Fault.PICTURE]


def test_a_doubt_whose_only_order_is_just_making_room_for_its_next_try_goes_on() -> None:
    doubt = Doubt(300.0)
    child = order(doubted_seconds=5.0, failed_alone=2, last_success=KEY, times={})
    assert doubt.remember([order(state=State.SUPERSEDING, children=(child,))], 0.0, lambda _begun: 0.0) is not None
    assert judged(doubt, child) == [Fault.SERVICE]


def test_an_order_quarantined_long_ago_brings_no_doubt_back() -> None:
    doubt = Doubt(300.0)
    parked = order(state=State.QUARANTINED, is_resumable=True, doubted_seconds=5.0, failed_alone=1, last_success=KEY)
    assert doubt.remember([parked], 0.0, lambda _begun: 1e6) is None
    assert doubt.fault is None


def test_a_life_that_begins_with_nothing_that_failed_begins_without_a_doubt() -> None:
    doubt = Doubt(300.0)
    assert doubt.remember([order()], 0.0, lambda _begun: 0.0) is None
    assert doubt.fault is None
