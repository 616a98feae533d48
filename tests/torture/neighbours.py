"""One inbox's disk fails, at every call and from that call on: the inbox beside it goes on."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from campaign import Verdict
from deaths import breaks, where
from faults import Action, Plan, Trait
from refusals import NUMBERS
from small_disks import comes, compare
from stage import Picture, Stage, picture

_SUFFERING, _NEIGHBOUR = picture("suffering.jpg", 21), picture("neighbour.jpg", 22)


@dataclass(frozen=True)
class Failure:
    group: str
    plan: Plan


def failures_of(stage: Stage, group: str) -> Iterator[Failure]:
    """Give each error at each call on the disk of the inbox `small`."""
    small = _set_up(stage)
    ending = stage.run()
    assert ending.word == "done", ending
    for at, call in enumerate(stage.faults.calls(), 1):
        if call.path.startswith(f"{small}/"):
            for number in NUMBERS:
                yield Failure(group, Plan(Action.FAIL_FROM, at, number))


def play(stage: Stage, failure: Failure) -> Verdict:
    small = _set_up(stage)
    stage.start(replace(failure.plan, only=str(small)))
    found = list(_live_through(stage, small))
    was_struck, calls = stage.faults.struck > 0, stage.faults.calls()
    told = f"{errno.errorcode[failure.plan.number]} from {failure.plan.at} ({where(calls, failure.plan.at, stage)})"
    return Verdict(failure.group, was_struck, [*found, *breaks(stage)], told)


def _set_up(stage: Stage) -> Path:
    stage.clear()
    stage.traits &= ~Trait.COUNT_SENDS
    small = stage.add_inbox("small")
    (small / "inbox" / _SUFFERING.name).write_bytes(_SUFFERING.content)
    return small


def _live_through(stage: Stage, small: Path) -> Iterator[str]:
    comes(lambda: stage.faults.struck > 0 or _is_through(small, _SUFFERING))
    stage.drop(_NEIGHBOUR)
    if not comes(lambda: _is_through(stage.root, _NEIGHBOUR)):
        yield "the other inbox does not go on"
    stage.faults.lift()
    if not comes(lambda: _is_through(small, _SUFFERING)):
        yield f"it does not go on when the disk is well again: {stage.log()[-600:]}"
    stage.nursery.stop()
    ending = stage.wait(20.0)
    if ending.word != "stopped":
        yield f"ended: {ending.word} {ending.error}"
    if stage.sandbox.paid_files != {_SUFFERING.sha256: 1, _NEIGHBOUR.sha256: 1} or stage.sandbox.sins:
        yield f"paid {sorted(stage.sandbox.paid_files.values())}, sins {stage.sandbox.sins}"
    for root, each in ((small, _SUFFERING), (stage.root, _NEIGHBOUR)):
        yield from compare(root / "outbox" / each.name, stage.expected(each))
        yield from compare(root / "originals" / each.name, each.content)


def _is_through(root: Path, one: Picture) -> bool:
    return (root / "outbox" / one.name).exists() and (root / "originals" / one.name).exists()
