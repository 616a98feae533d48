"""Do the folders of an inbox answer at all? Asked without ever waiting for them."""

import os
import threading

from watchfolder.config import Inbox


class Liveness:
    """One question is under way at a time: a share that is dead for days costs one thread, not one for each look."""

    def __init__(self, inbox: Inbox) -> None:
        self._paths = [path for path in (inbox.path, inbox.outbox, inbox.quarantine, inbox.originals) if path]
        self._question: threading.Thread | None = None

    def answers(self) -> bool:
        """Tell whether the folders have answered what was asked the last time, and ask again."""
        if self._question is not None and self._question.is_alive():
            return False
        has_answered = self._question is not None
        self._question = threading.Thread(target=self._ask, name="reach", daemon=True)
        self._question.start()
        return has_answered

    def _ask(self) -> None:
        for path in self._paths:
            os.path.exists(os.path.join(path, "."))
