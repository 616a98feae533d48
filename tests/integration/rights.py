"""Being somebody without any rights for a while, as the daemon's own user is; only root can."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


@contextmanager
def nobodys_folder() -> Iterator[Path]:
    """Give a folder that is nobody's, and be nobody."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    top, before = Path(tempfile.mkdtemp(dir="/tmp")), Path.cwd()
    os.chown(top, NOBODY, NOBODY)
    os.chdir("/")
    try:
        with as_nobody():
            yield top
    finally:
        os.chdir(before)
        shutil.rmtree(top)


@contextmanager
def as_nobody() -> Iterator[None]:
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@contextmanager
def as_root() -> Iterator[None]:
    os.setresuid(0, 0, 0)
    try:
        yield
    finally:
        os.setresuid(NOBODY, NOBODY, 0)
