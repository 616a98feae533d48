"""Has a file settled? A small question about time, with `now` as an argument: nothing here sleeps or looks."""

from dataclasses import dataclass, field

from watchfolder.images import Verdict
from watchfolder.services.link_files import Line

_HINDERED_SECONDS = (60.0, 3600.0)  # how soon a file that refused to be moved is tried again: doubles, up to


@dataclass(slots=True)
class Sighting:
    """What we know of a file that has not been taken. Instants are monotonic seconds; age counts from first sight."""

    size: int
    mtime_ns: int
    first_seen: float
    since: float  # the shape is unchanged and no event came since then
    was_found: bool = False  # it was there when this life began
    listed: int = 1  # as how many files it counts
    hindered: int = 0  # how often it could not be moved
    sha256: str | None = None  # the same, where it had to be read for that
    verdict: Verdict | None = None  # of the bytes in this shape; what they say does not change while they do not
    lines: tuple[Line, ...] | None = field(default=None, repr=False)  # the addresses in them
    ctime_ns: int | None = None  # when verdict, hash and addresses were taken

    def see(self, size: int, mtime_ns: int, now: float) -> None:
        """Record a look at the directory: another shape starts the clock again."""
        if (size, mtime_ns) != (self.size, self.mtime_ns):
            self.size, self.mtime_ns = size, mtime_ns
            self.disturb(now)

    def disturb(self, now: float) -> None:
        """Record an event: somebody worked on the file, so what was read of it counts no more."""
        self.since = now
        self._unread()

    def look(self, ctime_ns: int) -> None:
        """Record a look at the file itself: what was read of it counts no more if somebody has touched it since.

        A writer can put a file's mtime back, but not this. It is no reason to wait anew: attributes that
        somebody sets again and again (NAS software, a chmod by cron) move it as well.
        """
        if ctime_ns != self.ctime_ns:
            self._unread()
        self.ctime_ns = ctime_ns

    @property
    def is_read(self) -> bool:
        return self.verdict is not None or self.lines is not None

    def _unread(self) -> None:
        self.verdict, self.sha256, self.lines = None, None, None

    def hinder(self, now: float) -> float:
        """Record that it could not be moved; return when to try again: ever more rarely."""
        shortest, longest = _HINDERED_SECONDS
        wait = min(longest, shortest * 2.0 ** min(self.hindered, 16))
        self.hindered += 1
        return now + wait

    def quiet_at(self, settle_seconds: float) -> float:
        return self.since + settle_seconds

    def is_quiet(self, now: float, settle_seconds: float) -> bool:
        return now >= self.quiet_at(settle_seconds)
