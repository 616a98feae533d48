"""The command `sandbox`: a stand-in for the service, on this machine."""
# ruff: noqa: PLC0415 - each command imports what it alone needs

import errno
import os
import signal
from typing import Annotated, Final

import typer

from watchfolder.command_line import Advised
from watchfolder.config.installed_unit import command_line
from watchfolder.console import exit_codes
from watchfolder.console.shell import fail

_PORT_ERRORS: Final = frozenset({errno.EADDRINUSE, errno.EACCES})
_HELP: Final = """\
The sandbox answers at {url} until Ctrl-C. What it delivers is marked: nothing is protected.

In your config.yaml:

  api:
    base_url: {url}
    requests_per_minute: 0

and then, with a key that it takes:

  BIZMORI_API_KEY={key} {run}
"""


def sandbox(
    *,
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0: a free one.")] = 8642,
    origins: Annotated[
        str, typer.Option(metavar="DIR", help="A folder whose pictures lie at https://pictures.example.com/.")
    ] = "",
) -> None:
    """Serve a stand-in for the service on this machine, until Ctrl-C."""
    from watchfolder.sandbox import Sandbox

    if origins and not os.path.isdir(origins):
        fail(f"--origins: {origins} is no folder", exit_codes.USAGE)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Sandbox(port=port, origins_folder=origins) as served:
            run = command_line("config.yaml", os.environ, is_found=False).to(Advised.RUN)
            typer.echo(_HELP.format(url=served.url, key=served.key, run=run))
            signal.pause()
    except KeyboardInterrupt:
        typer.echo("The sandbox has ended.")
    except OSError as error:
        if error.errno not in _PORT_ERRORS:
            raise
        fail(f"port {port}: {error.strerror}: choose another one with --port", exit_codes.UNFINISHED)
