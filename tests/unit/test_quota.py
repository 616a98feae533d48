"""The brake's arithmetic and its memory, the clocks in the test's hands."""

import os
import uuid
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from played_clock import PlayedClock
from pydantic import SecretStr

from watchfolder.config import Config
from watchfolder.quota import FILE, Quota, QuotaState, give_word

DAY = 24 * 3600.0
KEY = "00000000-0000-4000-8000-000000000001"
BURST = {"burst": {"files": 10, "minutes": 2}}


def something() -> bool:
    """Say that files wait."""
    return True


def nothing() -> bool:
    return False


def said(reason: str | None) -> str:
    assert reason is not None
    return reason


@pytest.fixture
def clocks() -> PlayedClock:
    return PlayedClock(datetime(2026, 11, 24, 12, tzinfo=UTC))


def quota(
    top: Path,
    clocks: PlayedClock,
    photos: object = None,
    whole: object = None,
    scans: object = None,
    recipients: object = None,
) -> Quota:
    folders = {name: {"name": name, "budget": budget} for name, budget in (("photos", photos), ("scans", scans))}
    if recipients:
        folders["photos"] |= {"service": "watermark-embed", "watermark": {"recipients": recipients}}
    for name, inbox in folders.items():
        inbox.update({role: str(top / name / role) for role in ("path", "outbox", "quarantine")})
    config = Config.model_validate(
        {"api": {"key": SecretStr("sk_x")}, "state_dir": str(top), "inboxes": folders, "budget": whole}
    )
    return Quota(config, clocks)


def take(braked: Quota, inbox: str, files: int) -> None:
    """Let the inbox take so many in an order of its own."""
    braked.take(inbox, files, str(uuid.uuid4()), inbox)


def test_without_a_budget_nothing_is_ever_held_or_written(tmp_path: Path, clocks: PlayedClock) -> None:
    free = quota(tmp_path, clocks)
    assert free.meet("photos", 100_000, something) is None
    take(free, "photos", 100_000)
    assert free.left("photos") > 100_000
    assert os.listdir(tmp_path) == []


def test_as_many_as_may_come_go_and_one_more_holds_all(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, BURST)
    assert braked.meet("photos", 10, something) is None
    clocks.pass_time(90)
    assert braked.meet("photos", 1, something) == "11 new files in 2 minutes; run: watchfolder release photos"
    assert braked.meet("scans", 1, something) is None


def test_files_that_trickle_are_never_held(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, BURST)
    for _ in range(100):
        clocks.pass_time(13)
        assert braked.meet("photos", 1, something) is None


def test_a_file_that_came_long_before_makes_a_new_one_no_older(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, BURST)
    assert braked.meet("photos", 1, something) is None
    clocks.pass_time(100)
    assert braked.meet("photos", 9, something) is None
    clocks.pass_time(30)
    assert said(braked.meet("photos", 2, something)).startswith("11 new files in 1 minute;")


def test_what_came_within_the_longer_time_is_not_held_by_the_shorter(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, BURST, {"burst": {"files": 100, "minutes": 20}})
    for _ in range(4):
        assert braked.meet("photos", 10, something) is None
        clocks.pass_time(200)


def test_what_came_long_before_is_not_told_of(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, BURST)
    braked.meet("photos", 5, something)
    clocks.pass_time(3600)
    assert said(braked.meet("photos", 11, something)).startswith("11 new files in 1 minute;")


def test_what_was_sent_meanwhile_counts_too(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, BURST)
    held = [braked.meet("photos", 1, something) for _ in range(11)]
    assert held[:10] == [None] * 10
    assert held[10] is not None


def test_what_was_sent_between_two_looks_counts_too(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, BURST)
    braked.meet("photos", 6, something)
    assert braked.meet("photos", 0, nothing) is None
    assert braked.meet("photos", 5, something) is not None


def test_more_that_come_are_told_and_time_alone_lets_nothing_go(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, BURST)
    braked.meet("photos", 300, something)
    clocks.pass_time(100)
    assert said(braked.meet("photos", 512, something)).startswith("812 new files in 2 minutes")
    clocks.pass_time(10**6)
    assert said(braked.meet("photos", 0, something)).startswith("812 new files in 2 minutes")


def test_who_asks_beside_the_daemon_is_told_how_many_are_held_now(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, BURST)
    braked.meet("photos", 11, something)
    told = braked.meet("photos", 2, something)
    assert (
        quota(tmp_path, clocks, BURST).why("photos")
        == told
        == "13 new files in 1 minute; run: watchfolder release photos"
    )


