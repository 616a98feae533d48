"""How things read in a sentence, wherever they are said: in the terminal, on the page, in a message."""

from datetime import datetime


def files(number: int, *, verb: str = "") -> str:
    """Return "1 file" or "2 files"; with a verb ("need") "1 file needs" or "2 files need"."""
    if number == 1:
        return f"1 file {verb}s" if verb else "1 file"
    return f"{number} files {verb}".rstrip()


def clock(moment: datetime, now: datetime) -> str:
    """Return the time of a moment, with its date if that is not today's."""
    local = moment.astimezone()
    return f"{local:%H:%M}" if local.date() == now.astimezone().date() else f"{local:%Y-%m-%d %H:%M}"


def in_credits(number: int) -> str:
    return f"{number} credit" if number == 1 else f"{number} credits"


def ended(sentence: str) -> str:
    """Return it with a full stop, unless it asks."""
    return sentence if sentence.endswith("?") else f"{sentence}."


def size(number: int) -> str:
    for unit, bytes_ in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= bytes_:
            return f"{number / bytes_:.1f} {unit}"
    return f"{number} bytes"
