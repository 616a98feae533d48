"""The command `status`: what waits, moves, is blocked, delivered or quarantined, for people, monitors and programs."""
# ruff: noqa: PLC0415 - each command imports what it alone needs

import os
import sys
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from watchfolder.console.shell import ConfigFile, configuration_at
from watchfolder.report import status as states

_COLUMNS: Final = 80  # for a pipe, whatever the terminal that it began in


def status(
    *,
    config_file: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    as_metrics: Annotated[bool, typer.Option("--prometheus", help="For node_exporter's textfile collector.")] = False,
) -> None:
    """Show what waits, moves, is blocked, delivered or quarantined."""
    with configuration_at(config_file, as_owner=False) as found:
        state = states.read_status(found, datetime.now(UTC))
    if as_json:
        typer.echo(states.as_json(state))
    elif as_metrics:
        from watchfolder.report import metrics

        typer.echo(metrics.as_text(state), nl=False)
    else:
        from rich.console import Console

        from watchfolder.console.commands import status_table

        has_width = sys.stdout.isatty() or "COLUMNS" in os.environ  # which rich finds by itself
        console = Console(width=None if has_width else _COLUMNS)
        with console.capture() as captured:
            status_table.show(state, found.commands, console)
        typer.echo(captured.get(), nl=False)
