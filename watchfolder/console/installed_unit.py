"""The systemd unit of this configuration, if one is installed: whom the daemon runs as, and who reads the key."""

import glob
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from watchfolder.config import CREDENTIAL

UNIT: Final = "watchfolder.service"
PLACES: Final = (
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)


@dataclass(frozen=True)
class InstalledUnit:
    """`reads_key` says that systemd reads the key's file, as root, and hands the key over."""

    user: str
    reads_key: bool


def path_of(unit: str = UNIT) -> str | None:
    return next((path for place in PLACES if os.path.lexists(path := os.path.join(place, unit))), None)


def installed_unit(source: str) -> InstalledUnit | None:
    """Return what the unit says that starts the daemon with the configuration `source`."""
    path = path_of()
    settings = [*_settings(path)] if path else []
    started_with = [word for key, value in settings if key == "ExecStart" for word in _words(value)]
    if not source or source not in started_with:
        return None
    user = next((value for key, value in reversed(settings) if key == "User"), "")
    reads_key = any(key == "LoadCredential" and value.startswith(f"{CREDENTIAL}:") for key, value in settings)
    return InstalledUnit(user or "root", reads_key)


def _settings(path: str) -> Iterator[tuple[str, str]]:
    """Give the settings of the unit and of its drop-ins, in the order in which the later ones win."""
    drop_ins = [each for place in reversed(PLACES) for each in sorted(glob.glob(f"{place}/{UNIT}.d/*.conf"))]
    for each in (path, *drop_ins):
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
