"""A destination that cannot hold every name (exFAT, NTFS for Windows): the file gets the nearest name it can have."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from file_systems import by_fuse
from shop import PICTURE, Shop, opened

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

HELD = ("plain.jpg", "größer 🦊 (1).jpg", "NFC \u00e9.jpg", "NFC e\u0301.jpg", "-rf %20 $x;&.jpg", "sub/plain.jpg")
CHANGED = {
    b"12:30.jpg": "12_30.jpg",
    b'q? s* "x" <y> |.jpg': "q_ s_ _x_ _y_ _.jpg",
    b"back\\slash.jpg": "back_slash.jpg",
    b"two\nlines.jpg": "two_lines.jpg",
    b"no utf-8 \xff\xfe.jpg": "no utf-8 __.jpg",
    b"1: one/2: two/3: three.jpg": "1_ one/2_ two/3_ three.jpg",
    b"\xff \xfe/plain.jpg": "_ _/plain.jpg",
    ("ü" * 121 + ":" * 8).encode() + b".jpg": "ü" * 121 + "_" * 8 + ".jpg",
}
REFUSED = {b"5: \xff.gif": "5_ _.gif", b"a:b/cut?.jpg": "a_b/cut_.jpg"}


@pytest.fixture(params=["exfat", "ntfs"])
def poor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a file system that has but some names."""
    with by_fuse(request.param, tmp_path / "poor", tmp_path / "image") as folder:
        yield folder


def test_a_name_that_can_not_be_there_changes_in_that_and_holds_up_nobody(
    tmp_path: Path, poor: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "watchfolder")
    folders = {role: poor / role for role in ("outbox", "quarantine", "originals")}
    for folder in folders.values():
        folder.mkdir()
    paths: dict[str, Any] = {role: str(folder) for role, folder in folders.items()}
    with Sandbox(processing_seconds=0.0) as sandbox, opened(Shop(tmp_path, sandbox, **paths)) as shop:
        shop.ahead = 20.0
        originals = {}
        for seed, name in enumerate([*map(os.fsencode, HELD), *CHANGED]):
            originals[name] = sample("jpeg", width=48, height=36, seed=seed)
            shop.drop(name, originals[name])
        for name in REFUSED:
            shop.drop(name, b"GIF89a" + name)
        shop.to_the_end(seconds=60)
        assert sandbox.sins == []
        assert sandbox.paid == len(originals)
    arrived = {name: name.encode() for name in HELD} | {name: told for told, name in CHANGED.items()}
    for arrival, dropped in arrived.items():
        assert (folders["outbox"] / arrival).is_file(), arrival
        assert (folders["originals"] / arrival).read_bytes() == originals[dropped], arrival
    for refusal in REFUSED.values():
        assert "GIF" in (folders["quarantine"] / f"{refusal}.why.txt").read_text(encoding="utf-8")
        assert (folders["quarantine"] / refusal).read_bytes().startswith(b"GIF89a")
    events = [record.msg for record in caplog.records]
    assert "inbox.waits" not in events
    assert events.count("file.renamed") >= len(CHANGED) + len(REFUSED)


def test_names_that_differ_in_case_only_both_arrive(tmp_path: Path, poor: Path) -> None:
    (poor / "outbox").mkdir()
    outbox = str(poor / "outbox")
    with Sandbox(processing_seconds=0.0) as sandbox, opened(Shop(tmp_path, sandbox, outbox=outbox)) as shop:
        shop.ahead = 20.0
        shop.drop("case.jpg", PICTURE)
        shop.drop("CASE.jpg", sample("jpeg", width=48, height=36, seed=9))
        shop.to_the_end(seconds=60)
        assert len(shop.files("originals")) == 2
    assert len([path for path in (poor / "outbox").iterdir() if path.suffix == ".jpg"]) == 2
