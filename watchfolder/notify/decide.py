"""Is there anything to tell? Decided from the daemon's snapshot and the time; nothing is sent here.

A topic (the service, an inbox, a disk, the flow) is on or off, and people believe what they were told last. They are
told again when that has been wrong for `LASTS_SECONDS`, with all else that is due in one message. What may not be said
yet is said later, if it is still so.
"""

import logging
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict

from watchfolder import state_file
from watchfolder.clock import Instant
from watchfolder.command_line import Advised, CommandLine
from watchfolder.config import Config
from watchfolder.counters import with_new
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.events import event, printable, redacted
from watchfolder.notify.delivery import Message
from watchfolder.report.conditions import (
    Condition,
    ConditionKind,
    conditions,
    has_work,
    say_found,
    say_quarantined,
    told,
)
from watchfolder.report.phrases import ended
from watchfolder.snapshot import FileGroup, Snapshot

FILE = "notify.json"
_EFFECT = "what was told before may be told once more"
_SERVICE = (
    ConditionKind.KEY_REFUSED,
    ConditionKind.SERVICE_REFUSES,
    ConditionKind.SERVICE_FAILS_ALL,
)  # one topic, whichever it is
LASTS_SECONDS = {
    ConditionKind.SERVICE_REFUSES: 60.0,
    ConditionKind.HELD: 60.0,
    ConditionKind.CONFIGURATION_REFUSED: 60.0,
    ConditionKind.NOT_CONFIGURED: 60.0,
    ConditionKind.FOLDER_AWAY: 120.0,
    ConditionKind.OUT_OF_REACH: 120.0,
    ConditionKind.DISK_LOW: 120.0,
    ConditionKind.STALLED: 300.0,
}
"""How long a thing must last to be told: a router that restarts is no news, and a NAS takes two minutes.

What is not here has no topic: a service that does not answer is told by STALLED, as is whatever else stands still.
"""

QUIET_SECONDS = 60.0  # a burst of files is over when none came for so long …
LONGEST_BURST_SECONDS = 600.0  # … and is told after so long in any case

_HOLD_DOWN = timedelta(hours=1)  # after a topic or burst was told, before it may be told as wrong again
_HOUR = timedelta(hours=1)
_MOST_AN_HOUR = 6
_WORTH_NOTING = timedelta(minutes=15)  # without a delivery: a flow that is well writes nothing
_FIRST_LOOK = timedelta(minutes=5)  # a folder that was opened just now seems empty until it has been looked through
_GOES_ALONG = 0.5  # from this share on what is nearly due goes along: ten inboxes on one NAS are one message
_MOST_REASONS = 20
_MOST_LINES = 20
_PURCHASES = ("create", "confirm")
_CONSTANT = {"at", "pid", "version", "started", "configured"}  # what a snapshot that has counted nothing still says
_BURSTS: Mapping[str, Callable[[int, Sequence[FileGroup], Config], str]] = {
    "quarantined": say_quarantined,
    "found": say_found,
}
"""What is told by number, under its name in `Snapshot` and in `NotifyState`."""


def _parts_of(topic: str) -> tuple[ConditionKind, str]:
    """Return a topic's kind, and the inbox or folder that it is about. Raises ValueError for an unknown kind."""
    kind, _, subject = topic.partition(":")
    return ConditionKind(kind), subject


TopicName = Annotated[str, AfterValidator(lambda name: ":".join(_parts_of(name)))]


class StatePart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Told(StatePart):
    """What people have believed of a topic since `at`."""

    is_on: bool
    at: Instant


class Untold(StatePart):
    """A burst: how many files have come since it was last `told`, from when to when, and the latest groups of them."""

    count: int = 0
    first: Instant | None = None
    last: Instant | None = None
    some: tuple[FileGroup, ...] = ()
    told: Instant | None = None

    def share(self, now: datetime) -> float:
        """Return how due it is: from 1 on it must be told, below that more files may come."""
        if self.first is None or self.last is None or (self.told is not None and now < self.told + _HOLD_DOWN):
            return 0.0
        quiet = (now - self.last).total_seconds() / QUIET_SECONDS
        return max(quiet, (now - self.first).total_seconds() / LONGEST_BURST_SECONDS)


class NotifyState(StatePart):
    told: dict[TopicName, Told] = {}  # topic → what was said of it last
    sent: tuple[Instant, ...] = ()  # messages of the last hour
    stalled_since: Instant | None = None  # noted once it has lasted `_WORTH_NOTING`
    quarantined: Untold = Untold()
    found: Untold = Untold()

    @classmethod
    def read(cls, state_dir: str) -> Self:
        """Return what was remembered; what cannot be read is forgotten, and may be said once more."""
        try:
            return state_file.read(Place(state_dir, FILE), cls, _EFFECT) or cls()
        except FolderFault as fault:
            event("notify.state_unreadable", logging.WARNING, reason=fault.reason, effect=_EFFECT)
            return cls()

    def write(self, state_dir: str) -> None:
        """Raises FolderFault."""
        state_file.write(Place(state_dir, FILE), self)


