"""Is it the pictures or the service? The clock is an argument."""

import itertools

from watchfolder.api import create_body
from watchfolder.order import Order, OrderFile
from watchfolder.pipeline.doubt import Doubt

KEY = "00000000-0000-4000-8000-000000000001"
PARENT = "00000000-0000-4000-8000-000000000002"
NUMBERS = itertools.count(10)


def order(half_of: str | None = None) -> Order:
    """Return another order each time."""
    file = OrderFile(name="a.jpg", sent_name="a.jpg", media_type="image/jpeg", size=1, mtime_ns=1)
    body = create_body(KEY, ["a.jpg"], "high")
    key = f"00000000-0000-4000-8000-{next(NUMBERS):012}"
    facts = {"key": key, "confirm_key": KEY, "inbox": "photos", "kind": "live", "strength": "high", "body": body}
    return Order.model_validate({**facts, "files": (file,), "half_of": half_of})


def test_four_failures_in_a_row_are_the_pictures_a_fifth_is_the_services() -> None:
    doubt = Doubt(300.0)
    assert [doubt.fail(order(), "PROCESSING_ERROR", 0.0) for _ in range(6)] == [False] * 4 + [True, False]
    assert doubt.fault is not None
    assert "PROCESSING_ERROR" in doubt.fault.reason
    assert "300 s" in doubt.fault.reason


def test_a_success_between_shows_that_it_was_the_pictures() -> None:
    doubt = Doubt(300.0)
    for _ in range(3):
        assert not any(doubt.fail(order(), "PROCESSING_ERROR", 0.0) for _ in range(4))
        assert not doubt.succeed(order())


def test_two_halves_that_fail_alike_are_enough() -> None:
    doubt = Doubt(300.0)
    assert not doubt.fail(order(PARENT), "PROCESSING_ERROR", 0.0)
    assert doubt.fail(order(PARENT), "PROCESSING_ERROR", 0.0)


def test_a_failure_that_is_told_again_counts_once() -> None:
    doubt, half = Doubt(300.0), order(PARENT)
    assert not any(doubt.fail(half, "PROCESSING_ERROR", 0.0) for _ in range(10))
    assert doubt.fault is None


def test_halves_of_other_orders_or_with_other_words_are_not() -> None:
    doubt = Doubt(300.0)
    assert not doubt.fail(order(PARENT), "PROCESSING_ERROR", 0.0)
    assert not doubt.fail(order(KEY), "PROCESSING_ERROR", 0.0)
    assert not doubt.fail(order(PARENT), "VALIDATION_FAILED", 0.0)
    doubt.succeed(order(KEY))
    assert not doubt.fail(order(KEY), "PROCESSING_ERROR", 0.0)


def test_a_lone_file_is_tried_at_once_and_then_now_and_again() -> None:
    doubt = Doubt(300.0)
    assert [doubt.take_probe(now) for now in (10.0, 10.1, 309.9, 310.0, 310.1)] == [True, False, False, True, False]
    doubt.lift()
    assert doubt.take_probe(311.0)


def test_a_success_ends_the_doubt_and_says_so_once() -> None:
    doubt = Doubt(300.0)
    for _ in range(5):
        doubt.fail(order(), "PROCESSING_ERROR", 0.0)
    assert [doubt.succeed(order()), doubt.succeed(order())] == [True, False]
    assert doubt.fault is None


def test_a_doubt_of_an_earlier_life_is_tried_at_once_and_ends_with_a_success() -> None:
    doubt = Doubt(300.0)
    doubt.resume(5.0)
    assert doubt.fault is not None
    assert doubt.take_probe(5.0)
    assert not doubt.fail(order(), "PROCESSING_ERROR", 6.0)  # nothing new
    assert not doubt.take_probe(7.0)
    assert doubt.succeed(order())
    assert doubt.fault is None
