"""The status page: it is told by the daemon what is so, and shows it in a browser while the daemon works on."""

from watchfolder.web.page import Page, WaitingPage
