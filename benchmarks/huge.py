"""A picture of two gibibytes through the daemon: its memory must not notice."""

import time
from collections.abc import Iterator

from figures import Figure, under
from pictures import write_huge_tiff
from stage import PROCESSING_SECONDS, SETTLE_SECONDS, stage


def measure(*, short: bool) -> Iterator[Figure]:
    size = (256 << 20) if short else (2 << 30)
    with stage() as own:
        own.configure(max_file_bytes=size, incomplete_seconds=SETTLE_SECONDS)  # of the hole: time tells
        write_huge_tiff(own.card / "huge.tif", size)
        with own.daemon() as daemon:
            time.sleep(1.0)
            cpu, began = daemon.cpu_seconds(), own.drop()
            try:
                ended = own.wait_for_deliveries(1, 240)
            except TimeoutError:
                ended = time.time()
            cpu, peak, is_there = daemon.cpu_seconds() - cpu, daemon.peak_mib(), own.delivered() == 1
    what, seconds = f"a TIFF of {size / (1 << 30):g} GiB", ended - began - SETTLE_SECONDS - PROCESSING_SECONDS
    yield under(f"{what}: peak memory", peak, 120, "{:.0f} MiB", counts=is_there)
    found = f"{seconds:.0f} s, {cpu:.1f} s of them on the processor" if is_there else "never"
    yield Figure(f"{what}: delivered after (settling and processing left out)", found)
