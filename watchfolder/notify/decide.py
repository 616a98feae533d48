"""Is there anything to tell? Decided from the daemon's word and the time, which are arguments; nothing is sent here.

A topic (the service, an inbox, a disk, the flow) is on or off, and people believe what they were told last. They are
told again when that has been wrong for `LASTS_SECONDS`, in one message for all that is. What may not be said yet is not
lost: it is said later, if it still holds.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from watchfolder.config import Config
from watchfolder.counters import added
from watchfolder.notify import message
from watchfolder.notify.message import Message
from watchfolder.notify.state import NotifyState, Told, Topic, Untold
from watchfolder.report.conditions import Condition, ConditionKind, conditions, has_work, over, told
from watchfolder.snapshot import FileGroup, Snapshot

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

What is not here needs nobody: a service that does not answer is told, as all that stands still, by STALLED.
"""

QUIET_SECONDS = 60.0  # a burst of bad pictures is over when none came for so long …
LONGEST_BURST_SECONDS = 600.0  # … or is told of anyhow

_HOLD_DOWN = timedelta(hours=1)  # after the last word of a topic, before it may go wrong again
_HOUR = timedelta(hours=1)
_MOST_AN_HOUR = 6
_WORTH_NOTING = timedelta(minutes=15)  # that nothing is delivered: no flow that is well writes that down
_FIRST_LOOK = timedelta(minutes=5)  # a folder that was opened just now seems empty until it has been looked through
_GOES_ALONG = 0.5  # of the time that a thing must last: ten inboxes on one NAS are one message
_MOST_REASONS = 20
_PURCHASES = ("create", "confirm")
_CONSTANT = {"at", "pid", "version", "started", "configured"}  # of a life, up to a reload
_BURSTS = (_QUARANTINED, _FOUND) = ("quarantined", "found")  # in the snapshot and in the memory: told by their number
_Group = TypeVar("_Group", bound=FileGroup)


@dataclass(frozen=True)
class Turn:
    """A topic that may have changed since it was told: whether it is on now, and in words."""

    is_on: bool
    words: str


