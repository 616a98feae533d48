"""What each service is asked for, and what its answer means: from a value alone."""

import json
from itertools import pairwise

import pytest
from made_orders import made_order

from watchfolder.config import VERDICTS
from watchfolder.config.sections import SERVICES
from watchfolder.order import Finding, OrderFile
from watchfolder.services import FLOWS, Flow, Stage, named, words_of
from watchfolder.services.ai_detection import AI_DETECTION, read_finding
from watchfolder.services.anti_ai import ANTI_AI

KEY = "6f1f0a53-5ad3-4d0e-9a53-0f5b7c7a2f11"


def test_the_configuration_has_the_services_that_there_are() -> None:
    assert set(FLOWS) == set(SERVICES)


def fewest_files(flow: Flow) -> list[OrderFile]:
    return [named(name) for name in ("a.jpg", "b.jpg")[: flow.files[0]]]


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_the_same_order_is_always_asked_for_in_the_same_bytes(flow: Flow) -> None:
    options, files = {name: min(words) for name, words in flow.options.items()}, fewest_files(flow)
    assert flow.body("k", files, options) == flow.body("k", list(files), dict(options))


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_a_body_tells_the_files_again_and_a_foreign_one_is_not_ours(flow: Flow) -> None:
    options, files = {name: min(words) for name, words in flow.options.items()}, fewest_files(flow)
    body = flow.body("k", files, options)
    assert [file.sent_name for file in flow.read_body(body)] == [file.sent_name for file in files]
    assert flow.files_in(body) == len(files)
    assert flow.has_made(body, "k", options)
    foreign = [
        body.replace('"k"', '"j"'),
        body.replace("a.jpg", "../a.jpg"),
        '{"files": [{}]}',
        "[]",
        "[" * 100_000,
        "",
    ]
    assert not any(flow.has_made(text, "k", options) for text in foreign)


def test_anti_ai_asks_for_what_the_contract_has_and_nothing_else() -> None:
    assert json.loads(ANTI_AI.body("k", [named("a.jpg"), named("b.png")], {"strength": "high"})) == {
        "idempotencyKey": "k",
        "files": [{"fileName": "a.jpg"}, {"fileName": "b.png"}],
        "options": {"strength": "high"},
        "orderName": "wf-k",
    }


def test_a_picture_with_an_address_is_asked_for_by_that_and_read_back_with_it() -> None:
    address = "https://img.example.com/b.jpg?token=s3cret"
    body = ANTI_AI.body("k", [named("a.jpg"), named("b.jpg", address=address)], {"strength": "high"})
    assert json.loads(body)["files"] == [{"fileName": "a.jpg"}, {"fileName": "b.jpg", "originalFileUrl": address}]
    assert [file.address for file in ANTI_AI.read_body(body)] == ["", address]
    assert ANTI_AI.has_made(body, "k", {"strength": "high"})
    assert "s3cret" not in repr(named("b.jpg", address=address))


def test_an_order_with_options_that_no_inbox_has_is_not_ours() -> None:
    assert ANTI_AI.are_known({"strength": "low"})
    assert not ANTI_AI.are_known({"strength": "lowest"})
    assert not ANTI_AI.are_known({})
    assert not ANTI_AI.are_known({"strength": "low", "more": "low"})


def test_a_detection_is_of_one_picture_and_has_a_heatmap_made_for_later() -> None:
    body = json.loads(AI_DETECTION.body("k", [named("a.jpg")], {}))
    assert body.pop("options") == {"generateHeatmap": True}
    assert body == {"idempotencyKey": "k", "fileName": "a.jpg", "orderName": "wf-k"}
    assert (len(AI_DETECTION.files), AI_DETECTION.charged_at) == (1, Stage.START)


@pytest.mark.parametrize(
    "shown",
    [
        {"status": "complete", "result": {"verdict": "likely_ai", "probability": 0.98, "heatmapUrl": None}},
        {"status": "complete", "statusCode": "likely_ai", "probability": 0.98},
        {"status": "complete", "statusCode": "4", "probability": 0.98},
        {"status": "complete", "statusCode": None, "probability": 0.98},
        {"status": "complete", "statusCode": None, "probability": "0.98"},
    ],
    ids=["v3 read", "v2 read and list", "numbers of old", "probability alone", "as text"],
)
def test_a_verdict_is_read_wherever_it_stands(shown: dict[str, object]) -> None:
    assert read_finding(shown) == Finding(verdict="likely_ai", facts={"probability": 0.98})


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"result": None},
        {"result": {"verdict": None, "probability": None}},
        {"result": {"verdict": "../../etc", "probability": "nine"}},
        {"statusCode": "likely_ai/..", "probability": True},
        {"statusCode": "new_word", "probability": 1.5},
        {"statusCode": 4, "probability": float("nan")},
        {"statusCode": None, "probability": 10**400},
        {"statusCode": None, "probability": "NaN"},
    ],
)
def test_what_is_no_verdict_is_none(shown: dict[str, object]) -> None:
    assert read_finding(shown) is None


def test_a_probability_without_its_word_is_told_by_the_documented_bounds() -> None:
    words = [read_finding({"probability": number / 100}) for number in range(101)]
    found, verdicts = [word.verdict for word in words if word], VERDICTS["ai-detection"]
    assert [found.index(verdict) for verdict in verdicts] == [0, 25, 50, 75]
    assert all(verdicts.index(before) <= verdicts.index(after) for before, after in pairwise(found))


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_what_has_only_addresses_is_charged_with_its_create(flow: Flow) -> None:
    sent, fetched = named("a.jpg"), named("b.jpg", address="https://example.com/b.jpg")
    order = made_order(fetched, service=flow.name)
    assert flow.paid_at(order) is Stage.CREATE
    assert flow.paid_at(order.having(files=(fetched, sent))) is flow.charged_at


def test_each_verdict_that_can_be_configured_has_words_of_its_own() -> None:
    assert VERDICTS.keys() == {flow.name for flow in FLOWS.values() if flow.findings}
    for service, verdicts in VERDICTS.items():
        words = {words_of(service, Finding(verdict=verdict)) for verdict in verdicts}
        assert len(words - set(verdicts)) == len(verdicts)
