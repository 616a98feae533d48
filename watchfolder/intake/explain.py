"""What the daemon thinks of one file, worked out in another process."""

import os
from collections.abc import Callable, Hashable

from watchfolder import disk
from watchfolder.config import Inbox
from watchfolder.disk import Place
from watchfolder.intake.decide import STILL_WRITTEN, Action, Decision, Ready, Sighting, decide
from watchfolder.intake.partners import Partners
from watchfolder.names import HIDDEN, NOTES, Ignored
from watchfolder.services import Pairs, flow_of


class Beside:
    """What lies beside the files of an inbox, and may go with them; each folder is listed once."""

    def __init__(self, inbox: Inbox, inbox_of: Callable[[str], Inbox | None] = lambda _name: None) -> None:
        self._inbox = inbox
        self._pairs = flow_of(inbox).pairs
        self._partners = Partners(inbox, inbox_of)
        self._ignored = Ignored(inbox.ignore)
        self._listed: dict[str, dict[Hashable, list[str]]] = {}

    def meet(self, ready: Ready, now: float, wall: float) -> Decision | None:
        """Return why a file has to wait for the other one of its pair; None where it need not."""
        if self._pairs is None:
            return None
        for name in self._beside(self._pairs, ready.name):
            other = _decide_now(self._inbox, name, now, wall)
            if other.answer in {Action.TAKE, Action.WAIT} or other.obstacle is not None:
                self._partners.see(name)
            if other.answer is Action.TAKE and name != ready.name:
                self._partners.meet(Ready(name, 0, 0, other.format), now)
        found = self._partners.meet(ready, now)
        return found if isinstance(found, Decision) else None

    def _beside(self, pairs: Pairs, name: str) -> list[str]:
        folder = os.path.dirname(name)
        if folder not in self._listed:
            self._listed[folder] = {}
            for entry in disk.scan(self._inbox.path, folder, recursive=False):
                if entry.is_regular and not self._ignored.file(os.path.basename(entry.name)):
                    self._listed[folder].setdefault(pairs.shared(entry.name), []).append(entry.name)
        return self._listed[folder].get(pairs.shared(name), [])


def explain(
    inbox: Inbox, name: str, now: float, wall: float, *, has_writer: bool = False, beside: Beside | None = None
) -> Decision | str:
    """Say what the daemon thinks of `name` in the inbox: a Decision, or why its name is left alone.

    `now` is monotonic, `wall` the clock's seconds; without the daemon's memory, age counts from the last change of
    the file or its name. `has_writer` is what was found out with more rights than ours. Raises FolderFault.
    """
    if reason := _why_left(inbox, name):
        return reason
    decision = _decide_now(inbox, name, now, wall)
    is_done = decision.answer in {Action.TAKE, Action.REFUSE} or decision.obstacle is not None
    if has_writer and is_done:
        return Decision(Action.WAIT, STILL_WRITTEN)
    if decision.answer is not Action.TAKE:
        return decision
    return (beside or Beside(inbox)).meet(Ready(name, 0, 0, decision.format), now, wall) or decision


def _way_out(pattern: str, inbox: Inbox) -> str:
    if pattern == HIDDEN:
        return ""
    if pattern in inbox.ignore:
        return " (it stands under ignore)"
    return "; they are no pictures" if pattern in NOTES else f" (lift it with '!{pattern}' under ignore)"


def _why_left(inbox: Inbox, name: str) -> str | None:
    """Say why a file of this name is never looked at; None where it is."""
    ignored = Ignored(inbox.ignore)
    folder, base = os.path.split(name)
    parts = [part for part in folder.split("/") if part]
    if parts and not inbox.recursive:
        return "sub-folders are not watched (recursive: false)"
    pattern = next(filter(None, [*map(ignored.folder, parts), ignored.file(base)]), None)
    return f"names like {pattern} are left alone{_way_out(pattern, inbox)}" if pattern else None


def _decide_now(inbox: Inbox, name: str, now: float, wall: float) -> Decision:
    found = disk.stat_of(Place(inbox.path, name))
    if found is None:
        return Decision(Action.GONE, "there is no such file in the inbox")
    if not disk.is_regular(found):
        return Decision(Action.STAY, "it is no plain file (a folder, a link, a pipe or a device)")
    seen = now - max(0.0, wall - found.st_ctime)
    return decide(inbox, name, Sighting(found.st_size, found.st_mtime_ns, first_seen=seen, since=seen), now)
