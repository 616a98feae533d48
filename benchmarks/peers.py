"""The same bursts through what one would write in an afternoon: the quickstart as a script, by hand and by watchmedo.

CPU is that of the program with all the processes that it started; the sandbox and the harness are in none of it.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bursts import FREE, ideal_seconds
from figures import Burst, Row
from pictures import SMALL, fill
from stage import Stage, stage

_SCRIPT = Path(__file__).with_name("quickstart.sh")
_PROGRAMS = ("bash", "curl", "jq", "inotifywait")
POLL_SECONDS = 1.0
_HASTE = 10.0  # a minute of 6 s: five requests a picture take long enough
_WATCH_SECONDS = 2.0  # until a watcher that was started watches


def _script(at_once: int) -> Callable[[Stage], list[str]]:
    return lambda _: ["bash", str(_SCRIPT), "watch", str(at_once)]


def _watchmedo(own: Stage) -> list[str]:
    """Run the script for each new picture, by the program that comes with the library our daemon watches with."""
    each = f'[ "${{watch_event_type}}" != created ] || exec bash {_SCRIPT} one "${{watch_src_path}}"'
    program = str(Path(sys.executable).with_name("watchmedo"))
    return [program, "shell-command", "--patterns=**/*.jpg", f"--command={each}", str(own.inbox)]


PEERS = (
    ("script, one at a time", 20, 0, _script(1)),
    ("script, eight at once", 100, 0, _script(8)),
    ("script, eight at once", 100, FREE, _script(8)),
    ("watchmedo, script", 100, 0, _watchmedo),
    ("watchmedo, script", 100, FREE, _watchmedo),
)


def missing() -> list[str]:
    return [name for name in _PROGRAMS if shutil.which(name) is None]


def measure(*, short: bool) -> Iterator[Row]:
    for who, files, plan, command in PEERS:
        if not short or not plan:
            burst = Burst(SMALL, files // 5 if short else files, plan, _HASTE if plan else 1.0)
            yield run(who, burst, command)


def run(who: str, burst: Burst, command: Callable[[Stage], list[str]]) -> Row:
    ideal = ideal_seconds(burst)
    options = {"requests_per_minute": burst.plan, "minute_seconds": burst.minute_seconds, "look_seconds": 0.0}
    with stage(**options) as own:
        fill(own.card, burst.size, burst.files)
        with open(own.top / "log", "wb") as log:  # curl has much to say of a 429
            process = subprocess.Popen(
                command(own), env=_environment(own, burst), stdout=log, stderr=log, start_new_session=True
            )
        time.sleep(_WATCH_SECONDS)
        began = own.drop()
        try:
            ended = own.wait_for_deliveries(burst.files, 60 + 60 * ideal)
        except TimeoutError:
            ended = time.time()
            os.killpg(process.pid, signal.SIGTERM)
        cpu = _end(process, own)
        return Row(
            who,
            burst,
            delivered=own.delivered(),
            requests=len(own.api_requests()),
            refusals=own.refusals(),
            wall_seconds=ended - began,
            ideal_seconds=ideal,
            cpu_seconds=cpu,
            sins=len(own.sandbox.sins),
        )


def _environment(own: Stage, burst: Burst) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "INBOX": str(own.inbox),
        "OUTBOX": str(own.outbox),
        "BASE": own.sandbox.url,
        "KEY": own.sandbox.key,
        "POLL_SECONDS": str(POLL_SECONDS),
        "RETRY_SECONDS": "1" if burst.haste > 1 else "5",
    }


def _end(process: subprocess.Popen[bytes], own: Stage) -> float:
    """End the program and return its seconds on the processor, with those of all that it waited for."""
    (own.inbox / "end").touch()
    is_script = isinstance(process.args, list) and process.args[0] == "bash"
    if not is_script:
        time.sleep(2.0)  # it waits for its processes one by one, in threads of their own
        process.send_signal(signal.SIGINT)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return usage.ru_utime + usage.ru_stime
