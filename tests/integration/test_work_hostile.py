"""Somebody on the share lays hand on our work folder, between any two steps: only what he touches is touched."""

import hashlib
import json
import logging
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from outside import Outside
from shop import OTHER, PICTURE, Shop, opened

from watchfolder.order import Order, State
from watchfolder.sandbox import Sandbox

COPY = ".order.json"
STRANGER = PICTURE + b"of a stranger"


class Deed(NamedTuple):
    """What is done at the work folder `work` of an order that holds `a.jpg`; `outside` is where links lead."""

    do: Callable[[Path, Path], None]
    keeps_picture: bool = True
    needs_no_picture: bool = False
    undo: Callable[[Path], None] | None = None  # what a person has to do before the order can go on


def removed(work: Path, _outside: Path) -> None:
    (work / "a.jpg").unlink()


def changed(work: Path, _outside: Path) -> None:
    (work / "a.jpg").write_bytes(OTHER)


def with_end(work: Path, _outside: Path) -> None:
    with (work / "a.jpg").open("ab") as file:
        file.write(b"more")


def link(work: Path, outside: Path) -> None:
    (work / "a.jpg").unlink()
    (work / "a.jpg").symlink_to(outside / "secret.jpg")


def link_to_a_folder(work: Path, outside: Path) -> None:
    (work / "a.jpg").unlink()
    (work / "a.jpg").symlink_to(outside)


def pipe(work: Path, _outside: Path) -> None:
    (work / "a.jpg").unlink()
    os.mkfifo(work / "a.jpg")


def folder(work: Path, _outside: Path) -> None:
    (work / "a.jpg").unlink()
    (work / "a.jpg").mkdir()
    (work / "a.jpg/stranger.jpg").write_bytes(STRANGER)


def strangers(work: Path, outside: Path) -> None:
    (work / "sub").mkdir()
    (work / "sub/stranger.jpg").write_bytes(STRANGER)
    (work / "sub/link.jpg").symlink_to(outside / "secret.jpg")
    (work / "link").symlink_to(outside)
    os.mkfifo(work / "pipe.jpg")


def forged_copy(work: Path, _outside: Path) -> None:
    copy = json.loads((work / COPY).read_bytes())
    copy["files"] = [copy["files"][0] | {"name": f"{name}.jpg"} for name in ("a", "../../../outside/secret", "b")]
    (work / COPY).write_text(json.dumps(copy))


def cut_copy(work: Path, _outside: Path) -> None:
    os.truncate(work / COPY, 100)


def nested_copy(work: Path, _outside: Path) -> None:
    (work / COPY).write_bytes(b'{"schema": ' + b"[" * 100_000)


def copy_is_a_pipe(work: Path, _outside: Path) -> None:
    (work / COPY).unlink()
    os.mkfifo(work / COPY)


def copy_is_a_link(work: Path, outside: Path) -> None:
    (work / COPY).unlink()
    (work / COPY).symlink_to(outside / "secret.jpg")


def deep_folders(work: Path, _outside: Path) -> None:
    here = os.open(work, os.O_RDONLY)
    for _ in range(1100):  # deeper than a recursion goes
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def folder_is_a_link(work: Path, outside: Path) -> None:
    work.rename(work.parents[3] / "away")
    work.symlink_to(outside)


def all_is_a_link(work: Path, outside: Path) -> None:
    work.parents[1].rename(work.parents[3] / "away")
    work.parents[1].symlink_to(outside)


def unlink_folder(work: Path) -> None:
    work.unlink()


def restore_all(work: Path) -> None:
    work.parents[1].unlink()
    (work.parents[3] / "away").rename(work.parents[1])


DEEDS = {
    "removed": Deed(removed, keeps_picture=False),
    "changed": Deed(changed, keeps_picture=False),
    "with_end": Deed(with_end, keeps_picture=False),
    "a link": Deed(link, keeps_picture=False),
    "a link to a folder": Deed(link_to_a_folder, keeps_picture=False),
    "a pipe": Deed(pipe, keeps_picture=False),
    "a folder": Deed(folder, keeps_picture=False),
    "strangers": Deed(strangers, needs_no_picture=True),
    "a forged copy": Deed(forged_copy, needs_no_picture=True),
    "a cut copy": Deed(cut_copy, needs_no_picture=True),
    "a nested copy": Deed(nested_copy, needs_no_picture=True),
    "a pipe for a copy": Deed(copy_is_a_pipe, needs_no_picture=True),
    "a link for a copy": Deed(copy_is_a_link, needs_no_picture=True),
    "deep folders": Deed(deep_folders, needs_no_picture=True),
    "its folder a link": Deed(folder_is_a_link, undo=unlink_folder, needs_no_picture=True),
    "the work folder a link": Deed(all_is_a_link, undo=restore_all, needs_no_picture=True),
}
STATES = (
    State.CLAIMED,
    State.CREATED,
    State.UPLOADED,
    State.CONFIRMED,
    State.COMPLETED,
    State.DELIVERED,
    State.QUARANTINING,
    State.RELEASED,
)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(processing_seconds=0.0) as service:
        yield service


