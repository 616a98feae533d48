"""One inbox, as the pipeline sees it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from watchfolder.errors import FolderFault
from watchfolder.pipeline.context import StepContext


class Door(Protocol):
    """What the pipeline knows of an inbox's intake."""

    is_open: bool  # its folders are there, and what a crash left has been dealt with

    def report(self, fault: FolderFault, needs: int = 0) -> None: ...

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
    is_silent: bool = False  # a folder does not answer, so its steps may hang for ever
    workers: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self.workers = ThreadPoolExecutor(self.most_steps, f"step-{self.context.inbox.name}")
