"""The command `explain`: why a file has (not) been taken, what became of it, and what is in a folder of ours."""
# ruff: noqa: PLC0415 - each command imports what it alone needs

from typing import Annotated

import typer

from watchfolder.console.privileges import act_as_owner_of
from watchfolder.console.shell import ConfigFile, configuration_at, say


def explain(
    path: Annotated[str, typer.Argument(metavar="PATH", hidden=True)], *, config_file: ConfigFile = None
) -> None:
    """Say why a file has (not) been taken, or what became of it.

    Of a folder: what is in it, and why. PATH may be in an inbox, an outbox, originals or quarantine.
    """
    from watchfolder.console.commands import explain_file

    with configuration_at(config_file, as_owner=False) as found:
        say(explain_file.explain(path, found, lambda: act_as_owner_of(found.state_dir)))
