"""The command `history`: every delivered file, as lines for a person, as JSON or as a table for a spreadsheet."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Final

import typer

from watchfolder import spreadsheet
from watchfolder.console import exit_codes
from watchfolder.console.shell import ConfigFile, configured, fail, say, warn
from watchfolder.events import printable
from watchfolder.history import Delivery, deliveries
from watchfolder.journal import read_orders
from watchfolder.services import said_of

_AGO = re.compile(r"([0-9]{1,5})([hd])")


def _moment(text: str) -> datetime:
    """Read a date, an instant (of this machine's time zone if it names none) or "7d", "12h" ago."""
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(hours=int(ago[1]) * (24 if ago[2] == "d" else 1))
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter("say 7d, 12h, 2026-11-24 or 2026-11-24T08:00") from None


Since = Annotated[
    datetime | None,
    typer.Option(parser=_moment, metavar="WHEN", help="Only what came from then on: 7d, 12h, a date or an instant."),
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
    written = _as_json if as_json else _as_csv if as_csv else partial(map, _line)
    with configured(config_file) as config, broken_lines() as on_broken:
        found = deliveries(read_orders(config.state_dir), config.state_dir, since, on_broken)
        say(written(map(_receipt, found)))


@contextmanager
def broken_lines() -> Iterator[Callable[[str], None]]:
    """Count the lines that are none of ours, and say at the end how many were passed over, and where."""
    broken: Counter[str] = Counter()
    yield lambda month: broken.update([month])
    for month, number in broken.items():
        warn(f"{month}: {number} lines cannot be read (torn by a power cut, or not ours) and were passed over")


_Receipt = Mapping[str, str | int]
_COLUMNS: Final[Mapping[str, Callable[[Delivery], str | int | None]]] = {
    "at": lambda each: each.at.isoformat(timespec="seconds"),
    "inbox": lambda each: each.order.inbox,
    "name": lambda each: each.file.name,
    "delivered": lambda each: each.file.delivered,
    "size": lambda each: each.file.size,
    "sha256": lambda each: each.file.sha256,
    "delivered_size": lambda each: each.file.delivered_size or 0,
    "delivered_sha256": lambda each: each.file.delivered_sha256,
    "order": lambda each: f"wf-{each.order.key}",
    "order_id": lambda each: each.order.order_id,
    "reused_from": lambda each: each.order.reused_from and f"wf-{each.order.reused_from}",
    "service": lambda each: each.order.service,
    "verdict": lambda each: each.file.finding.verdict if each.file.finding else "",
    "finding": lambda each: said_of(each.order.service, each.file.finding),
    "recipient": lambda each: each.file.recipient,
    "text": lambda each: each.file.text,
}
"""What is told of a delivered result. Sizes are bytes; `reused_from` is the order that was paid for it, where this one
was not; `verdict` and, for a person, `finding` are there where it is one; `text` is the watermark in `recipient`'s.
"""


def _receipt(delivery: Delivery) -> _Receipt:
    """Return a cell for each column, text escaped as in the log."""
    cells = {name: cell(delivery) for name, cell in _COLUMNS.items()}
    return {name: cell if isinstance(cell, int) else printable(cell or "") for name, cell in cells.items()}


def _line(receipt: _Receipt) -> str:
    when = datetime.fromisoformat(str(receipt["at"])).astimezone()
    name, delivered, text = receipt["name"], receipt["delivered"], receipt["text"]
    free = f", free: the same picture as {receipt['reused_from']}" if receipt["reused_from"] else ""
    found = f": {receipt['finding']}" if receipt["finding"] else ""
    found += f": for {receipt['recipient'] or 'no recipient'}, text {text}" if text else ""
    arrow = f"{name} → {delivered}" if delivered != name else name
    return f"{when:%Y-%m-%d %H:%M:%S}  {receipt['inbox']}  {arrow}  ({receipt['delivered_size']} bytes{free}){found}"


def _as_json(found: Iterator[_Receipt]) -> Iterator[str]:
    """Give a JSON list, a line for each receipt."""
    before = "["
    for receipt in found:
        yield before + json.dumps(receipt)
        before = ","
    yield "]" if before == "," else "[]"


def _as_csv(found: Iterator[_Receipt]) -> Iterator[str]:
    yield spreadsheet.row(list(_COLUMNS))
    for receipt in found:
        yield spreadsheet.row(list(receipt.values()))
