"""The quota: how many files may be taken before a person is asked; and what an inbox may take now, its `Allowance`.

Pictures cost credits, and an archive that was copied into an inbox by mistake should cost none. A file counts as often
as copies are made of it. What is held, let through and taken today lies in `<state_dir>/quota.json`. A person releases
an inbox by a file `<state_dir>/release/<inbox>`, which the daemon follows and removes, if need be at its next start.
"""

import logging
import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import NamedTuple, Protocol, Self

from pydantic import BaseModel, ConfigDict
from typing_extensions import override

from watchfolder import disk, state_file
from watchfolder.clock import Clock, Moment
from watchfolder.command_line import Advised
from watchfolder.config import BudgetSection, Config
from watchfolder.disk import Place
from watchfolder.events import event
from watchfolder.order import Order

FILE = "quota.json"
_NO_LIMIT = 1 << 30  # files
_NO_BUDGET = BudgetSection()
_STEPS = 100  # the time in which arrivals are counted has as many steps
_COUNTED = 100  # orders, the latest: a claim that may be repeated begins a few at once, and a list one
_RESERVED_SECONDS = 60.0  # how long files are kept for a claim that a share holds up
_DAY_SECONDS = 24 * 3600.0
_LONGEST_DAY_SECONDS = 25 * 3600.0  # the one on which summer time ends


class QuotaState(BaseModel):
    """What is kept in the file. Names are those of inboxes; `taken` and `lifted` are of `day`."""

    model_config = ConfigDict(extra="ignore")

    day: date
    began: Moment  # when the counting of `day` began
    taken: dict[str, int] = {}  # files, each copy of one, today
    counted: list[str] = []  # the keys of the orders that took them, the last ones: a claim may be repeated
    lifted: list[str] = []  # which a person lets take more than today's budget
    held: dict[str, str] = {}  # since too many files came at once: "812 new files in 2 minutes"
    released: list[str] = []  # whose files a person let through, and not all have been taken yet

    @classmethod
    def read(cls, state_dir: str, clock: Clock) -> Self:
        """Return what was remembered; what cannot be read is forgotten, and the counting begins anew."""
        found = state_file.read(Place(state_dir, FILE), cls, "the budgets are counted anew")
        return found or cls(day=clock.today(), began=clock.read())


class Arrivals:
    """What came into one inbox, and when; instants are seconds awake. It knows no clock.

    As text, for people: how much came within what time, once anything has come.
    """

    def __init__(self, longest_seconds: float, copies: int) -> None:
        self._longest = longest_seconds
        self._copies = copies  # of each file
        self._came: deque[tuple[float, int]] = deque()
        self._last = 0.0

    def add(self, files: int, now: float) -> None:
        if self._came and now - self._came[-1][0] < self._longest / _STEPS:
            since, before = self._came.pop()
            self._came.append((since, before + files))
        else:
            self._came.append((now, files))
        self._last = now

    def within(self, seconds: float, now: float) -> int:
        """Return how many copies are to be made of what came in the last `seconds`."""
        return self._copies * sum(files for since, files in self._came if since > now - seconds)

    def sweep(self, now: float) -> None:
        while self._came and self._came[0][0] <= now - self._longest:
            self._came.popleft()

    def forget(self) -> None:
        self._came.clear()

    @override
    def __str__(self) -> str:
        files = sum(files for _, files in self._came)
        minutes = max(1, math.ceil((self._last - self._came[0][0]) / 60))
        copies = f", {self._copies} copies of each," if self._copies > 1 else ""
        return f"{files} new file{'s' * (files != 1)}{copies} in {minutes} minute{'s' * (minutes != 1)}"


class DryRun(NamedTuple):
    """What would hold files, how many would go all the same, and how many more after `watchfolder release`."""

    reason: str
    sent: int
    released: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """What an inbox may take now: so many orders, and in the next one so many files and bytes.

    Orders, but no files: the service is being asked what it can do, and the inbox is woken when it has answered.
    """

    orders: int = 0
    files: int = 0
    bytes: int = 0
    reason: str | None = None  # why a person has to let it go on
    paid_bytes: Mapping[int, Collection[str]] | None = None  # size → hashes of the only files that may be taken

    @property
    def is_held(self) -> bool:
        """Does a person have to let it go on?"""
        return self.reason is not None

    @property
    def may_begin(self) -> bool:
        """May new orders be begun? Else parked ones may be taken up again, each of one file: they are paid for."""
        return self.orders > 0 and self.paid_bytes is None


class Admits(Protocol):
    """The interface of the pipeline's `Admission`, which says how much may come in."""

    def meet(self, inbox: str, wanted: int, new: int, found: int, has_waiting: Callable[[], bool]) -> Allowance: ...

    def allowance(self, inbox: str, wanted: int, asker: str = "") -> Allowance: ...

    def spend(self, order: Order) -> None: ...


