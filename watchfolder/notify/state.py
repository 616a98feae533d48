"""What was said, and when: a tiny file, so that a restart does not say it again."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Generic, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict
from typing_extensions import override

from watchfolder import state_file
from watchfolder.clock import Instant
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.events import event
from watchfolder.report.conditions import ConditionKind
from watchfolder.snapshot import FileGroup, Quarantined, VerdictCount

FILE = "notify.json"
_Group = TypeVar("_Group", bound=FileGroup)
_EFFECT = "what was told before may be told once more"


@dataclass(frozen=True)
class Topic:
    """What people are told about: `kind`, and the inbox or folder that it is about."""

    kind: ConditionKind
    subject: str

    @classmethod
    def of(cls, name: str) -> Self:
        """Return the topic of this name. Raises ValueError."""
        kind, _, subject = name.partition(":")
        return cls(ConditionKind(kind), subject)

    @override
    def __str__(self) -> str:
        return f"{self.kind}:{self.subject}"


def _is_topic(name: str) -> str:
    return str(Topic.of(name))


class StatePart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Told(StatePart):
    """What people believe of a topic since then."""

    is_on: bool
    at: Instant


class Untold(StatePart, Generic[_Group]):
    """What has come since it was told last: so many files, and what they have in common, group by group."""

    count: int = 0
    first: Instant | None = None
    last: Instant | None = None
    some: tuple[_Group, ...] = ()
    told: Instant | None = None

    def not_after(self, now: datetime) -> Self:
        facts = {name: at and min(at, now) for name, at in vars(self).items() if name in {"first", "last", "told"}}
        return self.model_copy(update=facts)


class NotifyState(StatePart):
    told: dict[Annotated[str, AfterValidator(_is_topic)], Told] = {}  # topic → the last word about it
    sent: tuple[Instant, ...] = ()  # messages of the last hour
    stalled_since: Instant | None = None  # files wait and none is delivered, for some time already
    quarantined: Untold[Quarantined] = Untold()
    found: Untold[VerdictCount] = Untold()

    @classmethod
    def read(cls, state_dir: str) -> Self:
        """Return what was remembered; what cannot be read is forgotten, and may be said once more."""
        try:
            return state_file.read(Place(state_dir, FILE), cls, _EFFECT) or cls()
        except FolderFault as fault:
            event("notify.state_unreadable", logging.WARNING, reason=fault.reason, effect=_EFFECT)
            return cls()

    def not_after(self, now: datetime) -> Self:
        """Return it as if none of it lay in the future: a clock that was wrong must not silence us for years."""

        def past(at: datetime | None) -> datetime | None:
            return at and min(at, now)

        told = {topic: Told(is_on=each.is_on, at=min(each.at, now)) for topic, each in self.told.items()}
        facts: dict[str, object] = {"told": told, "sent": tuple(map(past, self.sent))}
        facts |= {"quarantined": self.quarantined.not_after(now), "found": self.found.not_after(now)}
        facts |= {"stalled_since": past(self.stalled_since)}
        return self.model_copy(update=facts)

    def write(self, state_dir: str) -> None:
        """Raises FolderFault."""
        state_file.write(Place(state_dir, FILE), self)
