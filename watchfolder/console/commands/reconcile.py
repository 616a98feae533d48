"""The command `reconcile`: what was paid beside what was delivered."""
# ruff: noqa: PLC0415 - each command imports what it alone needs

from datetime import UTC, datetime
from typing import Annotated

import typer

from watchfolder.console import exit_codes, settings
from watchfolder.console.commands.history import Since, broken_lines
from watchfolder.console.shell import ConfigFile, configuration_at, say


def reconcile(
    *,
    config_file: ConfigFile = None,
    since: Since = None,
    fetch: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Also fetch into it what was paid and never delivered.")
    ] = None,
) -> None:
    """Compare what was delivered with the service's own list of orders.

    Of the last 30 days, unless --since says otherwise; with a quarter of your plan's requests. Orders of watermarks are
    left out: the service keeps no name of ours for them. Exit code 3: something was paid and not delivered, or
    delivered and is not known to the service.
    """
    from watchfolder.console.commands import reconcile_books

    with configuration_at(config_file, settings.read) as found, broken_lines() as on_broken:
        folder = reconcile_books.require_no_inbox(fetch, found) if fetch is not None else None
        begin = since or datetime.now(UTC) - reconcile_books.KEPT
        books = reconcile_books.reconcile(found, begin, on_broken)
    say(reconcile_books.lines(books))
    if folder is not None:
        say(reconcile_books.fetch_all(books.undelivered, folder, found))
    raise typer.Exit(exit_codes.DIFFERS if books.undelivered or books.unknown_there else exit_codes.DONE)
