"""How long is waited for what, where that is a rule and not a number."""

from itertools import pairwise

from watchfolder.pipeline import timing


def test_a_report_is_looked_at_within_seconds_and_then_ever_more_rarely() -> None:
    ages = [0.0]
    while ages[-1] < timing.ENCLOSE_SECONDS and len(ages) < 200:  # in the week for which results are kept
        ages.append(ages[-1] + timing.report_wait(ages[-1]))
    waits = [later - age for age, later in pairwise(ages)]
    assert waits == sorted(waits)
    assert sum(age <= 60.0 for age in ages) >= 8
    assert max(wait for age, wait in zip(ages, waits, strict=False) if age < 300.0) <= 15.0
    assert ages[-1] >= timing.ENCLOSE_SECONDS
