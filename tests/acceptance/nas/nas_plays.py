"""In the machine: what befalls servers, mounts and the daemon; each play reports for each kind of mount."""

import json
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from nas_studio import LOCAL, SHARES, Studio, studio
from waiting import wait_until

REPORTS = Path("/dev/ttyS1")
ARRIVAL_SECONDS = 180.0
AWAY_SECONDS = 15.0
LIVES = 5
LANES = 4  # uploads and downloads side by side


def nothing(studio: Studio) -> None:
    studio.drop("picture", 3)


def two_changes_bear_one_time(studio: Studio) -> None:
    """NFS 3 tells a folder's change by its time alone, which the server's clock gives to all changes of 4 ms."""
    studio.drop_unseen("picture.jpg")


def servers_stop_during_uploads(studio: Studio) -> None:
    put_into_upload(studio)
    studio.servers.stop()
    live_without(studio)
    studio.servers.start()
    studio.drop("late", 1)


def servers_die_during_downloads(studio: Studio) -> None:
    put_into_download(studio)
    studio.servers.kill()
    live_without(studio)
    studio.servers.start()
    studio.drop("late", 1)


def servers_lose_power(studio: Studio) -> None:
    put_into_download(studio)
    studio.servers.lose_power()
    live_without(studio)
    studio.servers.boot()
    studio.drop("late", 1)


def shares_are_unmounted_lazily(studio: Studio) -> None:
    put_into_download(studio)
    for share in studio.shares.values():
        share.unmount()
    live_without(studio)
    for share in studio.shares.values():
        share.mount()
    studio.drop("late", 1)


def exports_are_withdrawn(studio: Studio) -> None:
    put_into_download(studio)
    studio.servers.withdraw()
    live_without(studio)
    studio.servers.grant()
    studio.drop("late", 1)


def disk_of_the_servers_fills_up(studio: Studio) -> None:
    put_into_download(studio)
    studio.servers.fill()
    live_without(studio, (LOCAL,))
    studio.servers.make_room()
    studio.drop("late", 1)


def daemon_is_killed_over_and_over(studio: Studio) -> None:
    for life in range(LIVES):
        studio.drop(f"life {life}")
        wait_until(partial(studio.has_delivered, studio.delivered() + 3), ARRIVAL_SECONDS, "some more are delivered")
        if life % 2:
            studio.servers.restart()
        studio.kill()
        studio.start()


PLAYS: Mapping[str, Callable[[Studio], None]] = {
    play.__name__.replace("_", " "): play
    for play in (
        nothing,
        two_changes_bear_one_time,
        servers_stop_during_uploads,
        servers_die_during_downloads,
        servers_lose_power,
        shares_are_unmounted_lazily,
        exports_are_withdrawn,
        disk_of_the_servers_fills_up,
        daemon_is_killed_over_and_over,
    )
}


def put_into_upload(studio: Studio) -> None:
    """Drop pictures of which some are half sent when this returns."""
    studio.sandbox.faults.add("upload", "hang", times=LANES, seconds=AWAY_SECONDS / 2)
    studio.drop("early", 1, large=True)
    studio.drop("early", 1)
    wait_until(lambda: studio.requests("upload") >= LANES, ARRIVAL_SECONDS, "uploads are under way")


def put_into_download(studio: Studio) -> None:
    """Drop pictures of which some are half received when this returns."""
    studio.sandbox.faults.add("fetch", "drip", times=2 * LANES, bytes_per_second=100_000)
    studio.drop("early", 1, large=True)
    studio.drop("early", 1)
    wait_until(lambda: studio.requests("fetch") >= LANES, ARRIVAL_SECONDS, "downloads are under way")


def live_without(studio: Studio, shares: tuple[str, ...] = SHARES) -> None:
    """Drop more while the shares do not serve; the inbox on the local disk goes on."""
    gone = time.monotonic()
    studio.drop("meanwhile", 1, shares=shares)
    studio.expect_delivery(LOCAL)
    time.sleep(max(0.0, gone + AWAY_SECONDS - time.monotonic()))


def play(name: str, stage: Studio) -> dict[str, list[str]]:
    """Return for each share what should not be so in the end."""
    stage.set_up()
    failures = []
    try:
        stage.start()
        PLAYS[name](stage)
        stage.await_delivery(*SHARES, seconds=ARRIVAL_SECONDS)
        if stage.has_only_parts_left():
            failures += stage.stop()
            stage.start()  # ready, it may still be busy with a slow share
            wait_until(lambda: not stage.has_only_parts_left(), ARRIVAL_SECONDS, "the parts that were left are swept")
    except Exception:  # noqa: BLE001 - whatever it is, the other plays go on
        failures.append(traceback.format_exc())
    found = {share: failures + stage.complaints(share) for share in SHARES}
    found[LOCAL] += stage.stop()
    return found


def main() -> None:
    subprocess.run(["stty", "-F", str(REPORTS), "raw", "-echo"], check=True)
    task = json.loads(Path("/lab/task.json").read_text())
    with REPORTS.open("w") as reports, studio(task["lines"]) as stage:
        for name in task["plays"]:
            started = time.monotonic()
            found = play(name, stage)
            seconds = round(time.monotonic() - started)
            log = stage.log()[-40_000:]
            reports.write(json.dumps({"play": name, "complaints": found, "seconds": seconds, "log": log}) + "\n")
            reports.flush()


if __name__ == "__main__":
    main()
