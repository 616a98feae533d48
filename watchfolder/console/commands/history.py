"""The receipts: every delivered file, as lines for a person, as JSON or as a table for a spreadsheet."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from watchfolder import history, spreadsheet
from watchfolder.events import printable
from watchfolder.history import Delivery
from watchfolder.journal import read_orders
from watchfolder.services import said_of


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


def receipts(
    state_dir: str, since: datetime | None = None, on_broken: Callable[[str], None] = lambda _month: None
) -> Iterator[Receipt]:
    """Give the deliveries from `since` on, the latest first: an order of many has one receipt for each result."""
    return map(_receipt, history.deliveries(read_orders(state_dir), state_dir, since, on_broken))


def _receipt(delivery: Delivery) -> Receipt:
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
        finding=printable(said_of(ended.service, file.finding)),
        recipient=printable(file.recipient or ""),
        text=printable(file.text),
    )


def as_lines(found: Iterator[Receipt]) -> Iterator[str]:
    return map(_line, found)


def _line(receipt: Receipt) -> str:
    when = datetime.fromisoformat(receipt.at).astimezone()
    free = f", free: the same picture as {receipt.reused_from}" if receipt.reused_from else ""
    found = f": {receipt.finding}" if receipt.finding else ""
    found += f": for {receipt.recipient or 'no recipient'}, text {receipt.text}" if receipt.text else ""
    arrow = f"{receipt.name} → {receipt.delivered}" if receipt.delivered != receipt.name else receipt.name
    return f"{when:%Y-%m-%d %H:%M:%S}  {receipt.inbox}  {arrow}  ({receipt.delivered_size} bytes{free}){found}"


def as_json(found: Iterator[Receipt]) -> Iterator[str]:
    """Give a JSON list, a line for each receipt."""
    before = "["
    for receipt in found:
        yield before + json.dumps(asdict(receipt))
        before = ","
    yield "]" if before == "," else "[]"


def as_csv(found: Iterator[Receipt]) -> Iterator[str]:
    names = [field.name for field in fields(Receipt)]
    yield spreadsheet.row(names)
    for receipt in found:
        yield spreadsheet.row([getattr(receipt, name) for name in names])
