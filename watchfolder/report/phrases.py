"""How things read in a sentence, wherever they are said: in the terminal, on the page, in a message."""

from collections.abc import Iterable
from typing import Final

from watchfolder.config import ApiSection
from watchfolder.snapshot import Snapshot

NOT_REGISTERED: Final = (
    "pushes are off until watchfolder webhook register has been run; until then the service is asked by time"
)


def files(number: int, *, verb: str = "") -> str:
    """Return "1 file" or "2 files"; with a verb ("need") "1 file needs" or "2 files need"."""
    if number == 1:
        return f"1 file {verb}s" if verb else "1 file"
    return f"{number} files {verb}".rstrip()


def size(number: int) -> str:
    for unit, bytes_ in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= bytes_:
            return f"{number / bytes_:.1f} {unit}"
    return f"{number} bytes"


def not_running(state_dir: str) -> str:
    return f"watchfolder is not running with {state_dir}"


def start_it(state_dir: str) -> str:
    return f"{not_running(state_dir)}: start it with systemctl start watchfolder"


def blocked(snapshot: Snapshot, api: ApiSection) -> str:
    start = f"Blocked: {snapshot.blocked}. Nothing is lost"
    if snapshot.is_key_refused:
        place = "$BIZMORI_API_KEY" if snapshot.key_origin == "environment" else api.key_file
        verb = "reload" if snapshot.key_origin == "file" else "restart"  # what was given at the start is read there
        return f"{start}. Write the right key into {place}, then systemctl {verb} watchfolder"
    wait = f"{api.blocked_probe_seconds:g} s, or at once after systemctl reload watchfolder"
    return f"{start}. When that is mended it goes on within {wait}"


STILL_RUNS: Final = "watchfolder runs on with the configuration before this one; its next start would fail"


def configuration_refused(faults: str) -> str:
    """Say that the configuration is not the one that runs, and that a restart would fail."""
    return (
        f"The configuration is wrong, so the one before it still runs, until the next restart: {faults}. "
        "Mend it, then systemctl reload watchfolder"
    )


def not_available(faults: Iterable[str]) -> str:
    return f"Not available: {'; '.join(faults)}. It goes on by itself when the folders are back"
