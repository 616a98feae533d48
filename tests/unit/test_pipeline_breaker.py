"""What one answer of the service says about every other call, with the clock in the test's hands."""

import itertools
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from made_orders import made_file, made_order
from played_clock import PlayedClock

from watchfolder.errors import Blocked, FolderFault, OrderMissing, OrderRetry, Reject, Retry, Scope, SlowDown, Throttled
from watchfolder.order import STATES, Order, State
from watchfolder.pipeline.breaker import Breaker, Fault, Permit

KEY = "00000000-0000-4000-8000-000000000001"
PARENT = "00000000-0000-4000-8000-000000000002"
REFUSED = Blocked("the key is refused", code="AUTH_TOKEN_INVALID")
CREDITS = Blocked("no credits", code="USAGE_NOT_ENOUGH", scope=Scope.PURCHASES)
NOT_OURS = Blocked("another account's", code="ORDER_NOT_OWNER", scope=Scope.ORDER)
FAILED = Reject("it failed", code="PROCESSING_ERROR")
AWAY = Retry("the service is away")
NEEDS_SERVICE = sorted(state for state, traits in STATES.items() if traits.needs_service)
LATER = [state for state in NEEDS_SERVICE if not STATES[state].buys]
ANTI_AI_NAME, OTHER_NAME = "anti-ai", "watermark-embed"


class Case:
    """A breaker, its clock, and orders."""

    def __init__(self, probe_seconds: float = 300.0) -> None:
        self.clock = PlayedClock(datetime(2026, 11, 3, 12, tzinfo=UTC))
        self.breaker = Breaker(probe_seconds, self.clock)
        self.began = self.clock.elapsed()

    def at(self, seconds: float) -> float:
        """Let it be so many seconds after the beginning; return the instant."""
        self.clock.sleep(self.began + seconds - self.clock.elapsed())
        return self.clock.elapsed()

    def order(self, state: State = State.CLAIMED, files: int = 1, **facts: Any) -> Order:  # noqa: ANN401 - an order's
        """Return another order each time, begun now."""
        now = self.clock.read()
        usual: dict[str, Any] = {"state": state, "times": {State.CLAIMING: now, State.CLAIMED: now}}
        if facts.keys() & {"split_from", "doubted_seconds"}:
            usual["last_success"] = self.breaker.last_success(ANTI_AI_NAME)
        return made_order(*[made_file()] * files, **usual | facts)

    # --- steps

    def may_begin(self, state: State, seconds: float) -> Permit | None:
        """Ask for leave for the step of another order."""
        return self.breaker.may_begin(self.order(state), self.at(seconds))

    def is_permitted(self, state: State, seconds: float) -> bool:
        return self.may_begin(state, seconds) is not None

    def end(self, state: State, error: Exception | None = None, order: Order | None = None) -> None:
        """Let a step that was permitted before end now."""
        self.breaker.end(Permit(self.breaker, order or self.order(state), self.began, is_to_split=False), error)

    def probe(self, state: State, answer: Exception | None = None) -> None:
        """Let the step that finds out whether the key or the credits are there again end so."""
        permit = self.may_begin(state, 300.0)
        assert permit is not None
        self.breaker.end(permit, answer)

    # --- orders

    def judged(self, *orders: Order, beside: Any = (), may_pass: bool = False) -> list[Fault]:  # noqa: ANN401 - keys
        return [self.breaker.judge(each, FAILED, beside, may_pass=may_pass) for each in orders]

    def note_result(self, **facts: Any) -> None:  # noqa: ANN401 - an order's
        self.breaker.note_result(self.order(State.COMPLETED, **facts))

    def is_tried(self, seconds: float, order: Order | None = None) -> bool:
        """Is an order created then to find out whether its service succeeds?"""
        return self.breaker.may_begin(order or self.order(), self.at(seconds)) is not None

    def doubt(self) -> None:
        self.judged(*(self.order() for _ in range(5)))

    @property
    def is_failing(self) -> bool:
        return self.breaker.is_open(ANTI_AI_NAME)


@pytest.fixture
def case() -> Case:
    return Case()


# --- key and credits


@pytest.mark.parametrize("state", NEEDS_SERVICE)
def test_a_closed_breaker_lets_everything_pass_as_often_as_it_likes(case: Case, state: State) -> None:
    assert all(case.is_permitted(state, 0.0) for _ in range(3))


@pytest.mark.parametrize("state", NEEDS_SERVICE)
def test_a_refused_key_stops_every_step_until_the_probe_is_due(case: Case, state: State) -> None:
    case.end(State.CONFIRMED, REFUSED)
    assert not case.is_permitted(state, 299.9)
    assert case.is_permitted(state, 300.0)


