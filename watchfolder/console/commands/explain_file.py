"""Why has this file (not) been taken? Answered by the code that decides, and by what the journal and history know.

A folder is answered by a summary of what lies in it.
"""

import contextlib
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, product

from watchfolder import disk, history, intake, quarantine
from watchfolder.command_line import Advised
from watchfolder.config import Config, Inbox
from watchfolder.console.commands import explain_folder
from watchfolder.disk import NotAFolder, NotRegular, Place
from watchfolder.errors import FolderFault, UnknownName
from watchfolder.events import printable
from watchfolder.folders import known_folders
from watchfolder.intake import Action
from watchfolder.journal import read_orders
from watchfolder.order import EnclosureKind, Order, State
from watchfolder.publish import TEST_ORIGINALS, list_beside, notes, picture_beside
from watchfolder.report.conditions import conditions, held_by, put_back
from watchfolder.report.phrases import clock_with_seconds, ended
from watchfolder.report.status import running
from watchfolder.services import FLOWS, LEDGERS, SIDECARS, flow_of, picture_told_of

_VERDICTS = {
    Action.TAKE: "It is ready to be taken",
    Action.REFUSE: "It will be moved to quarantine",
    Action.WAIT: "It waits",
    Action.STAY: "It stays where it is",
    Action.GONE: "It is not there",
}
_STATES = {
    State.CLAIMING: "is being taken from the inbox",
    State.LISTED: "is a list of addresses, for which orders of their own are under way",
    State.MATCHED: "is the same picture as one that was delivered, whose result is about to be copied",
    State.CLAIMED: "has been taken, the order is about to be made",
    State.CREATED: "is being uploaded",
    State.UPLOADED: "has been uploaded, the order is about to be confirmed",
    State.CONFIRMED: "is at the service, which works on it",
    State.COMPLETED: "has its result, which is about to be delivered",
    State.DELIVERED: "has been delivered",
    State.RECORDED: "has been delivered",
    State.RELEASED: "is on its way back to the inbox",
    State.SUPERSEDING: "is being moved to a new order",
    State.QUARANTINING: "is being moved to quarantine",
    State.QUARANTINED: "is in quarantine",
}

_OF_TEST = "The original of an order with a test key. To protect it, move it back into the inbox with a live key."
_OF_OTHER_SERVICE = "The original of a picture that was delivered: its inbox has had another service since."
_BESIDE = {
    EnclosureKind.KEYWORDS: "a sidecar with keywords, ours or somebody's, of",
    EnclosureKind.HEATMAP: "the service's heatmap of",
    EnclosureKind.REPORT: "the service's report on",
}

_ROLES = ("work", "quarantine", "outbox", "originals", "path")  # work first: it lies in the inbox


@dataclass(frozen=True)
class _Spot:
    """A configured folder of an inbox, and a place in it."""

    inbox: Inbox
    role: str
    place: Place
    has_writer: bool = False
    digest: str = ""  # of the bytes, where the name tells nothing

    def is_of(self, file: history.EndedFile) -> bool:
        if self.digest:
            return self.digest in {file.delivered_sha256, file.sha256}
        return self.place.name == (file.delivered if self.role == "outbox" else file.name)

    def beside(self, base: str) -> "_Spot":
        return replace(self, place=self.place.beside(base))


def explain(path: str, config: Config, act_as_daemon: Callable[[], object]) -> Iterator[str]:
    """Give lines for a person. Raises UnknownName for a path in none of our folders, FolderFault.

    What root may do says nothing of the daemon, so all but one question is asked as its user: whether somebody writes
    to another user's file. The daemon can see that by its unit's CAP_LEASE, which its user alone does not have.
    """
    path = os.path.abspath(path)
    spot = _find(path, config)
    if spot is None:
        act_as_daemon()
        yield from _of_left(path, config)
        return
    spot = replace(spot, has_writer=_has_writer(spot.place))
    act_as_daemon()
    yield from disk.answer_of(partial(list, _tell_in_part(spot, config)), spot.place.root)


def _tell_in_part(spot: _Spot, config: Config) -> Iterator[str]:
    """Give what can be told without the state, which people of the group may not read."""
    has_told = False
    try:
        for line in chain(_of_place(spot, config), _of_next(spot, config)):
            has_told = True
            yield line
    except FolderFault as fault:
        if not has_told or not fault.is_closed:
            raise
        yield f"watchfolder knows more, which this user may not read ({fault.reason}): ask with sudo."


