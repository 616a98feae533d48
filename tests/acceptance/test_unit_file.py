"""The unit file against systemd's own judgement, without a running systemd."""

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = "watchfolder.service"
EXPOSURE_AT_MOST = 2.0


@pytest.fixture
def analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None and os.environ.get("CI") == "true":
        pytest.fail("systemd-analyze is missing, and CI must not go without it: apt-get install systemd")
    return program or pytest.skip("systemd-analyze is missing: apt-get install systemd")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a file system with nothing but the unit and the programs that it starts."""
    for program in ("opt/watchfolder/bin/watchfolder", "bin/kill"):
        (tmp_path / program).parent.mkdir(parents=True)
        shutil.copy(shutil.which("true") or "/bin/true", tmp_path / program)
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    shutil.copy(SYSTEMD / UNIT, units)
    return tmp_path


@pytest.fixture
def service() -> dict[str, str]:
    unit = configparser.RawConfigParser(strict=False, delimiters=("=",))
    unit.optionxform = str  # type: ignore[assignment, method-assign] # names of directives have capitals
    unit.read(SYSTEMD / UNIT)
    return dict(unit["Service"])


def verify(analyze: str, root: Path) -> subprocess.CompletedProcess[str]:
    unit = root / "etc/systemd/system" / UNIT
    return subprocess.run(
        [analyze, "verify", "--recursive-errors=no", f"--root={root}", unit],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def every_line_in_force(text: str) -> str:
    """Return the example with the lines that it leaves to choose from switched on."""
    return re.sub(r"^#(?=[A-Za-z]+=)", "", text, flags=re.MULTILINE)


def install_dropin(root: Path, text: str) -> None:
    folder = root / "etc/systemd/system" / f"{UNIT}.d"
    folder.mkdir()
    (folder / "folders.conf").write_text(text)


def test_systemd_finds_nothing_wrong_with_the_unit(analyze: str, root: Path) -> None:
    verdict = verify(analyze, root)
    assert (verdict.returncode, verdict.stderr) == (0, "")


def test_systemd_finds_nothing_wrong_with_any_line_of_the_drop_in(analyze: str, root: Path) -> None:
    example = (SYSTEMD / f"{UNIT}.d" / "folders.conf.example").read_text()
    in_force = every_line_in_force(example)
    assert in_force.count("\n#") < example.count("\n#")
    install_dropin(root, in_force)
    verdict = verify(analyze, root)
    assert (verdict.returncode, verdict.stderr) == (0, "")


def test_a_typing_error_would_be_found(analyze: str, root: Path) -> None:
    install_dropin(root, "[Service]\nReadWritePath=/srv/photos\n")
    verdict = verify(analyze, root)
    assert verdict.returncode != 0
    assert "ReadWritePath" in verdict.stderr


def test_the_sandbox_is_tight(analyze: str) -> None:
    verdict = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", SYSTEMD / UNIT],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = re.search(rf"Overall exposure level for {UNIT}: ([0-9.]+)", verdict.stdout)
    assert found is not None, verdict.stdout
    assert float(found[1]) <= EXPOSURE_AT_MOST, verdict.stdout


def test_nothing_but_a_wrong_configuration_keeps_the_daemon_down(service: dict[str, str]) -> None:
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "78"
    assert "StartLimitIntervalSec=0" in (SYSTEMD / UNIT).read_text().splitlines()
    assert float(service["RestartSec"]) >= 10


def test_the_daemon_has_the_time_it_needs_to_stop(service: dict[str, str]) -> None:
    assert float(service["TimeoutStopSec"]) > 20


def test_the_kernel_can_be_asked_for_writers(service: dict[str, str]) -> None:
    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == "CAP_LEASE"
    assert "PrivateUsers" not in service
