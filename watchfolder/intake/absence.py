"""What the log says of an inbox whose folders fail: once that it waits, and why; once that it is back."""

import logging

from watchfolder.errors import FolderFault
from watchfolder.events import event


class Absence:
    """Of one inbox, told by its own thread."""

    def __init__(self, inbox: str) -> None:
        self._inbox = inbox
        self._told = ""

    def tell(self, fault: FolderFault) -> None:
        if fault.reason != self._told:  # one line when it goes; another reason for the same absence is no other
            name, level = ("inbox.waits_on", logging.INFO) if self._told else ("inbox.waits", logging.WARNING)
            event(name, level, inbox=self._inbox, reason=fault.reason, code=fault.code)
            self._told = fault.reason

    def end(self, passed: FolderFault | None) -> None:
        """Record that the folders are well again; what passed before anybody asked for its cause is told now."""
        if passed is not None:
            if not self._told:
                self.tell(passed)
            event("inbox.back", inbox=self._inbox)
        self._told = ""
