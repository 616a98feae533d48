"""Death at every call: before it, after it, amid it; and once more during the recovery, perhaps from a change."""

import errno
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from campaign import Verdict
from changes import CHANGED
from faults import Action, Call, Plan
from nursery import Ending
from stage import Stage
from stories import STORIES, Story
from witness import complaints, plain

KNOWN = STORIES | CHANGED
_LIVES = 3
_GAPS = (1, 2, 3)
_STILL_SECONDS = 1.0
_BYTES_MOVE = {"write", "pwrite", "pwrite64", "send", "sendfile", "sendfile64", "copy_file_range", "writev"}


@dataclass(frozen=True)
class Death:
    """One life to be played: where it is cut, and where its successor is."""

    group: str
    story: str
    plan: Plan
    second: Plan | None = None


def calls_of(stage: Stage, story: Story) -> list[Call]:
    """Return the calls of the longest of a few undisturbed lives: threads do not always take the same turns."""
    return max((_calls_of_one(stage, story) for _ in range(_LIVES)), key=len)


def _calls_of_one(stage: Stage, story: Story) -> list[Call]:
    """Live once, undisturbed, which must be without a fault."""
    stage.clear()
    outcome = story.set_up(stage)
    ending = stage.run(mischief=story.mischief, command=story.command)
    calls = stage.faults.calls()
    if story.command:
        assert ending.word == "exit 0", ending
        ending = stage.finish()
    found = [*_of_ending(ending.word, ending.error), *complaints(stage, outcome())]
    assert not found, f"{story.name}, undisturbed: {found}\n{stage.log()[-3000:]}"
    return calls


def deaths_of(group: str, story: str, calls: Sequence[Call]) -> Iterator[Death]:
    for number, call in enumerate(calls, 1):
        yield Death(group, story, Plan(Action.KILL_BEFORE, number))
        yield Death(group, story, Plan(Action.KILL_AFTER, number))
        if call.name in _BYTES_MOVE:
            yield Death(group, story, Plan(Action.TORN, number))


def deaths_after_errors_of(group: str, story: str, calls: Sequence[Call]) -> Iterator[Death]:
    """Give a death soon after an error at each call: one, two and three calls later, or one of these in turn."""
    for number, call in enumerate(calls, 1):
        for gap in _GAPS if story == "one file" else _GAPS[number % len(_GAPS) :][:1]:
            if call.name != "send":
                yield Death(group, story, Plan(Action.FAIL_THEN_KILL, number, errno.EIO, gap=gap))


def second_deaths_of(stage: Stage, group: str, story: Story, share: int) -> Iterator[Death]:
    """Give every death during the recovery from every death, or from one in `share`.

    Where two recoveries make the same calls, the first deaths left the same behind, and one of them is enough.
    """
    known: set[tuple[str, ...]] = set()
    for first in islice(deaths_of(group, story.name, calls_of(stage, story)), share - 1, None, share):
        if first.plan.action is Action.TORN:
            continue
        stage.clear()
        story.set_up(stage)
        stage.run(first.plan, mischief=story.mischief)
        story.change(stage)
        stage.run()
        recovery = tuple(sorted(plain(where([call], 1, stage)) for call in stage.faults.calls()))  # threads take turns
        if recovery in known:
            continue
        known.add(recovery)
        for number in range(1, len(recovery) + 1):
            yield Death(group, story.name, first.plan, Plan(Action.KILL_BEFORE, number))


def play(stage: Stage, death: Death) -> Verdict:
    story = KNOWN[death.story]
    stage.clear()
    outcome = story.set_up(stage)
    found = []
    if death.plan.action is Action.FAIL_THEN_KILL:
        ending = _until_death(stage, death.plan, story)
    else:
        ending = stage.run(death.plan, mischief=story.mischief, command=story.command)
    was_struck = stage.faults.struck > 0
    calls = stage.faults.calls()
    if was_struck != (ending.word == "killed"):
        found.append(f"struck {stage.faults.struck} times, yet it ended: {ending.word} {ending.error}")
    story.change(stage)
    if death.second is not None:
        stage.run(death.second)
        was_struck = stage.faults.struck > 0
        calls = stage.faults.calls()
    if story.command:  # a person gives the command again
        stage.run(command=story.command)
    ending = stage.finish()
    found += _of_ending(ending.word, ending.error, ending.left)
    found += complaints(stage, outcome())
    found += breaks(stage)
    plans = " then ".join(_words(plan) for plan in (death.plan, death.second) if plan)
    at = where(calls, (death.second or death.plan).at, stage)
    return Verdict(death.group, was_struck, found, f"{plans} ({at})")


def _until_death(stage: Stage, plan: Plan, story: Story) -> Ending:
    """Live on after the failure, as a single run does not; where no further call comes, stop."""
    stage.start(plan, once=False, mischief=story.mischief)
    count, since = -1, time.monotonic()
    while not stage.nursery.is_over() and time.monotonic() < since + _STILL_SECONDS:
        if stage.faults.count != count:
            count, since = stage.faults.count, time.monotonic()
        time.sleep(0.005)
    if not stage.nursery.is_over():
        stage.nursery.stop()
    return stage.wait(_STILL_SECONDS + 20)


def _words(plan: Plan) -> str:
    return f"{plan.action.name} {plan.at}" + (f" + {plan.gap}" if plan.gap else "")


def breaks(stage: Stage) -> Iterator[str]:
    """Find what the log tells of faults of ours."""
    log = stage.log()
    for word in ("order.step_broke", "inbox.beat_broke", "process.crashed", "thread.crashed"):
        if word in log:
            yield f"log: {word}"


def _of_ending(word: str, error: str, left: Sequence[str] = ()) -> Iterator[str]:
    if word not in {"done", "quarantined"}:
        yield f"ended: {word} {error} {list(left)}"


def where(calls: Sequence[Call], at: int, stage: Stage) -> str:
    if not 0 < at <= len(calls):
        return ""
    call = calls[at - 1]
    return f"{call.name} {call.path.removeprefix(str(stage.root))}"
