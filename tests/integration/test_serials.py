"""A serial is given once: across threads, lives, kills, and the loss of what was known."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from watchfolder.errors import FolderFault
from watchfolder.serials import FILE, Serials

TAKE_FOR_EVER = """
import sys
from watchfolder.serials import Serials
serials = Serials(sys.argv[1])
while True:
    print(*serials.take("press", 3), sep="\\n", flush=True)
"""


def test_serials_count_on_in_the_next_life(tmp_path: Path) -> None:
    first = Serials(str(tmp_path)).take("press", 2)
    second = Serials(str(tmp_path)).take("press", 1)
    (series,) = {serial.partition("-")[0] for serial in first + second}
    assert first + second == [f"{series}-1", f"{series}-2", f"{series}-3"]


def test_no_serial_is_given_twice_side_by_side(tmp_path: Path) -> None:
    serials = Serials(str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        taken = [serial for given in pool.map(partial(serials.take, "press"), [3] * 40) for serial in given]
    assert len(set(taken)) == len(taken) == 120


def test_no_serial_is_given_twice_whenever_the_process_is_killed(tmp_path: Path) -> None:
    seen: list[str] = []
    for lines in (1, 4, 11, 2, 7):
        with subprocess.Popen(
            [sys.executable, "-c", TAKE_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as taking:
            assert taking.stdout is not None
            seen += [taking.stdout.readline() for _ in range(lines)]
            taking.send_signal(signal.SIGKILL)
            seen += [line for line in taking.stdout if line.endswith("\n")]
    assert len(set(seen)) == len(seen) > 20
    assert len({serial.partition("-")[0] for serial in seen}) == 1


@pytest.mark.parametrize(
    "content", [None, b"", b"\0" * 40, b'{"press": {', b'{"press": {"series": "abcde", "last": -1}}']
)
def test_where_the_count_is_lost_another_series_begins(tmp_path: Path, content: bytes | None) -> None:
    before = Serials(str(tmp_path)).take("press", 5)
    if content is None:
        (tmp_path / FILE).unlink()
    else:
        (tmp_path / FILE).write_bytes(content)
    after = Serials(str(tmp_path)).take("press", 5)
    assert not {serial.partition("-")[0] for serial in before} & {serial.partition("-")[0] for serial in after}


def test_what_could_not_be_written_down_is_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serials = Serials(str(tmp_path))
    before = serials.take("press", 1)

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fail)
        with pytest.raises(FolderFault):
            serials.take("press", 1)
    assert not set(before) & set(serials.take("press", 1))


def test_a_number_that_is_ahead_of_the_count_ends_its_series(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    serials = Serials(str(tmp_path))
    (*_, last) = serials.take("press", 5)
    serials.check("press", [f"© Berg {last}", "of a series before: AAAAA-99", "no number"])
    (sixth,) = serials.take("press", 1)
    assert sixth.partition("-")[0] == last.partition("-")[0]
    assert "serials.behind" not in caplog.text
    serials.check("press", [f"© Berg {sixth}", f"© Berg {sixth[:6]}7, for dpa"])
    (another,) = serials.take("press", 1)
    assert another.partition("-")[0] != last.partition("-")[0]
    assert "serials.behind" in caplog.text


def test_two_inboxes_whose_count_was_put_back_repeat_none_of_their_numbers(tmp_path: Path) -> None:
    serials = Serials(str(tmp_path))
    of_press, before = serials.take("press", 5), (tmp_path / FILE).read_bytes()
    of_shop = serials.take("shop", 1)
    (tmp_path / FILE).write_bytes(before)
    serials.check("press", of_press)  # the share of the other one is still away
    again = serials.take("press", 1)
    serials.check("shop", of_shop)
    assert len({*of_press, *of_shop, *again, *serials.take("shop", 1)}) == 8


def test_a_share_that_hangs_as_its_table_is_read_keeps_no_serial_back(tmp_path: Path) -> None:
    serials = Serials(str(tmp_path))
    (first,) = serials.take("press", 1)
    is_reading, may_answer = threading.Event(), threading.Event()

    def table_on_a_dead_share() -> Iterator[str]:
        is_reading.set()
        assert may_answer.wait(60)
        yield f"© Berg {first}"

    with ThreadPoolExecutor(2) as pool:
        compared = pool.submit(serials.check, "press", table_on_a_dead_share())
        try:
            assert is_reading.wait(20)
            (second,) = pool.submit(serials.take, "press", 1).result(10)
        finally:
            may_answer.set()
        compared.result(20)
    assert second.partition("-")[0] == serials.take("press", 1)[0].partition("-")[0] == first.partition("-")[0]
