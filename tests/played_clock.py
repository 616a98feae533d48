"""A clock that goes as a test says: time passes, the machine sleeps or boots, somebody sets the wall clock."""

import uuid
from datetime import UTC, datetime, timedelta

from typing_extensions import override

from watchfolder.clock import Clock


class PlayedClock(Clock):
    def __init__(self, wall: datetime | None = None) -> None:
        self.wall = wall or datetime(2026, 11, 3, 12, tzinfo=UTC)
        self.elapsed_seconds = self.awake_seconds = 1000.0
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

    def restart(self) -> None:
        """Begin another life of the process."""
        self._began = self.awake_seconds

    def reboot(self, seconds: float = 0.0) -> None:
        """Begin another boot, which was so long ago."""
        self.boot = str(uuid.uuid4())
        self.elapsed_seconds = self.awake_seconds = seconds
        self.restart()