@pytest.mark.parametrize("whose", ["photos", "whole"])
def test_a_hold_outlives_the_process(tmp_path: Path, clocks: PlayedClock, whose: str) -> None:
    quota(tmp_path, clocks, **{whose: BURST}).meet("photos", 11, something)
    assert said(quota(tmp_path, clocks, **{whose: BURST}).meet("photos", 5, something)).startswith("11 new files")


def test_a_hold_is_told_once_and_written_when_more_come(
    tmp_path: Path, clocks: PlayedClock, caplog: pytest.LogCaptureFixture
) -> None:
    braked = quota(tmp_path, clocks, BURST)
    written = []
    for new in (11, 0, 0, 2, 0):
        braked.meet("photos", new, something)
        written.append((tmp_path / FILE).stat().st_ino)
    assert [one == other for one, other in pairwise(written)] == [True, True, False, True]
    assert [record.message for record in caplog.records] == ["inbox.held"]


def test_a_hold_of_an_inbox_that_left_the_configuration_holds_up_nobody(tmp_path: Path, clocks: PlayedClock) -> None:
    memory = QuotaState(day=clocks.today(), began=clocks.read(), held={"gone": "812 new files in 2 minutes"})
    (tmp_path / FILE).write_text(memory.model_dump_json())
    assert quota(tmp_path, clocks, whole=BURST).meet("photos", 1, something) is None


def test_a_hold_ends_with_the_files_that_were_taken_away_and_with_its_budget(
    tmp_path: Path, clocks: PlayedClock
) -> None:
    braked = quota(tmp_path, clocks, BURST)
    braked.meet("photos", 11, something)
    assert braked.meet("photos", 0, nothing) is None
    assert braked.meet("photos", 1, something) is None
    braked.meet("photos", 11, something)
    assert quota(tmp_path, clocks).meet("photos", 5, something) is None


def test_a_persons_word_lets_go_once_and_what_comes_later_is_counted_anew(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, BURST)
    braked.meet("photos", 11, something)
    give_word(str(tmp_path), "photos")
    assert braked.meet("photos", 0, something) is None
    assert braked.meet("photos", 10, something) is None
    assert braked.meet("photos", 1, something) is not None


def test_a_word_given_while_nothing_ran_is_heeded_at_the_start(tmp_path: Path, clocks: PlayedClock) -> None:
    quota(tmp_path, clocks, BURST).meet("photos", 11, something)
    give_word(str(tmp_path), "photos")
    assert quota(tmp_path, clocks, BURST).meet("photos", 11, something) is None


def test_what_was_let_through_is_not_held_again_by_a_restart(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, BURST)
    braked.meet("photos", 11, something)
    give_word(str(tmp_path), "photos")
    braked.meet("photos", 0, something)
    later = quota(tmp_path, clocks, BURST)
    assert later.meet("photos", 11, something) is None
    later.meet("photos", 0, nothing)
    assert quota(tmp_path, clocks, BURST).meet("photos", 11, something) is not None


def test_an_old_word_does_not_let_a_later_flood_through(tmp_path: Path, clocks: PlayedClock) -> None:
    give_word(str(tmp_path), "photos")
    braked = quota(tmp_path, clocks, BURST)
    assert braked.meet("photos", 0, nothing) is None
    assert braked.meet("photos", 11, something) is not None


def test_a_release_of_what_is_gone_lets_no_later_flood_through(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, BURST)
    braked.meet("photos", 11, something)
    give_word(str(tmp_path), "photos")
    assert braked.meet("photos", 0, nothing) is None
    clocks.pass_time(86_400)
    assert braked.meet("photos", 11, something) is not None


def test_a_release_for_a_renewed_budget_does_not_lift_a_later_days(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, {"files_per_day": 5})
    braked.meet("photos", 0, nothing)
    take(braked, "photos", 5)
    clocks.pass_time(DAY)
    give_word(str(tmp_path), "photos")
    braked.meet("photos", 0, nothing)
    take(braked, "photos", 5)
    assert braked.meet("photos", 1, something) is not None


def test_the_burst_of_all_inboxes_holds_those_that_brought_files(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, whole=BURST)
    assert braked.meet("photos", 6, something) is None
    assert said(braked.meet("scans", 5, something)).startswith("5 new files in 1 minute;")
    assert said(braked.meet("photos", 0, something)).startswith("6 new files")


def test_a_days_files_are_counted_and_the_next_day_begins_anew(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, {"files_per_day": 5})
    assert braked.left("photos") == 5
    take(braked, "photos", 3)
    assert quota(tmp_path, clocks, {"files_per_day": 5}).left("photos") == 2
    take(braked, "photos", 2)
    assert "run: watchfolder release photos" in said(braked.meet("photos", 1, something))
    clocks.pass_time(DAY)
    assert braked.meet("photos", 0, something) is None
    assert braked.left("photos") == 5


