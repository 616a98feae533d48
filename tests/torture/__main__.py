"""The torture campaign: `python tests/torture`; what it prints is its report, and `--help` tells how to play a part.

Deaths, errors and power cuts at every point of an order's life, as docs/reliability.md tells; with `--short`, a choice
of a minute. Exit code 1 when a promise was broken.
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import audit
import block_cuts
import deaths
import exfat_disk
import faults
import neighbours
import power_cuts
import refusals
import small_disks
import strace_log
from campaign import Play, Row, Verdict, play_all
from changes import CHANGED
from faults import Action, fast_root
from stage import Stage, keep_mounts_private, stage
from stories import STORIES, Story

Cases = Iterator[tuple[Play, object]]
Make = Callable[[str], tuple[int, Cases]]
"""Given the row's name: how many points there are (0: as many as cases), and the cases."""

_CUT_IN_THE_MODEL = (  # those in which nobody else writes, on one file system
    "one file",
    "three files",
    "three in one order",
    "split",
    "name taken",
    "quarantine: failed",
    "quarantine: no picture",
    "retry",
    "re-key: key taken",
    "re-key: forgotten",
    "redo: upload lost",
    "originals deleted",
    "plain share: one file",
    "plain share: quarantine: failed",
    "plain share: name taken",
    "NFS: one file",
    "NFS: quarantine: failed",
    "reuse",
    "twins",
    "detection",
    "detection: again",
    "detection: all beside",
    "extract",
    "links: list",
    "embed",
    "embed: three",
    "embed: moved back",
    "embed: address",
)
_INTERRUPTED = ("one file", "quarantine: failed", "originals elsewhere", "extract: lent", "plain share: one file")
_SHORT = {  # one case in so many
    "death: one file": 10,
    "death: three files": 60,
    "death: three in one order": 60,
    "death: split": 60,
    "death: reuse": 20,
    "death: twins": 60,
    "death: quarantine: failed": 30,
    "death: retry": 15,
    "death: re-key: key taken": 30,
    "death: release: changed": 40,
    "death: plain share: one file": 30,
    "death: plain share: quarantine: failed": 30,
    "death: plain share: retry: the command": 10,
    "death: plain share: release: changed": 40,
    "death: NFS: one file": 40,
    "death: detection: all beside": 80,
    "death: extract": 24,
    "death: extract: failed": 30,
    "death: extract: lent": 20,
    "power cut, the worst disk: extract": 60,
    "death: links: answer lost": 60,
    "death: links: list": 60,
    "death: embed": 20,
    "death: embed: three": 60,
    "death: embed: answer lost": 60,
    "death: embed: link run out": 60,
    "death: embed: key taken": 30,
    "death, then a change: inbox moved: one file": 30,
    "death, then a change: inbox begun elsewhere: three in one order": 12,
    "death, then a change: another service: one file": 40,
    "two deaths: one file": 16,
    "an error, then death: one file": 40,
    "an error once: one file": 40,
    "an error that lasts: one file": 80,
    "an error in one inbox, not the other": 40,
    "every call is counted: one file": 1,
    "power cut, the worst disk: one file": 12,
    "power cut, the worst disk: quarantine: failed": 30,
    "power cut, the worst disk: retry": 30,
    "power cut, the worst disk: re-key: key taken": 40,
    "power cut, the worst disk: split": 60,
    "power cut, the worst disk: plain share: one file": 60,
}
_ON_EXFAT = ("one file", "name taken", "quarantine: failed", "retry: the command")  # no file has a second name there
_CUT_ON_BLOCKS = ("one file", "split", "quarantine: failed", "retry")
_FIRST_DEATHS_SHORT = 67  # to find the recoveries from all of them takes minutes
_RECOVERED_FROM = {  # of the thousands of pairs of deaths, one in so many
    "one file": 1,
    "quarantine: failed": 7,
    "retry": 7,
    "re-key: key taken": 7,
    "release: changed": 7,
    "split": 28,
    "reuse": 28,
    "twins": 28,
    "embed": 28,
    "inbox moved: one file": 7,
    "inbox begun elsewhere: one file": 7,
    "inbox begun elsewhere: three in one order": 28,
}
_DEATHS_BEFORE_CHANGE = 8  # of one file all, of other lives one in so many


