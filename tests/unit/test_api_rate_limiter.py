"""The rate limiter: how many requests pass, when, and in which order."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from watchfolder.api.rate_limiter import Bucket, Priority, RateLimiter
from watchfolder.errors import Retry, SlowDown


def passed_within(bucket: Bucket, begin: float, seconds: float) -> int:
    """Take whatever can be had, waiting exactly as long as the bucket says."""
    now, count = begin, 0
    while now < begin + seconds:
        if bucket.take(now):
            count += 1
        else:
            now += max(bucket.wait_seconds(now), 1e-6)
    return count


@given(st.integers(1, 2000))
def test_no_minute_sees_more_than_was_configured(per_minute: int) -> None:
    assert passed_within(Bucket(per_minute, 0.0), 0.0, 60.0) <= per_minute


@pytest.mark.parametrize("per_minute", [10, 60, 300, 1000])
def test_the_limit_is_used_nearly_to_its_end(per_minute: int) -> None:
    assert passed_within(Bucket(per_minute, 0.0), 0.0, 600.0) >= 0.85 * 10 * per_minute


def test_a_few_requests_may_go_at_once_and_the_next_wait() -> None:
    bucket = Bucket(60, 0.0)

    burst = sum(bucket.take(0.0) for _ in range(100))

    assert 2 <= burst <= 8
    assert 0.5 < bucket.wait_seconds(0.0) < 2


def test_no_limit_lets_everything_through() -> None:
    bucket = Bucket(0, 0.0)

    assert all(bucket.take(0.0) for _ in range(1000))
    assert not bucket.is_held_back(0.0)


def test_a_429_holds_until_it_is_over_and_halves_the_rate() -> None:
    bucket = Bucket(60, 0.0)
    before = passed_within(bucket, 0.0, 60.0)

    bucket.slow_down(60.0, 20.0)

    assert bucket.is_held_back(60.0)
    assert not bucket.take(79.9)
    assert bucket.wait_seconds(60.0) >= 20
    assert passed_within(bucket, 80.0, 60.0) <= 0.7 * before


def test_the_rate_comes_back_slowly() -> None:
    bucket = Bucket(60, 0.0)
    bucket.slow_down(0.0, 1.0)

    assert bucket.is_held_back(200.0)
    assert not bucket.is_held_back(400.0)


def test_many_refusals_of_one_moment_count_once() -> None:
    once, often = Bucket(60, 0.0), Bucket(60, 0.0)

    once.slow_down(0.0, 10.0)
    for _ in range(8):
        often.slow_down(0.1, 9.9)

    assert passed_within(often, 10.0, 60.0) == pytest.approx(passed_within(once, 10.0, 60.0), abs=1)


def test_however_often_it_is_refused_something_still_passes() -> None:
    bucket = Bucket(60, 0.0)
    for minute in range(50):
        bucket.slow_down(minute * 60.0, 1.0)

    assert passed_within(bucket, 3001.0, 60.0) >= 2


def test_without_a_limit_of_ours_the_services_own_is_found() -> None:
    bucket = Bucket(0, 0.0)

    bucket.slow_down(0.0, 1.0)

    assert 300 <= passed_within(bucket, 1.0, 60.0) <= 700


def test_those_who_came_before_keep_their_requests() -> None:
    bucket = Bucket(60, 0.0)
    while bucket.take(0.0):
        pass

    assert not bucket.take(1.1, leaving=1)
    assert bucket.take(1.1)


def waiting(limiter: RateLimiter, priority: Priority, name: str, order: list[str]) -> threading.Thread:
    def wait() -> None:
        limiter.take(priority)
        order.append(name)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def until_all_wait(limiter: RateLimiter, number: int) -> None:
    limit = time.monotonic() + 5
    while len(limiter._waiting) < number:
        assert time.monotonic() < limit
        threading.Event().wait(0.001)


def test_a_delivery_overtakes_the_purchases_that_wait() -> None:
    limiter, order = RateLimiter(600, threading.Event(), patience_seconds=30), list[str]()
    limiter.slow_down(3.0)

    threads = [waiting(limiter, Priority.PURCHASE, "purchase", order)]
    until_all_wait(limiter, 1)
    threads.append(waiting(limiter, Priority.DELIVERY, "delivery", order))
    until_all_wait(limiter, 2)
    for thread in threads:
        thread.join(10)

    assert order == ["delivery", "purchase"]


def test_every_wait_ends_with_the_stop_event() -> None:
    stop = threading.Event()
    limiter, ended = RateLimiter(60, stop, patience_seconds=100), list[str]()
    limiter.slow_down(50.0)

    def wait() -> None:
        with pytest.raises(Retry, match="stopping"):
            limiter.take(Priority.DELIVERY)
        ended.append("stopping")

    thread = threading.Thread(target=wait)
    thread.start()
    until_all_wait(limiter, 1)
    stop.set()
    thread.join(2)

    assert ended == ["stopping"]


def test_a_turn_that_is_too_far_away_is_not_waited_for() -> None:
    limiter = RateLimiter(60, threading.Event(), patience_seconds=5)
    limiter.slow_down(50.0)

    with pytest.raises(SlowDown) as refusal:
        limiter.take(Priority.PURCHASE)

    assert refusal.value.retry_after_seconds == pytest.approx(52, abs=2)
    assert limiter.is_held_back()
    assert not limiter._waiting


class OneNap(threading.Event):
    seconds = 0.0

    @override
    def wait(self, timeout: float | None = None) -> bool:
        self.seconds = timeout or 0.0
        self.set()
        return True


def test_who_waits_behind_others_looks_again_when_the_first_may_go() -> None:
    behind_one, first = OneNap(), OneNap()
    for nap, others in ((behind_one, [(Priority.DELIVERY, -1)]), (first, [])):
        limiter = RateLimiter(60, nap, patience_seconds=100)
        limiter.slow_down(10.0)
        limiter._waiting = others
        with pytest.raises(Retry, match="stopping"):
            limiter.take(Priority.DELIVERY)

    assert behind_one.seconds == pytest.approx(first.seconds, abs=0.5)  # those ahead may give up
