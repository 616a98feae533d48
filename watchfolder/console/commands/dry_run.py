"""What would a run do and cost? Found out without changing a file or asking the service."""

import math
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from watchfolder import disk, quota
from watchfolder.clock import Clock
from watchfolder.config import Config, Inbox
from watchfolder.disk import Entry, Place
from watchfolder.errors import FolderFault
from watchfolder.events import printable
from watchfolder.folders import Folders, read_token
from watchfolder.intake import Beside, Ready
from watchfolder.intake.decide import Action, Decision, Sighting, decide
from watchfolder.journal import read_orders
from watchfolder.names import Ignored
from watchfolder.order import State
from watchfolder.pipeline.successors import paid_again
from watchfolder.report.lock_holder import is_held
from watchfolder.report.phrases import count_of, files
from watchfolder.services import flow_of

_MOST_NAMED = 20


@dataclass
class InboxPlan:
    """What one inbox holds. Counts are files, `size` is in bytes, names are escaped."""

    inbox: Inbox
    reads: str
    fault: str = ""
    held: str = ""
    answers: Counter[Action] = field(default_factory=Counter)
    size: int = 0
    sent: int = 0  # of those that could be taken, as many as nothing holds
    released: int = 0  # how many more `watchfolder release` would let go
    free: int = 0  # of those that could be taken: originals, which are sent beside what is bought
    taken: int = 0  # a list of addresses is one
    names: list[str] = field(default_factory=list)  # of those that would be sent, the first few
    before: list["InboxPlan"] = field(default_factory=list)  # of the inboxes whose outbox this one watches

    def add(self, entry: Entry, decision: Decision) -> None:
        """Count a file, or what a list of addresses holds."""
        self.answers[decision.answer] += 1 if decision.listed is None else decision.listed
        if decision.answer is Action.TAKE:
            self.free += flow_of(self.inbox).is_original(entry.name)
            self.size += entry.size
            self.taken += 1
            addresses = "" if decision.listed is None else f" (addresses: {decision.listed})"
            self.names += [printable(entry.name) + addresses] if self.taken <= _MOST_NAMED else []

    @property
    def in_one_order(self) -> int:
        flow = flow_of(self.inbox)
        is_alone = self.reads == "v2" or flow.pairs
        return 1 if is_alone else min(self.inbox.max_files_per_order, flow.files_limit)

    def orders(self, sent: int, free: int) -> int:
        return math.ceil(max(0, sent - free) / self.in_one_order)

    def paid(self, *, with_held: bool) -> "_Cost":
        """Return what is paid for its own files, at most."""
        return self._paid_for(self.sent + (self.released if with_held else 0), self.free)

    def passed_on(self, *, with_held: bool) -> "_Cost":
        """Return the cost, at most, of what the inboxes before it deliver here: not all of that need be taken."""
        came = 0
        for each in self.before:
            going = each.sent + (each.released if with_held else 0) - each.free
            came += (max(0, going) + each.passed_on(with_held=with_held).sent) * each.inbox.copies
        return self._paid_for(came, 0)

    @property
    def again(self) -> int:
        """How many files one bad picture among the others would have bought once more, and paid."""
        together = min(self.sent or self.released, self.in_one_order)
        is_free = not together or flow_of(self.inbox).refunds_failed
        return 0 if is_free else paid_again(together, self.inbox.on_failure)

    def _paid_for(self, sent: int, free: int) -> "_Cost":
        """Return what so many files cost, some of them `free`. Uploads and downloads are no requests of the plan."""
        flow, orders = flow_of(self.inbox), self.orders(sent, free)
        each = self.inbox.copies + flow.report_credits_of(self.inbox)
        return _Cost(sent, max(0, sent - free) * each, orders * flow.requests_of(self.inbox))


@dataclass(frozen=True)
class _Cost:
    """What so many files cost: credits, at most, and requests."""

    sent: int = 0
    credits: int = 0
    requests: int = 0

    def __add__(self, other: "_Cost") -> "_Cost":
        return _Cost(self.sent + other.sent, self.credits + other.credits, self.requests + other.requests)

    def words(self, config: Config) -> str:
        paid = f"up to {count_of(self.credits, 'credit')}" if config.api.mode == "live" else "no credits (test key)"
        rate, pace = config.api.requests_per_minute, ""
        if rate:
            pace = f", {_in_words(self.requests / rate)} by your plan ({count_of(rate, 'request')} a minute)"
        return f"{files(self.sent)}, {paid}, about {count_of(self.requests, 'request')}{pace}"


def tell(config: Config) -> Iterator[str]:
    plans = _plan_all(config)
    is_counted = is_held(Place(config.state_dir, "lock"))  # by a daemon that runs, as they came
    new = {name: 0 if is_counted else plan.answers.total() for name, plan in plans.items()}
    wanted = {name: 0 if plan.fault else plan.answers[Action.TAKE] for name, plan in plans.items()}
    for name, told in quota.Quota(config, Clock()).dry_run(new, wanted).items():
        plan = plans[name]
        plan.held, plan.sent, plan.released = told
        plan.before = [each for each in plans.values() if each.inbox.outbox == plan.inbox.path]
    for plan in plans.values():
        yield from _of_inbox(plan, config)
    yield from _of_all(list(plans.values()), config)
    yield "This was a rehearsal: nothing was sent, moved or paid."


