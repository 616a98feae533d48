"""How this watchfolder is started: by people, in a shell of theirs, and by systemd, in the unit that is installed."""

import contextlib
import glob
import os
import shlex
import shutil
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from watchfolder.command_line import CommandLine
from watchfolder.config.environment import is_container
from watchfolder.config.key import CREDENTIAL

UNIT: Final = "watchfolder.service"
TEMPLATE: Final = "watchfolder@.service"  # its instances have a configuration each, of their own name
PLACES: Final = (
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_HIDES_HOMES: Final = frozenset({"yes", "true", "on", "1", "tmpfs"})
_EVERY_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOMES: Final = ("/home/", "/root/", "/run/user/")  # as ProtectHome= has them


def command_line(source: str, environ: Mapping[str, str], *, is_found: bool) -> CommandLine:
    """Return what people type; `is_found` says that they need not name the configuration."""
    named = "" if is_found else source
    if is_container(environ):
        return CommandLine(config_file=named, in_container=True)
    unit = unit_of(source)
    return CommandLine(_name_of(path_to_start()), named, unit.name if unit else "")


def path_to_start() -> str:
    """Return the path under which this very installation can be started."""
    script = os.path.join(os.path.dirname(sys.executable), "watchfolder")
    return script if os.path.exists(script) else f"{sys.executable} -m watchfolder"


def _name_of(program: str) -> str:
    """Return the bare name where every shell finds this very program by it."""
    first = shutil.which("watchfolder", path=_EVERY_PATH) or ""
    if os.path.realpath(first) == os.path.realpath(program):
        return "watchfolder"
    return shlex.quote(program) if os.path.exists(program) else program


@dataclass(frozen=True)
class InstalledUnit:
    """`reads_key` says that systemd reads the key's file, as root, and hands the key over.

    `writes` are the folders below which alone the daemon may write; None where it may everywhere, or it is not known.
    """

    name: str
    user: str
    state_dir: str
    reads_key: bool
    writes: tuple[str, ...] | None = None

    @property
    def drop_in_folder(self) -> str:
        """Return the folder for a person's own additions to the unit."""
        name, at, _ = self.name.partition("@")
        return os.path.join(PLACES[0], f"{name}{at}.service.d")


def path_of(unit: str = UNIT) -> str | None:
    return next((path for place in PLACES if os.path.lexists(path := os.path.join(place, unit))), None)


def unit_of(source: str) -> InstalledUnit | None:
    """Return what the unit, or the instance of the template, says that starts the daemon with this configuration."""
    instance = os.path.splitext(os.path.basename(source))[0]
    for unit in (UNIT, TEMPLATE) if source else ():
        words = _read_unit(unit, instance)
        if source in words["ExecStart"]:
            state_dir = f"/var/lib/{(words['StateDirectory'] or ['watchfolder'])[-1]}"
            return InstalledUnit(
                name=unit.removesuffix(".service").replace("@", f"@{instance}"),
                user=(words["User"] or ["root"])[-1],
                state_dir=state_dir,
                reads_key=any(word.startswith(f"{CREDENTIAL}:") for word in words["LoadCredential"]),
                writes=_open_folders(words, state_dir),
            )
    return None


def quoted_word(word: str) -> str:
    word = word.replace("%", "%%")
    return f'"{word}"' if " " in word else word


def _open_folders(words: Mapping[str, list[str]], state_dir: str) -> tuple[str, ...] | None:
    opened = [word.lstrip("-+") for word in words["ReadWritePaths"]]
    if not _HIDES_HOMES.isdisjoint(words["ProtectHome"][-1:]):
        opened = [path for path in opened if not f"{path}/".startswith(HOMES)]
    opened += [word.lstrip("-").split(":")[:2][-1] for word in words["BindPaths"]]
    is_known = not any("%" in path.replace("%%", "") for path in opened)  # what systemd alone can fill in
    if words["ProtectSystem"][-1:] != ["strict"] or not is_known:
        return None
    return (state_dir, *(path.replace("%%", "%") for path in opened))


def _read_unit(unit: str, instance: str) -> Mapping[str, list[str]]:
    """Return the words of each setting of the unit and of its drop-ins, those that win last."""
    words = defaultdict[str, list[str]](list)
    path = path_of(unit)
    drop_ins = [each for place in reversed(PLACES) for each in sorted(glob.glob(f"{place}/{unit}.d/*.conf"))]
    for each in (path, *drop_ins) if path else ():
        for key, equals, value in (line.strip().partition("=") for line in _lines_of(each)):
            if equals:  # an empty value forgets those before it
                words[key] = words[key] + _words(value.replace("%i", instance)) if value else []
    return words


def _lines_of(path: str) -> list[str]:
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().replace("\\\n", " ").splitlines()  # a line that ends in \ goes on in the next one
        return [line for line in lines if line.strip()[:1] not in {"#", ";", "["}]
    return []


def _words(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:
        return value.split()
