"""What the metrics count."""

import pytest

from watchfolder.api.table import Call
from watchfolder.counters import OPERATIONS, OUTCOMES, Counters
from watchfolder.errors import Blocked, FolderFault, OrderMissing, Reject, Resync, Throttled, WatchfolderError


def test_every_operation_and_outcome_is_there_before_the_first_request() -> None:
    counts = Counters(("claimed",)).counts()
    assert counts.requests == {operation: dict.fromkeys(OUTCOMES, 0) for operation in OPERATIONS}
    assert (counts.state_changes, counts.state_seconds) == ({"claimed": 0}, {"claimed": 0.0})


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Blocked("no"), "blocked"),
        (Throttled("later"), "slow_down"),
        (FolderFault("full"), "retry"),
        (Resync("again"), "redo"),
        (OrderMissing("gone"), "forgotten"),
        (Reject("bad"), "reject"),
        (ValueError(), "broken"),
    ],
)
def test_a_request_that_fails_counts_under_what_to_do_next_and_fails(error: Exception, outcome: str) -> None:
    def fail() -> None:
        raise error

    counters = Counters(())
    with pytest.raises(type(error)):
        counters.count("create", fail)
    assert {name: number for name, number in counters.counts().requests["create"].items() if number} == {outcome: 1}


def test_what_went_well_gives_its_answer() -> None:
    counters = Counters(())
    assert counters.count("list", lambda: 7) == 7
    assert counters.counts().requests["list"]["done"] == 1


def test_a_call_that_no_run_makes_is_answered_as_well() -> None:
    assert {call: Counters(()).count(call, lambda: 7) for call in Call} == dict.fromkeys(Call, 7)


def test_counters_add_up_though_a_clock_is_set_back() -> None:
    counters = Counters(("claimed",))
    counters.moved("sent", 3)
    counters.moved("sent", 4)
    counters.left("claimed", 2.0)
    counters.left("claimed", -5.0)
    counts = counters.counts()
    assert (counts.sent_bytes, counts.received_bytes) == (7, 0)
    assert (counts.state_changes["claimed"], counts.state_seconds["claimed"]) == (2, 2.0)


def test_an_error_of_no_known_kind_is_broken() -> None:
    def fail() -> None:
        raise WatchfolderError("what is this?")

    counters = Counters(())
    with pytest.raises(WatchfolderError):
        counters.count("fetch", fail)
    assert counters.counts().requests["fetch"]["broken"] == 1
