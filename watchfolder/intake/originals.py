"""The originals that another inbox keeps: found by name or by what it gave out, copied, and never touched."""

import os
from collections import defaultdict, deque
from collections.abc import Callable, Hashable
from functools import lru_cache
from itertools import islice

from watchfolder import disk, images, names
from watchfolder.config import Inbox
from watchfolder.disk import NotAFolder, NotRegular, Place
from watchfolder.errors import FolderFault
from watchfolder.images import Kind
from watchfolder.intake.decide import Decision, Ready, wait_for_other
from watchfolder.order import Role
from watchfolder.services import Pairs, flow_of
from watchfolder.services.link_files import is_link_file
from watchfolder.services.tables import given_out_by

_LOOKS_AT_MOST = 0.1  # of the time
_AGAIN_SECONDS = 1.0  # how soon, at least, it is asked again
_SLOW_SECONDS = 10.0  # after a start its inbox may open later than ours
_MOST_NAMED = 3
_MOST_VERSIONS = 1000  # of pictures that wait, remembered
_MOST_ISSUES = 100_000  # the newest of the table

_Version = tuple[str, int, int]  # of a file: its name or path, size and mtime_ns


class Originals:
    """Finds originals in the lender's folder, whose names it remembers until the next look. Asked by one thread.

    A look that is older than the picture finds nothing: another original of its name may have come since.
    """

    def __init__(self, inbox: Inbox, lender: str, pairs: Pairs, inbox_of: Callable[[str], Inbox | None]) -> None:
        self._inbox = inbox
        self._lender = lender
        self._pairs = pairs
        self._inbox_of = inbox_of
        self._issued: dict[str, tuple[str, str]] | None = None  # hash of a copy → its name, hash of its original
        # A file is read once for its hash, as long as it stays as it is.
        self._hash_of = lru_cache(_MOST_VERSIONS)(lambda place, _size, _mtime_ns: disk.hash_of(place))
        self._names: dict[Hashable, list[str]] = {}
        self._looked_at = self._due = self._may_look_at = float("-inf")  # monotonic seconds; the last: at the earliest
        self._first_asked: dict[_Version, float] = {}
        self._away_since: float | None = None

    def find(self, picture: Ready, now: float) -> Ready | Decision:
        """Return the original of a picture, which is to be copied; or that the picture has to wait, and why."""
        lender = self._inbox_of(self._lender)
        if lender is None or lender.originals is None:
            return self._wait(now)
        self._away_since = None
        try:
            first_asked = self._remember(picture, now)
            if now >= (self._may_look_at if first_asked > self._looked_at else self._due):
                self._look(lender.originals, now)
            if first_asked > self._looked_at:
                return wait_for_other("its original is looked for", self._may_look_at, is_passing=True)
            found = self._find_all(picture, lender, lender.originals)
            if len(found) == 1:
                return self._ready(picture, Place(lender.originals, found[0]))
            reason = self._why_not(picture.name, found)
        except (FileNotFoundError, NotAFolder, NotRegular):
            reason = f"its original has just left the inbox {self._lender}"
        except FolderFault as fault:
            reason = f"its original cannot be read: {fault.reason}"
        return wait_for_other(reason, max(self._due, now + _AGAIN_SECONDS))

    def _remember(self, picture: Ready, now: float) -> float:
        """Return when this version of the picture was first asked for."""
        version = (picture.name, picture.size, picture.mtime_ns)
        if version not in self._first_asked:
            self._first_asked = dict([*self._first_asked.items()][-_MOST_VERSIONS:])
        return self._first_asked.setdefault(version, now)

    def _wait(self, now: float) -> Decision:
        """Wait for the lender. At a start it may only be slower than this inbox, so `run --once` waits a while too."""
        self._away_since = now if self._away_since is None else self._away_since
        reason = f"the inbox {self._lender}, which keeps its original, is away"
        is_passing = now < self._away_since + _SLOW_SECONDS
        return wait_for_other(reason, now + _AGAIN_SECONDS, is_passing=is_passing)

    def _look(self, root: str, now: float) -> None:
        found: defaultdict[Hashable, list[str]] = defaultdict(list)
        with disk.seconds_at_work() as seconds:
            for entry in disk.scan(root, skip_folder=lambda base: base.startswith(".")):
                base = os.path.basename(entry.name)
                if entry.is_regular and not base.startswith(".") and not is_link_file(base):
                    found[self._pairs.shared(base)].append(entry.name)
            took = seconds()
        self._names, self._issued = dict(found), None
        self._looked_at, self._may_look_at = now, now + took / _LOOKS_AT_MOST
        self._due = max(now + self._inbox.scan_seconds, self._may_look_at)

    def _find_all(self, picture: Ready, lender: Inbox, root: str) -> list[str]:
        """Return the original of this very copy, or else those of its name; if nothing can be read, a lone one."""
        named = self._of_same_name(picture.name)
        try:
            return self._find_given(picture, lender, root) or self._of_same_bytes(named, root)
        except FolderFault:
            if len(named) == 1:
                return named
            raise

    def _of_same_name(self, name: str) -> list[str]:
        """Return those of the same name in the same sub-folder, or else anywhere."""
        folder, base = os.path.split(name)
        anywhere = self._names.get(self._pairs.shared(base), [])
        return [each for each in anywhere if os.path.dirname(each) == folder] or anywhere

    def _of_same_bytes(self, named: list[str], root: str) -> list[str]:
        """Return one where all have the same bytes, as one file that was dropped for several recipients; else all."""
        first, others = Place(root, "".join(named[:1])), [Place(root, name) for name in named[1:]]
        found = disk.stat_of(first) if others else None
        if found is None:
            return named
        digest = self._hash_of(first, found.st_size, found.st_mtime_ns)
        return named[:1] if all(disk.holds(each, found.st_size, digest) for each in others) else named

    def _find_given(self, picture: Ready, lender: Inbox, root: str) -> list[str]:
        """Return the original of the very copy that this picture is: one of them, where several have the same bytes."""
        if self._issued is None:
            newest = deque(given_out_by(lender), maxlen=_MOST_ISSUES)
            self._issued = {issue.sha256_result: (issue.file, issue.sha256_source) for issue in newest}
        asked = (Place(self._inbox.path, picture.name), picture.size, picture.mtime_ns)
        name, source = self._issued.get(self._hash_of(*asked), ("", "")) if self._issued else ("", "")
        there = self._names.get(self._pairs.shared(os.path.basename(name)), []) if name else []
        return list(islice((name for name in there if disk.hash_of(Place(root, name)) == source), 1))

    def _why_not(self, name: str, found: list[str]) -> str:
        beside = names.with_mark(os.path.basename(name), self._pairs.mark)
        if not found:
            return f"the inbox {self._lender} has no original of this name: put it beside it, as {beside}"
        some = ", ".join(sorted(found)[:_MOST_NAMED])
        count = f"{len(found)} originals of this name ({some})"
        return f"the inbox {self._lender} has {count}: put the right one beside it, as {beside}"

    def _ready(self, picture: Ready, place: Place) -> Ready | Decision:
        found = disk.stat_of(place)
        if found is None or not disk.is_regular(found):
            raise FileNotFoundError(place.path)
        with disk.open_to_read(place) as read_at:
            takes_pdf = flow_of(self._inbox).takes_pdf
            verdict = images.judge(read_at, found.st_size, place.base, takes_pdf=takes_pdf)
        if verdict.format is None or verdict.kind not in {Kind.WHOLE, Kind.SUSPECT}:
            return wait_for_other(f"its original, {place.path}, is no whole picture", self._due)
        marked = names.with_mark(picture.name, self._pairs.mark)
        name = names.with_extension(marked, names.split(place.base)[1] or verdict.format.extension)
        return Ready(name, found.st_size, found.st_mtime_ns, verdict.format, role=Role.COPY, lies_at=place)
