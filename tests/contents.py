"""What lies in a folder, and how its bytes are told from others."""

import csv
import hashlib
import os
from pathlib import Path

from watchfolder.disk import Place


def place(folder: Path, name: str = "a.jpg") -> Place:
    return Place(str(folder), name)


def files_in(folder: Path) -> list[str]:
    """Return what lies there for people, by its name below the folder."""
    found = list[str]()
    for top, folders, files in os.walk(folder):  # goes on where a folder has gone meanwhile; rglob does not
        links = [name for name in folders if os.path.islink(os.path.join(top, name))]
        found += [os.path.relpath(os.path.join(top, name), folder) for name in (*files, *links) if name[0] != "."]
        folders[:] = [name for name in folders if name[0] != "."]
    return sorted(found)


def contents_of(folder: Path) -> dict[str, bytes]:
    """Return every file below, hidden ones as well."""
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def table(path: Path) -> list[dict[str, str]]:
    """Return the lines of a CSV by its headings."""
    with path.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def whole_lines(path: Path) -> str:
    """Return the text of a log that may still grow, without a last line of which half is there."""
    text = path.read_text(encoding="utf-8")
    return text[: text.rfind("\n") + 1]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
