"""Real shares of real servers, mounted by the lines of docs/nas-share.md in a machine of their own: nothing is lost."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nas_machine
import pytest
from machine_cache import alone
from nas_plays import PLAYS
from nas_studio import SHARES

PROJECT = Path(__file__).parents[3]
SILENT_SECONDS = 900.0  # of a machine that hangs; a play takes 10 to 60 s on a quiet one
MACHINES = 3  # at most: Linux 6.1 may spin in its SMB client, without letting anything else run (docs/decisions)
USERS = ("groupadd --system photos", "useradd --system --groups photos --no-create-home watchfolder")
MAIN = """export PYTHONPATH=/opt/site-packages
{users}
exec setsid --wait python3 /lab/nas_plays.py
"""


def fstab_lines() -> dict[str, str]:
    """Return the document's line for each type of mount."""
    text = (PROJECT / "docs/nas-share.md").read_text(encoding="utf-8")
    return {line.split()[2]: line.strip() for line in re.findall(r"^\s*\S+ +/mnt/nas .*$", text, re.MULTILINE)}


def test_the_document_has_one_line_for_smb_and_one_for_nfs() -> None:
    assert sorted(fstab_lines()) == ["cifs", "nfs"]
    assert all(len(line.split()) == 6 for line in fstab_lines().values())


@pytest.fixture(scope="session")
def reports(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Return what each play that this test run wants came to; one boot of one machine plays them all."""
    why_not = nas_machine.obstacle()
    if why_not and os.environ.get("CI") == "true" and os.geteuid() == 0:
        pytest.fail(f"no machine with real shares, and CI must not go without it: {why_not}")
    if why_not:
        pytest.skip(f"no machine with real shares: {why_not}")
    wanted = {item.callspec.params.get("play") for item in request.session.items if hasattr(item, "callspec")}
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with alone(shared / "nas.lock"):
        made = shared / "nas"
        if not made.exists():
            made.mkdir()
            _play(made, [name for name in PLAYS if name in wanted])
    console = (made / "console").read_text(errors="replace")
    return {"console": console} | _reports(made)


def _reports(folder: Path) -> dict[str, Any]:
    lines = (folder / "reports").read_text(errors="replace").splitlines()
    return {report["play"]: report for report in map(json.loads, filter(lambda line: line.endswith("}"), lines))}


def _play(folder: Path, plays: list[str]) -> None:
    """Play them in one machine, and what one does not come to because its kernel hangs in another one."""
    overlay = folder / "overlay"
    lab = overlay / "lab"
    lab.mkdir(parents=True)
    nas_machine.lay_program(overlay)
    here, tests = Path(__file__).parent, Path(__file__).parents[2]
    for module in (*here.glob("nas_*.py"), tests / "contents.py", tests / "waiting.py"):
        (lab / module.name).write_bytes(module.read_bytes())
    (lab / "main.sh").write_text(MAIN.format(users="\n".join(USERS)))
    for _ in range(MACHINES):
        (lab / "task.json").write_text(json.dumps({"plays": plays, "lines": fstab_lines()}))
        if nas_machine.boot(overlay, folder, SILENT_SECONDS):
            break
        plays = [name for name in plays if name not in _reports(folder)]
    shutil.rmtree(overlay)


@pytest.mark.lab
@pytest.mark.timeout(nas_machine.BUILD_SECONDS + len(PLAYS) * SILENT_SECONDS)
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("play", PLAYS)
def test_on_real_shares_every_picture_arrives_whole_and_paid_once(
    play: str, share: str, reports: Mapping[str, Any]
) -> None:
    assert play in reports, reports["console"][-4000:]
    assert reports[play]["complaints"][share] == [], reports[play]["log"]
