"""The command `release`: let through what the brake holds. The daemon obeys at once, or at its next start."""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from watchfolder import quota
from watchfolder.clock import Clock
from watchfolder.config import Config
from watchfolder.console import exit_codes
from watchfolder.console.shell import ConfigFile, Names, Quiet, configuration_at, fail, say
from watchfolder.disk import Place
from watchfolder.errors import UnknownName
from watchfolder.report.conditions import not_running
from watchfolder.report.lock_holder import held_by


def release(
    names: Names,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every inbox.")] = False,
    config_file: ConfigFile = None,
    quiet: Quiet = False,
) -> None:
    """Let through what the brake holds back in an inbox.

    NAME is the inbox's name in the configuration. Its files of now go; later ones are counted anew.
    """
    if every == bool(names):
        fail("name the inboxes to let go, or say --all", exit_codes.USAGE)
    with configuration_at(config_file) as found:
        say(_let_go(found, list(dict.fromkeys(names or found.inboxes))), quiet=quiet)


def _let_go(config: Config, names: Sequence[str]) -> Iterator[str]:
    unknown = [name for name in names if name not in config.inboxes]
    if unknown:
        known = ", ".join(config.inboxes)
        raise UnknownName([f"{name}: there is no such inbox; there are: {known}" for name in unknown])
    memory = quota.Quota(config, Clock())
    held = {name: memory.why(name) for name in names}
    for name, why in held.items():
        if why is not None:
            quota.give_word(config.state_dir, name)
            yield f"{name}: let through ({why.partition(';')[0]})"
        else:
            yield f"{name}: nothing is held"
    if any(held.values()) and not _wake(config.state_dir):
        yield f"{not_running(config.state_dir)}: they go when it is started"


def _wake(state_dir: str) -> bool:
    """Have a running daemon look at once; it would look by itself after `scan_seconds`."""
    process = held_by(Place(state_dir, "lock"))
    if process is None:
        return False
    if process > 0:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGUSR1)
    return True