def test_what_asks_nothing_waits_for_no_key_and_says_nothing_of_it(case: Case) -> None:
    case.end(State.CLAIMED, REFUSED)
    assert case.is_permitted(State.DELIVERED, 1.0)
    case.end(State.DELIVERED)
    for _ in range(3):
        case.end(State.DELIVERED, AWAY)
    assert case.breaker.refusal is REFUSED
    assert not case.breaker.is_down


def test_what_was_permitted_before_the_refusal_is_held_and_the_probe_is_not(case: Case) -> None:
    create, look = case.may_begin(State.CLAIMED, 0.0), case.may_begin(State.CONFIRMED, 0.0)
    case.at(1.0)
    case.end(State.CLAIMED, CREDITS)
    probe = case.may_begin(State.CLAIMED, 301.0)
    assert [case.breaker.has_opened_since(permit) for permit in (create, look, probe) if permit] == [
        True,
        False,
        False,
    ]


def test_a_probe_uses_itself_up_no_matter_which_step_makes_it(case: Case) -> None:
    case.end(State.CLAIMED, REFUSED)
    assert case.is_permitted(State.COMPLETED, 300.0)
    assert not any(case.is_permitted(state, 599.0) for state in NEEDS_SERVICE)


@pytest.mark.parametrize("state", LATER)
def test_without_credits_what_was_bought_is_still_brought_home(case: Case, state: State) -> None:
    case.end(State.CLAIMED, CREDITS)
    assert case.is_permitted(state, 1.0)


def test_without_credits_a_delivery_closes_nothing_but_a_purchase_does(case: Case) -> None:
    case.end(State.CLAIMED, CREDITS)
    case.end(State.COMPLETED)
    assert case.breaker.refusal is CREDITS
    case.probe(State.UPLOADED)
    assert case.breaker.refusal is None


@pytest.mark.parametrize("answer", [NOT_OURS, OrderMissing("unknown")])
def test_an_answer_about_another_accounts_order_says_nothing_of_credits(case: Case, answer: Exception) -> None:
    case.end(State.CLAIMED, CREDITS)
    case.probe(State.UPLOADED, answer)
    assert case.breaker.refusal is CREDITS


def test_what_began_before_a_refusal_is_no_sign_that_the_key_is_accepted(case: Case) -> None:
    before = case.may_begin(State.CONFIRMED, 0.0)
    case.end(State.CLAIMED, REFUSED)
    assert before is not None
    case.breaker.end(before, None)
    assert case.breaker.refusal is REFUSED


@pytest.mark.parametrize("answer", [None, NOT_OURS, OrderMissing("unknown")])
def test_any_answer_to_the_key_ends_its_refusal(case: Case, answer: Exception | None) -> None:
    case.end(State.CLAIMED, REFUSED)
    case.probe(State.CONFIRMED, answer)
    assert case.is_permitted(State.CLAIMED, 300.0)
    assert case.breaker.refusal is None


def test_an_upload_says_nothing_of_a_refused_key(case: Case) -> None:
    case.end(State.CLAIMED, REFUSED)
    probe = case.may_begin(State.CREATED, 300.0)
    assert probe is not None
    with probe:
        case.at(301.0)
    assert case.breaker.refusal is REFUSED
    assert case.is_permitted(State.UPLOADED, 301.0)
    assert not case.is_permitted(State.UPLOADED, 302.0)


def test_the_same_refusal_again_keeps_its_beginning_and_puts_the_probe_off(case: Case) -> None:
    began = case.at(10.0)
    case.end(State.CLAIMED, REFUSED)
    case.at(110.0)
    case.end(State.CREATED, REFUSED)
    assert case.breaker.open_since == (REFUSED, began)
    assert case.breaker.next_probe() == began + 400.0


def test_a_person_may_have_it_tried_at_once_but_only_once(case: Case) -> None:
    case.end(State.CLAIMED, REFUSED)
    case.breaker.try_again()
    assert case.is_permitted(State.CLAIMED, 1.0)
    assert not case.is_permitted(State.CLAIMED, 2.0)


def test_a_refusal_of_what_was_asked_before_a_person_mended_it_puts_nothing_off(case: Case) -> None:
    before = case.may_begin(State.UPLOADED, 0.0)
    assert before is not None
    case.at(1.0)
    case.breaker.try_again()
    case.breaker.end(before, CREDITS)
    assert case.is_permitted(State.UPLOADED, 2.0)


