"""Which files of an inbox go together into one order: where the service takes them two by two, none goes alone."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from watchfolder.config import Inbox
from watchfolder.intake.decide import Decision, Ready, wait_for_other
from watchfolder.intake.originals import Originals
from watchfolder.order import Role
from watchfolder.services import Alone, Pairs, flow_of


class Partners:
    """The pairs of one inbox; only its own thread asks."""

    def __init__(self, inbox: Inbox, inbox_of: Callable[[str], Inbox | None]) -> None:
        """`inbox_of` finds the one whose originals it may borrow."""
        self._pairs = flow_of(inbox).pairs
        self._originals: Originals | None = None
        if self._pairs is not None and inbox.originals_from is not None:
            self._originals = Originals(inbox, inbox.originals_from, self._pairs, inbox_of)
        self._seen: defaultdict[Hashable, set[str]] = defaultdict(set)  # by what their names share
        self._ready: dict[str, Ready] = {}  # could be taken, but for their partner

    def see(self, name: str) -> None:
        """Record a file that is there, and may be taken in time."""
        if self._pairs is not None:
            self._seen[self._pairs.shared(name)].add(name)
            self._ready.pop(name, None)

    def meet(self, file: Ready, now: float) -> Sequence[Ready] | Decision:
        """Return the files of one order; or that this one, which could be taken, has to wait, and why."""
        if self._pairs is None:
            return [file]
        self._ready[file.name] = file
        together = self._find(self._pairs, file, now)
        for each in () if isinstance(together, Decision) else together:
            self._ready.pop(each.name, None)  # if the claim leaves them, it says how they wait
        return together

    def _find(self, pairs: Pairs, file: Ready, now: float) -> Sequence[Ready] | Decision:
        found = pairs.find(file.name, self._seen[pairs.shared(file.name)])
        if isinstance(found, Alone):
            if self._originals is None or not found.lacks_original:
                return wait_for_other(found.reason)
            lent = self._originals.find(file, now)
            return lent if isinstance(lent, Decision) else _pair(pairs, lent, file)
        original, picture = self._ready.get(found.original), self._ready.get(found.picture)
        if original is None or picture is None:
            other = found.picture if original else found.original
            return wait_for_other(f"{other} cannot be taken with it yet")
        return _pair(pairs, replace(original, role=Role.ORIGINAL), picture)

    def drop(self, name: str) -> list[str]:
        """Forget a file that is gone or will not be taken; return those that may have waited for it."""
        if self._pairs is None:
            return []
        shared = self._pairs.shared(name)
        self._seen[shared].discard(name)
        self._ready.pop(name, None)
        if not self._seen[shared]:
            del self._seen[shared]
        return [other for other in self._seen.get(shared, ()) if other in self._ready]


def _pair(pairs: Pairs, original: Ready, picture: Ready) -> Sequence[Ready] | Decision:
    if original.format and picture.format and not pairs.fits(original.format, picture.format):
        what = f"a {picture.format.label} is not compared with a {original.format.label}"
        return wait_for_other(f"{what}, its original {original.name}: put one of its own kind there")
    return [original, picture]
