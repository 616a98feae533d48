"""The secrets: the API key, from the systemd credential, the environment or a file, and those of page and webhook."""

import contextlib
import os
import re
import stat
from collections.abc import Mapping
from typing import Any, Final

from watchfolder import disk
from watchfolder.command_line import Advised, CommandLine, quoted
from watchfolder.config.faults import add_faults_to
from watchfolder.config.reading import first_bytes_of, why_not_read
from watchfolder.config.sections import DEFAULT_KEY_FILE, KeyOrigin
from watchfolder.config.values import as_path
from watchfolder.errors import ConfigError

CREDENTIAL: Final = "bizmori-api-key"
VARIABLE: Final = "BIZMORI_API_KEY"

_KEY = re.compile(r"sk_[!-~]+")
_MAX_BYTES = 4096
_SHORTEST_PASSWORD = 12
_ENGINES_SECRETS = "/run/secrets/"


def read_secret_files(
    tree: Mapping[str, Any], environ: Mapping[str, str], commands: CommandLine, faults: list[str]
) -> None:
    """Put key, password and secret into the sections that name their files, and add what is wrong with those."""
    if isinstance(api := tree["api"], dict):
        named = api.get("key_file")
        path = DEFAULT_KEY_FILE if named is None else as_path(named)
        with add_faults_to(faults):  # even where the key comes from elsewhere today
            _refuse_mode(path, "api.key_file", stat.S_IRWXO, "chmod o=", commands)
        with add_faults_to(faults):
            api["key"], api["key_origin"] = _find_key(environ, path, commands, is_named=named is not None)
        bundle = as_path(api.get("ca_file"))
        if bundle and not (os.access(bundle, os.R_OK) and (os.path.isfile(bundle) or os.path.isdir(bundle))):
            faults.append("api.ca_file: there is no such file, or it cannot be read")
    for section, key, find_secret in (("http", "password", find_password), ("webhook", "secret", _find_webhook_secret)):
        with add_faults_to(faults):
            if isinstance(values := tree.get(section), dict):
                values[key] = find_secret(values.get(f"{key}_file"), commands)


def _find_key(environ: Mapping[str, str], path: str, commands: CommandLine, *, is_named: bool) -> tuple[str, KeyOrigin]:
    """Return the key, and where it came from: last of all the file at `path`, "" if the configured value is no path."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if folder and os.path.lexists(credential := os.path.join(folder, CREDENTIAL)):
        origin = f"the systemd credential {CREDENTIAL}"
        return require_key(_read(credential, origin, commands), origin), "credential"
    if variable := environ.get(VARIABLE, "").strip():
        return require_key(variable, f"${VARIABLE}"), "environment"
    if not is_named and _is_missing(path):
        places = f"into {path}, into ${VARIABLE}, or into the systemd credential {CREDENTIAL}"
        raise ConfigError(f"api.key_file: there is no key: put it {places}")
    if not path:  # the validation refuses it
        return "", "file"
    key = _read(path, "api.key_file", commands)
    if not key:
        raise ConfigError(f"api.key_file: {path} is empty: put your API key into it")
    return require_key(key, "api.key_file"), "file"


def _refuse_mode(path: str, origin: str, forbidden: int, change: str, commands: CommandLine) -> None:
    """Refuse a file that others can read, except a container engine's secrets: only its own container has those."""
    with contextlib.suppress(OSError):
        if not path.startswith(_ENGINES_SECRETS) and stat.S_IMODE(os.stat(path).st_mode) & forbidden:
            command = commands.as_root(f"{change} {quoted(path)}")
            raise ConfigError(f"{origin}: others can read {path}: run {command}")


def find_password(password_file: object, commands: CommandLine) -> str:
    """Return the status page's password from a file that only its owner may read, named by an unchecked value."""
    path = as_path(password_file)
    if not path:
        return ""
    password = _secret(path, "http.password_file", commands)
    if len(password) < _SHORTEST_PASSWORD or not password.isprintable() or not password.isascii():
        raise ConfigError(
            f"http.password_file: must hold the password alone: one line of at least {_SHORTEST_PASSWORD} "
            "letters, digits and signs (it is not shown here)"
        )
    return password


def _find_webhook_secret(secret_file: object, commands: CommandLine) -> str:
    """Return what the service signs its pushes with, "" while there is no such file: nothing was registered yet."""
    path = as_path(secret_file)
    if not path or _is_missing(path):
        return ""
    secret = _secret(path, "webhook.secret_file", commands)
    if not re.fullmatch("[!-~]{8,}", secret):
        raise ConfigError(
            "webhook.secret_file: must hold the webhook's secret alone (it is not shown here): remove the file, then "
            + commands.run(Advised.REGISTER)
        )
    return secret


def _is_missing(path: str) -> bool:
    try:
        os.lstat(path)
    except OSError as error:  # another one is in the way: reading it will tell
        return isinstance(error, FileNotFoundError)
    return False


def _secret(path: str, origin: str, commands: CommandLine) -> str:
    secret = _read(path, origin, commands)
    _refuse_mode(path, origin, stat.S_IRWXG | stat.S_IRWXO, "chmod 600", commands)
    return secret


def _read(path: str, origin: str, commands: CommandLine) -> str:
    try:
        return first_bytes_of(path, _MAX_BYTES).decode("ascii", errors="replace").strip()
    except OSError as error:
        command = commands.as_root(f"chown {disk.user_name(os.geteuid())} {quoted(path)}")
        own = f"; where it is the daemon's, as root: {command}" if isinstance(error, PermissionError) else ""
        raise ConfigError(f"{origin}: {path} cannot be read: {why_not_read(error)}{own}") from error


def require_key(key: str, origin: str) -> str:
    """Return the key, if it can be one. Raises ConfigError, which does not show it."""
    if not _KEY.fullmatch(key):
        raise ConfigError(f"{origin}: must hold the key alone: one line that begins with sk_ (it is not shown here)")
    return key
