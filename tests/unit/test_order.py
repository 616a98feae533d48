"""The nouns: what may follow what, and names that survive JSON whatever bytes they are made of."""

import json
import os
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_orders import made_file, made_order
from pydantic import TypeAdapter, ValidationError

from watchfolder.clock import Moment
from watchfolder.order import STATES, TRANSITIONS, Order, OrderFile, RelativeName, Result, State

NOW = Moment(at=datetime(2026, 11, 24, 12, tzinfo=UTC))
NAMES = TypeAdapter(RelativeName)

DIAGRAM = """
claiming → claimed → created → uploaded → confirmed → completed → delivered → recorded
created → confirmed
uploaded → created
confirmed → created
claiming → matched → delivered
claiming → listed → delivered
listed → quarantining
matched → released
matched → quarantining
claiming → released
claimed → released
created → released
uploaded → released
claimed → superseding
created → superseding
uploaded → superseding
confirmed → superseding
completed → superseding
claiming → quarantining
claimed → quarantining
created → quarantining
uploaded → quarantining
confirmed → quarantining
completed → quarantining
quarantining → quarantined
quarantined → claiming
released → quarantined
"""
"""design.md's, written out, with `matched`, `listed` and the way of what starts by itself; the last two are how a paid
order waits for its bytes to come back."""


def drawn() -> set[tuple[str, str]]:
    lines = [line.split(" → ") for line in DIAGRAM.strip().splitlines()]
    return {pair for states in lines for pair in pairwise(states)}


def test_the_table_is_the_diagram() -> None:
    assert {(state, after) for state, afters in TRANSITIONS.items() for after in afters} == drawn()


def test_every_state_stands_in_the_tables() -> None:
    assert set(TRANSITIONS) == set(STATES) == set(State)


def test_no_way_leads_on_from_a_recorded_delivery_or_a_superseded_order() -> None:
    assert {state for state, afters in TRANSITIONS.items() if not afters} == {State.RECORDED, State.SUPERSEDING}


def test_what_charged_is_never_simply_released() -> None:
    before = {State.CLAIMING, State.MATCHED, State.CLAIMED, State.CREATED, State.UPLOADED}
    assert {state for state, afters in TRANSITIONS.items() if State.RELEASED in afters} == before


def test_a_result_is_still_to_come_from_where_a_way_leads_to_the_delivery() -> None:
    ahead = {State.DELIVERED}
    for _ in State:
        ahead |= {state for state, afters in TRANSITIONS.items() if afters & ahead and state is not State.QUARANTINED}
    assert {state for state, traits in STATES.items() if traits.leads_home} == ahead - {State.DELIVERED}


def test_every_way_of_an_order_ends_told_or_gives_its_files_back() -> None:
    last = {state for state, afters in TRANSITIONS.items() if afters <= {State.RECORDED} or state is State.QUARANTINED}
    last -= {State.RECORDED}  # the history tells of that already
    assert all(STATES[state].is_end or STATES[state].gives_back for state in last)


@given(st.binary(min_size=1, max_size=60))
def test_a_name_of_any_bytes_comes_back_from_json(raw: bytes) -> None:
    name = os.fsdecode(raw)
    try:
        NAMES.validate_python(name)
    except ValidationError:
        return
    text = NAMES.dump_json(name)
    assert text.isascii()
    assert os.fsencode(NAMES.validate_json(text)) == raw


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("2026/Fest (1).jpg", "2026/Fest (1).jpg"),
        ("ä.jpg", "%C3%A4.jpg"),
        ("\udcff.jpg", "%FF.jpg"),
        ("a\nb.jpg", "a%0Ab.jpg"),
        ("100%.jpg", "100%25.jpg"),
        ("%41.jpg", "%2541.jpg"),
        ('"\\.jpg', "%22%5C.jpg"),
    ],
)
def test_names_are_percent_encoded_in_json(name: str, text: str) -> None:
    assert json.loads(made_file(name).model_dump_json())["name"] == text
    assert OrderFile.model_validate_json(made_file(name).model_dump_json()).name == name


@pytest.mark.parametrize("name", ["", "/", "/etc/passwd", "../a", "a/../b", "a/./b", "a//b", "a/", "a\0b", ".."])
def test_a_name_that_leads_outside_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        made_file(name)
    with pytest.raises(ValidationError):
        NAMES.validate_json(json.dumps(name.replace("..", "%2E%2E").replace("\0", "%00")))


