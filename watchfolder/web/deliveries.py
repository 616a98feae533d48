"""The last deliveries to be shown, and when each file of the last day was delivered: read from journal and history."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from watchfolder import history, names
from watchfolder.config import Config, Inbox
from watchfolder.disk import Place
from watchfolder.events import printable
from watchfolder.journal import read_orders
from watchfolder.services import words_of
from watchfolder.web.security import Ids

MOST_SHOWN = 12
_DAY = timedelta(hours=24)
_MOST_NUMBERS = 5  # an original whose name was taken is called NAME (2), NAME (3)…


@dataclass(frozen=True)
class ThumbnailSource:
    """Where a picture may lie. Only a file with this digest is shown: what we delivered, or the original of it."""

    id: str
    places: tuple[Place, ...]
    size: int
    sha256: str


@dataclass(frozen=True)
class ShownDelivery:
    at: datetime
    inbox: str
    name: str  # escaped
    size: int
    before: ThumbnailSource | None
    after: ThumbnailSource | None
    finding: str = ""  # what the service says of it
    recipient: str = ""  # whose copy it is


def read_deliveries(config: Config, now: datetime, ids: Ids) -> tuple[list[ShownDelivery], list[datetime]]:
    """Return the last deliveries, the latest first, and when each file of the last day went out. Raises FolderFault."""
    deliveries: list[ShownDelivery] = []
    delivered_at = []
    for each in history.deliveries(read_orders(config.state_dir), config.state_dir):
        if each.at >= now - _DAY:
            delivered_at.append(each.at)
        elif len(deliveries) >= MOST_SHOWN:
            break
        if len(deliveries) < MOST_SHOWN:
            deliveries.append(_show(each, config, ids))
    return deliveries, delivered_at


def _show(each: history.Delivery, config: Config, ids: Ids) -> ShownDelivery:
    ended, file = each.order, each.file
    inbox = config.inboxes.get(ended.inbox)
    return ShownDelivery(
        at=each.at,
        inbox=ended.inbox,
        name=printable(file.delivered or file.name),
        size=file.delivered_size or file.size,
        before=_original(inbox, ended.key, file, ids) if inbox else None,
        after=_result(inbox, ended.key, file, ids) if inbox else None,
        finding=printable(words_of(ended.service, file.finding)),
        recipient=printable(file.recipient or ""),
    )


def _original(inbox: Inbox, key: str, file: history.EndedFile, ids: Ids) -> ThumbnailSource | None:
    if not inbox.originals or not file.sha256:
        return None
    original = Place(inbox.originals, file.name)
    numbered = (original.beside(names.numbered(original.base, number)) for number in range(2, _MOST_NUMBERS))
    return ThumbnailSource(ids.of("before", key, file.name), (original, *numbered), file.size, file.sha256)


def _result(inbox: Inbox, key: str, file: history.EndedFile, ids: Ids) -> ThumbnailSource | None:
    if not file.delivered or not file.delivered_sha256 or file.delivered_size is None:
        return None
    place, id_ = Place(inbox.outbox, file.delivered), ids.of("after", key, file.delivered)
    return ThumbnailSource(id_, (place,), file.delivered_size, file.delivered_sha256)
