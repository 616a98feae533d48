import io
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from typing_extensions import override

from watchfolder import events
from watchfolder.console import logs
from watchfolder.events import event, keep_secret

KEY = "sk_live_0123456789abcdef"
Style = Literal["auto", "text", "json"]
SIGNED = "https://s3.example/b/k?X-Amz-Signature=5ecret"


@pytest.fixture(autouse=True)
def _logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root, ours = logging.root, logging.getLogger("watchfolder")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    with monkeypatch.context() as patch:
        patch.setattr(events, "_secrets", ())
        patch.setattr(sys, "excepthook", sys.excepthook)
        patch.setattr(sys, "unraisablehook", sys.unraisablehook)
        patch.setattr(threading, "excepthook", threading.excepthook)
        yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def logged(*acts: Callable[[], object], style: Style = "auto", level: int = logging.INFO) -> list[str]:
    stream = io.StringIO()
    logs.set_up(style, level, {}, stream)
    for act in acts:
        act()
    return stream.getvalue().splitlines()


def without_time(line: str) -> str:
    time, rest = line.split(" ", 1)
    assert datetime.fromisoformat(time).tzinfo is not None
    return rest


def fail(message: str) -> None:
    event("upload.failed", logging.ERROR, trace=OSError(message), order="17")


def raise_and_log() -> None:
    try:
        int("gone")
    except ValueError:
        event("upload.failed", logging.ERROR, trace=True, order="17")


def read_journal(tmp_path: Path, *acts: Callable[[], object], style: Style = "auto") -> list[str]:
    with (tmp_path / "journal").open("w+", encoding="utf-8") as stream:
        status = os.fstat(stream.fileno())
        logs.set_up(style, logging.INFO, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}, stream)
        for act in acts:
            act()
        stream.seek(0)
        return stream.read().splitlines()


def test_a_line_is_time_level_event_and_facts() -> None:
    [line] = logged(
        lambda: event("order.delivered", order="17", file="a b.jpg", size=12, took_seconds=0.5, is_new=True)
    )
    assert without_time(line) == 'INFO order.delivered order=17 file="a b.jpg" size=12 took_seconds=0.5 is_new=true'


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", '""'),
        ("a=b", '"a=b"'),
        ('say "cheese".jpg', r'"say \"cheese\".jpg"'),
        (None, "null"),
        (b"Stra\xdfe.jpg", r"Stra\xdfe.jpg"),
        ("x\n2026-01-01T00:00:00Z INFO order.delivered", r'"x\n2026-01-01T00:00:00Z INFO order.delivered"'),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (float("inf"), "inf"),
        (SIGNED, "https://s3.example/b/k?…"),
    ],
)
def test_a_fact_is_one_word_or_quoted_and_holds_nothing_that_could_forge_a_line(value: object, shown: str) -> None:
    [line] = logged(lambda: event("seen", it=value))
    assert without_time(line) == f"INFO seen it={shown}"


def test_a_traceback_is_indented_so_that_no_line_looks_like_an_event() -> None:
    head, *trace = logged(lambda: fail("gone\n2026-01-01T00:00:00Z INFO order.delivered"))
    assert without_time(head) == "ERROR upload.failed order=17"
    assert all(line.startswith("    ") for line in trace)
    assert trace[-2:] == ["    OSError: gone", "    2026-01-01T00:00:00Z INFO order.delivered"]


@pytest.mark.parametrize("style", ["text", "json"])
def test_neither_key_nor_query_appears_even_in_tracebacks(style: Style) -> None:
    keep_secret(KEY)

    def everything() -> None:
        event("request.sent", url=SIGNED, header=f"Bearer {KEY}")
        error = OSError(f"url: /b/k?X-Amz-Signature=5ecret and {SIGNED}")
        error.__cause__ = ValueError(f"Bearer {KEY}")
        event("request.failed", trace=error)
        logging.getLogger("library.pool").warning("Retrying after %s: %s", KEY, "/b/k?X-Amz-Signature=5ecret")

    text = "\n".join(logged(everything, style=style))
    assert KEY not in text
    assert "5ecret" not in text
    assert text.count("sk_") == 3
    assert "ValueError" in text


def test_in_the_journal_every_line_has_its_priority_and_no_time(tmp_path: Path) -> None:
    lines = read_journal(tmp_path, lambda: event("seen", file="a.jpg"), raise_and_log)
    assert lines[0] == "<6>INFO seen file=a.jpg"
    assert lines[1] == "<3>ERROR upload.failed order=17"
    assert lines[2] == "<3>    Traceback (most recent call last):"
    assert lines[-1].startswith("<3>    ValueError: invalid")
    assert all(line.startswith("<3>    ") for line in lines[2:])


