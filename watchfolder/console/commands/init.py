"""The command `init`: from nothing to a daemon that can start. What is there already stays as it is."""

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from enum import StrEnum
from typing import Annotated, NamedTuple

import typer

from watchfolder.command_line import Control
from watchfolder.config import Config, require_key
from watchfolder.config.installed_unit import unit_of
from watchfolder.config.sections import DEFAULT_SERVICE
from watchfolder.console import exit_codes, settings
from watchfolder.console.commands import init_setup
from watchfolder.console.privileges import act_as_daemon
from watchfolder.console.shell import Quiet, fail, in_words, say, set_up, tell_fault, tell_findings
from watchfolder.errors import ConfigError

Plan = StrEnum("Plan", ["free", "pro", "enterprise"])  # as init_setup.PLANS has them
Offer = StrEnum("Offer", ["anti-ai", "watermark-embed", "watermark-extract", "ai-detection"])  # as services.FLOWS


def init(  # noqa: PLR0913 - each is an option
    *,
    config_file: Annotated[
        str | None, typer.Option("-c", "--config", metavar="FILE", help="Where the configuration goes.")
    ] = None,
    folder: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="The folder above inbox, protected, quarantine and originals.")
    ] = None,
    service: Annotated[Offer | None, typer.Option(help="What to buy for the pictures: docs/services.md.")] = None,
    plan: Annotated[Plan | None, typer.Option(help="Yours at the service: it sets the pace.")] = None,
    key_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Read the API key from this file; from stdin where it is -.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="As root: the group of the people who share the pictures.")
    ] = None,
    user: Annotated[
        str, typer.Option(metavar="NAME", help="As root: the user that the daemon runs as.")
    ] = "watchfolder",
    quiet: Quiet = False,
) -> None:
    """Make folders, configuration, key file and unit, then check them.

    On a terminal it asks for what is not said. What is there already stays as it is, so it can be run again.
    """
    from watchfolder.console.commands import check_findings  # noqa: PLC0415 - it brings what other commands do not need

    set_up()
    with in_words():
        wishes = _ask_all(_Said(config_file, folder, service, plan, key_file, group, user))
        say(_make(wishes), quiet=quiet)
    with in_words(tell_fault):
        found = settings.read(wishes.config, os.environ)
        code = tell_findings(check_findings.findings(found, act_as_daemon(found.source, found.state_dir)), quiet=quiet)
    if code == exit_codes.DONE:
        say([f"To start it: {_start(found, is_root=bool(wishes.user))}"], quiet=quiet)
    raise typer.Exit(code)


def _start(found: Config, *, is_root: bool) -> str:
    unit = unit_of(found.source) if is_root else None
    return found.commands.control(Control.ENABLE, unit=unit.name if unit else "", process=None).command


class _Said(NamedTuple):
    config_file: str | None
    folder: str | None
    service: Offer | None
    plan: Plan | None
    key_file: str | None
    group: str | None
    user: str


def _ask_all(said: _Said) -> init_setup.Wishes:
    """Ask for what was not said, where nothing is there yet."""
    is_root = os.geteuid() == 0
    home, pictures = ("/etc/watchfolder", "/srv/photos") if is_root else (os.getcwd(), "photos")
    path = os.path.abspath(said.config_file or os.path.join(home, "config.yaml"))
    key_file, is_new = os.path.join(home, "api-key"), not os.path.lexists(path)
    unit = unit_of(path)
    state_dir = unit.state_dir if unit else "/var/lib/watchfolder"
    return init_setup.Wishes(
        config=path,
        folder=os.path.abspath(_asked("Folder for the pictures", said.folder, pictures, is_wanted=is_new)),
        service=_asked("Service", said.service, Offer(DEFAULT_SERVICE), is_wanted=is_new),
        state_dir=state_dir if is_root else os.path.abspath("state"),
        key_file=key_file,
        key="" if os.path.lexists(key_file) else _key(said.key_file),
        requests_per_minute=init_setup.PLANS[_asked("Your plan", said.plan, Plan.free, is_wanted=is_new)],
        user=said.user if is_root else "",
        group=_asked("Group of the people who share them", said.group, "photos", is_wanted=True) if is_root else "",
    )


def _make(wishes: init_setup.Wishes) -> Iterator[str]:
    if wishes.user:
        os.umask(0o022)  # the daemon reads what root makes here, and people pass through it
        yield from init_setup.make_user(wishes)
    yield from init_setup.configuration(wishes)
    found = settings.read(wishes.config, os.environ, needs_key=False)
    yield from init_setup.folders(found, wishes)
    if wishes.user:
        yield from init_setup.unit(found, wishes)


def _asked(question: str, said: str | None, default: str, *, is_wanted: bool) -> str:
    """Return what was said; else what a person answers, asked until it is something of the default's kind."""
    if said is not None or not is_wanted or not sys.stdin.isatty():
        return said or default
    return str(typer.prompt(question, default=str(default), type=type(default), err=True))


def _key(key_file: str | None) -> str:
    """Return the key from a file, from stdin or from the person; "" where nobody can be asked."""
    if key_file is None:
        if not sys.stdin.isatty():
            return ""
        question = "API key (it is not shown; empty: later)"
        return str(
            typer.prompt(question, default="", hide_input=True, show_default=False, value_proc=_read_key, err=True)
        )
    try:
        with nullcontext(sys.stdin) if key_file == "-" else open(key_file, encoding="ascii") as file:
            return require_key(file.readline(4096).strip(), "--key-file")
    except ConfigError as error:
        fail(error.reason, exit_codes.USAGE)
    except (OSError, ValueError) as error:
        fail(f"--key-file: {key_file} cannot be read: {getattr(error, 'strerror', error)}", exit_codes.USAGE)


def _read_key(text: str) -> str:
    try:
        return require_key(text.strip(), "API key") if text.strip() else ""
    except ConfigError as error:
        raise typer.BadParameter(error.reason) from None
