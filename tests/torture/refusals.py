"""An error at every call, once or from that call on until it is lifted: the daemon stays up and says what is wrong.

A command that a person gives may end instead: with its reason; and it does the rest when it is given again.
"""

import errno
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from campaign import Verdict
from deaths import breaks, where
from faults import Action, Call, Plan, Trait
from nursery import Ending
from stage import Fate, Picture, Stage
from stories import STORIES, Outcome
from witness import complaints, history, names_in

NUMBERS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT)
_SAID = {
    errno.ENOSPC: "the disk is full",
    errno.EIO: "the disk reports errors",
    errno.EACCES: "permission denied",
    errno.EROFS: "it is read-only",
    errno.EDQUOT: "the disk quota is used up",
    errno.ETIMEDOUT: "the share does not answer",
    errno.ENOENT: "has just vanished",
}
_DONE_ALREADY = {
    "linkat": errno.EEXIST,
    "mkdirat": errno.EEXIST,
    "renameat": errno.ENOENT,
    "unlinkat": errno.ENOENT,
}
_FINISHED_SECONDS = 20.0
_TOLD_SECONDS = 5.0
_SUFFERING_SECONDS = 0.15  # several tries of each kind, at the pace of warm._FAST
_LOOK_SECONDS = 0.01


@dataclass(frozen=True)
class Refusal:
    group: str
    story: str
    plan: Plan


def refusals_of(group: str, story: str, calls: Sequence[Call], action: Action) -> Iterator[Refusal]:
    """Give each error at each call of one file's life and of a command; elsewhere one of the errors, in turn."""
    is_short = story == "one file" or bool(STORIES[story].command)
    for at in range(1, _count(calls) + 1):
        for number in NUMBERS if is_short else NUMBERS[at % len(NUMBERS) :][:1]:
            yield Refusal(group, story, Plan(action, at, number))


def late_refusals_of(group: str, story: str, calls: Sequence[Call]) -> Iterator[Refusal]:
    """Give an error at each call that was done all the same: a server's answer that came too late for a soft mount.

    Or it got lost, and the kernel has asked again: then the server's second answer is that it has been done already.
    """
    for at, call in enumerate(calls, 1):
        if call.name != "send":
            for number in filter(None, (errno.ETIMEDOUT, _DONE_ALREADY.get(call.name))):
                yield Refusal(group, story, Plan(Action.FAIL_LATE, at, number))


def interruptions_of(group: str, story: str, calls: Sequence[Call]) -> Iterator[Refusal]:
    """Give what is no error: a signal comes in at each call, or a write takes one byte and says so."""
    for at in range(1, _count(calls) + 1):
        for action in (Action.INTERRUPT, Action.SHORT):
            yield Refusal(group, story, Plan(action, at, errno.EINTR))


def _count(calls: Sequence[Call]) -> int:
    return sum(call.name != "send" for call in calls)


def play(stage: Stage, refusal: Refusal) -> Verdict:
    story = STORIES[refusal.story]
    stage.clear()
    outcome = story.set_up(stage)
    stage.traits &= ~Trait.COUNT_SENDS
    stage.forget_log()
    if story.command:
        found = list(_command(stage, refusal.plan, story.command))
    else:
        stage.start(refusal.plan, once=False, mischief=story.mischief)
        found = [*_suffer(stage, outcome, refusal.plan), *_recover(stage, outcome, refusal.plan)]
    was_struck, calls = stage.faults.struck > 0, stage.faults.calls()
    if story.command:  # a person gives it again
        stage.run(command=story.command)
    ending = stage.finish()
    if ending.word not in {"done", "quarantined"}:
        found.append(f"ended: {ending.word} {ending.error} {ending.left}")
    found += [*complaints(stage, outcome()), *breaks(stage)]
    told = f"{refusal.plan.action.name} {errno.errorcode[refusal.plan.number]} {refusal.plan.at}"
    return Verdict(refusal.group, was_struck, found, f"{told} ({where(calls, refusal.plan.at, stage)})")


def _command(stage: Stage, plan: Plan, words: Sequence[str]) -> Iterator[str]:
    """Let a command meet the fault: it says that all is done, or what was in the way."""
    ending = stage.run(plan, command=words)
    is_left = any(_pictures(stage))
    if ending.word == "exit 0" and is_left:
        yield "the command says that it is done, and is not"
    if ending.word != "exit 0" and (not ending.word.startswith("exit ") or _SAID[plan.number] not in stage.log()):
        yield f"the command ended: {ending.word} {ending.error} {stage.log()[-200:]}"


