"""A clock that goes as a test says: time passes, the machine sleeps or boots, somebody sets the wall clock."""

import time
import uuid
from datetime import UTC, datetime, timedelta

from typing_extensions import override

from watchfolder.clock import Clock


class PlayedClock(Clock):
    """Stands still but for what is played."""

    def __init__(self, wall: datetime | None = None) -> None:
        self.wall = wall or datetime.now(UTC)
        self.elapsed_seconds = float(int(time.clock_gettime(time.CLOCK_BOOTTIME)))  # whole, so that sums are exact
        self.awake_seconds = float(int(time.monotonic()))
        super().__init__()

    @override
    def now(self) -> datetime:
        return self.wall

    @override
    def elapsed(self) -> float:
        return self.elapsed_seconds

    @override
    def awake(self) -> float:
        return self.awake_seconds

    def pass_time(self, seconds: float) -> None:
        self.awake_seconds += seconds
        self.sleep(seconds)

    def sleep(self, seconds: float) -> None:
        """Let the whole machine sleep for so long."""
        self.elapsed_seconds += seconds
        self.set_wall(seconds)

    def set_wall(self, seconds: float) -> None:
        """Set the wall clock alone, forward or back."""
        self.wall += timedelta(seconds=seconds)

    def restart(self, *, is_blind: bool = False) -> None:
        """Begin another life of the process; a blind one cannot tell which boot this is."""
        self._began = self.awake()
        if is_blind:
            self.boot, self._boot_began = str(uuid.uuid4()), self.elapsed()

    def reboot(self) -> None:
        """Begin another boot."""
        self.boot = str(uuid.uuid4())
        self.elapsed_seconds -= self.elapsed()
        self.awake_seconds -= self.awake()
        self._boot_began = 0.0
        self.restart()


class GoingClock(PlayedClock):
    """Goes on by itself, besides what is played."""

    def __init__(self) -> None:
        self._real = time.monotonic()
        super().__init__()

    def _gone(self) -> float:
        return time.monotonic() - self._real

    @override
    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self._gone())

    @override
    def elapsed(self) -> float:
        return super().elapsed() + self._gone()

    @override
    def awake(self) -> float:
        return super().awake() + self._gone()
