"""A user of the share who never leaves a file alone: real processes, real races, for a while; then he goes home."""

import contextlib
import os
import random
import time

import pytest
from contents import sha256
from hostile_studio import Studio, daemon, picture, studio
from waiting import wait_until

SECONDS, SECONDS_WHEN_THOROUGH, NAMES = 6.0, 60.0, 12
pytestmark = [pytest.mark.lab, pytest.mark.thorough]


class Vandal:
    """Does one thing after the other to names in the inbox, its sub-folder and our work folder."""

    def __init__(self, made: Studio, seed: int) -> None:
        self._made = made
        self._chance = random.Random(seed)  # noqa: S311 - a vandal's mood
        self.written: set[str] = set()
        self.done = 0

    def act(self) -> None:
        deeds = (self._write, self._write, self._append, self._cut, self._remove, self._link, self._pipe, self._move)
        with contextlib.suppress(OSError):
            self._chance.choice((*deeds, self._swap_folder, self._enter_work_folder))()
            self.done += 1

    def _path(self) -> bytes:
        folder = self._chance.choice(("", "sub/"))
        return self._made.path("inbox", f"{folder}{self._chance.randrange(NAMES)}.jpg")

    def _write(self) -> None:
        content = picture(self._chance.randrange(10**6))
        self.written.add(sha256(content))
        self._made.contents[sha256(content).encode()] = content
        with open(
            os.open(self._path(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK), "wb"
        ) as f:
            half = len(content) // 2
            f.write(content[:half])
            f.flush()
            time.sleep(self._chance.choice((0.0, 0.0, 0.02)))
            f.write(content[half:])

    def _append(self) -> None:
        path = self._path()
        with open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK), "wb") as file:
            file.write(b"\0" * self._chance.randrange(1, 9))

    def _cut(self, path: bytes | None = None) -> None:
        descriptor = os.open(path or self._path(), os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        os.truncate(descriptor, self._chance.randrange(600))
        os.close(descriptor)

    def _remove(self) -> None:
        os.unlink(self._path())

    def _link(self) -> None:
        path = self._path()
        os.symlink(os.fsencode(self._made.outside.folder / "secret.jpg"), path + b".l")
        os.rename(path + b".l", path)

    def _pipe(self) -> None:
        path = self._path()
        os.mkfifo(path + b".p")
        os.rename(path + b".p", path)

    def _move(self) -> None:
        os.rename(self._path(), self._path())

    def _swap_folder(self) -> None:
        sub = self._made.path("inbox", "sub")
        os.rename(sub, sub + b".away")
        os.symlink(os.fsencode(self._made.outside.folder), sub)
        time.sleep(self._chance.choice((0.0, 0.01)))
        os.unlink(sub)
        os.rename(sub + b".away", sub)

    def _enter_work_folder(self) -> None:
        """Do the same to a file that has been claimed."""
        top = self._made.path("inbox", ".watchfolder")
        files = [os.path.join(where, name) for where, _, names in os.walk(top) for name in names if name[:1] != b"."]
        claimed = [each for each in files if not each.endswith(b"owner.json")]
        if not claimed:
            return
        path = self._chance.choice(claimed)
        match self._chance.randrange(3):
            case 0:
                os.unlink(path)
            case 1:
                os.symlink(os.fsencode(self._made.outside.folder / "secret.jpg"), path + b".l")
                os.rename(path + b".l", path)
            case _:
                self._cut(path)


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_done_between_two_steps_breaks_anything(seed: int, is_thorough: bool) -> None:
    with studio(settle_seconds=0.05, incomplete_seconds=3.0) as made:
        os.mkdir(made.path("inbox", "sub"))
        vandal = Vandal(made, seed)
        with daemon(made):
            until = time.monotonic() + (SECONDS_WHEN_THOROUGH if is_thorough else SECONDS)
            while time.monotonic() < until or vandal.done <= 100 or len(made.sandbox.sent_files) <= 3:
                assert time.monotonic() < until + 120
                vandal.act()
                time.sleep(0.003)
            made.drop("quiet.jpg", picture(10**7))
            wait_until(lambda: made.lives() and made.holds("outbox", "quiet.jpg"), what="the quiet one comes home")
            wait_until(lambda: made.lives() and not _live_orders(made), 90, lambda: f"{_live_orders(made)} left")
            made.check(may_cut=True)
        print(f"{vandal.done} deeds, {len(made.sandbox.sent_files)} uploads")  # noqa: T201 - for the report


def _live_orders(made: Studio) -> list[str]:
    texts = []
    for entry in (made.root / "state/journal").glob("*.json"):
        with contextlib.suppress(FileNotFoundError):  # the order has just left
            texts.append(entry.read_text())
    return [text[:300] for text in texts if '"state":"quarantined"' not in text]
