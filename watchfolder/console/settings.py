"""The configuration as every command reads it, its secrets kept out of all output from then on."""

import re
from collections.abc import Mapping
from contextlib import suppress

from watchfolder import config, disk, state_file
from watchfolder.config import Config
from watchfolder.config.installed_unit import unit_of
from watchfolder.disk import Place
from watchfolder.errors import ConfigError, FolderFault
from watchfolder.events import keep_secret
from watchfolder.journal import STATE_MOVED, read_orders, refuse_other_mode
from watchfolder.report.conditions import STILL_RUNS
from watchfolder.report.lock_holder import held_folders, hidden_daemon, is_held, is_one_of_ours
from watchfolder.snapshot import FILE, Snapshot

_TOKEN_LENGTH = 16


def read(path: str, environ: Mapping[str, str], *, needs_key: bool = True) -> Config:
    """Return the configuration in `path` for a command that only looks. Raises ConfigError."""
    return _keep_all_secret(config.load(path, environ, needs_key=needs_key, silent_seconds=disk.ANSWER_SECONDS))


def _keep_all_secret(found: Config) -> Config:
    """Keep what is secret in it out of all output from now on."""
    keep_secret(found.api.key.get_secret_value())
    keep_secret(found.webhook.secret.get_secret_value())
    for url in (*found.notify, *filter(None, [found.heartbeat_url])):
        for part in _secret_parts(url.get_secret_value()):
            keep_secret(part)
    return found


def read_beside(path: str, environ: Mapping[str, str]) -> Config:
    """Return the configuration for a command beside a daemon. Raises ConfigError, which says if that one still runs."""
    try:
        found = read(path, environ, needs_key=False)
    except ConfigError as error:
        with suppress(FolderFault):  # we may not look there
            if is_held(Place(config.state_folder_in(path, environ), "lock")):
                raise ConfigError(*error.faults, STILL_RUNS) from None
        raise
    if _has_moved_state(found):
        raise ConfigError(STATE_MOVED, STILL_RUNS)
    with suppress(FolderFault):  # we may not look there
        if (hidden := hidden_daemon(found.source)) and not is_held(Place(found.state_dir, "lock")):
            words = f"no watchfolder runs with {found.state_dir}, but process {hidden} may be this configuration's"
            raise ConfigError(f"{words}: root started it, and root alone may look at it: run this as root")
    return found


def read_for_reload(path: str, environ: Mapping[str, str]) -> Config:
    """Return the configuration. Raises ConfigError for all that a running daemon would refuse."""
    found = read_for_work(path, environ)
    if _has_moved_state(found):
        raise ConfigError(STATE_MOVED)
    refuse_other_mode(read_orders(found.state_dir), found)
    return found


def _has_moved_state(found: Config) -> bool:
    """Does a daemon that was started with this very file run with another state directory?

    The kernel's list of locks is not asked: a reload looks from within the unit, which cannot see it.
    """
    unit = unit_of(found.source)
    for folder in {*held_folders(), *([unit.state_dir] if unit else [])} - {found.state_dir}:
        with suppress(FolderFault):  # we may not look there
            said = state_file.read(Place(folder, FILE), Snapshot, "it is not compared with the configuration")
            if said is not None and said.config_file == found.source != "" and is_one_of_ours(said.pid):
                return True
    return False


def read_for_work(path: str, environ: Mapping[str, str]) -> Config:
    """Return the configuration for a run. Raises ConfigError, also for what is not allowed."""
    found = _keep_all_secret(config.load(path, environ))
    faults = [*filter(None, [test_key_fault(found)]), *notify_faults(found)]
    if faults:
        raise ConfigError(*faults)
    return found


def notify_faults(found: Config) -> list[str]:
    if not found.notify:
        return []
    from watchfolder.notify import delivery  # noqa: PLC0415 - a command without it should not wait for it

    return delivery.faults(found.notify)


def _secret_parts(url: str) -> list[str]:
    """Return the whole address, and what in it is long enough to be a token and not a word that others use.

    Not the host of an http address: a line about a server that does not answer should name it.
    """
    parts = re.split(r"[/:@?&=#]", re.sub(r"^https?://[^/@]+(?=/|$)", "", url))
    return [url, *(part for part in parts if len(part) >= _TOKEN_LENGTH)]


def test_key_fault(found: Config) -> str | None:
    if not found.api.has_sample_results or found.api.allow_test_key:
        return None
    return (
        "api.allow_test_key: this is a test key (sk_test_…): the service would deliver sample pictures, not yours "
        "protected. Use a live key; or, to try out the way, set api.allow_test_key: true"
    )