def _not_after(facts: object, now: datetime) -> object:
    """Return the facts with no instant after `now`: a clock that was wrong must not silence us for years."""
    match facts:
        case datetime():
            return min(facts, now)
        case dict():
            return {name: _not_after(each, now) for name, each in facts.items()}
        case tuple():
            return tuple(_not_after(each, now) for each in facts)
    return facts


class Change(NamedTuple):
    """What is so of a topic now, perhaps other than it was told, and the words to tell it by."""

    is_on: bool
    words: str


class Decisions:
    """Remembers what was told and what has been seen since; `state` is the part that must outlast a restart."""

    def __init__(self, state: NotifyState) -> None:
        self.state = state
        self._seen: Snapshot | None = None
        self._is_sure = False  # a purchase was refused or made since the reload
        self._purchases = 0  # made before the reload
        self._wrong_since: dict[str, datetime] = {}  # topic → since when people believe what is not so
        self._names: dict[int, str] = {}  # by device: the folder that its disk is called by
        self._stalled_since: datetime | None = None
        self._idle_since: datetime | None = None

    def decide(self, snapshot: Snapshot, config: Config, now: datetime) -> Message | None:
        """Return the message that is due now, if any, and count it as told."""
        if self._seen is None:
            self._begin(config, now)
        self._count_new(snapshot, now)
        changes = dict(self._find_changed(snapshot, config, now))
        due = self._due(changes, now)
        if not due:
            return None
        news = {topic: each for topic, each in changes.items() if topic in due}
        bursts = [name for name in _BURSTS if name in due]
        sentences = list(self._words(news, bursts, config))
        self._remember_told(news, now, bursts)
        is_good = not bursts and not any(each.is_on for each in news.values())
        is_finding = not news and bursts == ["found"]
        return _put_in_words(sentences, config.commands, is_good=is_good, is_finding=is_finding)

    def _begin(self, config: Config, now: datetime) -> None:
        """Go on from the state of an earlier process, whose clock may have been wrong."""
        self.state = NotifyState.model_validate(_not_after(self.state.model_dump(), now))
        since, longest = self.state.stalled_since, timedelta(hours=config.alarm_after_hours)
        self._stalled_since = since and max(since, now - longest)

    # --- what is so

    def _count_new(self, snapshot: Snapshot, now: datetime) -> None:
        before = self._seen or Snapshot(**snapshot.model_dump(include=_CONSTANT))  # of the first, all counts are new
        purchases = sum(snapshot.counts.requests.get(name, {}).get("done", 0) for name in _PURCHASES)
        if before.configured != snapshot.configured:  # no purchase was tried since the reload
            self._is_sure, self._purchases = False, purchases
        self._is_sure = self._is_sure or bool(snapshot.blocked) or purchases > self._purchases
        self._seen = snapshot
        self._note_flow(snapshot, now, has_delivered=snapshot.delivered != before.delivered)
        for name in _BURSTS:
            number = getattr(snapshot, name) - getattr(before, name)
            groups, known = getattr(snapshot, f"last_{name}"), getattr(before, f"last_{name}")
            if number:
                self._remember(**{name: _with_files(getattr(self.state, name), number, groups, known, now)})

    def _note_flow(self, snapshot: Snapshot, now: datetime, *, has_delivered: bool) -> None:
        """Note since when nothing is delivered though there is work, and since when there is no work."""
        work, since = has_work(snapshot), self._stalled_since
        self._idle_since = (self._idle_since or now) if work is False else None
        if self._idle_since is not None and now - self._idle_since >= _FIRST_LOOK:
            since = None
        elif has_delivered or (work and since is None):
            since = now
        self._stalled_since = since
        lasting = since if since is not None and now - since >= _WORTH_NOTING else None
        self._remember(stalled_since=lasting)

    def _find_changed(self, snapshot: Snapshot, config: Config, now: datetime) -> Iterator[tuple[str, Change]]:
        """Yield by topic what is wrong, and what was told as wrong and is over. What cannot be known stays as told."""
        hours = self._stalled_for(config, now)
        found = conditions(snapshot, config, stalled_hours=hours if has_work(snapshot) else None)
        wrong = {self._name_of(each, snapshot): each for each in found}
        for name, each in wrong.items():
            if _parts_of(name)[0] in LASTS_SECONDS:
                yield name, Change(is_on=True, words=told([each]))
        for name, said in self.state.told.items():
            kind, subject = _parts_of(name)
            if (
                said.is_on
                and name not in wrong
                and self._is_over(kind, subject, snapshot, is_stalled=hours is not None)
            ):
                yield name, Change(is_on=False, words=kind.over.format(subject))

    def _stalled_for(self, config: Config, now: datetime) -> float | None:
        """Return for how many hours nothing has been delivered, once that is too long."""
        hours = (now - (self._stalled_since or now)).total_seconds() / 3600
        return hours if hours >= config.alarm_after_hours else None

    def _name_of(self, condition: Condition, snapshot: Snapshot) -> str:
        """Return the name of its topic."""
        if condition.kind in _SERVICE:
            return f"{ConditionKind.SERVICE_REFUSES}:"
        subject = condition.subject
        if condition.kind is ConditionKind.DISK_LOW:
            subject = self._names.setdefault(snapshot.disks[subject].device, subject)
        return f"{condition.kind}:{subject}"

    def _is_over(self, kind: ConditionKind, subject: str, snapshot: Snapshot, *, is_stalled: bool) -> bool:
        """Is the trouble known to be over, and not only unseen?"""
        match kind:
            case ConditionKind.SERVICE_REFUSES:
                return self._is_sure
            case ConditionKind.STALLED:
                return not is_stalled
            case ConditionKind.FOLDER_AWAY | ConditionKind.OUT_OF_REACH | ConditionKind.HELD:
                inbox = snapshot.inboxes.get(subject)
                return inbox is not None and inbox.is_open
            case ConditionKind.DISK_LOW:
                disks = {self._names.get(disk.device, folder): disk for folder, disk in snapshot.disks.items()}
                return subject in disks and disks[subject].has_room_again
            case _:
                return True

    # --- may it be told?

    def _due(self, changes: Mapping[str, Change], now: datetime) -> set[str]:
        """Return the topics and bursts to be told now: if one is due, also those that are due soon."""
        self._wrong_since = {topic: at for topic, at in self._wrong_since.items() if topic in changes}
        shares = {topic: self._share(topic, each, now) for topic, each in changes.items()}
        shares |= {name: getattr(self.state, name).share(now) for name in _BURSTS}
        if max(shares.values()) < 1 or sum(at > now - _HOUR for at in self.state.sent) >= _MOST_AN_HOUR:
            return set()
        return {name for name, much in shares.items() if much >= _GOES_ALONG}

    def _share(self, topic: str, change: Change, now: datetime) -> float:
        """Return how due it is: from 1 on it must be told, below that it may still pass."""
        said = self.state.told.get(topic)
        if change.is_on == (said is not None and said.is_on):
            self._wrong_since.pop(topic, None)
            return 0.0
        since = self._wrong_since.setdefault(topic, now)
        if change.is_on and said is not None and now < said.at + _HOLD_DOWN:
            return 0.0
        return (now - since).total_seconds() / LASTS_SECONDS[_parts_of(topic)[0]]

    # --- telling

    def _words(self, news: Mapping[str, Change], bursts: Iterable[str], config: Config) -> Iterator[str]:
        yield from (each.words for each in sorted(news.values(), key=lambda each: not each.is_on))
        for name in bursts:
            untold = getattr(self.state, name)
            yield _BURSTS[name](untold.count, untold.some, config)

    def _remember_told(self, news: dict[str, Change], now: datetime, bursts: Collection[str]) -> None:
        fresh = {topic: Told(is_on=each.is_on, at=now) for topic, each in news.items()}
        old = {topic: said for topic, said in self.state.told.items() if said.is_on or now < said.at + _HOLD_DOWN}
        sent = (*(at for at in self.state.sent if at > now - _HOUR), now)
        self._remember(told=old | fresh, sent=sent)
        for name in bursts:
            self._remember(**{name: Untold(told=now)})
        for topic in news:
            self._wrong_since.pop(topic, None)

    def _remember(self, **facts: object) -> None:
        self.state = self.state.model_copy(update=facts)


