"""The loop: one instance, its signals, systemd, and all that works under one configuration."""

from watchfolder.daemon.loop import run
from watchfolder.daemon.supervisor import Ending, Outcome