class Decisions:
    """What was said, and what has been seen since; `memory` is what must outlast a restart."""

    def __init__(self, memory: NotifyState) -> None:
        self.memory = memory
        self._seen: Snapshot | None = None
        self._is_sure = False  # that a service which does not refuse was asked
        self._purchases = 0
        self._wrong_since: dict[str, datetime] = {}  # topic → when what people believe ceased to be so
        self._names: dict[int, str] = {}  # of disks, by device
        self._stalled_since: datetime | None = None
        self._idle_since: datetime | None = None

    def decide(self, snapshot: Snapshot, config: Config, now: datetime) -> Message | None:
        """Return what is to be told now, if anything, and believe it told."""
        if self._seen is None:
            self._begin(config, now)
        self._take_in(snapshot, now)
        turns = dict(self._turns(snapshot, config, now))
        ripe = self._ripe(turns, now)
        if not ripe:
            return None
        news = {topic: each for topic, each in turns.items() if topic in ripe}
        bursts = [name for name in _BURSTS if name in ripe]
        sentences = list(self._sentences(news, config, bursts))
        self._believe(news, now, bursts)
        is_good = not bursts and not any(each.is_on for each in news.values())
        is_finding = not news and bursts == [_FOUND]
        return message.told(sentences, config.commands, is_good=is_good, is_finding=is_finding)

    def _begin(self, config: Config, now: datetime) -> None:
        """Go on from what was said in an earlier life, whose clock may have been wrong."""
        self.memory = self.memory.not_after(now)
        since, longest = self.memory.stalled_since, timedelta(hours=config.alarm_after_hours)
        self._stalled_since = since and max(since, now - longest)

    # --- what is so

    def _take_in(self, snapshot: Snapshot, now: datetime) -> None:
        before = self._seen or Snapshot(**snapshot.model_dump(include=_CONSTANT))  # all that it counts came since
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
                self._remember(**{name: _grown(getattr(self.memory, name), number, groups, known, now)})

    def _note_flow(self, snapshot: Snapshot, now: datetime, *, has_delivered: bool) -> None:
        """Note since when nothing is delivered though there is work, and since when there is none."""
        work, since = has_work(snapshot), self._stalled_since
        self._idle_since = (self._idle_since or now) if work is False else None
        if self._idle_since is not None and now - self._idle_since >= _FIRST_LOOK:
            since = None
        elif has_delivered or (work and since is None):
            since = now
        self._stalled_since = since
        lasting = since if since is not None and now - since >= _WORTH_NOTING else None
        self._remember(stalled_since=lasting)

    def _turns(self, snapshot: Snapshot, config: Config, now: datetime) -> Iterator[tuple[str, Turn]]:
        """Give what is wrong, and what was told and is so no more, by topic. What cannot be told stays as it was."""
        hours = self._stalled_hours(config, now)
        found = conditions(snapshot, config, stalled_hours=hours if has_work(snapshot) else None)
        wrong = {str(self._topic(each, snapshot)): each for each in found}
        for name, each in wrong.items():
            if Topic.of(name).kind in LASTS_SECONDS:
                yield name, Turn(is_on=True, words=told([each]))
        for name, said in self.memory.told.items():
            topic = Topic.of(name)
            if said.is_on and name not in wrong and self._is_over(topic, snapshot, is_stalled=hours is not None):
                yield name, Turn(is_on=False, words=over(topic.kind, topic.subject))

    def _stalled_hours(self, config: Config, now: datetime) -> float | None:
        """Return for how long nothing has been delivered, once that is too long."""
        lasted = (now - (self._stalled_since or now)).total_seconds() / 3600
        return lasted if lasted >= config.alarm_after_hours else None

    def _topic(self, condition: Condition, snapshot: Snapshot) -> Topic:
        if condition.kind in _SERVICE:
            return Topic(ConditionKind.SERVICE_REFUSES, "")
        subject = condition.subject
        if condition.kind is ConditionKind.DISK_LOW:
            subject = self._names.setdefault(snapshot.disks[subject].device, subject)
        return Topic(condition.kind, subject)

    def _is_over(self, topic: Topic, snapshot: Snapshot, *, is_stalled: bool) -> bool:
        """Is it known that what is not found wrong is well?"""
        match topic.kind:
            case ConditionKind.SERVICE_REFUSES:
                return self._is_sure
            case ConditionKind.STALLED:
                return not is_stalled
            case ConditionKind.FOLDER_AWAY | ConditionKind.OUT_OF_REACH | ConditionKind.HELD:
                inbox = snapshot.inboxes.get(topic.subject)
                return inbox is not None and inbox.is_open
            case ConditionKind.DISK_LOW:
                disks = {self._names.get(disk.device, folder): disk for folder, disk in snapshot.disks.items()}
                return topic.subject in disks and disks[topic.subject].has_room_again
            case _:
                return True

    # --- may it be told?

    def _ripe(self, turns: Mapping[str, Turn], now: datetime) -> set[str]:
        """Return the topics and bursts to be told now: if one of them must be, those that soon would go along."""
        self._wrong_since = {topic: at for topic, at in self._wrong_since.items() if topic in turns}
        ripeness = {topic: self._ripeness(topic, each, now) for topic, each in turns.items()}
        ripeness |= {name: _ripeness_of_burst(getattr(self.memory, name), now) for name in _BURSTS}
        if max(ripeness.values()) < 1 or not self._may_speak(now):
            return set()
        return {name for name, much in ripeness.items() if much >= _GOES_ALONG}

    def _ripeness(self, topic: str, turn: Turn, now: datetime) -> float:
        """Return 1 and more when it must be told, less while it may still pass."""
        said = self.memory.told.get(topic)
        if turn.is_on == (said is not None and said.is_on):
            self._wrong_since.pop(topic, None)
            return 0.0
        since = self._wrong_since.setdefault(topic, now)
        if turn.is_on and said is not None and now < said.at + _HOLD_DOWN:
            return 0.0
        return (now - since).total_seconds() / LASTS_SECONDS[Topic.of(topic).kind]

    def _may_speak(self, now: datetime) -> bool:
        return sum(at > now - _HOUR for at in self.memory.sent) < _MOST_AN_HOUR

    # --- telling

    def _sentences(self, news: dict[str, Turn], config: Config, bursts: Collection[str]) -> Iterator[str]:
        yield from (each.words for each in sorted(news.values(), key=lambda each: not each.is_on))
        if _QUARANTINED in bursts:
            yield message.quarantine(self.memory.quarantined.count, self.memory.quarantined.some, config)
        if _FOUND in bursts:
            yield message.findings(self.memory.found.count, self.memory.found.some, config)

    def _believe(self, news: dict[str, Turn], now: datetime, bursts: Collection[str]) -> None:
        fresh = {topic: Told(is_on=bool(each.is_on), at=now) for topic, each in news.items()}
        old = {topic: told for topic, told in self.memory.told.items() if told.is_on or now < told.at + _HOLD_DOWN}
        sent = (*(at for at in self.memory.sent if at > now - _HOUR), now)
        self._remember(told=old | fresh, sent=sent)
        for name in bursts:
            self._remember(**{name: type(getattr(self.memory, name))(told=now)})
        for topic in news:
            self._wrong_since.pop(topic, None)

    def _remember(self, **facts: object) -> None:
        self.memory = self.memory.model_copy(update=facts)


def _grown(
    untold: Untold[_Group], number: int, groups: Sequence[_Group], known: Sequence[_Group], now: datetime
) -> Untold[_Group]:
    """Return what is untold with so many files more; `groups` is what they belong to, of which some was `known`."""
    some = untold.some
    for each in groups:
        new = each.files - sum(other.files for other in known if other.is_like(each))
        if new > 0:
            some = added(some, each.model_copy(update={"files": new}))[-_MOST_REASONS:]
    facts = {"count": untold.count + number, "first": untold.first or now, "last": now, "some": some}
    return untold.model_copy(update=facts)


def _ripeness_of_burst(untold: Untold[_Group], now: datetime) -> float:
    if untold.first is None or untold.last is None or (untold.told is not None and now < untold.told + _HOLD_DOWN):
        return 0.0
    quiet = (now - untold.last).total_seconds() / QUIET_SECONDS
    return max(quiet, (now - untold.first).total_seconds() / LONGEST_BURST_SECONDS)
