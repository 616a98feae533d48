"""Folders that must not meet: a delivery would be taken again and paid twice, or one file claimed by two inboxes."""

import contextlib
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, NamedTuple

from watchfolder import disk
from watchfolder.config.reading import inbox_sections
from watchfolder.config.sections import Config, absolute, with_defaults

_SHAREABLE = {"outbox", "quarantine", "originals"}  # several inboxes may use one


class _Folder(NamedTuple):
    where: str
    role: str
    path: str
    real: str


def overlaps(tree: Mapping[str, Any], silent_seconds: float) -> list[str]:
    """Return a fault for each pair of folders in `tree` that meet. Values that are no paths are passed over.

    A folder that does not answer for `silent_seconds` counts as where it is written.
    """
    named = [(where, role, path) for where, role, value in _named_folders(tree) if (path := _path_or_none(value))]
    real = disk.real_paths({path for _, _, path in named}, silent_seconds)
    folders = [_Folder(where, role, path, real[path]) for where, role, path in named]
    return [fault for one, other in combinations(folders, 2) if (fault := _clash(one, other))]


def _named_folders(tree: Mapping[str, Any]) -> Iterator[tuple[str, str, object]]:
    state_dir = tree.get("state_dir")
    yield "state_dir", "state_dir", Config.model_fields["state_dir"].default if state_dir is None else state_dir
    for name, section in inbox_sections(tree):
        values = with_defaults(section)
        for role in ("path", "outbox", "quarantine", "originals", "work"):
            yield f"inboxes.{name}.{role}", role, values.get(role)


def _path_or_none(value: object) -> str | None:
    with contextlib.suppress(ValueError):
        return absolute(value) if isinstance(value, str) else None
    return None


def _clash(one: _Folder, other: _Folder) -> str | None:
    inner, outer = (one, other) if _is_within(one.real, other.real) else (other, one)
    if not _is_within(inner.real, outer.real) or _may_meet(inner, outer):
        return None
    if inner.real == outer.real:
        inner, outer = other, one  # the one that comes later is the one to change
    how = "is the same folder as" if inner.real == outer.real else "lies inside"
    return f"{inner.where}: {inner.path} {how} {outer.where} ({outer.path}): {_consequence(inner.role, outer.role)}"


def _may_meet(inner: _Folder, outer: _Folder) -> bool:
    if inner.role == "work" and outer.role == "path":
        return any(part.startswith(".") for part in inner.real[len(outer.real) :].split("/"))
    return inner.role == outer.role and inner.role in _SHAREABLE


def _consequence(inner: str, outer: str) -> str:
    if inner == outer == "path":
        return "a picture would be taken twice"
    if inner == "work" and outer == "path":
        return "in a watched folder it needs a name that begins with a dot"
    if "path" in {inner, outer}:
        return "what is put there would be taken again"
    return "each needs a folder of its own"


def _is_within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(outer.rstrip("/") + "/")
