"""What the documents show, as their readers copy it."""

import re
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def section(document: str, heading: str) -> str:
    """Return what stands below a heading."""
    text = (PROJECT / document).read_text(encoding="utf-8")
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def blocks(text: str, kind: str) -> list[str]:
    """Return the fenced blocks of a kind (sh, yaml)."""
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
