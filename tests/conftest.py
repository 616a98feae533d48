"""One option for all tests: a short choice of the long campaigns (`make test`), or all of them (`make torture`)."""

import signal

import pytest

# A shell that runs us in the background has us ignore it, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="play the long campaigns whole, as make torture does")


@pytest.fixture(scope="session")
def is_thorough(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--thorough"))
