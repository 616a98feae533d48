"""Settling is a question about time, asked with the time."""

from hypothesis import given
from hypothesis import strategies as st

from watchfolder.images import Kind, Verdict
from watchfolder.intake.decide import Sighting


def seen_at(now: float) -> Sighting:
    return Sighting(size=10, mtime_ns=1, first_seen=now, since=now)


def test_a_file_is_quiet_when_it_has_been_as_it_is_for_the_settle_time() -> None:
    sighting = seen_at(100.0)
    assert sighting.due_at(5.0) == 105.0


def test_another_size_starts_the_clock_again() -> None:
    sighting = seen_at(100.0)
    sighting.see(11, 1, 104.0)
    assert sighting.due_at(5.0) == 109.0


def test_another_mtime_starts_the_clock_again_also_one_of_the_past() -> None:
    sighting = seen_at(100.0)
    sighting.see(10, -5, 104.0)
    assert sighting.due_at(5.0) == 109.0


def test_a_look_that_finds_nothing_new_does_not_start_the_clock_again() -> None:
    sighting = seen_at(100.0)
    sighting.see(10, 1, 104.0)
    assert sighting.due_at(5.0) == 105.0


def test_an_event_starts_the_clock_again_though_the_shape_is_the_same() -> None:
    sighting = seen_at(100.0)
    sighting.wait_again(104.0)
    assert sighting.due_at(5.0) == 109.0


def test_what_was_read_counts_no_more_after_a_change_but_does_after_a_mere_look() -> None:
    sighting = seen_at(100.0)
    sighting.verdict = Verdict(Kind.PARTIAL)
    sighting.see(10, 1, 104.0)
    assert sighting.verdict is not None
    sighting.see(12, 1, 105.0)
    assert sighting.verdict is None


def test_age_counts_from_first_sight_whatever_happens_to_the_file() -> None:
    sighting = seen_at(100.0)
    sighting.see(11, 7, 150.0)
    sighting.wait_again(160.0)
    assert sighting.first_seen == 100.0


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 2)), max_size=20), st.floats(0.1, 10))
def test_a_file_is_quiet_only_if_nothing_happened_within_the_settle_time(
    happenings: list[tuple[float, int]], settle_seconds: float
) -> None:
    sighting, now, changed = seen_at(0.0), 0.0, 0.0
    for seconds, size in happenings:
        now += seconds
        if size != sighting.size:
            changed = now
        sighting.see(size, 1, now)
        assert (now >= sighting.due_at(settle_seconds)) == (now >= changed + settle_seconds)


def test_a_touch_means_reading_again_without_settling_again() -> None:
    sighting = seen_at(100.0)
    sighting.look(1)
    sighting.verdict, sighting.sha256 = Verdict(Kind.WHOLE), "ab" * 32
    sighting.look(1)
    assert [sighting.verdict, sighting.sha256] == [Verdict(Kind.WHOLE), "ab" * 32]
    sighting.look(2)
    assert [sighting.verdict, sighting.sha256] == [None, None]
    assert sighting.due_at(5.0) == 105.0
