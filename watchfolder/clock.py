"""What time is it? The wall clock is for people; how long something lasts is decided by clocks that nobody can set.

People, NTP and a machine without a battery set the wall clock, in either direction and at any time. `elapsed` counts
the seconds since the boot (CLOCK_BOOTTIME), sleep included: what was put off for an hour is due after an hour of sleep.
`awake` leaves sleep out (CLOCK_MONOTONIC): no order runs out of time while the machine sleeps.
"""

import os
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

LONGEST_WAIT_SECONDS = 4500.0  # of a deferred order: an hour, and a quarter of jitter
BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"
BOOT_ID_VARIABLE = "WATCHFOLDER_BOOT_ID"  # the same from systemd, whose unit hides that file
_CALENDAR = (datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC))


def within_limit(moment: datetime) -> datetime:
    """Clamp an instant to those that have a date in every time zone, with room to add and subtract waits."""
    return min(max(moment, _CALENDAR[0]), _CALENDAR[1])


def instant_of(seconds: float) -> datetime:
    """Return the instant so many seconds after the epoch, clamped: the times of files can lie beyond the calendar."""
    first, last = (end.timestamp() for end in _CALENDAR)
    return datetime.fromtimestamp(min(max(seconds, first), last), UTC)


Instant = Annotated[AwareDatetime, AfterValidator(within_limit)]
"""The type of every date that is read: from our own files, which a person may have edited, and from the service."""


def back_off(times: int, first: float, longest: float) -> float:
    """Return the seconds to wait after `times` earlier tries: `first`, doubling up to `longest`."""
    return min(longest, first * 2.0 ** min(times, 100))


class Moment(BaseModel):
    """One instant by every clock, so that a later process can tell how long ago it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: Instant  # by the wall, for people
    boot: str = ""  # of which `elapsed` and `awake` are readings; "": not known
    elapsed: float = Field(default=0.0, allow_inf_nan=False)
    awake: float = Field(default=0.0, allow_inf_nan=False)

    def after(self, seconds: float) -> Self:
        moved = {"at": self.at + timedelta(seconds=seconds), "elapsed": self.elapsed + seconds}
        return self.model_copy(update={**moved, "awake": self.awake + seconds})


class Clock:
    """The clocks of this machine, read by one process."""

    def __init__(self) -> None:
        boot = boot_id(os.environ, BOOT_ID_FILE)
        self.boot = boot or str(uuid.uuid4())  # without its id, this process counts as a boot of its own
        self._boot_began = 0.0 if boot else self.elapsed()
        self._began = self.awake()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def today(self) -> date:
        """Return the day as people here have it."""
        return self.now().astimezone().date()

    def elapsed(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def awake(self) -> float:
        return time.monotonic()

    def read(self) -> Moment:
        return Moment(at=self.now(), boot=self.boot, elapsed=self.elapsed(), awake=self.awake())

    def since(self, moment: Moment) -> float:
        """Return the seconds since `moment`; if that was in an earlier boot, only those since this boot began."""
        then = moment.elapsed if moment.boot == self.boot else self._boot_began
        return max(0.0, self.elapsed() - then)

    def awake_since(self, moment: Moment) -> float:
        """Return for how many seconds this process has been awake since then."""
        began = max(self._began, moment.awake) if moment.boot == self.boot else self._began
        return max(0.0, self.awake() - began)

    def kept(self, due: Moment) -> Moment:
        """Return a stored due time as a moment of this boot: one of an earlier boot is read by the wall clock.

        The wall clock may have been set since, so such a wait is at most LONGEST_WAIT_SECONDS.
        """
        now = self.read()
        if due.boot == self.boot:
            return now.after(due.elapsed - now.elapsed)
        return now.after(min(LONGEST_WAIT_SECONDS, max(0.0, (due.at - now.at).total_seconds())))


def boot_id(environ: Mapping[str, str], file: str) -> str:
    """Return the kernel's id of this boot, the same in every process; "" where it is not known."""
    try:
        with open(file, "rb") as opened:
            found = opened.read().decode("ascii")  # imports no codec: the daemon's user may not read ours
    except (OSError, ValueError):
        found = environ.get(BOOT_ID_VARIABLE, "")
    return found.strip().replace("-", "")
