"""An idle daemon: its share of a core, how often it wakes, and what it writes."""

import time
from collections.abc import Iterator

from figures import Figure, at_most
from pictures import SMALL, fill
from stage import stage

# After the last delivery: for the last word in the log, and for the first regular look through an inbox that has
# changed, whose time the kernel notes in the folder itself (relatime): a page written, once, by no call of ours.
_SETTLED_SECONDS = 35.0


def measure(*, short: bool) -> Iterator[Figure]:
    seconds = 15.0 if short else 35.0  # a regular look through the folder is in it
    with stage() as own:
        own.configure()
        fill(own.card, SMALL, 3)
        with own.daemon() as daemon:
            own.drop()
            own.wait_for_deliveries(3, 60)
            time.sleep(_SETTLED_SECONDS)
            cpu, woken, written = daemon.cpu_seconds(), daemon.wake_ups(), daemon.written_bytes()
            time.sleep(seconds)
            share = (daemon.cpu_seconds() - cpu) / seconds
            wakes = (daemon.wake_ups() - woken) / seconds
            bytes_written = daemon.written_bytes() - written
            memory = daemon.resident_mib()
    yield at_most("idle: wakes a second", wakes, 1, "{:.1f}")
    yield at_most(f"idle: bytes written to the disk in {seconds:.0f} s", bytes_written, 0, "{:,}")
    yield Figure("idle: share of a core", f"{share:.2%}")
    yield Figure("idle: memory", f"{memory:.0f} MiB")
