"""From a YAML file and the environment to a Config: read, completed, with the secrets, checked, validated."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import SecretStr, ValidationError

from watchfolder.command_line import CommandLine
from watchfolder.config import environment
from watchfolder.config.faults import add_faults_to, configuration_of, keep_known
from watchfolder.config.folders import folder_faults
from watchfolder.config.installed_unit import command_line
from watchfolder.config.key import find_password, read_secret_files
from watchfolder.config.reading import inbox_sections, read
from watchfolder.config.sections import (
    DELETE,
    KEEPS_ORIGINALS,
    OF_SERVICES,
    SERVICES,
    VERDICTS,
    ApiSection,
    Config,
    HttpSection,
    Inbox,
)
from watchfolder.config.values import as_path
from watchfolder.errors import ConfigError
from watchfolder.events import printable

PLACES: Final = ("config.yaml", "/etc/watchfolder/config.yaml")
_WAKING_SECONDS = 5.0  # a disk that sleeps answers in that time; a dead network mount never does

_KEY_IN_TEXT = re.compile(r"(?<![A-Za-z0-9])sk_[!-~]{6,}")


def find(explicit: str | None, environ: Mapping[str, str]) -> str:
    """Return the configuration file to use: -c, $WATCHFOLDER_CONFIG, or the first of PLACES that exists.

    Where there is none, and the environment names an inbox, it is "": the environment alone.
    """
    named = explicit or environ.get("WATCHFOLDER_CONFIG")
    if named:
        return os.path.abspath(named)
    for place in PLACES:
        if os.path.exists(place):
            return os.path.abspath(place)
    if environment.names_inbox(environ):
        return ""
    raise ConfigError(f"there is no configuration: neither {' nor '.join(PLACES)} exists; name a file with -c FILE")


def load(
    path: str, environ: Mapping[str, str], *, needs_key: bool = True, silent_seconds: float = _WAKING_SECONDS
) -> Config:
    """Return the configuration in `path` and in the environment, or raise ConfigError with every fault there is.

    Without `needs_key` the key is not looked for and left empty: `status` is for people who may not read it.
    A folder that does not answer for `silent_seconds` is not asked where its links lead.
    """
    source = os.path.abspath(path) if path else ""
    faults: list[str] = []
    origins: dict[str, str] = {}
    commands = command_line(source, environ, is_found=_is_found(source, environ))
    with add_faults_to(faults):
        tree = read(source, faults)
        origins = environment.add_to(tree, environ, faults)
        tree = {"api": {}, **keep_known(tree, Config, faults)}
        if needs_key:
            read_secret_files(tree, environ, commands, faults)
        faults += [*_originals_to_keep(tree), *_of_other_service(tree), *_missing_originals(tree)]
        faults += folder_faults(tree, silent_seconds)
        config = configuration_of(tree | {"source": source, "from_environment": origins, "commands": commands})
        if not faults:
            return config
    told = (_KEY_IN_TEXT.sub("sk_…", printable(_with_origin(fault, origins))) for fault in faults)
    raise ConfigError(*dict.fromkeys(told))


def _is_found(source: str, environ: Mapping[str, str]) -> bool:
    """Is this file found without -c from any folder? In a container people are always in the same one."""
    if environment.is_container(environ):
        with contextlib.suppress(ConfigError):
            return source == find(None, environ)
    return source in {"", PLACES[-1]}


def state_folder_in(path: str, environ: Mapping[str, str]) -> str:
    """Return the state directory that a configuration names, whatever else is wrong with it; else the usual one."""
    return as_path(_read_in_part(path, environ).get("state_dir")) or str(Config.model_fields["state_dir"].default)


def page_in(path: str, environ: Mapping[str, str]) -> HttpSection:
    """Return where the page is served as far as a configuration says it, whatever else is wrong with that."""
    http = _read_in_part(path, environ).get("http")
    with contextlib.suppress(ConfigError, ValidationError):
        if isinstance(http, dict):
            return HttpSection(**http, password=SecretStr(find_password(http.get("password_file"), CommandLine())))
    return HttpSection()


def _read_in_part(path: str, environ: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    with contextlib.suppress(ConfigError):
        tree = read(path, [])
    environment.add_to(tree, environ, [])
    return keep_known(tree, Config, [])


def _with_origin(fault: str, origins: Mapping[str, str]) -> str:
    path, colon, rest = fault.partition(": ")
    return f"{path} ({origins[path]}){colon}{rest}" if path in origins else fault


def _of_other_service(tree: Mapping[str, Any]) -> Iterator[str]:
    """Find keys, and values of keys, that the inbox's service does not have."""
    for name, section in inbox_sections(tree):
        service = section["service"]
        if service not in SERVICES:
            continue
        for key, of in OF_SERVICES.items():
            if fault := of.fault(service, section.get(key), Inbox.model_fields[key].default):
                yield f"inboxes.{name}.{key}: {fault}"
        wanted, verdicts = section.get("notify_verdicts"), VERDICTS.get(service, ())
        for verdict in wanted if verdicts and isinstance(wanted, list) else ():
            if verdict not in verdicts:
                yield f"inboxes.{name}.notify_verdicts: {verdict} is none; {service} has {', '.join(verdicts)}"


def _missing_originals(tree: Mapping[str, Any]) -> Iterator[str]:
    """Find originals that are looked for where there are none."""
    services = {name: section["service"] for name, section in inbox_sections(tree)}
    for name, section in inbox_sections(tree):
        wanted = section.get("originals_from")
        if isinstance(wanted, str) and services.get(wanted) != KEEPS_ORIGINALS:
            why = f"is no inbox of {KEEPS_ORIGINALS}" if wanted in services else "is no inbox"
            yield f"inboxes.{name}.originals_from: {wanted} {why}: name the one whose originals are to be compared with"


def _originals_to_keep(tree: Mapping[str, Any]) -> Iterator[str]:
    with contextlib.suppress(ValidationError):  # a section that is wrong has its own faults
        if not ApiSection.model_validate(tree["api"]).has_sample_results:
            return
        for name, section in inbox_sections(tree):
            if section.get("originals") == DELETE:
                yield (
                    f"inboxes.{name}.originals: delete is refused with a test key: what comes back "
                    "are sample pictures, the original would be the only one of its kind"
                )
