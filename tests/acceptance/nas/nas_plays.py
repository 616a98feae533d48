"""In the machine: what befalls servers, mounts and the daemon; each play reports for each kind of mount."""

import json
import subprocess
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from nas_studio import SHARES, Studio, studio

REPORTS = Path("/dev/ttyS1")
ARRIVAL_SECONDS = 150.0


def nothing_befalls_them(studio: Studio) -> None:
    studio.drop("picture", 10)


PLAYS: Mapping[str, Callable[[Studio], None]] = {
    "nothing": nothing_befalls_them,
}


def play(name: str, stage: Studio) -> dict[str, list[str]]:
    """Return for each share what should not be so in the end."""
    stage.set_up()
    failures = []
    try:
        stage.start()
        PLAYS[name](stage)
        stage.await_delivery(*SHARES, seconds=ARRIVAL_SECONDS)
    except Exception:  # noqa: BLE001 - whatever it is, the other plays go on
        failures.append(traceback.format_exc())
    found = {share: failures + stage.complaints(share) for share in SHARES}
    stage.stop()
    return found


def main() -> None:
    subprocess.run(["stty", "-F", str(REPORTS), "raw", "-echo"], check=True)
    task = json.loads(Path("/lab/task.json").read_text())
    with REPORTS.open("w") as reports, studio(task["lines"]) as stage:
        for name in task["plays"]:
            started = time.monotonic()
            found = play(name, stage)
            seconds = round(time.monotonic() - started)
            log = stage.log()[-20_000:] if any(found.values()) else ""
            reports.write(json.dumps({"play": name, "complaints": found, "seconds": seconds, "log": log}) + "\n")
            reports.flush()


if __name__ == "__main__":
    main()