def main() -> int:
    arguments = _arguments()
    began = time.monotonic()
    rows: dict[str, Row] = {}
    keep_mounts_private()
    with TemporaryDirectory(dir=fast_root()) as shelf, stage() as own:
        cases = _cases(own, Path(shelf), rows, arguments)
        play_all(rows, cases, arguments.jobs, lambda row: _say("\n".join(row.lines())))
    violations = sum(row.violations for row in rows.values())
    played = sum(row.cases for row in rows.values())
    _say(f"{played} cases, {violations} violations, {time.monotonic() - began:.0f} s")
    return 1 if violations else 0


def _cases(stage: Stage, shelf: Path, rows: dict[str, Row], arguments: argparse.Namespace) -> Cases:
    """Give the cases of each campaign that was asked for, and a row to count it in."""
    campaigns = _campaigns(stage, shelf, _FIRST_DEATHS_SHORT if arguments.short else 1)
    for number, (name, reason, make) in enumerate(campaigns, arguments.part):
        if not arguments.only.search(name) or (arguments.short and name not in _SHORT):
            continue
        if reason:
            _say(f"SKIPPED {name}: {reason}")
            continue
        try:
            points, cases = make(name)
            everything = list(cases)
        except AssertionError as error:
            rows[name] = _unplayed(name, str(error))
            continue
        rows[name] = Row(name, points or len(everything))
        share = _SHORT[name] if arguments.short else arguments.share
        chosen = list(islice(everything, number % share, None, share))
        rows[name].announced = len(chosen)
        yield from chosen


def _unplayed(name: str, reason: str) -> Row:
    """Return the row of a story that does not even go as it should when nothing befalls it, and tell it."""
    row = Row(name)
    row.take(Verdict(name, was_struck=False, faults=[reason], at="undisturbed"))
    _say("\n".join(row.lines()))
    return row


def _campaigns(stage: Stage, shelf: Path, first_deaths: int) -> Iterator[tuple[str, str, Make]]:
    """Give each campaign's name, why it cannot be, and what makes its cases."""
    missing = faults.why_not()
    for name, make in _with_library(stage, first_deaths):
        yield name, missing, make
    for name in _ON_EXFAT:
        yield f"death, exFAT: {name}", missing or exfat_disk.why_not(), partial(_exfat_deaths, stage, STORIES[name])
    missing = strace_log.why_not()
    for name, make in _with_strace(stage):
        needs_library = any(word in name for word in ("plain share", "NFS", "counted"))
        yield name, missing or (faults.why_not() if needs_library else ""), make
    for kind in block_cuts.MKFS:
        for story in _CUT_ON_BLOCKS:
            make = partial(_block_cuts, stage, STORIES[story], kind, shelf)
            yield f"power cut, {kind}: {story}", block_cuts.why_not(kind), make
    for kind in small_disks.MAKES:
        yield f"a small disk, {kind}", small_disks.why_not(kind), partial(_small_disks, kind)


def _with_library(stage: Stage, first_deaths: int) -> Iterator[tuple[str, Make]]:
    for story in STORIES.values():
        yield f"death: {story.name}", partial(_deaths, stage, story, 1)
    for name, story in CHANGED.items():
        share = 1 if name.endswith(": one file") else _DEATHS_BEFORE_CHANGE
        yield f"death, then a change: {name}", partial(_deaths, stage, story, share)
    for name in _RECOVERED_FROM:
        yield f"two deaths: {name}", partial(_second_deaths, stage, deaths.KNOWN[name], first_deaths)
    for story in (each for each in STORIES.values() if not each.command):
        yield f"an error, then death: {story.name}", partial(_deaths_after_errors, stage, story)
    for action, words in ((Action.FAIL_ONCE, "an error once"), (Action.FAIL_FROM, "an error that lasts")):
        for story in STORIES.values():
            yield f"{words}: {story.name}", partial(_errors, stage, story, action)
    for name in (each for each in STORIES if each.startswith(("NFS: ", "plain share: "))):
        yield f"done, but an error: {name}", partial(_late_errors, stage, STORIES[name])
    yield "an error in one inbox, not the other", partial(_neighbours, stage)
    for name in _INTERRUPTED:
        yield f"an interrupted call: {name}", partial(_interruptions, stage, STORIES[name])


