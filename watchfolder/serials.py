"""Numbers that are never given twice: each is of a series, and what is taken is durable before anybody sees it.

`<state_dir>/serials.json` holds for each inbox its series, five random characters, and the last number taken. A gap is
a number that was taken and not used. Where the file is lost, cannot be read, or is older than what was given out,
another series begins: what came before is not known.
"""

import logging
import re
import secrets
import threading
from collections.abc import Iterable

from pydantic import BaseModel, Field, RootModel

from watchfolder import state_file
from watchfolder.disk import Place
from watchfolder.events import event

FILE = "serials.json"
_CHARACTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # none looks like another one
_LENGTH = 5  # of a series: one of 33 millions
_ANOTHER = "the serials of watermarks go on in another series"


class _Taken(BaseModel):
    series: str = Field(pattern=rf"^[{_CHARACTERS}]{{{_LENGTH}}}$")
    last: int = Field(ge=0, lt=1 << 53)


class _Memory(RootModel[dict[str, _Taken]]):
    """By inbox, each with its own series: its own table (watermarks.csv) alone shows what it has given out."""


class Serials:
    """Of one state directory, whose lock is held; any thread may take some."""

    def __init__(self, state_dir: str) -> None:
        self._place = Place(state_dir, FILE)
        self._guard = threading.Lock()

    def check(self, inbox: str, texts: Iterable[str]) -> None:
        """Begin another series if a number in these texts was never taken: then the file is an older one, put back.

        Raises FolderFault.
        """
        before = self._read().get(inbox)
        if before is None:
            return
        given = (match for text in texts for match in re.finditer(rf"{before.series}-(\d{{1,15}})", text))
        highest = max((int(match[1]) for match in given), default=0)
        with self._guard:
            known = self._read()
            taken = known.get(inbox)
            if taken is not None and taken.series == before.series and highest > taken.last:
                self._write({**known, inbox: _another()})
                event("serials.behind", logging.WARNING, file=self._place.path, inbox=inbox, effect=_ANOTHER)

    def begin_another(self, inbox: str, reason: str) -> None:
        """Begin another series, for what was given out cannot be read. Raises FolderFault."""
        with self._guard:
            self._write({**self._read(), inbox: _another()})
            event("serials.unread", logging.WARNING, inbox=inbox, reason=reason, effect=_ANOTHER)

    def take(self, inbox: str, count: int) -> list[str]:
        """Return so many new serials, in their order. Raises FolderFault."""
        with self._guard:
            known = self._read()
            taken = known.get(inbox) or _another()
            after = taken.model_copy(update={"last": taken.last + count})
            self._write({**known, inbox: after})
            return [f"{taken.series}-{number}" for number in range(taken.last + 1, after.last + 1)]

    def _read(self) -> dict[str, _Taken]:
        found = state_file.read(self._place, _Memory, _ANOTHER)
        return found.root if found else {}

    def _write(self, known: dict[str, _Taken]) -> None:
        state_file.write(self._place, _Memory(known))


def _another() -> _Taken:
    return _Taken(series="".join(secrets.choice(_CHARACTERS) for _ in range(_LENGTH)), last=0)
