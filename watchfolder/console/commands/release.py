"""Let through what the brake holds: a word that the daemon obeys at once, or at its next start."""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence

from watchfolder import quota
from watchfolder.clock import Clock
from watchfolder.config import Config
from watchfolder.disk import Place
from watchfolder.errors import UnknownName
from watchfolder.report.conditions import not_running
from watchfolder.report.lock_holder import holder_of


def release(config: Config, names: Sequence[str]) -> Iterator[str]:
    """Let each inbox go that is held, and say so. Raises UnknownName before anything is done, FolderFault."""
    unknown = [name for name in names if name not in config.inboxes]
    if unknown:
        known = ", ".join(config.inboxes)
        raise UnknownName([f"{name}: there is no such inbox; there are: {known}" for name in unknown])
    memory = quota.Quota(config, Clock())
    held = {name: memory.why(name) for name in names}
    for name in dict.fromkeys(names):
        if held[name]:
            quota.give_word(config.state_dir, name)
            yield f"{name}: let through ({held[name].partition(';')[0]})"
        else:
            yield f"{name}: nothing is held"
    if any(held.values()) and not _wake(config.state_dir):
        yield f"{not_running(config.state_dir)}: they go when it is started"


def _wake(state_dir: str) -> bool:
    """Have a running daemon look at once; it would look by itself after `scan_seconds`."""
    process = holder_of(Place(state_dir, "lock"))
    if process is None:
        return False
    if process > 0:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGUSR1)
    return True
