"""What follows what, and when: runs the due steps of all orders side by side."""

from watchfolder.pipeline.context import StepContext
from watchfolder.pipeline.gate import Gate
from watchfolder.pipeline.room import InboxRuntime
from watchfolder.pipeline.scheduler import Pipeline
from watchfolder.pipeline.transfers import TransferPool

__all__ = [
    "Gate",
    "InboxRuntime",
    "Pipeline",
    "StepContext",
    "TransferPool",
]
