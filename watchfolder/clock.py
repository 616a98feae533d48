"""What time is it? The wall clock is for people; how long something lasts is decided by clocks that nobody can set.

People, NTP and a machine without a battery set the wall clock, in either direction and at any time. `elapsed` counts
the seconds since the boot (CLOCK_BOOTTIME), those asleep as well: what was put off for an hour is due after an hour of
sleep. `awake` leaves them out (CLOCK_MONOTONIC): nothing fails while the machine sleeps.
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
BOOT_ID_VARIABLE = "WATCHFOLDER_BOOT_ID"  # where that file is hidden from us: the same, from systemd
_CALENDAR = (datetime(2, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC))


def within_limit(moment: datetime) -> datetime:
    """Return the nearest instant that has a date in every time zone, and room on both sides."""
    return min(max(moment, _CALENDAR[0]), _CALENDAR[1])


def instant_of(seconds: float) -> datetime:
    """Return the instant so long after the epoch, as far as a calendar goes: file systems go further."""
    first, last = (end.timestamp() for end in _CALENDAR)
    return datetime.fromtimestamp(min(max(seconds, first), last), UTC)


Instant = Annotated[AwareDatetime, AfterValidator(within_limit)]
"""The type of each date that is read: in files of ours that a person may have edited, and from the service."""


def back_off(times: int, first: float, longest: float) -> float:
    """Return how many seconds to wait after so many tries before this one: `first`, doubling up to `longest`."""
    return min(longest, first * 2.0 ** min(times, 100))


class Moment(BaseModel):
    """One instant by every clock, so that a later life can tell how long ago it was. Readings are of one boot."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: Instant  # by the wall, for people
    boot: str = ""  # "": of none that is known
    elapsed: float = Field(default=0.0, allow_inf_nan=False)
    awake: float = Field(default=0.0, allow_inf_nan=False)

    def after(self, seconds: float) -> Self:
        moved = {"at": self.at + timedelta(seconds=seconds), "elapsed": self.elapsed + seconds}
        return self.model_copy(update={**moved, "awake": self.awake + seconds})


class Clock:
    """The clocks of this machine, read by one process."""

    def __init__(self) -> None:
        boot = boot_id(os.environ, BOOT_ID_FILE)
        self.boot = boot or str(uuid.uuid4())  # else this life counts as a boot of its own
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
        """Return how many seconds have passed since then at least: of an earlier boot, those since this one."""
        then = moment.elapsed if moment.boot == self.boot else self._boot_began
        return max(0.0, self.elapsed() - then)

    def awake_since(self, moment: Moment) -> float:
        """Return for how many seconds this process has been awake since then."""
        began = max(self._began, moment.awake) if moment.boot == self.boot else self._began
        return max(0.0, self.awake() - began)

    def kept(self, due: Moment) -> Moment:
        """Return the same moment of this boot and by the wall clock as it goes now.

        What an earlier boot put off is not further away than the longest wait there is.
        """
        now = self.read()
        if due.boot == self.boot:
            return now.after(due.elapsed - now.elapsed)
        return now.after(min(LONGEST_WAIT_SECONDS, max(0.0, (due.at - now.at).total_seconds())))


def boot_id(environ: Mapping[str, str], file: str) -> str:
    """Return the kernel's name for this boot, the same for all who ask; "" where nobody tells us."""
    try:
        with open(file, "rb") as opened:
            found = opened.read().decode("ascii")  # no codec is loaded: root turned daemon may not be able to
    except (OSError, ValueError):
        found = environ.get(BOOT_ID_VARIABLE, "")
    return found.strip().replace("-", "")
