"""What the buttons of the page do, one at a time, and what the page says of it for a minute."""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from watchfolder import quarantine, quota, retry
from watchfolder.errors import FolderFault
from watchfolder.events import event, printable
from watchfolder.report.phrases import files
from watchfolder.web.cache import PageCache

_BUSY_SECONDS: Final = 10.0
_NOTICE_SECONDS: Final = 60.0


class Actions:
    def __init__(self, cache: PageCache) -> None:
        self._cache = cache
        self._turn = threading.Lock()
        self._said: deque[tuple[float, str]] = deque(maxlen=5)

    def lines(self) -> list[str]:
        return [text for at, text in list(self._said) if time.monotonic() - at < _NOTICE_SECONDS]

    def retry(self, id_: str) -> bool:
        """Move what has this id from quarantine back into its inbox; False while another move takes long."""
        if not self._turn.acquire(timeout=_BUSY_SECONDS):
            return False
        try:
            self._note(partial(self._moved, id_))
        finally:
            self._turn.release()
        self._cache.refresh()
        return True

    def release(self, id_: str) -> None:
        """Let the inbox with this id go on in spite of its quota."""
        for name in self._cache.config.inboxes:
            if self._cache.ids.of("inbox", name) == id_:
                self._note(partial(self._let_go, name))

    def _note(self, action: Callable[[], str]) -> None:
        """Run `action` and keep its sentence for the page, or the reason of the folder that stopped it."""
        try:
            said = action()
        except FolderFault as fault:
            said = f"Not done: {printable(fault.reason)}"
        self._said.append((time.monotonic(), said))

    def _let_go(self, inbox: str) -> str:
        quota.give_word(self._cache.config.state_dir, inbox)
        os.kill(os.getpid(), signal.SIGUSR1)  # the daemon, whose process this is, looks at once
        event("page.released", inbox=inbox)
        return f"{inbox}: what was held is let through."

    def _moved(self, id_: str) -> str:
        config = self._cache.config
        faults: dict[str, FolderFault] = {}
        pictures = [each for each in quarantine.list_pictures(config, faults) if each.has_failed]
        for group in quarantine.by_reason(pictures, config.state_dir):
            note = group.note
            if self._cache.ids.of("quarantine", group.inbox, printable(note.reason), printable(note.advice)) == id_:
                return _told(list(retry.move_back(group.pictures, config)))
        return _told(list(faults.values())) or "That file is no longer in quarantine."


def _told(outcomes: Sequence[retry.Moved | FolderFault]) -> str:
    moved = [each for each in outcomes if not isinstance(each, FolderFault)]
    for each in moved:
        event("page.retried", file=each.source, to=each.target)
    said = []
    if len(moved) == 1:
        said = [f"{printable(os.path.basename(moved[0].source))} is back in its inbox and will be tried again."]
    elif moved:
        said = [f"{files(len(moved))} are back in their inbox and will be tried again."]
    faults = dict.fromkeys(printable(each.reason) for each in outcomes if isinstance(each, FolderFault))
    return " ".join([*said, *(f"Not moved: {fault}" for fault in faults)])
