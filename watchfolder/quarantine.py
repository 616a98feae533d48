"""What lies in the quarantine folders, each picture with the note beside it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from watchfolder import disk, history
from watchfolder.clock import instant_of
from watchfolder.config import Config, Inbox
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.folders import Folders
from watchfolder.publish import OTHER_ORIGINALS, TEST_ORIGINALS, notes
from watchfolder.publish.notes import Note

_MOST_NOTES = 1000


@dataclass(frozen=True, slots=True)
class Picture:
    """A file in quarantine; `why` is its note, if it still has one, and `at` when it came."""

    place: Place
    inboxes: tuple[Inbox, ...]  # whose folder this is
    why: Place | None
    at: datetime

    @property
    def has_failed(self) -> bool:
        return self.why is not None or not self.place.name.startswith((TEST_ORIGINALS, OTHER_ORIGINALS))


@dataclass(frozen=True)
class QuarantineGroup:
    """What lies there of one inbox for one reason, the latest first."""

    inbox: str
    note: Note
    pictures: list[Picture]


def list_pictures(config: Config, faults: dict[str, FolderFault]) -> list[Picture]:
    """Return the pictures of every quarantine folder, the latest first; put each folder that fails into `faults`."""
    folders = Folders(config.state_dir, "", config.commands)

    def look(folder: str) -> list[Picture]:
        folders.require_known(folder)  # the bare mount point of a share that is away looks empty
        return pictures_in(folder, config)

    found: list[Picture] = []
    for folder, question in [(each, disk.Question(partial(look, each), each)) for each in _folders(config)]:
        try:
            found += question.answer()
        except FolderFault as fault:
            faults[folder] = fault
    return sorted(found, key=lambda picture: picture.at, reverse=True)


def pictures_in(folder: str, config: Config) -> list[Picture]:
    """Return what lies in one quarantine folder. Raises FolderFault."""
    inboxes = _folders(config)[folder]
    found = list(disk.scan(folder, skip_folder=lambda base: base.startswith(".")))
    entries = {entry.name: entry for entry in found if entry.is_regular}
    pictures = []
    for entry in entries.values():
        place = Place(folder, entry.name)
        if place.base.startswith(".") or place.base.endswith(notes.SUFFIX):
            continue
        why = entries.get(notes.place_of(place).name)
        came = instant_of((why or entry).mtime_ns / 1e9)
        pictures.append(Picture(place, inboxes, Place(folder, why.name) if why else None, came))
    return pictures


def picture_at(place: Place, config: Config) -> Picture | None:
    """Return the picture that lies there. Raises FolderFault."""
    found = disk.stat_of(place)
    if found is None or not disk.is_regular(found):
        return None
    why = notes.place_of(place)
    noted = disk.stat_of(why)
    came = instant_of((noted or found).st_mtime)
    return Picture(place, _folders(config)[place.root], why if noted else None, came)


def note_of(picture: Picture) -> Note:
    """Read the note: anybody on the share can have changed it."""
    if picture.why is None:
        return Note()
    try:
        return disk.answer_of(partial(notes.read, picture.why), picture.why.root)
    except FolderFault:
        return Note()


def by_reason(pictures: Iterable[Picture], state_dir: str) -> list[QuarantineGroup]:
    """Group pictures by inbox and reason; of very many, only the notes of the latest are read."""
    groups: dict[tuple[str, str, str], QuarantineGroup] = {}
    for number, picture in enumerate(pictures):
        note = note_of(picture) if number < _MOST_NOTES else Note(f"older than the latest {_MOST_NOTES}")
        inbox = (inbox_of(picture, state_dir) or picture.inboxes[0]).name
        key = (inbox, note.reason, note.advice)
        groups.setdefault(key, QuarantineGroup(inbox, note, [])).pictures.append(picture)
    return list(groups.values())


def inbox_of(picture: Picture, state_dir: str) -> Inbox | None:
    """Return where the picture came from, by the history where several inboxes share the folder; None: not known."""
    if len(picture.inboxes) == 1:
        return picture.inboxes[0]
    key = note_of(picture).order
    ended = history.last_end(state_dir, key) if key else None
    return next((inbox for inbox in picture.inboxes if ended is not None and inbox.name == ended.inbox), None)


def _folders(config: Config) -> dict[str, tuple[Inbox, ...]]:
    folders: dict[str, tuple[Inbox, ...]] = {}
    for inbox in config.inboxes.values():
        folders[inbox.quarantine] = (*folders.get(inbox.quarantine, ()), inbox)
    return folders
