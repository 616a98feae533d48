"""Which things are wrong now? Pure: of the daemon's word alone, each in a sentence with the next step."""

from collections.abc import Iterator
from dataclasses import dataclass

from watchfolder.config import Config
from watchfolder.report import phrases
from watchfolder.snapshot import Snapshot

SERVICE, CONFIGURATION, INBOX, DISK, FLOW = "service", "configuration", "inbox", "disk", "flow"
"""Kinds of topics: "inbox:photos" is of INBOX."""

_LOW_BYTES = 10 * 1024**3  # what an order of a hundred pictures of 50 MiB needs: twice its size
_LOW_SHARE = 0.05  # of a small disk, where that would be always
_ROOM_AGAIN = 1.5  # times that: what is written and moved away meanwhile changes no verdict


@dataclass(frozen=True)
class Condition:
    """`is_on` is None where it cannot be told: then what was said last stays."""

    is_on: bool | None
    words: str


def inboxes(snapshot: Snapshot) -> Iterator[tuple[str, Condition]]:
    for name, inbox in snapshot.inboxes.items():
        topic = f"{INBOX}:{name}"
        if inbox.fault:
            yield topic, Condition(is_on=True, words=phrases.not_available([f"{name} ({inbox.fault})"]))
        else:
            yield topic, Condition(is_on=False if inbox.is_open else None, words=f"{name} is back: it goes on")


def disks(snapshot: Snapshot, names: dict[int, str]) -> Iterator[tuple[str, Condition]]:
    """Give one for each file system, called by the first folder that was seen on it: `names` remembers that."""
    for folder in sorted(snapshot.disks):
        names.setdefault(snapshot.disks[folder].device, folder)
    for disk in {each.device: each for each in snapshot.disks.values()}.values():
        folder = names[disk.device]
        free, low = disk.free_bytes, min(_LOW_BYTES, _LOW_SHARE * disk.total_bytes)
        if free < low:
            says = (
                f"The disk of {folder} is nearly full: {phrases.size(free)} are free. Make room there, before it stops"
            )
            yield f"{DISK}:{folder}", Condition(is_on=True, words=says)
        else:
            is_on = False if free >= low * _ROOM_AGAIN else None
            yield f"{DISK}:{folder}", Condition(is_on=is_on, words=f"The disk of {folder} has room again")


def blocked(snapshot: Snapshot, config: Config, *, is_sure: bool) -> Condition:
    """`is_sure` says whether a service that does not refuse has been asked at all."""
    if snapshot.blocked:
        return Condition(is_on=True, words=phrases.blocked(snapshot, config.api))
    return Condition(is_on=False if is_sure else None, words="Unblocked: the service takes the work again")


def configuration(snapshot: Snapshot) -> Condition:
    if snapshot.refused:
        return Condition(is_on=True, words=phrases.configuration_refused(snapshot.refused))
    return Condition(is_on=False, words="The configuration is the one that runs")


def has_work(snapshot: Snapshot) -> bool | None:
    """Do files wait or move? None while not every inbox can be looked into."""
    if snapshot.in_progress or any(inbox.waiting for inbox in snapshot.inboxes.values()):
        return True
    return None if not all(inbox.is_open for inbox in snapshot.inboxes.values()) else False


def stalled(snapshot: Snapshot, hours: float) -> str:
    """Say that nothing was delivered for so long, and what holds it."""
    waiting = sum(inbox.waiting for inbox in snapshot.inboxes.values())
    held = {name: inbox for name, inbox in snapshot.inboxes.items() if inbox.held and inbox.waiting}
    start = f"Nothing was delivered for {hours:.0f} hours" if hours >= 1 else "Nothing is delivered"
    under_way = phrases.files(snapshot.in_progress)
    start += f", though there is work: {phrases.files(waiting)} in the inboxes, {under_way} under way"
    if held:
        kept = "; ".join(f"{name}: held: {inbox.held}" for name, inbox in held.items())
        count = sum(inbox.waiting for inbox in held.values())
        return f"{start}. The brake holds {phrases.files(count)} until you say so: {kept}"
    if snapshot.blocked:
        return f"{start}. The service refuses: {snapshot.blocked}"
    if snapshot.is_down:
        return f"{start}. The service does not answer: is this machine's network up? Nothing is lost"
    return f"{start}. watchfolder status says what they wait for"
