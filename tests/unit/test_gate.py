"""What one refusal says about every other call, with the clock in the test's hands."""

import pytest

from watchfolder.errors import Blocked, Scope
from watchfolder.order import STATES, State
from watchfolder.pipeline.gate import Gate

KEY = Blocked("the key is refused", code="AUTH_TOKEN_INVALID")
CREDITS = Blocked("no credits", code="USAGE_NOT_ENOUGH", scope=Scope.PURCHASES)
ASKS_SERVICE = {state for state, traits in STATES.items() if traits.asks_service}
LATER = {state for state in ASKS_SERVICE if not STATES[state].buys}


@pytest.mark.parametrize("state", sorted(ASKS_SERVICE))
def test_an_open_gate_lets_everything_pass_as_often_as_it_likes(state: State) -> None:
    gate = Gate(300.0)
    assert all(gate.lets_pass(state, 0.0) for _ in range(3))


@pytest.mark.parametrize("state", sorted(ASKS_SERVICE))
def test_a_refused_key_stops_every_step_until_the_probe_is_due(state: State) -> None:
    gate = Gate(300.0)
    gate.close(KEY, State.CONFIRMED, 1000.0)
    assert not gate.lets_pass(state, 1299.9)
    assert gate.lets_pass(state, 1300.0)


def test_what_was_let_pass_before_the_refusal_is_held_and_the_probe_is_not() -> None:
    gate = Gate(300.0)
    gate.close(CREDITS, State.CLAIMED, 1000.0)
    assert gate.has_closed_since(State.CLAIMED, 999.9)
    assert not gate.has_closed_since(State.CONFIRMED, 999.9)
    assert not gate.has_closed_since(State.CLAIMED, 1300.0)


def test_a_probe_uses_itself_up_whoever_makes_it() -> None:
    gate = Gate(300.0)
    gate.close(KEY, State.CLAIMED, 0.0)
    assert gate.lets_pass(State.COMPLETED, 300.0)
    assert not any(gate.lets_pass(state, 599.0) for state in ASKS_SERVICE)


@pytest.mark.parametrize("state", sorted(LATER))
def test_without_credits_what_was_bought_is_still_brought_home(state: State) -> None:
    gate = Gate(300.0)
    gate.close(CREDITS, State.CLAIMED, 0.0)
    assert gate.lets_pass(state, 1.0)


def test_without_credits_only_the_step_that_was_refused_probes() -> None:
    gate = Gate(300.0)
    gate.close(CREDITS, State.UPLOADED, 0.0)
    assert not gate.lets_pass(State.CLAIMED, 400.0)
    assert gate.lets_pass(State.UPLOADED, 400.0)
    assert not gate.lets_pass(State.UPLOADED, 401.0)


def test_without_credits_a_delivery_opens_nothing_but_a_purchase_does() -> None:
    gate = Gate(300.0)
    gate.close(CREDITS, State.CLAIMED, 0.0)
    assert not gate.succeed(State.COMPLETED, 1.0)
    assert gate.fault is CREDITS
    assert gate.succeed(State.CLAIMED, 2.0)
    assert gate.fault is None


def test_any_success_opens_a_gate_that_a_refused_key_closed() -> None:
    gate = Gate(300.0)
    gate.close(KEY, State.CLAIMED, 0.0)
    assert gate.succeed(State.CONFIRMED, 300.0)
    assert gate.lets_pass(State.CLAIMED, 300.0)


def test_an_upload_says_nothing_of_a_refused_key() -> None:
    gate = Gate(300.0)
    gate.close(KEY, State.CLAIMED, 0.0)
    assert gate.lets_pass(State.CREATED, 300.0)
    assert not gate.succeed(State.CREATED, 301.0)
    assert gate.lets_pass(State.UPLOADED, 301.0)
    assert not gate.lets_pass(State.UPLOADED, 302.0)


def test_the_same_refusal_again_is_no_news_and_keeps_its_beginning() -> None:
    gate = Gate(300.0)
    assert gate.close(KEY, State.CLAIMED, 10.0)
    assert not gate.close(KEY, State.CREATED, 310.0)
    assert gate.since == 10.0
    assert gate.close(CREDITS, State.CLAIMED, 320.0)


def test_a_second_refusal_puts_the_probe_off_and_never_brings_it_nearer() -> None:
    gate = Gate(300.0)
    gate.close(KEY, State.CLAIMED, 100.0)
    gate.close(KEY, State.CLAIMED, 50.0)
    assert gate.probe_due() == 400.0


def test_a_person_may_have_it_tried_at_once_but_only_once() -> None:
    gate = Gate(300.0)
    gate.close(KEY, State.CLAIMED, 0.0)
    gate.lift()
    assert gate.lets_pass(State.CLAIMED, 1.0)
    assert not gate.lets_pass(State.CLAIMED, 2.0)


def test_a_probe_that_was_put_off_before_it_was_made_is_not_used_up() -> None:
    gate = Gate(300.0)
    gate.close(KEY, State.CLAIMED, 0.0)
    assert gate.lets_pass(State.CONFIRMED, 300.0)
    gate.spare_probe(State.CONFIRMED, 301.0)
    assert gate.lets_pass(State.CONFIRMED, 302.0)
    assert not gate.lets_pass(State.CONFIRMED, 303.0)


def test_what_is_put_off_while_no_probe_is_under_way_brings_none_nearer() -> None:
    gate = Gate(300.0)
    gate.close(CREDITS, State.CLAIMED, 0.0)
    gate.spare_probe(State.CLAIMED, 1.0)
    assert not gate.lets_pass(State.CLAIMED, 2.0)
    assert gate.lets_pass(State.CLAIMED, 300.0)
    gate.spare_probe(State.CONFIRMED, 301.0)
    assert not gate.lets_pass(State.CLAIMED, 302.0)


def test_the_step_that_probes_can_be_another_one_when_the_refused_order_is_gone() -> None:
    gate = Gate(300.0)
    gate.close(CREDITS, State.UPLOADED, 0.0)
    gate.probe_with(State.CLAIMED)
    assert gate.lets_pass(State.CLAIMED, 300.0)


def test_three_failures_in_a_row_are_an_outage_and_a_success_ends_it() -> None:
    gate = Gate(300.0)
    gate.fail()
    gate.fail()
    gate.succeed(State.CLAIMED, 5.0)
    assert gate.recovered_at == float("-inf")
    for _ in range(3):
        assert not gate.is_down
        gate.fail()
    assert gate.is_down
    gate.succeed(State.CLAIMED, 9.0)
    assert not gate.is_down
    assert gate.recovered_at == 9.0


def test_the_trouble_of_one_order_is_no_outage_but_that_of_three_is() -> None:
    gate = Gate(300.0)
    for _ in range(5):
        gate.fail("one")
    gate.fail("another")
    assert not gate.is_down
    gate.fail("a third")
    assert gate.is_down
    gate.succeed(State.CLAIMED, 5.0)
    assert not gate.is_down
    gate.fail("a third")
    gate.fail("another")
    assert not gate.is_down