def _plan_all(config: Config) -> dict[str, InboxPlan]:
    """Look into the inboxes side by side; one that cannot be looked into says so, and costs nothing."""
    asked = {name: disk.Question(partial(_plan, inbox, config), inbox.path) for name, inbox in config.inboxes.items()}
    plans = {}
    for name, question in asked.items():
        try:
            plans[name] = question.answer()
        except FolderFault as fault:
            plans[name] = InboxPlan(config.inboxes[name], config.api.reads, fault.reason)
    return plans


def _plan(inbox: Inbox, config: Config) -> InboxPlan:
    plan, state_dir = InboxPlan(inbox, config.api.reads), config.state_dir
    if read_token(inbox.path) is None and os.path.exists(os.path.join(state_dir, "folders.json")):
        plan.fault = f"{inbox.path}: not a folder we know (yet): is the share mounted?"
        Folders(state_dir, "", config.commands).require_mount(inbox.path)
    claiming = (each for each in read_orders(state_dir) if (each.inbox, each.state) == (inbox.name, State.CLAIMING))
    _count_files(plan, config, being_taken={file.name for order in claiming for file in order.files})
    return plan


def _count_files(plan: InboxPlan, config: Config, being_taken: set[str]) -> None:
    inbox = plan.inbox
    ignored, beside, now = Ignored(inbox.ignore), Beside(inbox, config.inboxes.get), time.monotonic()
    found = disk.scan(inbox.path, skip_folder=lambda base: ignored.folder(base) is not None, recursive=inbox.recursive)
    for entry in found:
        if ignored.file(os.path.basename(entry.name)) or not entry.is_regular or entry.name in being_taken:
            continue
        since = now - inbox.settle_seconds  # by the time of a run it is quiet
        sighting = Sighting(entry.size, entry.mtime_ns, first_seen=since, since=since)
        decision = decide(inbox, entry.name, sighting, now)
        if decision.answer is Action.TAKE:
            ready = Ready(entry.name, entry.size, entry.mtime_ns, decision.format)
            decision = beside.meet(ready, now, time.time() + inbox.settle_seconds) or decision
        plan.add(entry, decision)


def _of_inbox(plan: InboxPlan, config: Config) -> Iterator[str]:
    answers, inbox = plan.answers, plan.inbox
    some = "" if plan.sent == answers[Action.TAKE] else f"{plan.sent} of "
    copies = f"{inbox.copies} copies of each, " if inbox.copies > 1 else ""
    yield (
        f"{inbox.name}: {some}{files(answers[Action.TAKE])} would be sent ({plan.size / 1e6:.1f} MB, {copies}"
        f"orders: {plan.orders(plan.sent, plan.free)}), "
        f"{answers[Action.REFUSE]} quarantined; {answers[Action.WAIT]} waiting (not complete, still being written or "
        f"without what belongs to it), {answers[Action.STAY]} left alone."
    )
    if plan.fault:
        yield f"  But: {printable(plan.fault)}"
    if plan.held:
        let_go = f"; that lets {files(plan.released)} go" if plan.released else ""
        yield f"  But held: {plan.held}{let_go}"
    yield from (f"  {name}" for name in plan.names)
    if plan.taken > len(plan.names):
        yield f"  and {plan.taken - len(plan.names)} more"
    yield from _credits_of_inbox(plan, config)


def _credits_of_inbox(plan: InboxPlan, config: Config) -> Iterator[str]:
    if plan.sent:
        yield f"  Cost: {plan.paid(with_held=False).words(config)}."
    if plan.again and config.api.mode == "live":
        how = f"(on_failure: {plan.inbox.on_failure})"
        yield f"  An order with a bad picture in it: up to {count_of(plan.again, 'credit')} more {how}."
    passed_on = plan.passed_on(with_held=False)
    if passed_on.sent:
        names = " and ".join(each.inbox.name for each in plan.before)
        yield f"  And what comes here from {names}: {passed_on.words(config)}."


def _under_way(config: Config) -> _Cost:
    cost = _Cost()
    for order in read_orders(config.state_dir):
        if order.is_to_be_paid and order.why is None:
            bought = sum(not result.is_delivered for file in order.pictures for result in file.results)
            cost += _Cost(sum(file.is_under_way for file in order.files), bought, flow_of(order).requests)
    return cost


def _of_all(plans: list[InboxPlan], config: Config) -> Iterator[str]:
    taken = _under_way(config)
    if taken.sent:
        yield f"Already taken and not yet paid: {files(taken.sent)}."
    without, with_it = (
        sum((plan.paid(with_held=held) + plan.passed_on(with_held=held) for plan in plans), taken)
        for held in (False, True)
    )
    yield f"All together: {without.words(config)}."
    if any(plan.released for plan in plans):
        yield f"With what is held let go: {with_it.words(config)}."


def _in_words(minutes: float) -> str:
    """Say a time in the largest unit of which it has some: the number of requests is no more exact than that."""
    for unit, length in (("day", 1440), ("hour", 60)):
        if minutes >= 2 * length:
            return f"about {minutes / length:.1f} {unit}s"
    return f"about {count_of(max(1, math.ceil(minutes)), 'minute')}"
