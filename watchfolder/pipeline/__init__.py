"""What follows what, and when: runs the due steps of all orders side by side."""

from watchfolder.pipeline.context import InboxRuntime, StepContext
from watchfolder.pipeline.scheduler import Pipeline
from watchfolder.pipeline.transfers import TransferPool
