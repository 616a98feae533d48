"""A stage for one measurement: fresh folders, a sandbox beside them, and the daemon as a process of its own."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from daemon_process import DaemonProcess

from watchfolder.sandbox import RequestRecord, Sandbox

SETTLE_SECONDS = 1.0
PROCESSING_SECONDS = 1.0  # of an order, at the sandbox
TRANSFERS = 4  # the default of the configuration
READY_SECONDS = 120.0
_TRANSFERRING = frozenset({"upload", "fetch"})
_TOO_MANY = 429


@dataclass(frozen=True)
class Stage:
    """`card` is where pictures wait to be dropped; the other folders are the daemon's."""

    top: Path
    sandbox: Sandbox

    @property
    def card(self) -> Path:
        return self.top / "card"

    @property
    def inbox(self) -> Path:
        return self.top / "inbox"

    @property
    def outbox(self) -> Path:
        return self.top / "outbox"

    @property
    def state(self) -> Path:
        return self.top / "state"

    def configure(self, *, requests_per_minute: int = 0, api: dict[str, object] | None = None, **inbox: object) -> Path:
        """Write the configuration of one inbox, with everything at its default that is not given."""
        folders = {"path": str(self.inbox), "outbox": str(self.outbox), "quarantine": str(self.top / "quarantine")}
        tree = {
            "api": {"base_url": self.sandbox.url, "requests_per_minute": requests_per_minute} | (api or {}),
            "state_dir": str(self.state),
            "inboxes": {"photos": folders | {"settle_seconds": SETTLE_SECONDS} | inbox},
        }
        path = self.top / "config.yaml"
        path.write_text(yaml.safe_dump(tree))
        return path

    @contextmanager
    def daemon(self, under: Sequence[str] = ()) -> Iterator[DaemonProcess]:
        """Run the program, `under` another one if need be, until it is ready; stop it at the end."""
        command = [*under, sys.executable, "-m", "watchfolder", "run", "-c", str(self.top / "config.yaml")]
        environment = {**os.environ, "BIZMORI_API_KEY": self.sandbox.key}
        began, log = time.monotonic(), self.top / "log"
        with open(log, "wb") as sink:
            process = subprocess.Popen(command, env=environment, stderr=sink, stdout=sink)
        pid = process.pid
        try:
            ready_seconds = _wait_until_ready(process, log, began)
            pid = _innermost(process.pid) if under else process.pid
            yield DaemonProcess(pid, ready_seconds)
        finally:
            if process.poll() is None:
                os.kill(pid, signal.SIGTERM)  # a tracer would only let go of it
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.kill(pid, signal.SIGKILL)
                process.wait()

    def drop(self) -> float:
        """Rename every picture of the card into the inbox, and return the clock's time before the first."""
        names = sorted(os.listdir(self.card))
        began = time.time()
        for name in names:
            os.rename(self.card / name, self.inbox / name)
        return began

    def wait_for_deliveries(self, count: int, seconds: float) -> float:
        """Return the clock's time at which the last of `count` pictures got its name in the outbox."""
        deadline = time.monotonic() + seconds
        while (there := self.delivered()) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{there} of {count} files were delivered within {seconds:.0f} s")
            time.sleep(0.05 if count <= 100 else 0.5)  # noqa: PLR2004 - looking must not cost what is measured
        return max(entry.stat().st_ctime for entry in os.scandir(self.outbox))

    def delivered(self) -> int:
        return sum(not entry.name.startswith(".") for entry in os.scandir(self.outbox))

    def api_requests(self) -> list[RequestRecord]:
        return [record for record in self.sandbox.requests if record.operation not in _TRANSFERRING]

    def refusals(self) -> int:
        return sum(record.status == _TOO_MANY for record in self.sandbox.requests)

    def operations(self) -> Counter[str]:
        return Counter(record.operation for record in self.sandbox.requests)


@contextmanager
def stage(**options: Any) -> Iterator[Stage]:  # noqa: ANN401 - the sandbox's own
    """Give fresh folders and a sandbox with `options`; whatever was written is removed at the end."""
    sandbox_options = {"processing_seconds": PROCESSING_SECONDS} | options
    with tempfile.TemporaryDirectory(prefix="watchfolder-bench-") as folder, Sandbox(**sandbox_options) as sandbox:
        for name in ("card", "inbox", "outbox", "quarantine", "state"):
            (Path(folder) / name).mkdir()
        yield Stage(Path(folder), sandbox)


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path, began: float) -> float:
    while b"daemon.ready" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > began + READY_SECONDS:
            raise RuntimeError(f"the daemon did not become ready: {log.read_text()[-500:]}")
        time.sleep(0.01)
    return time.monotonic() - began


def _innermost(pid: int) -> int:
    """Return the process that a tracer started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else pid