def _pictures(stage: Stage) -> Iterator[Path]:
    for path in stage.folder("quarantine").rglob("*.jpg"):
        if ".watchfolder" not in path.parts:
            yield path


def _suffer(stage: Stage, outcome: Outcome, plan: Plan) -> Iterator[str]:
    """Let a lasting fault last until it has been told, and then a while; then lift it."""
    if plan.action is not Action.FAIL_FROM:
        return
    until = time.monotonic() + _TOLD_SECONDS
    while not _is_told(stage, plan.number) and not stage.nursery.is_over() and time.monotonic() < until:
        if not stage.faults.struck and _is_finished(stage, _told_files(outcome())):
            break
        time.sleep(_LOOK_SECONDS)
    time.sleep(_SUFFERING_SECONDS)
    if stage.faults.struck and not _is_told(stage, plan.number) and not stage.nursery.is_over():
        yield f"nothing says: {_SAID[plan.number]}"
    stage.faults.lift()


def _keep_silent(stage: Stage, plan: Plan) -> Iterator[str]:
    """Find an error that passed untold. (One that ended the start is what systemd is told.)"""
    if plan.action is not Action.FAIL_ONCE or not stage.faults.struck or "daemon.started" not in stage.log():
        return
    call = stage.faults.calls()[plan.at - 1]
    is_tidying = call.name in {"unlinkat", "fsync"} and "/.watchfolder/" in call.path
    is_sqlites = "/delivery_index.sqlite" in call.path or call.name == "fdatasync"  # which gets over some by itself
    # a file system without hard links, or one that lets only a file's owner give it a time: it keeps its own
    has_another_way = call.name in {"linkat", "futimens"} and plan.number == errno.EACCES
    until = time.monotonic() + _TOLD_SECONDS
    while not (is_tidying or is_sqlites or has_another_way or _is_told(stage, plan.number)):
        if time.monotonic() > until:
            yield f"nothing says that it was: {_SAID[plan.number]}"
            return
        time.sleep(_LOOK_SECONDS)


def _recover(stage: Stage, outcome: Outcome, plan: Plan) -> Iterator[str]:
    """Wait until everything has been done; the same process must do it, unless it could not even start."""
    until = time.monotonic() + _FINISHED_SECONDS
    while time.monotonic() < until:
        if stage.nursery.is_over():
            ending = stage.wait(1.0)
            if not _could_not_start(stage, ending):
                yield f"the daemon went: {ending.word} {ending.error}"
            return
        if _is_finished(stage, _told_files(outcome())):
            yield from _keep_silent(stage, plan)
            break
        time.sleep(_LOOK_SECONDS)
    else:
        yield f"not finished {_FINISHED_SECONDS:g} s after the fault was over: {_last_words(stage)}"
    stage.nursery.stop()
    ending = stage.wait(_FINISHED_SECONDS)
    if ending.word != "stopped":
        yield f"stopped: {ending.word} {ending.error}"


def _could_not_start(stage: Stage, ending: Ending) -> bool:
    """Without its state directory it has no lock and no journal, so it leaves at once; systemd starts it again."""
    return ending.word == "raised" and ending.error.startswith("FolderFault") and "daemon.started" not in stage.log()


def _is_finished(stage: Stage, files: int) -> bool:
    if not all(map(_is_parked, (stage.root / "state" / "journal").glob("*.json"))):
        return False
    return sum(len(names_in(line)) for line in history(stage)[0]) >= max(1, files)


def _is_parked(entry: Path) -> bool:
    try:
        return bool(json.loads(entry.read_bytes())["state"] == "quarantined")
    except (FileNotFoundError, ValueError):  # it is just being written, or gone
        return False


def _told_files(pictures: Sequence[Picture]) -> int:
    return sum(1 + len(picture.earlier) for picture in pictures if picture.fate is not Fate.STAYS)


def _is_told(stage: Stage, number: int) -> bool:
    """Is there a line for a person that names the fault, and the place of it?"""
    for line in stage.log().splitlines():
        if "delivery_index.broken" in line:  # SQLite knows fewer words, and nothing is held up by it
            return True
        if _SAID[number] not in line and f"({errno.errorcode[number]})" not in line:
            continue
        told = json.loads(line)
        names_it = any(str(place) in line for place in (stage.root, *stage.elsewhere.values()))
        if told["level"] in {"WARNING", "ERROR"} and (names_it or "file" in told["facts"]):
            return True
    return False


def _last_words(stage: Stage) -> str:
    events = [json.loads(line) for line in stage.log().splitlines() if line.startswith("{")]
    return " | ".join(f"{each['event']} {each['facts'].get('reason', '')}" for each in events[-3:])