@pytest.mark.parametrize("put_off", [Throttled("our own pace"), FolderFault("the disk is full")])
def test_a_probe_that_was_put_off_before_it_was_made_is_not_used_up(case: Case, put_off: Exception) -> None:
    case.end(State.CLAIMED, REFUSED)
    probe = case.may_begin(State.CONFIRMED, 300.0)
    assert probe is not None
    with pytest.raises(type(put_off)), probe:
        raise put_off
    assert case.is_permitted(State.CONFIRMED, 302.0)
    assert not case.is_permitted(State.CONFIRMED, 303.0)


@pytest.mark.parametrize("answer", [SlowDown("too many requests"), FAILED, OrderRetry("no picture")])
def test_a_probe_that_was_answered_by_anything_else_is_used_up(case: Case, answer: Exception) -> None:
    case.end(State.CLAIMED, REFUSED)
    probe = case.may_begin(State.CONFIRMED, 300.0)
    assert probe is not None
    with pytest.raises(type(answer)), probe:
        raise answer
    assert not case.is_permitted(State.CONFIRMED, 599.0)


def test_what_is_put_off_while_another_call_probes_brings_no_probe_nearer(case: Case) -> None:
    before = case.may_begin(State.CLAIMED, 0.0)
    case.end(State.CLAIMED, CREDITS)
    assert case.is_permitted(State.CLAIMED, 300.0)
    assert before is not None
    before.release()
    assert not case.is_permitted(State.CLAIMED, 302.0)


def test_an_order_that_is_there_already_is_looked_at_without_credits(case: Case) -> None:
    case.end(State.CLAIMED, CREDITS)
    assert case.breaker.may_begin(case.order(order_id="7"), case.at(1.0)) is not None


def test_three_failures_in_a_row_are_an_outage_and_a_success_ends_it(case: Case) -> None:
    case.end(State.CLAIMED, AWAY)
    case.end(State.CLAIMED, AWAY)
    case.end(State.CLAIMED)
    assert case.breaker.recovered_at == float("-inf")
    for _ in range(3):
        assert not case.breaker.is_down
        case.end(State.CLAIMED, AWAY)
    assert case.breaker.is_down
    now = case.at(9.0)
    case.end(State.CLAIMED)
    assert not case.breaker.is_down
    assert case.breaker.recovered_at == now


def test_the_trouble_of_one_order_is_no_outage_but_that_of_three_is(case: Case) -> None:
    orders = [case.order(State.COMPLETED) for _ in range(3)]
    for number in (0, 0, 0, 0, 0, 1):
        case.end(State.COMPLETED, OrderRetry("no picture"), orders[number])
    assert not case.breaker.is_down
    case.end(State.COMPLETED, ValueError("a fault of ours"), orders[2])
    assert case.breaker.is_down
    case.end(State.CLAIMED)
    assert not case.breaker.is_down


# --- who is at fault for an order that failed


def test_four_failures_in_a_row_are_the_pictures_a_fifth_is_the_services(case: Case) -> None:
    assert case.judged(*(case.order() for _ in range(6))) == [Fault.PICTURE] * 4 + [Fault.SERVICE] * 2
    fault, _ = case.breaker.open_since or (None, 0.0)
    assert fault is not None
    assert "PROCESSING_ERROR" in fault.reason
    assert "300 s" in fault.reason


def test_orders_of_many_that_fail_cast_a_doubt_as_those_of_one_do(case: Case) -> None:
    orders = [case.order(files=3) for _ in range(5)]
    assert case.judged(*orders) == [Fault.PICTURE] * 4 + [Fault.SERVICE]


def test_a_success_between_shows_that_it_was_the_pictures(case: Case) -> None:
    for _ in range(3):
        assert case.judged(*(case.order() for _ in range(4))) == [Fault.PICTURE] * 4
        case.note_result()


def test_a_failure_that_is_told_again_counts_once(case: Case) -> None:
    assert case.judged(*[case.order(files=2)] * 10) == [Fault.PICTURE] * 10


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_while_no_part_of_a_failed_order_succeeds_no_picture_is_condemned(case: Case, parts: int) -> None:
    assert set(case.judged(*(case.order(State.CONFIRMED, split_from=PARENT) for _ in range(parts)))) == {Fault.SERVICE}


def test_once_another_picture_has_succeeded_the_part_that_fails_is_at_fault(case: Case) -> None:
    part = case.order(State.CONFIRMED, split_from=PARENT)
    case.note_result()
    assert case.judged(part) == [Fault.PICTURE]


