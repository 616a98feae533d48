"""The report: the same tables for the terminal and for docs/performance.md."""

import os
import platform
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from figures import Figure, Row
from peers import POLL_SECONDS
from stage import PROCESSING_SECONDS, SETTLE_SECONDS, TRANSFERS

BURST_HEADS = ("burst", "requests a file", "429", "time", "ideal", "times the ideal", "CPU a file", "peak memory")
PEER_HEADS = ("program", "burst", "requests a file", "429", "times the ideal", "CPU a file")
FIGURE_HEADS = ("what", "found", "target", "")


def burst_cells(row: Row) -> tuple[str, ...]:
    return (
        str(row.burst),
        f"{row.requests_per_file:.3f}",
        str(row.refusals),
        f"{row.wall_seconds:.1f} s" + ("" if row.is_whole else f": {row.delivered:,} delivered"),
        f"{row.ideal_seconds:.1f} s",
        f"{row.times_ideal:.2f}" if row.is_whole else "–",
        f"{row.cpu_ms_per_file:.1f} ms",
        f"{row.peak_mib:.0f} MiB",
    )


def peer_cells(row: Row) -> tuple[str, ...]:
    times = f"{row.times_ideal:.1f}" if row.is_whole else f"{row.delivered} of {row.burst.files} delivered"
    spent = f"{row.cpu_ms_per_file:.0f} ms"
    return row.who, str(row.burst), f"{row.requests_per_file:.3f}", str(row.refusals), times, spent


def figure_cells(figure: Figure) -> tuple[str, ...]:
    return figure.what, figure.found, figure.target, figure.verdict


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return it as Markdown whose columns are aligned, so that it reads well in a terminal too."""
    rows = [list(heads), *map(list, lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows
    )


def this_machine() -> str:
    models = [
        line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    processor = models[0] if models else platform.machine()
    load = os.getloadavg()[0]
    when = time.strftime("%Y-%m-%d")
    return f"{when}, {os.cpu_count()} × {processor}, Python {platform.python_version()}, load {load:.1f} at the start"


def document(
    machine: str, reached: Sequence[Figure], ours: Sequence[Row], theirs: Sequence[Row], figures: Sequence[Figure]
) -> str:
    return _DOCUMENT.format(
        machine=machine,
        targets=table(FIGURE_HEADS, map(figure_cells, reached)),
        bursts=table(BURST_HEADS, map(burst_cells, ours)),
        peers=table(PEER_HEADS, map(peer_cells, theirs)) if theirs else "Not measured: a program was missing.",
        machine_rows=table(FIGURE_HEADS, map(figure_cells, figures)),
        settle=SETTLE_SECONDS,
        processing=PROCESSING_SECONDS,
        transfers=TRANSFERS,
        poll=f"{POLL_SECONDS:g} s",
    )


_DOCUMENT = """\
# Performance

Written by `make bench`; do not edit. {machine}.

The figures of another machine differ, the ratios should not: the sandbox, which plays the service, runs on the same
processor as the program, and so do its peers, in the same run.

## What it must reach

{targets}

What is compared here was measured one right after the other: the peers, the thousand, the ten thousand. (The speed of
a rented machine changes by a factor of two within an hour.)

## Bursts

All files are renamed into the inbox at once; the daemon is a process of its own with the defaults of its configuration,
but `settle_seconds: {settle:g}` and the plan's `requests_per_minute`. An order takes {processing:g} s at the sandbox.

{bursts}

* **requests a file**: to the API, whatever the answer; the transfers to and from the storage are not counted.
* **time**: from the first rename into the inbox until the last picture has its name in the outbox.
* **ideal**: `settle_seconds` plus the longer of what the plan and what the line dictate.
  The plan: four requests for every hundred files (create, confirm, one look, the links), evenly at the plan's rate. (A
  minute's allowance spent at once would be quicker for a burst that it covers, and leave none for the next.)
  The line: what a perfect client takes on this machine without any plan, which keeps nothing, knows the service's time
  beforehand, and moves the same pictures with {transfers} transfers side by side
  ([perfect.py](../benchmarks/perfect.py)); measured with at most a thousand files, scaled beyond.
  The thousand and the ten thousand that must reach something are of 10 KiB, where the plan sets the pace; larger ones
  show what line and disk add, on a machine whose two cores are the service's as well.
* **CPU a file**: of the daemon's process, user and system, from the first rename until all is done; without its start.
* **peak memory**: the process's high-water mark (`VmHWM`), with its start.
* Ten thousand have the same minute of 60 s as the thousand that they are compared with: in a shortened one the disk
  and the processor, which the sandbox shares, would set the pace and not the plan.

## Beside it

The quickstart as a [shell script](../benchmarks/quickstart.sh) (inotifywait, curl, jq): create, upload, confirm, poll
every {poll}, download, for each file; the same script started by watchdog's own `watchmedo shell-command` for each
file at once. curl waits and tries again after a 429; a plan "of 6 s" is one whose minute the sandbox has shortened to
that, for five requests a picture take long. CPU is that of the program and of every process it started. There is no TLS
here: with it, each of curl's connections would cost a handshake more, and the daemon's few would not.

{peers}

## The machine

{machine_rows}
"""
