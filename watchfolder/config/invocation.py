"""How this very program is called: by people, in a shell of theirs, and by systemd, in its unit."""

import os
import shlex
import sys
from collections.abc import Mapping
from typing import Final

from watchfolder.command_line import CommandLine
from watchfolder.config.environment import is_container
from watchfolder.config.installed_unit import installed_unit

_ON_EVERY_PATH: Final = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def command_line(source: str, environ: Mapping[str, str], *, is_found: bool) -> CommandLine:
    """Return what people type; `is_found` says that they need not name the configuration."""
    named = "" if is_found else source
    if is_container(environ):
        return CommandLine(config_file=named, in_container=True)
    unit = installed_unit(source)
    return CommandLine(_typed(this_program()), named, unit.name if unit else "")


def this_program() -> str:
    """Return the path under which this very installation can be started."""
    script = os.path.join(os.path.dirname(sys.executable), "watchfolder")
    return script if os.path.exists(script) else f"{sys.executable} -m watchfolder"


def _typed(program: str) -> str:
    """Return the bare name where every shell finds this very program by it."""
    paths = (os.path.join(folder, "watchfolder") for folder in _ON_EVERY_PATH)
    first = next(filter(os.path.exists, paths), "")
    if os.path.realpath(first) == os.path.realpath(program):
        return "watchfolder"
    return shlex.quote(program) if os.path.exists(program) else program
