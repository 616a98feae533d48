"""Measure what an idle daemon costs, and how soon a file that was renamed into the inbox is sent. Prints a table.

.venv/bin/python benchmarks/idle_and_latency.py [--idle-seconds 60] [--files 20]
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

SETTLE_SECONDS = 1.0
READY_SECONDS = 15.0


@contextmanager
def daemon(top: Path, sandbox: Sandbox) -> Iterator[int]:
    """Run the program over fresh folders; give its process id once it is ready."""
    for name in ("inbox", "outbox", "quarantine", "state"):
        (top / name).mkdir()
    inbox = {role: str(top / role) for role in ("outbox", "quarantine")} | {"path": str(top / "inbox")}
    tree = {
        "api": {"base_url": sandbox.url, "requests_per_minute": 0},
        "state_dir": str(top / "state"),
        "inboxes": {"photos": inbox | {"settle_seconds": SETTLE_SECONDS}},
    }
    (top / "config.yaml").write_text(yaml.safe_dump(tree))
    command = [sys.executable, "-m", "watchfolder", "run", "-c", str(top / "config.yaml")]
    with open(top / "log", "w") as log:
        process = subprocess.Popen(command, env={**os.environ, "BIZMORI_API_KEY": sandbox.key}, stderr=log)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while "daemon.ready" not in (top / "log").read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def written_bytes(pid: int) -> int:
    lines = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(lines["wchar"])


def resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def latencies(top: Path, sandbox: Sandbox, files: int) -> list[float]:
    """Return, for each file, the seconds from its rename into the inbox to its create request, less the settle time."""
    found = []
    picture = sample("jpeg", width=640, height=480, seed=1)
    for number in range(files):
        (top / "drop.jpg").write_bytes(picture + number.to_bytes(4, "big"))
        before = sandbox.requests_by_operation().get("create", 0)
        renamed = time.monotonic()
        os.rename(top / "drop.jpg", top / "inbox" / f"{number}.jpg")
        while sandbox.requests_by_operation().get("create", 0) == before and time.monotonic() < renamed + 30:
            time.sleep(0.001)
        found.append(time.monotonic() - renamed - SETTLE_SECONDS)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle-seconds", type=float, default=60.0)
    parser.add_argument("--files", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Sandbox(processing_seconds=0.1) as sandbox:
        top = Path(folder)
        with daemon(top, sandbox) as pid:
            late = latencies(top, sandbox, asked.files)
            time.sleep(15)  # for the last delivery, and for the last word in the log
            cpu, written = cpu_seconds(pid), written_bytes(pid)
            time.sleep(asked.idle_seconds)
            share = (cpu_seconds(pid) - cpu) / asked.idle_seconds
            print(f"{'idle: share of a core':44}{share:10.3%}")
            print(f"{'idle: resident memory':44}{resident_mib(pid):8.1f} MiB")
            print(f"{'idle: bytes written, wake-ups included':44}{written_bytes(pid) - written:10d}")
        print(f"{'rename to create, less settle_seconds: median':44}{statistics.median(late):9.3f} s")
        print(f"{'                                          worst':44}{max(late):9.3f} s")
        print(f"{'sins at the sandbox':44}{len(sandbox.sins):10d}")


if __name__ == "__main__":
    main()
