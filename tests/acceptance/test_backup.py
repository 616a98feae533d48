"""What docs/install says of a backup: an earlier state may be put back whole, whatever has happened since."""

import shutil
import subprocess
from pathlib import Path

from cli_studio import Studio, sandbox, studio
from contents import files_in
from waiting import wait_until

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

__all__ = ["sandbox", "studio"]

NAMES = ("delivered since.jpg", "whole since.jpg", "begun since.jpg")


def back_up(state: Path, backup: Path) -> None:
    """Copy the state of a daemon that is at work: a file of it that has gone meanwhile is in no backup."""
    done = subprocess.run(["cp", "-a", str(state), str(backup)], capture_output=True, text=True, check=False)
    others = [line for line in done.stderr.splitlines() if "No such file or directory" not in line]
    assert others == []


def test_a_state_of_earlier_loses_nothing_and_pays_nothing_again(
    studio: Studio, sandbox: Sandbox, tmp_path: Path
) -> None:
    pictures = {name: sample("jpeg", width=160, height=120, seed=seed) for seed, name in enumerate(NAMES)}
    sandbox.processing_seconds = 2.0
    with studio.daemon() as daemon:
        studio.drop(NAMES[0], pictures[NAMES[0]])
        wait_until(lambda: sandbox.paid == 1)
        back_up(studio.folder("state"), tmp_path / "backup")
        wait_until(lambda: files_in(studio.folder("originals")) == [NAMES[0]])
        studio.drop(NAMES[1], pictures[NAMES[1]])
        wait_until(lambda: len(files_in(studio.folder("originals"))) == 2)
        studio.drop(NAMES[2], pictures[NAMES[2]])
        wait_until(lambda: sandbox.paid == 3)
        daemon.process.kill()
        daemon.process.wait()
    shutil.rmtree(studio.folder("state"))
    shutil.copytree(tmp_path / "backup", studio.folder("state"))
    done = studio.run("run", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    assert files_in(studio.folder("outbox")) == sorted(NAMES)
    originals = {
        name: (studio.folder("originals") / name).read_bytes() for name in files_in(studio.folder("originals"))
    }
    assert originals == pictures
    assert files_in(studio.folder("inbox")) == files_in(studio.folder("quarantine")) == []
    assert (sandbox.paid, set(sandbox.paid_files.values()), sandbox.sins) == (3, {1}, [])
