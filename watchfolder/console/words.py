"""How a count of files reads in a sentence, and sentences that are said in several places."""

from typing import Final

NOT_REGISTERED: Final = (
    "pushes are off until watchfolder webhook register has been run; until then the service is asked by time"
)


def files(number: int, *, verb: str = "") -> str:
    """Return "1 file" or "2 files"; with a verb ("need") "1 file needs" or "2 files need"."""
    if number == 1:
        return f"1 file {verb}s" if verb else "1 file"
    return f"{number} files {verb}".rstrip()