def _of_place(spot: _Spot, config: Config) -> Iterator[str]:
    found = disk.stat_of(spot.place) if spot.place.name else None
    is_folder = not spot.place.name or (found is not None and stat.S_ISDIR(found.st_mode))
    match spot.role:
        case "work":
            return _of_work(spot, config)
        case "quarantine" if is_folder:
            return explain_folder.of_quarantine(spot.place, config)
        case "quarantine":
            return _of_quarantine(spot, config)
        case "outbox" | "originals" if is_folder:
            return explain_folder.of_ends(spot.place, config, is_outbox=spot.role == "outbox")
        case "outbox":
            return _of_result(spot, config)
        case "originals":
            return _of_ended(spot, config)
        case _ if is_folder:
            return _of_inbox_folder(spot, config)
    return _of_inbox(spot, config)


def _has_writer(place: Place) -> bool:
    def ask() -> bool:
        missing = contextlib.suppress(FileNotFoundError, NotAFolder, NotRegular)
        with missing, open(disk.open_regular(place), "rb") as file:
            return bool(disk.has_writer(file.fileno()))
        return False

    try:
        return bool(place.name) and disk.answer_of(ask, place.root)
    except FolderFault:  # the look as the daemon will report it
        return False


def _of_inbox_folder(spot: _Spot, config: Config) -> Iterator[str]:
    yield from explain_folder.of_inbox(spot.inbox, spot.place.name, config)
    yield from explain_folder.under_way(_orders_of(spot.inbox, config), spot.place.name, config)
    yield from _conditions(spot.inbox, config)


def _of_left(path: str, config: Config) -> Iterator[str]:
    """Tell of what lies in a folder of an inbox that left the configuration. Raises UnknownName for any other."""
    met, orders = _find_left(path, config)
    names = {os.path.relpath(path, top) for top in met}
    mine = [each for each in orders if each.key in path.split("/") or _has_name(each, names)]
    if not met and not mine:
        raise _not_ours(path, config)
    owners, named = {*met.values()} - config.inboxes.keys() - {""}, {order.inbox for order in mine}
    inboxes = owners & named or owners | named  # a folder may be another's as well, and a name be in each
    whose = f"an inbox that left the configuration ({', '.join(map(printable, sorted(inboxes)))})"
    yield f"It belongs to {whose if inboxes else 'a folder that left the configuration'}."
    yield from _of_left_orders(mine, history.all_ended(orders, config.state_dir), inboxes, names)
    snapshot, _, is_running, _ = running(config.state_dir)
    yield ended(put_back(snapshot, config, is_running=is_running).words)


def _find_left(path: str, config: Config) -> tuple[dict[str, str], list[Order]]:
    """Return the known folders above it, with their inboxes, and the orders of inboxes that left."""
    try:
        met = {top: name for top, name in known_folders(config.state_dir).items() if f"{path}/".startswith(f"{top}/")}
        return met, [order for order in read_orders(config.state_dir) if order.inbox not in config.inboxes]
    except FolderFault as fault:
        raise _not_ours(path, config) from fault


def _not_ours(path: str, config: Config) -> UnknownName:
    known = ", ".join(f"{inbox.name} ({printable(inbox.path)})" for inbox in config.inboxes.values())
    return UnknownName([f"{printable(path)} lies in no folder of ours. The inboxes are: {known}"])


def _of_left_orders(
    orders: Iterable[Order], ends: Iterable[history.EndedOrder], inboxes: Collection[str], names: Collection[str]
) -> Iterator[str]:
    for order in orders:
        if order.is_open and order.inbox in inboxes:
            yield from _of_order(order)
    for end in ends:
        if end.inbox in inboxes and any({file.name, file.delivered} & {*names} for file in end.files):
            yield f"{end.outcome.capitalize()} {clock_with_seconds(end.at)} from the inbox {printable(end.inbox)}."
            yield _numbered(f"wf-{end.key}", end.order_id)
            return


def _has_name(order: Order, names: Collection[str]) -> bool:
    return any(file.name in names for file in order.files)


def _find(path: str, config: Config) -> _Spot | None:
    folder, base = os.path.split(path)
    roots = {getattr(inbox, role) for inbox in config.inboxes.values() for role in _ROLES} - {None}
    real = disk.follow_links({folder, *roots})
    resolved = os.path.join(real[folder], base)
    for role, inbox in product(_ROLES, config.inboxes.values()):
        root = getattr(inbox, role)
        for each, top in product((path, resolved), (root, real[root]) if root else ()):
            if f"{each}/".startswith(top.rstrip("/") + "/"):
                name = os.path.relpath(each, top)
                return _Spot(inbox, role, Place(root, "" if name == "." else name))
    return None


