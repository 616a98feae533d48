"""The same numbers on every surface: terminal, JSON, metrics and systemd's line."""

import json
import re

from cli_studio import PICTURE, Studio, sandbox, studio
from notify_socket import Notified, notified
from waiting import wait_until

from watchfolder.sandbox import Sandbox

__all__ = ["notified", "sandbox", "studio"]

PHOTOSHOP = b"8BPS\0\1" + bytes(4000)
WAITING, MOVING, QUARANTINED = 2, 3, 1


def test_every_surface_tells_the_same_numbers(studio: Studio, sandbox: Sandbox, notified: Notified) -> None:
    sandbox.processing_seconds = 600.0
    studio.environment["NOTIFY_SOCKET"] = notified.address
    for number in range(MOVING):
        studio.drop(f"{number}.jpg", PICTURE + bytes([number]))
    for number in range(WAITING):
        studio.drop(f"cut {number}.jpg", PICTURE[: -30 - number])
    studio.drop("poster.psd", PHOTOSHOP)
    studio.drop("notes.txt", b"no picture at all, but words")
    since = f"since the start 0 delivered, {QUARANTINED} quarantined"
    line = f"{WAITING} waiting, {MOVING} in progress, 0 deferred; {since}"
    with studio.daemon():
        wait_until(lambda: notified.status.endswith(line))
        report = json.loads(studio.run("status", "--json").stdout)
        told = report["inboxes"]["photos"]
        counts = {"waiting": WAITING, "in_progress": MOVING, "deferred": 0, "quarantined": QUARANTINED, "staying": 1}
        assert {name: told[name] for name in counts} == counts
        assert sum(len(order["files"]) for order in report["orders"]) == MOVING
        as_text = studio.run("status", "--prometheus").stdout
        metrics = dict(re.findall(r'watchfolder_inbox_files\{inbox="photos",state="(\w+)"\} (\d+)', as_text))
        assert {name: int(number) for name, number in metrics.items()} == counts
        table = studio.run("status").stdout
        assert re.search(rf"^photos +ok +{WAITING} +{MOVING} +0 +0 +{QUARANTINED}$", table, re.MULTILINE), table
