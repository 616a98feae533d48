"""What a measurement finds: rows of the two tables, and figures with the target that each has."""

from dataclasses import dataclass

from pictures import SIZES
from typing_extensions import override


@dataclass(frozen=True)
class Figure:
    """One thing measured. `is_reached` is None where nothing was promised."""

    what: str
    found: str
    target: str = ""
    is_reached: bool | None = None

    @property
    def verdict(self) -> str:
        return {None: "", True: "reached", False: "**not reached**"}[self.is_reached]


def under(what: str, found: float, limit: float, form: str, *, counts: bool = True) -> Figure:
    """Return the figure of something that must stay below `limit`; where it does not count, it is not reached."""
    return Figure(what, form.format(found), f"under {form.format(limit)}", counts and found < limit)


def at_most(what: str, found: float, limit: float, form: str, *, counts: bool = True) -> Figure:
    return Figure(what, form.format(found), f"at most {form.format(limit)}", counts and found <= limit)


@dataclass(frozen=True)
class Burst:
    """`files` pictures of `size` bytes at once, under a plan of `plan` requests a minute (0: no limit).

    The minute lasts 60 s divided by `haste`.
    """

    size: int
    files: int
    plan: int
    haste: float = 1.0

    @property
    def minute_seconds(self) -> float:
        return 60.0 / self.haste

    @override
    def __str__(self) -> str:
        plan = f"{self.plan} a minute" if self.plan else "none"
        shortened = f" of {self.minute_seconds:g} s" if self.haste > 1 else ""
        return f"{self.files:,} × {SIZES[self.size]}, plan {plan}{shortened}"


@dataclass(frozen=True)
class Row:
    """What one program did with a burst."""

    who: str
    burst: Burst
    delivered: int
    requests: int  # to the API; the storage is not counted
    refusals: int  # 429
    wall_seconds: float
    ideal_seconds: float
    cpu_seconds: float
    peak_mib: float | None = None
    sins: int = 0

    @property
    def is_whole(self) -> bool:
        return self.delivered == self.burst.files

    @property
    def requests_per_file(self) -> float:
        return self.requests / max(1, self.delivered)

    @property
    def cpu_ms_per_file(self) -> float:
        return 1000 * self.cpu_seconds / max(1, self.delivered)

    @property
    def times_ideal(self) -> float:
        return self.wall_seconds / self.ideal_seconds
