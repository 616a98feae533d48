"""The other side of set_clocks.c: builds the library, and sets the clocks of running programs."""

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("set_clocks.c")
_SHIFTS = struct.Struct("dd")


class SetClocks:
    """The clocks of all programs that have `environment`."""

    def __init__(self, folder: Path) -> None:
        self._set = self._slept = 0.0
        self._file = folder / "shifts"
        self._write()
        library = folder / "set_clocks.so"
        command = [_compiler(), "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-lm"]
        subprocess.run(command, check=True, capture_output=True)
        self.environment = {"LD_PRELOAD": str(library), "SET_CLOCKS": str(self._file)}

    def set_wall(self, seconds: float) -> None:
        """Let the wall clock be so far ahead of the right time, or behind it."""
        self._set = seconds
        self._write()

    def sleep(self, seconds: float) -> None:
        """Let the machine have slept for so much longer."""
        self._slept += seconds
        self._write()

    def _write(self) -> None:
        with self._file.open("r+b" if self._file.exists() else "w+b", buffering=0) as file:
            file.write(_SHIFTS.pack(self._set, self._slept))


def _compiler() -> str:
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if found is None:
        reason = "no C compiler (cc) to build the clocks with: apt-get install gcc libc6-dev"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    return found
