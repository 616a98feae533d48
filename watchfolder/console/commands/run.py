"""The command `run`: the daemon in the foreground, or one run over what is there."""
# ruff: noqa: PLC0415 - only a run imports the daemon

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext, suppress
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from watchfolder import config
from watchfolder.config import Config
from watchfolder.console import container, exit_codes, logs, settings
from watchfolder.console.privileges import act_as_owner_of
from watchfolder.console.shell import ConfigFile, Quiet, configuration_at, fail, in_words, say
from watchfolder.counters import Counters
from watchfolder.errors import ConfigError
from watchfolder.events import event, redacted
from watchfolder.order import State
from watchfolder.pushes import Pushes
from watchfolder.report import conditions
from watchfolder.report.phrases import files
from watchfolder.web import Page, WaitingPage

if TYPE_CHECKING:
    from watchfolder.console.progress import ProgressBar
    from watchfolder.daemon import Outcome


_AGAIN_SECONDS = 2.0
_STOP = frozenset({signal.SIGTERM, signal.SIGINT})
_AT_ONCE = frozenset({signal.SIGHUP, signal.SIGUSR1})


LogFormat = StrEnum("LogFormat", ["auto", "text", "json"])
LogLevel = StrEnum("LogLevel", ["debug", "info", "warning", "error"])


def run(  # noqa: PLR0913 - each is an option
    *,
    config_file: ConfigFile = None,
    once: Annotated[bool, typer.Option("--once", help="Do everything that is there, then exit.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --once: only say what would be sent, and what it costs.")
    ] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Take over the work folders of a watchfolder whose state was lost.")
    ] = False,
    waits: Annotated[
        bool,
        typer.Option(
            "--wait-for-configuration", help="Say what is missing in it, also on the page, until it can be used."
        ),
    ] = False,
    log_format: Annotated[LogFormat, typer.Option(help="How a log line looks.")] = LogFormat.auto,
    log_level: Annotated[LogLevel | None, typer.Option(help="What is logged (default: info).")] = None,
    quiet: Quiet = False,
) -> None:
    """Watch the inboxes, in the foreground, until told to stop."""
    if dry_run:
        _tell_plan(config_file, once=once)
    has_bar = once and not quiet and log_format is not LogFormat.json and sys.stderr.isatty()
    level = log_level or (LogLevel.warning if has_bar or quiet else LogLevel.info)

    def set_up_logs() -> None:
        logs.set_up(log_format.value, logging.getLevelName(level.upper()), os.environ, sys.stderr)

    set_up_logs()
    with in_words():
        read = partial(_configuration, config_file, waits=waits)
        outcome = _work(read, set_up_logs, once=once, adopt=adopt, has_bar=has_bar)
    set_up_logs()
    if once:
        _tell_end(outcome, quiet=quiet)
    _end(outcome, once=once)


def _work(
    read: Callable[[], Config], set_up_logs: Callable[[], None], *, once: bool, adopt: bool, has_bar: bool
) -> "Outcome":
    from watchfolder import daemon  # before `read`, after which we may be a user who cannot read our code
    from watchfolder.notify import Alarms

    found, counters, pushes = read(), Counters(State), Pushes()
    page, alarms = Page(found.http, pushes), Alarms(counters)
    act_as_owner_of(found.state_dir)
    with _bar() if has_bar else nullcontext() as bar, closing(page), closing(alarms):
        set_up_logs()  # a bar takes the stream over
        return daemon.run(
            found,
            partial(_read, found.source or None),
            once=once,
            adopt=adopt,
            onlookers=(page, alarms) if not once else (bar,) if bar else (),
            pushes=pushes,
            counters=counters,
            line=conditions.line,
        )


def _tell_plan(config_file: str | None, *, once: bool) -> NoReturn:
    from watchfolder.console.commands import dry_run

    if not once:
        fail("a rehearsal is of a single run: say run --once --dry-run", exit_codes.USAGE)
    with configuration_at(config_file, settings.read_for_work) as found:
        say(list(dry_run.tell(found)))
    raise typer.Exit(exit_codes.DONE)


def _configuration(config_file: str | None, *, waits: bool) -> Config:
    if config.is_container(os.environ):
        container.begin(os.environ)
    return _wait_for_configuration(config_file) if waits else _read(config_file)


def _read(config_file: str | None) -> Config:
    if config.is_container(os.environ):
        return container.read(config_file, os.environ)
    return settings.read_for_work(config.find(config_file, os.environ), os.environ)


def _wait_for_configuration(config_file: str | None) -> Config:
    """Say what is missing in it, in the log and on the page, and wait, until nothing is or we are told to stop.

    The signals stay blocked, so that none is lost on the way to the daemon's own handlers.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP | _AT_ONCE)
    told: Sequence[str] = ()
    with closing(WaitingPage()) as page:
        while True:
            path = ""
            try:
                return _read(config_file)
            except ConfigError as error:
                faults = error.faults
            for fault in faults if faults != told else ():
                event("config.missing", logging.ERROR, fault=fault, effect="waits for it")
            told = faults
            with suppress(ConfigError):
                path = config.find(config_file, os.environ)
            page.show(faults, config.page_in(path, os.environ))
            asked = signal.sigtimedwait(_STOP | _AT_ONCE, _AGAIN_SECONDS)
            if asked is not None and asked.si_signo in _STOP:
                event("daemon.stopped", delivered=0, quarantined=0)
                raise typer.Exit(exit_codes.DONE)


def _bar() -> "ProgressBar":
    from rich.console import Console

    from watchfolder.console.progress import ProgressBar

    return ProgressBar(Console(stderr=True))


def _tell_end(outcome: "Outcome", *, quiet: bool) -> None:
    counts = outcome.snapshot
    if not quiet or counts.quarantined:
        typer.echo(f"{files(counts.delivered)} delivered, {files(counts.quarantined)} quarantined.")
    if lines := conditions.left(outcome):
        typer.echo("What remains:")
        for line in lines:
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
