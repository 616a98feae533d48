"""The program from pipx and uv, out of the checkout: what `watchfolder init` writes starts this very program."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from installation import (
    PROJECT,
    Installation,
    made_once,
    picture,
    pip,
    program,
    project_wheels,
    sandbox,
    steps,
    stopwatch,
)
from machine import Machine

from watchfolder.sandbox import Sandbox

__all__ = ["program", "sandbox"]

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]  # the first one may wait for debootstrap

TOOLS = ("pipx", "uv")
INSTALL_SECONDS = 300.0  # beside the other tests
# Both by name, as people call them; the packages come from /wheels, and from nowhere else.
SHELL = """
pipx() { PYTHONPATH=/tools python3 -m pipx "$@"; }
uv() { /tools/bin/uv "$@"; }
export PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels UV_OFFLINE=1 UV_NO_INDEX=1 UV_FIND_LINKS=/wheels
cd /src
"""


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with pipx and uv, made once for this test run."""
    return made_once(tmp_path_factory, "tools", lambda made: pip("install", f"--target={made}", *TOOLS))


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project_wheels(tmp_path_factory)


@pytest.fixture
def machine(program: Path, tools: Path, wheels: Path) -> Iterator[Machine]:
    there = {"/tools": tools, "/wheels": wheels, "/src": PROJECT, "/opt/watchfolder": program}
    with Machine({}, read_only_folders=there) as machine:
        yield machine


@pytest.mark.parametrize("tool", TOOLS)
def test_the_unit_starts_the_program_that_made_it(machine: Machine, sandbox: Sandbox, tool: str) -> None:
    (line,) = (block for block in steps("docs/install/source.md", "With pipx or uv") if f"{tool} " in block)
    _, init, start = steps("docs/install/source.md")
    with stopwatch(tool, line + init + start):
        machine.run("bash", "-ec", SHELL + line, seconds=INSTALL_SECONDS)
        installation = Installation(machine, sandbox, machine.path("/srv/photos"))
        installation.init(init)
        machine.run("sh", "-ec", start)
        installation.drop("meadow.jpg", picture(1))
        installation.await_delivery("meadow.jpg")
    installed = machine.run("readlink", "--canonicalize", "/usr/local/bin/watchfolder").strip()
    assert installed.startswith(f"/opt/{tool}/")
    assert f"path={installed} ;" in installation.facts()["ExecStart"]


def test_the_lines_for_pip_protect_a_picture(tools: Path, wheels: Path, sandbox: Sandbox) -> None:
    lines = steps("docs/install/source.md")
    there = {"/tools": tools, "/wheels": wheels, "/src": PROJECT}
    with Machine({}, read_only_folders=there) as machine, stopwatch("pip", "".join(lines)):
        machine.run("bash", "-ec", SHELL + lines[0], seconds=INSTALL_SECONDS)
        installation = Installation(machine, sandbox, machine.path("/srv/photos"))
        installation.init(lines[1])
        machine.run("sh", "-ec", lines[2])
        installation.drop("meadow.jpg", picture(1))
        installation.await_delivery("meadow.jpg")


def test_a_program_in_somebodys_home_is_refused_by_init(machine: Machine) -> None:
    machine.run("bash", "-ec", f"{SHELL} uv tool install --python /usr/bin/python3 .", seconds=INSTALL_SECONDS)
    said = machine.run("/root/.local/bin/watchfolder", "init", check=False)
    assert "systemd hides people's homes from the daemon" in said
