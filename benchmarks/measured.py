"""What was measured, kept between runs, so that one part can be measured again and the document stays whole."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from figures import Burst, Figure, Row

_FILE = Path(__file__).with_name(".measured.json")
_Part = tuple[list[Row], list[Figure]]


def load() -> dict[str, _Part]:
    """Return the parts that are there, each with its rows and figures."""
    if not _FILE.exists():
        return {}
    tree = json.loads(_FILE.read_text(encoding="utf-8"))
    return {
        name: (
            [Row(**{**row, "burst": Burst(**row["burst"])}) for row in part["rows"]],
            [Figure(**figure) for figure in part["figures"]],
        )
        for name, part in tree.items()
    }


def keep(name: str, rows: Sequence[Row], figures: Sequence[Figure]) -> None:
    parts = load() | {name: (list(rows), list(figures))}
    tree = {
        each: {"rows": [asdict(row) for row in rows], "figures": [asdict(figure) for figure in figures]}
        for each, (rows, figures) in parts.items()
    }
    _FILE.write_text(json.dumps(tree, indent=1), encoding="utf-8")
