"""Settings from environment variables, for containers: `WATCHFOLDER__INBOXES__PHOTOS__STRENGTH=low`.

A variable's name is the path of a setting in capitals, its parts joined by two underscores; a name that ends in `_FILE`
gives a file that holds the value. They override the YAML, and an inbox can be made of them alone.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, get_args, get_origin

from pydantic.fields import FieldInfo

from watchfolder.config.faults import advice
from watchfolder.config.reading import first_bytes_of, read_word
from watchfolder.config.sections import Config, Inbox, Section
from watchfolder.errors import ConfigError

PREFIX: Final = "WATCHFOLDER__"
CONTAINER: Final = "WATCHFOLDER_CONTAINER"
"""Set by the image: we run in its container. It names the mount for configuration, key, password and state."""

_FILE = "_file"
_MAX_BYTES = 64 * 1024


def ours_in(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are settings; an empty one counts as left out."""
    return {name: text for name, text in sorted(environ.items()) if name.startswith(PREFIX) and text.strip()}


def is_container(environ: Mapping[str, str]) -> bool:
    return bool(environ.get(CONTAINER))


def names_inbox(environ: Mapping[str, str]) -> bool:
    """Tell whether there is an inbox that needs no file, which must have a path."""
    return any(re.fullmatch(f"{PREFIX}INBOXES__.+__PATH(_FILE)?", name) for name in ours_in(environ))


def add_to(tree: dict[str, Any], environ: Mapping[str, str], faults: list[str]) -> dict[str, str]:
    """Put the settings of the environment into `tree`; return the path of each with the variable that it came from.

    Adds a fault for each variable that is no setting.
    """
    origins: dict[str, str] = {}
    for name, text in ours_in(environ).items():
        parts = [part.lower() for part in name.removeprefix(PREFIX).split("__")]
        try:
            path, field, is_in_file = _follow(parts, tree)
            value = _read_file(text.strip()) if is_in_file else text.strip()
            # A number or a word of YAML where the setting is one; else the text is the value.
            is_text = {field.annotation, *get_args(field.annotation)}.isdisjoint({int, float, bool})
            _put(tree, path, value if is_text else read_word(value))
        except ConfigError as error:
            faults.append(f"${name}: {error.reason}")
        else:
            origins[".".join(path)] = f"${name}"
    return origins


def _follow(parts: list[str], tree: Mapping[str, Any]) -> tuple[list[str], FieldInfo, bool]:
    """Follow the parts of a name to a setting: its path, its field, and whether a file holds the value."""
    section: type[Section] | None = Config
    path: list[str] = []
    while section is not None:
        key, *parts = parts
        known = section.key_names()
        is_in_file = not parts and key not in known and key.removesuffix(_FILE) in known
        key = key.removesuffix(_FILE) if is_in_file else key
        if key not in known:
            raise ConfigError(advice(key, section))
        field, section = section.model_fields[key], section.sections().get(key)
        path.append(key)
        if section is Inbox and parts:
            path.append(_inbox(tree, parts.pop(0)))
        if (section is not None) != bool(parts) or get_origin(field.annotation) is tuple:
            raise ConfigError(f"{key} is not a single value: set it in the configuration file")
    return path, field, is_in_file


def _inbox(tree: Mapping[str, Any], name: str) -> str:
    """Return the inbox of this name as the file writes it: a variable has neither its case nor its hyphens."""
    written = tree["inboxes"] if isinstance(tree.get("inboxes"), dict) else ()
    return next((str(each) for each in written if str(each).lower().replace("-", "_") == name), name)


def _read_file(path: str) -> str:
    try:
        return first_bytes_of(path, _MAX_BYTES).decode("utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it holds no text'}") from None


def _put(tree: dict[str, Any], path: list[str], value: object) -> None:
    """Set the value; where a section is something else, the validation refuses it."""
    at: Any = tree
    for key in path[:-1]:
        section = {} if at.get(key) is None else at[key]
        if not isinstance(section, dict):
            return
        at[key] = at = dict(section)  # a copy: two sections may be one by a YAML anchor
    at[path[-1]] = value
