"""What a start in a container does first: become the user of $PUID and $PGID, and make what its two mounts lack.

The image sets by environment variables where everything lies; like any setting, they can be set otherwise.
"""

import os
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from watchfolder import config, disk
from watchfolder.config import Config
from watchfolder.console import settings
from watchfolder.console.commands import init_setup
from watchfolder.disk import Place
from watchfolder.errors import ConfigError, FolderFault
from watchfolder.events import event

_PHOTOS = "/photos"
_USER, _UMASK = 1000, 0o002
_KEY_FILE, _PASSWORD_FILE = "WATCHFOLDER__API__KEY_FILE", "WATCHFOLDER__HTTP__PASSWORD_FILE"
_SET_BY_IMAGE = {
    "state_dir": "WATCHFOLDER__STATE_DIR",
    "key_file": _KEY_FILE,
    "listen": "WATCHFOLDER__HTTP__LISTEN",
    "password_file": _PASSWORD_FILE,
}
_NOTE = """\
# In the container these four come from the environment, whatever this file says of them: state_dir, api.key_file,
# http.listen and http.password_file.

"""
_A_NUMBER = "1026 (the command id says yours)"
_PASSWORD_BYTES = 12  # random ones


def begin(environ: Mapping[str, str]) -> None:
    """Become $PUID and $PGID, if we are root, with $UMASK. From then on all output goes to stdout, where engines look.

    One that is wrong counts as left out here; `read` refuses it, which is shown on the page, too.
    """
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    numbers, wrong = _read_user(environ)
    os.umask(numbers["UMASK"])
    user, group = numbers["PUID"], numbers["PGID"]
    if os.geteuid() == 0:
        with suppress(FolderFault):  # what its user may not read is said when it is read
            disk.give_all(environ[config.CONTAINER], user, group)
        if not wrong:  # if the numbers are wrong: only root could take it back from another user
            with suppress(FolderFault):
                disk.give_empty_folder(_PHOTOS, user, group, is_private=False)  # made by root, or by the engine
        disk.act_as(user, group, [each for each in os.getgroups() if each])


def read(explicit: str | None, environ: Mapping[str, str]) -> Config:
    """Return the configuration for a run; make first what a first start lacks.

    Raises ConfigError with all that is missing and only a person can give.
    """
    _, wrong = _read_user(environ)
    faults = wrong + _clock_faults(environ.get("TZ", ""))
    with _add_faults_to(faults):
        for path, holds in _make_files(environ):
            event("container.made", file=path, holds=holds)
        for path in filter(None, (environ.get(_KEY_FILE), environ.get(_PASSWORD_FILE))):
            if _is_in(path, environ[config.CONTAINER]):  # many a NAS lets all read what a person puts there
                disk.keep_secret(Place(*os.path.split(path)))
    with _add_faults_to(faults):
        found = settings.read(config.find(explicit, environ), environ, needs_key=False)
        require_mount(found)
        if not wrong:  # they would belong to another user
            _make_folders(found)
    with _add_faults_to(faults):
        found = settings.read_for_work(config.find(explicit, environ), environ)
    if faults:
        raise ConfigError(*dict.fromkeys(faults))
    return found


def _make_files(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Make configuration, key file and password where they are missing; yield each with what it holds."""
    folder = environ[config.CONTAINER]
    config_file = os.path.join(folder, "config.yaml")
    key_file, password_file = environ.get(_KEY_FILE), environ.get(_PASSWORD_FILE)
    if not config.names_inbox(environ) and _is_missing(config_file, folder):
        values = {key: value for key, variable in _SET_BY_IMAGE.items() if (value := environ.get(variable))}
        init_setup.write(config_file, _NOTE + init_setup.configuration_text(_PHOTOS, values), 0o600)
        yield config_file, "every setting, with its default"
    if key_file and not environ.get("BIZMORI_API_KEY") and _is_missing(key_file, folder):
        init_setup.write(key_file, "", 0o600)
        yield key_file, "nothing: your API key belongs there"
    if password_file and _is_missing(password_file, folder):
        init_setup.write(password_file, f"{secrets.token_urlsafe(_PASSWORD_BYTES)}\n", 0o600)
        yield password_file, "the page's password"


def _is_missing(path: str, folder: str) -> bool:
    """Is it missing, and ours to make? What lies elsewhere is somebody else's mount, such as the engine's secrets."""
    return _is_in(path, folder) and not os.path.lexists(path)


def _is_in(path: str, folder: str) -> bool:
    return os.path.dirname(path) == os.path.normpath(folder)


def require_mount(found: Config) -> None:
    """Refuse a folder in the container's own layer, which is lost when the image is updated. Raises ConfigError."""
    paths = {"state_dir": found.state_dir}
    for name, inbox in found.inboxes.items():
        paths |= {f"inboxes.{name}.{role}": path for role, path in inbox.folders.items()}
    mounts = disk.read_mount_table()
    faults = [
        f"{where}: {path} lies in the container itself, and would be gone with it: mount a folder there, or above it"
        for where, path in paths.items()
        if (mount := disk.mount_of(path, mounts)) is not None and mount.point == "/"
    ]
    if faults:
        raise ConfigError(*faults)


def _make_folders(found: Config) -> None:
    """Make the folders before the first run only: later a folder that is not there is a share that is away."""
    if not os.path.lexists(found.state_dir):
        for line in init_setup.make_folders(found, os.getegid()):
            event("container.folder", done=line)
        disk.make_group_folder(found.state_dir, os.getegid(), user=os.geteuid())


@contextmanager
def _add_faults_to(faults: list[str]) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        faults.extend(error.faults)
    except FolderFault as fault:
        faults.append(f"{fault.reason} (for user {os.geteuid()} and group {os.getegid()}: PUID, PGID or --user)")


def _clock_faults(name: str) -> list[str]:
    """Refuse a name that the C library would silently take for UTC. (A rule such as CET-1CEST is no name.)"""
    if re.fullmatch(r"[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]+)+", name) and not os.path.exists(f"/usr/share/zoneinfo/{name}"):
        return [f"$TZ: there is no time zone {name}: write it as in Europe/Berlin, or leave it out for UTC"]
    return []


def _read_user(environ: Mapping[str, str]) -> tuple[dict[str, int], list[str]]:
    """Return whom to be and with which umask, and what is wrong with the variables that say it."""
    faults: list[str] = []
    numbers = {"UMASK": _UMASK, "PUID": _USER}
    for name, base, example in (("UMASK", 8, "002"), ("PUID", 10, _A_NUMBER), ("PGID", 10, _A_NUMBER)):
        numbers.setdefault(name, numbers["PUID"])
        if text := environ.get(name, "").strip():
            try:
                number = int(text, base)
            except ValueError:
                number = -1
            if 0 <= number < 1 << 31:
                numbers[name] = number
            else:
                faults.append(f"${name}: must be a number such as {example}")
    return numbers, faults
