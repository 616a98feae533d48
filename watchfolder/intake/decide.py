"""What is to be done with a file now, and why? One decision, asked for by the daemon and by `explain` alike."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from watchfolder import disk, images
from watchfolder.clock import back_off
from watchfolder.config import Inbox
from watchfolder.disk import NotAFolder, NotRegular, Place
from watchfolder.errors import FolderFault
from watchfolder.images import Format, Kind, Mode, Verdict
from watchfolder.intake import obstacles
from watchfolder.intake.obstacles import Obstacle
from watchfolder.order import Role, Why
from watchfolder.services import flow_of, link_files
from watchfolder.services.addresses import name_in
from watchfolder.services.link_files import Line

_RIGHTS_SECONDS = 60.0  # how soon missing rights are looked at again: a change of them is no event that counts
_HINDERED_SECONDS = (60.0, 3600.0)  # how soon a file that could not be moved is tried again: doubles, up to
_ASK_AGAIN_SECONDS = 1.0  # somebody holds the file open, and nothing tells us when that ends

NO_RECIPIENT = "nobody is named as its recipient: move it into a sub-folder that is called as the recipient is"
STILL_WRITTEN = "another program is still writing it"


class Action(StrEnum):
    """What to do with a file."""

    TAKE = "take"
    REFUSE = "refuse"  # to quarantine, with a reason
    WAIT = "wait"
    STAY = "stay"  # no picture, or out of our reach: it stays where it is until it changes
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Decision:
    """`due` is when (monotonic seconds) it is worth looking again; None: when something changes."""

    answer: Action
    reason: str
    due: float | None = None
    format: Format | None = None
    address: str = field(default="", repr=False)  # of the picture, where the file is a link to it
    listed: int | None = None  # how many addresses of pictures, where the file is a list of them
    why: Why | None = None
    is_warning: bool = False
    obstacle: Obstacle | None = None  # it is a picture as far as we can tell, and cannot be taken
    is_raw: bool = False  # a camera RAW file, left beside the pictures as configured
    lacks_partner: bool = False  # it could be taken, if the other file of its pair were there
    is_passing: bool = False  # it will end by itself within the settle time: `run --once` waits for it


@dataclass(slots=True)
class Sighting:
    """What we know of a file that has not been taken. Instants are monotonic seconds; age counts from first sight."""

    size: int
    mtime_ns: int
    first_seen: float
    since: float  # the shape is unchanged and no event came since then
    was_found: bool = False  # it was there when this life began
    listed: int = 1  # how many files it counts as
    hindered: int = 0  # how often it could not be moved
    sha256: str | None = None  # of the bytes, where they had to be read for it
    verdict: Verdict | None = None  # of the bytes; holds until they change
    lines: tuple[Line, ...] | None = field(default=None, repr=False)  # the addresses in them
    ctime_ns: int | None = None  # the file's, when verdict, hash and addresses were read

    def see(self, size: int, mtime_ns: int, now: float) -> None:
        """Record a look at the directory: another shape starts the clock again."""
        if (size, mtime_ns) != (self.size, self.mtime_ns):
            self.size, self.mtime_ns = size, mtime_ns
            self.wait_again(now)

    def wait_again(self, now: float) -> None:
        """Record an event: somebody worked on the file, so what was read of it counts no more."""
        self.since = now
        self._forget()

    def look(self, ctime_ns: int) -> None:
        """Record a look at the file itself: what was read of it counts no more if somebody has touched it since.

        A writer can put a file's mtime back, but not its ctime. A new ctime is no reason to wait anew: attributes
        that are set again and again (NAS software, a chmod by cron) move it as well.
        """
        if ctime_ns != self.ctime_ns:
            self._forget()
        self.ctime_ns = ctime_ns

    @property
    def is_read(self) -> bool:
        return self.verdict is not None or self.lines is not None

    def _forget(self) -> None:
        self.verdict, self.sha256, self.lines = None, None, None

    def try_again(self, now: float) -> float:
        """Record that it could not be moved; return when to try again: ever more rarely."""
        wait = back_off(self.hindered, *_HINDERED_SECONDS)
        self.hindered += 1
        return now + wait

    def due_at(self, settle_seconds: float) -> float:
        return self.since + settle_seconds


@dataclass(frozen=True, slots=True)
class Ready:
    """A file to be taken: settled and whole, or (with `why`) known never to pass."""

    name: str
    size: int
    mtime_ns: int
    format: Format | None = None
    why: Why | None = None
    address: str = field(default="", repr=False)  # that it holds, in place of a picture
    is_list: bool = False  # of addresses
    sha256: str | None = None  # where it had to be read for that
    role: Role = Role.PICTURE
    lies_at: Place | None = None  # where that is not the inbox: it is copied from there


def decide(inbox: Inbox, name: str, sighting: Sighting, now: float) -> Decision:
    """Decide about one file; the caller has ruled out names to leave alone.

    Opens the file only when it has been quiet for long enough. Raises FolderFault only for faults of the inbox.
    """
    due = sighting.due_at(inbox.settle_seconds)
    if sighting.size and now < due:
        return Decision(Action.WAIT, f"it changed less than {inbox.settle_seconds:g} s ago", due, is_passing=True)
    place = Place(inbox.path, name)
    try:
        with open(disk.open_regular(place), "rb", buffering=0) as file, disk.translated(place.path):
            return _decide_open(inbox, name, sighting, file.fileno(), now)
    except (FileNotFoundError, NotAFolder):  # also when a link lies where its folder was
        return Decision(Action.GONE, "it is gone")
    except NotRegular:  # it was a regular file when it was seen
        return Decision(Action.STAY, disk.NOT_PLAIN, now + _ask_again(inbox))
    except FolderFault as fault:
        reason = disk.why_not_read(place, fault)
        if fault.is_held:
            return Decision(Action.WAIT, reason, now + _ask_again(inbox))
        in_the_way = obstacles.to_read(inbox, name, reason, is_of_rights=fault.is_closed)
        return out_of_reach(reason, now + _RIGHTS_SECONDS, in_the_way)


def out_of_reach(reason: str, due: float | None, obstacle: Obstacle) -> Decision:
    return Decision(Action.STAY, reason, due, is_warning=True, obstacle=obstacle)


def wait_for_other(reason: str, due: float | None = None, *, is_passing: bool = False) -> Decision:
    return Decision(Action.WAIT, reason, due, lacks_partner=True, is_passing=is_passing)


def _wait_empty(inbox: Inbox, sighting: Sighting, now: float) -> Decision:
    """Wait: an empty file is a placeholder more often than a failure, and is filled in the next moment."""
    late = sighting.first_seen + inbox.incomplete_seconds
    if now >= late:
        reason = f"it has been empty for {inbox.incomplete_seconds:g} s; copy it again, or remove it"
        return Decision(Action.WAIT, reason, is_warning=True)
    return Decision(Action.WAIT, "it is empty", late)


def _decide_open(inbox: Inbox, name: str, sighting: Sighting, descriptor: int, now: float) -> Decision:
    found = os.fstat(descriptor)
    if (found.st_size, found.st_mtime_ns) != (sighting.size, sighting.mtime_ns):
        sighting.see(found.st_size, found.st_mtime_ns, now)
        return Decision(Action.WAIT, "it has just changed", sighting.due_at(inbox.settle_seconds), is_passing=True)
    if not found.st_size:
        return _wait_empty(inbox, sighting, now)
    sighting.look(found.st_ctime_ns)
    decision = _judge_file(inbox, name, sighting, descriptor, now)
    if decision.answer not in {Action.TAKE, Action.REFUSE}:
        return decision
    return _why_kept(inbox, name, descriptor, now, is_taken=decision.answer is Action.TAKE) or decision


def _judge_file(inbox: Inbox, name: str, sighting: Sighting, descriptor: int, now: float) -> Decision:
    is_named_link = flow_of(inbox).takes_addresses and link_files.is_link_file(os.path.basename(name))
    if is_named_link and not _is_picture(inbox, descriptor, name):
        return _judge_link(inbox, name, sighting, descriptor)
    if sighting.size > inbox.max_file_bytes and _is_picture(inbox, descriptor, name):  # whole or not
        reason = f"The file is larger than {inbox.max_file_bytes} bytes, the most that is sent."
        advice = "Make the picture smaller, or raise max_file_bytes if your plan takes larger files."
        return _refuse(reason, advice, "TOO_LARGE")
    if sighting.verdict is None:
        facts = (_read_at(descriptor), sighting.size, os.path.basename(name), partial(disk.find_hole, descriptor))
        sighting.verdict = images.judge(*facts, takes_pdf=flow_of(inbox).takes_pdf)
    return _refuse_mode(inbox, descriptor, sighting) or _judge(inbox, sighting, now)


def _why_kept(inbox: Inbox, name: str, descriptor: int, now: float, *, is_taken: bool) -> Decision | None:
    """Return what keeps a file from being moved, or one that would be taken from being delivered; else None."""
    if is_taken and not flow_of(inbox).recipients_of(inbox, name):
        return Decision(Action.STAY, NO_RECIPIENT, is_warning=True)
    if disk.has_writer(descriptor):
        return Decision(Action.WAIT, STILL_WRITTEN, now + _ask_again(inbox))
    if obstacle := obstacles.to_move(inbox, name, descriptor):
        return out_of_reach(may_not_move(obstacle), now + _RIGHTS_SECONDS, obstacle)
    if is_taken and (obstacle := obstacles.on_the_way(inbox, name)):
        return out_of_reach(f"we may not deliver it: {obstacle.reason}", now + _RIGHTS_SECONDS, obstacle)
    return None


def may_not_move(obstacle: Obstacle) -> str:
    return f"we may not move it: {obstacle.folder}: {obstacle.reason}"


def _is_picture(inbox: Inbox, descriptor: int, name: str) -> bool:
    head, takes_pdf = os.pread(descriptor, images.HEAD_BYTES, 0), flow_of(inbox).takes_pdf
    return isinstance(images.identify(head, os.path.basename(name), takes_pdf=takes_pdf), Format)


def _judge_link(inbox: Inbox, name: str, sighting: Sighting, descriptor: int) -> Decision:
    if not inbox.links:
        return Decision(Action.STAY, "it holds the address of a picture, which is fetched with links: true alone")
    if sighting.lines is None:
        sighting.lines = link_files.read(os.path.basename(name), os.pread(descriptor, link_files.BYTES_AT_MOST + 1, 0))
    if link_files.is_list(name) and any(line.address for line in sighting.lines):
        listed = sum(line.fault is None for line in sighting.lines)
        return Decision(Action.TAKE, "it is a list of addresses and nobody works on it", listed=listed)
    line = next(iter(sighting.lines), link_files.NO_LINE)
    if line.fault is not None:
        advice = "Correct it, or leave it out, and drop the file again."
        return _refuse(f"The address in it is not taken. {line.fault.value}", advice, "ADDRESS")
    reason = "it holds the address of a picture and nobody works on it"
    format_ = images.format_named(name_in(line.address), takes_pdf=flow_of(inbox).takes_pdf)
    return Decision(Action.TAKE, reason, format=format_, address=line.address)


def _refuse_mode(inbox: Inbox, descriptor: int, sighting: Sighting) -> Decision | None:
    """Refuse a whole picture whose pixels are kept in a way that the service does not take."""
    refuses, verdict = flow_of(inbox).refuses, sighting.verdict
    if not refuses or verdict is None or verdict.format is None or verdict.kind is not Kind.WHOLE:
        return None
    mode = images.mode_of(verdict.format, _read_at(descriptor), sighting.size)
    if mode not in refuses:
        return None
    advice = "Save it in RGB, of 8 bits a channel, and drop that file instead."
    if mode in {Mode.ANIMATED, Mode.PAGES}:
        advice = "Save one of its pictures as JPEG or PNG, and drop that file instead."
    return _refuse(f"This picture is {mode}, which the service does not take.", advice, "FORMAT")


def _judge(inbox: Inbox, sighting: Sighting, now: float) -> Decision:
    verdict = sighting.verdict
    assert verdict is not None  # noqa: S101 - the caller has just read it
    late = sighting.since + inbox.incomplete_seconds
    match verdict.kind:
        case Kind.WHOLE:
            reason = f"it is a whole {verdict.format.word if verdict.format else 'picture'} and nobody works on it"
            return Decision(Action.TAKE, reason, format=verdict.format)
        case Kind.SUSPECT if now >= late:
            return Decision(Action.TAKE, "it has stayed as it is for long", format=verdict.format)
        case Kind.SUSPECT:
            return Decision(Action.WAIT, f"it may not be complete: {verdict.detail}", late)
        case Kind.PARTIAL if now < late:
            return Decision(Action.WAIT, f"it is not complete: {verdict.detail}", late)
        case Kind.PARTIAL:
            return _refuse(
                f"The picture is not complete ({verdict.detail}), and nothing was added to it for "
                f"{inbox.incomplete_seconds:g} seconds.",
                "Open it to see whether it is damaged, then copy it into the inbox again.",
                "TRUNCATED",
            )
        case _:
            return _judge_foreign(inbox, verdict)


def _judge_foreign(inbox: Inbox, verdict: images.Verdict) -> Decision:
    foreign = verdict.foreign
    match verdict.kind:
        case Kind.FOREIGN_PICTURE if foreign is not None and foreign.is_raw and inbox.raw == "leave":
            return Decision(Action.STAY, f"it is {foreign.label}, which stays here (raw: leave)", is_raw=True)
        case Kind.FOREIGN_PICTURE if foreign is not None:
            return _refuse(f"This is {foreign.label}, which the service does not take.", foreign.advice, "FORMAT")
        case Kind.NOT_A_PICTURE_BUT_NAMED_SO if foreign is not None:
            return _refuse(
                f"Its name says picture, but what is inside is {foreign.label}.",
                "Save the picture again as JPEG, PNG, WebP, TIFF or BMP, and drop that file.",
                "FORMAT",
            )
        case _:
            label = f" ({foreign.label})" if foreign else ""
            return Decision(Action.STAY, f"it is no picture{label}, so it is left alone")


def _refuse(reason: str, advice: str, code: str) -> Decision:
    return Decision(Action.REFUSE, reason, why=Why(reason=reason, advice=advice, code=code, retry_helps=False))


def _ask_again(inbox: Inbox) -> float:
    return max(inbox.settle_seconds, _ASK_AGAIN_SECONDS)


def _read_at(descriptor: int) -> Callable[[int, int], bytes]:
    return lambda offset, length: os.pread(descriptor, length, offset)
