"""Bursts through the daemon, beside the time that the plan, the service and the line dictate.

The ideal is `settle_seconds` plus the longer of two times:

* the plan's: four requests for every 100 files (create, confirm, one look, the links), evenly at the plan's rate;
* the line's and the service's: what a perfect client (perfect.py) takes without any plan on this machine, right before,
  with the same pictures, as many transfers side by side, and the same processing time. It is measured with at most a
  thousand files, and what it took beyond the processing time is scaled.
"""

import math
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from figures import Burst, Row
from pictures import LARGE, MEDIUM, SMALL, fill
from stage import PROCESSING_SECONDS, SETTLE_SECONDS, TRANSFERS, stage

WHO = "watchfolder"
FREE, PRO, ENTERPRISE = 60, 300, 1000
THE_CARD = Burst(SMALL, 1_000, FREE)
THE_WEDDING = Burst(SMALL, 10_000, FREE)

BURSTS = tuple(
    Burst(size, files, plan)
    for size, counts in ((SMALL, (1, 100, 1_000, 10_000)), (MEDIUM, (1, 100, 1_000)), (LARGE, (1, 100)))
    for files in counts
    for plan in (0, FREE, PRO, ENTERPRISE)
)
"""As fits: ten thousand of 500 KiB, or a thousand of 20 MiB, are gigabytes more of the same."""
SHORT = (Burst(SMALL, 1, 0), Burst(SMALL, 100, FREE), THE_CARD, Burst(LARGE, 4, 0))

_FILES_PER_ORDER, _REQUESTS_PER_ORDER = 100, 4
_MEASURED_AT_MOST = {SMALL: 1_000, MEDIUM: 200, LARGE: 20}


def measure(bursts: Iterable[Burst]) -> Iterator[Row]:
    yield from map(run, bursts)


def run(burst: Burst) -> Row:
    """Send one burst through a daemon of its own; give up after five times the ideal and a minute."""
    ideal = ideal_seconds(burst)
    with stage(requests_per_minute=burst.plan) as own:
        fill(own.card, burst.size, burst.files)
        own.configure(requests_per_minute=burst.plan)
        with own.daemon() as daemon:
            time.sleep(1.0)
            cpu, began = daemon.cpu_seconds(), own.drop()
            try:
                ended = own.wait_for_deliveries(burst.files, 60 + 5 * ideal)
            except TimeoutError:
                ended = time.time()
            time.sleep(1.0)  # the originals' way home is part of the work
            return Row(
                WHO,
                burst,
                delivered=own.delivered(),
                requests=len(own.api_requests()),
                refusals=own.refusals(),
                wall_seconds=ended - began,
                ideal_seconds=ideal,
                cpu_seconds=daemon.cpu_seconds() - cpu,
                peak_mib=daemon.peak_mib(),
                sins=len(own.sandbox.sins),
            )


def ideal_seconds(burst: Burst) -> float:
    requests = _REQUESTS_PER_ORDER * math.ceil(burst.files / _FILES_PER_ORDER)
    plan = requests * burst.minute_seconds / burst.plan if burst.plan else 0.0
    return SETTLE_SECONDS + max(plan, line_seconds(burst.size, burst.files))


def line_seconds(size: int, files: int) -> float:
    measured = min(files, _MEASURED_AT_MOST[size])
    return PROCESSING_SECONDS + (_perfect_seconds(size, measured) - PROCESSING_SECONDS) * files / measured


@lru_cache
def _perfect_seconds(size: int, files: int) -> float:
    program = str(Path(__file__).with_name("perfect.py"))
    with stage() as own:
        fill(own.card, size, files)
        asked = [own.sandbox.url, own.sandbox.key, str(own.card), str(PROCESSING_SECONDS), str(TRANSFERS)]
        done = subprocess.run([sys.executable, program, *asked], capture_output=True, text=True, check=True)
    return float(done.stdout)
