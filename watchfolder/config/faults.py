"""What is wrong with the values, in plain words: unknown keys, and what the sections refuse."""

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


def drop_unknown(tree: dict[str, Any]) -> list[str]:
    """Remove what no section knows from `tree`, and return a fault for each. Then name each inbox.

    A section that is not there becomes an empty one.
    """
    tree |= {name: {} for name in ("api", "http", "webhook") if tree.get(name) is None}
    faults = list(_drop_within(tree, Config, ""))
    inboxes = tree["inboxes"] if isinstance(tree.get("inboxes"), dict) else {}
    for name, inbox in list(inboxes.items()):
        if inbox is None or isinstance(inbox, dict):
            inboxes[name] = found = dict(inbox or {})  # a copy: two may share an anchor
            faults += _drop_within(found, Inbox, f"inboxes.{name}.")
            found["name"] = name
    return faults


def _drop_within(section: dict[str, Any], model: type[Section], where: str) -> Iterator[str]:
    for key in [key for key in section if key not in model.key_names()]:
        del section[key]
        yield f"{where}{key}: {advice(str(key), model)}"
    for key, inner in model.sections().items():
        if inner is not Inbox and isinstance(section.get(key), dict):
            section[key] = dict(section[key])  # as above
            yield from _drop_within(section[key], inner, f"{where}{key}.")


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
