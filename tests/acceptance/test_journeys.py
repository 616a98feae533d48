"""A whole card of pictures, through the real program and a real server, undisturbed and killed again and again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
import yaml
from contents import sha256

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

FOLDERS = ("", "Hochzeit Müller", "Hochzeit Müller/Kirche 🎉", "2026 – Ürün/raw auswahl", "日本/東京")
JPEGS, OTHERS = 300, 60
DEATHS = 20
pytestmark = pytest.mark.lab


@cache
def _bases() -> Mapping[str, bytes]:
    jpegs = {f"{seed}.jpg": sample("jpeg", width=600, height=450, seed=seed) for seed in range(4)}
    kinds = {"png": "png", "webp": "webp", "tif": "tiff", "bmp": "bmp"}
    return jpegs | {f"x.{ending}": sample(kind, width=320, height=240, seed=9) for ending, kind in kinds.items()}


def card(jpegs: int = JPEGS, others: int = OTHERS) -> Iterator[tuple[str, bytes]]:
    """Give names and pictures, each of its own bytes: what follows a picture's end makes it another file."""
    bases = list(_bases().items())
    for number in range(jpegs + others):
        base, content = bases[number % 4] if number < jpegs else bases[4 + number % 4]
        folder = FOLDERS[number % len(FOLDERS)]
        name = f"Bild {number:03} größer ✓{Path(base).suffix}"
        yield f"{folder}/{name}".removeprefix("/"), content + number.to_bytes(4, "big")


@dataclass
class Studio:
    """Folders, a configuration, and what was dropped into which inbox."""

    root: Path
    sandbox: Sandbox
    inboxes: tuple[str, ...] = ("photos",)

    def __post_init__(self) -> None:
        self.dropped: dict[str, dict[str, bytes]] = {name: {} for name in self.inboxes}
        inboxes: dict[str, Any] = {}
        for name in self.inboxes:
            folders = {role: self.root / name / role for role in ("path", "outbox", "quarantine", "originals")}
            for folder in folders.values():
                folder.mkdir(parents=True)
            inboxes[name] = {role: str(folder) for role, folder in folders.items()} | {"settle_seconds": 0.2}
        (self.root / "state").mkdir()
        tree = {
            "api": {"base_url": self.sandbox.url, "requests_per_minute": 0},
            "state_dir": str(self.root / "state"),
            "orders_in_flight": 40,
            "inboxes": inboxes,
        }
        (self.root / "config.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")

    def drop(self, files: Iterator[tuple[str, bytes]]) -> None:
        for number, (name, content) in enumerate(files):
            inbox = self.inboxes[number % len(self.inboxes)]
            path = self.root / inbox / "path" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            self.dropped[inbox][name] = content

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "watchfolder", "run", "--once", "-c", str(self.root / "config.yaml")]
        environ = {**os.environ, "BIZMORI_API_KEY": self.sandbox.key}
        with open(self.root / "log", "a", encoding="utf-8") as log:
            return subprocess.Popen(command, env=environ, stdout=log, stderr=log, text=True)

    def check_everything_arrived(self) -> None:
        """Each picture delivered under its own name, its original kept byte for byte, nothing else anywhere."""
        for inbox, files in self.dropped.items():
            folder = self.root / inbox
            assert _files(folder / "outbox") == files.keys()
            assert {name: (folder / "originals" / name).read_bytes() for name in _files(folder / "originals")} == files
            assert not any((folder / "outbox" / name).read_bytes() == content for name, content in files.items())
            assert _files(folder / "path") == _files(folder / "quarantine") == set()
            assert _leftovers(folder) == []
        assert list((self.root / "state/journal").iterdir()) == []
        lines = [json.loads(line) for line in self._history().splitlines()]
        assert {line["outcome"] for line in lines} == {"delivered"}
        told = [(line["inbox"], unquote_to_bytes(file["name"]).decode()) for line in lines for file in line["files"]]
        assert sorted(told) == sorted((inbox, name) for inbox, files in self.dropped.items() for name in files)
        assert len({line["key"] for line in lines}) == len(lines)

    def check_paid_once_each(self) -> None:
        paid = self.sandbox.paid_files
        assert paid == {sha256(content): 1 for files in self.dropped.values() for content in files.values()}

    def _history(self) -> str:
        return "".join(path.read_text() for path in (self.root / "state/history").iterdir())


def _files(folder: Path) -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if not any(part.startswith(".") for part in path.parts)}


def _leftovers(folder: Path) -> list[Path]:
    """Return hidden files that are neither a folder's mark nor the work folder's own."""
    hidden = (path for path in folder.rglob("*") if path.is_file() and "/." in str(path.relative_to(folder.parent)))
    return [path for path in hidden if path.name not in {".watchfolder-id", "owner.json"}]


@pytest.mark.parametrize(
    ("dialect", "inboxes"),
    [("both", ("photos",)), ("v2", ("photos",)), ("both", ("photos", "archive", "studio-2"))],
    ids=["v3 reads", "v2 alone", "three inboxes"],
)
def test_a_card_of_nested_folders_is_delivered_whole(tmp_path: Path, dialect: str, inboxes: tuple[str, ...]) -> None:
    with Sandbox(processing_seconds=0.2, dialect=dialect) as sandbox:  # type: ignore[arg-type] # of the parameters
        studio = Studio(tmp_path, sandbox, inboxes)
        studio.drop(card())
        assert studio.start().wait(300) == 0, (tmp_path / "log").read_text()[-2000:]
        studio.check_everything_arrived()
        studio.check_paid_once_each()
        assert sandbox.sins == []


def test_twenty_deaths_lose_nothing_and_pay_for_nothing_twice(tmp_path: Path) -> None:
    chance = random.Random(20261123)  # noqa: S311 - the moments of death
    with Sandbox(processing_seconds=0.2, look_seconds=0) as sandbox:  # a new life looks at once, and may
        studio = Studio(tmp_path, sandbox)
        studio.drop(card())
        killed = 0
        while killed < DEATHS:
            daemon = studio.start()
            try:
                daemon.wait(0.4 + chance.uniform(0.0, 1.2))
            except subprocess.TimeoutExpired:
                daemon.send_signal(signal.SIGKILL)
            killed += daemon.wait(10) == -signal.SIGKILL
            if daemon.returncode == 0:
                break
        assert killed >= DEATHS // 2, "it ended before it had died often enough"
        deadline = time.monotonic() + 300
        while studio.start().wait(300) != 0 and time.monotonic() < deadline:
            time.sleep(0.1)
        studio.check_everything_arrived()
        studio.check_paid_once_each()
        assert sandbox.sins == []
