"""Is there anything to tell? Decided from the daemon's word and the time, which are arguments; nothing is sent here.

A topic (the service, an inbox, a disk, the flow) is on or off, and people believe what they were told last. They are
told again when that has been wrong for `LASTS_SECONDS`, in one message for all that is. What may not be said yet is not
lost: it is said later, if it still holds.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from watchfolder.config import Config
from watchfolder.notify import message
from watchfolder.notify.message import Message
from watchfolder.notify.state import NotifyState, Told, UntoldQuarantine
from watchfolder.report.conditions import (
    CONFIGURATION,
    DISK,
    FLOW,
    INBOX,
    SERVICE,
    Condition,
    blocked,
    configuration,
    disks,
    has_work,
    inboxes,
    stalled,
)
from watchfolder.snapshot import Snapshot

LASTS_SECONDS = {SERVICE: 60.0, CONFIGURATION: 60.0, INBOX: 120.0, DISK: 120.0, FLOW: 300.0}
"""How long a thing must last to be told: a router that restarts is no news, and a NAS takes two minutes."""

QUIET_SECONDS = 60.0  # a burst of bad pictures is over when none came for so long …
LONGEST_BURST_SECONDS = 600.0  # … or is told of anyhow

_HOLD_DOWN = timedelta(hours=1)  # after the last word of a topic, before it may go wrong again
_HOUR = timedelta(hours=1)
_MOST_AN_HOUR = 6
_WORTH_NOTING = timedelta(minutes=15)  # that nothing is delivered: no flow that is well writes that down
_FIRST_LOOK = timedelta(minutes=5)  # a folder that was opened just now seems empty until it has been looked through
_GOES_ALONG = 0.5  # of the time that a thing must last: ten inboxes on one NAS are one message
_MOST_NAMED = 5
_PURCHASES = ("create", "confirm")


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
        if self._seen is None:
            self.memory = self.memory.not_after(now)
            since, longest = self.memory.stalled_since, timedelta(hours=config.alarm_after_hours)
            self._stalled_since = since and max(since, now - longest)  # the clock may have been wrong
        self._take_in(snapshot, now)
        conditions = dict(self._conditions(snapshot, config, now))
        self._wrong_since = {topic: at for topic, at in self._wrong_since.items() if topic in conditions}
        ripeness = {topic: ripe for topic, each in conditions.items() if (ripe := self._ripeness(topic, each, now))}
        burst = self._ripeness_of_burst(now)
        if max([*ripeness.values(), burst]) < 1 or not self._may_speak(now):
            return None
        news = {topic: conditions[topic] for topic, ripe in ripeness.items() if ripe >= _GOES_ALONG}
        sentences = list(self._sentences(news, config, with_burst=burst >= _GOES_ALONG))
        self._believe(news, now, with_burst=burst >= _GOES_ALONG)
        is_good = burst < _GOES_ALONG and not any(each.is_on for each in news.values())
        return message.told(sentences, is_good=is_good) if sentences else None

    # --- what is so

    def _take_in(self, snapshot: Snapshot, now: datetime) -> None:
        before = self._seen
        purchases = sum(snapshot.counts.requests.get(name, {}).get("done", 0) for name in _PURCHASES)
        if before is None or before.configured != snapshot.configured:  # no purchase was tried since the reload
            self._is_sure, self._purchases = False, purchases if before else 0
        delivered = snapshot.delivered - (before.delivered if before else 0)
        quarantined = snapshot.quarantined - (before.quarantined if before else 0)
        self._is_sure = self._is_sure or bool(snapshot.blocked) or purchases > self._purchases
        self._seen = snapshot
        self._note_flow(snapshot, delivered, now)
        if quarantined:
            burst = self.memory.burst
            some = (*burst.some, *snapshot.last_quarantined[-quarantined:])[:_MOST_NAMED]
            grown = UntoldQuarantine(count=burst.count + quarantined, first=burst.first or now, last=now, some=some)
            self._remember(burst=grown)

    def _note_flow(self, snapshot: Snapshot, delivered: int, now: datetime) -> None:
        work, since = has_work(snapshot), self._stalled_since
        if work is not False:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        if self._idle_since is not None and now - self._idle_since >= _FIRST_LOOK:
            since = None
        elif delivered or (work and since is None):
            since = now
        self._stalled_since = since
        lasting = since if since is not None and now - since >= _WORTH_NOTING else None
        if lasting != self.memory.stalled_since:
            self._remember(stalled_since=lasting)

    def _conditions(self, snapshot: Snapshot, config: Config, now: datetime) -> Iterator[tuple[str, Condition]]:
        yield SERVICE, blocked(snapshot, config, is_sure=self._is_sure)
        yield CONFIGURATION, configuration(snapshot)
        yield from inboxes(snapshot)
        yield from disks(snapshot, self._names)
        yield FLOW, self._flow(snapshot, config, now)

    def _flow(self, snapshot: Snapshot, config: Config, now: datetime) -> Condition:
        lasted = now - self._stalled_since if self._stalled_since else timedelta()
        if lasted < timedelta(hours=config.alarm_after_hours):
            return Condition(is_on=False, words="Pictures are delivered again, or none waits any more")
        is_on = True if has_work(snapshot) else None
        return Condition(is_on=is_on, words=stalled(snapshot, lasted.total_seconds() / 3600))

    # --- may it be told?

    def _ripeness(self, topic: str, condition: Condition, now: datetime) -> float:
        """Return 1 and more when it must be told, less while it may still pass."""
        told = self.memory.told.get(topic)
        is_believed = told is not None and told.is_on
        if condition.is_on is None or condition.is_on == is_believed:
            self._wrong_since.pop(topic, None)
            return 0.0
        since = self._wrong_since.setdefault(topic, now)
        if condition.is_on and told is not None and now < told.at + _HOLD_DOWN:
            return 0.0
        return (now - since).total_seconds() / LASTS_SECONDS[topic.partition(":")[0]]

    def _ripeness_of_burst(self, now: datetime) -> float:
        burst, told = self.memory.burst, self.memory.burst_told
        if burst.first is None or burst.last is None or (told is not None and now < told + _HOLD_DOWN):
            return 0.0
        quiet = (now - burst.last).total_seconds() / QUIET_SECONDS
        return max(quiet, (now - burst.first).total_seconds() / LONGEST_BURST_SECONDS)

    def _may_speak(self, now: datetime) -> bool:
        return sum(at > now - _HOUR for at in self.memory.sent) < _MOST_AN_HOUR

    # --- telling

    def _sentences(self, news: dict[str, Condition], config: Config, *, with_burst: bool) -> Iterator[str]:
        yield from (each.words for each in sorted(news.values(), key=lambda each: not each.is_on))
        burst = self.memory.burst
        if with_burst:
            yield message.quarantine(burst.count, burst.some, config.inboxes)

    def _believe(self, news: dict[str, Condition], now: datetime, *, with_burst: bool) -> None:
        fresh = {topic: Told(is_on=bool(each.is_on), at=now) for topic, each in news.items()}
        old = {topic: told for topic, told in self.memory.told.items() if told.is_on or now < told.at + _HOLD_DOWN}
        sent = (*(at for at in self.memory.sent if at > now - _HOUR), now)
        self._remember(told=old | fresh, sent=sent)
        if with_burst:
            self._remember(burst=UntoldQuarantine(), burst_told=now)
        for topic in news:
            self._wrong_since.pop(topic, None)

    def _remember(self, **facts: object) -> None:
        self.memory = self.memory.model_copy(update=facts)
