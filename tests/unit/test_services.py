"""What each service is asked for, and what its answer means: from a value alone."""

import json

import pytest

from watchfolder.config.sections import BUILT_SERVICES
from watchfolder.services import FLOWS, Flow
from watchfolder.services.anti_ai import ANTI_AI


def test_the_configuration_has_the_services_that_there_are() -> None:
    assert set(FLOWS) == set(BUILT_SERVICES)


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_the_same_order_is_always_asked_for_in_the_same_bytes(flow: Flow) -> None:
    options = {name: min(words) for name, words in flow.options.items()}
    assert flow.body("k", ["a.jpg"], options) == flow.body("k", ["a.jpg"], dict(options))


def test_anti_ai_asks_for_what_the_contract_has_and_nothing_else() -> None:
    assert json.loads(ANTI_AI.body("k", ["a.jpg", "b.png"], {"strength": "high"})) == {
        "idempotencyKey": "k",
        "files": [{"fileName": "a.jpg"}, {"fileName": "b.png"}],
        "options": {"strength": "high"},
        "orderName": "wf-k",
    }


def test_an_order_with_options_that_no_inbox_has_is_not_ours() -> None:
    assert ANTI_AI.allows({"strength": "low"})
    assert not ANTI_AI.allows({"strength": "lowest"})
    assert not ANTI_AI.allows({})
    assert not ANTI_AI.allows({"strength": "low", "more": "low"})