@pytest.mark.parametrize(
    ("level", "priority"), [(logging.DEBUG, 7), (logging.WARNING, 4), (logging.CRITICAL, 2), (logging.INFO + 1, 6)]
)
def test_levels_become_syslog_priorities(tmp_path: Path, level: int, priority: int) -> None:
    def speak() -> None:
        logging.getLogger("watchfolder").setLevel(logging.DEBUG)
        event("seen", level)

    [line] = read_journal(tmp_path, speak)
    assert line.startswith(f"<{priority}>")


def test_a_log_that_is_not_systemds_journal_has_times(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+", encoding="utf-8") as stream:
        logs.set_up("auto", logging.INFO, {"JOURNAL_STREAM": "1:2"}, stream)
        event("seen")
        stream.seek(0)
        assert without_time(stream.read()) == "INFO seen\n"


def test_text_keeps_its_times_even_in_the_journal(tmp_path: Path) -> None:
    [line] = read_journal(tmp_path, lambda: event("seen"), style="text")
    assert without_time(line) == "INFO seen"


def test_json_is_one_object_a_line_with_the_time_in_utc() -> None:
    first, second = logged(
        lambda: event("seen", file="ä\n.jpg", size=3, is_new=None), lambda: fail("gone\nfar"), style="json"
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", json.loads(first).pop("time"))
    assert json.loads(first) | {"time": ""} == {
        "time": "",
        "level": "INFO",
        "event": "seen",
        "facts": {"file": "ä\\n.jpg", "size": 3, "is_new": None},
        "exception": None,
    }
    assert json.loads(second)["exception"].endswith("OSError: gone\nfar")


def test_json_in_the_journal_carries_the_priority_that_the_journal_takes_off(tmp_path: Path) -> None:
    [line] = read_journal(tmp_path, lambda: event("seen"), style="json")
    assert json.loads(line.removeprefix("<6>"))["event"] == "seen"


def test_libraries_are_heard_from_warning_on_and_named() -> None:
    library = logging.getLogger("library.pool")
    loud, quiet = lambda: library.warning("Task queue depth is %d", 3), lambda: library.info("quiet")
    [line] = logged(quiet, loud, level=logging.DEBUG)
    assert without_time(line) == 'WARNING library.pool message="Task queue depth is 3"'


def test_the_level_is_that_of_our_own_events() -> None:
    def speak() -> None:
        event("quiet", logging.DEBUG)
        event("loud")

    assert [without_time(line) for line in logged(speak)] == ["INFO loud"]
    assert [without_time(line) for line in logged(speak, level=logging.DEBUG)] == ["DEBUG quiet", "INFO loud"]


def test_configured_twice_a_line_is_still_written_once() -> None:
    first = io.StringIO()
    logs.set_up("auto", logging.INFO, {}, first)
    assert len(logged(lambda: event("seen"))) == 1
    assert first.getvalue() == ""


def test_what_nobody_caught_is_logged_like_everything_else() -> None:
    keep_secret(KEY)
    error = ValueError(KEY)

    def crash() -> None:
        sys.excepthook(ValueError, error, None)
        thread = threading.Thread(target=lambda: int(KEY), name="uploads")
        thread.start()
        thread.join(10)

    lines = logged(crash)
    assert [without_time(line) for line in lines if not line.startswith("    ")] == [
        "CRITICAL process.crashed",
        "CRITICAL thread.crashed thread=uploads",
    ]
    assert "    ValueError: sk_…" in lines
    assert KEY not in "\n".join(lines)


def test_what_fails_in_a_finaliser_is_logged_as_well() -> None:
    class Fragile:
        def __del__(self) -> None:
            raise ValueError(SIGNED)

    lines = logged(Fragile)
    assert without_time(lines[0]).startswith("ERROR process.unraisable")
    assert lines[-1] == "    ValueError: https://s3.example/b/k?…"


def test_a_line_that_cannot_be_made_says_where_and_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        @override
        def __str__(self) -> str:
            raise ValueError(KEY)

    [line] = logged(lambda: event("seen", it=Broken()))
    assert line.startswith("ERROR log.failed logger=watchfolder at=test_console_logs.py:")
    assert capsys.readouterr().err == ""


def test_a_terminal_that_is_gone_stops_nobody() -> None:
    stream = io.StringIO()
    logs.set_up("auto", logging.INFO, {}, stream)
    stream.close()
    event("seen")
