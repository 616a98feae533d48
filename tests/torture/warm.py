"""A warm process that becomes one daemon after another: all is imported and configured once, each run is a fork.

Run as a script. Each line of JSON on its standard input is a run (`nursery.Run`); it answers with a line that names the
child's pid, and with one that holds its wait status when it has ended.
"""

import fnmatch
import functools
import gc
import json
import logging
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

from watchfolder import config
from watchfolder.console import cli, logs
from watchfolder.daemon import inbox_worker, loop
from watchfolder.disk import places
from watchfolder.intake import decide, inbox
from watchfolder.names import Ignored
from watchfolder.order import Order, State
from watchfolder.pipeline import StepContext, steps, timing
from watchfolder.report import conditions

_FAST: dict[ModuleType, dict[str, object]] = {  # waits that are the same for people and for tests, only shorter
    timing: {
        "FIRST_POLL_SECONDS": 0.02,
        "REPEAT_SECONDS": 0.02,
        "LEAST_BETWEEN_POLLS_SECONDS": 0.02,
        "FOLDER_BACKOFF_SECONDS": 0.03,
        "FIRST_BACKOFF_SECONDS": 0.03,
        "LONGEST_BACKOFF_SECONDS": 0.06,
        "MISSING_AGAIN_SECONDS": 0.0,
        "FIRST_ORDER_AGAIN_SECONDS": 0.0,
        "UPLOAD_ARRIVES_SECONDS": 0.05,
        "RECOVERY_SPREAD_SECONDS": 0.05,
        "SUSPECT_SECONDS": 0.05,
    },
    inbox: {"_FAULT_SECONDS": 0.03, "_DUPLICATES_SECONDS": 0.02},
    decide: {"_HINDERED_SECONDS": (0.1, 0.1), "_RIGHTS_SECONDS": 0.1},
    inbox_worker: {"_AFTER_A_BREAK_SECONDS": 0.05, "_LEAST_BEAT_SECONDS": 0.005},
    loop: {"_ONCE_TICK_SECONDS": 0.01, "_TICK_SECONDS": 0.05},
}


def main() -> None:
    for module, values in _FAST.items():
        for name, seconds in values.items():
            assert type(getattr(module, name)) is type(seconds), f"{module.__name__} has no such {name} any more"
            setattr(module, name, seconds)
    fnmatch.translate = functools.cache(fnmatch.translate)
    Ignored()  # its patterns are compiled once
    gc.collect()
    gc.freeze()  # what is here already is not copied to be looked through
    for line in sys.stdin:
        run = json.loads(line)
        if not run["command"]:
            _configured(Path(run["config"]), Path(run["config"]).read_text("utf-8"), run["key"])
        pid = os.fork()
        if pid == 0:
            _become_daemon(run)
        _say(pid=pid)
        _say(status=os.waitpid(pid, 0)[1])


def _say(**facts: int) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _become_daemon(run: dict[str, Any]) -> None:
    """Work as `watchfolder run` does, say how it ended, and never return."""
    ending: dict[str, object] = {"ending": "broke"}
    places._LIFE = secrets.token_hex(4)  # a fork is a life of its own
    try:
        stream = open(run["log"], "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - for as long as the process lives
        os.dup2(stream.fileno(), 2)
        logs.set_up("json", logging.INFO, {}, stream)
        if run["mischief"]:
            MISCHIEF[run["mischief"]](run["accomplice"])
        ending = _command(run, stream) if run["command"] else _daemon(run)
    except BaseException as error:  # noqa: BLE001 - told to the parent, whatever it is
        ending = {"ending": "raised", "error": f"{type(error).__name__}: {error}"}
    finally:
        with open(run["result"], "w", encoding="utf-8") as result:
            json.dump(ending, result)
        os._exit(0)


def _daemon(run: dict[str, Any]) -> dict[str, object]:
    path = Path(run["config"])

    def read() -> config.Config:
        return _configured(path, path.read_text("utf-8"), run["key"])

    outcome = loop.run(read(), read, once=run["once"])
    return {"ending": str(outcome.ending), "left": conditions.left(outcome)}


def _command(run: dict[str, Any], output: TextIO) -> dict[str, object]:
    os.dup2(output.fileno(), 1)
    sys.argv = ["watchfolder", *run["command"], "--config", run["config"]]
    try:
        cli.app(prog_name="watchfolder")  # main() would end this process before it has told how
    except SystemExit as left:
        return {"ending": f"exit {left.code}"}
    return {"ending": "broke"}


@functools.lru_cache(8)
def _configured(path: Path, text: str, key: str) -> config.Config:  # noqa: ARG001 - one text is read once
    """Return what the file's text says, but scan more often than it may ask for."""
    configured = config.load(str(path), {"BIZMORI_API_KEY": key})
    inboxes = {name: inbox.model_copy(update={"scan_seconds": 0.1}) for name, inbox in configured.inboxes.items()}
    return configured.model_copy(update={"inboxes": inboxes})


def _change_before(state: State, path: str) -> None:
    """Let somebody change the claimed file, once, through a name of theirs, before the step of `state`."""
    assert isinstance(steps.STEPS, dict)
    step: steps.Step = steps.STEPS[state]

    def changed(context: StepContext, order: Order) -> Order | None:
        with open(path, "rb+") as file, open(f"{path}.new", "rb") as new:
            content = new.read()
            if file.read() != content:
                file.seek(0)
                file.write(content)
                file.truncate()
        return step(context, order)

    steps.STEPS[state] = changed


MISCHIEF: dict[str, Callable[[str], None]] = {
    "change before upload": lambda path: _change_before(State.CREATED, path),
    "change after confirm": lambda path: _change_before(State.CONFIRMED, path),
}


if __name__ == "__main__":
    main()
