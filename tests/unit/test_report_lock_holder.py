"""Telling whether a lock is held without touching it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from watchfolder import disk
from watchfolder.disk import Place
from watchfolder.report import lock_holder
from watchfolder.report.lock_holder import hidden_daemon, is_held, silent_seconds


def test_a_lock_that_is_held_is_seen_and_one_that_was_let_go_is_not(tmp_path: Path) -> None:
    lock = Place(str(tmp_path), "lock")
    assert not is_held(lock)
    held = disk.hold_lock(lock)
    assert held is not None
    assert is_held(lock)
    os.close(held)
    assert not is_held(lock)


def test_the_lock_of_another_state_directory_does_not_count(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lock").touch()
    held = disk.hold_lock(Place(str(tmp_path / "one"), "lock"))
    assert held is not None
    try:
        assert not is_held(Place(str(tmp_path / "other"), "lock"))
    finally:
        os.close(held)


def test_a_main_loop_that_has_not_turned_for_long_is_seen_by_its_lock(tmp_path: Path) -> None:
    lock = Place(str(tmp_path), "lock")
    held = disk.hold_lock(lock)
    assert held is not None
    try:
        assert silent_seconds(lock) == 0.0  # it starts
        disk.show_beside_lock(held, int(time.monotonic()) - 300)
        assert 300 <= silent_seconds(lock) < 600
        disk.show_beside_lock(held, int(time.monotonic()))
        assert silent_seconds(lock) < 300
        assert is_held(lock)
    finally:
        os.close(held)
    assert silent_seconds(lock) == 0.0


@pytest.mark.parametrize("size", ["1", "0"])
def test_what_others_lock_of_the_file_is_no_turn_of_the_holder(tmp_path: Path, size: str) -> None:
    lock = Place(str(tmp_path), "lock")
    held = disk.hold_lock(lock)
    assert held is not None
    locks = "import fcntl, sys; file = open(sys.argv[1], 'r+'); fcntl.lockf(file, fcntl.LOCK_EX, int(sys.argv[2]), 9)"
    command = [sys.executable, "-c", f"{locks}; print(flush=True); sys.stdin.read()", lock.path, size]
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.readline()
            assert silent_seconds(lock) == 0.0  # it starts
            other.kill()
    finally:
        os.close(held)


@pytest.mark.parametrize(
    ("options", "may_be"),
    [
        (["-c", "/srv/a.yaml"], {"/srv/a.yaml"}),
        (["--log-format", "json", "--config", "/srv/a.yaml"], {"/srv/a.yaml"}),
        (["--config=/srv/a.yaml", "--adopt"], {"/srv/a.yaml"}),
        (["--config=a.yaml"], {"/srv/a.yaml", "/srv/b.yaml"}),
        ([], {"/srv/a.yaml", "/srv/b.yaml"}),
    ],
)
def test_a_hidden_daemon_is_known_by_the_configuration_that_it_names(
    options: list[str], may_be: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)", "watchfolder", "run", *options]
    with subprocess.Popen(sleep, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            monkeypatch.setattr(lock_holder, "_is_open", lambda each: each != str(process.pid))
            found = {source for source in ("/srv/a.yaml", "/srv/b.yaml") if hidden_daemon(source) == process.pid}
            assert found == may_be
            monkeypatch.setattr(lock_holder, "_is_open", lambda _each: True)
            assert hidden_daemon("/srv/a.yaml") is None
        finally:
            process.kill()
