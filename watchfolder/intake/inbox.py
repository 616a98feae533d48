"""Look, wait until a file has settled, claim it: one inbox, one beat at a time.

Events are nudges, the directory is the truth: every file, whether it was there at the start, moved in with its folder
or written slowly, comes through the same scan and the same decision.
"""

import contextlib
import heapq
import itertools
import logging
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from watchfolder import disk
from watchfolder.config import Inbox
from watchfolder.desk import Desk
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.events import event
from watchfolder.folders import Folders, InboxHealth
from watchfolder.intake import obstacles, told
from watchfolder.intake.claim import Claims
from watchfolder.intake.emptied import Emptied
from watchfolder.intake.look import Action, Decision, decide, out_of_reach
from watchfolder.intake.nudges import Nudges
from watchfolder.intake.ready import Ready
from watchfolder.intake.settle import Sighting
from watchfolder.intake.under_way import UnderWay
from watchfolder.names import Ignored
from watchfolder.snapshot import OutOfReach

_MOST_DECISIONS = 256  # in one beat: then the nudges and the timers have their turn
_GATHER_SECONDS = 0.5  # what a settled file waits, at most, for those that are about to settle
_REASONS_SECONDS = 60.0  # how often the quarantine's notes are compared with its pictures
_SCANS_AT_MOST = 0.1  # of the time: a share of a hundred thousand files must not keep us from the pictures
_FAULT_SECONDS = 5.0  # how soon a folder that failed is looked at again
_TWINS_SECONDS = 1.0  # how soon it is asked whether a twin that is under way has come to its end
_ASKS_SECONDS = (
    30.0  # how often room is asked for: after a minute without asking an inbox has no share of it, and is not woken
)


