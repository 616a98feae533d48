"""What is wrong, in a sentence? Answered here alone, the worst first: for terminal, page, monitor, message and systemd.

Pure functions of the daemon's last snapshot, the configuration, and what else a caller has found.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Final, Self

from watchfolder.command_line import Advised, CommandLine, Control, ToControl
from watchfolder.config import Config
from watchfolder.events import printable
from watchfolder.order import Order
from watchfolder.report.phrases import clock, count_of, ended, files, other_files, size
from watchfolder.services import FLOWS
from watchfolder.snapshot import NO_V3, FileGroup, InboxSnapshot, Snapshot

if TYPE_CHECKING:
    from watchfolder.daemon import Outcome

_NO_TURN_SECONDS = 120.0  # the loop turns every ten seconds; a reload may take twenty
NO_ANSWER: Final = "the service does not answer"
SLOWED: Final = "the service's rate limit sets the pace"
STILL_RUNS: Final = "watchfolder runs on with the configuration before this one; its next start would fail"


class Severity(IntEnum):
    FINE = 0
    NEEDS_PERSON = 1  # though the flow goes on
    ALARM = 2  # a monitor should call somebody


class _Holds(IntEnum):
    """Which files a condition keeps from going on. Each value includes those before it."""

    NONE = 0
    NEW = 1  # that lie in an inbox
    UNPAID = 2  # of an order that has cost nothing yet
    ALL = 3


_UNBLOCKED = "Unblocked: the service takes the work again"
_MENDED = "The configuration is the one that runs"
_CONFIGURED = "No file belongs to an inbox that left the configuration any more"
_MOVING = "Pictures are delivered again, or none waits any more"


class ConditionKind(StrEnum):
    """What can be so, the worst first; the last ones say how it goes while nothing is wrong."""

    severity: Severity
    holds: _Holds
    over: str  # the sentence for its end; {} is its subject

    NOT_RUNNING = "not_running", Severity.ALARM, _Holds.ALL
    STUCK = "stuck", Severity.ALARM, _Holds.ALL
    KEY_REFUSED = "key_refused", Severity.ALARM, _Holds.ALL, _UNBLOCKED
    SERVICE_REFUSES = "service_refuses", Severity.ALARM, _Holds.UNPAID, _UNBLOCKED
    SERVICE_FAILS_ALL = "service_fails_all", Severity.ALARM, _Holds.UNPAID, _UNBLOCKED
    FOLDER_AWAY = "folder_away", Severity.ALARM, _Holds.ALL, "{} is back: it goes on"
    OUT_OF_REACH = "out_of_reach", Severity.ALARM, _Holds.NONE, "{}: all pictures can be taken again"
    HELD = "held", Severity.NEEDS_PERSON, _Holds.NEW, "{}: nothing is held any more"
    NO_ANSWER = "no_answer", Severity.ALARM, _Holds.ALL
    STARTING = "starting"
    CONFIGURATION_REFUSED = "configuration_refused", Severity.ALARM, _Holds.NONE, _MENDED
    NOT_CONFIGURED = "not_configured", Severity.NEEDS_PERSON, _Holds.NONE, _CONFIGURED
    STALLED = "stalled", Severity.NEEDS_PERSON, _Holds.NONE, _MOVING
    DISK_LOW = "disk_low", Severity.NEEDS_PERSON, _Holds.NONE, "The disk of {} has room again"
    QUARANTINED = "quarantined", Severity.NEEDS_PERSON
    WORKING = "working"
    IDLE = "idle"

    def __new__(
        cls, name: str, severity: Severity = Severity.FINE, holds: _Holds = _Holds.NONE, over: str = ""
    ) -> Self:
        kind = str.__new__(cls, name)
        kind._value_, kind.severity, kind.holds, kind.over = name, severity, holds, over
        return kind


@dataclass(frozen=True)
class Condition:
    """One thing that is so. `subject` is the inbox or the folder that it is about, "" if it is about none.

    Conditions of one kind are told in one sentence: their `lead`, the `words` of each, and each advice once.
    `command` is what the advice says to type, as it stands.
    """

    kind: ConditionKind
    words: str
    advice: str = ""
    command: str = ""
    subject: str = ""
    lead: str = ""


def conditions(
    snapshot: Snapshot | None,
    config: Config,
    *,
    is_running: bool = True,
    silent_seconds: float = 0.0,
    quarantined: int = 0,
    can_retry: bool = False,
    stalled_hours: float | None = None,
) -> list[Condition]:
    """Return what is so, the worst first; never an empty list.

    `silent_seconds` is for how long the daemon's main loop has not turned, `quarantined` how many files are in
    quarantine, `can_retry` whether trying again may help any of them, `stalled_hours` for how long nothing has been
    delivered though there is work.
    """
    found = [*_of_daemon(snapshot, config, silent_seconds, is_running=is_running)]
    if snapshot is not None:
        found += _of_service(snapshot, config)
        found += _of_inboxes(snapshot, config)
        found += _of_configuration(snapshot, config)
        found += _of_disks(snapshot)
        if stalled_hours is not None:
            found.append(_stalled(snapshot, config, stalled_hours, found))
    found += [_quarantined(quarantined, config, can_retry=can_retry)] if quarantined else []
    if snapshot is not None and not found:
        found = [_of_flow(snapshot, config)]
    worst_first = [*ConditionKind]
    return sorted(found, key=lambda condition: worst_first.index(condition.kind))


def headline(found: Iterable[Condition]) -> str:
    """Say the worst, and what to do."""
    return say_all(found, Severity.FINE)[0]


def say_all(found: Iterable[Condition], least: Severity) -> list[str]:
    """Say all that is at least so severe, a sentence for each kind, the worst first."""
    severe = [each for each in found if each.kind.severity >= least]
    return [told(each for each in severe if each.kind is kind) for kind in dict.fromkeys(each.kind for each in severe)]


def held_by(found: Iterable[Condition], inbox: str, order: Order | None = None) -> list[str]:
    """Say what keeps the files of an inbox from going on: those that lie there, or those of an order."""
    least = _Holds.NEW if order is None else _Holds.ALL if order.charged else _Holds.UNPAID
    return [told([each]) for each in found if each.kind.holds >= least and each.subject in {"", inbox}]


def alarms(snapshot: Snapshot | None, config: Config, silent_seconds: float) -> list[Condition]:
    """Return why a monitor should call somebody, if it should; also that nothing is known before the first snapshot."""
    found = conditions(snapshot, config, silent_seconds=silent_seconds)
    return [each for each in found if snapshot is None or each.kind.severity is Severity.ALARM]


def line(snapshot: Snapshot, config: Config) -> str:
    """Say all in one line, for systemd: the worst that is wrong, and the counts."""
    counts = f"{snapshot.waiting} waiting, {snapshot.in_progress} in progress, {snapshot.deferred} deferred; "
    counts += f"since the start {snapshot.delivered} delivered, {snapshot.quarantined} quarantined"
    return "; ".join([*say_all(conditions(snapshot, config), Severity.NEEDS_PERSON)[:1], counts])


def told(same: Iterable[Condition]) -> str:
    """Say conditions of one kind in one sentence, and what to do."""
    each = list(same)
    words = each[0].lead + "; ".join(one.words for one in each)
    return printable(_in_a_row([words, *dict.fromkeys(one.advice for one in each if one.advice)]))


def _in_a_row(sentences: Sequence[str]) -> str:
    return " ".join([*map(ended, sentences[:-1]), sentences[-1]])


def left(outcome: "Outcome") -> list[str]:
    """Say what a single run leaves behind: what holds it up, and what each file waits for."""
    found = conditions(outcome.snapshot, outcome.config)
    lines = [printable(each.lead + each.words) for each in found if each.kind.holds]
    for inbox, waiting in outcome.waiting.items():
        lines += [f"{inbox}: {printable(name)}: {printable(why)}" for name, why in waiting.items()]
    return lines + [line for order in outcome.orders for line in _left_of(order)]


def _left_of(order: Order) -> Iterator[str]:
    until = f", next try {clock(order.not_before.at)}" if order.not_before else ""
    missing = " and ".join(each.kind for each in order.enclosures)
    why = order.last_error or (f"still without its {missing}" if missing else f"it is {order.state}")
    for file in [each for each in order.files if each.is_under_way] or order.files:
        yield f"{order.inbox}: {printable(file.name)}: {printable(why)}{until}"


def beside_counts(single: int | None, to_come_beside: int, raw: int | None) -> list[str]:
    """Say of an inbox's files what its main counts do not show; None is a count that is not known."""
    texts = (
        (single, "{} waiting for what belongs to {}"),
        (to_come_beside, "{} delivered, with something still to come beside {}"),
        (raw, "camera RAW: {} left beside the pictures (raw: leave)"),
    )
    return [words.format(files(number), "it" if number == 1 else "them") for number, words in texts if number]


