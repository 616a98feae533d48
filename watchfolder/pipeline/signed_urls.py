"""The signed links for uploads and results: asked for, remembered, and renewed when they are refused."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeVar

from watchfolder.api import Links, Slot
from watchfolder.errors import OrderRetry, WatchfolderError
from watchfolder.order import Order
from watchfolder.pipeline import timing
from watchfolder.pipeline.context import StepContext, id_of

_T = TypeVar("_T")

_FAILURES_BEFORE_V2 = 3  # in a row: some four minutes


def remember_links(context: StepContext, order: Order, slots: tuple[Slot, ...]) -> Mapping[str, str]:
    urls = {slot.file_id: slot.upload_url for slot in slots if slot.upload_url}
    if len(set(urls.values())) < len(urls):
        raise OrderRetry("the service gave one upload link for two files", code="ONE_UPLOAD_LINK")
    context.memory_of(order).urls = urls
    return urls


def ask_links(context: StepContext, order: Order) -> Links:
    """Ask for the links to the results, and remember them until they expire."""
    memory = context.memory_of(order)
    links = memory.links = context.service.links(id_of(order), or_of_v2=order.failures >= _FAILURES_BEFORE_V2)
    memory.links_end_at = context.journal.clock.elapsed() + links.expires_in_seconds
    return links


class Asking:
    """Asks the service for links, for all files of a round at once: when there are none, and when one is refused.

    It asks twice in LINKS_SECONDS at most, and once when that fails: the failure then holds for all files.
    """

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._asked: deque[float] = deque(maxlen=2)
        self._error: WatchfolderError | None = None
        self._guard = threading.RLock()

    def find(self, find: Callable[[], _T], *, refused: str | None = None) -> _T:
        """Return what is found among the links, or among new ones where that was refused."""
        with self._guard:
            found = find()
            if found == refused:
                self.ask_again()
                found = find()
            return found

    def ask_again(self) -> None:
        now = time.monotonic()
        while self._asked and now - self._asked[0] >= timing.LINKS_SECONDS:
            self._asked.popleft()
            self._error = None
        if self._error is None and len(self._asked) < 2:  # noqa: PLR2004 (as above)
            self._asked.append(now)
            try:
                self._ask()
            except WatchfolderError as error:
                self._error = error
        if self._error is not None:
            raise self._error