def _of_inbox(spot: _Spot, config: Config) -> Iterator[str]:
    beside = intake.Beside(spot.inbox, config.inboxes.get)
    now, wall = time.monotonic(), time.time()
    decision = intake.explain(spot.inbox, spot.place.name, now, wall, has_writer=spot.has_writer, beside=beside)
    if isinstance(decision, str):
        yield f"It is left alone: {printable(decision)}."
        return
    if decision.answer is Action.GONE:
        yield from _of_gone(spot, config)
        return
    again = "" if decision.due is None else f"; it is looked at again in {max(0.0, decision.due - now):.0f} s"
    yield f"{_VERDICTS[decision.answer]}: {printable(decision.reason).rstrip('.')}{again}."
    if decision.obstacle is not None and decision.obstacle.command:
        yield f"What to do, as root: {config.commands.as_root(decision.obstacle.command)}"
    if decision.why is not None:
        yield f"What to do: {decision.why.advice}"
    if decision.answer is Action.TAKE:
        yield from _same_under_way(spot, config)
    if decision.answer is not Action.STAY:
        yield from _conditions(spot.inbox, config)


def _same_under_way(spot: _Spot, config: Config) -> Iterator[str]:
    """Tell which order has the same bytes under way, or may have: then the file waits for that one's result."""
    found = disk.stat_of(spot.place)
    if found is None or not flow_of(spot.inbox).may_reuse(spot.inbox):
        return
    for order in _under_way(spot.inbox, config):
        hashes = {file.sha256 for file in order.files if file.size == found.st_size}
        if hashes and (None in hashes or disk.hash_of(spot.place) in hashes):
            word = "may be" if None in hashes else "is"
            yield f"It {word} the same picture as one under way, and then waits for its result (order {order.name})."
            return


def _under_way(inbox: Inbox, config: Config) -> list[Order]:
    """Return the orders whose results would serve for a file of the inbox."""
    wanted, orders = flow_of(inbox).product_of(inbox), read_orders(config.state_dir)
    return [order for order in orders if order.is_open and order.has_product(config.api.mode, wanted)]


def _conditions(inbox: Inbox, config: Config, order: Order | None = None) -> Iterator[str]:
    """Tell what keeps the whole inbox, or an order of it that is under way, from being worked on."""
    if order is not None and not order.is_open:
        return
    snapshot, silent, is_running, _ = running(config.state_dir)
    found = conditions(snapshot, config, is_running=is_running, silent_seconds=silent)
    for each in held_by(found, inbox.name, order):
        yield f"But: {ended(each)}"


def _of_gone(spot: _Spot, config: Config) -> Iterator[str]:
    name = spot.place.name
    orders = _orders_of(spot.inbox, config)  # before the history: an order goes from the journal to there
    mine = [order for order in orders if any(file.name == name and not file.is_delivered for file in order.files)]
    ended = _ended(config, spot.is_of, spot.inbox)
    for order in mine:
        yield from _of_order(order)
        yield from _conditions(spot.inbox, config, order)
    if ended is not None and ended.key not in {order.key for order in mine}:
        yield from _of_end(ended, spot, config)
    elif not mine:
        yield "It is not there, and no file of this name has been taken from this inbox."


def _of_work(spot: _Spot, config: Config) -> Iterator[str]:
    _, key, name, *_ = [*spot.place.name.split("/", 2), "", ""]
    if not key:
        yield "This is the work folder: pictures lie here while they are worked on."
        yield from explain_folder.under_way(_orders_of(spot.inbox, config), "", config)
        return
    orders = read_orders(config.state_dir)
    order = next((order for order in orders if key in {order.key, order.work_folder_of}), None)
    if order is not None:
        yield from _of_order(order, has_been_delivered=name in {file.name for file in order.files if file.is_delivered})
        yield from _conditions(spot.inbox, config, order)
    elif ended := history.last_end(config.state_dir, key):
        yield from _of_end(ended, replace(spot, place=Place(spot.place.root, name)), config)
    else:
        yield "This is the work folder, and the journal knows no such order: the next start takes care of what is here."


def _of_order(order: Order, *, has_been_delivered: bool = False) -> Iterator[str]:
    since = order.times.get(order.state)
    if has_been_delivered:
        yield f"It {_STATES[State.DELIVERED]}, and its original is on the way to its place."
    else:
        yield f"It {_STATES[order.state]}" + (f", since {clock_with_seconds(since.at)}." if since else ".")
        yield from _of_fault(order)
    yield _numbered(order.name, order.order_id)


def _of_fault(order: Order) -> Iterator[str]:
    if order.last_error:
        until = f"; next try {clock_with_seconds(order.not_before.at)}" if order.not_before else ""
        yield f"The last try failed: {printable(order.last_error).rstrip('.')}{until}."


def _of_quarantine(spot: _Spot, config: Config) -> Iterator[str]:
    base = notes.read(spot.place).picture if spot.place.base.endswith(notes.SUFFIX) else None
    place = spot.place.beside(base) if base else spot.place
    picture = quarantine.picture_at(place, config)
    if picture is None:
        yield "There is no such file in quarantine."
        return
    if not picture.has_failed:
        is_of_test = picture.place.name.startswith(TEST_ORIGINALS)
        yield _OF_TEST if is_of_test else _OF_OTHER_SERVICE
        return
    note = quarantine.note_of(picture)
    yield f"In quarantine since {clock_with_seconds(picture.at)}: {printable(note.reason)}"
    if note.advice:
        yield f"What to do: {printable(note.advice)}"
    if note.retry_helps:
        yield f"To move it back into the inbox: {config.commands.to(Advised.RETRY, picture.place.path)}"


