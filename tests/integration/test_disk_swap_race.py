"""Somebody on the share swaps files and folders for links while we look and claim: a real race, thousands of times."""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from outside import Outside
from shop import PICTURE, Shop, opened

from watchfolder.disk import NotAFolder
from watchfolder.order import Order, State
from watchfolder.publish import Publisher

ROUNDS, ROUNDS_WHEN_THOROUGH = 600, 10_000
SWAPPER = """
import ctypes, os, sys
exchange, one, other = 2, os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2])
libc = ctypes.CDLL(None)
swaps = 0
print("ready", flush=True)
while not os.path.exists(sys.argv[3]):
    swaps += libc.renameat2(-100, one, -100, other, exchange) == 0
print(swaps)
"""
Lure = Callable[[Path, Path], None]


def fast_folder() -> str | None:
    """The race is the kernel's, not the disk's: where memory is a file system, ten thousand rounds take seconds."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a folder of our own is made in it


@pytest.fixture
def top() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="watchfolder-race-", dir=fast_folder()))
    yield folder
    shutil.rmtree(folder)


def link_to_a_picture(at: Path, outside: Path) -> None:
    at.symlink_to(outside / "secret.jpg")


def link_to_a_folder(at: Path, outside: Path) -> None:
    at.symlink_to(outside)


def pipe(at: Path, _outside: Path) -> None:
    os.mkfifo(at)


def folder(at: Path, _outside: Path) -> None:
    at.mkdir()


@contextlib.contextmanager
def swapping(one: Path, other: Path) -> Iterator[Callable[[], int]]:
    """Let another process exchange the two without a pause; give a function that ends it and tells how often."""
    stop = one.parent.parent / "stop"
    command = [sys.executable, "-c", SWAPPER, str(one), str(other), str(stop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

        def end() -> int:
            stop.touch()
            return int(process.communicate(timeout=20)[0])

        try:
            yield end
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("swapped", "name", "lure"),
    [
        ("a.jpg", "a.jpg", link_to_a_picture),
        ("sub", "sub/a.jpg", link_to_a_folder),
        ("sub", "sub/sub.jpg/secret.jpg", link_to_a_folder),
        ("a.jpg", "a.jpg", pipe),
        ("a.jpg", "a.jpg", folder),
    ],
    ids=["a picture and a link", "a folder and a link", "a folder above and a link", "and a pipe", "and a folder"],
)
@pytest.mark.lab
@pytest.mark.thorough
def test_a_swap_between_look_and_claim_leads_nobody_outside(
    top: Path, swapped: str, name: str, lure: Lure, is_thorough: bool
) -> None:
    outside = Outside.make(top / "outside")
    came = Counter[str]()
    with opened(Shop(top)) as shop, outside.untouched():
        home, hidden = top / "inbox" / swapped, top / "inbox" / ".lure"
        (top / "inbox" / name).parent.mkdir(parents=True, exist_ok=True)
        shop.drop(name)
        lure(hidden, outside.folder)
        real = os.open((top / "inbox" / name).parent, os.O_RDONLY)
        with swapping(home, hidden) as end:
            for number in range(ROUNDS_WHEN_THOROUGH if is_thorough else ROUNDS):
                shop.look(float(2 * number))
                assert shop.intake.health.fault is None
                came.update(_released(shop, order) for order in shop.orders())
                came["rounds"] += 1
                _restore(home, hidden, real, os.path.basename(name), lambda at: lure(at, outside.folder))
            swaps = end()
        os.close(real)
    assert swaps > came["rounds"], came
    assert 0 < came["taken"] + came["given back"] < came["rounds"], came  # picture and lure were both met
    sys.stdout.write(f"{dict(came)}, {swaps} swaps\n")


def _released(shop: Shop, order: Order) -> str:
    """Give back what was claimed; what counts as a picture of ours must be one."""
    publisher = next(iter(shop.pipeline.runtimes.values())).context.publisher
    outcome = "given back"
    if order.state is State.CLAIMED:
        outcome = "taken"
        place = publisher.work.place(order, order.files[0])
        assert not os.path.islink(place.path)
        with open(place.path, "rb") as file:
            assert hashlib.sha256(file.read()).digest() == hashlib.sha256(PICTURE).digest()
        order = shop.journal.advance(order, State.RELEASED)
    _put_back(publisher, order)
    shop.journal.forget(order)
    return outcome


def _restore(home: Path, hidden: Path, real: int, base: str, lure: Callable[[Path], None]) -> None:
    """Lay picture and lure ready for the next round; while one of the names is free, nobody exchanges them."""
    for other in home.parent.glob("* (*"):  # the picture came back under another name, since the lure had its own
        shutil.rmtree(other) if other.is_dir() and not other.is_symlink() else other.unlink()
    if home.name != base:  # a folder is swapped; the picture belongs into the real one
        with contextlib.suppress(FileExistsError):
            Path(f"/proc/self/fd/{real}/.new").write_bytes(PICTURE)
            os.link(".new", base, src_dir_fd=real, dst_dir_fd=real)
        return
    for free, taken in ((home, hidden), (hidden, home)):
        if os.path.lexists(free):
            continue
        if taken.is_file() and not taken.is_symlink():
            lure(free)
        else:
            free.write_bytes(PICTURE)


def _put_back(publisher: Publisher, order: Order) -> None:
    """Try until the lure is out of the way, as the pipeline does."""
    for _ in range(1000):
        with contextlib.suppress(NotAFolder):
            publisher.originals.put_back(order)
            return
    raise AssertionError("the way back stayed barred")
