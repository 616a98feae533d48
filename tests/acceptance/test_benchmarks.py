"""The benchmarks run: what they measure is nobody's business here, but for what is counted and not timed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.lab


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_hundred_files_open_two_connections_a_transfer_at_most() -> None:
    command = [sys.executable, str(BENCHMARKS), "--short", "--only", "connections"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "at most 8  reached" in done.stdout
