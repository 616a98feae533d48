"""Commands as forks of one process that has imported the program: each is a process of its own, without the imports.

Run as a script it is that process. Each line of JSON on its standard input is a command; it answers with a line that
holds the child's number, and with one that holds its exit code once it has ended.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Warm:
    """That process, as its one user sees it; it ends with us."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._lock = threading.Lock()
        atexit.register(self._process.communicate)

    def run(
        self, words: Sequence[str], environ: Mapping[str, str], cwd: Path, timeout: float
    ) -> subprocess.CompletedProcess[str] | None:
        """Run what Python would with these words, `-m MODULE` or `-c PROGRAM` first; None while another one runs."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self._run(words, environ, cwd, timeout)
        finally:
            self._lock.release()

    def _run(
        self, words: Sequence[str], environ: Mapping[str, str], cwd: Path, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            umask = os.umask(0o022)
            os.umask(umask)
            files = [f"/proc/{os.getpid()}/fd/{each.fileno()}" for each in (stdout, stderr)]
            facts = {"words": list(words), "environ": dict(environ), "cwd": str(cwd), "files": files, "umask": umask}
            asked, answers = self._process.stdin, self._process.stdout
            assert asked is not None
            assert answers is not None
            asked.write(json.dumps(facts) + "\n")
            asked.flush()
            child = int(answers.readline())
            late = threading.Timer(timeout, os.kill, (child, 9))
            late.start()
            began = time.monotonic()
            code = int(answers.readline())
            late.cancel()
            said = []
            for each in (stdout, stderr):
                each.seek(0)
                said.append(each.read().decode())
        if time.monotonic() - began >= timeout:
            raise subprocess.TimeoutExpired(words, timeout, *said)
        return subprocess.CompletedProcess([sys.executable, *words], code, *said)


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
    for line in iter(commands.readline, ""):
        child = os.fork()
        if child == 0:
            places._LIFE = secrets.token_hex(3)  # a fork is a life of its own
            os.close(answers.fileno())
            os.close(commands.fileno())
            _become(json.loads(line))
            return
        answers.write(f"{child}\n")
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")


def _become(facts: dict[str, Any]) -> None:
    """Work as the command does, and end as it does."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in enumerate(facts["files"], 1):
        os.dup2(os.open(file, os.O_WRONLY), number)
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
