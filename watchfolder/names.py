"""File names: which to leave alone, what to tell the service, and how to make room for a suffix. Pure."""

import fnmatch
import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

NOTES: Final = ("*.ai.json", "*.watermark.json", "*.done.csv", "verdicts.csv", "watermarks.csv", "*.xmp")
"""Files about the pictures beside them, by us among others: left alone, so that an outbox can be the next inbox."""
BUILT_IN_FILES: Final = (
    "~syncthing~*",
    "*.part",
    "*.partial",  # rclone's NAME.<8 hex>.partial as well
    "*.filepart",
    "*.crdownload",
    "*.download",
    "*.opdownload",
    "*.tmp",
    "*.temp",
    "*.uploading",
    "*.writing",
    "*.!sync",
    "*.aria2",
    "*~",
    "~$*",
    "Thumbs.db",
    "desktop.ini",
    "Icon\r",
    "*@SynoEAStream",
    "SYNOPHOTO_THUMB_*",
    "SYNOFILE_THUMB_*",
    *NOTES,
    "*.heatmap.*",
    "*.heatmap ([0-9]*).*",  # where another file had that name
    "*.report.??-??.pdf",
    "*.report.??-?? ([0-9]*).pdf",
)
BUILT_IN_FOLDERS: Final = (
    "@eaDir",
    "#recycle",
    "#snapshot",
    "@Recycle",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    "__MACOSX",
    "Network Trash Folder",
    "Temporary Items",
    "_UNPACK_*",
)
HIDDEN: Final = ".*"  # cannot be lifted: our own work folder has such a name

_EXTENSION = re.compile(r"(?s)(.*[^/])(\.[A-Za-z0-9]{1,16})")
_UNTOLD = re.compile(r"[^A-Za-z0-9.-]+")  # a run of these becomes one "_"
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_UNPORTABLE = re.compile(r'[\x00-\x1f\x7f<>:"\\|?*\ud800-\udfff]')  # for Windows, exFAT, or bytes that are no UTF-8
_MAX_STEM = 80
_JOINERS = {"\u200d", "\ufe0e", "\ufe0f"}


class Ignored:
    """Which names to leave alone: the built-in patterns and `extra`, in which '!pattern' lifts a built-in one.

    Case does not count: the same share is used from Windows. Raises ValueError for a pattern that can do nothing.
    """

    def __init__(self, extra: Sequence[str] = ()) -> None:
        lifted = {_key(pattern[1:]) for pattern in extra if pattern.startswith("!")}
        added = [pattern for pattern in extra if not pattern.startswith("!")]
        if not all(pattern.strip() and "/" not in pattern for pattern in added):
            raise ValueError("each pattern must match a single name: not empty, without /")
        if unknown := lifted.difference(map(_key, (*BUILT_IN_FILES, *BUILT_IN_FOLDERS))):
            raise ValueError(f"'!{min(unknown)}' lifts nothing: there is no such built-in pattern")
        # Each returns the pattern by which a file, or a folder with all in it, of this name is left alone; else None.
        self.file = _find_in(BUILT_IN_FILES, lifted, added)
        self.folder = _find_in(BUILT_IN_FOLDERS, lifted, added)


def _find_in(built_in: Sequence[str], lifted: Collection[str], added: Sequence[str]) -> Callable[[str], str | None]:
    patterns = [*(pattern for pattern in built_in if _key(pattern) not in lifted), *added]
    either = re.compile("|".join(f"({fnmatch.translate(_key(each))})" for each in patterns) or r"(?!)")

    def find(name: str) -> str | None:
        if name.startswith("."):
            return HIDDEN
        found = either.match(_key(name))
        return patterns[found.lastindex - 1] if found and found.lastindex else None

    return find


def _key(text: str) -> str:
    """Return a form that is equal for names that count as the same."""
    return unicodedata.normalize("NFC", text).lower()  # macOS sends NFD


