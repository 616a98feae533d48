"""What the documents say about the program, read by the machine and compared with the program."""

import os
import re
import subprocess
import sys
from itertools import dropwhile, takewhile
from pathlib import Path

from watchfolder.order import TRANSITIONS, State

ROOT = Path(__file__).parents[1]


def diagram() -> str:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    found = re.search(r"^```mermaid\nstateDiagram-v2\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found is not None, "docs/architecture.md has no mermaid block that begins with stateDiagram-v2"
    return found[1]


def test_the_diagram_shows_every_transition_that_the_journal_lets_through_and_no_other() -> None:
    arrows = re.findall(r"^\s*(\w+)\s*-->\s*(\w+)\b", diagram(), re.MULTILINE)
    assert len(arrows) == len(set(arrows))
    assert set(arrows) == {(str(before), str(after)) for before, states in TRANSITIONS.items() for after in states}


def test_every_state_stands_in_the_table_and_in_the_diagram() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {name for name in re.findall(r"\w+", diagram()) if name in set(State)} == set(State)


def test_an_order_begins_where_the_diagram_begins() -> None:
    assert re.findall(r"^\s*\[\*\]\s*-->\s*(\w+)", diagram(), re.MULTILINE) == [State.CLAIMING]


def test_the_readme_shows_what_help_says() -> None:
    program = Path(sys.executable).with_name("watchfolder")
    environment = {"COLUMNS": "100", "TERM": "dumb", "LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}
    said = subprocess.run([program, "--help"], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert block_after("$ watchfolder --help") == normalised(said.stdout.splitlines())


def block_after(command: str) -> list[str]:
    """Return what README.md shows below `command`, up to the end of its fenced block."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    rest = list(dropwhile(lambda line: line.strip() != command, lines))[1:]
    assert rest, f"README.md has no line `{command}`"
    return normalised(list(takewhile(lambda line: not line.startswith("```"), rest)))


def normalised(lines: list[str]) -> list[str]:
    return [line.rstrip() for line in lines if line.strip()]