class _Reserved(NamedTuple):
    inbox: str
    files: int
    until: float


class Quota:
    """Any thread may ask; each inbox's own thread tells it what came."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._state_dir = config.state_dir
        self._commands = config.commands
        self._whole = config.budget or _NO_BUDGET
        self._own = {name: inbox.budget or _NO_BUDGET for name, inbox in config.inboxes.items()}
        self._copies = {name: inbox.copies for name, inbox in config.inboxes.items()}
        self._clock = clock
        self._guard = threading.RLock()
        budgets = (self._whole, *self._own.values())
        longest = max((budget.burst.seconds for budget in budgets if budget.burst), default=0.0)
        self._arrivals = {name: Arrivals(longest, copies) for name, copies in self._copies.items()}
        self._met: set[str] = set()
        self._reserved: dict[str, _Reserved] = {}  # by what has asked: an inbox, or a list in it
        memory = QuotaState.read(self._state_dir, clock)
        held = {name: words for name, words in memory.held.items() if self._may_hold(name)}
        self._memory = memory.model_copy(update={"held": held})
        self._is_written = True

    def _may_hold(self, inbox: str) -> bool:
        return inbox in self._own and bool(self._own[inbox].burst or self._whole.burst)

    def why(self, inbox: str) -> str | None:
        """Return what holds the inbox, if anything does."""
        with self._guard:
            if held := self._memory.held.get(inbox):
                return f"{held}; {self._way_to_release(inbox)}"
            if not self.left(inbox):
                return f"today's budget is used up; it goes on tomorrow, or {self._way_to_release(inbox)}"
            return None

    def dry_run(self, new: Mapping[str, int], wanted: Mapping[str, int]) -> dict[str, DryRun]:
        """Return for each inbox what would become of its `wanted` files, if so many `new` ones came into each now."""
        gone: dict[str, int] = {}  # copies
        told = {}
        for inbox, files in wanted.items():
            told[inbox] = self._dry_run(inbox, new, files, gone)
            gone[inbox] = told[inbox].sent * self._copies[inbox]
        return told

    def _dry_run(self, inbox: str, new: Mapping[str, int], wanted: int, gone: Mapping[str, int]) -> DryRun:
        reason, left = self.why(inbox), self.left(inbox)
        is_let = inbox in self._memory.released or self._is_word_given(inbox)
        if reason is None and self._is_over_limit(inbox, lambda name, _seconds: new.get(name, 0) * self._copies[name]):
            reason = f"{new[inbox]} new files are more than may come at once; {self._way_to_release(inbox)}"
        if reason is not None and not is_let:
            return DryRun(reason, 0, min(wanted, left or wanted))
        left = wanted if is_let and not left else self.left(inbox, gone)
        words = f"today's budget has room for {left} only; the others go on tomorrow" if wanted > left else ""
        return DryRun(words, min(wanted, left), 0)

    def meet(self, inbox: str, new: int, has_waiting: Callable[[], bool], found: int = 0) -> str | None:
        """Record that `new` files were seen; return why none of those that wait may be taken, if so.

        What waits at the start counts as new, unless a person had let it through; so do the `found`, which were there
        at the start and are seen only now. Raises FolderFault.
        """
        with self._guard:
            self._reserved.pop(inbox, None)
            self._count(inbox, new, found)
            if (inbox in self._memory.held or inbox in self._memory.released) and not has_waiting():
                self._let_go(inbox)  # its files have been removed, or taken
            now = self._clock.awake()
            is_flooded = self._is_over_limit(inbox, lambda name, seconds: self._arrivals[name].within(seconds, now))
            if is_flooded and has_waiting():
                self._hold(inbox)
            if not self._is_written:
                self._remember()
            if self._is_word_given(inbox):
                self._follow_word(inbox)
            reason = self.why(inbox)
            return reason if has_waiting() else None

    def _count(self, inbox: str, new: int, found: int) -> None:
        """Count what came. What was there at the start is not new where a person has let it through."""
        arrivals, now = self._arrivals[inbox], self._clock.awake()
        if inbox not in self._memory.held:
            arrivals.sweep(now)
        if inbox in self._memory.released:
            new, found = new if inbox in self._met else 0, 0
        self._met.add(inbox)
        if new + found:
            arrivals.add(new + found, now)

    def reserve(self, inbox: str, most: int, asker: str) -> int:
        """Return how many of `most` the inbox, or a list in it, may take now.

        They are reserved for `asker` until it has taken them or asks again, or a minute has passed.
        """
        with self._guard:
            now = self._clock.awake()
            self._reserved = {by: it for by, it in self._reserved.items() if by != asker and now < it.until}
            reserved = Counter[str]()
            for each in self._reserved.values():
                reserved[each.inbox] += each.files * self._copies[each.inbox]
            files = min(most, self.left(inbox, reserved))
            self._reserved[asker] = _Reserved(inbox, files, now + _RESERVED_SECONDS)
            return files

    def left(self, inbox: str, gone: Mapping[str, int] = MappingProxyType({})) -> int:
        """Return how many more files it may take today, if the copies `gone` from each inbox count as taken."""
        with self._guard:
            self._begin_day()
            if inbox in self._memory.lifted:
                return _NO_LIMIT
            taken = self._memory.taken
            own, whole = self._own[inbox].files_per_day, self._whole.files_per_day
            left = own - taken.get(inbox, 0) - gone.get(inbox, 0) if own else _NO_LIMIT
            left = min(left, whole - sum(taken.values()) - sum(gone.values()) if whole else _NO_LIMIT)
            return max(0, left // self._copies[inbox])

    def take(self, inbox: str, files: int, key: str, asker: str) -> None:
        """Record that the order of this key took so many; a repeated call counts nothing. Raises FolderFault."""
        with self._guard:
            self._begin_day()
            self._reserved.pop(asker, None)
            memory, is_counted = self._memory, self._whole.files_per_day or self._own[inbox].files_per_day
            if is_counted and key not in memory.counted:
                taken = {**memory.taken, inbox: memory.taken.get(inbox, 0) + files * self._copies[inbox]}
                self._remember(taken=taken, counted=[*memory.counted, key][-_COUNTED:])

    def _way_to_release(self, inbox: str) -> str:
        return self._commands.run(Advised.RELEASE, inbox)

    def _is_over_limit(self, inbox: str, came: Callable[[str, float], int]) -> bool:
        """Are there more than may come at once? `came` says how many came into an inbox within so many seconds."""
        own, whole = self._own[inbox].burst, self._whole.burst
        if own and came(inbox, own.seconds) > own.files:
            return True
        if not whole or not came(inbox, whole.seconds):
            return False
        return sum(came(name, whole.seconds) for name in self._own) > whole.files

    def _hold(self, inbox: str) -> None:
        """Hold it from now on, even if that cannot be written: when it can, the files may no longer count as new."""
        words = str(self._arrivals[inbox])
        held = self._memory.held
        if inbox not in held:
            release = self._commands.to(Advised.RELEASE, inbox)
            event("inbox.held", logging.WARNING, inbox=inbox, reason=words, release=release)
        if held.get(inbox) != words:  # more came: other processes read the number there
            self._memory = self._memory.model_copy(update={"held": {**held, inbox: words}})
            self._is_written = False

    def _let_go(self, inbox: str, *, waits: bool = False) -> None:
        """Lift the hold; what a person lets through counts as released as long as any of it `waits`."""
        self._arrivals[inbox].forget()
        held = {name: words for name, words in self._memory.held.items() if name != inbox}
        others = [name for name in self._memory.released if name != inbox]
        self._remember(held=held, released=[*others, inbox] if waits else others)

    def _is_word_given(self, inbox: str) -> bool:
        return disk.stat_of(_word(self._state_dir, inbox)) is not None

    def _follow_word(self, inbox: str) -> None:
        """Release what a person said shall go, durably before the file that says so is removed.

        It is removed also when nothing is held any more: it must not let through what comes later.
        """
        if self.why(inbox) is not None:
            if inbox in self._memory.held:
                self._let_go(inbox, waits=True)
            else:  # for today
                self._remember(lifted=[*self._memory.lifted, inbox])
            event("inbox.released", inbox=inbox)
        disk.remove(_word(self._state_dir, inbox))

    def _begin_day(self) -> None:
        """Count anew when the date is a later one, if so much time can have passed; at the latest after 25 hours.

        So a wall clock that is set forward and back grants no second budget, nor ends the counting until a far date.
        """
        today, memory = self._clock.today(), self._memory
        days, passed = (today - memory.day).days, self._clock.since(memory.began)
        can_be_later = memory.began.boot != self._clock.boot or passed >= (days - 1) * _DAY_SECONDS
        if (days > 0 and can_be_later) or passed >= _LONGEST_DAY_SECONDS:
            facts = {"day": today, "began": self._clock.read(), "taken": {}, "lifted": []}
            self._memory = memory.model_copy(update=facts)

    def _remember(self, **facts: object) -> None:
        memory = self._memory.model_copy(update=facts)
        state_file.write(Place(self._state_dir, FILE), memory)
        self._memory, self._is_written = memory, True


def give_word(state_dir: str, inbox: str) -> None:
    """Let the files of one inbox through, at the daemon's next look. Raises FolderFault."""
    disk.write_atomically(_word(state_dir, inbox), b"")


def _word(state_dir: str, inbox: str) -> Place:
    return Place(state_dir, f"release/{inbox}")
