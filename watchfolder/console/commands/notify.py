"""The command `notify test`: does a message reach you?"""
# ruff: noqa: PLC0415 - each command imports what it alone needs

import typer

from watchfolder.console import exit_codes, settings
from watchfolder.console.shell import ConfigFile, configuration_at, fail
from watchfolder.errors import ConfigError

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@commands.callback()
def _all() -> None:
    """Send a test message to the addresses in `notify`."""


@commands.command("test")
def send_test(*, config_file: ConfigFile = None) -> None:
    """Send one message to each address, and say which of them took it."""
    from watchfolder.notify.decide import sample_message
    from watchfolder.notify.delivery import Attempt, label, recipient

    with configuration_at(config_file, as_owner=False) as found:
        if not found.notify:
            fail("notify: no address is configured (config.example.yaml shows some)", exit_codes.CONFIG)
        if faults := settings.notify_faults(found):
            raise ConfigError(*faults)
    code = exit_codes.DONE
    for number, address in enumerate(found.notify):
        if Attempt(recipient(address), sample_message()).wait():
            typer.echo(f"{label(number, address)}: sent")
        else:
            code = exit_codes.UNFINISHED
            typer.echo(f"{label(number, address)}: not sent: is the address right, is the service there?", err=True)
    raise typer.Exit(code)
