"""A short choice of the torture campaign (`make torture` plays all of it): each promise, at points all over a life."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TORTURE = Path(__file__).parents[1] / "torture"
REPORT = re.compile(r"^(\d+) cases, (\d+) violations, \d+ s$", re.MULTILINE)


@pytest.mark.lab
@pytest.mark.parametrize(
    ("campaign", "at_least"),
    [
        pytest.param("death: ", 90, id="a_death_at_any_call_loses_and_pays_nothing_twice"),
        pytest.param("death, then a change", 15, id="a_death_before_the_configuration_changes_loses_nothing"),
        pytest.param("two deaths", 15, id="a_death_in_the_recovery_from_a_death_loses_and_pays_nothing_twice"),
        pytest.param("an error once", 15, id="an_error_at_any_call_is_survived"),
        pytest.param("an error that lasts", 8, id="an_error_that_lasts_is_told_and_outlasted"),
        pytest.param("an error in one inbox", 5, id="an_error_in_one_inbox_does_not_stop_the_other"),
        pytest.param("power cut, the worst disk", 100, id="a_power_cut_loses_and_pays_nothing_twice"),
    ],
)
def test_the_promises_hold_after(campaign: str, at_least: int) -> None:
    command = [sys.executable, str(TORTURE), "--short", "--jobs", "2", "--only", campaign]
    played = subprocess.run(command, check=False, capture_output=True, text=True, timeout=540)
    found = REPORT.search(played.stdout)
    assert found, played.stdout + played.stderr
    if "SKIPPED" in played.stdout:
        reason = f"{played.stdout.splitlines()[0]}: apt-get install gcc libc6-dev strace"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    assert (played.returncode, found[2]) == (0, "0"), played.stdout
    assert int(found[1]) >= at_least, played.stdout
