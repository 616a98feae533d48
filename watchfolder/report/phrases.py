"""How numbers, times and sizes read in a sentence: in the terminal, on the page, in a message."""

from datetime import datetime


def count_of(number: int, word: str) -> str:
    """Return "1 credit" or "2 credits"."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def files(number: int, *, verb: str = "") -> str:
    """Return "1 file" or "2 files"; with a verb ("need") "1 file needs" or "2 files need"."""
    of_one = "s" if verb and number == 1 else ""
    return f"{count_of(number, 'file')} {verb}{of_one}".rstrip()


def other_files(number: int) -> str:
    """Return what follows the name of the first file: " and 2 more", or nothing."""
    return f" and {number} more" if number > 0 else ""


def clock(moment: datetime, now: datetime | None = None) -> str:
    """Return the local time of a moment, with its date unless that is the date of `now`."""
    local = moment.astimezone()
    is_today = now is not None and local.date() == now.astimezone().date()
    return f"{local:%H:%M}" if is_today else f"{local:%Y-%m-%d %H:%M}"


def clock_with_seconds(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def ended(sentence: str) -> str:
    """Return it with a full stop, unless it is a question."""
    return sentence if sentence.endswith("?") else f"{sentence}."


def size(number: int) -> str:
    for unit, bytes_ in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= bytes_:
            return f"{number / bytes_:.1f} {unit}"
    return f"{number} bytes"
