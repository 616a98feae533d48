"""What the look hands over to the claim."""

from dataclasses import dataclass

from watchfolder.images import Format
from watchfolder.order import Why


@dataclass(frozen=True, slots=True)
class Ready:
    """A file to be taken: settled and whole, or (with `why`) known never to pass."""

    name: str
    size: int
    mtime_ns: int
    format: Format | None = None
    why: Why | None = None
    sha256: str | None = None  # where it had to be read for that
