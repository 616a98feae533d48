"""The daemon's main loop finds out that a share hangs, and has the others go on."""

import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from shop import Shop, opened
from waiting import wait_until

from watchfolder.daemon.signals import Wakeup
from watchfolder.daemon.supervisor import Supervisor
from watchfolder.pushes import Pushes

LATER = 100.0  # seconds


def test_what_waits_for_a_worker_that_hangs_on_a_share_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, has_begun = threading.Event(), threading.Event()
    with closing(Wakeup()) as wakeup, opened(Shop(tmp_path, inboxes=("hangs", "well"))) as shop:
        config = shop.config.model_copy(update={"transfers": 1})
        supervisor = Supervisor(config, shop.journal, wakeup, Pushes(), shop.clock.now())
        parts = supervisor._parts
        monkeypatch.setattr(parts.intakes["hangs"], "beat", lambda now: answers.wait(60) and now + LATER)
        supervisor.open(adopt=False)
        try:
            wait_until(lambda: parts.intakes["hangs"].health.is_open)
            for inbox, work in (("hangs", answers.wait), ("well", has_begun.set)):
                threading.Thread(target=parts.transfers.run, args=(inbox, work), daemon=True).start()
                wait_until(lambda: parts.transfers._busy["hangs"] == 1)
            wait_until(lambda: parts.transfers._line)
            assert not has_begun.is_set()
            supervisor.beat(time.monotonic() + LATER)
            assert has_begun.wait(20)
        finally:
            answers.set()
            assert supervisor.close(time.monotonic() + 30)
