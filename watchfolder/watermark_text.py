"""The text of a watermark, made from a template: what is known of the file, for whom it is, and a number of its own."""

import string
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import starmap

CHARACTERS_AT_MOST = 1000
"""The longest text that the service takes."""

LITERAL_AT_MOST = 500
"""The longest text of a template apart from its fields, so that they have room."""

FIELDS_AT_MOST = 20


class Field(StrEnum):
    NAME = "name"  # of the file, with its extension
    STEM = "stem"  # without it
    FOLDER = "folder"  # the sub-folder of the inbox; empty in its top
    RECIPIENT = "recipient"
    YEAR = "year"
    DATE = "date"  # ISO 8601
    SERIAL = "serial"  # never given twice: what makes a text unique


_SHORTENED = (Field.FOLDER, Field.NAME, Field.STEM, Field.RECIPIENT)  # never what identifies the issue


class TemplateFault(ValueError):
    """The template cannot be used; the message says what is wrong and what to write instead."""


@dataclass(frozen=True)
class Template:
    """Pieces of literal text, each with the field that follows it, if any does."""

    pieces: tuple[tuple[str, Field | None], ...]

    @classmethod
    def parse(cls, text: str) -> "Template":
        """Read a template; TemplateFault if it has an unknown field, stray braces or nothing to say."""
        try:
            found = list(string.Formatter().parse(text))
        except ValueError:
            raise TemplateFault("it has a brace without its partner; write a brace itself twice: {{ or }}") from None
        pieces = list(starmap(_piece, found))
        said, fields = "".join(literal for literal, _ in pieces), [field for _, field in pieces if field]
        if len(fields) > FIELDS_AT_MOST:
            raise TemplateFault(f"it has more than {FIELDS_AT_MOST} fields; leave some out")
        if len(said) > LITERAL_AT_MOST:
            raise TemplateFault(f"it has more than {LITERAL_AT_MOST} characters besides its fields; shorten it")
        if not said.strip() and not fields:
            raise TemplateFault("it is empty; write what the watermark is to say")
        if Field.SERIAL not in fields:
            pieces.append((" ", Field.SERIAL))
        return cls(tuple(pieces))

    def fill(self, facts: Mapping[Field, str]) -> str:
        """Return the text: on one line, without space around it, as long as the service takes it.

        Long names are shortened, the longest first; the serial never is.
        """
        values = {field: _on_one_line(facts.get(field, "")) for field in Field}
        while (excess := len(self._text(values)) - CHARACTERS_AT_MOST) > 0:
            longest = max(_SHORTENED, key=lambda field: len(values[field]) * self._count(field))
            kept = len(values[longest]) - excess // max(1, self._count(longest)) - 2
            values[longest] = values[longest][: max(0, kept)] + "…"
        return self._text(values)

    def _count(self, field: Field) -> int:
        return sum(found is field for _, found in self.pieces)

    def _text(self, values: Mapping[Field, str]) -> str:
        return _on_one_line("".join(literal + (values[field] if field else "") for literal, field in self.pieces))


def _piece(literal: str, name: str | None, spec: str | None, conversion: str | None) -> tuple[str, Field | None]:
    if name is None:
        return literal, None
    if spec or conversion or name not in tuple(Field):
        known = " ".join(f"{{{field}}}" for field in Field)
        written = name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
        raise TemplateFault(f"{{{written}}} is no field; there are {known}")
    return literal, Field(name)


def _on_one_line(text: str) -> str:
    composed = unicodedata.normalize("NFC", text)  # as the service gives it back, whatever spelling a name has
    return " ".join("".join(char if char.isprintable() else " " for char in composed).split())