def split(name: str) -> tuple[str, str]:
    """Return stem and extension, "" where there is none, as in "Dr. No" and ".hidden"."""
    found = _EXTENSION.fullmatch(name)
    return (found[1], found[2]) if found else (name, "")


def sent_name(name: str, extension: str) -> str:
    """Return the name that the service gets for `name`: plain ASCII, its end kept (a test key acts on "_fail")."""
    stem = _told(split(name.rpartition("/")[2])[0])
    return f"{(stem if stem.strip('_') else 'picture')}.{extension.lstrip('.')}"


def told_apart(told: Iterable[str]) -> list[str]:
    """Number the names that the service gets for one order, so that no two have the same stem, whatever their case."""
    taken: set[str] = set()
    apart = []
    for stem, extension in map(split, told):
        number, fresh = 1, stem
        while fresh.lower() in taken:
            number += 1
            fresh = f"{number}-"
            fresh += stem[len(fresh) - _MAX_STEM :]
        taken.add(fresh.lower())
        apart.append(fresh + extension)
    return apart


def _told(stem: str) -> str:
    stem = unicodedata.normalize("NFKD", stem)
    stem = "".join(char for char in stem if not unicodedata.combining(char))
    stem = _UNTOLD.sub("_", stem)[-_MAX_STEM:].lstrip("-.").rstrip(".")
    return f"_{stem[1 - _MAX_STEM :]}" if _RESERVED.fullmatch(stem) else stem


def as_portable(path: str) -> str:
    """Return a form of `path` that more file systems can hold; if it is one already, one in ASCII; at last itself."""
    parts = path.split("/")
    portable = "/".join(map(_portable, parts))
    ends = [split(part) for part in parts]
    return portable if portable != path else "/".join((_told(stem) or "_") + extension for stem, extension in ends)


def is_portable(part: str) -> bool:
    """Can the folders of every system have something of this name?"""
    return _portable(part) == part


def _portable(part: str) -> str:
    part = _UNPORTABLE.sub("_", part)
    kept = part.rstrip(". ")
    part = kept + "_" * (len(part) - len(kept))
    return f"_{part}" if _RESERVED.fullmatch(part) else part


def numbered(name: str, number: int, limit_bytes: int = 255) -> str:
    """photo.jpg, 2 → photo (2).jpg."""
    return with_mark(name, f" ({number})", limit_bytes)


def with_mark(name: str, mark: str, limit_bytes: int = 255) -> str:
    """photo.jpg, " (TEST)" → photo (TEST).jpg."""
    stem, extension = split(name)
    return _within_limit(stem, f"{mark}{extension}", limit_bytes)


def with_extension(name: str, extension: str, limit_bytes: int = 255) -> str:
    """photo.bmp, .png → photo.png."""
    return _within_limit(split(name)[0], f".{extension.lstrip('.')}", limit_bytes)


def with_end(name: str, suffix: str, limit_bytes: int = 255) -> str:
    """photo.jpg, .why.txt → photo.jpg.why.txt."""
    stem, extension = split(name)
    return _within_limit(stem, extension + suffix, limit_bytes)


def _within_limit(stem: str, tail: str, limit_bytes: int) -> str:
    """Join the two, the path's last part shortened to at most `limit_bytes` (64 or more).

    Where possible no letter is parted from its marks.
    """
    folder, slash, stem = stem.rpartition("/")
    end, size = len(stem), len(os.fsencode(stem + tail))
    while size > limit_bytes:
        end -= 1
        size -= len(os.fsencode(stem[end]))
    whole = end
    while 0 < whole < len(stem) and (_is_mark(stem[whole]) or stem[whole - 1] == "\u200d"):
        whole -= 1
    return f"{folder}{slash}{stem[: whole or end]}{tail}"


def _is_mark(char: str) -> bool:
    """Say whether `char` belongs to the one before: an accent, a joiner, a vowel or final of a Korean syllable."""
    return (
        unicodedata.category(char).startswith("M")
        or char in _JOINERS
        or "\u1160" <= char <= "\u11ff"
        or "\U0001f3fb" <= char <= "\U0001f3ff"
    )