def _of_result(spot: _Spot, config: Config) -> Iterator[str]:
    """Tell of what was delivered; a sidecar tells of the picture that it lies beside."""
    if spot.place.name in LEDGERS:
        yield f"This is our table of {LEDGERS[spot.place.name].says}: a line is added for each."
        return
    if spot.place.name.endswith(SIDECARS):
        yield "This is our note of what the service says of the picture beside it."
        spot = spot.beside(picture_told_of(spot.place.base))
    yield from _of_ended(spot, config)


def _of_next(spot: _Spot, config: Config) -> Iterator[str]:
    """Tell what another inbox makes of it, whose path is this outbox."""
    for inbox in config.inboxes.values():
        if spot.role == "outbox" and inbox.path == spot.place.root:
            first, *rest = _of_place(replace(spot, inbox=inbox, role="path"), config)
            yield f"In the inbox {printable(inbox.name)}: {first}"
            yield from rest


def _of_ended(spot: _Spot, config: Config) -> Iterator[str]:
    """Tell of what was sent or delivered; for a file beside it (a report, a table), of what it belongs to."""
    known = {"": spot}
    if spot.role == "outbox" and (beside := picture_beside(spot.place.base)):
        known[f"This is {_BESIDE[beside[1]]} the picture beside it."] = spot.beside(beside[0])
    if list_ := list_beside(spot.place.base):
        words = f"This is our table of what became of each line of {printable(list_)}."
        known[words] = replace(spot.beside(list_), role="originals")
    for words, each in known.items():
        if ended := _ended(config, each.is_of, spot.inbox):
            yield from filter(None, [words])
            yield from _of_end(ended, each, config)
            return
    try:
        spot = replace(spot, digest=disk.hash_of(spot.place))
    except FileNotFoundError:
        yield f"There is no such file in {spot.role}, and the history knows none of this name."
        return
    if ended := _ended(config, spot.is_of, None):
        yield from _of_end(ended, spot, config)
    else:
        yield "The history knows neither this name nor these bytes: watchfolder did not put this file here."


def _numbered(name: str, order_id: str | None) -> str:
    return f"Order: {name}" + (f", at the service {order_id}" if order_id else "")


def _of_end(ended: history.EndedOrder, spot: _Spot, config: Config) -> Iterator[str]:
    yield f"{ended.outcome.capitalize()} {clock_with_seconds(ended.at)} from the inbox {printable(ended.inbox)}."
    told = [file for file in ended.files if spot.is_of(file)] or ended.files
    for file in told:
        yield from _of_ended_file(file, ended, config.inboxes.get(ended.inbox, spot.inbox))
    if others := len(ended.files) - len(told):
        yield f"  and {others} more in the same order"
    if ended.reason:
        yield f"Because: {printable(ended.reason)}"
    yield _numbered(f"wf-{ended.key}", ended.order_id)
    yield from _missing_beside(ended, config)


def _missing_beside(ended: history.EndedOrder, config: Config) -> Iterator[str]:
    for order in read_orders(config.state_dir):
        if order.key == ended.key and order.enclosures:
            yield f"Still to come beside it: {', '.join(each.kind for each in order.enclosures)}."
            yield from _of_fault(order)


def _of_ended_file(file: history.EndedFile, ended: history.EndedOrder, inbox: Inbox) -> Iterator[str]:
    came = f"{printable(file.name)} ({file.size} bytes)"
    went = printable(os.path.join(inbox.outbox, file.delivered or ""))
    yield f"  {came} → {went} ({file.delivered_size} bytes)" if file.delivered else f"  {came}"
    if file.text:
        whose = f", which is {printable(file.recipient)}'s" if file.recipient else ""
        yield f"  In it is the watermark: {printable(file.text)}{whose}"
    findings = FLOWS[ended.service].findings if ended.service in FLOWS else None
    if findings is not None and file.finding is not None:
        yield f"  The service says: {printable(findings.say(file.finding))}. {findings.caution}"


def _orders_of(inbox: Inbox, config: Config) -> list[Order]:
    return [order for order in read_orders(config.state_dir) if order.inbox == inbox.name]


def _ended(config: Config, fits: Callable[[history.EndedFile], bool], inbox: Inbox | None) -> history.EndedOrder | None:
    ends = history.all_ended(read_orders(config.state_dir), config.state_dir)
    return next((end for end in ends if (inbox is None or end.inbox == inbox.name) and any(map(fits, end.files))), None)
