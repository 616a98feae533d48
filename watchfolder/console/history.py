"""What has come to its end: the lines of the history, read beside the daemon."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from watchfolder import disk
from watchfolder.disk import Place

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


def newest_first(state_dir: str, since: datetime | None = None) -> Iterator[Ended]:
    """Give every order that ended, from `since` on, the latest first. Lines that a power cut tore are passed over."""
    floor = since.astimezone(UTC).isoformat()[:_SECONDS] if since else ""
    for month in _months(state_dir):
        if month.base < floor[:7]:
            return
        for line in reversed(disk.read_bytes(month, _LIMIT).splitlines()):
            if line[7 : 7 + _SECONDS].decode("ascii", "replace") >= floor and (ended := _ended(line)):
                yield ended


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
            at=datetime.fromisoformat(facts["at"]),
            outcome=facts["outcome"],
            key=facts["key"],
            order_id=facts["order_id"],
            inbox=facts["inbox"],
            files=tuple(_file(file) for file in facts["files"]),
            reason=facts["reason"] or "",
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _file(facts: dict[str, Any]) -> EndedFile:
    delivered = facts["delivered"]
    return EndedFile(
        name=_name(facts["name"]),
        size=facts["size"],
        sha256=facts["sha256"],
        delivered=None if delivered is None else _name(delivered),
        delivered_size=facts["delivered_size"],
        delivered_sha256=facts["delivered_sha256"],
    )


def _name(text: str) -> str:
    return os.fsdecode(unquote_to_bytes(text))
