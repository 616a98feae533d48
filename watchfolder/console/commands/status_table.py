"""The status as a person reads it: one sentence, one table, and below it what needs somebody."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from watchfolder.command_line import Advised, CommandLine
from watchfolder.report.conditions import Severity, say_all
from watchfolder.report.phrases import clock, files, other_files
from watchfolder.report.status import InboxStatus, OrderStatus, QuarantinedFile, StatusReport

_COLUMNS = ("inbox", "state", "waiting", "in progress", "deferred", "delivered today", "in quarantine")


def show(status: StatusReport, commands: CommandLine, console: Console) -> None:
    """Print to `console`; names were escaped when the status was read, and nothing here is taken for markup."""
    console.print(Group(*_parts(status, commands)), highlight=False)


def _parts(status: StatusReport, commands: CommandLine) -> Iterator[RenderableType]:
    is_alarm = status.conditions[0].kind.severity is Severity.ALARM
    yield Text(status.headline, style="bold red" if is_alarm else "bold")
    yield from (Text(each) for each in say_all(status.conditions, Severity.NEEDS_PERSON) if each != status.headline)
    if status.is_running and status.started is not None:
        yield Text(f"running since {clock(status.started, status.at)}, process {status.pid}", style="dim")
    yield Padding(_table(status), (1, 0, 0, 0), expand=False)
    for title, lines in _sections(status, commands.to(Advised.EXPLAIN, "PATH")):
        if lines:
            yield Padding(Text(title, style="bold"), (1, 0, 0, 0), expand=False)
            yield from (Padding(Text(line), (0, 0, 0, 2), expand=False) for line in lines)


def _sections(status: StatusReport, explain: str) -> Iterator[tuple[str, list[str]]]:
    """Give what needs more words than a number, the inboxes first, each with its title."""
    for name, inbox in status.inboxes.items():
        yield f"{name}:", list(_lines_of(inbox, explain))
    yield "Under way, though not as usual:", [_order_line(order, status.at) for order in status.orders if order.reason]
    yield "Deferred, tried again by itself:", [_order_line(order, status.at) for order in status.deferred]
    held = [f"{order.inbox}: {_files(order)} ({order.state})" for order in status.held]
    yield f"Held, since their inbox is not in the configuration ({files(status.held_files)}):", held
    yield "In quarantine, newest first:", [_quarantine_line(file) for file in status.quarantine]
    yield "Could not be looked at:", status.faults
    broken = f"unreadable entries: {status.broken_entries}; the next start takes care of their pictures"
    yield "In the journal:", [broken] if status.broken_entries else []


def _table(status: StatusReport) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))  # of 80 columns, the inbox's name has what is left
    for column in _COLUMNS:
        is_word = column in _COLUMNS[:2]
        table.add_column(column, justify="left" if is_word else "right", header_style="bold", overflow="fold")
    for name, inbox in status.inboxes.items():
        table.add_row(
            Text(name),
            Text(inbox.state, style={"ok": "green", "waits": "red", "held": "red"}.get(inbox.state, "dim")),
            _count(inbox.waiting),
            _count(inbox.in_progress),
            _count(inbox.deferred),
            _count(inbox.delivered_today),
            _count(inbox.quarantined),
        )
    return table


def _lines_of(inbox: InboxStatus, explain: str) -> Iterator[str]:
    yield from (f"{each}: {explain}" for each in inbox.beside_counts)
    if alone := (inbox.staying or 0) - (inbox.raw or 0) - (inbox.out_of_reach or 0):
        yield f"{files(alone)} left alone: {explain}"
    yield from (f"{file}: {reason}" for file, reason in list(inbox.remarks.items())[:10])


def _quarantine_line(file: QuarantinedFile) -> str:
    return f"{file.path}{other_files(file.files - 1)}: {file.reason} {file.advice}".rstrip()


def _order_line(order: OrderStatus, now: datetime) -> str:
    when = f", next try {clock(order.not_before, now)}" if order.not_before else ""
    return f"{order.inbox}: {_files(order)}: {order.reason or order.state}{when}"


def _files(order: OrderStatus) -> str:
    return f"{order.files[0]}{other_files(len(order.files) - 1)}" if order.files else files(order.delivered)


def _count(number: int | None) -> Text:
    return Text("?" if number is None else str(number), style="" if number else "dim")
