"""Zeros that nobody has written, as file systems tell of them."""

import fcntl
import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from watchfolder.disk import find_hole

PAGE = 4096
SIZE = 256 * PAGE
Write = Callable[[int], object]


def found(folder: Path, *steps: Write, offset: int = 0) -> int | None:
    path = folder / "a.bin"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        for step in steps:
            step(descriptor)
        return find_hole(descriptor, offset)
    finally:
        os.close(descriptor)
        path.unlink()


def sized(descriptor: int) -> None:
    os.ftruncate(descriptor, SIZE)


def reserved(descriptor: int) -> None:
    os.posix_fallocate(descriptor, 0, SIZE)


def written(start: int, length: int, byte: bytes = b"x") -> Write:
    return lambda descriptor: os.pwrite(descriptor, byte * length, start)


def looked_at(descriptor: int) -> None:
    """Read it all, as an indexer or a virus scanner does."""
    while os.read(descriptor, 1 << 20):
        pass


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    """A folder on a file system that tells written bytes from others: ext4, xfs, btrfs…"""
    if found(tmp_path, written(0, PAGE)) is None:
        pytest.skip(f"{tmp_path} does not tell of every extent; needs ext4, xfs or btrfs")
    return tmp_path


@pytest.fixture
def seeking() -> Iterator[Path]:
    """A folder on a file system that knows holes and nothing more: tmpfs."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_a_file_that_was_written_from_end_to_end_has_no_hole_zeros_or_not(mapping: Path) -> None:
    assert found(mapping, written(0, SIZE - 5)) == SIZE - 5
    assert found(mapping, written(0, SIZE - 5, b"\0")) == SIZE - 5
    assert found(mapping, written(0, SIZE - 5, b"\0"), os.fsync) == SIZE - 5
    assert found(mapping, written(0, SIZE), offset=SIZE) == SIZE


def test_what_was_jumped_over_is_a_hole(mapping: Path) -> None:
    steps = (sized, written(0, 10 * PAGE), written(20 * PAGE, 30 * PAGE))
    assert found(mapping, *steps) == 10 * PAGE
    assert found(mapping, *steps, os.fsync, looked_at) == 10 * PAGE
    assert found(mapping, *steps, offset=12 * PAGE) == 12 * PAGE
    assert found(mapping, *steps, offset=20 * PAGE) == 50 * PAGE


def test_what_was_only_reserved_is_a_hole_also_after_somebody_has_read_it(mapping: Path) -> None:
    assert found(mapping, reserved, written(0, 10 * PAGE)) == 10 * PAGE
    assert found(mapping, reserved, written(0, 10 * PAGE), looked_at) == 10 * PAGE


def test_reserved_space_that_was_written_is_no_hole(mapping: Path) -> None:
    assert found(mapping, reserved, written(0, SIZE)) == SIZE


def test_a_file_of_very_many_pieces_has_no_hole(mapping: Path) -> None:
    def in_disorder(descriptor: int) -> None:
        for start in [*range(0, 600 * PAGE, 2 * PAGE), *range(PAGE, 600 * PAGE, 2 * PAGE)]:
            os.pwrite(descriptor, b"x" * PAGE, start)
            if start % (16 * PAGE) == 0:
                os.fsync(descriptor)

    assert found(mapping, in_disorder) == 600 * PAGE


def test_where_only_holes_are_told_the_lack_of_them_proves_nothing(seeking: Path) -> None:
    assert found(seeking, sized, written(0, 10 * PAGE)) == 10 * PAGE
    assert found(seeking, written(0, SIZE)) is None


def test_an_smb_server_is_believed_a_hole_but_not_the_lack_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As cifs of Linux 6.1 answers for Samba: extents of a file with a hole, and of one that was only reserved."""
    extents: list[tuple[int, int]] = []

    def recorded(_descriptor: int, _request: int, answer: bytearray) -> None:
        struct.pack_into("=I", answer, 20, len(extents))
        for at, (start, length) in enumerate(extents):
            is_last = at == len(extents) - 1
            struct.pack_into("=QQQQQIIII", answer, 32 + 56 * at, start, start, length, 0, 0, is_last, 0, 0, 0)

    monkeypatch.setattr(fcntl, "ioctl", recorded)
    extents[:] = [(0, 2 * PAGE), (254 * PAGE, 2 * PAGE)]
    assert found(tmp_path, sized) == 2 * PAGE
    extents[:] = [(0, SIZE)]
    assert found(tmp_path, sized) is None
