"""The files of an inbox that have not been taken: what was decided and when each is due; nudges and emptied folders.

Instants are monotonic seconds, and arguments: nothing here sleeps.
"""

import contextlib
import heapq
import itertools
import logging
import math
import os
import stat
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from watchfolder import disk
from watchfolder.config import Inbox
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.events import event
from watchfolder.intake import obstacles
from watchfolder.intake.decide import Action, Decision, Sighting, out_of_reach
from watchfolder.intake.partners import Partners
from watchfolder.names import Ignored
from watchfolder.order import Order
from watchfolder.quota import Allowance
from watchfolder.snapshot import OutOfReach

_MOST_TOLD = 1000
_UNKNOWN = -1  # a modification time that could not be read


@dataclass(frozen=True)
class UnderWay:
    """What the journal has of one inbox at one moment. Counts are files."""

    moving: int
    deferred: int
    names: frozenset[str]  # below the inbox; another file may have come under one since
    leaving: frozenset[str]  # of files that may lie there and are an order's: being claimed, or on the way back

    @classmethod
    def of(cls, orders: Iterable[Order], elapsed: float) -> "UnderWay":
        """Count the files that are neither delivered nor in their last place; `elapsed` is seconds since the boot."""
        files = [(order, file) for order in orders for file in order.files if file.is_under_way]
        deferred = sum(not order.is_due(elapsed) for order, _ in files)
        names = frozenset(file.name for _, file in files)
        leaving = frozenset(file.destination or file.name for order, file in files if order.traits.may_lie_in_inbox)
        return cls(len(files) - deferred, deferred, names, leaving)


