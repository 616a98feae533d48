"""What is decided by which clock: time passes, machines sleep and boot, wall clocks are set."""

import time
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from played_clock import PlayedClock

from watchfolder.clock import (
    BOOT_ID_FILE,
    BOOT_ID_VARIABLE,
    LONGEST_WAIT_SECONDS,
    Clock,
    Moment,
    back_off,
    boot_id,
    instant_of,
)

HOUR, DAY, YEAR = 3600.0, 24 * 3600.0, 365 * 24 * 3600.0


@pytest.fixture
def clock() -> PlayedClock:
    return PlayedClock()


@pytest.mark.parametrize("end", ["9999-12-31T23:59:59-09:00", "0001-01-01T00:00:00+09:00"])
def test_what_is_read_has_a_date_in_every_time_zone(end: str) -> None:
    for moment in (Moment.model_validate({"at": end}).at, instant_of(float("-inf")), instant_of(1e20)):
        assert {moment.astimezone(timezone(timedelta(hours=hours))).year for hours in (-23, 23)} <= {1, 2, 9998}


@pytest.mark.parametrize("seconds", [-YEAR, -DAY, DAY, YEAR])
def test_no_jump_of_the_wall_clock_changes_how_long_ago_something_was(clock: PlayedClock, seconds: float) -> None:
    then = clock.read()
    clock.set_wall(seconds)
    clock.pass_time(5.0)
    assert clock.since(then) == clock.awake_since(then) == 5.0
    assert clock.kept(then.after(HOUR)).elapsed - clock.elapsed() == HOUR - 5.0
    clock.restart()  # nor does it in another life
    assert clock.since(then) == 5.0
    assert clock.kept(then.after(HOUR)).elapsed - clock.elapsed() == HOUR - 5.0


def test_sleep_has_passed_but_nobody_was_awake(clock: PlayedClock) -> None:
    then = clock.read()
    clock.pass_time(60.0)
    clock.sleep(6 * DAY)
    assert clock.since(then) == 6 * DAY + 60.0
    assert clock.awake_since(then) == 60.0


def test_the_process_was_not_awake_between_two_lives(clock: PlayedClock) -> None:
    then = clock.read()
    clock.pass_time(DAY)
    clock.restart()
    clock.pass_time(60.0)
    assert clock.awake_since(then) == 60.0


def test_of_an_earlier_boot_is_known_that_this_one_came_since(clock: PlayedClock) -> None:
    then = clock.read()
    clock.set_wall(YEAR)
    clock.reboot()
    assert clock.since(then) == clock.awake_since(then) == 0.0
    clock.pass_time(600.0)
    assert clock.since(then) == clock.awake_since(then) == 600.0


@pytest.mark.parametrize(
    ("passed", "left"),
    [(600.0, 3000.0), (DAY, 0.0), (YEAR, 0.0), (-DAY, LONGEST_WAIT_SECONDS), (-YEAR, LONGEST_WAIT_SECONDS)],
)
def test_after_a_boot_the_rest_of_a_wait_is_kept_within_bounds(clock: PlayedClock, passed: float, left: float) -> None:
    due = clock.read().after(HOUR)
    clock.set_wall(passed)
    clock.reboot()
    kept = clock.kept(due)
    assert kept.boot == clock.boot
    assert kept.elapsed - clock.elapsed() == left
    clock.set_wall(-YEAR)  # the one look at the wall clock was enough
    assert clock.kept(kept).elapsed == kept.elapsed


def test_people_are_told_a_time_by_the_clock_as_it_goes_now(clock: PlayedClock) -> None:
    due = clock.read().after(HOUR)
    clock.set_wall(-30 * DAY)
    assert clock.kept(due).at == clock.now() + timedelta(seconds=HOUR)


def test_a_boot_has_one_name_for_those_who_see_it_and_those_who_are_told(tmp_path: Path) -> None:
    seen = boot_id({}, BOOT_ID_FILE)
    assert len(seen) == 32
    assert boot_id({BOOT_ID_VARIABLE: seen}, str(tmp_path / "hidden")) == seen
    assert boot_id({}, str(tmp_path / "hidden")) == ""


def test_who_cannot_tell_the_boot_counts_no_time_before_this_life(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Clock().read()
    monkeypatch.setattr("watchfolder.clock.boot_id", lambda *_: "")
    blind = Clock()
    assert blind.boot != before.boot
    assert blind.since(before) == pytest.approx(0.0, abs=HOUR / 10)


def test_this_machine_has_these_clocks() -> None:
    clock, another = Clock(), Clock()
    then = clock.read()
    assert clock.boot == another.boot
    assert then.elapsed >= then.awake - 1.0 > 0.0
    assert then.awake <= time.monotonic()
    assert another.since(then) < HOUR
    assert Moment.model_validate_json(then.model_dump_json()) == then


def test_a_wait_doubles_up_to_the_longest() -> None:
    assert [back_off(times, 30.0, 100.0) for times in (0, 1, 2, 10_000)] == [30.0, 60.0, 100.0, 100.0]
