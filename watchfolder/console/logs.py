"""How a log line looks: for a terminal, for the systemd journal, for a program; and never with a secret in it."""

import json
import logging
import math
import os
import re
import sys
import threading
import traceback
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal, TextIO

from typing_extensions import override

from watchfolder.events import event, printable, redacted

_BARE = re.compile(r"[^\s\"=]+")  # a value that needs no quotes
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))  # syslog's

Value = str | int | float | bool | None


def configure(
    format: Literal["auto", "text", "json"],  # noqa: A002 - the name of the option
    level: int,
    environ: Mapping[str, str],
    stream: TextIO,
) -> None:
    """Send all logging, and every exception that nobody caught, to `stream`; again and again if need be.

    `auto` is text, without time where `stream` is the systemd journal, which keeps its own. Libraries are heard from
    WARNING on.
    """
    for old in [handler for handler in logging.root.handlers if isinstance(handler, _Handler)]:
        logging.root.removeHandler(old)
    is_journal = _is_journal(stream, environ)
    handler = _Handler(stream)
    handler.setFormatter(_Json(is_journal) if format == "json" else _Text(is_journal and format == "auto"))
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.WARNING)
    logging.getLogger("watchfolder").setLevel(level)
    sys.excepthook = _report_crash
    threading.excepthook = _report_thread
    sys.unraisablehook = _report_unraisable


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether `stream` itself is the journal; the variable alone is inherited by everything a service starts."""
    with suppress(OSError, ValueError):  # no descriptor, or closed
        status = os.fstat(stream.fileno())
        return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
    return False


class _Handler(logging.StreamHandler[TextIO]):
    @override
    def handleError(self, record: logging.LogRecord) -> None:
        """Go on without the line: logging's own way prints the record as it is, secrets and all."""
        with suppress(OSError, ValueError):
            self.stream.write(f"ERROR log.failed logger={record.name} at={record.filename}:{record.lineno}\n")


class _Formatter(logging.Formatter):
    """Makes lines of a record, each with the priority prefix that the journal reads, if `is_journal`."""

    def __init__(self, is_journal: bool) -> None:  # noqa: FBT001 - private, and its only question
        super().__init__()
        self.is_journal = is_journal

    @override
    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_priority(record.levelno)}>" if self.is_journal else ""
        return "\n".join(prefix + line for line in self.lines(record))

    @abstractmethod
    def lines(self, record: logging.LogRecord) -> Iterator[str]: ...


class _Text(_Formatter):
    """TIME LEVEL event key=value key="value with spaces", an exception's lines below it, indented."""

    @override
    def lines(self, record: logging.LogRecord) -> Iterator[str]:
        name, facts = _name_and_facts(record)
        time = [] if self.is_journal else [_instant(record).astimezone().isoformat(timespec="seconds")]
        yield " ".join([*time, record.levelname, name, *(f"{key}={_quoted(value)}" for key, value in facts.items())])
        for line in _exception_lines(record):
            yield f"    {line}"


class _Json(_Formatter):
    """One object a line: time (RFC 3339, UTC), level, event, facts, exception (null, or its traceback)."""

    @override
    def lines(self, record: logging.LogRecord) -> Iterator[str]:
        name, facts = _name_and_facts(record)
        time = _instant(record).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        exception = "\n".join(_exception_lines(record)) or None
        yield json.dumps(
            {"time": time, "level": record.levelname, "event": name, "facts": facts, "exception": exception}
        )


def _name_and_facts(record: logging.LogRecord) -> tuple[str, dict[str, Value]]:
    """Our records bring their facts; a library's message is a fact of its logger's name."""
    facts = getattr(record, "facts", None)
    if facts is None:
        return record.name, {"message": _clean(record.getMessage())}
    return record.msg, {key: _clean(value) for key, value in facts.items()}


def _clean(value: object) -> Value:
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


def _exception_lines(record: logging.LogRecord) -> Iterator[str]:
    """Redacted while it is one text, since a message may be broken over lines; then escaped line by line."""
    if record.exc_info and record.exc_info[0]:
        for line in redacted("".join(traceback.format_exception(*record.exc_info))).splitlines():
            yield printable(line)


def _instant(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _priority(level: int) -> int:
    return next(priority for floor, priority in _PRIORITIES if level >= floor)


def _report_crash(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    event("process.crashed", logging.CRITICAL, trace=error)


def _report_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value and not isinstance(args.exc_value, SystemExit):
        event("thread.crashed", logging.CRITICAL, trace=args.exc_value, thread=args.thread and args.thread.name)


def _report_unraisable(args: "sys.UnraisableHookArgs") -> None:
    event("process.unraisable", logging.ERROR, trace=args.exc_value or False, where=args.err_msg)