class Nudges:
    """Hints that a file may have changed: added by any thread, taken by one. A name below the inbox; None is any."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._told: dict[str | None, bool] = {}  # name → was it worked on?

    def add(self, name: str | None, *, was_worked_on: bool) -> None:
        with self._guard:
            self._told[name] = was_worked_on or self._told.get(name, False)

    def take(self) -> tuple[bool, dict[str, bool]]:
        """Return whether any file may have changed, and of each name that was given whether it was worked on."""
        with self._guard:
            told, self._told = self._told, {}
        return None in told, {name: was_worked_on for name, was_worked_on in told.items() if name is not None}

    @property
    def are_left(self) -> bool:
        return bool(self._told)


class Emptied:
    """The sub-folders of one inbox that we emptied, in memory only: one that a restart forgets stays, and harms nobody.

    A folder's modification time is compared only with itself: it comes from the file server's clock, or from anybody.
    """

    def __init__(self, root: str, unchanged_seconds: float) -> None:
        self._root = root
        self._unchanged_seconds = unchanged_seconds
        self._since: dict[str, tuple[float, int | None]] = {}  # folder → when it was emptied, and its mtime_ns then

    def note(self, names: Iterable[str], now: float) -> None:
        """Record that files of these names have left their folders, which may go at once."""
        self._since |= {folder: (now, self._mtime_of(folder)) for folder in {*map(os.path.dirname, names)} - {""}}
        self.remove(now)

    def remove(self, now: float) -> None:
        """Remove those that have been empty and unchanged for long enough."""
        for folder, (since, before) in list(self._since.items()):
            if now - since < self._unchanged_seconds or (found := self._mtime_of(folder)) == _UNKNOWN:
                continue
            if found not in {None, before}:
                self._since[folder] = (now, found)
                continue
            del self._since[folder]
            if found is not None:
                disk.remove_empty_folders(self._root, folder)

    def _mtime_of(self, folder: str) -> int | None:
        try:
            found = disk.stat_of(Place(self._root, folder))
        except FolderFault:  # closed to us, out of reach, or not there: it must not keep us from the pictures
            return _UNKNOWN
        return found.st_mtime_ns if found is not None else None


class Candidates:
    """The candidates of one inbox. Only its own thread changes them; any thread may ask what is told of them."""

    def __init__(self, inbox: Inbox, partners: Partners) -> None:
        self.inbox = inbox
        self.quiet: dict[str, float] = {}  # settled files, oldest first → since when
        self.new = 0  # files that the quota has not been told of yet
        self.found = 0  # the same of addresses in lists that lay here when this life began
        self.has_scanned = False
        self._partners = partners
        self._ignored = Ignored(inbox.ignore)
        self.sightings: dict[str, Sighting] = {}
        self._decisions: dict[str, Decision] = {}
        self._timers: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}  # each file's last timer: the earlier ones count no more

    # --- from any thread

    def counts(self, taken: frozenset[str]) -> dict[str, int]:
        """Count the files by answer; those not decided yet wait. `raw` counts camera RAW, `single` what has no partner.

        Names in `taken` are left out: these files are an order's, though they may still be seen.
        """
        sightings, decisions = dict(self.sightings), dict(self._decisions)
        found = Counter(str(decision.answer) for name, decision in decisions.items() if name not in taken)
        found[str(Action.WAIT)] += sum(name not in decisions and name not in taken for name in sightings)
        return dict(found) | {
            "raw": sum(decision.is_raw for decision in decisions.values()),
            "single": sum(decision.lacks_partner for decision in decisions.values()),
        }

    def out_of_reach(self) -> list[OutOfReach]:
        """Return the folders whose pictures cannot be taken, the one with the most of them first."""
        shared: dict[tuple[str, str], list[obstacles.Obstacle]] = {}
        for each in (decision.obstacle for decision in dict(self._decisions).values() if decision.obstacle):
            shared.setdefault((each.folder, each.together or each.reason), []).append(each)
        found = [
            OutOfReach(
                folder=folder,
                files=sum(each.files for each in same),
                reason=same[0].reason,
                command=same[0].together if len(same) > 1 else same[0].command,
            )
            for (folder, _), same in shared.items()
        ]
        return sorted(found, key=lambda each: -each.files)

    def remarks(self) -> dict[str, str]:
        """Return the files that a person should know of, with the reason."""
        decisions = dict(self._decisions).items()
        told = ((name, each.reason) for name, each in decisions if each.is_warning or each.lacks_partner)
        return dict(itertools.islice(told, _MOST_TOLD))

    def first_waiting(self) -> float | None:
        """Return when the longest-waiting file was first seen."""
        decisions = dict(self._decisions)
        for name, sighting in dict(self.sightings).items():
            decision = decisions.get(name)
            if decision is None or decision.answer is Action.WAIT:
                return sighting.first_seen
        return None

    def left_waiting(self, allowance: Allowance) -> dict[str, str]:
        """Return files that were left for later, with the reason; bounded."""
        left = {name: each.reason for name, each in dict(self._decisions).items() if each.answer is Action.WAIT}
        why = f"held: {allowance.reason}" if allowance.is_held else "it waits for its turn"
        left |= dict.fromkeys(list(self.quiet), why)
        return dict(itertools.islice((self.remarks() | left).items(), _MOST_TOLD))

    def are_waiting(self) -> bool:
        return bool(self.quiet) or any(name not in self._decisions for name in self.sightings)

    # --- from the inbox's own thread

    @property
    def next_due(self) -> float:
        return self._timers[0][0] if self._timers else math.inf

    def are_settling(self) -> bool:
        """Will any file become ready by itself, within the settle time?"""
        waiting = (self._decisions.get(name) for _, name in self._timers if name in self.sightings)
        return any(each is None or each.is_passing for each in waiting)

    def scan(self, now: float) -> None:
        """See every file; forget those that are gone."""
        seen = self._see_all("", now)
        for name in (self.sightings.keys() | self._decisions.keys()) - seen:
            self.drop(name, now)
        self.has_scanned = True

    def look_at(self, name: str, now: float, *, was_worked_on: bool) -> None:
        """See a file that is new here; let one that is known, and was worked on, wait again."""
        if name not in self.sightings:
            self._meet(name, now)
        elif was_worked_on:
            self.wait_again(name, now)

    def _meet(self, name: str, now: float) -> None:
        """See what came: a file, or a folder whose files made no event of their own."""
        folder, base = os.path.split(name)
        try:
            found = disk.stat_of(Place(self.inbox.path, name)) if self._may_watch(folder) else None
            if found is None:
                return
            if stat.S_ISDIR(found.st_mode):
                if self._may_watch(name):
                    self._see_all(name, now)
            elif not self._ignored.file(base):
                self._see(disk.Entry(name, found.st_size, found.st_mtime_ns, disk.is_regular(found)), now)
        except (FileNotFoundError, FolderFault):  # gone again, or the folder is not ours: the scan says so
            return

    def _may_watch(self, folder: str) -> bool:
        if not folder:
            return True
        return self.inbox.recursive and not any(map(self._ignored.folder, folder.split("/")))

    def _see_all(self, folder: str, now: float) -> set[str]:
        """See every file there; return their names and those of the folders that are closed to us."""
        seen = set()

        def tell(where: str, _fault: FolderFault) -> None:
            seen.add(where)
            obstacle = obstacles.to_look_in(self.inbox, where)
            self.remember(where, out_of_reach(f"we may not read this folder: {obstacle.reason}", None, obstacle))

        found = disk.scan(
            self.inbox.path,
            folder,
            skip_folder=lambda base: self._ignored.folder(base) is not None,
            recursive=self.inbox.recursive,
            is_known=self.quiet.__contains__,  # settled ones are looked at when their turn comes
            on_fault=tell,
        )
        for entry in found:
            if not self._ignored.file(os.path.basename(entry.name)):
                seen.add(entry.name)
                if entry.size >= 0:
                    self._see(entry, now)
        return seen

    def wait_again(self, name: str, now: float) -> None:
        """Begin the wait anew, from the shape that the file has now."""
        sighting = self.sightings[name]
        with contextlib.suppress(FileNotFoundError, FolderFault):  # gone, or out of reach: found out when it is due
            found = disk.stat_of(Place(self.inbox.path, name))
            if found is not None:
                sighting.see(found.st_size, found.st_mtime_ns, now)
        sighting.wait_again(now)
        self._wait(name, sighting.due_at(self.inbox.settle_seconds))

    def _see(self, entry: disk.Entry, now: float) -> None:
        if not entry.is_regular:
            self.drop(entry.name, now)  # a file that lies there later begins anew
            self.remember(entry.name, Decision(Action.STAY, disk.NOT_PLAIN))
            return
        sighting = self.sightings.get(entry.name)
        if sighting is None:
            self.new += 1
            shape = (entry.size, entry.mtime_ns)
            self.sightings[entry.name] = Sighting(*shape, first_seen=now, since=now, was_found=not self.has_scanned)
        else:
            before = sighting.since
            sighting.see(entry.size, entry.mtime_ns, now)
            if sighting.since == before:
                return
        self._wait(entry.name, now + self.inbox.settle_seconds)

    def _wait(self, name: str, due: float) -> None:
        self._decisions.pop(name, None)
        self.quiet.pop(name, None)
        self._partners.see(name)
        self._set_due(name, due)

    def _set_due(self, name: str, due: float) -> None:
        self._due[name] = due
        heapq.heappush(self._timers, (due, name))

    def wake(self, names: Iterable[str], now: float) -> None:
        """Have settled files decided about (again) now, whatever their timers say."""
        self.quiet |= {name: now for name in names if name not in self.quiet}

    def wake_due(self, now: float, also: Iterable[str]) -> None:
        """Wake the files whose timers have run out and those of `also`, oldest first."""
        woken = list(also)
        while self._timers and self._timers[0][0] <= now:
            due, name = heapq.heappop(self._timers)
            if self._due.get(name) == due:
                del self._due[name]
                woken.append(name)
        oldest_first = sorted(
            (name for name in woken if name in self.sightings),
            key=lambda name: (self.sightings[name].first_seen, self.sightings[name].mtime_ns),
        )
        self.wake(oldest_first, now)

    def count_listed(self, name: str, sighting: Sighting, listed: int, now: float) -> None:
        """Count the addresses of a list for the quota, before the list is taken."""
        more, sighting.listed = listed - sighting.listed, listed
        if sighting.was_found:
            self.found += more
        else:
            self.new += more
        self.quiet[name] = now

    def put_off(self, name: str, decision: Decision, now: float) -> None:
        self.remember(name, decision)
        if decision.answer is Action.STAY and decision.obstacle is None:  # an obstacle may go away: the partner waits
            self.wake(self._partners.drop(name), now)
        if decision.due is not None:
            self._set_due(name, decision.due)

    def remember(self, name: str, decision: Decision) -> None:
        before = self._decisions.get(name)
        self._decisions[name] = decision
        if decision.is_warning and (before is None or before.reason != decision.reason):
            event("file.stays", logging.WARNING, inbox=self.inbox.name, file=name, reason=decision.reason)

    def drop(self, name: str, now: float) -> None:
        for memory in (self.sightings, self._decisions, self.quiet, self._due):
            memory.pop(name, None)
        self.wake(self._partners.drop(name), now)
