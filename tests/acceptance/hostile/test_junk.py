"""A share used as a dump: tens of thousands of files that are none of ours, and the pictures among them."""

import json
import os
import time
from collections.abc import Callable

import pytest
from hostile_studio import Studio, daemon, make_folders, picture, studio
from waiting import wait_until

FILES, FILES_WHEN_THOROUGH, PICTURES = 10_000, 100_000, 20
PER_FOLDER = 5000
pytestmark = [pytest.mark.lab, pytest.mark.thorough, pytest.mark.timeout(1200)]


def _written(content: bytes) -> Callable[[bytes], None]:
    def write(path: bytes) -> None:
        with open(path, "wb") as file:
            file.write(content)

    return write


KINDS: dict[bytes, Callable[[bytes], None]] = {
    b"%d.txt": _written(b"nothing that would interest anybody"),
    b"%d.pdf": _written(b"%PDF-1.7 and so on"),
    b"%d.bin": _written(bytes(range(256))),
    b"%d.jpg.part": _written(b"\xff\xd8\xff\xe0"),
    b".%d.jpg": _written(b"\xff\xd8\xff\xe0"),
    b"%d\n\xff.dat": _written(b"\0\1\2\3"),
    b"%d.xmp": _written(b""),
    b"link %d.jpg": lambda path: os.symlink(b"/dev/zero", path),
    b"pipe %d.jpg": os.mkfifo,
}


def _litter(made: Studio, files: int) -> None:
    kinds = list(KINDS.items())
    for number in range(files):
        name, make = kinds[number % len(kinds)]
        folder = made.path("inbox", f"heap {number // PER_FOLDER}")
        if number % PER_FOLDER == 0:
            make_folders(folder)
        make(os.path.join(folder, name % number))
        if number % (files // PICTURES) == 0:
            made.drop(f"heap {number // PER_FOLDER}/picture {number}.jpg", picture(number))


def test_pictures_come_home_from_a_heap_of_junk(is_thorough: bool) -> None:
    files = FILES_WHEN_THOROUGH if is_thorough else FILES
    with studio() as made:
        _litter(made, files)
        began = time.monotonic()
        with daemon(made) as process:
            wait_until(
                lambda: made.lives() and made.sandbox.paid == PICTURES, 300, lambda: f"{made.sandbox.paid} came home"
            )
            took = time.monotonic() - began
            wait_until(
                lambda: made.lives() and _staying(made) > files / 2, 300, lambda: f"{_staying(made)} were looked at"
            )
            made.drop("late.jpg", picture(files))
            late = time.monotonic()
            wait_until(lambda: made.lives() and made.holds("outbox", "late.jpg"), what="a late one comes home")
            facts = {"files": files, "all": took, "late": time.monotonic() - late, "KiB": _peak_kib(process.pid)}
            made.check()
        print(facts)  # noqa: T201 - for the report
        for name in made.contents:
            assert made.holds("outbox", name)
        left = sum(len(names) for _, _, names in os.walk(made.path("inbox"))) - len(list(_ours(made)))
        assert left == files
        assert not [name for _, _, names in os.walk(made.path("quarantine")) for name in names if name[:1] != b"."]


def _ours(made: Studio) -> list[bytes]:
    hidden = os.walk(made.path("inbox", ".watchfolder"))
    return [b".watchfolder-id", *(name for _, _, names in hidden for name in names)]


def _staying(made: Studio) -> int:
    return int(json.loads((made.root / "state/status.json").read_bytes())["inboxes"]["photos"]["staying"])


def _peak_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
