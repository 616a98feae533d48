"""What is wrong with the values, in plain words: unknown keys, and what the sections refuse."""

import contextlib
import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from watchfolder.config.sections import ApiSection, Config, Inbox, Section
from watchfolder.errors import ConfigError

_A_SECTION = "must be a section of 'name: value' lines"
_WORDS: Mapping[str, str] = {
    "missing": "is required",
    "string_type": "must be text (in quotes, where YAML takes it for something else)",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "greater_than": "must be more than {gt:.12g}",
    "greater_than_equal": "must be at least {ge:.12g}",
    "less_than_equal": "must be at most {le:.12g}",
    "literal_error": "must be {expected}",
    "tuple_type": "must be a list",
    "model_type": _A_SECTION,
    "mapping_type": _A_SECTION,
    "dict_type": _A_SECTION,
    "too_short": "must hold at least one",
    "value_error": "{error}",
}


@contextlib.contextmanager
def add_faults_to(faults: list[str]) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        faults.extend(error.faults)


def keep_known(section: Mapping[str, Any], model: type[Section], faults: list[str], where: str = "") -> dict[str, Any]:
    """Return what `model` knows of a section, with its defaults and those of the sections in it.

    Adds a fault for each unknown key. A value that should be a section is kept, for the validation to refuse.
    """
    names = model.key_names()
    faults += (f"{where}{key}: {advice(key, model)}" for key in section if key not in names)
    known = model.add_default({key: section[key] for key in section if key in names})
    for key, inner in model.sections().items():
        if not isinstance(found := known.get(key), dict):
            continue
        if inner is Inbox:
            known[key] = {name: _named(name, inbox, faults) for name, inbox in found.items()}
        else:
            known[key] = keep_known(found, inner, faults, f"{where}{key}.")
    return known


def _named(name: str, inbox: object, faults: list[str]) -> object:
    if inbox is not None and not isinstance(inbox, dict):
        return inbox
    return keep_known(inbox or {}, Inbox, faults, f"inboxes.{name}.") | {"name": name}


def advice(key: str, model: type[Section]) -> str:
    """Say what to do about a key that `model` does not know."""
    if model is ApiSection and key in {"key", "api_key", "apikey", "token", "secret"}:
        return (
            "the key does not belong here: put it into a file that others cannot read and name it "
            "in api.key_file, or into $BIZMORI_API_KEY"
        )
    near = difflib.get_close_matches(key, model.key_names(), n=1)
    return f"there is no such key; did you mean {near[0]}?" if near else "there is no such key"


def configuration_of(tree: Mapping[str, Any]) -> Config:
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise ConfigError(*map(_in_words, faults)) from None


def _in_words(fault: ErrorDetails) -> str:
    """Return where it is, and a sentence without pydantic's own terms."""
    place = fault["loc"][:-1] if fault["loc"][0] == "inboxes" and fault["loc"][2:] == ("name",) else fault["loc"]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
    words = _WORDS.get(fault["type"])
    return f"{where}: {words.format(**fault.get('ctx', {})) if words else fault['msg']}"
