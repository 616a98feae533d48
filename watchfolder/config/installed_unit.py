"""How this watchfolder is started: by people, in a shell of theirs, and by systemd, in the unit that is installed."""

import glob
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
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
_HIDES_HOMES: Final = ("yes", "true", "on", "1", "tmpfs")
_ON_EVERY_PATH: Final = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
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
    paths = (os.path.join(folder, "watchfolder") for folder in _ON_EVERY_PATH)
    first = next(filter(os.path.exists, paths), "")
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
    for unit in (UNIT, TEMPLATE):
        settings = [(key, value.replace("%i", instance)) for key, value in _read_unit(unit)]
        if source and any(key == "ExecStart" and source in _words(value) for key, value in settings):
            last = dict(settings)
            reads_key = any(word.startswith(f"{CREDENTIAL}:") for word in _list_of("LoadCredential", settings))
            name = unit.removesuffix(".service").replace("@", f"@{instance}")
            state_dir = f"/var/lib/{last.get('StateDirectory', 'watchfolder')}"
            return InstalledUnit(
                name, last.get("User") or "root", state_dir, reads_key, _open_folders(settings, state_dir)
            )
    return None


def quoted_word(word: str) -> str:
    word = word.replace("%", "%%")
    return f'"{word}"' if " " in word else word


def _open_folders(settings: Sequence[tuple[str, str]], state_dir: str) -> tuple[str, ...] | None:
    last = dict(settings)
    opened = [word.lstrip("-+") for word in _list_of("ReadWritePaths", settings)]
    if last.get("ProtectHome") in _HIDES_HOMES:
        opened = [path for path in opened if not f"{path}/".startswith(HOMES)]
    opened += [word.lstrip("-").split(":")[:2][-1] for word in _list_of("BindPaths", settings)]
    is_known = not any("%" in path.replace("%%", "") for path in opened)  # what systemd alone can fill in
    if last.get("ProtectSystem") != "strict" or not is_known:
        return None
    return (state_dir, *(path.replace("%%", "%") for path in opened))


def _list_of(key: str, settings: Sequence[tuple[str, str]]) -> list[str]:
    words: list[str] = []
    for each, value in settings:
        if each == key:
            words = words + _words(value) if value else []  # an empty one forgets those before it
    return words


def _read_unit(unit: str) -> Iterator[tuple[str, str]]:
    """Give the settings of the unit and of its drop-ins, in the order in which the later ones win."""
    path = path_of(unit)
    drop_ins = [each for place in reversed(PLACES) for each in sorted(glob.glob(f"{place}/{unit}.d/*.conf"))]
    for each in (path, *drop_ins) if path else ():
        try:
            with open(each, encoding="utf-8", errors="replace") as file:
                pairs = [line.strip().partition("=") for line in file if line.strip()[:1] not in {"#", ";", "["}]
        except OSError:
            continue
        yield from ((key, value) for key, equals, value in pairs if equals)


def _words(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:
        return value.split()
