"""How full the disks are, as the daemon tells it."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from watchfolder.daemon.disk_usage import DiskUsage
from watchfolder.snapshot import Disk, Snapshot

NOW = datetime.now(UTC)


def test_each_folder_is_measured_once_a_minute(tmp_path: Path) -> None:
    disk_usage = DiskUsage(str(tmp_path), None, str(tmp_path / "missing"))
    disk_usage.look(0.0)
    (found,) = disk_usage.disks.values()
    assert found.device == tmp_path.stat().st_dev
    assert 0 < found.free_bytes <= found.total_bytes == os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize
    before = disk_usage.disks
    disk_usage.look(59.0)
    assert disk_usage.disks is before
    disk_usage.look(61.0)
    assert disk_usage.disks is not before


def test_what_lies_in_the_place_of_a_share_that_is_away_is_not_its_disk(tmp_path: Path) -> None:
    disk_usage = DiskUsage(str(tmp_path))
    disk_usage.look(0.0)
    disk_usage.look(1.0, are_there=False)
    assert disk_usage.disks == {}
    disk_usage.look(2.0)
    assert list(disk_usage.disks) == [str(tmp_path)]


def test_free_space_that_changes_is_no_reason_to_write_the_status() -> None:
    before = Snapshot(at=NOW, pid=1, version="1", started=NOW)
    disk = Disk(device=1, free_bytes=1, total_bytes=2)
    assert before.model_copy(update={"disks": {"/srv": disk}, "at": NOW + timedelta(1)}).is_same_but_for_time(before)
    assert "disks" not in before.model_copy(update={"disks": {"/srv": disk}}).model_dump_json()
