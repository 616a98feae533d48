"""An order of many whose results come in one ZIP: each is taken by the name that was sent, and nothing is believed."""

import io
import os
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from shop import Open, Shop

from watchfolder import disk
from watchfolder.disk import Place
from watchfolder.errors import OrderRetry
from watchfolder.order import State
from watchfolder.publish import Archive
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

SIZES = {"a.jpg": (40, 30), "client/a.jpg": (44, 30), "A.JPG": (48, 30), "a.png": (52, 30), "été.webp": (56, 30)}
RESULT = sample("jpeg", width=40, height=30, seed=1)
USUAL = {"kept": {"look_seconds": 0}}


def drop_all(shop: Shop) -> None:
    formats = {".webp": "webp", ".png": "png"}
    for seed, (name, (width, height)) in enumerate(SIZES.items()):
        kind = formats.get(os.path.splitext(name)[1], "jpeg")
        shop.drop(name, sample(kind, width=width, height=height, seed=seed))


def assert_each_came_home(shop: Shop, service: Sandbox) -> None:
    assert shop.files("outbox") == sorted(SIZES)
    for name, size in SIZES.items():
        with Image.open(shop.folder("outbox") / name) as picture:
            assert picture.size == size
    assert set(service.paid_files.values()) == {1}
    assert os.listdir(shop.folder("outbox") / ".watchfolder") == []


def test_an_order_of_many_whose_retention_stays_unknown_comes_home(begin: Open) -> None:
    shop, service = begin({"retention_days": None})
    drop_all(shop)
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    (order,) = service.orders.values()
    assert len({os.path.splitext(file)[0].lower() for file in order.files}) == len(SIZES)
    shop.pass_time(3600)
    shop.to_the_end()
    assert_each_came_home(shop, service)
    assert service.requests_by_operation()["fetch"] == 1
    assert service.requests_by_operation()["link"] <= 6


def test_an_archive_that_is_cut_short_is_fetched_again(begin: Open) -> None:
    shop, service = begin({"retention_days": None})
    service.faults.add("fetch", "truncated", times=len(SIZES))
    drop_all(shop)
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    for _ in range(3):
        shop.pass_time(3600)
        shop.work(lambda: not shop.pipeline.running())
    shop.to_the_end()
    assert_each_came_home(shop, service)


def test_a_picture_parked_out_of_an_order_of_many_is_taken_from_the_archive(begin: Open) -> None:
    shop, service = begin({"retention_days": None})
    drop_all(shop)
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    shop.journal.note(shop.order(), failing_seconds=1e9, not_before=None)
    shop.work(lambda: {order.state for order in shop.orders()} == {State.QUARANTINED} and len(shop.orders()) > 1)
    assert shop.files("outbox") == []
    shop.live_again()
    for name in SIZES:
        os.makedirs((shop.folder("inbox") / name).parent, exist_ok=True)
        os.rename(shop.folder("quarantine") / name, shop.folder("inbox") / name)
    shop.pass_time(3600)
    shop.to_the_end()
    assert_each_came_home(shop, service)


# --- hostile archives


def packed(*entries: tuple[str, bytes], coding: int = zipfile.ZIP_DEFLATED) -> bytes:
    whole = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(whole, "w", coding) as archive:
        warnings.simplefilter("ignore")  # two of one name are meant
        for name, content in entries:
            archive.writestr(name, content)
    return whole.getvalue()


def altered(archive: bytes, found: bytes, instead: bytes) -> bytes:
    assert found in archive
    return archive.replace(found, instead)


def encrypted() -> bytes:
    """Say that the one entry is encrypted: in its own header and in the table of contents."""
    archive = bytearray(packed(("a.jpg", RESULT)))
    archive[6] |= 1
    archive[archive.index(b"PK\1\2") + 8] |= 1
    return bytes(archive)


def with_a_long_table() -> bytes:
    """Claim a table of contents of 300 MB, of zeros that are no space on the disk."""
    return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 300_000_000, 0, 0)


