"""The commands of `watchfolder webhook`: the service pushes what it has finished, instead of being asked."""
# ruff: noqa: PLC0415 - each command imports what it alone needs

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from watchfolder.command_line import Advised, Control
from watchfolder.console import exit_codes
from watchfolder.console.shell import ConfigFile, configured, fail
from watchfolder.events import printable, redacted
from watchfolder.report.conditions import control
from watchfolder.report.status import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watchfolder.api import Webhooks
    from watchfolder.config import Config

commands = typer.Typer(
    help="Have the service push what it has finished, instead of asking it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@commands.command()
def register(
    *,
    config_file: ConfigFile = None,
    replace: Annotated[bool, typer.Option("--replace", help="Also if this address is registered already.")] = False,
) -> None:
    """Register this daemon's address at the service and store the secret."""
    from watchfolder.console.commands.webhook_register import AlreadyRegistered
    from watchfolder.console.commands.webhook_register import register as registering

    with _speaking(config_file) as (found, webhooks):
        try:
            for line in registering(found, webhooks, replace=replace):
                _say(line)
        except AlreadyRegistered:
            reason = "is registered already, and its secret is not shown again: say --replace for a new one"
            fail(f"{found.webhook.public_url} {reason}", exit_codes.USAGE)
        _, snapshot = running(found.state_dir)
        reload = control(Control.RELOAD, snapshot, found)
        _say(f"If watchfolder is running: {reload.words}; then: {found.commands.to(Advised.TRY_WEBHOOK)}")


@commands.command(name="list")
def show(*, config_file: ConfigFile = None) -> None:
    """List the webhooks of this account."""
    from watchfolder.console.commands.webhook_register import ours

    with _speaking(config_file, needs_address=False) as (found, webhooks):
        registered = webhooks.registered()
        here = {webhook.id for webhook in ours(registered, found)}
        for webhook in registered:
            mark = "  (this daemon)" if webhook.id in here else ""
            _say(f"{webhook.id}  {webhook.url or '?'}  {webhook.name or ''}{mark}")
        if not registered:
            _say("No webhook is registered.")


@commands.command()
def remove(
    id_: Annotated[str | None, typer.Argument(metavar="[ID]", show_default=False)] = None,
    *,
    config_file: ConfigFile = None,
) -> None:
    """Remove this daemon's webhook, or the one with this ID."""
    from watchfolder.console.commands.webhook_register import remove as removing

    with _speaking(config_file, needs_address=id_ is None) as (found, webhooks):
        lines = list(removing(found, webhooks, id_))
        for line in lines:
            _say(line)
        if not lines and id_ is not None:
            fail(f"there is no webhook {id_}: see {found.commands.to(Advised.WEBHOOKS)}", exit_codes.USAGE)
        if not lines:
            _say("Nothing is registered for this daemon.")


@commands.command(name="test")
def try_out(*, config_file: ConfigFile = None) -> None:
    """Send a push as the service does, and say whether it reaches this daemon."""
    from watchfolder.console.commands import webhook_test

    with _speaking(config_file) as (found, webhooks):
        if not found.webhook.secret.get_secret_value():
            fail(f"nothing is registered yet: {found.commands.run(Advised.REGISTER)}", exit_codes.CONFIG)
        are_well = []
        for line, is_well in webhook_test.findings(found, webhooks):
            _say(line[:1].upper() + line[1:] + ".")
            are_well.append(is_well)
    raise typer.Exit(exit_codes.DONE if all(are_well) else exit_codes.UNFINISHED)


@contextmanager
def _speaking(config_file: str | None, *, needs_address: bool = True) -> "Iterator[tuple[Config, Webhooks]]":
    from watchfolder.api import Webhooks

    with configured(config_file, needs_key=True) as found:
        if needs_address and found.webhook.public_url is None:
            fail("webhook.public_url: name the address there that the service can reach", exit_codes.CONFIG)
        webhooks = Webhooks(found.api)
        try:
            yield found, webhooks
        finally:
            webhooks.close()


def _say(text: str) -> None:
    typer.echo(redacted(printable(text)))
