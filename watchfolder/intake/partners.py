"""Which files of an inbox go together into one order: where the service takes them two by two, none goes alone."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import replace

from watchfolder.intake.decide import Decision, Ready, without_partner
from watchfolder.intake.originals import Originals
from watchfolder.order import Role
from watchfolder.services import Alone, Pairs


class Partners:
    """Of one inbox; its thread alone asks."""

    def __init__(self, pairs: Pairs | None, originals: Originals | None) -> None:
        self._pairs = pairs
        self._originals = originals
        self._seen: defaultdict[Hashable, set[str]] = defaultdict(set)  # by what their names share
        self._ready: dict[str, Ready] = {}  # could be taken, but for their partner

    @property
    def go_by_pairs(self) -> bool:
        return self._pairs is not None

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
        found = self._pairs.find(file.name, self._seen[self._pairs.shared(file.name)])
        if isinstance(found, Alone):
            is_borrowed = found.lacks_original and self._originals is not None
            return self._find_original(file, now) if is_borrowed else without_partner(found.reason)
        original, picture = self._ready.get(found.original), self._ready.get(found.picture)
        if original is None or picture is None:
            other = found.picture if original else found.original
            return without_partner(f"{other} cannot be taken with it yet")
        return self._pair(replace(original, role=Role.ORIGINAL), picture)

    def _pair(self, original: Ready, picture: Ready) -> Sequence[Ready] | Decision:
        assert self._pairs is not None  # noqa: S101 - asked by the caller
        if original.format and picture.format and not self._pairs.fits(original.format, picture.format):
            what = f"a {picture.format.label} is not compared with a {original.format.label}"
            return without_partner(f"{what}, its original {original.name}")
        return [original, picture]

    def _find_original(self, picture: Ready, now: float) -> Sequence[Ready] | Decision:
        assert self._originals is not None  # noqa: S101 - asked by the caller
        original = self._originals.lend(picture, now)
        return original if isinstance(original, Decision) else self._pair(original, picture)

    def drop(self, name: str) -> list[str]:
        """Forget a file that is gone or will not be taken; return those that may have waited on its account."""
        if self._pairs is None:
            return []
        shared = self._pairs.shared(name)
        self._seen[shared].discard(name)
        self._ready.pop(name, None)
        if not self._seen[shared]:
            del self._seen[shared]
        return [other for other in self._seen.get(shared, ()) if other in self._ready]