def ending(**instead: int) -> bytes:
    """Say something else of the table of contents: how long it is, or where it begins."""
    archive = packed(("a.jpg", RESULT))
    length, begin = struct.unpack("<2L", archive[-10:-2])
    return archive[:-10] + struct.pack("<2L", instead.get("length", length), instead.get("begin", begin)) + archive[-2:]


UNREADABLE: dict[str, Callable[[], bytes]] = {
    "no archive": lambda: RESULT,
    "nothing": lambda: b"",
    "empty": packed,
    "another name": lambda: packed(("b.jpg", RESULT)),
    "another ending": lambda: packed(("a.svg", RESULT)),
    "two of the name": lambda: packed(("a.jpg", RESULT), ("a.jpg", RESULT)),
    "two in two folders": lambda: packed(("x/a.jpg", RESULT), ("a.png", RESULT)),
    "a folder": lambda: packed(("a.jpg/", b"")),
    "encrypted": encrypted,
    "packed by LZMA": lambda: packed(("a.jpg", RESULT), coding=zipfile.ZIP_LZMA),
    "other bytes": lambda: altered(packed(("a.jpg", RESULT), coding=zipfile.ZIP_STORED), RESULT, RESULT[::-1]),
    "cut in the middle": lambda: packed(("a.jpg", RESULT))[:200],
    "a table that begins before it": lambda: ending(length=100_000),
    "a result that begins before it": lambda: ending(begin=100_000),
}


@pytest.mark.parametrize("make", UNREADABLE.values(), ids=UNREADABLE)
def test_an_archive_that_does_not_hold_the_result_is_the_orders_own_trouble(
    tmp_path: Path, make: Callable[[], bytes]
) -> None:
    (tmp_path / "part").write_bytes(make())
    with pytest.raises(OrderRetry):
        Archive(Place(str(tmp_path), "part")).copy("a.jpg", lambda _: None)


def test_a_table_of_contents_without_end_takes_no_memory(tmp_path: Path) -> None:
    with open(tmp_path / "part", "wb") as file:
        file.truncate(300_000_000)
        file.seek(0, os.SEEK_END)
        file.write(with_a_long_table())
    with pytest.raises(OrderRetry):
        Archive(Place(str(tmp_path), "part")).copy("a.jpg", lambda _: None)


@pytest.mark.parametrize("name", ["../../a.jpg", "/etc/a.jpg", "..\\a.jpg", "results/a.JPEG", "a.png"])
def test_of_an_entrys_path_nothing_but_its_own_name_is_heeded(tmp_path: Path, name: str) -> None:
    (tmp_path / "part").write_bytes(packed((name, RESULT), ("b.jpg", b"other")))
    poured = io.BytesIO()
    assert Archive(Place(str(tmp_path), "part")).copy("a.jpg", poured.write) == len(RESULT)
    assert poured.getvalue() == RESULT
    assert os.listdir(tmp_path) == ["part"]


def test_a_bomb_is_poured_no_further_than_a_result_may_be_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchfolder.publish.archive.RESULT_LIMIT_BYTES", 1 << 20)
    (tmp_path / "part").write_bytes(packed(("a.jpg", bytes(50 << 20))))
    blocks: list[int] = []
    with pytest.raises(OrderRetry, match="too long"):
        Archive(Place(str(tmp_path), "part")).copy("a.jpg", lambda block: blocks.append(len(block)))
    assert sum(blocks) <= 1 << 20
    assert max(blocks) <= 1 << 18


def test_an_archive_that_somebody_removes_is_gone_and_no_fault_of_its_own(tmp_path: Path) -> None:
    archive = Archive(Place(str(tmp_path), "part"))
    with pytest.raises(FileNotFoundError):
        archive.copy("a.jpg", lambda _: None)
    archive.remove()
    assert disk.stat_of(Place(str(tmp_path), "part")) is None
