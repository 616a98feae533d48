"""The commands that look back: `history`, `verify` and `reconcile`. They change nothing."""
# ruff: noqa: PLC0415 - each command imports what it alone needs

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from watchfolder import config
from watchfolder.console import exit_codes, settings
from watchfolder.console.privileges import act_as_owner_of
from watchfolder.console.shell import ConfigFile, Quiet, fail, in_words, prepare, warn
from watchfolder.events import printable
from watchfolder.report.phrases import files

if TYPE_CHECKING:
    from watchfolder.config import Config
    from watchfolder.console.commands.verify import Verified

_T = TypeVar("_T")
_AGO = re.compile(r"([0-9]{1,5})([hd])")
_KEPT_DAYS = 30  # the service keeps no result for longer


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
    from watchfolder.console.commands import history

    prepare()
    if as_json and as_csv:
        fail("say --json or --csv, not both", exit_codes.USAGE)
    with in_words(), _broken_lines() as on_broken:
        found = history.receipts(_acting(config_file).state_dir, since, on_broken)
        lines = history.as_json if as_json else history.as_csv if as_csv else history.as_lines
        for line in lines(found):
            typer.echo(line)


def verify(
    *,
    config_file: ConfigFile = None,
    since: Since = None,
    every: Annotated[bool, typer.Option("--all", help="Also name the files that were taken out.")] = False,
    quiet: Quiet = False,
) -> None:
    """Check that delivered files are still what was delivered.

    Exit code 3: some have changed. A file that somebody took out of the outbox is counted, and is no fault.
    """
    from watchfolder.console.commands import verify as verifying
    from watchfolder.console.commands.verify import VerifyOutcome

    prepare()
    counts: Counter[VerifyOutcome] = Counter()
    unseen: set[str] = set()
    with in_words(), _broken_lines() as on_broken:
        found_config = _acting(config_file)
        wanted = verifying.deliveries(found_config, since, on_broken)
        for found in _with_bar(verifying.verify(wanted, found_config), len(wanted), quiet=quiet):
            counts[found.finding] += 1
            if found.finding is VerifyOutcome.UNKNOWN:
                unseen.add(found.detail)
            elif found.finding is VerifyOutcome.CHANGED or (every and found.finding is VerifyOutcome.TAKEN_OUT):
                typer.echo(_line_of(found))
    for reason in sorted(unseen):
        warn(reason)
    if not quiet or counts[VerifyOutcome.CHANGED]:
        typer.echo(
            f"{files(counts[VerifyOutcome.FINE])} as delivered, {counts[VerifyOutcome.CHANGED]} changed, "
            f"{counts[VerifyOutcome.TAKEN_OUT]} taken out of the outbox, {counts[VerifyOutcome.UNKNOWN]} not looked at."
        )
    if counts[VerifyOutcome.CHANGED]:
        raise typer.Exit(exit_codes.DIFFERS)
    raise typer.Exit(exit_codes.UNFINISHED if unseen else exit_codes.DONE)


def _line_of(found: "Verified") -> str:
    detail = f" ({printable(found.detail)})" if found.detail else ""
    return f"{found.finding}: {printable(found.delivery.place.path)}{detail}"


def reconcile(
    *,
    config_file: ConfigFile = None,
    since: Since = None,
    fetch: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Also fetch into it what was paid and never delivered.")
    ] = None,
) -> None:
    """Compare what was delivered with the service's own list of orders.

    Of the last 30 days, unless --since says otherwise; with a quarter of your plan's requests. Exit code 3: something
    was paid and not delivered, or delivered and is not known to the service.
    """
    from watchfolder.console.commands import reconcile as reconciling
    from watchfolder.console.commands import reconcile_fetch

    prepare()
    with in_words(), _broken_lines() as on_broken:
        path = config.find(config_file, os.environ)
        found = settings.read(path, os.environ)
        act_as_owner_of(found.state_dir)
        folder = reconcile_fetch.require_outside(fetch, found) if fetch is not None else None
        begin = since or datetime.now(UTC) - timedelta(days=_KEPT_DAYS)
        books = reconciling.reconcile(found, begin, _tell_page if sys.stderr.isatty() else _say_nothing, on_broken)
    for line in reconciling.lines(books):
        typer.echo(line)
    for rescued in reconcile_fetch.rescue(books.undelivered, folder, found) if folder is not None else ():
        where = f"fetched: {printable(rescued.path)}" if rescued.path else f"not fetched: {rescued.reason}"
        typer.echo(f"order {rescued.order_id}: {where}")
    raise typer.Exit(exit_codes.DIFFERS if books.undelivered or books.unknown_there else exit_codes.DONE)


def _tell_page(page: int, pages: int) -> None:
    typer.echo(f"page {page} of {pages}", err=True)


def _say_nothing(_page: int, _pages: int) -> None:
    return


def _acting(config_file: str | None) -> "Config":
    found = settings.read(config.find(config_file, os.environ), os.environ, needs_key=False)
    act_as_owner_of(found.state_dir)
    return found


@contextmanager
def _broken_lines() -> Iterator[Callable[[str], None]]:
    """Count the lines that are none of ours, and say at the end how many were passed over, and where."""
    broken: Counter[str] = Counter()

    def tell(month: str) -> None:
        broken[month] += 1

    yield tell
    for month, number in broken.items():
        warn(f"{month}: {number} lines cannot be read (torn by a power cut, or not ours) and were passed over")


def _with_bar(found: Iterator[_T], total: int, *, quiet: bool) -> Iterator[_T]:
    if quiet or not sys.stderr.isatty():
        return found
    from rich.console import Console
    from rich.progress import track

    return iter(track(found, "verifying", total, console=Console(stderr=True), transient=True))
