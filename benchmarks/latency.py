"""How soon: from the file to its create request, and from the finished order to the delivered picture."""

import os
import statistics
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from figures import Figure, under
from pictures import SMALL, fill
from stage import PROCESSING_SECONDS, Stage, stage


class _Lone(NamedTuple):
    """Seconds of one file's way through an idle daemon."""

    to_create: float
    to_delivery: float  # from the order's completion
    look_interval: float  # the last one: between two looks, or between confirm and the only look
    transfer: float  # from the link request to the delivery

    @property
    def is_delivered_in_time(self) -> bool:
        """Also a first look that came much too late is no look interval."""
        return self.to_delivery < min(self.look_interval, 2 * PROCESSING_SECONDS) + self.transfer


def measure(*, short: bool) -> Iterator[Figure]:
    with stage() as own:
        own.configure(settle_seconds=0)
        fill(own.card, SMALL, 5 if short else 15)
        with own.daemon():
            time.sleep(1.0)
            found = [_send(own, own.card / name) for name in sorted(os.listdir(own.card))]
    create, delivery = [each.to_create for each in found], [each.to_delivery for each in found]
    yield under("settle_seconds 0, idle: file to create request, worst", max(create), 0.15, "{:.3f} s")
    yield Figure("… median", f"{statistics.median(create):.3f} s")
    is_in_time = all(each.is_delivered_in_time for each in found)
    yield Figure("order complete to delivered", _spread(delivery), "under one look interval + transfer", is_in_time)
    intervals, transfers = [each.look_interval for each in found], [each.transfer for each in found]
    yield Figure("… the last look interval", _spread(intervals))
    yield Figure("… the transfer, with what makes it durable", _spread(transfers))


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.3f} s, worst {max(seconds):.3f} s"


def _send(own: Stage, picture: Path) -> _Lone:
    before, target = len(own.sandbox.requests), own.outbox / picture.name
    renamed = time.time()
    os.rename(picture, own.inbox / picture.name)
    deadline = time.monotonic() + 60
    while not target.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{picture.name} was not delivered")
        time.sleep(0.002)
    delivered = time.time()
    time.sleep(1.0)  # until it is idle again
    times: dict[str, list[float]] = {}
    for record in own.sandbox.requests[before:]:
        times.setdefault(record.operation, []).append(_seconds(record.time))
    confirmed, looks, linked = times["confirm"][-1], times["status"], times["link"][-1]
    return _Lone(
        to_create=times["create"][0] - renamed,
        to_delivery=delivered - (confirmed + PROCESSING_SECONDS),
        look_interval=looks[-1] - (looks[-2] if len(looks) > 1 else confirmed),
        transfer=delivered - linked,
    )


def _seconds(moment: datetime) -> float:
    return moment.timestamp()
