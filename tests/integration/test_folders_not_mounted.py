"""A share that is not mounted is called that, wherever it is known from, and nothing is written on its mount point."""

import os
from pathlib import Path

import pytest
from file_systems import mounted, tmpfs

from watchfolder import config, disk
from watchfolder.command_line import CommandLine
from watchfolder.console.commands import init_setup
from watchfolder.disk import mounts
from watchfolder.errors import FolderFault
from watchfolder.folders import TOKEN, Folders


@pytest.fixture
def fstab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    table = tmp_path / "fstab"
    table.write_text("# nothing yet\n", encoding="utf-8")
    monkeypatch.setattr(mounts, "FSTAB", str(table))
    return table


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    (tmp_path / "state").mkdir()
    return folders_in(tmp_path)


def folders_in(top: Path) -> Folders:
    return Folders(str(top / "state"), "f" * 32, CommandLine())


def fault_of(folders: Folders, path: Path) -> FolderFault:
    with pytest.raises(FolderFault) as caught:
        folders.require_folder(str(path))
    return caught.value


@pytest.mark.parametrize("inside", [".", "photos/inbox"])
def test_a_share_that_fstab_names_is_not_taken_for_its_bare_mount_point(
    tmp_path: Path, fstab: Path, folders: Folders, inside: str
) -> None:
    point = tmp_path / "my nas"
    point.mkdir()
    escaped = str(point).replace(" ", r"\040")
    fstab.write_text(f"nas:/photos {escaped} nfs vers=4.2,nofail 0 0\n", encoding="utf-8")
    fault = fault_of(folders, point / inside)
    assert fault.code == "NOT_MOUNTED"
    assert fault.reason == f"{point} is not mounted (as root, run: mount '{point}')"
    with pytest.raises(FolderFault):
        folders.accept(str(point))
    assert os.listdir(point) == []


def test_a_folder_beside_a_share_is_as_it_is(tmp_path: Path, fstab: Path, folders: Folders) -> None:
    (tmp_path / "nas2").mkdir()
    fstab.write_text(f"nas:/photos {tmp_path}/nas nfs nofail\nproc /proc proc\n/dev/sda1 / ext4\nUUID=1 none swap\n")
    folders.require_folder(str(tmp_path / "nas2"))
    assert (tmp_path / "nas2" / TOKEN).exists()


@pytest.mark.usefixtures("fstab")
def test_a_mount_that_fstab_does_not_know_is_remembered(tmp_path: Path, folders: Folders) -> None:
    point = tmp_path / "nas"
    with tmpfs(tmp_path / "far"), mounted(point, "--bind", str(tmp_path / "far")):
        (point / "inbox").mkdir()
        folders.require_folder(str(point / "inbox"))
        folders.require_folder(str(point))
    for path in (point, point / "inbox"):
        assert fault_of(folders_in(tmp_path), path).reason == f"{point} is not mounted"
    assert os.listdir(point) == []
    folders_in(tmp_path).accept(str(point))  # a person's word that it is a local folder now
    folders.require_folder(str(point))


@pytest.mark.usefixtures("fstab")
def test_a_bind_of_what_is_above_is_no_mount_of_its_own(tmp_path: Path) -> None:
    here = disk.mount_point_of(str(tmp_path))
    with mounted(tmp_path / "bound", "--bind", str(tmp_path)):
        assert disk.mount_point_of(str(tmp_path / "bound")) == here


def test_init_makes_no_folders_on_a_bare_mount_point(tmp_path: Path, fstab: Path) -> None:
    point = tmp_path / "nas"
    point.mkdir()
    fstab.write_text(f"nas:/photos {point} nfs nofail\n", encoding="utf-8")
    paths = "\n".join(f"    {role}: {point}/{role}" for role in ("path", "outbox", "quarantine"))
    (tmp_path / "config.yaml").write_text(f"state_dir: {tmp_path}/state\ninboxes:\n  photos:\n{paths}\n")
    found = config.load(str(tmp_path / "config.yaml"), {}, needs_key=False)
    wishes = init_setup.Wishes(found.source, str(point), found.state_dir, "", "", "anti-ai", 60, "", "")
    with pytest.raises(FolderFault, match="nas is not mounted"):
        list(init_setup.folders(found, wishes))
    assert os.listdir(point) == []
