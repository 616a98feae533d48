"""An archive through AI detection: what many small orders cost, and that a death in the middle costs no more."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from daemon_process import DaemonProcess
from figures import Figure, at_most, under
from pictures import TINY, fill
from stage import Stage, stage

_QUICK_SECONDS = 0.2  # of an order, at the sandbox: the archive is many, not slow
_GIVEN_UP_SECONDS = 3600.0
_IN_FLIGHT = 50  # an order is of one picture: with the eight of the default, their waiting for each other sets the pace


def measure(*, short: bool) -> Iterator[Figure]:
    files = 500 if short else 5_000
    what = f"{files:,} pictures for AI detection"
    with stage(processing_seconds=_QUICK_SECONDS) as own:
        fill(own.inbox, TINY, files)
        with own.configure(service="ai-detection").open("a") as config:
            config.write(f"orders_in_flight: {_IN_FLIGHT}\n")
        seconds, peak = _rehearse(own)
        yield Figure(f"{what}: the dry run takes", f"{seconds:.1f} s")
        yield under(f"{what}: peak memory of the dry run", peak, 120, "{:.0f} MiB")
        began = time.monotonic()
        with own.daemon() as daemon:
            _wait_for(own, files // 2)
            cpu, first_peak = daemon.cpu_seconds(), daemon.peak_mib()
            os.kill(daemon.pid, signal.SIGKILL)
        with own.daemon() as daemon:
            _wait_for(own, files)
            time.sleep(1.0)
            took = time.monotonic() - began
            cpu, peak = cpu + daemon.cpu_seconds(), max(first_peak, daemon.peak_mib())
        requests, paid = len(own.api_requests()), own.sandbox.paid_files
        sins = len(own.sandbox.sins)
    yield Figure(f"{what}, killed in the middle: all done after, without a plan's limit", f"{took:.0f} s")
    yield at_most(f"{what}, killed in the middle: API requests a picture", requests / files, 3.1, "{:.2f}")
    yield at_most(f"{what}, killed in the middle: paid twice", sum(paid.values()) - files, 0, "{:,}")
    yield at_most(f"{what}, killed in the middle: breaches of the contract", sins, 0, "{:,}")
    yield under(f"{what}: peak memory", peak, 120, "{:.0f} MiB")
    yield Figure(f"{what}: CPU a picture", f"{1000 * cpu / files:.1f} ms")


def _wait_for(own: Stage, verdicts: int) -> None:
    deadline = time.monotonic() + _GIVEN_UP_SECONDS
    while sum(entry.name.endswith(".ai.json") for entry in os.scandir(own.outbox)) < verdicts:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{verdicts} verdicts were not there within {_GIVEN_UP_SECONDS:.0f} s")
        time.sleep(0.5)


def _rehearse(own: Stage) -> tuple[float, float]:
    """Return how long the dry run takes, and the most MiB that it and the process that it asks for it hold."""
    command = [sys.executable, "-m", "watchfolder", "run", "-c", str(own.top / "config.yaml"), "--once", "--dry-run"]
    environment = {**os.environ, "BIZMORI_API_KEY": own.sandbox.key}
    began, peak = time.monotonic(), 0.0
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, *(_peak_mib(pid) for pid in (process.pid, *_children(process.pid))))
            time.sleep(0.02)
    if process.returncode != 0:
        raise RuntimeError(f"the dry run ended with {process.returncode}")
    return time.monotonic() - began, peak


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _peak_mib(pid: int) -> float:
    with contextlib.suppress(OSError, StopIteration):
        return DaemonProcess(pid, 0).peak_mib()
    return 0.0  # it has just ended