def say_quarantined(count: int, some: Sequence[FileGroup], config: Config) -> str:
    """Say how many, for each reason, and where they lie."""
    inboxes = config.inboxes
    folders = {printable(inboxes[each.inbox].quarantine): None for each in some if each.inbox in inboxes}
    where = f"They lie in {', '.join(folders)}, each beside" if folders else "Each lies beside"
    again = f"; then: {config.commands.to(Advised.RETRY_ALL)}" if any(each.retry_helps for each in some) else ""
    return f"{files(count)} went to quarantine:{_listed(count, some)}\n{where} a note that says what to do{again}"


def say_found(count: int, some: Sequence[FileGroup], config: Config) -> str:
    """Say how many, for each verdict, and how much that is worth."""
    inboxes = config.inboxes
    flows = (FLOWS[inboxes[each.inbox].service] for each in some if each.inbox in inboxes)
    cautions = dict.fromkeys(flow.findings.caution for flow in flows if flow.findings is not None)
    worth = "".join(f"\n{caution.removesuffix('.')}" for caution in cautions)
    return f"{files(count)} came out with a verdict that you want to be told of:{_listed(count, some)}{worth}"


def _listed(count: int, some: Sequence[FileGroup]) -> str:
    lines = [
        f"{each.inbox}: {each.name}{other_files(each.files - 1)}: {each.reason.removesuffix('.')}"
        for each in reversed(some)
    ]
    if rest := count - sum(each.files for each in some):
        lines.append(f"and {rest} more")
    return "".join(f"\n  {line}" for line in lines)


