"""The command `check`: what is wrong with configuration, folders, key or service, a line each."""
# ruff: noqa: PLC0415 - each command imports what it alone needs

import os
from typing import Annotated

import typer

from watchfolder import config
from watchfolder.console import container, exit_codes, settings
from watchfolder.console.privileges import act_as_daemon, is_of_another
from watchfolder.console.shell import (
    ConfigFile,
    Quiet,
    fail,
    in_words,
    set_up,
    tell_fault,
    tell_finding,
    tell_findings,
    warn,
)
from watchfolder.events import printable


def check(
    *,
    config_file: ConfigFile = None,
    accept: Annotated[
        str | None,
        typer.Option(metavar="FOLDER|INBOX", help="Take this folder, or an inbox's, as they now are."),
    ] = None,
    only_configuration: Annotated[
        bool, typer.Option("--configuration", help="Only read the configuration, as a reload does.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Say what is wrong with configuration, folders, key or service.

    One line each: ok, or FAIL and what to do.
    """
    from watchfolder.console.commands import check_findings

    set_up()
    if only_configuration and accept is not None:
        fail("say --accept or --configuration, not both", exit_codes.USAGE)
    with in_words(tell_fault):
        path = config.find(config_file, os.environ)
        if only_configuration:
            settings.read_for_reload(path, os.environ)
            raise typer.Exit
        found = settings.read(path, os.environ)
        if config.is_container(os.environ):
            container.require_mount(found)
        settings.notify_faults(found)  # now: whom we act as may not be able to read the code that this needs
        user = act_as_daemon(found.source, found.state_dir)
        if accept is not None:
            for path in check_findings.accept(found, accept):
                if not quiet:
                    tell_finding(f"accepted: {printable(path)}; a watchfolder that is running goes on within seconds")
        worst = tell_findings(check_findings.findings(found, user), quiet=quiet)
    if worst and is_of_another(found.state_dir):
        warn("This is what you may do; to check what the daemon may, run it with sudo.")
    raise typer.Exit(worst)
