"""The signed links at which originals are put and results lie: they are asked for, remembered, and asked for again."""

import time
from collections import deque
from collections.abc import Callable

from watchfolder.api import Links, Slot
from watchfolder.errors import WatchfolderError
from watchfolder.order import Order
from watchfolder.pipeline import tempo
from watchfolder.pipeline.context import StepContext, id_of

_FAILURES_BEFORE_V2 = 3  # in a row: some four minutes


def remember_urls(context: StepContext, order: Order, slots: tuple[Slot, ...]) -> None:
    context.urls[order.key] = {slot.file_id: slot.upload_url for slot in slots if slot.upload_url}


def ask_links(context: StepContext, order: Order) -> Links:
    """Ask where the results lie, and remember it for as long as that is true."""
    links = context.service.links(id_of(order), or_of_v2=order.failures >= _FAILURES_BEFORE_V2)
    context.links[order.key] = (context.journal.clock.elapsed() + links.expires_in_seconds, links)
    return links


class Asking:
    """Ask the service for links, for all files of a round at once: when there are none, and when they are refused.

    That is twice a minute at most, and once when it fails: the failure then holds for all files.
    """

    def __init__(self, ask: Callable[[], object]) -> None:
        self._ask = ask
        self._asked: deque[float] = deque(maxlen=2)
        self._error: WatchfolderError | None = None

    def __call__(self) -> None:
        now = time.monotonic()
        while self._asked and now - self._asked[0] >= tempo.LINKS_SECONDS:
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