@pytest.mark.parametrize(
    "key",
    [
        "",
        "../../etc",
        "6f1f0a53-5ad3-1d0e-9a53-0f5b7c7a2f11",
        "6F1F0A53-5AD3-4D0E-9A53-0F5B7C7A2F11",
        "6f1f0a53-5ad3-4d0e-9a53-0f5b7c7a2f11\n",
    ],
)
def test_a_key_is_a_uuid4_in_lower_case(key: str) -> None:
    with pytest.raises(ValidationError):
        made_order(key=key)


def test_an_order_comes_back_from_json_as_it_was() -> None:
    child = made_order(files=(made_file("b.jpg"), made_file("c\udc80.jpg")))
    order = made_order(
        children=(child,), times={State.CLAIMING: NOW}, not_before=NOW.after(5.0), state=State.SUPERSEDING
    )
    assert Order.model_validate_json(order.model_dump_json()) == order


def test_an_entry_says_its_schema() -> None:
    assert json.loads(made_order().model_dump_json())["schema"] == 1


@pytest.mark.parametrize("facts", [{"color": "red"}, {"files": ()}, {"schema": 2}, {"state": "lost"}, {"mode": "any"}])
def test_what_no_order_is_made_of_is_refused(facts: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        made_order(**facts)


@pytest.mark.parametrize("size", [-1, 1 << 63, 1 << 80])
def test_a_size_that_no_file_has_is_refused(size: int) -> None:
    with pytest.raises(ValidationError):
        made_order(files=(made_file("a.jpg").model_dump() | {"size": size},))


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError):
        Moment(at=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def test_a_deferred_order_is_due_at_its_time() -> None:
    order = made_order(not_before=NOW.after(1.0))
    assert not order.is_due(NOW.elapsed)
    assert order.is_due(NOW.elapsed + 1.0)
    assert made_order().is_due(NOW.elapsed)


def test_a_fact_about_one_file_leaves_the_others_alone() -> None:
    order = made_order(files=(made_file("a.jpg"), made_file("b.jpg"), made_file("c.jpg")))
    changed = order.with_file(1, is_uploaded=True)
    assert [file.is_uploaded for file in changed.files] == [False, True, False]
    assert [file.name for file in changed.files] == ["a.jpg", "b.jpg", "c.jpg"]
    assert not order.files[1].is_uploaded


def test_a_fact_about_one_result_leaves_the_others_alone() -> None:
    three = made_file("b.jpg").having(results=(Result(text="x"), Result(text="y"), Result(text="z")))
    order = made_order(files=(made_file("a.jpg"), three, made_file("c.jpg")))
    assert [(index, result.text) for index, result in order.results] == [(0, ""), (1, "x"), (1, "y"), (1, "z"), (2, "")]
    changed = order.with_result(2, text="changed")
    assert [result.text for _, result in changed.results] == ["", "x", "changed", "z", ""]
    assert [len(file.results) for file in changed.files] == [1, 3, 1]


def test_a_file_is_delivered_when_all_its_results_are() -> None:
    out = Result(delivered_at=NOW.at)
    assert not made_file("a.jpg").having(results=(out, Result())).is_delivered
    assert made_file("a.jpg").having(results=(out, out)).is_delivered


def test_the_service_knows_an_order_by_its_key() -> None:
    assert made_order(key="6f1f0a53-5ad3-4d0e-9a53-0f5b7c7a2f11").name == "wf-6f1f0a53-5ad3-4d0e-9a53-0f5b7c7a2f11"
    assert len(made_order().name) <= 64


@pytest.mark.parametrize(
    ("facts", "may"),
    [
        ({}, True),
        ({"charged": True}, False),
        ({"charged": True, "mode": "test"}, False),
        ({"was_rebuilt": True}, False),
        ({"was_rebuilt": True, "order_id": "1"}, True),
    ],
    ids=["plain", "charged", "of a test key", "rebuilt, not looked for", "rebuilt and found unpaid"],
)
def test_only_what_can_have_cost_nothing_may_be_given_back(facts: dict[str, object], *, may: bool) -> None:
    assert made_order(**facts).may_be_given_back is may
