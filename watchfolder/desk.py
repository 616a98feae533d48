"""How many more orders may be begun, and what holds them: asked by the intake, and for the lines of a list."""

from collections.abc import Callable
from dataclasses import dataclass

from watchfolder.order import Order


@dataclass(frozen=True)
class Desk:
    """The pipeline's side.

    `room` says how many more orders of this inbox the pipeline takes; `resumable`, how many that are paid for, where it
    takes no others; `largest_order`, how many files the next one may hold (0: that is being found out, and the pipeline
    will wake the inbox). `meet` is told how many new files were seen, asks whether any wait, and says what holds them;
    then it is told how many more were there from the start: what a list holds shows late.
    """

    room: Callable[[str], int]
    resumable: Callable[[str], int]
    largest_order: Callable[[str], int]
    admit: Callable[[Order], None]
    meet: Callable[[str, int, Callable[[], bool], int], str] = lambda _inbox, _new, _has_waiting, _found: ""
