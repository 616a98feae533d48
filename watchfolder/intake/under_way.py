"""Which files of an inbox are orders' already: a file waits or is under way, and is never counted as both."""

from collections.abc import Iterable
from dataclasses import dataclass

from watchfolder.order import Order, State


@dataclass(frozen=True)
class UnderWay:
    """What the journal has of one inbox at one moment. Counts are files."""

    moving: int
    deferred: int
    names: frozenset[str]  # in the inbox; another file may have come under one of them since
    leaving: frozenset[str]  # which may lie there, and are the order's all the same: on the way out, or back

    @classmethod
    def of(cls, orders: Iterable[Order], elapsed: float) -> "UnderWay":
        """Count what neither is delivered nor has come to its place; `elapsed` is the time since the boot."""
        files = [(order, file) for order in orders for file in order.files if file.is_under_way]
        deferred = sum(not order.is_due(elapsed) for order, _ in files)
        leaving = {file.name for order, file in files if order.state is State.CLAIMING}
        leaving |= {file.destination or file.name for order, file in files if order.state is State.RELEASED}
        return cls(len(files) - deferred, deferred, frozenset(file.name for _, file in files), frozenset(leaving))