@pytest.mark.parametrize("jump", [-400 * DAY, -2 * DAY, 2 * DAY, 30 * DAY, 400 * DAY])
def test_a_clock_that_is_set_renews_no_budget(tmp_path: Path, clocks: PlayedClock, jump: float) -> None:
    braked = quota(tmp_path, clocks, {"files_per_day": 5})
    take(braked, "photos", 5)
    for set_by in (jump, -jump, jump):
        clocks.set_wall(set_by)
        assert braked.left("photos") == 0
        assert quota(tmp_path, clocks, {"files_per_day": 5}).left("photos") == 0
    clocks.pass_time(25 * 3600)
    assert braked.left("photos") == 5
    take(braked, "photos", 5)
    clocks.set_wall(-jump)
    assert braked.left("photos") == 0
    clocks.pass_time(25 * 3600)
    assert braked.left("photos") == 5


def test_a_clock_a_day_ahead_renews_the_budget_once_at_most(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, {"files_per_day": 5})
    taken = 0
    for _ in range(10):
        left = braked.left("photos")
        take(braked, "photos", left)
        taken += left
        clocks.set_wall(DAY if clocks.wall.day == 24 else -DAY)
    assert taken == 2 * 5


def test_a_machine_that_was_off_for_a_week_begins_a_new_day(tmp_path: Path, clocks: PlayedClock) -> None:
    take(quota(tmp_path, clocks, {"files_per_day": 5}), "photos", 5)
    clocks.set_wall(7 * DAY)
    clocks.reboot()
    assert quota(tmp_path, clocks, {"files_per_day": 5}).left("photos") == 5


def test_a_machine_that_boots_without_a_clock_begins_no_new_day(tmp_path: Path, clocks: PlayedClock) -> None:
    take(quota(tmp_path, clocks, {"files_per_day": 5}), "photos", 5)
    clocks.set_wall(-20_000 * DAY)
    clocks.reboot()
    braked = quota(tmp_path, clocks, {"files_per_day": 5})
    assert braked.left("photos") == 0
    clocks.set_wall(20_000 * DAY)  # NTP
    assert braked.left("photos") == 0


def test_a_persons_word_lifts_the_days_limit_until_midnight(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, {"files_per_day": 5})
    take(braked, "photos", 5)
    give_word(str(tmp_path), "photos")
    assert braked.meet("photos", 9, something) is None
    take(braked, "photos", 9)
    assert braked.meet("photos", 9, something) is None
    clocks.pass_time(DAY)
    take(braked, "photos", 5)
    assert braked.meet("photos", 0, something) is not None


def test_the_day_of_all_inboxes_is_shared(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, {"files_per_day": 100}, {"files_per_day": 5})
    take(braked, "scans", 3)
    assert braked.left("photos") == 2
    take(braked, "scans", 3)
    assert braked.left("photos") == 0


def test_what_one_inbox_is_about_to_take_is_no_other_inboxs(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, {"files_per_day": 4}, {"files_per_day": 5})
    assert braked.reserve("photos", 3, "photos") == 3
    assert braked.reserve("scans", 3, "scans") == 2
    assert braked.reserve("photos", 9, "photos") == 3
    take(braked, "photos", 1)
    assert braked.reserve("scans", 9, "scans") == 4
    assert braked.reserve("scans", 2, "scans") == 2
    assert braked.reserve("photos", 9, "photos") == 2
    assert braked.meet("scans", 0, something) is None  # it begins anew, and has taken none
    assert braked.reserve("photos", 9, "photos") == 3


@pytest.mark.parametrize("whose", ["photos", "whole"])
def test_what_a_list_is_about_to_take_is_not_its_inboxs(tmp_path: Path, clocks: PlayedClock, whose: str) -> None:
    braked = quota(tmp_path, clocks, **{whose: {"files_per_day": 4}})
    assert braked.reserve("photos", 3, "a list") == 3
    assert braked.reserve("photos", 4, "photos") == 1
    braked.take("photos", 3, KEY, "a list")
    assert braked.reserve("photos", 4, "another list") == 0
    assert braked.left("photos") == 1


def test_an_order_counts_once_also_after_a_restart(tmp_path: Path, clocks: PlayedClock) -> None:
    for _ in range(2):
        braked = quota(tmp_path, clocks, {"files_per_day": 5})
        braked.take("photos", 2, KEY, "photos")
        assert braked.left("photos") == 3


