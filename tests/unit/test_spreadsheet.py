"""Tables for a spreadsheet: no text is a formula in one, whatever separates its cells, and all are read back."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfolder.spreadsheet import row, text_of

TEXTS = st.text(st.sampled_from("a;\t\n'\"=-@ ,|\u00a0"), max_size=12) | st.text(max_size=12)
FORMULA = re.compile(r"\s*[=+\-@|%]")


def cell(text: str) -> str:
    """Return what a program finds in the middle one of three."""
    (cells,) = csv.reader(io.StringIO(row(["a", text, "z"]), newline=""))
    return cells[1]


@pytest.mark.parametrize("text", ["name;=1+1.jpg", "a;\t@x", 'a;"=1+1"', "two\n-1", "a;b; +c", "=1;=2"])
def test_no_text_is_a_formula_where_a_semicolon_separates_cells(text: str) -> None:
    for separator in ";\t":
        for cells in csv.reader(io.StringIO(row(["a", text, "z"]), newline=""), delimiter=separator):
            assert not [each for each in cells if FORMULA.match(each.strip('"'))]


@pytest.mark.parametrize("text", ["'=1+1.jpg", "''=1", "a;'=1", "'tis", "name;plain", "' =", "=x", "a;' -1"])
def test_a_text_is_read_back_with_each_of_its_apostrophes(text: str) -> None:
    assert text_of(cell(text)) == text


@given(TEXTS)
def test_any_text_is_read_back(text: str) -> None:
    assert text_of(cell(text)) == text
