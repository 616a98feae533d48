"""The command line: puts the rooms together, and is alone in printing and in choosing the exit code."""
# ruff: noqa: PLC0415 - each command imports what it alone needs, so that `run` stays small and `status` quick

import logging
import os
import resource
import signal
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from watchfolder import __version__, config
from watchfolder.console import errand, exit_codes, logs, settings
from watchfolder.console.commands import notify, receipts, webhook
from watchfolder.console.commands.demo import demo
from watchfolder.console.commands.init import init
from watchfolder.console.privileges import act_as_owner_of
from watchfolder.console.shell import ConfigFile, fail, in_words, prepare, tell_finding, tell_findings
from watchfolder.errors import FolderFault
from watchfolder.events import printable, redacted
from watchfolder.report.phrases import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from watchfolder.config import Config
    from watchfolder.console.progress import ProgressBar
    from watchfolder.daemon import Outcome

app = typer.Typer(
    name="watchfolder",
    help="Drop a picture into a folder, get it back protected against AI training.",
    epilog="Exit codes: 0 done; 1 done, some files were quarantined; 2 wrong arguments; 3 a difference was found; "
    "69 another instance runs; 75 stopped before the end, trying again may help; 78 the configuration is wrong.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
)


class LogFormat(StrEnum):
    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the key is in our memory, and a core dump is a file of that
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show … is no reason to fail
    try:
        app(prog_name="watchfolder")
    except SystemExit as ending:
        if isinstance(ending.code, int):
            errand.end(ending.code)
        raise


def _version(asked: bool) -> None:  # noqa: FBT001 - typer calls it with the flag's value
    if asked:
        typer.echo(f"watchfolder {__version__}")
        raise typer.Exit


@app.callback()
def _all(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    del version  # its callback has answered


app.command()(init)


@app.command()
def run(
    *,
    config_file: ConfigFile = None,
    once: Annotated[bool, typer.Option("--once", help="Do everything that is there, then exit.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --once: only say what would be sent, and what it costs.")
    ] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Take over the work folders of a watchfolder whose state was lost.")
    ] = False,
    log_format: Annotated[LogFormat, typer.Option(help="How a log line looks.")] = LogFormat.AUTO,
    log_level: Annotated[LogLevel | None, typer.Option(help="What is logged (default: info).")] = None,
) -> None:
    """Watch the inboxes, in the foreground, until told to stop."""
    if dry_run:
        _rehearse(config_file, once=once)
    has_bar = once and log_format is not LogFormat.JSON and sys.stderr.isatty()
    level = log_level or (LogLevel.WARNING if has_bar else LogLevel.INFO)

    def configure_logs() -> None:
        logs.configure(log_format.value, logging.getLevelName(level.upper()), os.environ, sys.stderr)

    from watchfolder import daemon  # now: whom we act as below may not be able to read our own code
    from watchfolder.counters import Counters
    from watchfolder.notify import Alarms
    from watchfolder.order import State
    from watchfolder.pushes import Pushes
    from watchfolder.web import Page

    configure_logs()
    counters, pushes = Counters(State), Pushes()
    bar = _bar() if has_bar else nullcontext()
    with in_words():
        path = config.find(config_file, os.environ)
        found = settings.read_for_work(path, os.environ)
        page, alarms = Page(found.http, pushes), Alarms(counters)
        act_as_owner_of(found.state_dir)
        with bar as moving, page, alarms:
            configure_logs()  # a bar takes the stream over
            onlookers = (page, alarms) if not once else (moving,) if moving else ()
            outcome = daemon.run(
                found,
                _reader(path),
                once=once,
                adopt=adopt,
                onlookers=onlookers,
                pushes=pushes,
                counters=counters,
            )
    configure_logs()
    if once:
        _summarise(outcome)
    _end(outcome, once=once)


def _rehearse(config_file: str | None, *, once: bool) -> NoReturn:
    from watchfolder.console.commands import dry_run

    prepare()
    if not once:
        fail("a rehearsal is of a single run: say run --once --dry-run", exit_codes.USAGE)
    with in_words():
        found = settings.read_for_work(config.find(config_file, os.environ), os.environ)
        act_as_owner_of(found.state_dir)
        for line in dry_run.lines(list(dry_run.rehearse(found)), found):
            typer.echo(line)
    raise typer.Exit(exit_codes.DONE)


def _reader(path: str) -> "Callable[[], Config]":
    return lambda: settings.read_for_work(path, os.environ)


def _bar() -> "AbstractContextManager[ProgressBar]":
    from rich.console import Console

    from watchfolder.console import progress

    return progress.shown(Console(stderr=True))


def _summarise(outcome: "Outcome") -> None:
    typer.echo(f"{files(outcome.delivered)} delivered, {files(outcome.quarantined)} quarantined.")
    if outcome.left:
        typer.echo("What remains:")
        for line in outcome.left:
            typer.echo(f"  {redacted(line)}")


def _end(outcome: "Outcome", *, once: bool) -> NoReturn:
    from watchfolder.daemon import Ending

    code = {
        Ending.DONE: exit_codes.DONE,
        Ending.QUARANTINED: exit_codes.QUARANTINED,
        Ending.UNFINISHED: exit_codes.UNFINISHED,
        Ending.STOPPED: exit_codes.UNFINISHED if once else exit_codes.DONE,
    }[outcome.ending]
    if outcome.is_hung:  # a thread waits for a share that never answers, and Python would wait for the thread
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise typer.Exit(code)


