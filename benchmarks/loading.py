"""A journal of ten thousand live orders: how much longer the daemon takes to be ready, and what they cost it then."""

import time
import uuid
from collections.abc import Iterator

from figures import Figure, under
from stage import stage

from watchfolder.clock import Clock
from watchfolder.order import Order, OrderFile, State

_PICTURE_BYTES = 4 << 20
_WATCH_SECONDS = 10.0


def measure(*, short: bool) -> Iterator[Figure]:
    orders = 1_000 if short else 10_000
    none, empty_mib, _ = _start_with(0)
    some, full_mib, share = _start_with(orders)
    yield under(f"{orders:,} live orders: start longer than with none", some - none, 5, "{:.1f} s")
    yield Figure(f"{orders:,} live orders: memory more than with none", f"{full_mib - empty_mib:.0f} MiB")
    yield Figure(f"{orders:,} live orders, the key refused: share of a core", f"{share:.1%}")
    yield Figure("start with an empty journal, until ready", f"{none:.1f} s")


def _start_with(orders: int) -> tuple[float, float, float]:
    """Return after how many seconds the daemon is ready, then its resident MiB and its share of a core."""
    with stage() as own:
        own.sandbox.faults.add("any", "answer", status=401, code="AUTH_TOKEN_INVALID", times=None)
        own.configure()
        (own.state / "journal").mkdir(mode=0o700)
        for number in range(orders):
            order = _confirmed(number)
            (own.state / "journal" / f"{order.key}.json").write_text(order.model_dump_json())
        with own.daemon() as daemon:
            time.sleep(_WATCH_SECONDS)  # the first looks at all of them, of which only those under way are made
            cpu = daemon.cpu_seconds()
            time.sleep(_WATCH_SECONDS)
            share = (daemon.cpu_seconds() - cpu) / _WATCH_SECONDS
            return daemon.ready_seconds, daemon.resident_mib(), share


def _confirmed(number: int) -> Order:
    """Return an order of one file that waits for its result."""
    key, order_id, name = str(uuid.uuid4()), str(1_900_000_000_000_000_000 + number), f"picture-{number:05}.jpg"
    file = OrderFile(
        name=name,
        sent_name=name,
        media_type="image/jpeg",
        size=_PICTURE_BYTES,
        mtime_ns=time.time_ns(),
        sha256="0" * 64,
        file_id=str(number),
        is_uploaded=True,
    )
    states = (State.CLAIMING, State.CLAIMED, State.CREATED, State.UPLOADED, State.CONFIRMED)
    return Order(
        key=key,
        confirm_key=str(uuid.uuid4()),
        inbox="photos",
        mode="live",
        service="anti-ai",
        options={"strength": "high"},
        body='{"idempotencyKey": "' + key + '", "files": [{"fileName": "' + name + '"}]}',
        files=(file,),
        state=State.CONFIRMED,
        times=dict.fromkeys(states, Clock().read()),
        order_id=order_id,
        charged=True,
    )
