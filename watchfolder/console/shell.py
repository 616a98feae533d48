"""What every command shares: the option that names the configuration, and our errors as lines and exit codes."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from watchfolder import config
from watchfolder.console import errand, exit_codes, logs, settings
from watchfolder.console.privileges import act_as_owner_of
from watchfolder.errors import ConfigError, FolderFault, InstanceLocked, UnknownName, WatchfolderError
from watchfolder.events import printable, redacted

if TYPE_CHECKING:
    from watchfolder.config import Config
    from watchfolder.console.commands.check_findings import CheckResult

ConfigFile = Annotated[
    str | None,
    typer.Option(
        "-c",
        "--config",
        metavar="FILE",
        help="The configuration; else $WATCHFOLDER_CONFIG, ./config.yaml or /etc/watchfolder/config.yaml.",
    ),
]
Names = Annotated[list[str], typer.Argument(metavar="NAME", hidden=True, default_factory=list)]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say only what is wrong.")]

_CODES = (
    (ConfigError, exit_codes.CONFIG),
    (UnknownName, exit_codes.USAGE),
    (InstanceLocked, exit_codes.LOCKED),
    (WatchfolderError, exit_codes.UNFINISHED),
)
_ASK_OTHERWISE = (
    "run it as root, or as watchfolder's user (sudo -u). Without that right: the status page, if there is one, and the "
    "note beside each picture in quarantine, which may be moved back by hand"
)


def set_up() -> None:
    """Set up a command that only looks: errors alone are logged, and neither a lease nor a dead share holds it up."""
    errand.begin()
    logs.set_up("text", logging.ERROR, os.environ, sys.stderr)
    signal.signal(signal.SIGIO, signal.SIG_IGN)


def warn(text: str) -> None:
    for line in text.split("\n"):
        typer.echo(redacted(printable(line)), err=True)


@contextmanager
def in_words(tell: Callable[[str], None] = warn) -> Iterator[None]:
    """Turn our errors into lines on stderr, or for `tell`, and an exit code; say what people without rights can do."""
    is_root = os.geteuid() == 0  # asked now: a command becomes the daemon's user later
    try:
        yield
    except (WatchfolderError, UnknownName) as error:
        code = next(code for kind, code in _CODES if isinstance(error, kind))
        fail(with_advice(error, is_root=is_root) if isinstance(error, FolderFault) else str(error), code, tell)


@contextmanager
def configuration_at(
    config_file: str | None,
    read: "Callable[[str, Mapping[str, str]], Config]" = settings.read_beside,
    *,
    as_owner: bool = True,
) -> "Iterator[Config]":
    """Prepare a command, and give it the configuration. Our errors end it, in words and with their exit codes."""
    set_up()
    with in_words():
        found = read(config.find(config_file, os.environ), os.environ)
        if as_owner:
            act_as_owner_of(found.state_dir)
        yield found


def with_advice(fault: FolderFault, *, is_root: bool) -> str:
    """Add to a lack of rights what a caller who is not root can do about it."""
    return f"{fault.reason}: {_ASK_OTHERWISE}" if fault.is_closed and not is_root else fault.reason


def fail(text: str, code: int, tell: Callable[[str], None] = warn) -> NoReturn:
    tell(text)
    raise typer.Exit(code)


def say(lines: Iterable[str], *, quiet: bool = False) -> None:
    """Print what went well, unless `quiet`."""
    for line in lines:
        if not quiet:
            typer.echo(line)


def tell_fault(text: str) -> None:
    """Print what is wrong as a finding, on stdout with the others."""
    for line in text.split("\n"):
        tell_finding(printable(line), is_ok=False)


def tell_findings(findings: "Iterable[CheckResult]", *, quiet: bool) -> int:
    """Say what a check found; return the exit code that it asks for."""
    worst = exit_codes.DONE
    for finding in findings:
        if not (quiet and finding.is_done):
            tell_finding(printable(finding.text), is_ok=finding.is_done)
        worst = max(worst, finding.code)  # a wrong configuration weighs more than a service that is away
    return worst


def tell_finding(text: str, *, is_ok: bool = True) -> None:
    word = typer.style("ok  ", fg="green") if is_ok else typer.style("FAIL", fg="red")
    typer.echo(f"{word} {redacted(text)}")
