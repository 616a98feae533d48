"""How many TCP connections a burst of a hundred files in ten orders opens, counted by strace."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from figures import Figure, at_most
from pictures import SMALL, fill
from stage import TRANSFERS, stage

_FILES = 100


def measure(*, short: bool) -> Iterator[Figure]:  # noqa: ARG001 - it is short
    if shutil.which("strace") is None:
        yield Figure("TCP connections in a burst", "not measured: strace is not installed")
        return
    with stage() as own:
        trace = own.top / "trace"
        own.configure(max_files_per_order=_FILES // 10)
        fill(own.card, SMALL, _FILES)
        with own.daemon(under=("strace", "--follow-forks", "--seccomp-bpf", "--trace=connect", f"--output={trace}")):
            time.sleep(1.0)
            own.drop()
            own.wait_for_deliveries(_FILES, 180)
        opened = _connections(trace)
    what = (
        f"TCP connections opened by {_FILES} files in ten orders, API and storage on one host, transfers: {TRANSFERS}"
    )
    yield at_most(what, opened, 2 * TRANSFERS, "{}")


def _connections(trace: Path) -> int:
    return sum("sa_family=AF_INET" in line for line in trace.read_text().splitlines())
