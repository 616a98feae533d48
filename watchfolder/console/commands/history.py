"""The command `history`: every delivered file, as lines for a person, as JSON or as a table for a spreadsheet."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated

import typer

from watchfolder import spreadsheet
from watchfolder.console import exit_codes
from watchfolder.console.shell import ConfigFile, configuration_at, fail, say, warn
from watchfolder.events import printable
from watchfolder.history import Delivery, deliveries
from watchfolder.journal import read_orders
from watchfolder.report.phrases import clock_with_seconds, count_of
from watchfolder.services import words_of

_AGO = re.compile(r"([0-9]{1,5})([hd])")


def _since(text: str) -> datetime:
    """Read a date, an instant (of this machine's time zone if it names none) or "7d", "12h" ago."""
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(hours=int(ago[1]) * (24 if ago[2] == "d" else 1))
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter("say 7d, 12h, 2026-11-24 or 2026-11-24T08:00") from None


Since = Annotated[
    datetime | None,
    typer.Option(
        parser=_since,
        metavar="WHEN",
        help="Only what came from then on: 7d (days ago), 12h, 2026-11-24 or 2026-11-24T08:00.",
    ),
]


def history(
    *,
    config_file: ConfigFile = None,
    since: Since = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="For a spreadsheet.")] = False,
) -> None:
    """List what was delivered, the latest first, one line a file."""
    if as_json and as_csv:
        fail("say --json or --csv, not both", exit_codes.USAGE)
    written = _as_json if as_json else _as_table if as_csv else partial(map, _line)
    with configuration_at(config_file) as config, broken_lines() as on_broken:
        found = deliveries(read_orders(config.state_dir), config.state_dir, since, on_broken)
        say(written(map(_as_row, found)))


@contextmanager
def broken_lines() -> Iterator[Callable[[str], None]]:
    """Count the lines that cannot be read, and say at the end how many were skipped, and where."""
    broken: Counter[str] = Counter()
    yield lambda month: broken.update([month])
    for month, number in broken.items():
        lines = count_of(number, "line")
        warn(f"{month}: {lines} cannot be read (torn by a power cut, or not ours): passed over")


@dataclass(frozen=True, slots=True)
class Receipt:
    """One delivered result; the fields are the columns. Names are escaped as in the log, sizes are bytes."""

    at: str
    inbox: str
    name: str
    delivered: str
    size: int
    sha256: str
    delivered_size: int
    delivered_sha256: str
    order: str
    order_id: str
    reused_from: str  # the order that was paid for this result, where this one was not
    service: str
    verdict: str  # where the result is a finding
    finding: str  # the same for a person
    recipient: str  # whose copy it is
    text: str  # the watermark in it


def _as_row(delivery: Delivery) -> Receipt:
    ended, file = delivery.order, delivery.file
    return Receipt(
        at=delivery.at.isoformat(timespec="seconds"),
        inbox=printable(ended.inbox),
        name=printable(file.name),
        delivered=printable(file.delivered or ""),
        size=file.size,
        sha256=printable(file.sha256 or ""),
        delivered_size=file.delivered_size or 0,
        delivered_sha256=printable(file.delivered_sha256 or ""),
        order=printable(f"wf-{ended.key}"),
        order_id=printable(ended.order_id or ""),
        reused_from=printable(f"wf-{ended.reused_from}" if ended.reused_from else ""),
        service=printable(ended.service),
        verdict=file.finding.verdict if file.finding else "",
        finding=printable(words_of(ended.service, file.finding)),
        recipient=printable(file.recipient or ""),
        text=printable(file.text),
    )


def _line(receipt: Receipt) -> str:
    when = clock_with_seconds(datetime.fromisoformat(receipt.at))
    free = f", free: the same picture as {receipt.reused_from}" if receipt.reused_from else ""
    found = f": {receipt.finding}" if receipt.finding else ""
    found += f": for {receipt.recipient or 'no recipient'}, text {receipt.text}" if receipt.text else ""
    arrow = f"{receipt.name} → {receipt.delivered}" if receipt.delivered != receipt.name else receipt.name
    return f"{when}  {receipt.inbox}  {arrow}  ({receipt.delivered_size} bytes{free}){found}"


def _as_json(found: Iterator[Receipt]) -> Iterator[str]:
    before = "["
    for receipt in found:
        yield before + json.dumps(asdict(receipt))
        before = ","
    yield "]" if before == "," else "[]"


def _as_table(found: Iterator[Receipt]) -> Iterator[str]:
    yield spreadsheet.row([field.name for field in fields(Receipt)])
    for receipt in found:
        yield spreadsheet.row(list(asdict(receipt).values()))
