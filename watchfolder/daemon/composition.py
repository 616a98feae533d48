"""The composition root: what works under one configuration, put together. No thread of it has begun."""

import threading
from collections.abc import Callable
from functools import partial

from watchfolder.api import Service
from watchfolder.api.transport import Pace
from watchfolder.config import Config
from watchfolder.delivery_index import DeliveryIndex
from watchfolder.desk import Desk
from watchfolder.folders import Folders
from watchfolder.intake import Claims, DedupScope, Intake
from watchfolder.journal import Journal
from watchfolder.order import Order, Role, State
from watchfolder.pipeline import InboxRuntime, Pipeline, StepContext, TransferPool
from watchfolder.publish import Publisher
from watchfolder.pushes import Pushes
from watchfolder.quota import Quota


class Composition:
    """`wake` is called when something may go on, `wake_inbox` with the name of the inbox that may."""

    def __init__(
        self,
        config: Config,
        journal: Journal,
        pushes: Pushes,
        stop: threading.Event,
        *,
        wake: Callable[[], None],
        wake_inbox: Callable[[str], None],
        pace: Pace | None = None,
    ) -> None:
        self._config = config
        self._journal = journal
        self._wake, self._wake_inbox = wake, wake_inbox
        self.folders = Folders(config.state_dir, journal.instance, config.commands)
        self.service = Service(config.api, transfers=config.transfers, stop=stop, pace=pace, counters=journal.counters)
        self.pipeline = Pipeline(config, journal, stop, wake, pushes)
        self.transfers = TransferPool(config.transfers)
        self.delivery_index = DeliveryIndex(config.state_dir, self._wake_inboxes)
        self._quota = Quota(config, journal.clock)
        capacity = self.pipeline.capacity
        scope = DedupScope(self.delivery_index, capacity.inbox_of)
        desk = Desk(self._room, capacity.resumable, self._largest_order, self._admit, self._meet)
        self.intakes: dict[str, Intake] = {}
        rooms = {}
        for name, inbox in config.inboxes.items():
            publisher = Publisher(inbox, journal, self.folders)
            claims = Claims(inbox, config.api, journal, publisher.work, scope, publisher.put_back)
            intake = self.intakes[name] = Intake(inbox, claims, self.folders, desk, publisher.sweep_reasons)
            shared = (self.service, self.transfers, self.delivery_index, capacity.inbox_of, desk)
            context = StepContext(inbox, journal, self.folders, publisher, *shared)
            rooms[name] = InboxRuntime(context, intake, partial(wake_inbox, name), config.orders_in_flight)
        self.pipeline.rooms = rooms

    def begin(self) -> None:
        """Let the index of what was delivered be read, aside, where it is asked."""
        if any(inbox.duplicates != "again" for inbox in self._config.inboxes.values()):
            self.delivery_index.begin()

    def close(self) -> None:
        """Let go of what is held, once nothing is under way any more."""
        self.pipeline.close()
        self.service.close()
        self.delivery_index.close()

    def _wake_inboxes(self) -> None:
        for name in self._config.inboxes:
            self._wake_inbox(name)

    def _largest_order(self, inbox: str) -> int:
        most = self.pipeline.capacity.files(inbox)
        return most and max(1, self._quota.reserve(inbox, most))

    def _room(self, inbox: str) -> int:
        """Return how many more orders it may begin: none while others are about to take the last files of the day."""
        return self.pipeline.capacity.orders(inbox) if self._quota.reserve(inbox, 1) else 0

    def _meet(self, inbox: str, new: int, has_waiting: Callable[[], bool], found: int) -> str:
        def waits() -> bool:
            return has_waiting() or any(order.is_list for order in self._journal.orders(inbox))

        return self._quota.meet(inbox, new, waits, found)

    def _admit(self, order: Order) -> None:
        self._wake()
        is_bought = order.why is None and order.reused_from is None and not order.is_list
        if is_bought and order.state is not State.RELEASED:
            self._quota.take(order.inbox, sum(file.role is not Role.COPY for file in order.files))
