"""Telling whether a lock is held without touching it."""

import os
from pathlib import Path

from watchfolder import disk
from watchfolder.disk import Place
from watchfolder.report.lock_holder import is_locked


def test_a_lock_that_is_held_is_seen_and_one_that_was_let_go_is_not(tmp_path: Path) -> None:
    lock = Place(str(tmp_path), "lock")
    assert not is_locked(lock)
    held = disk.hold_lock(lock)
    assert held is not None
    assert is_locked(lock)
    os.close(held)
    assert not is_locked(lock)


def test_the_lock_of_another_state_directory_does_not_count(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lock").touch()
    held = disk.hold_lock(Place(str(tmp_path / "one"), "lock"))
    assert held is not None
    try:
        assert not is_locked(Place(str(tmp_path / "other"), "lock"))
    finally:
        os.close(held)
