"""The status page: it is told by the daemon what is so, and shows it in a browser while the daemon works on."""

from watchfolder.web.page import Page
from watchfolder.web.waiting import WaitingPage

__all__ = [
    "Page",
    "WaitingPage",
]