class Intake:
    """The look at one inbox. `nudge` may come from any thread, `beat` from one."""

    def __init__(
        self, inbox: Inbox, claims: Claims, folders: Folders, desk: Desk, sweep_reasons: Callable[[], None]
    ) -> None:
        self.inbox = inbox
        self.health = InboxHealth(inbox.name)
        self.has_scanned = False
        self.held = ""  # why nothing is taken until a person says so
        self._claims = claims
        self._folders = folders
        self._desk = desk
        self._sweep_reasons = sweep_reasons
        self._ignored = Ignored(inbox.ignore)
        self._nudges = Nudges()
        self._sightings: dict[str, Sighting] = {}
        self._decisions: dict[str, Decision] = {}
        self._timers: list[tuple[float, str]] = []
        self._quiet: dict[str, float] = {}  # names whose time has come, oldest first, and when that was
        self._taking: frozenset[str] = frozenset()  # by the claim under way
        self._new = 0  # files that the quota has not been told of
        self._found = 0  # addresses in lists that were here when this life began, of which it has not been told either
        self.waits_for_pipeline = False  # which will wake us: what is settled cannot be taken yet
        self._emptied = Emptied(inbox.path, inbox.empty_folder_seconds)
        self._scan_at = 0.0
        self._reasons_at = 0.0

    # --- from any thread

    def nudge(self, name: str | None) -> None:
        """Somebody may have worked on the file `name` (below the inbox), or on any (None)."""
        self._nudges.add(name, was_worked_on=True)

    def look_at(self, name: str) -> None:
        """A file may have come back as `name`. One that is known there is another, and goes on waiting as it did."""
        self._nudges.add(name, was_worked_on=False)

    def counts(self, orders: UnderWay) -> dict[str, int]:
        """Return how many files there are by answer, none that is one of the `orders`, which were read before this."""
        taken = orders.leaving | (self._taking & orders.names)  # read first: what is taken is dropped before that ends
        return told.counts(dict(self._sightings), dict(self._decisions), taken)

    def out_of_reach(self) -> list[OutOfReach]:
        """Return the folders whose pictures cannot be taken, the one with the most of them first."""
        return told.out_of_reach(dict(self._decisions))

    def remarks(self) -> dict[str, str]:
        """Return the files that a person should know of, with the reason."""
        return told.remarks(dict(self._decisions))

    def oldest_waiting(self) -> float | None:
        """Return when (monotonic seconds) the longest-waiting file was first seen."""
        return told.oldest_waiting(dict(self._sightings), dict(self._decisions))

    def unfinished(self) -> dict[str, str]:
        """Return files that were left for later, with the reason; bounded."""
        return told.unfinished(dict(self._decisions), list(self._quiet), self.held)

    def _has_waiting(self) -> bool:
        return bool(self._quiet) or any(name not in self._decisions for name in self._sightings)

    # --- from the inbox's own thread

    def reopen(self, now: float) -> float:
        """Check the folders and deal with what a crash left; return when to try again if that failed."""
        try:
            self._require()
            self._claims.recover()
        except FolderFault as fault:
            self.health.explain(fault)
            return now + _FAULT_SECONDS
        self.health.open()
        self._scan_at = now
        return now

    def beat(self, now: float) -> float:
        """Look, decide and claim; return when (monotonic seconds) the next beat is due without a nudge."""
        try:
            if now >= self._scan_at:
                self._folders.require(self.inbox)
                self._scan(now)
            else:
                self._follow_nudges(now)
            self._wake_timers(now)
            self.held = self._desk.meet(self.inbox.name, self._new, self._has_waiting, self._found)
            self._new = self._found = 0
            self._work(now)
        except FolderFault as fault:
            self.health.report(fault, self.health.needs)
            self._explain(fault)
            return now + _FAULT_SECONDS
        if self._nudges:
            return now
        if not self.waits_for_pipeline and self._may_claim():
            return self._gathers_until(now)
        twins_due = now + _TWINS_SECONDS if self._claims.twins.waiting else self._scan_at
        asks_due = now + _ASKS_SECONDS if self._quiet and not self.held else self._scan_at
        return min(self._scan_at, twins_due, asks_due, self._timers[0][0] if self._timers else self._scan_at)

    def _require(self) -> None:
        self._folders.require(self.inbox)
        self._folders.require_room(self.inbox, self.health.needs)

    def _explain(self, fault: FolderFault) -> None:
        try:
            self._require()
        except FolderFault as cause:
            fault = cause
        self.health.explain(fault)

    def is_idle(self) -> bool:
        """Would only a change or a long wait bring something to do?"""
        waiting = (self._decisions.get(name) for _, name in self._timers if name in self._sightings)
        settling = any(each is None or each.is_passing for each in waiting)
        return self.has_scanned and not (self._nudges or self._quiet or settling or self._claims.twins.has_ended())

    def _scan(self, now: float) -> None:
        self._nudges.take_anything()  # not after the scan: what came meanwhile wants another
        for name, was_worked_on in self._nudges.take().items():
            if was_worked_on and name in self._sightings:  # what came new before this scan is seen by it
                self._disturb(name, now)
        with disk.time_at_work() as seconds:  # a share that hung for an hour is looked at again at once
            seen = self._look_through("", now)
            took = seconds()
        for name in (self._sightings.keys() | self._decisions.keys()) - seen:
            self._drop(name, now)
        self._scan_at = now + max(self.inbox.scan_seconds, took / _SCANS_AT_MOST)
        self.has_scanned = True
        self._emptied.remove(now)
        if now >= self._reasons_at:
            self._reasons_at = now + _REASONS_SECONDS
            self._sweep_reasons()

    def _follow_nudges(self, now: float) -> None:
        if self._nudges.take_anything():
            self._scan(now)
        for name, was_worked_on in self._nudges.take().items():
            if name not in self._sightings:
                self._meet(name, now)
            elif was_worked_on:
                self._disturb(name, now)

    def _meet(self, name: str, now: float) -> None:
        """See what came: a file, or a folder whose files made no event of their own."""
        folder, base = os.path.split(name)
        try:
            found = disk.stat_of(Place(self.inbox.path, name)) if self._is_watched(folder) else None
            if found is None:
                return
            if disk.is_folder(found):
                if self._is_watched(name):
                    self._look_through(name, now)
            elif not self._ignored.file(base):
                self._see(disk.Entry(name, found.st_size, found.st_mtime_ns, disk.is_regular(found)), now)
        except (FileNotFoundError, FolderFault):  # gone again, or the folder is not ours: the scan says so
            return

    def _is_watched(self, folder: str) -> bool:
        if not folder:
            return True
        return self.inbox.recursive and not any(map(self._ignored.folder, folder.split("/")))

    def _look_through(self, folder: str, now: float) -> set[str]:
        """See every file there; return their names and those of the folders that are closed to us."""
        seen = set()

        def skip(base: str) -> bool:
            return self._ignored.folder(base) is not None

        def tell(where: str, _fault: FolderFault) -> None:
            seen.add(where)
            obstacle = obstacles.to_look_into(self.inbox, where)
            self._remember(where, out_of_reach(f"we may not read this folder: {obstacle.reason}", None, obstacle))

        found = disk.scan(
            self.inbox.path,
            folder,
            skip_folder=skip,
            recursive=self.inbox.recursive,
            is_known=self._quiet.__contains__,  # settled: looked at anew when its turn comes
            on_fault=tell,
        )
        for entry in found:
            if not self._ignored.file(os.path.basename(entry.name)):
                seen.add(entry.name)
                if entry.size >= 0:
                    self._see(entry, now)
        return seen

    def _disturb(self, name: str, now: float) -> None:
        """Begin the wait anew, from the shape that the file has now."""
        sighting = self._sightings[name]
        with contextlib.suppress(FileNotFoundError, FolderFault):  # gone, or out of reach: its time will tell
            found = disk.stat_of(Place(self.inbox.path, name))
            if found is not None:
                sighting.see(found.st_size, found.st_mtime_ns, now)
        sighting.disturb(now)
        self._wait(name, sighting.quiet_at(self.inbox.settle_seconds))

    def _see(self, entry: disk.Entry, now: float) -> None:
        if not entry.is_regular:
            self._drop(entry.name, now)  # what may lie there later begins anew, whatever it looks like
            self._remember(entry.name, Decision(Action.STAY, disk.NOT_PLAIN))
            return
        sighting = self._sightings.get(entry.name)
        if sighting is None:
            self._new += 1
            shape = (entry.size, entry.mtime_ns)
            self._sightings[entry.name] = Sighting(*shape, first_seen=now, since=now, was_found=not self.has_scanned)
        else:
            before = sighting.since
            sighting.see(entry.size, entry.mtime_ns, now)
            if sighting.since == before:
                return
        self._wait(entry.name, now + self.inbox.settle_seconds)

    def _wait(self, name: str, due: float) -> None:
        self._decisions.pop(name, None)
        self._quiet.pop(name, None)
        self._claims.partners.see(name)
        heapq.heappush(self._timers, (due, name))

    def _wake_timers(self, now: float) -> None:
        woken = self._claims.twins.ended()
        while self._timers and self._timers[0][0] <= now:
            woken.append(heapq.heappop(self._timers)[1])
        oldest_first = sorted(
            (name for name in woken if name in self._sightings),
            key=lambda name: (self._sightings[name].first_seen, self._sightings[name].mtime_ns),
        )
        for name in oldest_first:
            self._quiet.setdefault(name, now)

    def _is_barred(self) -> bool:
        return bool(self.held) or self._claims.is_returning() or not self._claims.twins.is_ready

    def _may_claim(self) -> bool:
        return bool(self._quiet) and not self._is_barred() and self._desk.room(self.inbox.name) > 0

    def _gathers_until(self, now: float) -> float:
        """Return until when it pays to wait for files that are about to settle; a lone file waits for none."""
        if len(self._quiet) >= self.inbox.max_files_per_order or not self._timers:
            return now
        next_settles = self._timers[0][0]
        return next_settles if next_settles <= next(iter(self._quiet.values())) + _GATHER_SECONDS else now

    def _work(self, now: float) -> None:
        """Claim what has settled: one file while they trickle, many in one order when they pour."""
        self.waits_for_pipeline = False
        if self.held:
            self._look_at_held(now)
        if not self._may_claim():
            self._resume(now)
            return
        if self._gathers_until(now) > now:
            return
        most = self._desk.largest_order(self.inbox.name) if len(self._quiet) > 1 else 1
        with disk.folders_kept_open():
            ready = self._decide(self._quiet, most or self.inbox.max_files_per_order, now)
        self.waits_for_pipeline = most == 0 and bool(ready)
        if self.waits_for_pipeline:
            self._quiet = {file.name: now for file in ready} | self._quiet
        elif ready:
            self._claim(ready, now)

    def _look_at_held(self, now: float) -> None:
        """Decide about what is held, and take none of it: what is no picture does not wait to be let go.

        What cannot be taken yet does: it must not be forgotten before it can.
        """
        unread = ((name, seen) for name in self._quiet if (seen := self._sightings.get(name)) and not seen.is_read)
        for name, sighting in list(itertools.islice(unread, _MOST_DECISIONS)):
            decision = decide(self.inbox, name, sighting, now)
            if decision.answer is Action.STAY and not decision.is_warning:
                del self._quiet[name]
                self._put_off(name, decision)

    def _resume(self, now: float) -> None:
        """Take what is paid for already, though nothing may be bought."""
        most = self._desk.resumable(self.inbox.name) if self._quiet and not self._is_barred() else 0
        awaited = self._claims.twins.awaited() if most else {}
        names = [name for name in self._quiet if (seen := self._sightings.get(name)) and _is_in(awaited, seen)]
        if names and (ready := self._decide(names, most, now)):
            self._claim(ready, now, may_buy=False)

    def _decide(self, settled: Iterable[str], most: int, now: float) -> list[Ready]:
        """Decide about what has settled, oldest first; return up to `most` files that one order may take."""
        ready: list[Ready] = []
        most = 1 if self._claims.partners.go_by_pairs else most
        bytes_left = self._folders.largest_order(self.inbox)
        for name in list(itertools.islice(settled, _MOST_DECISIONS)):
            sighting = self._sightings.get(name)
            if len(ready) >= most or (ready and sighting is not None and sighting.size > bytes_left):
                break
            del self._quiet[name]
            try:
                taken = self._act(name, sighting, now) if sighting is not None else ()
            except FolderFault:  # has decided nothing about these files: their turn comes again, after the others'
                self._quiet.update(dict.fromkeys([*(file.name for file in ready), name], now))
                raise
            if ready and taken and not _go_together(ready[0], taken[0]):
                self._quiet |= {file.name: now for file in taken}
                break
            ready += taken
            bytes_left -= sum(file.size for file in taken)
        return ready

    def _act(self, name: str, sighting: Sighting, now: float) -> Sequence[Ready]:
        """Do with a settled file what is to be done, or return it as ready to be claimed, with what goes with it."""
        decision = decide(self.inbox, name, sighting, now)
        shape = (name, sighting.size, sighting.mtime_ns)
        is_list = decision.listed is not None
        ready = Ready(*shape, decision.format, decision.why, decision.address, is_list, sighting.sha256)
        match decision.answer:
            case Action.TAKE if decision.listed and sighting.listed != decision.listed:
                self._count(name, sighting, decision.listed, now)
            case Action.TAKE:
                together = self._claims.partners.meet(ready, now)
                if not isinstance(together, Decision):
                    return together
                self._put_off(name, together)
            case Action.REFUSE:
                self._claim([ready], now)
            case Action.GONE:
                self._drop(name, now)
            case Action.STAY:
                self._wake(self._claims.partners.drop(name), now)
                self._put_off(name, decision)
            case Action.WAIT:
                self._put_off(name, decision)
        return ()

    def _count(self, name: str, sighting: Sighting, listed: int, now: float) -> None:
        """Let the quota know of what a list holds before it is taken."""
        more, sighting.listed = listed - sighting.listed, listed
        if sighting.was_found:
            self._found += more
        else:
            self._new += more
        self._quiet[name] = now

    def _put_off(self, name: str, decision: Decision) -> None:
        self._remember(name, decision)
        if decision.due is not None:
            heapq.heappush(self._timers, (decision.due, name))

    def _claim(self, ready: Sequence[Ready], now: float, *, may_buy: bool = True) -> None:
        sent = sum(file.size for file in ready if file.why is None)  # a refused file is not sent
        own = [file for file in ready if file.lies_at is None]
        try:
            self._folders.require(self.inbox)
            self._folders.require_room(self.inbox, sent)
        except FolderFault:
            self.health.needs = min(sent, ready[0].size)
            self._quiet.update((file.name, now) for file in own)
            raise
        self._taking = frozenset(file.name for file in own)
        try:
            orders = self._claims.claim(ready, may_buy=may_buy)
        except Exception:
            self._taking = frozenset()
            for file in own:  # what still lies here is no new file, but settles anew
                self._disturb(file.name, now)
            raise
        for file in own:
            sighting, before = self._sightings[file.name], self._decisions.get(file.name)
            self._drop(file.name, now)  # if it is still there, the next scan sees it afresh
            self._go_on_with_untaken(file.name, sighting, before, now)
        self._taking = frozenset()
        self._emptied.note({os.path.dirname(file.name) for file in own} - {""}, now)
        self._emptied.remove(now)
        for order in orders:
            self._desk.admit(order)
        moved = {file.name for order in orders for file in order.files}
        if not moved.issuperset(file.name for file in own if file.name not in self._sightings):
            self.nudge(None)  # some changed during the claim, and lie here again, perhaps under other names

    def _go_on_with_untaken(self, name: str, sighting: Sighting, before: Decision | None, now: float) -> None:
        """Keep a file in sight that the claim has left there for a reason."""
        hindrance = self._claims.hindrances.pop(name, None)
        twin = self._claims.twins.waiting.get(name)
        if name in self._claims.later:
            self._quiet[name] = now
            sighting.sha256 = self._claims.later[name]
        elif twin is not None:
            sighting.sha256 = twin.sha256
            self._remember(name, twin.decision)
        elif hindrance:
            self._decisions |= {name: before} if before else {}  # so that it is told once
            obstacle = obstacles.to_read(self.inbox, name, hindrance, is_of_rights=False)
            self._put_off(name, out_of_reach(hindrance, sighting.hinder(now), obstacle))
        else:
            return
        self._sightings[name] = sighting
        self._claims.partners.see(name)

    def _remember(self, name: str, decision: Decision) -> None:
        before = self._decisions.get(name)
        self._decisions[name] = decision
        if decision.is_warning and (before is None or before.reason != decision.reason):
            event("file.stays", logging.WARNING, inbox=self.inbox.name, file=name, reason=decision.reason)

    def _drop(self, name: str, now: float) -> None:
        self._sightings.pop(name, None)
        self._decisions.pop(name, None)
        self._quiet.pop(name, None)
        self._wake(self._claims.partners.drop(name), now)

    def _wake(self, names: Iterable[str], now: float) -> None:
        self._quiet |= {name: now for name in names if name not in self._quiet}


def _go_together(one: Ready, other: Ready) -> bool:
    """May they share an order? What the service fetches is not mixed with uploads, and a list is one by itself."""
    return bool(one.address) is bool(other.address) and not one.is_list and not other.is_list


def _is_in(awaited: Mapping[int, Collection[str]], sighting: Sighting) -> bool:
    """May these be bytes that are waited for? They are read for their hash once."""
    hashes = awaited.get(sighting.size, ())
    return bool(hashes) and (sighting.sha256 is None or sighting.sha256 in hashes)
