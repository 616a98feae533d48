"""How full the disks are, as the daemon tells it."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from watchfolder.daemon.disk_usage import DiskUsage
from watchfolder.snapshot import Disk, Snapshot

NOW = datetime.now(UTC)


def test_each_folder_is_measured_once_a_minute(tmp_path: Path) -> None:
    disk_usage = DiskUsage(str(tmp_path), str(tmp_path / "missing"))
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


GB = 10**9


def snapshot(**free_bytes: int) -> Snapshot:
    disks = {folder: Disk(device=1, free_bytes=free, total_bytes=1000 * GB) for folder, free in free_bytes.items()}
    return Snapshot(at=NOW + timedelta(sum(free_bytes.values()) % 7), pid=1, version="1", started=NOW, disks=disks)


def test_free_space_that_changes_on_a_healthy_disk_writes_no_status() -> None:
    assert snapshot(srv=700 * GB).is_same_as(snapshot(srv=300 * GB))
    assert snapshot(srv=700 * GB).is_same_as(snapshot())


def test_a_nearly_full_disk_writes_the_status_when_its_number_changes() -> None:
    low = snapshot(srv=9_700_000_001)
    assert not low.is_same_as(snapshot(srv=700 * GB))
    assert not snapshot(srv=700 * GB).is_same_as(low)
    assert not low.is_same_as(snapshot(srv=9_700_000_001, state=9 * GB))
    assert not low.is_same_as(snapshot(srv=9_600_000_000))
    assert low.is_same_as(snapshot(srv=9_680_000_000))


def test_the_status_file_holds_the_nearly_full_disks_alone() -> None:
    written = Snapshot.model_validate_json(snapshot(srv=700 * GB, state=9 * GB).model_dump_json())
    assert written.disks == {"state": Disk(device=1, free_bytes=9 * GB, total_bytes=1000 * GB)}
