"""Small pictures of the last deliveries, made when a browser asks, one at a time, each in a process of its own.

That process reads hostile files with libraries in C. So it gets the bytes of one picture and nothing else: no key, no
environment, little memory, little time.
"""

import contextlib
import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Final

from watchfolder import disk
from watchfolder.errors import FolderFault
from watchfolder.web.deliveries import ShownDelivery, ThumbnailSource

EDGE_PIXELS: Final = 320
_MAKER = Path(__file__).with_name("miniature.py")
_LARGEST_FILE = 64 << 20  # bytes
_LARGEST_RESULT = 256 << 10
_MOST_KEPT = 64
_SECONDS = 10.0  # for one picture
_TURN_SECONDS = 20.0  # to wait while others are made


class Thumbnails:
    """Gives the small picture of an id that is on the page now, and of no other."""

    def __init__(self) -> None:
        self._sources: dict[str, ThumbnailSource] = {}
        self._kept: dict[str, bytes] = {}  # by digest; empty where none can be made
        self._turn = threading.Lock()  # one picture is made at a time, and what is kept changes only then

    def remember(self, deliveries: Iterable[ShownDelivery]) -> None:
        sources = (source for each in deliveries for source in (each.before, each.after) if source)
        self._sources = {source.id: source for source in sources}

    def of(self, id_: str) -> bytes:
        """Return a JPEG, or nothing where there is no such picture any more or none can be made."""
        source = self._sources.get(id_)
        if source is None:
            return b""
        kept = self._kept.get(source.sha256)
        if kept is not None or not self._turn.acquire(timeout=_TURN_SECONDS):
            return kept or b""
        try:
            if source.sha256 not in self._kept:
                self._make(source)
            return self._kept.get(source.sha256, b"")
        finally:
            self._turn.release()

    def _make(self, source: ThumbnailSource) -> None:
        content, made = b"", None
        with contextlib.suppress(FolderFault):
            content = disk.answer_of(partial(_read, source), source.places[0].root)
        if content:
            made = _thumbnail(content)
        if made is not None:  # else it is made anew when asked for: the share may be back then, the machine less busy
            self._kept[source.sha256] = made
            if len(self._kept) > _MOST_KEPT:
                del self._kept[next(iter(self._kept))]


def _read(source: ThumbnailSource) -> bytes:
    """Read the picture where it lies, if it is still the one that we know."""
    if source.size > _LARGEST_FILE:
        return b""
    for place in source.places:
        try:
            found = disk.stat_of(place)
            if found is None or found.st_size != source.size:
                continue
            content = disk.read_bytes(place, _LARGEST_FILE)
        except (FileNotFoundError, FolderFault):
            continue
        if hashlib.sha256(content).hexdigest() == source.sha256:
            return content
    return b""


def _thumbnail(content: bytes) -> bytes | None:
    """Return a JPEG, b"" where none can be made, and None where the machine had no time for it."""
    command = [sys.executable, "-I", str(_MAKER), str(EDGE_PIXELS)]
    try:
        made = subprocess.run(  # noqa: S603 - our own program, with a number
            command,
            input=content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):  # a busy machine: what a picture costs has its own CPU limit
        return None
    return made.stdout if made.returncode == 0 and len(made.stdout) <= _LARGEST_RESULT else b""
