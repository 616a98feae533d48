"""Look, wait until a file has settled, claim it: one inbox, one beat at a time.

Events are nudges, the directory is the truth: every file, whether it was there at the start, moved in with its folder
or written slowly, comes through the same scan and the same decision.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from watchfolder import disk
from watchfolder.config import Inbox
from watchfolder.errors import FolderFault
from watchfolder.folders import Folders
from watchfolder.health import InboxHealth
from watchfolder.intake import obstacles
from watchfolder.intake.candidates import Candidates, Emptied, Nudges, UnderWay
from watchfolder.intake.claim import Claims
from watchfolder.intake.decide import Action, Decision, Ready, Sighting, decide, out_of_reach
from watchfolder.quota import Admits, Allowance
from watchfolder.services import flow_of

_MOST_DECISIONS = 256  # in one beat: then the nudges and the timers have their turn
_GATHER_SECONDS = 0.5  # what a settled file waits, at most, for those that are about to settle
_REASONS_SECONDS = 60.0  # how often the quarantine's notes are compared with its pictures
_SCANS_AT_MOST = 0.1  # of the time: a share of a hundred thousand files must not keep us from the pictures
_FAULT_SECONDS = 5.0  # how soon a folder that failed is looked at again
_DUPLICATES_SECONDS = 1.0  # how soon it is asked whether a duplicate that is under way has come to its end
_ASKS_SECONDS = 30.0  # how often a waiting inbox asks for capacity: after a minute without, it loses its share


class Intake:
    """Looks at one inbox and claims. Any thread may call `nudge`, one thread calls `beat`."""

    def __init__(
        self, inbox: Inbox, claims: Claims, folders: Folders, admission: Admits, sweep_reasons: Callable[[], None]
    ) -> None:
        self.inbox = inbox
        self.health = InboxHealth(inbox)
        self.allowance = Allowance()  # what this beat may take
        self._claims = claims
        self._folders = folders
        self._admission = admission
        self._sweep_reasons = sweep_reasons
        self._nudges = Nudges()
        self.candidates = Candidates(inbox, claims.partners)
        self._taking: frozenset[str] = frozenset()  # names in the claim under way
        self.waits_for_pipeline = False  # which will wake us: what is settled cannot be taken yet
        self._emptied = Emptied(inbox.path, inbox.empty_folder_seconds)
        self._scan_at = 0.0
        self._reasons_at = 0.0

    # --- from any thread

    def nudge(self, name: str | None) -> None:
        """Somebody may have worked on the file `name` (below the inbox), or on any (None)."""
        self._nudges.add(name, was_worked_on=True)

    def look_at(self, name: str) -> None:
        """A file may have come back as `name`. One that is known there is another file, whose wait goes on."""
        self._nudges.add(name, was_worked_on=False)

    def counts(self, orders: UnderWay) -> dict[str, int]:
        """Count the files by answer, without those of `orders`, which must have been read before this call."""
        taken = orders.leaving | (self._taking & orders.names)  # before counting: a taken file is dropped first
        return self.candidates.counts(taken)

    # --- from the inbox's own thread

    def open_again(self, now: float) -> float:
        """Check the folders and deal with what a crash left; return when to try again if that failed."""
        try:
            self._folders.require_room(self.inbox, self.health.needs)
            self._claims.recover(self._folders)
        except FolderFault as fault:
            self.health.explain(fault)
            return now + _FAULT_SECONDS
        self.health.open()
        self._scan_at = now
        return now

    def beat(self, now: float) -> float:
        """Look, decide and claim; return when (monotonic seconds) the next beat is due without a nudge."""
        try:
            self._look(now)
            self.candidates.wake_due(now, self._claims.dedup.ended())
            self.allowance = self._ask()
            self._work(now)
        except FolderFault as fault:
            self.health.report(fault, self.health.needs)
            self._explain(fault)
            return now + _FAULT_SECONDS
        if self._nudges.are_left:
            return now
        if self.candidates.quiet and self.allowance.may_begin and not self.waits_for_pipeline:
            return self._end_of_wait(now)
        duplicates_due = now + _DUPLICATES_SECONDS if self._claims.dedup.waiting else self._scan_at
        asks_due = now + _ASKS_SECONDS if self.candidates.quiet and not self.allowance.is_held else self._scan_at
        return min(self._scan_at, duplicates_due, asks_due, self.candidates.next_due)

    def _explain(self, fault: FolderFault) -> None:
        try:
            self._folders.require_room(self.inbox, self.health.needs)
        except FolderFault as cause:
            fault = cause
        self.health.explain(fault)

    def is_idle(self) -> bool:
        """Would only a change or a long wait bring something to do?"""
        if self._nudges.are_left or self.candidates.quiet or self.candidates.are_settling():
            return False
        return self.candidates.has_scanned and not self._claims.dedup.has_ended()

    def _look(self, now: float) -> None:
        """Look at what was nudged, and when its time has come at everything."""
        is_about_anything, names = self._nudges.take()  # before the scan: what comes meanwhile wants another
        for name, was_worked_on in names.items():
            self.candidates.look_at(name, now, was_worked_on=was_worked_on)
        if not is_about_anything and now < self._scan_at:
            return
        self._folders.require(self.inbox)
        with disk.seconds_at_work() as seconds:  # a share that hung for an hour is looked at again at once
            self.candidates.scan(now)
            self._scan_at = now + max(self.inbox.scan_seconds, seconds() / _SCANS_AT_MOST)
        self._emptied.remove(now)
        if now >= self._reasons_at:
            self._reasons_at = now + _REASONS_SECONDS  # also where that fails
            with disk.seconds_at_work() as seconds:
                self._sweep_reasons()
                self._reasons_at = now + max(_REASONS_SECONDS, seconds() / _SCANS_AT_MOST)

    def _ask(self) -> Allowance:
        """Tell the admission what came, each file once, and return how much of what is quiet may be taken."""
        candidates = self.candidates
        new, found = candidates.new, candidates.found
        candidates.new = candidates.found = 0
        return self._admission.meet(self.inbox.name, len(candidates.quiet), new, found, candidates.are_waiting)

    def _end_of_wait(self, now: float) -> float:
        """Return until when it pays to wait for files that are about to settle; a lone file waits for none."""
        if len(self.candidates.quiet) >= self.inbox.max_files_per_order:
            return now
        next_settles = self.candidates.next_due
        return next_settles if next_settles <= next(iter(self.candidates.quiet.values())) + _GATHER_SECONDS else now

    def _work(self, now: float) -> None:
        """Claim what has settled: one file while they trickle, many in one order when they pour."""
        self.waits_for_pipeline = False
        allowance = self.allowance
        if allowance.is_held:
            self._look_at_held(now)
        if not allowance.orders or (allowance.may_begin and self._end_of_wait(now) > now):
            return
        with disk.folders_kept_open():
            ready = self._decide(self._may_take(allowance), allowance, now)
        self.waits_for_pipeline = not allowance.files and bool(ready)
        if self.waits_for_pipeline:
            here = [name for name in _names(ready) if name in self.candidates.sightings]  # an original may be lent
            self.candidates.quiet = dict.fromkeys(here, now) | self.candidates.quiet
        elif ready:
            self._claim(ready, now, may_buy=allowance.paid_bytes is None)

    def _may_take(self, allowance: Allowance) -> Iterable[str]:
        """Return what may be taken: where nothing may be bought, what is paid for already."""
        paid, sightings = allowance.paid_bytes, self.candidates.sightings
        quiet = self.candidates.quiet
        return quiet if paid is None else [name for name in quiet if _is_in(paid, sightings[name])]

    def _look_at_held(self, now: float) -> None:
        """Decide about held files without taking any: what is no picture need not wait for a person.

        Everything else stays quiet until it is let go, so that nothing is forgotten.
        """
        sightings = self.candidates.sightings
        unread = (name for name in self.candidates.quiet if not sightings[name].is_read)
        for name in list(itertools.islice(unread, _MOST_DECISIONS)):
            decision = decide(self.inbox, name, sightings[name], now)
            if decision.answer is Action.STAY and not decision.is_warning:
                del self.candidates.quiet[name]
                self.candidates.put_off(name, decision, now)

    def _decide(self, settled: Iterable[str], allowance: Allowance, now: float) -> list[Ready]:
        """Decide about what has settled, oldest first; return files that one order may take."""
        ready: list[Ready] = []
        goes_in_pairs = flow_of(self.inbox).pairs is not None
        most = 1 if goes_in_pairs else allowance.files or self.inbox.max_files_per_order
        bytes_left = allowance.bytes
        for name in list(itertools.islice(settled, _MOST_DECISIONS)):
            sighting = self.candidates.sightings[name]
            if ready and (len(ready) >= most or sighting.size > bytes_left):
                break
            del self.candidates.quiet[name]
            try:
                taken = self._act(name, sighting, now)
            except FolderFault:  # has decided nothing about these files: their turn comes again, after the others'
                self.candidates.wake([*_names(ready), name], now)
                raise
            if not _may_be_one_order(ready, taken):
                self.candidates.wake(_names(taken), now)
                break
            ready += taken
            bytes_left -= sum(file.size for file in taken)
        return ready

    def _act(self, name: str, sighting: Sighting, now: float) -> Sequence[Ready]:
        """Act on a settled file, or return it as ready to be claimed, with the other file of its pair."""
        decision = decide(self.inbox, name, sighting, now)
        shape = (name, sighting.size, sighting.mtime_ns)
        is_list = decision.listed is not None
        ready = Ready(*shape, decision.format, decision.why, decision.address, is_list, sighting.sha256)
        match decision.answer:
            case Action.TAKE if decision.listed and sighting.listed != decision.listed:
                self.candidates.count_listed(name, sighting, decision.listed, now)
            case Action.TAKE:
                together = self._claims.partners.meet(ready, now)
                if not isinstance(together, Decision):
                    return together
                self.candidates.put_off(name, together, now)
            case Action.REFUSE:
                self._claim([ready], now)
            case Action.GONE:
                self.candidates.drop(name, now)
            case Action.STAY | Action.WAIT:
                self.candidates.put_off(name, decision, now)
        return ()

    def _claim(self, ready: Sequence[Ready], now: float, *, may_buy: bool = True) -> None:
        own = [file.name for file in ready if file.lies_at is None]
        self._require_room_for(ready, own, now)
        self._taking = frozenset(own)
        try:
            orders = self._claims.claim(ready, may_buy=may_buy)
        except Exception:
            for name in own:  # what still lies here is no new file, but settles anew
                self.candidates.wait_again(name, now)
            raise
        else:
            for name in own:
                self._go_on_after_claim(name, now)
        finally:
            self._taking = frozenset()
        self._emptied.note(own, now)
        moved = {file.name for order in orders for file in order.files}
        if not moved.union(self.candidates.sightings).issuperset(own):
            self.nudge(None)  # some changed during the claim, and lie here again, perhaps under other names

    def _require_room_for(self, ready: Sequence[Ready], own: Sequence[str], now: float) -> None:
        sent = sum(file.size for file in ready if file.why is None)  # a refused file is not sent
        try:
            self._folders.require_room(self.inbox, sent)
        except FolderFault:
            self.health.needs = min(sent, ready[0].size)
            self.candidates.wake(own, now)
            raise

    def _go_on_after_claim(self, name: str, now: float) -> None:
        """Forget a file that was taken, and keep one in sight that the claim has left there for a reason."""
        sighting = self.candidates.sightings[name]
        if left := self._claims.left.get(name):
            if left.hindrance:
                obstacle = obstacles.to_read(self.inbox, name, left.hindrance, is_of_rights=False)
                decision = out_of_reach(left.hindrance, sighting.try_again(now), obstacle)
                self.candidates.put_off(name, decision, now)
            else:
                sighting.sha256 = left.sha256
                self.candidates.wake([name], now)
        elif duplicate := self._claims.dedup.waiting.get(name):
            sighting.sha256 = duplicate.sha256
            reason = f"the same picture is under way (order wf-{duplicate.key}): it waits for that one's result"
            self.candidates.put_off(name, Decision(Action.WAIT, reason), now)
        else:
            self.candidates.drop(name, now)  # if it is still there, the next scan sees it afresh


def _names(files: Iterable[Ready]) -> list[str]:
    return [file.name for file in files]


def _may_be_one_order(ready: Sequence[Ready], taken: Sequence[Ready]) -> bool:
    """May they share an order? What the service fetches is not mixed with uploads, and a list is one by itself."""
    if not ready or not taken:
        return True
    one, other = ready[0], taken[0]
    return bool(one.address) is bool(other.address) and not one.is_list and not other.is_list


def _is_in(paid_bytes: Mapping[int, Collection[str]], sighting: Sighting) -> bool:
    """May the file have bytes that a paid order waits for? Until it has been read once, its size alone tells."""
    hashes = paid_bytes.get(sighting.size, ())
    return bool(hashes) and (sighting.sha256 is None or sighting.sha256 in hashes)
