"""The command line: every command with its options; the longer ones have a file in `console/commands`."""
# ruff: noqa: PLC0415 - each command imports what it alone needs, so that `run` stays small and `status` quick

import os
import resource
import signal
import sys
from datetime import UTC, datetime
from itertools import chain
from typing import Annotated

import typer

from watchfolder import __version__, config, disk
from watchfolder import retry as retrying
from watchfolder.command_line import Advised
from watchfolder.config.installed_unit import command_line
from watchfolder.console import container, errand, exit_codes, settings
from watchfolder.console.commands import notify, webhook
from watchfolder.console.commands.demo import demo
from watchfolder.console.commands.history import Since, broken_lines, history
from watchfolder.console.commands.init import init
from watchfolder.console.commands.release import release
from watchfolder.console.commands.run import run
from watchfolder.console.commands.verify import verify
from watchfolder.console.privileges import act_as_daemon, act_as_owner_of, is_of_another
from watchfolder.console.shell import (
    ConfigFile,
    Names,
    Quiet,
    configuration_at,
    fail,
    in_words,
    say,
    set_up,
    tell_fault,
    tell_finding,
    tell_findings,
    warn,
    with_advice,
)
from watchfolder.errors import FolderFault
from watchfolder.events import printable
from watchfolder.report import status as states
from watchfolder.report.phrases import files

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
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the key is in our memory, and a core dump is a file of that
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that cannot show … is no reason to fail
    stdout = sys.stdout
    try:
        app(prog_name="watchfolder")
    except SystemExit as ending:
        has_reader_gone = sys.stdout is not stdout  # typer has put another one in its place
        code: object = exit_codes.UNFINISHED if has_reader_gone else ending.code
    except OSError as error:
        if not disk.is_stdout_broken():
            raise
        warn(f"the answer cannot be written: {error.strerror}")
        code = exit_codes.UNFINISHED
    if isinstance(code, int):
        errand.end(code)
    sys.exit(code)  # type: ignore[arg-type] # as it came


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
    quiet: Quiet = False,
) -> None:
    """Say what is wrong with configuration, folders, key or service.

    One line each: ok, or FAIL and what to do.
    """
    from watchfolder.console.commands import check as checks

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
            for path in checks.accept(found, accept):
                if not quiet:
                    tell_finding(f"accepted: {printable(path)}; a watchfolder that is running goes on within seconds")
        worst = tell_findings(checks.findings(found, user), quiet=quiet)
    if worst and is_of_another(found.state_dir):
        warn("This is what you may do; to check what the daemon may, run it with sudo.")
    raise typer.Exit(worst)


@app.command()
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

        from watchfolder.console.commands import status

        has_width = sys.stdout.isatty() or "COLUMNS" in os.environ  # which rich finds by itself
        console = Console(width=None if has_width else _COLUMNS)
        with console.capture() as captured:
            status.show(state, found.commands, console)
        typer.echo(captured.get(), nl=False)


_COLUMNS = 80  # for a pipe, whatever the terminal that it began in


@app.command()
def explain(
    path: Annotated[str, typer.Argument(metavar="PATH", hidden=True)], *, config_file: ConfigFile = None
) -> None:
    """Say why a file has (not) been taken, or what became of it.

    Of a folder: what is in it, and why. PATH may be in an inbox, an outbox, originals or quarantine.
    """
    from watchfolder.console.commands import explain as explaining

    with configuration_at(config_file, as_owner=False) as found:
        path = os.path.abspath(path)
        say(explaining.explain(path, found, lambda: act_as_owner_of(found.state_dir)))


@app.command()
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


app.command()(release)
app.command()(history)
app.command()(verify)


@app.command()
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
    from watchfolder.console.commands import reconcile as reconciling

    with configuration_at(config_file, settings.read) as found, broken_lines() as on_broken:
        folder = reconciling.require_no_inbox(fetch, found) if fetch is not None else None
        begin = since or datetime.now(UTC) - reconciling.KEPT
        books = reconciling.reconcile(found, begin, on_broken)
    say(reconciling.lines(books))
    if folder is not None:
        say(reconciling.fetch_all(books.undelivered, folder, found))
    raise typer.Exit(exit_codes.DIFFERS if books.undelivered or books.unknown_there else exit_codes.DONE)


@app.command()
def report(
    path: Annotated[str, typer.Argument(metavar="FILE", hidden=True)],
    *,
    config_file: ConfigFile = None,
    locale: Annotated[
        str | None,
        typer.Option(metavar="LOCALE", help="en-US, ja-JP or ko-KR; else the inbox's report_locale."),
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="PATH", help="Write it there; - is the standard output.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Fetch the service's report on a picture that was checked.

    FILE is the picture, or its sidecar, which must lie beside it. The report is written beside it, too. It can be
    had while the service keeps the order, with the key of its account; one on a found watermark costs a credit.
    """
    from watchfolder.console.commands import report as reports

    if locale is not None and locale not in reports.LOCALES:
        fail(f"--locale must be {', '.join(reports.LOCALES[:-1])} or {reports.LOCALES[-1]}", exit_codes.USAGE)
    with configuration_at(config_file, settings.read) as found:
        picture = reports.picture_of(path)
        if picture.has_changed():
            fail(
                f"{printable(picture.place.path)}: it is not the picture any more that was checked", exit_codes.DIFFERS
            )
        locale = locale or reports.locale_of(picture, found)
        place = reports.place_of(output, picture, locale)
        if place is not None and disk.stat_of(place) is not None:  # the report itself, of a delivery or an earlier time
            said = "there already"
        elif place is not None:
            reports.write(place, reports.fetch_report(picture, locale, found))
            said = "fetched"
        else:
            sys.stdout.buffer.write(reports.fetch_report(picture, locale, found))
            return
    say([f"{said}: {printable(place.path)}"], quiet=quiet)


app.add_typer(webhook.commands, name="webhook")
app.add_typer(notify.commands, name="notify")


@app.command()
def sandbox(
    *,
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0: a free one.")] = 8642,
    origins: Annotated[
        str, typer.Option(metavar="DIR", help="A folder whose pictures lie at https://pictures.example.com/.")
    ] = "",
) -> None:
    """Serve a stand-in for the service on this machine, until Ctrl-C."""
    from watchfolder.sandbox import Sandbox

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Sandbox(port=port, origins_folder=origins) as served:
            run = command_line("config.yaml", os.environ, is_found=False).to(Advised.RUN)
            typer.echo(_SANDBOX_HELP.format(url=served.url, key=served.key, run=run))
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

  BIZMORI_API_KEY={key} {run}
"""


app.command()(demo)
