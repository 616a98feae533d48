"""Numbers that are never given twice: each is of a series, and what is taken is durable before anybody sees it.

`<state_dir>/serials.json` holds the series, five characters by chance, and how far it has come. A gap is a number that
was taken and not used. Where the file is lost, or cannot be read, another series begins: what came before is not known.
"""

import secrets
import threading

from pydantic import BaseModel, ConfigDict, Field

from watchfolder import state_file
from watchfolder.disk import Place

FILE = "serials.json"
_CHARACTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # none is taken for another one
_LENGTH = 5  # of a series: one of 33 millions


class _Taken(BaseModel):
    model_config = ConfigDict(extra="ignore")

    series: str = Field(pattern=rf"^[{_CHARACTERS}]{{{_LENGTH}}}$")
    last: int = Field(ge=0, lt=1 << 53)


class Serials:
    """Of one state directory, whose lock is held; any thread may take some."""

    def __init__(self, state_dir: str) -> None:
        self._place = Place(state_dir, FILE)
        self._guard = threading.Lock()

    def take(self, count: int) -> list[str]:
        """Return so many, in their order. Raises FolderFault."""
        with self._guard:
            found = state_file.read(self._place, _Taken, "the serials of watermarks go on in another series")
            taken = found or _Taken(series="".join(secrets.choice(_CHARACTERS) for _ in range(_LENGTH)), last=0)
            after = taken.model_copy(update={"last": taken.last + count})
            state_file.write(self._place, after)
            return [f"{taken.series}-{number}" for number in range(taken.last + 1, after.last + 1)]
