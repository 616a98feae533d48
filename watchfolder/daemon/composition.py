"""The composition root: puts together what works under one configuration, and starts no thread of it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from watchfolder.api import Service
from watchfolder.api.transport import Pace
from watchfolder.config import Config
from watchfolder.delivery_index import DeliveryIndex
from watchfolder.folders import Folders
from watchfolder.intake import Claims, DedupScope, Intake
from watchfolder.journal import Journal
from watchfolder.pipeline import InboxRuntime, Pipeline, StepContext, TransferPool
from watchfolder.publish import Publisher
from watchfolder.pushes import Pushes
from watchfolder.services import flow_of


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
        self.folders = Folders(config.state_dir, journal.instance, config.commands, config.inboxes.values())
        self.service = Service(config.api, transfers=config.transfers, stop=stop, pace=pace, counters=journal.counters)
        self.pipeline = Pipeline(config, journal, stop, wake, pushes)
        self.transfers = TransferPool(config.transfers, self.pipeline.runtimes.is_silent)
        self.delivery_index = DeliveryIndex(config.state_dir, self.pipeline.runtimes.wake)
        admission, inbox_of = self.pipeline.admission, self.pipeline.runtimes.inbox_of
        scope = DedupScope(self.delivery_index, inbox_of)
        self.intakes: dict[str, Intake] = {}
        for name, inbox in config.inboxes.items():
            publisher = Publisher(inbox, journal, self.folders, config.inboxes.values())
            claims = Claims(
                inbox, config.api, journal, publisher.work, scope, publisher.originals.put_back, admission.spend
            )
            intake = self.intakes[name] = Intake(
                inbox, claims, self.folders, admission, publisher.originals.sweep_why_files
            )
            shared = (self.service, self.transfers, self.delivery_index, inbox_of, admission)
            context = StepContext(inbox, journal, self.folders, publisher, *shared)
            most = config.orders_in_flight + 1  # one may hang on another inbox's share: `context.read_other_inbox`
            workers = ThreadPoolExecutor(most, f"step-{name}")
            self.pipeline.runtimes[name] = InboxRuntime(context, intake, partial(wake_inbox, name), workers)

    def begin(self) -> None:
        """Begin to read the delivery index, in a thread of its own, if any inbox may reuse a result."""
        if any(flow_of(inbox).may_reuse(inbox) for inbox in self._config.inboxes.values()):
            self.delivery_index.begin()

    def close(self) -> None:
        """Let go of what is held, once nothing is under way any more."""
        self.pipeline.close()
        self.service.close()
        self.delivery_index.close()
