"""The program as forks of one process that has imported it: each is a process of its own, without the imports.

Run as a script it is that process. Each line of JSON on its standard input is answered by a number: what is to be run
by the child's, and a child's number, once that has ended, by its exit code.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


class Fork:
    """A running one, with what `subprocess.Popen` has for its user."""

    def __init__(self, pid: int, words: Sequence[str], exit_code: Callable[[int], int]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._words, self._exit_code = words, exit_code
        self._end = os.pidfd_open(pid)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            ended = select.poll()
            ended.register(self._end, select.POLLIN)
            if not ended.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(self._words, timeout or 0.0)
            self.returncode = self._exit_code(self.pid)
            os.close(self._end)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._end, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Warm:
    """That process, as its one user sees it; it ends with us."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._lock = threading.Lock()
        atexit.register(self._process.communicate)

    def start(self, words: Sequence[str], environ: Mapping[str, str], cwd: Path, files: Sequence[str]) -> Fork:
        """Start what Python would with `words`, -m MODULE or -c PROGRAM first; `files` are its standard streams."""
        umask = os.umask(0o022)
        os.umask(umask)
        facts = {"words": list(words), "environ": dict(environ), "cwd": str(cwd), "files": files, "umask": umask}
        return Fork(self._answer(facts), words, self._answer)

    def run(
        self, words: Sequence[str], environ: Mapping[str, str], cwd: Path, timeout: float, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        with (
            tempfile.NamedTemporaryFile("w") as stdin,
            tempfile.NamedTemporaryFile() as stdout,
            tempfile.NamedTemporaryFile() as stderr,
        ):
            stdin.write(text)
            stdin.flush()
            files = [each.name for each in (stdin, stdout, stderr)]
            running = self.start(words, environ, cwd, files)
            try:
                code = running.wait(timeout)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
                raise
            said = []
            for each in (stdout, stderr):
                each.seek(0)
                said.append(each.read().decode())
        return subprocess.CompletedProcess([sys.executable, *words], code, *said)

    def _answer(self, question: object) -> int:
        with self._lock:
            asked, answers = self._process.stdin, self._process.stdout
            assert asked is not None
            assert answers is not None
            asked.write(json.dumps(question) + "\n")
            asked.flush()
            return int(answers.readline())


def _main() -> None:
    import watchfolder  # noqa: PLC0415 - of the script alone
    from watchfolder.disk import places  # noqa: PLC0415

    for module in pkgutil.walk_packages(watchfolder.__path__, "watchfolder."):
        if not module.name.startswith(("watchfolder.sandbox", "watchfolder.__main__")):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    commands = os.fdopen(os.dup(0), "r")
    for question in map(json.loads, iter(commands.readline, "")):
        if isinstance(question, int):
            answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(question, 0)[1])}\n")
            continue
        child = os.fork()
        if child == 0:
            places._LIFE = secrets.token_hex(3)  # a fork is a life of its own
            os.close(answers.fileno())
            os.close(commands.fileno())
            _become(question)
            return
        answers.write(f"{child}\n")


def _become(facts: dict[str, Any]) -> None:
    """Work as the command does, and end as it does."""
    for number, file in enumerate(facts["files"]):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY), number)
    os.environ.clear()
    os.environ.update(facts["environ"])
    os.umask(facts["umask"])
    os.chdir(facts["cwd"])
    kind, what, *words = facts["words"]
    sys.argv = [kind, *words]
    sys.path[0] = ""
    if kind == "-c":
        exec(what, {"__name__": "__main__"})  # noqa: S102 - the test's own program
    else:
        runpy.run_module(what, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
