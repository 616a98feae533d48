"""Tables that people open in a spreadsheet. Pure."""

import csv
import io
import re
from collections.abc import Sequence

_FORMULA = re.compile(r"\s*[=+\-@|%\uff1d\uff0b\uff0d\uff20]")  # how a spreadsheet knows one, full-width forms as well


def row(values: Sequence[str | float | None]) -> str:
    """Return one line of CSV, without its end, in which no text is taken for a formula."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(
        [_no_formula(value) if isinstance(value, str) else value for value in values]
    )
    return line.getvalue()


def text_of(cell: str) -> str:
    """Return the text of which `row` has made a cell."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def _no_formula(text: str) -> str:
    """Keep a spreadsheet from reckoning with a file's name: it takes what follows an apostrophe as text."""
    return f"'{text}" if _FORMULA.match(text) else text
