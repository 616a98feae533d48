"""Where claimed orders go, as the intake sees it."""

from collections.abc import Callable
from dataclasses import dataclass

from watchfolder.order import Order


@dataclass(frozen=True)
class Desk:
    """The pipeline's side.

    `room` says how many more orders of this inbox the pipeline takes; `largest_order`, how many files the next one may
    hold (0: that is being found out, and the pipeline will wake the inbox).
    """

    room: Callable[[str], int]
    largest_order: Callable[[str], int]
    admit: Callable[[Order], None]