@app.command()
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
) -> None:
    """Say what is wrong with configuration, folders, key or service.

    One line each: ok, or FAIL and what to do.
    """
    from watchfolder.console.commands import check as checks

    prepare()
    if only_configuration and accept is not None:
        fail("say --accept or --configuration, not both", exit_codes.USAGE)
    with in_words("FAIL"):
        path = config.find(config_file, os.environ)
        if only_configuration:
            settings.read_for_work(path, os.environ)
            raise typer.Exit
        found = settings.read(path, os.environ)
        user = act_as_owner_of(found.state_dir)
        if accept is not None:
            for path in checks.accept(found, accept):
                tell_finding(f"accepted: {printable(path)}; a watchfolder that is running goes on within seconds")
        worst = tell_findings(checks.findings(found, user))
    raise typer.Exit(worst)


@app.command()
def status(
    *,
    config_file: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    as_metrics: Annotated[bool, typer.Option("--prometheus", help="For node_exporter's textfile collector.")] = False,
) -> None:
    """Show what waits, moves, is blocked, delivered or quarantined."""
    from watchfolder.report import status as states

    prepare()
    with in_words():
        found = settings.read_beside(config.find(config_file, os.environ), os.environ)
        try:
            state = states.gather(found, datetime.now(UTC))
        except FolderFault as fault:
            if fault.code in {"EACCES", "EPERM"}:
                fail(f"{fault.reason}: run it as root, or as watchfolder's user (sudo -u)", exit_codes.UNFINISHED)
            raise
    if as_json:
        typer.echo(states.as_json(state))
    elif as_metrics:
        from watchfolder.report import metrics

        typer.echo(metrics.exposition(state), nl=False)
    else:
        from rich.console import Console

        from watchfolder.console.commands import status

        status.show(state, Console() if sys.stdout.isatty() else Console(width=_UNWRAPPED))


_UNWRAPPED = 10_000  # columns: where no terminal is, a line is for grep


@app.command()
def explain(path: Annotated[str, typer.Argument(metavar="PATH")], *, config_file: ConfigFile = None) -> None:
    """Say why this file has (not) been taken, or what became of it."""
    from watchfolder.console.commands import explain as explaining

    prepare()
    with in_words():
        found = settings.read_beside(config.find(config_file, os.environ), os.environ)
        for line in explaining.explain(path, found):
            typer.echo(line)


@app.command()
def retry(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", show_default=False)] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Everything that was quarantined.")] = False,
    config_file: ConfigFile = None,
) -> None:
    """Move files from quarantine back into their inbox.

    NAME is a path, or a name below a quarantine folder; a folder stands for all that is in it.
    """
    from watchfolder import retry as retrying

    prepare()
    if every == bool(names):
        fail("name the files to move back, or say --all", exit_codes.USAGE)
    with in_words():
        found = settings.read_beside(config.find(config_file, os.environ), os.environ)
        act_as_owner_of(found.state_dir)
        pictures = retrying.everything(found) if every else retrying.chosen(found, names or [])
        failed = 0
        for outcome in retrying.move_back(pictures, found):
            if isinstance(outcome, FolderFault):
                failed += 1
                typer.echo(f"not moved: {outcome.reason}", err=True)
            else:
                typer.echo(f"{printable(outcome.source)} → {printable(outcome.target)}")
    typer.echo(f"{files(len(pictures) - failed)} moved back." if pictures else "Nothing is in quarantine.")
    raise typer.Exit(exit_codes.UNFINISHED if failed else exit_codes.DONE)


@app.command()
def release(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", show_default=False)] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every inbox.")] = False,
    config_file: ConfigFile = None,
) -> None:
    """Let through what the brake holds back in an inbox.

    NAME is the inbox's name in the configuration. Its files of now go; later ones are counted anew.
    """
    from watchfolder.console.commands import release as releasing

    prepare()
    if every == bool(names):
        fail("name the inboxes to let go, or say --all", exit_codes.USAGE)
    with in_words():
        found = settings.read_beside(config.find(config_file, os.environ), os.environ)
        act_as_owner_of(found.state_dir)
        for line in releasing.release(found, names or list(found.inboxes)):
            typer.echo(line)


for look_back in (receipts.history, receipts.verify, receipts.reconcile):
    app.command()(look_back)

app.add_typer(webhook.commands, name="webhook")
app.add_typer(notify.commands, name="notify")


@app.command()
def sandbox(*, port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 8642) -> None:
    """Serve a stand-in for the service on this machine, until Ctrl-C."""
    from watchfolder.sandbox import Sandbox

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Sandbox(port=port) as served:
            typer.echo(_SANDBOX_HELP.format(url=served.url, key=served.key))
            signal.pause()
    except KeyboardInterrupt:
        typer.echo("The sandbox has ended.")
    except OSError as error:
        fail(f"port {port}: {error.strerror}: choose another one with --port", exit_codes.UNFINISHED)


_SANDBOX_HELP = """\
The sandbox answers at {url} until Ctrl-C. What it delivers is marked: nothing is protected.

In your config.yaml:

  api:
    base_url: {url}
    requests_per_minute: 0

and then, with a key that it takes:

  BIZMORI_API_KEY={key} watchfolder run -c config.yaml
"""


app.command()(demo)
