"""Tables that people open in a spreadsheet. Pure."""

import csv
import io
import re
from collections.abc import Sequence

# Where a cell may begin: spreadsheets of many countries separate cells with semicolons, whatever the file says.
_CELL = r"(?<![^;\t\r\n])"
# What a spreadsheet takes for a formula, also in full-width forms. An apostrophe of the text's own gets another one.
_FORMULA = r"(?='*(?:\"|[^\S;\t\r\n])*[=+\-@|%\uff1d\uff0b\uff0d\uff20])"
_UNGUARDED, _GUARDED = re.compile(_CELL + _FORMULA), re.compile(f"{_CELL}'{_FORMULA}")
_END = "\r\n"


def row(values: Sequence[str | float | None]) -> str:
    """Return one line of CSV, without its end, in which no text is taken for a formula."""
    line = io.StringIO()
    guarded = [_UNGUARDED.sub("'", value) if isinstance(value, str) else value for value in values]
    csv.writer(line, lineterminator=_END).writerow(guarded)  # quotes what holds a character of its end
    return line.getvalue().removesuffix(_END)


def text_of(cell: str) -> str:
    """Return the text from which `row` made this cell."""
    return _GUARDED.sub("", cell)
