"""The command `retry`: what lies in quarantine goes back into its inbox."""

import os
from itertools import chain
from typing import Annotated

import typer

from watchfolder import retry as retrying
from watchfolder.console import exit_codes
from watchfolder.console.shell import ConfigFile, Names, Quiet, configuration_at, fail, say, warn, with_advice
from watchfolder.errors import FolderFault
from watchfolder.events import printable
from watchfolder.report.phrases import files


def retry(
    names: Names,
    *,
    every: Annotated[bool, typer.Option("--all", help="Everything that another try may help.")] = False,
    config_file: ConfigFile = None,
    quiet: Quiet = False,
) -> None:
    """Move files from quarantine back into their inbox.

    NAME is a path, or a name below a quarantine folder; a folder stands for all that is in it.
    """
    if every == bool(names):
        fail("name the files to move back, or say --all", exit_codes.USAGE)
    is_root = os.geteuid() == 0
    moved = failed = 0
    with configuration_at(config_file) as found:
        faults: dict[str, FolderFault] = {}
        pictures, left = retrying.find_all(found, faults) if every else (retrying.find(found, names), 0)
        for outcome in chain(retrying.move_back(pictures, found), faults.values()):
            if isinstance(outcome, FolderFault):
                failed += 1
                warn(f"not moved: {with_advice(outcome, is_root=is_root)}")
            else:
                moved += 1
                say([f"{printable(outcome.source)} → {printable(outcome.target)}"], quiet=quiet)
    say([f"{files(moved)} moved back." if moved or failed or left else "Nothing is in quarantine."], quiet=quiet)
    if left:
        rest = f"{files(left)} left there, since another try does not help: name what shall go all the same."
        say([rest], quiet=quiet)
    raise typer.Exit(exit_codes.UNFINISHED if failed else exit_codes.DONE)
