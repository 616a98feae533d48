"""The benchmarks: `python benchmarks [--short] [--only PART]` prints the tables and writes docs/performance.md.

Forty minutes on a quiet machine. `--only` measures one part again: "targets" (what is compared with each other: the
peers and the bursts that must reach something, one right after the other), "bursts" (the others), or the name of a
module. With `--short` five minutes, smaller, and nothing is written. Exit code 1 when a target was not reached. Where
curl, jq, inotifywait or strace is missing, what needs it counts as not reached.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import archive
import bursts
import connections
import huge
import idle
import latency
import loading
import measured
import peers
import pushed
import report
import targets
import waiting
from figures import Burst, Figure, Row

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
MACHINE = (latency, connections, idle, loading, waiting, archive, huge, pushed)
PARTS = ("targets", "bursts", *(module.__name__ for module in MACHINE))

_Found = TypeVar("_Found")


def main() -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored, also by what we start
    arguments = _arguments()
    machine = report.this_machine()
    names = [arguments.only] if arguments.only else PARTS
    parts = {name: _measure(name, short=arguments.short) for name in names}
    if not arguments.short:
        for name, (rows, figures) in parts.items():
            measured.keep(name, rows, figures)
        parts = measured.load()
    rows = [row for found, _ in parts.values() for row in found]
    figures = [figure for name in PARTS for figure in parts.get(name, ([], []))[1]]
    ours = sorted((row for row in rows if row.who == bursts.WHO), key=lambda row: _place(row.burst))
    theirs = [row for row in rows if row.who != bursts.WHO]
    reached = list(targets.judge(ours, theirs))
    print(f"\n{report.table(report.FIGURE_HEADS, map(report.figure_cells, reached))}")
    if not arguments.short and parts.keys() == set(PARTS):
        DOCUMENT.write_text(report.document(machine, reached, ours, theirs, figures), encoding="utf-8")
    return int(any(each.is_reached is False for each in [*reached, *figures]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="smaller, five minutes, no document")
    parser.add_argument("--only", choices=PARTS, default="", metavar="PART", help=", ".join(PARTS))
    return parser.parse_args()


def _measure(name: str, *, short: bool) -> tuple[list[Row], list[Figure]]:
    figures: list[Figure] = []
    if name == "targets":
        if missing := peers.missing():
            print(f"no peers: not installed: {', '.join(missing)}")
        rivals = () if missing else peers.measure(short=short)
        rows = [
            *_told(_kept("peers", rivals, figures), report.peer_cells),
            *_told(
                _kept("bursts", bursts.measure(targets.JUDGED[:1] if short else targets.JUDGED), figures),
                report.burst_cells,
            ),
        ]
        return rows, figures
    if name == "bursts":
        others = [burst for burst in (bursts.SHORT if short else bursts.BURSTS) if burst not in targets.JUDGED]
        return list(_told(_kept(name, bursts.measure(others), figures), report.burst_cells)), figures
    (module,) = (each for each in MACHINE if each.__name__ == name)
    return [], list(_told(_guarded(name, module.measure(short=short)), report.figure_cells))


def _place(burst: Burst) -> int:
    return bursts.BURSTS.index(burst) if burst in bursts.BURSTS else len(bursts.BURSTS)


def _told(found: Iterable[_Found], cells: Callable[[_Found], tuple[str, ...]]) -> Iterator[_Found]:
    for each in found:
        print("  ".join(filter(None, cells(each))), flush=True)
        yield each


def _kept(what: str, rows: Iterable[Row], figures: list[Figure]) -> Iterator[Row]:
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