def not_running(state_dir: str) -> str:
    return f"watchfolder is not running with {state_dir}"


def no_webhook(commands: CommandLine) -> str:
    register = commands.to(Advised.REGISTER)
    return f"pushes are off until {register} has been run; until then the service is asked by time"


def control(verb: Control, snapshot: Snapshot | None, config: Config, *, is_stuck: bool = False) -> ToControl:
    """Return how to control the daemon: one that runs says how it was started."""
    unit, process = (snapshot.unit, snapshot.pid) if snapshot is not None else (config.commands.unit, None)
    return config.commands.control(verb, unit=unit, process=process, is_stuck=is_stuck)


def put_back(snapshot: Snapshot | None, config: Config, *, is_running: bool = True) -> ToControl:
    """Say what lets files go on whose inbox left the configuration."""
    then = control(Control.RELOAD if is_running else Control.START, snapshot, config)
    words = f"Put these inboxes back into the configuration to go on, then {then.words}"
    return ToControl(then.command, words)


def has_work(snapshot: Snapshot) -> bool | None:
    """Do files wait or move? None while not every inbox can be looked into."""
    if snapshot.in_progress or snapshot.deferred or snapshot.waiting:
        return True
    return None if not all(inbox.is_open for inbox in snapshot.inboxes.values()) else False


def fault_of(inbox: InboxSnapshot) -> str:
    """Say why an inbox is not available; "" while it is."""
    if inbox.fault_code != NO_V3:
        return inbox.fault
    return f"the service has no v3 reads, without which there is no {inbox.service}"


# --- the conditions, by what they are about


