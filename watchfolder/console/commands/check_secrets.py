"""Can the daemon read the files that the configuration names? Asked of the kernel, as the daemon's user."""

import os
from collections.abc import Iterator

from watchfolder import disk
from watchfolder.command_line import quoted
from watchfolder.config import Config
from watchfolder.config.installed_unit import installed_unit


def unreadable(config: Config, user: str) -> Iterator[str]:
    """Say which files `user`, as whom we act, cannot read, and the command that changes it."""
    for field, path in _files(config):
        if not os.path.lexists(path) and disk.closed_folder(path) is None:
            continue  # missing files are told when the configuration is read
        if not os.access(path, os.R_OK):
            command = config.commands.as_root(_remedy(path, field, user))
            yield f"{field}: {path} cannot be read by {user}, as whom the daemon runs: {command}"


def _files(config: Config) -> Iterator[tuple[str, str]]:
    unit = installed_unit(config.source)
    if config.api.key_origin == "file" and not (unit and unit.reads_key):
        yield "api.key_file", config.api.key_file
    named = {
        "http.password_file": config.http.password_file,
        "webhook.secret_file": config.webhook.secret_file,
        "api.ca_file": config.api.ca_file,
        "configuration": config.source,
    }
    yield from ((field, path) for field, path in named.items() if path)


def _remedy(path: str, field: str, user: str) -> str:
    if closed := disk.closed_folder(path):
        return f"chmod o+x {quoted(closed)}"
    if field in {"configuration", "api.ca_file"}:  # no secret of the daemon's own
        return f"chgrp {user} {quoted(path)} && chmod g+r {quoted(path)}"
    return f"chown {user} {quoted(path)} && chmod 600 {quoted(path)}"
