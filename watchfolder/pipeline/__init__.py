"""What follows what, and when: runs the due steps of all orders side by side."""

from watchfolder.pipeline.context import StepContext
from watchfolder.pipeline.gate import Gate
from watchfolder.pipeline.lanes import Lanes
from watchfolder.pipeline.room import InboxRuntime
from watchfolder.pipeline.scheduler import Pipeline

__all__ = [
    "Gate",
    "InboxRuntime",
    "Lanes",
    "Pipeline",
    "StepContext",
]