def test_what_the_service_is_at_work_on_may_still_tell_and_is_waited_for(case: Case) -> None:
    first, second = case.order(State.CONFIRMED, split_from=PARENT), case.order(State.CONFIRMED, split_from=PARENT)
    assert case.judged(first, beside=[second.key]) == [Fault.UNDECIDED]
    assert case.judged(second, beside=[first.key]) == [Fault.SERVICE]  # else each would wait for the other
    assert case.judged(first) == [Fault.SERVICE]


def test_in_a_doubt_no_picture_is_condemned_however_often_it_fails(case: Case) -> None:
    case.doubt()
    kept = [case.order(State.CONFIRMED, doubted_seconds=5.0, failed_alone=number) for number in range(50)]
    assert set(case.judged(*kept)) == {Fault.SERVICE}


def test_what_fails_alone_again_after_a_success_is_at_fault_in_any_doubt(case: Case) -> None:
    again = case.order(State.CONFIRMED, doubted_seconds=5.0, failed_alone=1)
    among_others = case.order(State.CONFIRMED, doubted_seconds=5.0, failed_alone=0)
    case.note_result()
    assert case.judged(*(case.order() for _ in range(5)))[-1] is Fault.SERVICE
    assert case.judged(again, among_others) == [Fault.PICTURE, Fault.SERVICE]


def test_what_fails_alone_again_after_a_success_casts_no_doubt(case: Case) -> None:
    again = [case.order(State.CONFIRMED, doubted_seconds=5.0, failed_alone=1) for _ in range(20)]
    case.note_result()
    assert case.judged(*again) == [Fault.PICTURE] * 20
    assert not case.is_failing


def test_what_may_pass_casts_no_doubt_until_every_order_fails(case: Case) -> None:
    found = case.judged(*(case.order() for _ in range(5)), may_pass=True)
    assert found == [Fault.PICTURE] * 4 + [Fault.SERVICE]


def test_a_doubt_of_one_service_holds_up_no_order_of_another(case: Case) -> None:
    assert case.judged(*(case.order() for _ in range(5)))[-1] is Fault.SERVICE
    other = case.order(service=OTHER_NAME)
    assert not case.breaker.is_open(OTHER_NAME)
    assert case.breaker.may_begin(other, case.at(1.0)) is not None
    assert case.judged(other) == [Fault.PICTURE]
    case.note_result(service=OTHER_NAME)
    assert case.is_failing


@pytest.mark.parametrize("ask", [Breaker.is_open, Breaker.last_success])
def test_two_that_ask_first_of_a_service_at_once_get_one_answer(
    case: Case, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Breaker, str], object]
) -> None:
    answers: list[object] = []
    other = threading.Thread(target=lambda: answers.append(case.breaker.last_success(OTHER_NAME)))

    def amid() -> uuid.UUID:
        """Let another thread ask while the first answer is made."""
        monkeypatch.undo()
        other.start()
        other.join(0.1)  # no longer: it may have to wait for the first answer
        return uuid.uuid4()

    monkeypatch.setattr(uuid, "uuid4", amid)
    ask(case.breaker, OTHER_NAME)
    monkeypatch.undo()
    if other.ident is not None:
        other.join()
    assert set(answers) <= {case.breaker.last_success(OTHER_NAME)}


# --- when one is tried


def test_a_lone_file_is_tried_at_once_and_then_now_and_again(case: Case) -> None:
    case.doubt()
    assert [case.is_tried(at) for at in (10.0, 10.1, 309.9, 310.0, 310.1)] == [True, False, False, True, False]
    case.breaker.try_again()
    assert case.is_tried(311.0)


def test_in_a_doubt_an_order_of_many_is_only_split_which_uses_no_try_up(case: Case) -> None:
    case.doubt()
    permit = case.breaker.may_begin(case.order(files=3), case.at(1.0))
    assert permit is not None
    assert permit.is_to_split
    assert not case.is_tried(2.0)  # it may be its own
    with permit:
        pass
    assert case.is_tried(2.0)


@pytest.mark.parametrize("facts", [{"order_id": "7"}, {"charged": True}, {"was_rebuilt": True}])
def test_what_may_be_at_the_service_already_waits_for_no_turn(case: Case, facts: dict[str, Any]) -> None:
    case.doubt()
    assert case.breaker.may_begin(case.order(**facts), case.at(1.0)) is not None


def test_a_try_that_was_not_made_after_all_is_not_used_up(case: Case) -> None:
    case.doubt()
    permit = case.breaker.may_begin(case.order(), case.at(1.0))
    assert permit is not None
    permit.release()
    assert case.is_tried(2.0)


