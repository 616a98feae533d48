"""The order of the tests, how a flow of `integration` begins, and `--thorough`, which `make torture` gives."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shop import Open

# A shell that runs us in the background has us ignore it, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST = (
    "acceptance/nas/",
    "container/test_typed_lines",
    "acceptance/truth/",
    "systemd/test_service_life",
    "test_torture_short",
    "acceptance/debian/",
    "acceptance/test_share.py",
    "acceptance/droppers/",
    "test_misbehaving_service",
    "container/",
    "acceptance/systemd/",
    "acceptance/test_advice",
    "acceptance/test_secrets",
    "acceptance/test_wall_clock",
    "acceptance/test_operations",
    "acceptance/test_cli_alarm",
)
"""What a worker of the lab is busy with for minutes; the first is one boot of the machine with real shares."""

sys.path.append(str(Path(__file__).parent / "acceptance"))  # the studio, for the folders below it


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="play the long campaigns whole, as make torture does")


def pytest_configure(config: pytest.Config) -> None:
    """Let hypothesis be patient, on small machines and shared ones, and choose the same each time unless thorough."""
    is_random = bool(config.getoption("--thorough"))
    patience = [HealthCheck.too_slow]
    settings.register_profile("suite", deadline=None, derandomize=not is_random, suppress_health_check=patience)
    settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes each, so that the short ones fill what is left to the workers."""
    items.sort(
        key=lambda item: next((place for place, name in enumerate(LONGEST) if name in item.nodeid), len(LONGEST))
    )


@pytest.fixture(scope="session")
def is_thorough(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--thorough"))


@pytest.fixture
def begin(tmp_path: Path, request: pytest.FixtureRequest) -> "Iterator[Open]":
    """What opens a shop and its service: a module's USUAL has their usual facts."""
    from shop import opening  # noqa: PLC0415 - where it lies is known below `integration` alone

    with opening(tmp_path, **getattr(request.module, "USUAL", {})) as build:
        yield build