def _with_strace(stage: Stage) -> Iterator[tuple[str, Make]]:
    for story in (each for each in STORIES.values() if not each.command):
        yield f"every call is counted: {story.name}", partial(_audit, story)
    for name in _CUT_IN_THE_MODEL:
        yield f"power cut, the worst disk: {name}", partial(_model_cuts, stage, STORIES[name])


def _audit(story: Story, group: str) -> tuple[int, Cases]:
    return 1, iter([(audit.play, (group, story.name))])


def _deaths(stage: Stage, story: Story, share: int, group: str) -> tuple[int, Cases]:
    calls = deaths.calls_of(stage, story)
    found = islice(deaths.deaths_of(group, story.name, calls), share - 1, None, share)
    return len(calls), ((deaths.play, each) for each in found)


def _exfat_deaths(stage: Stage, story: Story, group: str) -> tuple[int, Cases]:
    found = list(exfat_disk.deaths_of(stage, group, story))
    return len({death.plan.at for death in found}), ((exfat_disk.play, each) for each in found)


def _deaths_after_errors(stage: Stage, story: Story, group: str) -> tuple[int, Cases]:
    calls = deaths.calls_of(stage, story)
    cases = deaths.deaths_after_errors_of(group, story.name, calls)
    return len(calls), ((deaths.play, each) for each in cases)


def _second_deaths(stage: Stage, story: Story, share: int, group: str) -> tuple[int, Cases]:
    pairs = list(deaths.second_deaths_of(stage, group, story, share))
    return len(pairs), ((deaths.play, each) for each in pairs[:: _RECOVERED_FROM[story.name]])


def _errors(stage: Stage, story: Story, action: Action, group: str) -> tuple[int, Cases]:
    calls = [call for call in deaths.calls_of(stage, story) if call.name != "send"]
    return len(calls), ((refusals.play, each) for each in refusals.refusals_of(group, story.name, calls, action))


def _late_errors(stage: Stage, story: Story, group: str) -> tuple[int, Cases]:
    calls = deaths.calls_of(stage, story)
    return len(calls), ((refusals.play, each) for each in refusals.late_refusals_of(group, story.name, calls))


def _neighbours(stage: Stage, group: str) -> tuple[int, Cases]:
    failures = list(neighbours.failures_of(stage, group))
    return len({each.plan.at for each in failures}), ((neighbours.play, each) for each in failures)


def _interruptions(stage: Stage, story: Story, group: str) -> tuple[int, Cases]:
    calls = deaths.calls_of(stage, story)
    return len(calls), ((refusals.play, each) for each in refusals.interruptions_of(group, story.name, calls))


def _model_cuts(stage: Stage, story: Story, group: str) -> tuple[int, Cases]:
    return 0, ((power_cuts.play, each) for each in power_cuts.cuts_of(stage, group, story))


def _block_cuts(stage: Stage, story: Story, kind: str, shelf: Path, group: str) -> tuple[int, Cases]:
    own = shelf / f"{kind}-{_CUT_ON_BLOCKS.index(story.name)}"
    own.mkdir()
    return 0, ((block_cuts.play, each) for each in block_cuts.cuts_of(stage, group, story, kind, own))


def _small_disks(kind: str, group: str) -> tuple[int, Cases]:
    return 0, ((small_disks.play, each) for each in small_disks.troubles_of(group, kind))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=re.compile, default="", help="campaigns whose names this expression matches")
    parser.add_argument("--short", action="store_true", help="the choice that is part of make test-lab")
    parser.add_argument("--share", type=int, default=1, help="one case in so many")
    parser.add_argument("--part", type=int, default=0, help="which cases of a share: 0 to SHARE - 1 are all of them")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1))
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