def test_a_new_doubt_tries_at_once_whatever_the_pace_of_the_last_one_was(case: Case) -> None:
    case.doubt()
    assert case.is_tried(3 * 86400.0)  # an hour from one to the next by then
    case.note_result()
    case.doubt()
    assert case.is_failing
    assert case.is_tried(3 * 86400.0 + 60)


@pytest.mark.parametrize(("probe_seconds", "days", "most"), [(300.0, 1, 60), (300.0, 5, 160), (1.0, 1, 120)])
def test_a_doubt_of_days_costs_a_bounded_number_of_orders(probe_seconds: float, days: int, most: int) -> None:
    case = Case(probe_seconds)
    case.doubt()
    order = case.order()
    tried = [now for now in range(0, days * 86400, 10) if case.is_tried(float(now), order)]
    assert len(tried) <= most
    assert max(after - before for before, after in itertools.pairwise(tried)) <= 3610


def test_a_success_ends_the_doubt(case: Case) -> None:
    case.doubt()
    case.note_result()
    assert not case.is_failing


def test_after_a_doubt_that_was_given_up_it_takes_as_many_failures_for_another(case: Case) -> None:
    case.doubt()
    case.breaker.give_up(ANTI_AI_NAME)
    assert case.judged(*(case.order() for _ in range(5))) == [Fault.PICTURE] * 4 + [Fault.SERVICE]


# --- over a restart


def test_a_doubt_of_an_earlier_life_keeps_its_pace_and_ends_with_a_success(case: Case) -> None:
    kept = case.order(doubted_seconds=7200.0, failed_alone=1)
    case.clock.sleep(20.0)
    case.breaker.remember([kept])
    assert not case.is_tried(20.0 + 690, kept)  # a tenth of two hours after the last one
    assert case.is_tried(20.0 + 710, kept)
    assert case.judged(kept) == [Fault.SERVICE]  # no success is known
    case.note_result()
    assert case.judged(kept) == [Fault.PICTURE]


@pytest.mark.parametrize("ago", [0.0, 1.0, 3600.0, 1e9])
def test_a_new_life_waits_no_longer_than_an_hour_to_try_again(case: Case, ago: float) -> None:
    kept = case.order(doubted_seconds=1e7, failed_alone=1)
    case.clock.sleep(ago)
    case.breaker.remember([kept])
    assert case.is_tried(ago + 3600, kept)


def test_without_a_doubt_a_success_of_an_earlier_life_is_supposed(case: Case) -> None:
    part = case.order(State.CONFIRMED, split_from=PARENT, last_success=KEY)
    case.breaker.remember([part, case.order()])
    assert not case.is_failing
    assert case.judged(part) == [Fault.PICTURE]  # or it would wait for the next one, perhaps for days


@pytest.mark.parametrize(("sooner", "is_doubted"), [(False, False), (True, True)])
def test_a_success_younger_than_what_was_kept_has_ended_the_doubt(
    case: Case, *, sooner: bool, is_doubted: bool
) -> None:
    times = {State.CLAIMING: case.clock.read()}
    case.clock.sleep(10.0)
    kept = case.order(doubted_seconds=5.0, failed_alone=1, last_success=KEY)
    case.clock.sleep(10.0)
    times[State.COMPLETED] = times[State.CLAIMING] if sooner else case.clock.read()
    done = case.order(State.COMPLETED, times=times)
    case.clock.sleep(10.0)
    case.breaker.remember([kept, done])
    assert case.is_failing == is_doubted
    assert case.judged(kept) == [Fault.SERVICE if is_doubted else Fault.PICTURE]


def test_a_doubt_whose_only_order_just_makes_room_for_its_next_try_goes_on(case: Case) -> None:
    child = case.order(doubted_seconds=5.0, failed_alone=2, times={})
    case.breaker.remember([case.order(State.SUPERSEDING, children=(child,))])
    assert case.judged(child) == [Fault.SERVICE]


def test_an_order_quarantined_long_ago_brings_no_doubt_back(case: Case) -> None:
    parked = case.order(State.QUARANTINED, is_resumable=True, doubted_seconds=5.0, failed_alone=1)
    case.breaker.remember([parked])
    assert not case.is_failing


def test_a_life_that_begins_with_nothing_that_failed_begins_without_a_doubt(case: Case) -> None:
    case.breaker.remember([case.order()])
    assert not case.is_failing


def test_a_doubt_of_an_earlier_life_is_of_that_service_alone(case: Case) -> None:
    case.breaker.remember([case.order(doubted_seconds=5.0), case.order(service=OTHER_NAME)])
    assert case.is_failing
    assert not case.breaker.is_open(OTHER_NAME)
