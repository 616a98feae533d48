"""Brings up daemons: one fork of the warm process for each run, with its faults armed or not."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import Any, Self

_WARM = Path(__file__).with_name("warm.py")


@dataclass(frozen=True)
class Run:
    """What one child is to do."""

    config: str
    key: str
    log: str
    result: str
    once: bool = True
    mischief: str = ""  # of warm.MISCHIEF
    accomplice: str = ""  # the file that it is done to
    command: tuple[str, ...] = ()  # another command of watchfolder than the daemon


@dataclass
class Ending:
    """How it went. `word` is the daemon's own, or `killed`, `hung`."""

    word: str
    left: list[str] = field(default_factory=list)
    error: str = ""


class Nursery:
    """The warm process, for as long as the context is entered."""

    def __init__(self, environment: dict[str, str], watched_by: Sequence[str] = ()) -> None:
        self._watched_by = watched_by  # the words before the command, as strace wants them
        self._environment = {**os.environ, **environment, "PYTHONDONTWRITEBYTECODE": "1"}
        self._answers: Queue[dict[str, int]] = Queue()
        self._run: Run | None = None
        self.pid = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [*self._watched_by, sys.executable, str(_WARM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment,
        )
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.kill()
            self._process.wait(5)

    def start(self, run: Run) -> int:
        """Start a daemon and return its pid."""
        assert self._process.stdin is not None
        Path(run.result).unlink(missing_ok=True)
        self._run = run
        self._process.stdin.write(json.dumps(asdict(run)) + "\n")
        self._process.stdin.flush()
        self.pid = self._answers.get(timeout=60)["pid"]
        return self.pid

    def wait(self, seconds: float) -> Ending:
        """Wait for the daemon's end; one that lives longer is killed, and `hung`."""
        assert self._run is not None
        try:
            status = self._answers.get(timeout=seconds)["status"]
        except Empty:
            self.kill()
            self._answers.get(timeout=60)
            return Ending("hung")
        self.pid = 0
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            return Ending("killed" if name == "SIGKILL" else name)
        told: dict[str, Any] = json.loads(Path(self._run.result).read_text("utf-8"))
        return Ending(told["ending"], told.get("left", []), told.get("error", ""))

    def is_over(self) -> bool:
        return not self._answers.empty()

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(json.loads(line))