def _with_files(
    untold: Untold, number: int, groups: Sequence[FileGroup], known: Sequence[FileGroup], now: datetime
) -> Untold:
    """Return `untold` with `number` more files; `groups` are the snapshot's, `known` those of the snapshot before."""
    some = untold.some
    for each in groups:
        new = each.files - sum(other.files for other in known if other.is_same_as(each))
        if new > 0:
            some = with_new(some, each.model_copy(update={"files": new}))[-_MOST_REASONS:]
    facts = {"count": untold.count + number, "first": untold.first or now, "last": now, "some": some}
    return untold.model_copy(update=facts)


def _put_in_words(sentences: Sequence[str], commands: CommandLine, *, is_good: bool, is_finding: bool) -> Message:
    lines = [ended(redacted(sentence)) for sentence in sentences[:_MOST_LINES]]
    if len(sentences) > _MOST_LINES:
        lines.append(f"And {len(sentences) - _MOST_LINES} more: {commands.to(Advised.STATUS)} has them all.")
    what = "has found something" if is_finding else "well again" if is_good else "needs you"
    return _message(what, "\n\n".join(lines), is_good=is_good)


def sample_message() -> Message:
    return _message("a test", "This is a test. When something needs you, it is said here.", is_good=True)


def _message(what: str, text: str, *, is_good: bool) -> Message:
    return Message(f"watchfolder on {printable(socket.gethostname())}: {what}", text, is_good)
