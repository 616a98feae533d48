"""Folders that must not overlap: a delivery would be taken again and paid twice, or two inboxes claim one file."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from watchfolder import disk
from watchfolder.config.reading import inbox_sections
from watchfolder.config.sections import Config
from watchfolder.config.values import as_path

_SHAREABLE = {"outbox", "quarantine", "originals"}  # several inboxes may use one


class _Folder(NamedTuple):
    inbox: str  # "" for the state directory
    role: str
    path: str
    real: str

    @property
    def name(self) -> str:
        return f"inboxes.{self.inbox}.{self.role}" if self.inbox else self.role


def folder_faults(tree: Mapping[str, Any], silent_seconds: float) -> list[str]:
    """Return a fault for each pair of folders in `tree` that overlap. Values that are no paths are skipped.

    Links are followed, but not those in the path of a folder that does not answer for `silent_seconds`.
    """
    named = [("", "state_dir", tree.get("state_dir", Config.model_fields["state_dir"].default))]
    for name, section in inbox_sections(tree):
        named += [(name, role, section.get(role)) for role in ("path", "outbox", "quarantine", "originals", "work")]
    paths = [(name, role, path) for name, role, value in named if (path := as_path(value))]
    real = disk.follow_links({path for *_, path in paths}, silent_seconds)
    folders = [_Folder(name, role, path, real[path]) for name, role, path in paths]
    faults = [fault for one, other in combinations(folders, 2) if (fault := _fault_of(one, other))]
    return [*faults, *_faults_of_way_back(folders)]


def _fault_of(one: _Folder, other: _Folder) -> str | None:
    inner, outer = (one, other) if _is_within(one.real, other.real) else (other, one)
    if not _is_within(inner.real, outer.real) or _may_meet(inner, outer):
        return None
    if inner.real == outer.real:
        inner, outer = other, one  # the one that comes later is the one to change
    how = "is the same folder as" if inner.real == outer.real else "lies inside"
    return f"{inner.name}: {inner.path} {how} {outer.name} ({outer.path}): {_why(inner.role, outer.role)}"


def _may_meet(inner: _Folder, outer: _Folder) -> bool:
    is_of_two = inner.inbox != outer.inbox
    if inner.role == "work" and (outer.role == "path" or (outer.role == "outbox" and is_of_two)):
        return any(part.startswith(".") for part in inner.real[len(outer.real) :].split("/"))
    if inner.real == outer.real and is_of_two and {inner.role, outer.role} == {"path", "outbox"}:
        return True  # the one delivers, the next one takes that
    return inner.role == outer.role and inner.role in _SHAREABLE


def _faults_of_way_back(folders: Sequence[_Folder]) -> Iterator[str]:
    """Yield a fault for each inbox whose pictures would come back to it, to be paid for without end."""
    takers = {folder.real: folder.inbox for folder in _all_of("path", folders)}
    outboxes = _all_of("outbox", folders)
    after = {outbox.inbox: takers.get(outbox.real) for outbox in outboxes}
    for outbox in outboxes:
        way = [outbox.inbox]
        while (taker := after.get(way[-1])) and taker not in way:
            way.append(taker)
        if taker == outbox.inbox and len(way) > 1:
            names = " → ".join([*way, taker])
            yield f"{outbox.name}: {outbox.path}: its pictures would go round ({names}), and be paid for without end"


def _all_of(role: str, folders: Sequence[_Folder]) -> list[_Folder]:
    return [folder for folder in folders if folder.role == role]


def _why(inner: str, outer: str) -> str:
    if inner == outer == "path":
        return "a picture would be taken twice"
    if inner == "work" and outer == "path":
        return "in a watched folder it needs a name that begins with a dot"
    if "path" in {inner, outer}:
        return "what is put there would be taken again"
    return "each needs a folder of its own"


def _is_within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith(outer.rstrip("/") + "/")
