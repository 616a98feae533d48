"""What has come to its end: the lines of the history, read beside the daemon."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from watchfolder import disk
from watchfolder.disk import Place
from watchfolder.order import State, stays_inside

_LIMIT = 1 << 30  # bytes of a month
_SECONDS = 19  # characters of an instant down to its seconds; all are UTC, so text sorts as time does


@dataclass(frozen=True, slots=True)
class EndedFile:
    """Names as os.fsdecode gives them, below the inbox and below the outbox."""

    name: str
    size: int
    sha256: str | None
    delivered: str | None
    delivered_size: int | None
    delivered_sha256: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    """One order, delivered or quarantined."""

    at: datetime
    outcome: str
    key: str
    order_id: str | None
    inbox: str
    files: tuple[EndedFile, ...]
    reason: str
    kind: str = "live"  # of the API key
    reused_from: str | None = None  # the key of the order that was paid for this result
    created: datetime | None = None  # at the service

    @property
    def is_delivered(self) -> bool:
        return self.outcome == State.DELIVERED

    @property
    def deliveries(self) -> tuple[EndedFile, ...]:
        """What was delivered: everything; of an order that was given up, what had come until then."""
        return self.files if self.is_delivered else tuple(file for file in self.files if file.delivered is not None)


def newest_first(
    state_dir: str, since: datetime | None = None, on_broken: Callable[[str], None] = lambda _month: None
) -> Iterator[Ended]:
    """Give every order that ended, from `since` on, the latest first.

    Lines that a power cut tore, or that are not ours, are passed over and told, each with the file that it stands in.
    """
    floor = since.astimezone(UTC).isoformat()[:_SECONDS] if since else ""
    for month in _months(state_dir):
        if month.base < floor[:7]:
            return
        for line in reversed(disk.read_bytes(month, _LIMIT).splitlines()):
            if not line or line[7 : 7 + _SECONDS].decode("ascii", "replace") < floor:
                continue
            ended = _ended(line)
            if ended is not None:
                yield ended
            else:
                on_broken(month.path)


def _months(state_dir: str) -> list[Place]:
    try:
        entries = disk.scan(state_dir, "history", recursive=False)
        return [Place(state_dir, name) for name in sorted((entry.name for entry in entries), reverse=True)]
    except FileNotFoundError:
        return []


def _ended(line: bytes) -> Ended | None:
    try:
        facts = json.loads(line)
        return Ended(
            at=_instant(facts["at"]),
            outcome=str(facts["outcome"]),
            key=str(facts["key"]),
            order_id=None if facts["order_id"] is None else str(facts["order_id"]),
            inbox=str(facts["inbox"]),
            files=tuple(_file(file) for file in facts["files"]),
            reason=str(facts["reason"] or ""),
            kind=str(facts.get("kind", "live")),
            reused_from=_text(facts.get("reused_from")),
            created=_instant(facts["times"][State.CREATED]) if State.CREATED in facts.get("times", {}) else None,
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _file(facts: dict[str, Any]) -> EndedFile:
    delivered = facts["delivered"]
    return EndedFile(
        name=_name(facts["name"]),
        size=int(facts["size"]),
        sha256=_text(facts["sha256"]),
        delivered=None if delivered is None else _name(delivered),
        delivered_size=None if facts["delivered_size"] is None else int(facts["delivered_size"]),
        delivered_sha256=_text(facts["delivered_sha256"]),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _name(text: str) -> str:
    """Return the name that `text` stands for. Raises ValueError for one that leads out of its folder."""
    return stays_inside(os.fsdecode(unquote_to_bytes(text)))
