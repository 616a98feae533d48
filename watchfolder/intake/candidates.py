"""What lies in an inbox and has not been taken: what was decided and when it is due; nudges and emptied folders, too.

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
from watchfolder.disk import NotAFolder, Place
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
_UNKNOWN = -1


@dataclass(frozen=True)
class UnderWay:
    """What the journal has of one inbox at one moment. Counts are files."""

    moving: int
    deferred: int
    names: frozenset[str]  # in the inbox; another file may have come under one of them since
    leaving: frozenset[str]  # which may lie there, and are the order's all the same: on the way out, or back

    @classmethod
    def of(cls, orders: Iterable[Order], elapsed: float) -> "UnderWay":
        """Count what neither is delivered nor has come to its place; `elapsed` is the time since the boot."""
        files = [(order, file) for order in orders for file in order.files if file.is_under_way]
        deferred = sum(not order.is_due(elapsed) for order, _ in files)
        names = frozenset(file.name for _, file in files)
        leaving = frozenset(file.destination or file.name for order, file in files if order.traits.may_lie_in_inbox)
        return cls(len(files) - deferred, deferred, names, leaving)


class Nudges:
    """Given from any thread, taken by one. A name is below the inbox; None is anything there."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._told: dict[str | None, bool] = {}  # was it worked on?

    def add(self, name: str | None, *, was_worked_on: bool) -> None:
        with self._guard:
            self._told[name] = was_worked_on or self._told.get(name, False)

    def take(self) -> tuple[bool, dict[str, bool]]:
        """Return whether it is about anything there, and the names with whether somebody worked on that file."""
        with self._guard:
            told, self._told = self._told, {}
        return None in told, {name: was_worked_on for name, was_worked_on in told.items() if name is not None}

    @property
    def are_left(self) -> bool:
        return bool(self._told)


class Emptied:
    """Of one inbox, in memory only: a folder that a restart forgets stays, which harms nobody.

    The folder's own time is compared with itself alone: it is the file server's, or anybody's.
    """

    def __init__(self, root: str, unchanged_seconds: float) -> None:
        self._root = root
        self._unchanged_seconds = unchanged_seconds
        self._since: dict[str, tuple[float, int | None]] = {}  # folder → when it was, and its modification time then

    def note(self, names: Iterable[str], now: float) -> None:
        """Record that files of these names have left their folders, which may go at once."""
        self._since |= {folder: (now, self._mtime_of(folder)) for folder in {*map(os.path.dirname, names)} - {""}}
        self.remove(now)

    def remove(self, now: float) -> None:
        """Remove those whose time has come."""
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
        except NotAFolder:  # something else has its place
            return None
        except FolderFault:  # closed to us, or out of reach: it must not keep us from the pictures
            return _UNKNOWN
        return found.st_mtime_ns if found is not None else None


class Candidates:
    """Of one inbox. Its thread alone changes them; any thread may ask what is told of them."""

    def __init__(self, inbox: Inbox, partners: Partners) -> None:
        self.inbox = inbox
        self.quiet: dict[str, float] = {}  # names whose time has come, oldest first, and when that was
        self.new = 0  # files that the quota has not been told of
        self.found = 0  # addresses in lists that were here when this life began, of which it has not been told either
        self.has_scanned = False
        self._partners = partners
        self._ignored = Ignored(inbox.ignore)
        self.sightings: dict[str, Sighting] = {}
        self._decisions: dict[str, Decision] = {}
        self._timers: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}  # the one of each file that counts: the one that was set last

    # --- from any thread

    def counts(self, taken: frozenset[str]) -> dict[str, int]:
        """Return how many files there are by answer; those not decided yet wait; `raw` of those that stay are RAW.

        `single` of those that wait lack their partner. What was `taken` is an order's, though it may still be seen.
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
        """Will any be settled by itself, within the settle time?"""
        waiting = (self._decisions.get(name) for _, name in self._timers if name in self.sightings)
        return any(each is None or each.is_passing for each in waiting)

    def scan(self, now: float) -> None:
        """See every file; forget those that are gone."""
        seen = self._see_all("", now)
        for name in (self.sightings.keys() | self._decisions.keys()) - seen:
            self.drop(name, now)
        self.has_scanned = True

    def look_at(self, name: str, now: float, *, was_worked_on: bool) -> None:
        """See what somebody has worked on, or what has come."""
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
            is_known=self.quiet.__contains__,  # settled: looked at anew when its turn comes
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
        with contextlib.suppress(FileNotFoundError, FolderFault):  # gone, or out of reach: its time will tell
            found = disk.stat_of(Place(self.inbox.path, name))
            if found is not None:
                sighting.see(found.st_size, found.st_mtime_ns, now)
        sighting.wait_again(now)
        self._wait(name, sighting.due_at(self.inbox.settle_seconds))

    def _see(self, entry: disk.Entry, now: float) -> None:
        if not entry.is_regular:
            self.drop(entry.name, now)  # what may lie there later begins anew, whatever it looks like
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
        """Have settled files decided about (again) that wait for none of their own timers."""
        self.quiet |= {name: now for name in names if name not in self.quiet}

    def wake_due(self, now: float, also: Iterable[str]) -> None:
        """Let those be quiet whose time has come."""
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
        """Let the quota know of what a list holds before it is taken."""
        more, sighting.listed = listed - sighting.listed, listed
        if sighting.was_found:
            self.found += more
        else:
            self.new += more
        self.quiet[name] = now

    def put_off(self, name: str, decision: Decision, now: float) -> None:
        self.remember(name, decision)
        if decision.answer is Action.STAY and decision.obstacle is None:  # which goes away one day
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
