"""From quarantine back into the inbox: what a person may also do by hand."""

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from watchfolder import disk, quarantine
from watchfolder.config import Config, Inbox
from watchfolder.disk import Place
from watchfolder.errors import FolderFault, UnknownName
from watchfolder.events import printable
from watchfolder.folders import Folders
from watchfolder.publish.free_names import names_for
from watchfolder.quarantine import Picture

_OWNER = "retry"  # signs copies between file systems; the daemon sweeps its own only


@dataclass(frozen=True)
class Moved:
    source: str
    target: str


def find(config: Config, wanted: Sequence[str]) -> list[Picture]:
    """Return the pictures that `wanted` names: each by its name, its note's, or that of a folder that it is in.

    Raises UnknownName; FolderFault when a name may lie in a folder that failed.
    """
    faults: dict[str, FolderFault] = {}
    there = quarantine.list_pictures(config, faults)
    folders = {os.path.dirname(os.path.abspath(name)) for name in wanted}
    real = disk.follow_links(folders | {picture.place.root for picture in there})
    found: dict[str, Picture] = {}
    lines = []
    for name in wanted:
        fitting = [picture for picture in there if _is_named(picture, name, real)]
        if why_not := _why_not(name, fitting, there):
            lines.append(f"{printable(name)}: {why_not}")
        found |= {picture.place.path: picture for picture in fitting}
    if lines:
        raise next(iter(faults.values()), UnknownName(lines))
    return list(found.values())


def find_all(config: Config, faults: dict[str, FolderFault]) -> tuple[list[Picture], int]:
    """Return all that another try may help, the longest-waiting first, and how many others failed.

    Each folder that fails is put into `faults`.
    """
    failed = [each for each in reversed(quarantine.list_pictures(config, faults)) if each.has_failed]
    hopeful = [each for each in failed if quarantine.note_of(each).retry_helps]
    return hopeful, len(failed) - len(hopeful)


def move_back(pictures: Sequence[Picture], config: Config) -> Iterator[Moved | FolderFault]:
    """Move each picture to its place below its inbox, or say why not; its note goes after it has gone."""
    folders = Folders(config.state_dir, _OWNER, config.commands, config.inboxes.values())
    for picture in pictures:
        inbox = quarantine.inbox_of(picture, config.state_dir)
        if inbox is None:
            yield FolderFault.at(printable(picture.place.path), "its inbox is not known: move it back by hand")
            continue
        try:
            disk.answer_of(partial(folders.require_folder, inbox.path), inbox.path)
            yield _move_back(picture, inbox)
        except FileNotFoundError:
            yield FolderFault.at(printable(picture.place.path), "it is gone")
        except FolderFault as fault:
            yield fault


def _move_back(picture: Picture, inbox: Inbox) -> Moved:
    disk.sweep(inbox.path, disk.HIDDEN, _OWNER)  # what an interrupted retry left
    for base in names_for(picture.place.base, disk.name_limit(inbox.path)):
        target = Place(inbox.path, picture.place.name).beside(base)
        try:
            disk.move(picture.place, target, owner=_OWNER)  # also onto a taken name: that completes an interrupted move
        except FileExistsError:
            continue
        if picture.why is not None:
            disk.remove(picture.why)
        return Moved(picture.place.path, target.path)
    raise FolderFault.at(inbox.path, f"too many files are called {printable(picture.place.base)} already")


def _is_named(picture: Picture, name: str, real: Mapping[str, str]) -> bool:
    """Does `name`, below quarantine or a whole path, mean this picture, its note, or a folder that it is in?"""
    whole = os.path.abspath(name)
    resolved = os.path.join(real[os.path.dirname(whole)], os.path.basename(whole))
    place = picture.place
    root = real[place.root]
    known = {place.name, place.path, os.path.join(root, place.name)}
    if picture.why is not None:
        known |= {picture.why.name, picture.why.path, os.path.join(root, picture.why.name)}
    below = name.rstrip("/") + "/"
    is_within = place.name.startswith(below) or place.path.startswith((f"{whole}/", f"{resolved}/"))
    return bool(known & {name, whole, resolved}) or is_within


def _why_not(name: str, fitting: Sequence[Picture], there: Sequence[Picture]) -> str | None:
    """Say why a name does not tell what is meant; None where it does."""
    if len({picture.place.root for picture in fitting}) == 1:
        return None
    if fitting:
        paths = ", ".join(printable(picture.place.path) for picture in fitting)
        return f"there are several, name one by its path: {paths}"
    near = difflib.get_close_matches(name, [picture.place.name for picture in there], n=3)
    near = near or [picture.place.name for picture in there if os.path.basename(name) == picture.place.base]
    meant = f"; did you mean {' or '.join(map(printable, near))}?" if near else ""
    return f"no such file in quarantine{meant}"
