"""What the look hands over to the claim."""

from dataclasses import dataclass, field

from watchfolder.disk import Place
from watchfolder.images import Format
from watchfolder.order import Role, Why


@dataclass(frozen=True, slots=True)
class Ready:
    """A file to be taken: settled and whole, or (with `why`) known never to pass."""

    name: str
    size: int
    mtime_ns: int
    format: Format | None = None
    why: Why | None = None
    address: str = field(default="", repr=False)  # that it holds, in place of a picture
    is_list: bool = False  # of addresses
    sha256: str | None = None  # where it had to be read for that
    role: Role = Role.PICTURE
    lies_at: Place | None = None  # where that is not the inbox: it is copied from there
