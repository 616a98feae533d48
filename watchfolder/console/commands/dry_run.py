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
from watchfolder.errors import FolderFault
from watchfolder.events import printable
from watchfolder.folders import read_token
from watchfolder.intake.look import Action, decide
from watchfolder.intake.settle import Sighting
from watchfolder.journal import read_orders
from watchfolder.names import Ignored
from watchfolder.pipeline.successors import bought_again
from watchfolder.report.phrases import files, in_credits

_REQUESTS_PER_ORDER = 5  # create, confirm, two looks, the links; uploads and downloads go elsewhere and count not
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
    again: int = 0  # files that one bad picture among the others would have bought once more
    names: list[str] = field(default_factory=list)  # of those that would be sent, the first few


def rehearse(config: Config) -> Iterator[InboxPlan]:
    """Give a plan for each inbox. Raises FolderFault for a state directory that we may not read."""
    plans = {name: _plan(name, inbox, config.state_dir) for name, inbox in config.inboxes.items()}
    new = {name: plan.answers.total() for name, plan in plans.items()}
    wanted = {name: 0 if plan.fault else plan.answers[Action.TAKE] for name, plan in plans.items()}
    told = quota.Quota(config, Clock()).foretell(new, wanted)
    for name, plan in plans.items():
        plan.held, plan.sent = told[name]
        inbox = config.inboxes[name]
        per_order = 1 if config.api.reads == "v2" else inbox.max_files_per_order
        plan.orders = math.ceil(plan.sent / per_order)
        plan.again = bought_again(min(plan.sent, per_order), inbox.on_failure) if plan.sent else 0
        yield plan


def _plan(name: str, inbox: Inbox, state_dir: str) -> InboxPlan:
    plan = InboxPlan(name)
    try:
        if read_token(inbox.path) is None and os.path.exists(os.path.join(state_dir, "folders.json")):
            plan.fault = f"{inbox.path}: not a folder we know (yet): is the share mounted?"
        _look_through(plan, inbox)
    except FolderFault as fault:
        plan.fault = fault.reason
    return plan


def _look_through(plan: InboxPlan, inbox: Inbox) -> None:
    ignored, now = Ignored(inbox.ignore), time.monotonic()
    found = disk.scan(inbox.path, skip_folder=lambda base: ignored.folder(base) is not None, recursive=inbox.recursive)
    for entry in found:
        if ignored.file(os.path.basename(entry.name)) or not entry.is_regular:
            continue
        since = now - inbox.settle_seconds  # by the time of a run it is quiet
        sighting = Sighting(entry.size, entry.mtime_ns, first_seen=since, since=since)
        answer = decide(inbox, entry.name, sighting, now).answer
        plan.answers[answer] += 1
        if answer is Action.TAKE:
            plan.size += entry.size
            plan.names += [printable(entry.name)] if len(plan.names) < _MOST_NAMED else []


def lines(plans: list[InboxPlan], config: Config) -> Iterator[str]:
    """Give the plans for a person, and what they come to."""
    for plan in plans:
        yield from _of_inbox(plan)
        if plan.again and config.api.kind == "live":
            how = config.inboxes[plan.name].on_failure
            yield f"  An order with a bad picture in it: up to {in_credits(plan.again)} more (on_failure: {how})."
    found = read_orders(config.state_dir, lambda _place, _reason: None)
    begun = [order for order in found if order.is_to_be_paid]
    waiting = sum(len(order.files) for order in begun)
    if waiting:
        yield f"Already taken and not yet paid: {files(waiting)}."
    sent = sum(plan.sent for plan in plans) + waiting
    requests = _REQUESTS_PER_ORDER * (sum(plan.orders for plan in plans) + len(begun))
    paid = f"up to {in_credits(sent)}" if config.api.kind == "live" else "no credits (test key)"
    yield f"All together: {files(sent)}, {paid}, about {requests} requests{_duration(requests, config)}."
    yield "This was a rehearsal: nothing was sent, moved or paid."


def _of_inbox(plan: InboxPlan) -> Iterator[str]:
    answers = plan.answers
    some = "" if plan.sent == answers[Action.TAKE] else f"{plan.sent} of "
    yield (
        f"{plan.name}: {some}{files(answers[Action.TAKE])} would be sent ({plan.size / 1e6:.1f} MB, "
        f"orders: {plan.orders}), "
        f"{answers[Action.REFUSE]} quarantined; {answers[Action.WAIT]} not complete or still being written, "
        f"{answers[Action.STAY]} left alone."
    )
    if plan.fault:
        yield f"  But: {printable(plan.fault)}"
    if plan.held:
        yield f"  But held: {plan.held}"
    yield from (f"  {name}" for name in plan.names)
    if answers[Action.TAKE] > len(plan.names):
        yield f"  and {answers[Action.TAKE] - len(plan.names)} more"


def _duration(requests: int, config: Config) -> str:
    rate = config.api.requests_per_minute
    if not rate:
        return ""
    minutes = math.ceil(requests / rate)
    return f", at least {minutes} minute{'s' * (minutes != 1)} by your plan ({rate} requests a minute)"