def _of_daemon(
    snapshot: Snapshot | None, config: Config, silent_seconds: float, *, is_running: bool
) -> Iterator[Condition]:
    if not is_running:
        start = control(Control.START, None, config)
        words = not_running(config.state_dir)
        yield Condition(ConditionKind.NOT_RUNNING, words, f"Start it: {start.words}", start.command)
        return
    stuck = "work stands still although its folders answer" if snapshot is not None and snapshot.is_stuck else ""
    if silent_seconds > _NO_TURN_SECONDS:
        stuck = f"the main loop has not turned for more than {_NO_TURN_SECONDS:.0f} s"
    if stuck:
        restart = control(Control.RESTART, snapshot, config, is_stuck=True)
        yield Condition(ConditionKind.STUCK, f"Stuck: {stuck}", f"Restart it: {restart.words}", restart.command)
    if snapshot is None:
        yield Condition(ConditionKind.STARTING, "Starting: what was begun before is being read")
    elif any(not each.is_open and not each.is_at_fault for each in snapshot.inboxes.values()):
        yield Condition(ConditionKind.STARTING, "Starting: the first look into the folders is under way")


def _of_service(snapshot: Snapshot, config: Config) -> Iterator[Condition]:
    if snapshot.blocked:
        yield _of_refusal(snapshot, config)
    elif snapshot.is_down:
        words = NO_ANSWER.capitalize()
        yield Condition(
            ConditionKind.NO_ANSWER, words, "Nothing is lost, it goes on by itself; is this machine's network up?"
        )


def _of_refusal(snapshot: Snapshot, config: Config) -> Condition:
    words = f"Blocked: {snapshot.blocked}"
    if snapshot.is_key_refused:
        then = _another_key(snapshot, config)
        return Condition(ConditionKind.KEY_REFUSED, words, f"Nothing is lost. {then.words}", then.command)
    reload = control(Control.RELOAD, snapshot, config)
    wait = f"{config.api.blocked_probe_seconds:g} s, or at once after {reload.words}"
    advice = f"Nothing is lost. When that is mended it goes on within {wait}"
    kind = ConditionKind.SERVICE_FAILS_ALL if snapshot.is_failing_all else ConditionKind.SERVICE_REFUSES
    return Condition(kind, words, advice, reload.command)


def _another_key(snapshot: Snapshot, config: Config) -> ToControl:
    """Say where to write the key, and what makes the daemon read it: what it was given at its start needs a restart."""
    if snapshot.key_origin == "environment":
        return config.commands.set_again("BIZMORI_API_KEY", unit=snapshot.unit, process=snapshot.pid)
    then = control(Control.RELOAD if snapshot.key_origin == "file" else Control.RESTART, snapshot, config)
    return ToControl(then.command, f"Write the right key into {config.api.key_file}, then {then.words}")


_BACK: Final = {
    "ENOSPC": "there is room",
    "EDQUOT": "there is room",
    "NOT_MOUNTED": "it is mounted",
    "EACCES": "we may",
    "EPERM": "we may",
    "EROFS": "we may",
    NO_V3: "it has them",
}


def _of_inboxes(snapshot: Snapshot, config: Config) -> Iterator[Condition]:
    for name, inbox in snapshot.inboxes.items():
        if inbox.is_at_fault:
            yield _of_fault(name, inbox, config)
        if inbox.closed:
            yield _out_of_reach(name, inbox, config)
        if inbox.is_held:
            command = config.commands.to(Advised.RELEASE, name)
            words = f"{name}: held: {inbox.held}"
            yield Condition(ConditionKind.HELD, words, "What is under way goes on", command, subject=name)


def _of_fault(name: str, inbox: InboxSnapshot, config: Config) -> Condition:
    advice, command = f"It goes on by itself when {_BACK.get(inbox.fault_code, 'the folders are back')}", ""
    if inbox.fault_code == "EROFS":  # by its mount, or by a unit without it in ReadWritePaths
        command = config.commands.to(Advised.CHECK)
        advice += f"; {command} says what is in the way"
    words = f"{name} ({fault_of(inbox)})"
    return Condition(ConditionKind.FOLDER_AWAY, words, advice, command, name, lead="Not available: ")


def _out_of_reach(name: str, inbox: InboxSnapshot, config: Config) -> Condition:
    where = "; ".join(f"{each.folder}: {each.reason}" for each in inbox.closed)
    what = files(inbox.out_of_reach) if inbox.out_of_reach else "what is in a folder"
    words = f"{name}: {what} cannot be taken ({where})"
    command = " && ".join(dict.fromkeys(each.command for each in inbox.closed if each.command))
    if not command:
        return Condition(ConditionKind.OUT_OF_REACH, words, "Copy them there again", subject=name)
    command = config.commands.as_root(command)
    advice = f"To let them be taken within a minute, type as root: {command}"
    return Condition(ConditionKind.OUT_OF_REACH, words, advice, command, subject=name)


