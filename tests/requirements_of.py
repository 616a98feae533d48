"""What a package requires, and what that requires, as it is installed here."""

import importlib.metadata
from collections.abc import Iterable

from packaging.requirements import Requirement


def requirements(name: str) -> Iterable[importlib.metadata.Distribution]:
    """Return the package and all that it requires, each once."""
    found: dict[str, importlib.metadata.Distribution] = {}
    wanted = [Requirement(name)]
    while wanted:
        each = wanted.pop()
        if each.marker is not None and not each.marker.evaluate({"extra": ""}):
            continue
        package = importlib.metadata.distribution(each.name)
        if package.metadata["Name"] not in found:
            found[package.metadata["Name"]] = package
            wanted += [Requirement(text) for text in package.requires or ()]
    return found.values()
