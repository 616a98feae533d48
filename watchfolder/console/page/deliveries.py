"""The last deliveries, and when the others of a day were: read from the history."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchfolder import names
from watchfolder.config import Config
from watchfolder.console import history
from watchfolder.console.page.ids import Ids
from watchfolder.disk import Place
from watchfolder.events import printable

MOST_SHOWN = 12
_DAY = timedelta(hours=24)
_MOST_LINES = 1000  # that are read for deliveries older than a day
_MOST_NUMBERS = 5  # an original whose name was taken is called NAME (2), NAME (3)…


@dataclass(frozen=True)
class Source:
    """Where a picture may lie. Only what has this digest is shown: it is what we delivered, or were given."""

    id: str
    places: tuple[Place, ...]
    size: int
    sha256: str


@dataclass(frozen=True)
class Delivery:
    at: datetime
    inbox: str
    name: str  # escaped
    size: int
    before: Source | None
    after: Source | None


@dataclass(frozen=True)
class Past:
    deliveries: Sequence[Delivery]  # the latest first
    delivered_at: Sequence[tuple[datetime, int]]  # of the last day: when, how many files


def recent(config: Config, now: datetime, ids: Ids) -> Past:
    """Read the last day, and before it as much as it takes to show something. Raises FolderFault."""
    deliveries: list[Delivery] = []
    delivered_at = []
    older = 0
    for ended in history.newest_first(config.state_dir):
        if ended.at < now - _DAY:
            older += 1
            if len(deliveries) >= MOST_SHOWN or older > _MOST_LINES:
                break
        elif ended.deliveries:
            delivered_at.append((ended.at, len(ended.deliveries)))
        if len(deliveries) < MOST_SHOWN:
            deliveries += _of(ended, config, ids)
    return Past(deliveries[:MOST_SHOWN], delivered_at)


def _of(ended: history.Ended, config: Config, ids: Ids) -> Iterator[Delivery]:
    inbox = config.inboxes.get(ended.inbox)
    for file in ended.deliveries[:MOST_SHOWN]:
        before = after = None
        if inbox and inbox.originals and file.sha256:
            original = Place(inbox.originals, file.name)
            numbered = (original.beside(names.numbered(original.base, each)) for each in range(2, _MOST_NUMBERS))
            id_ = ids.of("before", ended.key, file.name)
            before = Source(id_, (original, *numbered), file.size, file.sha256)
        if inbox and file.delivered and file.delivered_sha256 and file.delivered_size is not None:
            id_ = ids.of("after", ended.key, file.delivered)
            place = Place(inbox.outbox, file.delivered)
            after = Source(id_, (place,), file.delivered_size, file.delivered_sha256)
        name = printable(file.delivered or file.name)
        yield Delivery(ended.at, ended.inbox, name, file.delivered_size or file.size, before, after)
