"""The command line: the commands under their names, and how the process ends after them."""

import os
import resource
import sys
from typing import Annotated

import typer

from watchfolder import __version__, disk
from watchfolder.console import errand, exit_codes
from watchfolder.console.commands import notify, webhook
from watchfolder.console.commands.check import check
from watchfolder.console.commands.demo import demo
from watchfolder.console.commands.explain import explain
from watchfolder.console.commands.history import history
from watchfolder.console.commands.init import init
from watchfolder.console.commands.reconcile import reconcile
from watchfolder.console.commands.release import release
from watchfolder.console.commands.report import report
from watchfolder.console.commands.retry import retry
from watchfolder.console.commands.run import run
from watchfolder.console.commands.sandbox import sandbox
from watchfolder.console.commands.status import status
from watchfolder.console.commands.verify import verify
from watchfolder.console.shell import warn

app = typer.Typer(
    name="watchfolder",
    help="Drop a picture into a folder, get it back protected against AI training, marked, or checked.",
    epilog="Exit codes: 0 done; 1 done, some files were quarantined; 2 wrong arguments; 3 a difference was found; "
    "69 another instance runs; 75 stopped before the end, trying again may help; 78 the configuration is wrong.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
)


def main() -> None:
    disk.open_closed_streams()
    disk.hold_stdout()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no core dump: it would hold the key
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show … is no reason to fail
    stdout = sys.stdout
    try:
        app(prog_name="watchfolder")
    except SystemExit as ending:
        has_reader_gone = sys.stdout is not stdout  # then typer has replaced it
        code = exit_codes.UNFINISHED if has_reader_gone else int(ending.code or 0)
    except OSError as error:
        if not disk.is_stdout_broken():
            raise
        warn(f"the answer cannot be written: {error.strerror}")
        code = exit_codes.UNFINISHED
    errand.end(code)
    sys.exit(code)


def _version(asked: bool) -> None:  # noqa: FBT001 - typer calls it with the flag's value
    if asked:
        typer.echo(f"watchfolder {__version__}")
        raise typer.Exit


@app.callback()
def _all(
    context: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    del version  # its callback has answered
    if os.environ.get("NO_COLOR"):
        context.color = False


app.command()(init)
app.command()(run)
app.command()(check)
app.command()(status)
app.command()(explain)
app.command()(retry)
app.command()(release)
app.command()(history)
app.command()(verify)
app.command()(reconcile)
app.command()(report)
app.add_typer(webhook.commands, name="webhook")
app.add_typer(notify.commands, name="notify")
app.command()(sandbox)
app.command()(demo)
