"""The benchmarks: `python benchmarks [--short] [--only WORDS]` prints the tables and writes docs/performance.md.

Forty minutes on a quiet machine; with `--short` five, smaller, and nothing is written. Exit code 1 when a target was
not reached. Where curl, jq, inotifywait or strace is missing, the rows that need it are left out.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import bursts
import connections
import huge
import idle
import latency
import loading
import peers
import pushed
import report
import targets
import waiting
from figures import Figure, Row

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
MACHINE = (latency, connections, idle, loading, waiting, huge, pushed)

_Found = TypeVar("_Found")


def main() -> int:
    arguments = _arguments()
    machine = report.this_machine()
    ours, theirs, figures = _measure(arguments)
    reached = list(targets.judge(ours, theirs))
    print(f"\n{report.table(report.FIGURE_HEADS, map(report.figure_cells, reached))}")
    if not arguments.short and not arguments.only:
        DOCUMENT.write_text(report.document(machine, reached, ours, theirs, figures), encoding="utf-8")
    return int(any(each.is_reached is False for each in [*reached, *figures]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="smaller, five minutes, no document")
    parser.add_argument("--only", default="", help="bursts, peers or the name of one module: nothing else, no document")
    return parser.parse_args()


def _measure(arguments: argparse.Namespace) -> tuple[list[Row], list[Row], list[Figure]]:
    short, only = arguments.short, arguments.only
    ours: list[Row] = []
    theirs: list[Row] = []
    figures: list[Figure] = []
    if only in {"", "bursts"}:
        rows = bursts.measure(bursts.SHORT if short else bursts.BURSTS)
        ours += _told(_kept("bursts", rows, figures), report.burst_cells)
    if only in {"", "peers"}:
        if missing := peers.missing():
            print(f"no peers: not installed: {', '.join(missing)}")
        else:
            theirs += _told(_kept("peers", peers.measure(short=short), figures), report.peer_cells)
    for module in MACHINE:
        if only in {"", module.__name__}:
            figures += _told(_guarded(module.__name__, module.measure(short=short)), report.figure_cells)
    return ours, theirs, figures


def _told(found: Iterable[_Found], cells: Callable[[_Found], tuple[str, ...]]) -> Iterator[_Found]:
    for each in found:
        print("  ".join(filter(None, cells(each))), flush=True)
        yield each


def _kept(what: str, rows: Iterator[Row], figures: list[Figure]) -> Iterator[Row]:
    """Let the rows stand that were there before one broke."""
    try:
        yield from rows
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        figures.append(Figure(what, f"not all measured: {error}", is_reached=False))


def _guarded(what: str, figures: Iterator[Figure]) -> Iterator[Figure]:
    """Let one measurement that breaks not take the others with it."""
    try:
        yield from figures
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        yield Figure(what, f"not measured: {error}", is_reached=False)


if __name__ == "__main__":
    sys.exit(main())