def _of_configuration(snapshot: Snapshot, config: Config) -> Iterator[Condition]:
    if snapshot.refused:
        reload = control(Control.RELOAD, snapshot, config)
        words = (
            f"The configuration is wrong, so the one before it still runs, until the next restart: {snapshot.refused}"
        )
        yield Condition(ConditionKind.CONFIGURATION_REFUSED, words, f"Mend it, then {reload.words}", reload.command)
    if snapshot.not_configured:
        belonging = files(sum(snapshot.not_configured.values()), verb="belong")
        names = ", ".join(sorted(snapshot.not_configured))
        words = f"{belonging} to inboxes that left the configuration ({names})"
        back = put_back(snapshot, config)
        yield Condition(ConditionKind.NOT_CONFIGURED, words, back.words, back.command)


def _of_disks(snapshot: Snapshot) -> Iterator[Condition]:
    """Yield one for each file system that is nearly full, named by the first of its folders."""
    firsts = {disk.device: folder for folder, disk in sorted(snapshot.disks.items(), reverse=True)}
    for folder in sorted(firsts.values()):
        disk = snapshot.disks[folder]
        if disk.is_low:
            words = f"The disk of {folder} is nearly full: {size(disk.told_bytes)} are free"
            yield Condition(ConditionKind.DISK_LOW, words, "Make room there, before it stops", subject=folder)


def _stalled(snapshot: Snapshot, config: Config, hours: float, found: Iterable[Condition]) -> Condition:
    """Say for how long nothing was delivered, and which of the conditions found is the cause."""
    words = f"Nothing was delivered for {count_of(int(hours), 'hour')}" if hours >= 1 else "Nothing is delivered"
    under_way = files(snapshot.in_progress + snapshot.deferred)
    words += f", though there is work: {files(snapshot.waiting)} in the inboxes, {under_way} under way"
    causes = say_all([each for each in found if each.kind.holds], Severity.FINE)
    explain = config.commands.to(Advised.EXPLAIN, "PATH")
    ask = f"{config.commands.to(Advised.STATUS)} and, of one file, {explain} say what they wait for"
    return Condition(ConditionKind.STALLED, words, _in_a_row(causes or [ask]))


def _quarantined(number: int, config: Config, *, can_retry: bool) -> Condition:
    words = f"{files(number, verb='need')} you: in quarantine, each with its note"
    if not can_retry:
        return Condition(ConditionKind.QUARANTINED, words, "Do what it says")
    command = config.commands.to(Advised.RETRY_ALL)
    return Condition(ConditionKind.QUARANTINED, words, f"Do what it says, then: {command}", command)


def _of_flow(snapshot: Snapshot, config: Config) -> Condition:
    """Say how it goes while nothing is wrong."""
    waiting = snapshot.waiting
    moving = snapshot.in_progress + snapshot.deferred
    if not waiting and not moving:
        if snapshot.to_come_beside:
            words = f"All is delivered; something is still to come beside {files(snapshot.to_come_beside)}"
            return Condition(ConditionKind.WORKING, words)
        return Condition(ConditionKind.IDLE, "All done, nothing waits")
    words = f"Working: {files(moving)} under way" if moving else f"Waiting: {files(waiting)} in the inboxes"
    words += f", {waiting} waiting" if moving and waiting else ""
    if not snapshot.is_slowed:
        return Condition(ConditionKind.WORKING, words + _PACES.get(snapshot.limit, ""))
    reload = control(Control.RELOAD, snapshot, config)
    advice = f"Set api.requests_per_minute to what your plan leaves for watchfolder, then {reload.words}"
    words += ", at the pace of your plan's rate limit"
    return Condition(ConditionKind.WORKING, words, advice, reload.command)


_PACES: Final = {
    "service": ", as fast as the service works",
    "plan": ", at the pace of your plan's requests a minute (api.requests_per_minute)",
    "line": ", as fast as this machine's network line carries them",
}
