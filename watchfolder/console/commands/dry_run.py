"""What would a run do and cost? Looked up without touching a file or asking the service."""

import math
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from watchfolder import disk, quota
from watchfolder.clock import Clock
from watchfolder.config import Config, Inbox
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.events import printable
from watchfolder.folders import Folders, read_token
from watchfolder.intake import Beside, Ready
from watchfolder.intake.decide import Action, Sighting, decide
from watchfolder.journal import read_orders
from watchfolder.names import Ignored
from watchfolder.order import Order, State
from watchfolder.pipeline.successors import bought_again
from watchfolder.report.lock_holder import is_locked
from watchfolder.report.phrases import files, in_credits
from watchfolder.services import flow_of

_MOST_NAMED = 20


@dataclass
class InboxPlan:
    """What one inbox holds. Files, bytes, and names that are escaped."""

    name: str
    fault: str = ""
    held: str = ""
    answers: Counter[Action] = field(default_factory=Counter)
    size: int = 0
    sent: int = 0  # of those that could be taken, as many as nothing holds
    orders: int = 0
    requests: int = 0  # uploads and downloads go elsewhere and count not
    released: int = 0  # how many more `watchfolder release` would let go
    copies: int = 1  # of each file, which cost as many credits
    reports: int = 0  # on each file: credits, at most
    free: int = 0  # of those that could be taken: originals, which are sent beside what is bought
    again: int = 0  # of them, that one bad picture among the others would have bought once more
    names: list[str] = field(default_factory=list)  # of those that would be sent, the first few

    def bought(self, sent: int) -> int:
        """Return how many results are bought for so many of its files."""
        return max(0, sent - self.free) * self.copies

    def credits(self, sent: int) -> int:
        """Return how many credits so many of its files cost, at most."""
        return max(0, sent - self.free) * (self.copies + self.reports)


def rehearse(config: Config) -> Iterator[InboxPlan]:
    """Give a plan for each inbox. Raises FolderFault for a state directory that we may not read."""
    plans = {name: _plan(name, inbox, config) for name, inbox in config.inboxes.items()}
    is_met = is_locked(Place(config.state_dir, "lock"))  # a daemon that runs has counted them as they came
    new = {name: 0 if is_met else plan.answers.total() for name, plan in plans.items()}
    wanted = {name: 0 if plan.fault else plan.answers[Action.TAKE] for name, plan in plans.items()}
    told = quota.Quota(config, Clock()).foretell(new, wanted)
    for name, plan in plans.items():
        plan.held, plan.sent, plan.released = told[name]
        inbox = config.inboxes[name]
        most = min(inbox.max_files_per_order, flow_of(inbox).most_files)
        per_order = 1 if config.api.reads == "v2" or flow_of(inbox).pairs else most  # pictures
        going = plan.sent or plan.released
        plan.orders = plan.bought(going) if flow_of(inbox).pairs else math.ceil(going / per_order)
        plan.reports = flow_of(inbox).report_credits_of(inbox)
        plan.requests = plan.orders * flow_of(inbox).requests_of(inbox)
        plan.again = plan.copies * bought_again(min(going, per_order), inbox.on_failure) if going else 0
        yield plan


def _plan(name: str, inbox: Inbox, config: Config) -> InboxPlan:
    plan, state_dir = InboxPlan(name, copies=inbox.copies), config.state_dir
    try:
        if read_token(inbox.path) is None and os.path.exists(os.path.join(state_dir, "folders.json")):
            plan.fault = f"{inbox.path}: not a folder we know (yet): is the share mounted?"
            Folders(state_dir, "", config.commands).require_mounted(inbox.path)
        _look_through(plan, Beside(inbox, config.inboxes.get), inbox, _being_taken(name, state_dir))
    except FolderFault as fault:
        plan.fault = fault.reason
    return plan


def _being_taken(name: str, state_dir: str) -> set[str]:
    """Return the files that a running daemon is just taking: they are its orders' already."""
    claiming = (order for order in _orders(state_dir) if order.inbox == name and order.state is State.CLAIMING)
    return {file.name for order in claiming for file in order.files}


def _orders(state_dir: str) -> Iterator[Order]:
    return read_orders(state_dir)


