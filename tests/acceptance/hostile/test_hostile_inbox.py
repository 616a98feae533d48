"""An inbox full of traps: each file finds its place and its reason, and the pictures among them come home."""

import json
import os
import socket
import stat
import subprocess
import zipfile
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from typing import NamedTuple
from urllib.parse import quote

import pytest
from hostile_studio import SOMEBODY, Studio, daemon, picture, studio
from PIL import Image
from waiting import wait_until

from watchfolder.sandbox.pictures import sample

INCOMPLETE_SECONDS = 2.0
GIB = 1 << 30
IS_ROOT = os.geteuid() == 0
pytestmark = pytest.mark.lab


class Case(NamedTuple):
    """`delivered` as this name, quarantined with `why` in its note, or staying where it is."""

    name: bytes
    content: bytes
    delivered: bytes = b""
    why: str = ""


def frames(kind: str) -> bytes:
    images = [Image.frombytes("RGB", (40, 30), bytes([shade]) * 3600) for shade in (40, 120, 200)]
    saved = BytesIO()
    images[0].save(saved, kind, save_all=True, append_images=images[1:], duration=40)
    return saved.getvalue()


@cache
def archive() -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("a.txt", "hidden")
    return packed.getvalue()


def commented(text: bytes) -> bytes:
    """Return a JPEG that holds `text` in a comment."""
    whole = picture(900)
    return whole[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + whole[2:]


HTML = b"<!doctype html><html><script>alert(1)</script></html>"
NAMES = (
    b"two\nlines 2026-01-01 ERROR.jpg",
    b"tab\tand\rreturn.jpg",
    b"\x1b[2J\x1b[31mred\x07.jpg",
    b"no utf-8 \xff\xfe\x80.jpg",
    ("ü" * 125).encode() + b"x.jpg",
    "NFC \u00e9.jpg".encode(),
    "NFC e\u0301.jpg".encode(),
    b"case.jpg",
    b"CASE.jpg",
    b"Case.JPG",
    b"-rf.jpg",
    b"--help.jpg",
    b" leading and trailing .jpg",
    b"CON.jpg",
    b"aux.tar.jpg",
    b"COM1.jpg",
    b"$(touch x); `id` & rm *.jpg",
    b"%s%n%x.jpg",
    b"a\\..\\..\\b.jpg",
    b'colon: quote" star* question?.jpg',
    "\u202egpj.exe.jpg".encode(),
    "\u2028 \u0085.jpg".encode(),
    b"http://x?X-Amz-Signature=1.jpg".replace(b"/", b"_"),
    b"folder \xff\n/CON/-x/deep.jpg",
    b"x/" * 120 + b"deep.jpg",
)
CUTS = {kind: sample(kind, width=16, height=12, seed=3) for kind in ("jpeg", "png", "webp", "tiff", "bmp")}


def whole() -> Iterator[Case]:
    for number, name in enumerate(NAMES):
        yield Case(name, picture(number), name)
    yield Case(b"dot at the end.", picture(100), b"dot at the end..jpg")
    yield Case(b"no extension", picture(101), b"no extension.jpg")
    yield Case(b"wrong.png", picture(102), b"wrong.jpg")
    yield Case(b"words.md", picture(103), b"words.jpg")
    yield Case(b"wrong.exe", picture(104, "png"), b"wrong.png")
    yield Case(b"wrong.heic", picture(105, "tiff"), b"wrong.tif")
    yield Case(b"wrong.gif", picture(106, "bmp"), b"wrong.bmp")
    yield Case(b"mine.why.txt", picture(107), b"mine.why.jpg")
    yield Case(b"garbage.jpg", picture(108) + bytes(range(128)) * 50, b"garbage.jpg")
    yield Case(b"with a zip.jpg", picture(109) + archive(), b"with a zip.jpg")
    yield Case(b"with a page.jpg", commented(HTML), b"with a page.jpg")
    yield Case(b"with a pdf.jpg", picture(110) + b"%PDF-1.7\n%%EOF", b"with a pdf.jpg")
    yield Case(b"animated.png", frames("PNG"), b"animated.png")
    yield Case(b"animated.webp", frames("WEBP"), b"animated.webp")
    yield Case(b"pages.tif", frames("TIFF").rstrip(b"\0"), b"pages.tif")


def refused() -> Iterator[Case]:
    yield Case(b"animated.gif", frames("GIF"), why="GIF")
    yield Case(b"page.jpg", HTML, why="a web page")
    yield Case(b"document.jpg", b"%PDF-1.7\n" + picture(200), why="a PDF document")
    yield Case(b"archive.png", archive(), why="an archive")
    yield Case(b"noise.jpg", bytes(range(1, 256)) * 9, why="does not begin like")
    yield Case(b"\n\x1b[31m\xff.png", archive(), why="an archive")
    yield Case(b"y" * 251 + b".png", archive(), why="an archive")
    for kind, content in CUTS.items():
        for cut in {1, 2, 11, *range(20, len(content) - 24, len(content) // 6), len(content) - 25}:
            yield Case(b"cut/%d.%s" % (cut, kind.encode()), content[:cut], why="not complete")


STAYING = {
    b"page.pdf": b"%PDF-1.7\n" + picture(300),
    b"sidecar.xmp": b"<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>",
    b"words.txt": b"nothing that would interest anybody",
    b"empty.jpg": b"",
    b"half.jpg.part": picture(301),
    b".hidden.jpg": picture(302),
    b"...": picture(303),
    b"@eaDir/thumb.jpg": picture(304),
}


@pytest.fixture(scope="module")
def aftermath() -> Iterator[Studio]:
    """Give the studio as it is when everything in its inbox has been looked at, the daemon still running."""
    with studio(incomplete_seconds=INCOMPLETE_SECONDS) as made:
        for case in (*whole(), *refused()):
            made.drop(case.name, case.content)
        for name, content in STAYING.items():
            made.drop(name, content)
        _drop_what_is_no_file(made)
        _drop_sparse(made)
        if IS_ROOT:
            _drop_what_is_out_of_reach(made)
        with daemon(made):
            wait_until(lambda: made.lives() and not _missing(made), what=lambda: f"there are {_missing(made)}")
            wait_until(
                lambda: made.lives() and not list((made.root / "state/journal").glob("*.json")),
                what="the journal is empty",
            )
            yield made
            made.check()


def _missing(made: Studio) -> list[bytes]:
    waiting = [case.name for case in refused() if not made.holds("quarantine", case.name)]
    return waiting + [case.delivered for case in whole() if not made.holds("outbox", case.delivered)]


def _drop_what_is_no_file(made: Studio) -> None:
    outside = os.fsencode(made.outside.folder)
    for name, target in {
        b"link.jpg": outside + b"/secret.jpg",
        b"relative.jpg": b"../outside/secret.jpg",
        b"link to a folder": outside,
        b"link to a folder.jpg": outside + b"/sub.jpg",
        b"loop.jpg": b"loop.jpg",
        b"nowhere.jpg": b"/nowhere/at all.jpg",
        b"endless.jpg": b"/dev/zero",
        b"of the inbox.jpg": b"case.jpg",
    }.items():
        os.symlink(target, made.path("inbox", name))
    os.mkfifo(made.path("inbox", "pipe.jpg"))
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(made.root / "inbox", os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/socket.jpg")
        os.close(here)
    if IS_ROOT:
        os.mknod(made.path("inbox", "zero.jpg"), stat.S_IFCHR | 0o666, os.makedev(1, 5))
        os.mknod(made.path("inbox", "disk.jpg"), stat.S_IFBLK | 0o666, os.makedev(7, 200))


NO_FILES = (
    *("link.jpg", "relative.jpg", "link to a folder", "link to a folder.jpg", "loop.jpg", "nowhere.jpg", "endless.jpg"),
    *("of the inbox.jpg", "pipe.jpg", "socket.jpg", *(("zero.jpg", "disk.jpg") if IS_ROOT else ())),
)
SPARSE = {"huge.jpg": picture(400), "hole.jpg": b"", "huge.pdf": b"%PDF-1.7\n", "huge.bin": b"\0\1\2\3"}


def _drop_sparse(made: Studio) -> None:
    for name, head in SPARSE.items():
        os.truncate(made.drop(name, head), 5 * GIB)


def _drop_what_is_out_of_reach(made: Studio) -> None:
    """Leave files of another user's, and such that nobody may move."""
    modes = {"secretive.jpg": 0o600, "fixed": 0o755, "sticky": 0o1777, "closed": 0o700}
    for number, (name, mode) in enumerate(modes.items()):
        path = made.path("inbox", name)
        file = made.drop(name if name.endswith(".jpg") else f"{name}/a.jpg", picture(500 + number))
        os.chown(file, SOMEBODY, SOMEBODY)
        os.chown(path, SOMEBODY, SOMEBODY)
        os.chmod(path, mode)
    for name, mark in {"pinned.jpg": "+i", "appended.jpg": "+a"}.items():
        subprocess.run(["chattr", mark, made.drop(name, picture(510 + len(name)))], check=False, timeout=20)


OUT_OF_REACH = {
    "secretive.jpg": "owner nobody, group nogroup, mode 0600",
    "fixed/a.jpg": "the folder has owner nobody, group nogroup, mode 0755",
    "sticky/a.jpg": "mode 1777",
    "closed": "mode 0700",
    "pinned.jpg": "chattr",
    "appended.jpg": "chattr",
}


def test_every_whole_picture_comes_home_under_its_own_name(aftermath: Studio) -> None:
    for case in whole():
        with open(aftermath.path("originals", case.name), "rb") as original:
            assert original.read() == case.content, case.name
        with open(aftermath.path("outbox", case.delivered), "rb") as delivered:
            assert delivered.read() != case.content, case.name
    assert aftermath.sandbox.paid == len(list(whole())) + aftermath.holds("outbox", "last.jpg")


def test_the_service_is_told_harmless_names_only(aftermath: Studio) -> None:
    names = [name for order in aftermath.sandbox.orders.values() for name in order.files]
    assert len(names) == len(list(whole())) + aftermath.holds("outbox", "last.jpg")
    for name in names:
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"), name
        assert name[0] not in "-."


def test_each_file_that_can_not_pass_has_its_reason_beside_it(aftermath: Studio) -> None:
    for case in refused():
        with open(aftermath.path("quarantine", case.name), "rb") as file:
            assert file.read() == case.content, case.name
        folder = os.path.dirname(aftermath.path("quarantine", case.name))
        notes = [_read(folder, note) for note in os.listdir(folder) if note.endswith(b".why.txt")]
        assert any(case.why in note and _is_about(note, case.name) for note in notes), case.name
        assert not any(set(note) & set("\x1b\r\x07") for note in notes)


def _read(folder: bytes, name: bytes) -> str:
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.read()


def _is_about(note: str, name: bytes) -> bool:
    mark = json.loads(note.rstrip("\n").rpartition("\nwatchfolder: ")[2])
    return bool(mark["file"] == quote(os.path.basename(name)))


@pytest.mark.parametrize("name", [*NO_FILES, *map(os.fsdecode, STAYING)])
def test_what_is_no_picture_for_us_stays_as_it_is(aftermath: Studio, name: str) -> None:
    assert aftermath.holds("inbox", name)
    assert not aftermath.holds("outbox", name)
    assert not aftermath.holds("quarantine", name)


@pytest.mark.parametrize("name", ["link.jpg", "pipe.jpg", "socket.jpg", "page.pdf", "empty.jpg", "half.jpg.part"])
def test_explain_says_why_it_stays(aftermath: Studio, name: str) -> None:
    told = aftermath.run("explain", str(aftermath.root / "inbox" / name))
    assert told.returncode == 0
    assert b"It stays where it is" in told.stdout or b"It waits" in told.stdout or b"left alone" in told.stdout


def test_five_gibibytes_of_nothing_cost_nothing_and_have_their_reason(aftermath: Studio) -> None:
    wait_until(lambda: aftermath.lives() and aftermath.holds("quarantine", "hole.jpg"), what="the hole is refused")
    for name, why in {"huge.jpg": "larger than", "hole.jpg": "nothing has been written into it"}.items():
        found = os.stat(aftermath.path("quarantine", name))
        assert found.st_size == 5 * GIB
        assert found.st_blocks * 512 < 1 << 20  # moved, not copied
        assert why in (aftermath.root / "quarantine" / f"{name}.why.txt").read_text(encoding="utf-8")
    assert aftermath.holds("inbox", "huge.pdf")
    assert aftermath.holds("inbox", "huge.bin")


@pytest.mark.skipif(not IS_ROOT, reason="only root can put files out of our reach")
@pytest.mark.parametrize("name", OUT_OF_REACH)
def test_what_is_out_of_reach_stays_and_status_names_what_is_in_the_way(aftermath: Studio, name: str) -> None:
    status = json.loads((aftermath.root / "state/status.json").read_bytes())
    remarks = status["inboxes"]["photos"]["remarks"]
    if name in {"pinned.jpg", "appended.jpg"} and not aftermath.holds("inbox", name):
        pytest.skip("no chattr on this file system")
    assert OUT_OF_REACH[name] in remarks[name]
    told = [line["facts"]["file"] for line in aftermath.log() if line["event"] == "file.stays"]
    assert told.count(name) == 1


def test_status_shows_it_all_without_a_control_character(aftermath: Studio) -> None:
    for arguments in (("status",), ("status", "--json")):
        shown = aftermath.run(*arguments)
        assert shown.returncode == 0
        text = shown.stdout.decode("utf-8")
        assert not any(ord(char) < 32 and char != "\n" for char in text)


def test_a_picture_that_comes_last_is_not_held_up(aftermath: Studio) -> None:
    aftermath.drop("last.jpg", picture(999))
    wait_until(lambda: aftermath.lives() and aftermath.holds("outbox", "last.jpg"), what="it is delivered")
