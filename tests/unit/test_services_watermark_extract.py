"""Which file belongs to which, and what the service says of a pair: from the value of the service alone."""

import json
import unicodedata

import pytest
from made_orders import made_order

from watchfolder.order import Finding, Role
from watchfolder.services import Alone, Pair, named
from watchfolder.services.watermark_extract import WATERMARK_EXTRACT, read_finding

PAIRS = WATERMARK_EXTRACT.pairs
FINDINGS = WATERMARK_EXTRACT.findings
assert PAIRS is not None
assert FINDINGS is not None


def pair_of(name: str, *others: str) -> Pair | Alone:
    assert PAIRS is not None
    there = [name, *others]
    return PAIRS.find(name, [each for each in there if PAIRS.shared(each) == PAIRS.shared(name)])


@pytest.mark.parametrize(
    ("original", "picture"),
    [
        ("a.original.jpg", "a.jpg"),
        ("a.original.tif", "a.png"),
        ("A.ORIGINAL.JPG", "a.jpg"),
        ("in/Füße.original.jpg", f"in/{unicodedata.normalize('NFD', 'Füße')}.jpg"),
        ("a.b.original.jpg", "a.b.jpg"),
    ],
)
def test_a_picture_and_its_original_find_each_other(original: str, picture: str) -> None:
    assert pair_of(original, picture) == pair_of(picture, original) == Pair(original, picture)


@pytest.mark.parametrize("other", ["b.original.jpg", "in/a.original.jpg", "aoriginal.jpg", "a.originals.jpg"])
def test_what_has_another_name_or_folder_is_no_original_of_it(other: str) -> None:
    assert pair_of("a.jpg", other) == Alone(
        "its original is not there yet: a.original.jpg, beside it", lacks_original=True
    )


def test_an_original_waits_for_its_picture() -> None:
    said = Alone("the picture that it is the original of is not there yet: a.jpg, beside it")
    assert pair_of("a.original.jpg") == pair_of("a.original.jpg", "b.jpg") == said


def test_of_several_each_belongs_to_the_one_of_its_own_kind() -> None:
    there = ["a.jpg", "a.png", "a.original.jpg", "a.original.png"]
    assert pair_of("a.jpg", *there[1:]) == Pair("a.original.jpg", "a.jpg")
    assert pair_of("a.original.png", *there[:3]) == Pair("a.original.png", "a.png")


def test_the_last_two_belong_together_whatever_their_kinds() -> None:
    there = ["a.jpg", "a.original.jpg", "a.png", "a.original.tif"]
    assert pair_of("a.png", "a.jpg", "a.original.jpg", "a.original.tif") == Pair("a.original.tif", "a.png")
    assert pair_of(*there) == Pair("a.original.jpg", "a.jpg")


def test_a_second_picture_waits_for_an_original_of_its_own() -> None:
    found = pair_of("a.png", "a.jpg", "a.original.jpg")
    assert found == Alone("its original is not there yet: a.original.png, beside it", lacks_original=True)
    assert pair_of("a.jpg", "a.png", "a.original.jpg") == Pair("a.original.jpg", "a.jpg")


@pytest.mark.parametrize(
    "others",
    [
        ["a.original.png", "a.original.tif"],
        ["a.bmp", "a.original.png"],
        ["A.JPG", "a.original.jpg"],
        ["a.original.jpg", "A.original.jpg"],
    ],
)
def test_where_it_is_not_clear_what_belongs_together_nothing_is_guessed(others: list[str]) -> None:
    said = pair_of("a.jpg", *others)
    assert isinstance(said, Alone)
    assert said.reason.startswith("which belongs to which?")
    assert not said.lacks_original
    assert all(name in said.reason for name in ("a.jpg", *others))


def test_the_service_is_told_of_the_original_within_the_picture() -> None:
    files = [named("a.png", role=Role.ORIGINAL), named("b.jpg")]
    body = WATERMARK_EXTRACT.body("k", files, {})
    assert json.loads(body) == {
        "idempotencyKey": "k",
        "file": {"fileName": "b.jpg", "originalFile": {"fileName": "a.png"}},
    }
    assert WATERMARK_EXTRACT.read_body(body) == files


@pytest.mark.parametrize("word", ["undetected", "inconclusive", "unsupported", "error"])
def test_a_verdict_is_read_wherever_it_stands(word: str) -> None:
    in_full = {"status": "complete", "result": {"detectionStatus": word, "watermarkText": None}}
    assert read_finding(in_full) == read_finding({"statusCode": word})
    assert read_finding(in_full) == Finding(verdict=word, facts={"watermarkText": None})


def test_the_older_word_for_undetected_is_the_same_verdict() -> None:
    assert read_finding({"statusCode": "not_detected"}) == read_finding({"statusCode": "undetected"})


def test_what_was_detected_is_not_all_told_without_its_text() -> None:
    assert read_finding({"status": "complete", "statusCode": "detected"}) is None
    told = read_finding({"result": {"detectionStatus": "detected", "watermarkText": "2026-17 dpa"}})
    assert told == Finding(verdict="detected", facts={"watermarkText": "2026-17 dpa"})


@pytest.mark.parametrize(
    "shown", [{}, {"result": None}, {"result": {"detectionStatus": None}}, {"statusCode": "../etc"}, {"statusCode": 4}]
)
def test_what_is_no_verdict_is_none(shown: dict[str, object]) -> None:
    assert read_finding(shown) is None


def test_who_it_was_given_to_is_said_as_far_as_that_is_known() -> None:
    assert FINDINGS is not None
    told = Finding(verdict="detected", facts={"watermarkText": "2026-17", "recipient": "dpa"})
    assert FINDINGS.say(told) == 'a watermark is there: "2026-17", given to dpa'
    nameless = Finding(verdict="detected", facts={"watermarkText": None})
    assert "another account set it, or the same text was given out more than once" in FINDINGS.say(nameless)


@pytest.mark.parametrize(("verdict", "named_one"), [("detected", "dpa"), ("undetected", None), ("inconclusive", None)])
def test_nobody_is_named_but_for_what_was_detected(verdict: str, named_one: str | None) -> None:
    assert FINDINGS is not None
    files = (named("a.original.jpg", role=Role.ORIGINAL), named("a.jpg"))
    order = made_order(*files, service="watermark-extract")
    told = Finding(verdict=verdict, facts={"watermarkText": "2026-17"})
    assert FINDINGS.about(told, order, lambda _text: "dpa").facts["recipient"] == named_one
