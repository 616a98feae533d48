"""What is in a folder of ours, and why is it there? What is so of many files is said once."""

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from watchfolder import disk, history, intake, quarantine
from watchfolder.command_line import Advised
from watchfolder.config import Config, Inbox
from watchfolder.disk import Place
from watchfolder.events import printable
from watchfolder.intake import Action, Decision
from watchfolder.journal import read_orders
from watchfolder.order import Order
from watchfolder.publish import list_beside, picture_beside
from watchfolder.report.phrases import files
from watchfolder.services import LEDGERS, told_by_sidecar
from watchfolder.services.link_files import is_list

if TYPE_CHECKING:
    from watchfolder.errors import FolderFault

_MOST_FILES = 2000  # are looked into; of a folder with more, the first that the disk names
_MOST_NAMES = 3  # stand behind each line
_SAID = {
    Action.TAKE: "taken at the next look",
    Action.REFUSE: "moved to quarantine at the next look",
    Action.WAIT: "waiting",
    Action.STAY: "staying where they are",
}


@dataclass
class _Alike:
    """Files of which the same is so."""

    number: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        self.number += 1
        if len(self.names) < _MOST_NAMES:
            self.names.append(printable(name))

    @property
    def some_names(self) -> str:
        more = self.number - len(self.names)
        return ", ".join(self.names) + (f" and {more} more" if more else "")


def of_inbox(inbox: Inbox, folder: str, config: Config) -> Iterator[str]:
    """Tell of the files that lie below `folder` in the inbox, "" being all of it. Raises FolderFault."""
    alike: dict[str, _Alike] = {}
    beside = intake.Beside(inbox, config.inboxes.get)
    entries = disk.scan(inbox.path, folder, skip_folder=lambda base: base.startswith("."))
    for entry in islice(entries, _MOST_FILES):
        decision = intake.explain(inbox, entry.name, time.monotonic(), time.time(), beside=beside)
        if isinstance(decision, str) or decision.answer is not Action.GONE:
            alike.setdefault(_what_is_so(decision), _Alike()).add(_below(entry.name, folder))
    more = sum(1 for _ in entries)
    yield from _told(alike, Place(inbox.path, folder), more)


def _what_is_so(decision: Decision | str) -> str:
    if isinstance(decision, str):
        return f"left alone: {printable(decision)}"
    return f"{_SAID[decision.answer]}: {printable(decision.reason).rstrip('.')}"


def under_way(orders: Iterable[Order], inbox: Inbox, folder: str, config: Config) -> Iterator[str]:
    """Tell how many files of that folder are being worked on, and what keeps them."""
    failed: dict[str, _Alike] = {}
    number = 0
    for order in (order for order in orders if order.inbox == inbox.name and order.is_live):
        names = [file.name for file in order.files if not file.is_delivered and _is_in(file.name, folder)]
        number += len(names)
        for name in names if order.last_error else ():
            failed.setdefault(printable(order.last_error).rstrip("."), _Alike()).add(_below(name, folder))
    if number:
        yield f"{files(number)} of this folder under way; {config.commands.to(Advised.STATUS)} says how it goes."
    yield from (f"  {each.number}: the last try failed: {why}: {each.some_names}" for why, each in failed.items())


def of_quarantine(place: Place, config: Config) -> Iterator[str]:
    """Tell why files lie there in quarantine. Raises FolderFault."""
    of_this = {name: inbox for name, inbox in config.inboxes.items() if inbox.quarantine == place.root}
    faults: list[FolderFault] = []
    alike: dict[str, _Alike] = {}
    can_retry = False
    for picture in quarantine.list_pictures(config.model_copy(update={"inboxes": of_this}), faults):
        if _is_in(picture.place.name, place.name) and picture.has_failed:
            note = quarantine.note_of(picture)
            can_retry = can_retry or note.retry_helps
            why = printable(note.reason).rstrip(".")
            alike.setdefault(why, _Alike()).add(_below(picture.place.name, place.name))
    if faults:
        raise faults[0]
    yield from _told(alike, place)
    if alike:
        command = config.commands.to(Advised.RETRY, place.path.rstrip("/"))
        back = f" To move them back: {command}" if can_retry else ""
        yield f"What to do stands in the note beside each.{back}"


def of_ends(place: Place, config: Config, *, is_outbox: bool) -> Iterator[str]:
    """Tell what of an outbox, or of the originals, watchfolder put there. Raises FolderFault."""
    ends = history.every_end(read_orders(config.state_dir), config.state_dir)
    known = {
        file.delivered if is_outbox and not is_list(file.name) else file.name for end in ends for file in end.files
    }
    alike: dict[str, _Alike] = {}
    for entry in disk.scan(place.root, place.name, skip_folder=lambda base: base.startswith(".")):
        if not os.path.basename(entry.name).startswith("."):
            alike.setdefault(_whose(Place(place.root, entry.name), known), _Alike()).add(_below(entry.name, place.name))
    yield from _told(alike, place)


def _whose(file: Place, known: Collection[str | None]) -> str:
    if file.name in known:
        return "put here by watchfolder"
    told_of = {told_by_sidecar(file.name)}
    if beside := picture_beside(file.base):
        told_of.add(file.beside(beside[0]).name)
    if list_ := list_beside(file.base):
        told_of.add(file.beside(list_).name)
    if not told_of.isdisjoint(known) or file.name in LEDGERS:
        return "tables of ours, and what lies beside a picture"
    return "not known by this name to the history"


def _told(alike: Mapping[str, _Alike], place: Place, more: int = 0) -> Iterator[str]:
    number = sum(each.number for each in alike.values()) + more
    yield f"{files(number)} in {_path(place)}" + (":" if number else ".")
    for what, each in sorted(alike.items(), key=lambda item: -item[1].number):
        yield f"  {each.number} {what}: {each.some_names}"
    if more:
        yield f"  {more} not looked into"


def _is_in(name: str, folder: str) -> bool:
    return not folder or name.startswith(f"{folder}/")


def _below(name: str, folder: str) -> str:
    return name.removeprefix(f"{folder}/")


def _path(place: Place) -> str:
    return printable(place.path.rstrip("/"))
