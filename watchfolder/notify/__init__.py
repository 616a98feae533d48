"""Messages to people who are not looking: decided from the daemon's word, sent seldom and in time."""

from watchfolder.notify.alarms import Alarms
