"""A watermark's text says what its template says, fits the service, and is no other issue's."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfolder.watermark_text import CHARACTERS_AT_MOST, Field, Template, TemplateFault

FACTS = {
    Field.NAME: "harbour.png",
    Field.STEM: "harbour",
    Field.FOLDER: "2026/spring",
    Field.RECIPIENT: "dpa",
    Field.YEAR: "2026",
    Field.DATE: "2026-11-28",
    Field.SERIAL: "17",
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("© Studio Berg {year} {serial}", "© Studio Berg 2026 17"),
        ("{serial} {recipient}", "17 dpa"),
        ("{name} {stem} {folder} {date} {serial}", "harbour.png harbour 2026/spring 2026-11-28 17"),
        ("{{{serial}}}", "{17}"),
        ("  {serial}  \n for\t{recipient} ", "17 for dpa"),
    ],
)
def test_fields_are_filled_in(template: str, text: str) -> None:
    assert Template.parse(template).fill(FACTS) == text


@pytest.mark.parametrize("template", ["© Studio Berg", "{name} {recipient}", "{date}"])
def test_a_template_without_a_serial_gets_one(template: str) -> None:
    assert Template.parse(template).fill(FACTS).endswith(" 17")


def test_a_field_without_a_fact_leaves_no_gap() -> None:
    text = Template.parse("{serial} {recipient} {folder} {year}").fill({Field.SERIAL: "17", Field.YEAR: "2026"})
    assert text == "17 2026"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{who}", "{who} is no field; there are {name} {stem} {folder} {recipient} {year} {date} {serial}"),
        ("{}", "{} is no field"),
        ("{0}", "{0} is no field"),
        ("{name.__class__}", "{name.__class__} is no field"),
        ("{name[0]}", "{name[0]} is no field"),
        ("{name!r}", "{name!r} is no field"),
        ("{name:>9999999}", "{name:>9999999} is no field"),
        ("{Name}", "{Name} is no field"),
        ("{name", "brace"),
        ("name}", "brace"),
        ("", "is empty"),
        (" \n", "is empty"),
        ("x" * 501, "500 characters"),
        ("{name}" * 21, "20 fields"),
    ],
)
def test_a_template_that_cannot_be_used_names_the_place_and_the_way_out(template: str, words: str) -> None:
    with pytest.raises(TemplateFault) as refused:
        Template.parse(template)
    assert words in str(refused.value)


def test_long_names_are_shortened_and_the_serial_never() -> None:
    facts = FACTS | {Field.FOLDER: "f" * 4000, Field.NAME: "n" * 255}
    text = Template.parse("{folder} {name} {serial}").fill(facts)
    assert len(text) <= CHARACTERS_AT_MOST
    assert text.endswith(f"… {'n' * 255} 17")


def test_of_names_that_are_all_too_long_one_is_kept_as_far_as_it_fits() -> None:
    facts = FACTS | dict.fromkeys((Field.FOLDER, Field.NAME, Field.STEM, Field.RECIPIENT), "n" * 255)
    text = Template.parse("{folder} {name} {stem} {recipient} " * 4 + "{serial}").fill(facts)
    assert CHARACTERS_AT_MOST - 10 < len(text) <= CHARACTERS_AT_MOST
    assert text.startswith("… … … nnn")
    assert text.endswith("n… 17")


fields = st.sampled_from([f"{{{field}}}" for field in Field])
templates = st.lists(fields | st.text(st.characters(exclude_characters="{}"), max_size=20), min_size=1, max_size=15)


@given(templates.map("".join), st.dictionaries(st.sampled_from(Field), st.text(max_size=1500)))
def test_any_text_fits_the_service(template: str, facts: dict[Field, str]) -> None:
    serial = "0017"
    facts |= {Field.SERIAL: serial, Field.YEAR: "2026", Field.DATE: "2026-11-28"}
    try:
        text = Template.parse(template).fill(facts)
    except TemplateFault:
        return
    assert 1 <= len(text) <= CHARACTERS_AT_MOST
    assert text == text.strip()
    assert serial in text
    assert text.isprintable()


@given(st.text(max_size=60))
def test_any_template_is_read_or_refused_in_words(text: str) -> None:
    with contextlib.suppress(TemplateFault):
        assert FACTS[Field.SERIAL] in Template.parse(text).fill(FACTS)
