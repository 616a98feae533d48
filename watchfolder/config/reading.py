"""From a YAML file to a tree of plain values; faults carry line and column."""

import errno
import os
import stat
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import yaml
from typing_extensions import override

from watchfolder.errors import ConfigError

_MAX_BYTES = 1024 * 1024
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"


def read(path: str, faults: list[str]) -> dict[str, Any]:
    """Return what `path` holds, and add a fault for each key that is there twice.

    Without a path there is no file, and the tree is empty.
    """
    loader = _Loader(_text_of(path) if path else "")
    try:
        tree = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}{place}: {error.problem or error.context}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    tree = {} if tree is None else tree
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must hold sections such as api: and inboxes:")
    faults += (f"{path}, {fault}" for fault in loader.faults)
    return tree


def read_word(text: str) -> object:
    """Return the number or truth value that YAML reads in `text`; else the text, for the validation to refuse."""
    try:
        value = _Loader(text).get_single_data()
    except (yaml.YAMLError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float) else text


def inbox_sections(tree: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and values of each inbox that looks like one; the rest is for the validation to refuse."""
    inboxes = tree.get("inboxes")
    if isinstance(inboxes, dict):
        yield from ((name, section) for name, section in inboxes.items() if isinstance(section, dict))


def why_not_read(error: OSError) -> str:
    """Say why a file of the configuration cannot be read, and what helps where the right is missing."""
    if isinstance(error, PermissionError):
        return f"{error.strerror}: run this as root (sudo), or let this user read it"
    return error.strerror or type(error).__name__


def first_bytes_of(path: str, most_bytes: int) -> bytes:
    """Return what a file begins with. Raises OSError, also for a pipe: reading that may never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "no regular file")
        return file.read(most_bytes)


def _text_of(path: str) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {why_not_read(error)}") from error
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{path}: is larger than 1 MiB, too large for a configuration")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", errors="replace")
        raise ConfigError(f"{path}, {_place(before)}: not UTF-8 text") from None
    if unprintable := yaml.reader.Reader.NON_PRINTABLE.search(text):
        raise ConfigError(f"{path}, {_place(text[: unprintable.start()])}: a character that YAML does not allow")
    return text


def _place(before: str) -> str:
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


class _Loader(yaml.SafeLoader):
    """Keys are text whatever they look like (`on`, `2024`), and none may be there twice."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.faults: list[str] = []

    @override
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                key.tag = _TEXT
                line = key.start_mark.line + 1
                if lines.setdefault(key.value, line) != line:
                    self.faults.append(f"line {line}: {key.value} is there twice (first in line {lines[key.value]})")
        return super().construct_mapping(node, deep)

    @override
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        # What PyYAML lets through for 2001-99-99, !!bool x, !!int "", a number of too many digits…
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError):
            problem = "a value that cannot be read: put it in quotes"
            raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark) from None
