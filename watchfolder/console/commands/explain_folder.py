"""What is in a folder of ours, and why is it there? Files with one reason share one line."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter

from watchfolder import disk, history, intake, quarantine
from watchfolder.command_line import Advised
from watchfolder.config import Config, Inbox
from watchfolder.disk import Place
from watchfolder.events import printable
from watchfolder.folders import TOKEN
from watchfolder.intake import Action
from watchfolder.journal import read_orders
from watchfolder.order import Order
from watchfolder.publish import list_beside, picture_beside
from watchfolder.report.phrases import files, other_files
from watchfolder.services import LEDGERS, picture_told_of
from watchfolder.services.link_files import is_list

_MOST_FILES = 2000  # are looked into; of a folder with more, the first that the disk names
_MOST_NAMES = 3  # stand behind each line
_SAID = {
    Action.TAKE: "ready to be taken",
    Action.REFUSE: "moved to quarantine at the next look",
    Action.WAIT: "waiting",
    Action.STAY: "staying where they are",
}


@dataclass
class _Alike:
    """Files with one reason, and the first few of their names."""

    number: int = 0
    names: list[str] = field(default_factory=list)

    @property
    def first_names(self) -> str:
        return ", ".join(self.names) + other_files(self.number - len(self.names))


def _collect(said: Iterable[tuple[str, str]], folder: str) -> dict[str, _Alike]:
    """Group names by what is said of them; they are shown as they are below `folder`."""
    found: dict[str, _Alike] = {}
    for what, name in said:
        alike = found.setdefault(what, _Alike())
        alike.number += 1
        if len(alike.names) < _MOST_NAMES:
            alike.names.append(printable(name.removeprefix(f"{folder}/")))
    return found


def of_inbox(inbox: Inbox, folder: str, config: Config) -> Iterator[str]:
    """Tell of the files that lie below `folder` in the inbox, "" being all of it. Raises FolderFault."""
    found = disk.scan(inbox.path, folder, skip_folder=lambda base: base.startswith("."))
    entries = (entry for entry in found if entry.name != TOKEN)
    alike = _collect(_explain(inbox, islice(entries, _MOST_FILES), config), folder)
    yield from _told(alike, Place(inbox.path, folder), more=sum(1 for _ in entries))


def _explain(inbox: Inbox, entries: Iterable[disk.Entry], config: Config) -> Iterator[tuple[str, str]]:
    beside = intake.Beside(inbox, config.inboxes.get)
    for entry in entries:
        decision = intake.explain(inbox, entry.name, time.monotonic(), time.time(), beside=beside)
        if isinstance(decision, str):
            yield f"left alone: {printable(decision)}", entry.name
        elif decision.answer is not Action.GONE:
            yield f"{_SAID[decision.answer]}: {printable(decision.reason).rstrip('.')}", entry.name


def under_way(orders: Iterable[Order], folder: str, config: Config) -> Iterator[str]:
    """Tell how many files of that folder are being worked on in these orders, and what keeps them."""
    live = [
        (printable(order.last_error or "").rstrip("."), file.name)
        for order in orders
        for file in order.files
        if order.is_open and not file.is_delivered and _is_in(file.name, folder)
    ]
    if live:
        yield f"{files(len(live))} of this folder under way; {config.commands.to(Advised.STATUS)} says how it goes."
    for why, each in _collect(live, folder).items():
        if why:
            yield f"  {each.number}: the last try failed: {why}: {each.first_names}"


def of_quarantine(place: Place, config: Config) -> Iterator[str]:
    """Tell why files lie there in quarantine. Raises FolderFault."""
    notes = [
        (quarantine.note_of(picture), picture.place.name)
        for picture in sorted(quarantine.pictures_in(place.root, config), key=attrgetter("at"), reverse=True)
        if _is_in(picture.place.name, place.name) and picture.has_failed
    ]
    alike = _collect(((printable(note.reason).rstrip("."), name) for note, name in notes), place.name)
    yield from _told(alike, place)
    if notes:
        command = config.commands.to(Advised.RETRY, place.path.rstrip("/"))
        back = f" To move them back: {command}" if any(note.retry_helps for note, _ in notes) else ""
        yield f"What to do stands in the note beside each.{back}"


def of_ends(place: Place, config: Config, *, is_outbox: bool) -> Iterator[str]:
    """Tell what of an outbox, or of the originals, watchfolder put there. Raises FolderFault."""
    ends = history.all_ended(read_orders(config.state_dir), config.state_dir)
    known = {
        file.delivered if is_outbox and not is_list(file.name) else file.name for end in ends for file in end.files
    }
    entries = disk.scan(place.root, place.name, skip_folder=lambda base: base.startswith("."))
    there = (file for entry in entries if not (file := Place(place.root, entry.name)).base.startswith("."))
    yield from _told(_collect(((_origin_of(file, known), file.name) for file in there), place.name), place)


def _origin_of(file: Place, known: Collection[str | None]) -> str:
    if file.name in known:
        return "put here by watchfolder"
    told_of = {picture_told_of(file.name)}
    if beside := picture_beside(file.base):
        told_of.add(file.beside(beside[0]).name)
    if list_ := list_beside(file.base):
        told_of.add(file.beside(list_).name)
    if not told_of.isdisjoint(known) or file.name in LEDGERS:
        return "tables of ours, and what lies beside a picture"
    return "not known by this name to the history"


def _told(alike: Mapping[str, _Alike], place: Place, more: int = 0) -> Iterator[str]:
    number = sum(each.number for each in alike.values()) + more
    yield f"{files(number)} in {printable(place.path.rstrip('/'))}" + (":" if number else ".")
    for what, each in sorted(alike.items(), key=lambda item: -item[1].number):
        yield f"  {each.number} {what}: {each.first_names}"
    if more:
        yield f"  {more} not looked into"


def _is_in(name: str, folder: str) -> bool:
    return not folder or name.startswith(f"{folder}/")
