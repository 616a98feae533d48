"""The alarm: it is told by the daemon what is so, and tells a person who is not looking, seldom and in time."""

from watchfolder.notify.alarms import Alarms
