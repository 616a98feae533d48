"""Messages to people who are not looking: decided from the daemon's snapshots, sent seldom and in time."""

from watchfolder.notify.alarms import Alarms
