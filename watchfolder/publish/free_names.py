"""Free names, as close to the wanted one as the folder allows."""

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
"""What a name can meet that another name may avoid."""

_MOST_NUMBERS = 1_000  # each costs a stat; a scanner may give every file the same name for years


def free_name(
    root: str,
    wanted: str,
    *also: Callable[[Place], Place],
    taken: Collection[str | None] = (),
    is_ours: Callable[[Place], bool] = lambda _place: False,
    is_folder_fixed: bool = False,
) -> str:
    """Return the first free name like `wanted`, in plainer characters where the file system refuses those.

    The places that `also` derives from it are free as well, and it is not in `taken`; a place that `is_ours` counts as
    free. With `is_folder_fixed` no other folder is tried: the caller meets the obstacle when it writes there.
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
    """Call `put` with a free place, and with the next one while it raises FileExistsError. Return the place.

    Where `is_ours` says that the file at a taken place is the very one, that place is returned.
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
    """Return another name for a file whose own has met one of `OBSTACLES`; raise that where no name would help."""
    if isinstance(obstacle, UnfitName):
        wanted = names.as_portable(place.name)
        if wanted == place.name:
            raise obstacle
        facts: dict[str, Any] = {"file": place.path, "to": wanted, "reason": obstacle.reason}
        event("file.renamed", logging.WARNING, inbox=inbox, **facts)
    free = free_name(place.root, wanted, *also, is_folder_fixed=is_folder_fixed)
    if free == place.name and isinstance(obstacle, NotAFolder):
        raise obstacle  # it is in the way of the source, not of this name
    return free


def names_for(base: str, limit_bytes: int) -> Iterator[str]:
    """Yield the name, then numbered ones from 2; when those are used up, numbers from the seconds since 1970."""
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
    """Yield `folder`, then numbered ones in its place: a user's file may have its name."""
    yield folder
    top, slash, rest = folder.partition("/")
    for number in range(2, _MOST_NUMBERS if top else 2):
        yield f"{names.numbered(top, number, limit_bytes)}{slash}{rest}"