class Case(NamedTuple):
    """The deed is done when the order has just reached the state; then the daemon lives on, or dies."""

    state: State
    deed: str
    dies: bool


CASES = [
    Case(state, deed, dies)
    for state in STATES
    for deed in DEEDS
    if state is not State.DELIVERED or DEEDS[deed].needs_no_picture
    for dies in (False, True)
]


@pytest.mark.lab
@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.state}, {case.deed}{', dies' * case.dies}")
def test_a_hand_in_the_work_folder(
    tmp_path: Path,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    case: Case,
    is_thorough: bool,
) -> None:
    state, deed, dies = case
    number = CASES.index(case)
    if not is_thorough and number % 2 != number // 2 % 2:
        pytest.skip("the other half is for make torture")
    caplog.set_level(logging.INFO, "watchfolder")
    outside = Outside.make(tmp_path / "outside")
    digests = outside.digests()
    if state is State.QUARANTINING:
        sandbox.faults.add("create", "answer", status=400, code="VALIDATION_FAILED")
    with ExitStack() as stack:
        if DEEDS[deed].do is deep_folders:  # deeper than shutil.rmtree goes
            stack.callback(subprocess.run, ["rm", "-rf", str(tmp_path / "inbox")], check=True, timeout=60)
        stack.enter_context(outside.untouched())
        shop = stack.enter_context(opened(Shop(tmp_path, sandbox)))
        shop.ahead = 20.0
        works = _lay_hand_on(shop, monkeypatch, state, DEEDS[deed], outside.folder, dies=dies)
        shop.drop("a.jpg")
        shop.work(lambda: works)
        if dies:
            shop.live_again()
        shop.drop("b.jpg", OTHER + b"of a neighbour")
        _work_as_far_as_it_goes(shop, lambda: (tmp_path / "outbox/b.jpg").exists() or deed == "the work folder a link")
        undo = DEEDS[deed].undo
        if undo is not None:
            undo(works[0])
            shop.pass_time(100.0)
        _work_as_far_as_it_goes(shop, shop.is_done)
        assert (tmp_path / "outbox/b.jpg").exists()
    uploads = set(sandbox.sent_files)
    assert not uploads & digests
    assert outside.digests() == digests
    assert sandbox.sins == []
    assert set(sandbox.paid_files.values()) <= {1}
    events = {record.msg for record in caplog.records}
    assert not events & {"order.step_broke", "inbox.beat_broke"}
    assert "inbox.waits" not in events or deed == "the work folder a link"
    assert _is_findable(tmp_path, PICTURE) or not DEEDS[deed].keeps_picture
    assert deed not in {"strangers", "a folder"} or _is_findable(tmp_path, STRANGER)


def _lay_hand_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, state: State, deed: Deed, outside: Path, *, dies: bool
) -> list[Path]:
    """Do the deed once, when the order has just reached the state; return where it was done, once it is."""
    works: list[Path] = []
    advance = shop.journal.advance

    def advanced(order: Order, reached: State, **facts: object) -> Order:
        after = advance(order, reached, **facts)
        work = shop.top / "inbox/.watchfolder" / shop.journal.instance / order.key
        if reached is State.CLAIMED and state is State.RELEASED and not works:
            os.utime(work / "a.jpg", (1, 1))  # it changed, so it is given back
        if reached is state and not works:
            deed.do(work, outside)
            works.append(work)
            if dies:
                shop.stop.set()
        return after

    monkeypatch.setattr(shop.journal, "advance", advanced)
    return works


def _work_as_far_as_it_goes(shop: Shop, is_far_enough: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not is_far_enough():
        assert time.monotonic() < deadline, [(str(order.state), order.last_error) for order in shop.orders()]
        shop.beat()
        shop.ahead += 0.05
        time.sleep(0.005)
    shop.rest()


def _is_findable(top: Path, content: bytes) -> bool:
    wanted = hashlib.sha256(content).digest()
    for folder, _, names in os.walk(top):
        for name in names:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink() and hashlib.sha256(path.read_bytes()).digest() == wanted:
                return True
    return False
