"""What CI says of a test run that leaves something behind in the checkout, and what its lab begins with."""

import subprocess
from pathlib import Path

import pytest
from conftest import LONGEST

LEAVES_NOTHING = Path(__file__).parents[1] / ".ci/leaves-nothing"


def run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    (folder / "kept.txt").write_text("as it was")
    command = [str(LEAVES_NOTHING), "sh", "-c", script]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("ln -s /nowhere .l", ".l"),
        ("touch new.txt", "new.txt"),
        ("mkdir empty", "empty/"),
        ("mkdir build; touch build/ignored.whl", "build/ignored.whl"),
        ("echo more >> kept.txt", "kept.txt"),
        ("rm kept.txt", "kept.txt"),
    ],
)
def test_a_run_that_leaves_something_behind_fails_and_names_it(tmp_path: Path, script: str, name: str) -> None:
    done = run(tmp_path, script)
    assert done.returncode == 1
    assert name in done.stderr


def test_a_run_that_leaves_only_caches_behind_passes(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    done = run(tmp_path, "mkdir .venv .pytest_cache tests/__pycache__; touch .venv/a tests/__pycache__/b.pyc")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_run_that_fails_by_itself_keeps_its_exit_code(tmp_path: Path) -> None:
    assert run(tmp_path, "touch new.txt; exit 5").returncode == 5


def test_the_lab_begins_with_files_that_are_there() -> None:
    files = [str(path) for path in Path(__file__).parent.rglob("test_*.py")]
    assert [name for name in LONGEST if not any(name in file for file in files)] == []
