"""How a run ended, for its caller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from watchfolder.config import Config
from watchfolder.order import Order
from watchfolder.snapshot import Snapshot


class Ending(StrEnum):
    DONE = "done"
    QUARANTINED = "quarantined"  # done, but some files need a person
    UNFINISHED = "unfinished"  # trying again may help
    STOPPED = "stopped"


@dataclass(frozen=True)
class Outcome:
    """What a run leaves behind, under the last of its configurations. `is_hung`: a thread still waits for a share."""

    ending: Ending
    config: Config
    snapshot: Snapshot
    waiting: Mapping[str, Mapping[str, str]]  # inbox → file → why it was not taken
    orders: Sequence[Order]  # that have not come to their end
    is_hung: bool = False
