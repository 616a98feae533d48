"""What a message says to type is typed as it stands, beside a running daemon, and it mends what is wrong."""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_studio import PICTURE, Studio, sandbox, studio
from contents import files_in
from waiting import wait_until

from watchfolder.sandbox import Sandbox

__all__ = ["sandbox", "studio"]

pytestmark = pytest.mark.lab
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def type_it(studio: Studio, command: str) -> str:
    """Do as a person would, in a shell of their own."""
    done = subprocess.run(
        ["sh", "-c", command], env=studio.environ(), cwd="/", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def anybody(sandbox: Sandbox) -> Iterator[Studio]:
    """A studio whose daemon is `nobody`, below a path with a space."""
    with tempfile.TemporaryDirectory(prefix="watchfolder advice ") as reachable:
        Path(reachable).chmod(0o755)
        made = Studio(Path(reachable), sandbox.url)
        for path in (Path(reachable), *Path(reachable).iterdir()):
            shutil.chown(path, "nobody", pwd.getpwnam("nobody").pw_gid)
        yield made


@root_only
@pytest.mark.parametrize("role", ["inbox", "outbox", "quarantine", "originals"])
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_a_folder_closed_to_us_opens_by_the_command(anybody: Studio, role: str, mode: int) -> None:
    folder = anybody.folder(role)
    with anybody.daemon():
        wait_until((folder / ".watchfolder-id").exists)
        os.chown(folder, 0, 0)
        folder.chmod(mode)
        (anybody.folder("inbox") / "a.jpg").write_bytes(PICTURE)
        wait_until(lambda: "chmod ug+rwX" in anybody.run("status").stdout)
        told = anybody.run("check").stdout
        commands = re.findall(r"^FAIL photos: .*as root, run: (.*)\)$", told, re.MULTILINE)
        assert commands, told
        type_it(anybody, commands[0])
        wait_until(lambda: files_in(anybody.folder("outbox")) == ["a.jpg"], seconds=120)  # "within a minute"
        wait_until(lambda: anybody.headline() == "All done, nothing waits")


@root_only
def test_a_way_closed_to_us_opens_by_the_command(anybody: Studio) -> None:
    above = anybody.root / "share"
    above.mkdir()
    (above / "out").mkdir()
    shutil.chown(above / "out", "nobody")
    anybody.configure(outbox=str(above / "out"))
    with anybody.daemon():
        wait_until((above / "out" / ".watchfolder-id").exists)
        above.chmod(0o700)
        anybody.drop("a.jpg")
        wait_until(lambda: "as root, run: chmod o+x" in anybody.headline())
        command = re.findall(r"as root, run: (.*?)\)", anybody.headline())[0]
        type_it(anybody, command)
        wait_until(lambda: files_in(above / "out") == ["a.jpg"])


@root_only
def test_a_state_directory_of_root_s_is_handed_over_by_the_command(anybody: Studio) -> None:
    anybody.folder("state").chmod(0o500)
    told = anybody.run("check").stdout
    (line,) = [line for line in told.splitlines() if line.startswith("FAIL state_dir: ")]
    assert line.endswith(f": chown -R nobody '{anybody.folder('state')}' && chmod 750 '{anybody.folder('state')}'")
    type_it(anybody, line.rpartition(": ")[2])
    assert "FAIL" not in anybody.run("check").stdout


def test_another_disk_in_a_folder_s_place_is_accepted_by_the_command(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "my studio").mkdir()
    studio = Studio(tmp_path / "my studio", sandbox.url)
    with studio.daemon():
        wait_until((studio.folder("outbox") / ".watchfolder-id").exists)
        (studio.folder("outbox") / ".watchfolder-id").write_text(f"{0:032x}\n", encoding="ascii")
        studio.drop("a.jpg")
        wait_until(lambda: "--accept" in studio.headline())
        type_it(studio, re.findall(r"run: (.*? --accept .*?)\)", studio.headline())[0])
        wait_until(lambda: files_in(studio.folder("outbox")) == ["a.jpg"])


@pytest.mark.parametrize("role", ["inbox", "outbox", "quarantine"])
def test_a_folder_that_was_removed_is_made_anew_by_the_command(studio: Studio, role: str) -> None:
    with studio.daemon():
        wait_until((studio.folder("outbox") / ".watchfolder-id").exists)
        shutil.rmtree(studio.folder(role))
        wait_until(lambda: "if it was removed, run: " in studio.headline())
        type_it(studio, re.findall(r"if it was removed, run: (.*?)\)\.", studio.headline())[0])
        studio.drop("a.jpg")
        wait_until(lambda: files_in(studio.folder("outbox")) == ["a.jpg"])


@pytest.mark.parametrize(
    "name", ["poster.psd", "my wedding/it's.psd", "-rf.psd", "two\nlines.psd", "Bärbel\\ \udce4.psd"]
)
def test_what_explain_says_of_quarantine_moves_the_picture_back(studio: Studio, name: str) -> None:
    path = studio.set_aside(name)
    told = studio.run("explain", str(path)).stdout
    type_it(studio, re.findall(r"To move it back into the inbox: (.*)", told)[0])
    assert files_in(studio.folder("inbox")) == [name]


@root_only
def test_a_configuration_with_addresses_is_closed_by_the_command(anybody: Studio) -> None:
    with anybody.config.open("a") as config:
        config.write("heartbeat_url: http://127.0.0.1:9/ping\n")
    anybody.config.chmod(0o644)
    told = anybody.run("check").stdout
    command = re.findall(r"^FAIL notify, heartbeat_url: .*: (chgrp .*)$", told, re.MULTILINE)[0]
    type_it(anybody, command)
    assert "FAIL" not in anybody.run("check").stdout
