"""One inbox, as the pipeline sees it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from watchfolder.folders import InboxHealth
from watchfolder.pipeline.context import StepContext


class Door(Protocol):
    """What the pipeline knows of an inbox's intake."""

    health: InboxHealth

    def nudge(self, name: str | None) -> None: ...

    def look_at(self, name: str) -> None: ...


@dataclass
class InboxRuntime:
    """One inbox with those who work for it."""

    context: StepContext
    intake: Door
    wake: Callable[[], None]  # its thread
    most_steps: int  # side by side
    wanted_at: float = float("-inf")  # when it last asked whether it may claim, by the clock of the time awake
    workers: ThreadPoolExecutor = field(init=False)

    @property
    def health(self) -> InboxHealth:
        return self.intake.health

    def __post_init__(self) -> None:
        self.workers = ThreadPoolExecutor(self.most_steps, f"step-{self.context.inbox.name}")
