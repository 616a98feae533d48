"""Which format are these bytes, and are they whole? Pure: it reads only through the callables that it is given.

`judge` is the one call that the intake needs. How much it reads is bounded whatever the bytes say, and it raises
nothing of its own: an answer is always a verdict. What `read_at` raises goes through to its owner.
"""

from watchfolder.images.formats import (
    EXTENSIONS,
    LOCKED_PDF,
    Format,
    format_named,
    identify,
)
from watchfolder.images.modes import Mode, mode_of
from watchfolder.images.source import FindHole, ReadAt
from watchfolder.images.verdict import HEAD_BYTES, Kind, Verdict, judge
