"""How a log line looks: for a terminal, for the systemd journal, for a program; and never with a secret in it."""

import json
import logging
import math
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO

from typing_extensions import override

from watchfolder.events import event, printable, redacted

_BARE = re.compile(r"[^\s\"=]+")  # a value that needs no quotes
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))  # syslog's

Value = str | int | float | bool | None


def set_up(
    format: str,  # noqa: A002 - the name of the option: auto, text or json
    level: int,
    environ: Mapping[str, str],
    stream: TextIO,
) -> None:
    """Send all logging, and every exception that nobody caught, to `stream`; a later call replaces an earlier one.

    `auto` is text, without time where `stream` is the systemd journal, which keeps its own. Libraries are logged from
    WARNING on.
    """
    for old in [handler for handler in logging.root.handlers if isinstance(handler, _Handler)]:
        logging.root.removeHandler(old)
    is_journal = _is_journal(stream, environ)
    handler = _Handler(stream)
    handler.setFormatter(_Formatter(is_json=format == "json", is_journal=is_journal and format != "text"))
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.WARNING)
    logging.getLogger("watchfolder").setLevel(level)
    sys.excepthook = lambda _kind, error, _trace: event("process.crashed", logging.CRITICAL, trace=error)
    threading.excepthook = _report_thread
    sys.unraisablehook = lambda args: event(
        "process.unraisable", logging.ERROR, trace=args.exc_value or False, where=args.err_msg
    )


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether `stream` itself is the journal; the variable alone is inherited by everything a service starts."""
    with suppress(OSError, ValueError):  # no descriptor, or closed
        status = os.fstat(stream.fileno())
        return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
    return False


class _Handler(logging.StreamHandler[TextIO]):
    @override
    def handleError(self, record: logging.LogRecord) -> None:
        """Go on without the line: logging's own handler prints the record as it is, secrets and all."""
        with suppress(OSError, ValueError):
            self.stream.write(f"ERROR log.failed logger={record.name} at={record.filename}:{record.lineno}\n")


class _Formatter(logging.Formatter):
    """Makes lines of a record, for the systemd journal each with the priority that it reads.

    Text is TIME LEVEL event key=value key="value with spaces", an exception's lines below it, indented; JSON is one
    object a line: time (RFC 3339, UTC), level, event, facts, exception (null, or its traceback).
    """

    def __init__(self, *, is_json: bool, is_journal: bool) -> None:
        super().__init__()
        self._is_json, self._is_journal = is_json, is_journal

    @override
    def format(self, record: logging.LogRecord) -> str:
        name, facts = _parts_of(record)
        at, exception = datetime.fromtimestamp(record.created, UTC), list(_lines_of_crash(record))
        if self._is_json:
            time = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            entry = {"time": time, "level": record.levelname, "event": name, "facts": facts}
            lines = [json.dumps(entry | {"exception": "\n".join(exception) or None})]
        else:
            time = "" if self._is_journal else f"{at.astimezone().isoformat(timespec='seconds')} "
            words = [record.levelname, name, *(f"{key}={_quoted(value)}" for key, value in facts.items())]
            lines = [time + " ".join(words), *(f"    {line}" for line in exception)]
        priority = next(priority for floor, priority in _PRIORITIES if record.levelno >= floor)
        prefix = f"<{priority}>" if self._is_journal else ""
        return "\n".join(prefix + line for line in lines)


def _parts_of(record: logging.LogRecord) -> tuple[str, dict[str, Value]]:
    """Our records bring their facts; a library's message is a fact of its logger's name."""
    facts = getattr(record, "facts", None)
    if facts is None:
        return record.name, {"message": _printable(record.getMessage())}
    return record.msg, {key: _printable(value) for key, value in facts.items()}


def _printable(value: object) -> Value:
    match value:
        case None | bool() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case bytes():
            return printable(redacted(os.fsdecode(value)))
        case datetime():
            return value.isoformat()
        case _:
            return printable(redacted(str(value)))


def _quoted(value: Value) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    return value if _BARE.fullmatch(value) else '"' + value.replace('"', r"\"") + '"'


def _lines_of_crash(record: logging.LogRecord) -> Iterator[str]:
    """Redacted while it is one text, since a message may be broken over lines; then escaped line by line."""
    if record.exc_info and record.exc_info[0]:
        for line in redacted("".join(traceback.format_exception(*record.exc_info))).splitlines():
            yield printable(line)


def _report_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value and not isinstance(args.exc_value, SystemExit):
        event("thread.crashed", logging.CRITICAL, trace=args.exc_value, thread=args.thread and args.thread.name)
