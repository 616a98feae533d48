"""How a run ended, for its caller."""

from dataclasses import dataclass, field
from enum import StrEnum


class Ending(StrEnum):
    DONE = "done"
    QUARANTINED = "quarantined"  # done, but some files need a person
    UNFINISHED = "unfinished"  # trying again may help
    STOPPED = "stopped"


@dataclass
class Outcome:
    """What a run leaves behind. `left` says in words what remains; when `is_hung`, a thread still waits for a share."""

    ending: Ending
    delivered: int = 0  # files
    quarantined: int = 0
    left: list[str] = field(default_factory=list)
    is_hung: bool = False
