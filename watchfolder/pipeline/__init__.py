"""What follows what, and when: runs the due steps of all orders side by side."""

from watchfolder.pipeline.context import Bench
from watchfolder.pipeline.gate import Gate
from watchfolder.pipeline.lanes import Lanes
from watchfolder.pipeline.room import Room
from watchfolder.pipeline.scheduler import Pipeline

__all__ = [
    "Bench",
    "Gate",
    "Lanes",
    "Pipeline",
    "Room",
]
