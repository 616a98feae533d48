"""The last 24 hours as figures for a drawing: files delivered in each quarter of an hour, and how many waited."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from math import floor
from typing import Final

WIDTH: Final = 960.0  # of the drawing, in its own units
HEIGHT: Final = 160.0
_DAY = timedelta(hours=24)
_BARS = 96
_MARKS = 4  # of the axis, six hours apart
_HEADROOM = 1.05


@dataclass(frozen=True)
class Waiting:
    at: datetime
    files: int


@dataclass(frozen=True)
class PlotBar:
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Plot:
    """Counts are files. Deliveries and waiting files are drawn to one scale, whose top is `most`."""

    now: datetime
    delivered_at: Sequence[datetime]  # of each file
    waiting: Sequence[Waiting]

    @property
    def delivered(self) -> int:
        return sum(self._counts)

    @cached_property
    def most(self) -> int:
        return max(1, *self._counts, *(each.files for each in self.waiting))

    def bars(self) -> Iterator[PlotBar]:
        width = WIDTH / _BARS
        for number, count in enumerate(self._counts):
            if count:
                height = self._size_of(count)
                yield PlotBar(
                    round(number * width, 1), round(HEIGHT - height, 1), round(width - 1, 1), round(height, 1)
                )

    def line(self) -> str:
        """Return the points of the line of those that waited, as SVG wants them."""
        return " ".join(
            f"{self._place_of(each.at):.1f},{HEIGHT - self._size_of(each.files):.1f}"
            for each in self.waiting
            if each.at > self.now - _DAY
        )

    def marks(self) -> dict[float, datetime]:
        """Return which moment of the local clock each mark on the axis stands for."""
        moments = [self.now - _DAY * part / _MARKS for part in range(_MARKS, 0, -1)]
        return {self._place_of(moment): moment.astimezone() for moment in moments}

    @cached_property  # a busy day has many thousand deliveries, and each figure asks
    def _counts(self) -> list[int]:
        counts = [0] * _BARS
        for at in self.delivered_at:
            place = floor((at - self.now + _DAY) / _DAY * _BARS)
            if 0 <= place <= _BARS:
                counts[min(place, _BARS - 1)] += 1
        return counts

    def _place_of(self, at: datetime) -> float:
        return (at - self.now + _DAY) / _DAY * WIDTH

    def _size_of(self, files: int) -> float:
        return files / (self.most * _HEADROOM) * HEIGHT