def _look_through(plan: InboxPlan, beside: Beside, inbox: Inbox, being_taken: set[str]) -> None:
    ignored, now = Ignored(inbox.ignore), time.monotonic()
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
        plan.answers[decision.answer] += 1 if decision.listed is None else decision.listed
        if decision.answer is Action.TAKE:
            plan.free += flow_of(inbox).is_original(entry.name)
            plan.size += entry.size
            plan.names += [printable(entry.name)] if len(plan.names) < _MOST_NAMED else []


def lines(plans: list[InboxPlan], config: Config) -> Iterator[str]:
    """Give the plans for a person, and what they come to."""
    for plan in plans:
        yield from _of_inbox(plan)
        yield from _costs_of_inbox(plan, config)
    whole = _already_taken(config)
    if whole.sent:
        yield f"Already taken and not yet paid: {files(whole.sent)}."
    for plan in plans:
        if plan.sent:
            whole.add(plan.sent, plan.credits(plan.sent), plan.requests)
    yield f"All together: {whole.said(config)}."
    if any(plan.released for plan in plans):
        for plan in plans:
            whole.add(plan.released, plan.credits(plan.released), 0 if plan.sent else plan.requests)
        yield f"With what is held let go: {whole.said(config)}."
    yield "This was a rehearsal: nothing was sent, moved or paid."


@dataclass
class _Cost:
    """What so many files cost: credits, at most, and requests."""

    sent: int = 0
    bought: int = 0
    requests: int = 0

    def add(self, sent: int, bought: int, requests: int) -> None:
        self.sent += sent
        self.bought += bought
        self.requests += requests

    def said(self, config: Config) -> str:
        paid = f"up to {in_credits(self.bought)}" if config.api.mode == "live" else "no credits (test key)"
        return f"{files(self.sent)}, {paid}, about {self.requests} requests{_duration(self.requests, config)}"


def _already_taken(config: Config) -> _Cost:
    cost = _Cost()
    for order in _orders(config.state_dir):
        if order.is_to_be_paid and order.why is None:
            bought = sum(not result.is_delivered for file in order.pictures for result in file.results)
            cost.add(sum(file.is_under_way for file in order.files), bought, flow_of(order).requests)
    return cost


def _costs_of_inbox(plan: InboxPlan, config: Config) -> Iterator[str]:
    if plan.sent:
        cost = _Cost(plan.sent, plan.credits(plan.sent), plan.requests)
        yield f"  Cost: {cost.said(config)}."
    if plan.again and config.api.mode == "live":
        how = config.inboxes[plan.name].on_failure
        yield f"  An order with a bad picture in it: up to {in_credits(plan.again)} more (on_failure: {how})."


def _of_inbox(plan: InboxPlan) -> Iterator[str]:
    answers = plan.answers
    some = "" if plan.sent == answers[Action.TAKE] else f"{plan.sent} of "
    yield (
        f"{plan.name}: {some}{files(answers[Action.TAKE])} would be sent ({plan.size / 1e6:.1f} MB, {_copies(plan)}"
        f"orders: {plan.orders if plan.sent else 0}), "
        f"{answers[Action.REFUSE]} quarantined; {answers[Action.WAIT]} waiting (not complete, still being written or "
        f"without what belongs to it), {answers[Action.STAY]} left alone."
    )
    if plan.fault:
        yield f"  But: {printable(plan.fault)}"
    if plan.held:
        let_go = f"; that lets {files(plan.released)} go" if plan.released else ""
        yield f"  But held: {plan.held}{let_go}"
    yield from (f"  {name}" for name in plan.names)
    if answers[Action.TAKE] > len(plan.names):
        yield f"  and {answers[Action.TAKE] - len(plan.names)} more"


def _copies(plan: InboxPlan) -> str:
    return f"{plan.copies} copies of each, " if plan.copies > 1 else ""


def _duration(requests: int, config: Config) -> str:
    rate = config.api.requests_per_minute
    if not rate:
        return ""
    return f", {_time(requests / rate)} by your plan ({rate} requests a minute)"


def _time(minutes: float) -> str:
    """Say a time in the largest unit of which it has some: the number of requests is no more exact than that."""
    for unit, length in (("day", 1440), ("hour", 60)):
        if minutes >= 2 * length:
            return f"about {minutes / length:.1f} {unit}s"
    whole = max(1, math.ceil(minutes))
    return f"about {whole} minute{'s' * (whole != 1)}"
