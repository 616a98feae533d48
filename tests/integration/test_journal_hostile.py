"""A journal entry that was cut at any byte or edited by hand: the daemon starts, goes on, and loses no picture."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shop import PICTURE, Shop, opened

from watchfolder.order import State

WEIRD: tuple[object, ...] = (
    None,
    True,
    -1,
    10**30,
    1e999,
    "",
    "x" * 5000,
    "../../outside",
    "a\0b",
    "%FF%00",
    [],
    {},
    [[]],
    {"a": 1},
)
STRIDE = 9  # of the choice in make test-lab
pytestmark = [pytest.mark.lab, pytest.mark.thorough, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def shelf() -> Iterator[Path]:
    """A shop's folders with one order that was just claimed."""
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a folder of our own is made in it
    folder = Path(tempfile.mkdtemp(prefix="watchfolder-journal-", dir=fast))
    with opened(Shop(folder / "model")) as shop:
        shop.drop("sub/a.jpg")
        shop.look(0.0)
        assert [order.state for order in shop.orders()] == [State.CLAIMED]
    yield folder
    shutil.rmtree(folder)


def entry_of(top: Path) -> Path:
    (entry,) = (top / "state/journal").glob("*.json")
    return entry


def copied(shelf: Path) -> Path:
    """Return a fresh copy under the model's own name: the folders' paths are part of what is remembered."""
    top = shelf / "top"
    shutil.rmtree(top, ignore_errors=True)
    shutil.copytree(shelf / "model", top)
    for remembered in (top / "state").glob("folders.json"):
        remembered.write_text(remembered.read_text().replace(str(shelf / "model"), str(top)))
    return top


def has_picture(top: Path) -> bool:
    return any(path.is_file() and path.read_bytes() == PICTURE for path in top.rglob("a*.jpg"))


def test_an_entry_cut_at_any_byte_is_rebuilt_under_its_key_and_body(shelf: Path, is_thorough: bool) -> None:
    whole = entry_of(shelf / "model").read_bytes()
    before = json.loads(whole)
    for length in range(0, len(whole), 1 if is_thorough else STRIDE):
        top = copied(shelf)
        os.truncate(entry_of(top), length)
        with opened(Shop(top)) as shop:
            shop.look(0.0)
            order = shop.order()
            assert (order.key, order.body, order.was_rebuilt) == (before["key"], before["body"], True)
            assert [file.name for file in order.files] == ["sub/a.jpg"]
        assert has_picture(top)


def edits(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in entry:
        yield {key: value for key, value in entry.items() if key != name}
        for value in WEIRD:
            if (name, value) != ("schema", 10**30):  # a newer watchfolder's: that stops us, by design
                yield entry | {name: value}
    file = entry["files"][0]
    for name in file:
        for value in WEIRD:
            yield entry | {"files": [file | {name: value}]}
    for state in State:
        for facts in ({}, {"order_id": "7", "charged": True}, {"children": [entry]}, {"work_folder_of": entry["key"]}):
            yield entry | facts | {"state": state, "times": entry["times"] | {state: "9999-12-31T23:59:59Z"}}
    yield entry | {"times": {entry["state"]: "0001-01-01T00:00:00+23:59"}}
    yield entry | {"files": entry["files"] * 2}
    result = file["results"][0] | {"part": "sub/a.jpg", "delivery": "sub/a.jpg"}
    yield entry | {"files": [file | {"results": [result], "destination": "b.jpg"}]}
    yield entry | {"files": [file | {"results": [result, result]}]}
    for name in result:
        for value in WEIRD:
            yield entry | {"files": [file | {"results": [result | {name: value}]}]}


def test_an_entry_edited_by_hand_stops_nothing_and_loses_nothing(shelf: Path, is_thorough: bool) -> None:
    model = json.loads(entry_of(shelf / "model").read_bytes())
    for number, edited in enumerate(edits(model)):
        if not is_thorough and number % STRIDE:
            continue
        top = copied(shelf)
        entry_of(top).write_text(json.dumps(edited))
        with opened(Shop(top)) as shop:
            shop.drop("b.jpg", PICTURE + b"2")
            deadline = time.monotonic() + 20
            while not any(file.name == "b.jpg" and order.last_error for order in shop.orders() for file in order.files):
                assert time.monotonic() < deadline, edited
                if shop.pipeline.breaker.is_open("anti-ai"):  # the entry says that the service fails every picture
                    shop.pass_time(shop.config.api.blocked_probe_seconds)
                shop.beat()
                time.sleep(0.002)
            shop.rest()
        assert has_picture(top), edited
        assert (top / "inbox/.watchfolder").is_dir()
