"""Names that nothing has yet, as near to the wanted one as the folder allows."""

import logging
import os
import time
from collections.abc import Callable, Collection, Iterator
from itertools import chain, count, islice
from typing import Any

from watchfolder import disk, names
from watchfolder.disk import NotAFolder, Place, UnfitName
from watchfolder.errors import FolderFault
from watchfolder.events import event

OBSTACLES = (FileExistsError, NotAFolder, UnfitName)
"""Faults of a name: another one may do."""

_MOST_NUMBERS = 1_000  # each costs a look; a scanner may call everything it makes by one name, for years


def free_name(
    root: str,
    wanted: str,
    *also: Callable[[Place], Place],
    taken: Collection[str | None] = (),
    is_ours: Callable[[Place], bool] = lambda _place: False,
    is_folder_fixed: bool = False,
) -> str:
    """Return the first name like `wanted`, or a plainer one where that cannot be, that nothing has.

    Nor may anything have the place that one of `also` gives for it, nor may it be among those in `taken`. Where the
    folder is fixed, another one will not do: its maker finds out that something else has the name.
    """

    def is_free(place: Place) -> bool:
        if place.name in taken:
            return False
        wants = [place, *(beside(place) for beside in also)]
        return all(disk.stat_of(each) is None for each in wants) or is_ours(place)

    while True:
        try:
            return _first(root, wanted, is_free, is_folder_fixed=is_folder_fixed)
        except UnfitName:
            unfit, wanted = wanted, names.as_portable(wanted)
            if wanted == unfit:
                raise


def put_under_free_name(
    root: str,
    wanted: str,
    put: Callable[[Place], object],
    *also: Callable[[Place], Place],
    is_ours: Callable[[Place], bool] = lambda _place: False,
) -> Place:
    """Have `put` give something the name that `free_name` returns, and the next one when somebody was quicker.

    `put` raises FileExistsError where the name is taken. Returns the place, also where ours lies there already.
    """
    while True:
        place = Place(root, free_name(root, wanted, *also, is_ours=is_ours))
        try:
            put(place)
        except FileExistsError:
            if not is_ours(place):
                continue
        return place


def another_name(
    inbox: str,
    place: Place,
    wanted: str,
    obstacle: BaseException,
    *also: Callable[[Place], Place],
    is_folder_fixed: bool = False,
) -> str:
    """Return another name for a file whose own has met one of `OBSTACLES`. Raises that where none would do."""
    if isinstance(obstacle, UnfitName):
        wanted = names.as_portable(place.name)
        if wanted == place.name:
            raise obstacle
        facts: dict[str, Any] = {"file": place.path, "to": wanted, "reason": obstacle.reason}
        event("file.renamed", logging.WARNING, inbox=inbox, **facts)
    free = free_name(place.root, wanted, *also, is_folder_fixed=is_folder_fixed)
    if free == place.name and isinstance(obstacle, NotAFolder):
        raise obstacle  # it stands where the file comes from
    return free


def names_for(base: str, limit_bytes: int) -> Iterator[str]:
    """Give the name, and then numbered ones; where these are used up, the seconds since 1970 are the number."""
    yield names.with_end(base, "", limit_bytes)
    for number in chain(range(2, _MOST_NUMBERS), islice(count(int(time.time())), _MOST_NUMBERS)):
        yield names.numbered(base, number, limit_bytes)


def _first(root: str, wanted: str, is_free: Callable[[Place], bool], *, is_folder_fixed: bool) -> str:
    folder, base = os.path.split(wanted)
    limit = disk.name_limit(root)
    for where in _folders(folder, limit):
        try:
            for candidate in names_for(base, limit):
                place = Place(root, os.path.join(where, candidate))
                if is_free(place):
                    return place.name
            break
        except NotAFolder:
            if is_folder_fixed:
                return os.path.join(where, names.with_end(base, "", limit))
    raise FolderFault.at(root, f"{_MOST_NUMBERS} files are called {base} already: make room there", code="EEXIST")


def _folders(folder: str, limit_bytes: int) -> Iterator[str]:
    """Give `folder`, then others in its place: somebody's file can have its name."""
    yield folder
    top, slash, rest = folder.partition("/")
    for number in range(2, _MOST_NUMBERS if top else 2):
        yield f"{names.numbered(top, number, limit_bytes)}{slash}{rest}"
