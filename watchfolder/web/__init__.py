"""The status page: the daemon hands in its snapshots and works on, a browser shows what they say."""

from watchfolder.web.page import Page, WaitingPage
