"""Which file system holds a folder, read from texts of /proc/self/mountinfo, and whether it is a network one."""

import os

import pytest

from watchfolder import disk
from watchfolder.watcher import is_network, way_to_watch

ROOT = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw"


def file_system_of(path: str, text: str) -> str:
    mount = disk.mount_of(path, text)
    return mount.file_system if mount else ""


def table(*lines: str) -> str:
    return "\n".join([*lines, ""])


def mount(number: int, parent: int, point: str, file_system: str, options: str = "shared:2 master:1 ") -> str:
    return f"{number} {parent} 0:44 / {point} rw,relatime {options}- {file_system} source rw"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/srv/photos", "nfs4"),
        ("/srv/photos/inbox/a", "nfs4"),
        ("/srv/photos/local", "xfs"),
        ("/srv/photos/local/a", "xfs"),
        ("/srv", "ext4"),
        ("/srv/photos2", "ext4"),
        ("/", "ext4"),
    ],
)
def test_the_deepest_mount_on_the_way_holds_the_folder(path: str, expected: str) -> None:
    text = table(ROOT, mount(30, 22, "/srv/photos", "nfs4"), mount(31, 30, "/srv/photos/local", "xfs", ""))
    assert file_system_of(path, text) == expected


def test_of_two_mounts_on_one_folder_the_upper_counts() -> None:
    autofs, nfs = mount(30, 22, "/srv", "autofs"), mount(31, 30, "/srv", "nfs")
    assert file_system_of("/srv/a", table(ROOT, autofs, nfs)) == "nfs"
    assert file_system_of("/srv/a", table(nfs, autofs, ROOT)) == "nfs"
    assert file_system_of("/srv/a", table(ROOT, mount(30, 22, "/srv", "nfs"), mount(31, 22, "/srv", "xfs"))) == "xfs"


def test_a_mount_hides_what_was_mounted_below_it_before() -> None:
    text = table(ROOT, mount(30, 22, "/srv/photos", "cifs"), mount(31, 22, "/srv", "xfs"))
    assert file_system_of("/srv/photos/inbox", text) == "xfs"


def test_a_bind_mount_is_what_its_source_is() -> None:
    bind = "40 22 0:50 /exports/photos /srv/photos rw - nfs4 server:/exports rw"
    assert file_system_of("/srv/photos/a", table(ROOT, bind)) == "nfs4"


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("/srv/my\\040photos", "/srv/my photos"),
        ("/srv/tab\\011", "/srv/tab\t"),
        ("/srv/new\\012line", "/srv/new\nline"),
        ("/srv/back\\134slash", "/srv/back\\slash"),
        ("/srv/\u2028사진", "/srv/\u2028사진"),
        ("/srv/caf\udce9", "/srv/caf\udce9"),
    ],
)
def test_mount_points_may_have_any_name(written: str, path: str) -> None:
    assert file_system_of(f"{path}/in", table(ROOT, mount(30, 22, written, "cifs"))) == "cifs"


def test_a_root_that_is_its_own_parent_ends_the_search() -> None:
    assert file_system_of("/srv", table("1 1 0:2 / / rw - rootfs rootfs rw")) == "rootfs"


@pytest.mark.parametrize("text", ["", "\n", "nonsense\n", "1 2 3\n"])
def test_a_text_that_tells_nothing_gives_nothing(text: str) -> None:
    assert file_system_of("/srv", text) == ""


@pytest.mark.parametrize(
    "file_system",
    [
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "ncpfs", "vboxsf"),
        *("virtiofs", "autofs", "fuse", "fuse.sshfs", "fuse.rclone", "fuse.mergerfs"),
    ],
)
def test_a_network_file_system_is_polled(file_system: str) -> None:
    assert is_network(file_system)


@pytest.mark.parametrize("file_system", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "exfat", ""])
def test_a_local_disk_tells_its_changes(file_system: str) -> None:
    assert not is_network(file_system)


def test_auto_asks_the_mount_table_about_where_the_links_lead(
    tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    door = os.path.join(tmp_path, "door")
    os.symlink("/srv/photos", door)
    monkeypatch.setattr("watchfolder.disk.read_mount_table", lambda: table(ROOT, mount(30, 22, "/srv/photos", "nfs4")))
    assert way_to_watch(door, "auto") == ("polling", "nfs4 tells us nothing of what other hosts write")
    assert way_to_watch("/srv", "auto") == ("events", "ext4 is local")
    assert way_to_watch(door, "events") == ("events", "as configured")
    assert way_to_watch("/srv", "polling") == ("polling", "as configured")


def test_the_mount_table_of_this_machine_can_be_read() -> None:
    assert way_to_watch("/proc", "auto") == ("events", "proc is local")
