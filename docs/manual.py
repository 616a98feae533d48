"""Print the manual page, made from what --help says; `make man` keeps it in docs/watchfolder.1."""

import inspect
import sys
from collections.abc import Iterable, Iterator

import typer
from typer.core import TyperGroup

from watchfolder import __version__
from watchfolder.console.cli import app

FILES = (
    ("/etc/watchfolder/config.yaml", "The configuration."),
    ("/etc/watchfolder/api-key", "The API key of the service, and nothing else."),
    ("/var/lib/watchfolder", "The state: what is under way, and the history of what was delivered."),
)
ENVIRONMENT = (
    ("WATCHFOLDER_CONFIG", "The configuration, where no option names one."),
    ("BIZMORI_API_KEY", "The API key, in place of its file."),
    ("WATCHFOLDER__SECTION__KEY", "One setting, in place of the configuration's; with _FILE, a file that holds it."),
    ("NO_COLOR", "When it is set, nothing is coloured."),
)


def manual() -> Iterator[str]:
    """Give the lines of the page, as groff -man reads them."""
    program = typer.main.get_command(app)
    context = typer.Context(program, info_name="watchfolder", **program.context_settings)
    yield f'.TH WATCHFOLDER 1 "" "watchfolder {__version__}" "User Commands"'
    yield from (".SH NAME", rf"watchfolder \- {plain((program.help or '').rstrip('.'))}")
    yield from (".SH SYNOPSIS", *synopsis(context))
    yield from (".SH OPTIONS", *options(context))
    yield ".SH COMMANDS"
    for each in commands(context):
        yield f'.SS "{plain(each.command_path)}"'
        yield from (*synopsis(each), *paragraphs(each.command.help), *options(each))
    yield from (".SH FILES", *terms(FILES))
    yield from (".SH ENVIRONMENT", *terms(ENVIRONMENT))
    yield from (".SH EXIT STATUS", *paragraphs(program.epilog))
    yield from (".SH SEE ALSO", ".BR systemctl (1),", ".BR journalctl (1)")


def commands(context: typer.Context) -> Iterator[typer.Context]:
    """Give every command, in the order of the help, a group's own ones in its place."""
    if not isinstance(context.command, TyperGroup):
        yield context
        return
    for name, command in context.command.commands.items():
        yield from commands(typer.Context(command, info_name=name, parent=context))


def synopsis(context: typer.Context) -> Iterator[str]:
    pieces = context.command.collect_usage_pieces(context)
    yield from (".PP", rf"\fB{plain(context.command_path)}\fR {plain(' '.join(pieces))}")


def options(context: typer.Context) -> Iterator[str]:
    command = context.command
    parameters = command.params if context.parent else command.get_params(context)  # --help is told once
    records = (parameter.get_help_record(context) for parameter in parameters)
    yield from terms(record for record in records if record is not None)


def terms(records: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, meaning in records:
        yield from (".TP", rf"\fB{plain(term)}\fR", plain(meaning))


def paragraphs(text: str | None) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        if paragraph:
            yield from (".PP", plain(" ".join(paragraph.split())))


def plain(text: str) -> str:
    r"""Return the text with nothing in it that groff takes for its own; \& guards a dot at the begin of a line."""
    guarded = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    return rf"\&{guarded}" if guarded[:1] in {".", "'"} else guarded


sys.stdout.write("\n".join(manual()) + "\n")