def test_what_a_share_keeps_from_being_taken_is_others_after_a_minute(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, whole={"files_per_day": 5})
    assert braked.reserve("photos", 5, "photos") == 5
    assert braked.reserve("scans", 1, "scans") == 0
    clocks.pass_time(61)
    assert braked.reserve("scans", 9, "scans") == 5


def test_each_copy_of_a_file_counts_in_a_burst(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, BURST, recipients=["dpa", "afp", "Reuters"])
    assert braked.meet("photos", 3, something) is None
    assert said(braked.meet("photos", 1, something)).startswith("4 new files, 3 copies of each, in 1 minute;")


def test_each_copy_of_a_file_counts_in_a_day(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, {"files_per_day": 11}, {"files_per_day": 14}, recipients=["dpa", "afp", "Reuters"])
    assert braked.reserve("photos", 9, "photos") == 3
    assert braked.reserve("scans", 9, "scans") == 5
    take(braked, "photos", 2)
    assert (braked.left("photos"), braked.left("scans")) == (1, 8)
    take(braked, "photos", 1)
    held = braked.meet("photos", 1, something)  # what is left is less than one file's copies
    assert "budget is used up" in said(held)


def test_a_folder_of_recipients_makes_one_copy_of_each_file(tmp_path: Path, clocks: PlayedClock) -> None:
    assert quota(tmp_path, clocks, {"files_per_day": 5}, recipients="folder").left("photos") == 5


DAY_OF_FIVE = {"files_per_day": 5}


@pytest.mark.parametrize(
    ("budget", "new", "word", "told"),
    [
        (BURST, 10, False, ("", 11, 0)),
        (BURST, 11, False, ("11 new files are more than may come at once; ", 0, 11)),
        (BURST, 11, True, ("", 11, 0)),
        (DAY_OF_FIVE, 11, False, ("today's budget has room for 5 only; the others go on tomorrow", 5, 0)),
        (BURST | DAY_OF_FIVE, 11, False, ("11 new files are more than may come at once; ", 0, 5)),
        (BURST | DAY_OF_FIVE, 11, True, ("today's budget has room for 5 only; the others go on tomorrow", 5, 0)),
    ],
)
def test_a_dry_run_tells_what_would_hold_eleven_files(
    tmp_path: Path, clocks: PlayedClock, budget: object, new: int, word: bool, told: tuple[str, int, int]
) -> None:
    if word:
        give_word(str(tmp_path), "photos")
    release = "run: watchfolder release photos" if told[0].endswith("; ") else ""
    found = quota(tmp_path, clocks, budget).dry_run({"photos": new}, {"photos": 11})
    assert found == {"photos": (told[0] + release, *told[1:])}


@pytest.mark.parametrize("is_followed", [False, True])
def test_a_dry_run_tells_what_is_held_already_and_what_a_word_lets_go(
    tmp_path: Path, clocks: PlayedClock, is_followed: bool
) -> None:
    held = said(quota(tmp_path, clocks, BURST).meet("photos", 300, something))
    assert quota(tmp_path, clocks, BURST).dry_run({"photos": 11}, {"photos": 11}) == {"photos": (held, 0, 11)}
    give_word(str(tmp_path), "photos")
    if is_followed:
        quota(tmp_path, clocks, BURST).meet("photos", 0, something)
    assert quota(tmp_path, clocks, BURST).dry_run({"photos": 11}, {"photos": 11}) == {"photos": ("", 11, 0)}


def test_a_dry_run_tells_that_the_day_is_used_up_and_what_a_word_lets_go(tmp_path: Path, clocks: PlayedClock) -> None:
    braked = quota(tmp_path, clocks, DAY_OF_FIVE)
    take(braked, "photos", 5)
    assert braked.dry_run({}, {"photos": 9}) == {"photos": (braked.why("photos"), 0, 9)}
    give_word(str(tmp_path), "photos")
    assert braked.dry_run({}, {"photos": 9}) == {"photos": ("", 9, 0)}


def test_a_dry_run_gives_what_one_inbox_takes_to_no_other(tmp_path: Path, clocks: PlayedClock) -> None:
    told = quota(tmp_path, clocks, whole=DAY_OF_FIVE, recipients=["dpa", "afp"]).dry_run({}, {"photos": 2, "scans": 2})
    assert told == {
        "photos": ("", 2, 0),
        "scans": ("today's budget has room for 1 only; the others go on tomorrow", 1, 0),
    }


@pytest.mark.parametrize("content", [b"", b"\0" * 80, b'{"day": "2026-11-24", "held": {"phot', b"[]"])
def test_a_memory_that_cannot_be_read_begins_anew(tmp_path: Path, clocks: PlayedClock, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert quota(tmp_path, clocks, {"files_per_day": 5}).left("photos") == 5
