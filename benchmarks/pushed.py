"""What pushes save: requests a file, asked and told, at a service that takes now long and now short."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from statistics import mean

import yaml
from figures import Figure
from pictures import SMALL, fill
from stage import Stage, stage

_LEAST_SECONDS, _SPREAD_SECONDS = 1.0, 19.0  # of an order, at the sandbox
_LESSONS = 8  # orders from which the daemon learns before anything is counted
_PAUSE_SECONDS = 2.0
_BURST = 20
_PATIENCE_SECONDS = 240.0


def measure(*, short: bool) -> Iterator[Figure]:
    files, bursts = (10, 3) if short else (20, 6)
    for what, count, size in (("one file every 2 s", files, 1), (f"bursts of {_BURST} files", bursts, _BURST)):
        for how in ("asked", "told"):
            requests, looks, waited = _served(count, size, is_told=how == "told")
            found = f"{requests:.2f} ({looks:.2f} looks an order); results wait {waited:.1f} s"
            yield Figure(f"{what}, an order takes 1 to 20 s, {how}: API requests a file", found)


def _served(count: int, size: int, *, is_told: bool) -> tuple[float, float, float]:
    """Return the API requests a file, the looks an order, and how long a result waits to be fetched, on average."""
    options = {"processing_seconds": _LEAST_SECONDS, "processing_spread_seconds": _SPREAD_SECONDS}
    with stage(**options) as own:
        config = own.configure(max_files_per_order=size)
        if is_told:
            _register(own, config)
        fill(own.card, SMALL, _LESSONS + count * size)
        names = sorted(os.listdir(own.card))
        with own.daemon():
            for name in names[:_LESSONS]:
                os.rename(own.card / name, own.inbox / name)
                time.sleep(_PAUSE_SECONDS)
            own.wait_for_deliveries(_LESSONS, _PATIENCE_SECONDS)
            before, learned_from, looks = len(own.api_requests()), set(own.sandbox.orders), own.operations()["status"]
            for start in range(_LESSONS, len(names), size):
                for name in names[start : start + size]:
                    os.rename(own.card / name, own.inbox / name)
                time.sleep(_PAUSE_SECONDS)
            own.wait_for_deliveries(len(names), _PATIENCE_SECONDS)
            requests = len(own.api_requests()) - before
            looks = own.operations()["status"] - looks
        orders = {key: order for key, order in own.sandbox.orders.items() if key not in learned_from}
        waited = [(_fetched_at(own, key) - order.updated_at).total_seconds() for key, order in orders.items()]
        return requests / (count * size), looks / len(orders), mean(waited)


def _fetched_at(own: Stage, order_id: str) -> datetime:
    fetches = (record for record in own.sandbox.requests if record.operation == "fetch")
    return min(record.time for record in fetches if f"/{order_id}/" in record.path)


def _register(own: Stage, config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    tree = yaml.safe_load(config.read_text())
    tree["http"] = {"listen": address}
    tree["webhook"] = {"public_url": f"http://{address}", "secret_file": str(own.state / "webhook-secret")}
    config.write_text(yaml.safe_dump(tree))
    command = [sys.executable, "-m", "watchfolder", "webhook", "register", "-c", str(config)]
    environment = {**os.environ, "BIZMORI_API_KEY": own.sandbox.key}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
