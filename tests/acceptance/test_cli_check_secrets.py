"""`check` by root reads the files of the daemon alone as the daemon does, and the command that it names mends it."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cli_studio import KEY, Studio, as_nobody, sandbox, studio
from waiting import wait_until

from watchfolder.config import installed_unit
from watchfolder.sandbox import Sandbox

__all__ = ["sandbox", "studio"]

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
NAMES = {"http.password_file": "password", "webhook.secret_file": "webhook-secret", "api.key_file": "api-key"}


@pytest.fixture
def house(sandbox: Sandbox) -> Iterator[Studio]:
    """A studio whose daemon is `nobody`, and whose secrets root has made as one does: for itself."""
    with tempfile.TemporaryDirectory(prefix="watchfolder-secrets-") as reachable:
        Path(reachable).chmod(0o755)
        studio = Studio(Path(reachable), sandbox.url, environment={})
        studio.configure(api={"key_file": f"{reachable}/api-key"})
        tree = yaml.safe_load(studio.config.read_text())
        tree["http"] = {"listen": "127.0.0.1:8686", "password_file": f"{reachable}/password"}
        tree["webhook"] = {"public_url": "https://photos.example.com", "secret_file": f"{reachable}/webhook-secret"}
        studio.config.write_text(yaml.safe_dump(tree))
        shutil.chown(reachable, "nobody")
        for path in Path(reachable).iterdir():
            shutil.chown(path, "nobody")
        for name, content in (("password", "a long password"), ("webhook-secret", "whsec_12345678"), ("api-key", KEY)):
            (Path(reachable) / name).write_text(content)
            (Path(reachable) / name).chmod(0o600)
        yield studio


@root_only
@pytest.mark.parametrize("field", list(NAMES))
def test_a_secret_of_roots_own_is_told_with_the_command_that_mends_it(house: Studio, field: str) -> None:
    path = house.root / NAMES[field]
    told = house.run("check")
    (line,) = [line for line in told.stdout.splitlines() if line.startswith(f"FAIL {field}: ")]
    assert told.returncode == 78
    assert f"{path} cannot be read by nobody, as whom the daemon runs: chown nobody {path} && chmod 600 {path}" in line
    for each in (line.rpartition(": ")[2] for line in told.stdout.splitlines() if "cannot be read by nobody" in line):
        subprocess.run(["sh", "-c", each], check=True, timeout=10)  # as it is told, word for word
    assert "FAIL" not in house.run("check").stdout


@root_only
def test_a_configuration_of_roots_own_is_told_with_the_command_that_mends_it(house: Studio) -> None:
    for name in NAMES.values():
        shutil.chown(house.root / name, "nobody")
    shutil.chown(house.config, "root", "root")
    house.config.chmod(0o600)
    (line,) = [line for line in house.run("check").stdout.splitlines() if line.startswith("FAIL ")]
    assert line.startswith(f"FAIL configuration: {house.config} cannot be read by nobody, as whom the daemon runs: ")
    subprocess.run(["sh", "-c", line.rpartition(": ")[2]], check=True, timeout=10)
    assert "FAIL" not in house.run("check").stdout


@root_only
def test_a_missing_state_directory_is_to_be_made_for_whom_the_check_acts(house: Studio) -> None:
    for name in NAMES.values():
        shutil.chown(house.root / name, "nobody")
    house.folder("state").rmdir()
    (line,) = [line for line in as_nobody(house, "check").stdout.splitlines() if line.startswith("FAIL ")]
    assert line.startswith(f"FAIL state_dir: {house.root}/state: ")
    subprocess.run(["sh", "-c", line.rpartition(": ")[2]], check=True, timeout=10)
    assert "FAIL" not in as_nobody(house, "check").stdout


@root_only
def test_a_daemon_whose_user_has_no_name_is_acted_as_by_number(house: Studio) -> None:
    for path in (house.root, *house.root.iterdir()):
        os.chown(path, 4242, 4242)
    told = house.run("check").stdout
    assert f"ok   state_dir: {house.root}/state: writable for 4242, as whom this check acts\n" in told
    assert "FAIL" not in told


@root_only
def test_a_folder_that_keeps_the_daemon_out_is_told(house: Studio) -> None:
    closed = house.root / "secrets"
    closed.mkdir(0o700)
    (house.root / "password").rename(closed / "password")
    os.chown(closed / "password", pwd.getpwnam("nobody").pw_uid, -1)
    house.config.write_text(house.config.read_text().replace(f"{house.root}/password", f"{closed}/password"))
    assert f"as whom the daemon runs: chmod o+x {closed}\n" in house.run("check").stdout


@root_only
def test_the_daemon_that_cannot_read_its_secret_names_the_command(house: Studio) -> None:
    done = as_nobody(house, "run")
    assert done.returncode == 78
    assert f"chown nobody {house.root}/password" in done.stderr


UNIT = """[Service]
Type=notify
ExecStart=/opt/watchfolder/bin/watchfolder run -c {source}
User=watchfolder
LoadCredential=bizmori-api-key:/etc/watchfolder/api-key
"""


def test_the_unit_of_a_configuration_says_who_the_daemon_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed_unit, "PLACES", (str(tmp_path),))
    assert installed_unit.unit_of("/etc/watchfolder/config.yaml") is None
    (tmp_path / "watchfolder.service").write_text(UNIT.format(source="/etc/watchfolder/config.yaml"))
    found = installed_unit.unit_of("/etc/watchfolder/config.yaml")
    assert found == installed_unit.InstalledUnit("watchfolder", "watchfolder", "/var/lib/watchfolder", reads_key=True)
    assert installed_unit.unit_of("/home/anna/config.yaml") is None
    (tmp_path / "watchfolder.service.d").mkdir()
    (tmp_path / "watchfolder.service.d/user.conf").write_text("[Service]\n# ours\nUser=photos\n")
    found = installed_unit.unit_of("/etc/watchfolder/config.yaml")
    assert found == installed_unit.InstalledUnit("watchfolder", "photos", "/var/lib/watchfolder", reads_key=True)


def test_a_unit_that_a_drop_in_has_forget_the_key_leaves_it_to_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed_unit, "PLACES", (str(tmp_path),))
    (tmp_path / "watchfolder.service").write_text(UNIT.format(source="/etc/watchfolder/config.yaml"))
    (tmp_path / "watchfolder.service.d").mkdir()
    (tmp_path / "watchfolder.service.d/key.conf").write_text("[Service]\nLoadCredential=\n")
    found = installed_unit.unit_of("/etc/watchfolder/config.yaml")
    assert found is not None
    assert not found.reads_key


def test_a_unit_that_a_drop_in_starts_otherwise_has_that_configuration_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed_unit, "PLACES", (str(tmp_path),))
    (tmp_path / "watchfolder.service").write_text(UNIT.format(source="/etc/watchfolder/config.yaml"))
    (tmp_path / "watchfolder.service.d").mkdir()
    other = "[Service]\nExecStart=\nExecStart=/opt/watchfolder/bin/watchfolder run -c /srv/watchfolder.yaml\n"
    (tmp_path / "watchfolder.service.d/other.conf").write_text(other)
    assert installed_unit.unit_of("/etc/watchfolder/config.yaml") is None
    assert installed_unit.unit_of("/srv/watchfolder.yaml") is not None


def test_a_units_lines_are_read_as_systemd_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed_unit, "PLACES", (str(tmp_path),))
    lines = ["[Unit]", "Description=Anna's pictures", "", "[Service]", "ExecStart=watchfolder run \\", "    -c /a.yaml"]
    (tmp_path / "watchfolder.service").write_text("\n".join([*lines, "User=anna", ""]))
    (tmp_path / "watchfolder.service.d").mkdir()
    (tmp_path / "watchfolder.service.d/gone.conf").symlink_to("nowhere")
    found = installed_unit.unit_of("/a.yaml")
    assert found is not None
    assert found.user == "anna"


def test_an_instance_of_the_template_has_the_configuration_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed_unit, "PLACES", (str(tmp_path),))
    unit = "ExecStart=/opt/watchfolder run -c /etc/watchfolder/%i.yaml\nUser=watchfolder\nStateDirectory=wf-%i\n"
    (tmp_path / "watchfolder@.service").write_text(unit)
    found = installed_unit.unit_of("/etc/watchfolder/studio.yaml")
    assert found == installed_unit.InstalledUnit(
        "watchfolder@studio", "watchfolder", "/var/lib/wf-studio", reads_key=False
    )
    assert installed_unit.unit_of("/home/anna/studio.yaml") is None


@root_only
def test_who_may_not_look_at_the_daemon_is_not_told_to_start_another(house: Studio) -> None:
    for name in ("state", "state 2"):
        (house.root / name).mkdir(exist_ok=True)
    for each in ("api-key", "password", "webhook-secret", "state", "state 2"):
        shutil.chown(house.root / each, "nobody", "nogroup")
    with house.daemon(is_anew=True) as daemon:
        wait_until(lambda: as_nobody(house, "status").stdout.startswith("All done"))
        house.config.write_text(house.config.read_text().replace(f"{house.root}/state", f"{house.root}/state 2"))
        looked = as_nobody(house, "status")
        assert looked.returncode == 78
        assert f"process {daemon.process.pid} may be this configuration's" in looked.stderr
        assert "root alone may look at it: run this as root" in looked.stderr
        assert "to move it, stop watchfolder" in house.run("status").stderr
    assert "watchfolder is not running with" in as_nobody(house, "status").stdout


STRICT = """[Service]
ExecStart=watchfolder run -c {source}
ProtectSystem=strict
ProtectHome=yes
ReadWritePaths=-{others} "-/srv/our photos"
"""


def test_a_unit_says_where_it_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed_unit, "PLACES", (str(tmp_path),))
    source, unit = "/etc/watchfolder/config.yaml", tmp_path / "watchfolder.service"
    (tmp_path / "watchfolder.service.d").mkdir()
    dropin = tmp_path / "watchfolder.service.d/more.conf"

    def writes() -> tuple[str, ...] | None:
        found = installed_unit.unit_of(source)
        assert found is not None
        return found.writes

    unit.write_text(STRICT.format(source=source, others="/srv/100%%"))
    state = "/var/lib/watchfolder"
    assert writes() == (state, "/srv/100%", "/srv/our photos")
    dropin.write_text("[Service]\nReadWritePaths=/home/anna\nBindPaths=-/home/bea/pictures:/srv/bea\n")
    assert writes() == (state, "/srv/100%", "/srv/our photos", "/srv/bea"), "homes are hidden"
    dropin.write_text("[Service]\nReadWritePaths=\nReadWritePaths=/data\n")
    assert writes() == (state, "/data")
    dropin.write_text("[Service]\nReadWritePaths=%S/data\n")
    assert writes() is None, "systemd alone knows"
    unit.write_text(UNIT.format(source=source))
    dropin.unlink()
    assert writes() is None


def test_what_the_unit_may_not_write_to_is_told_with_the_line_that_lets_it(studio: Studio) -> None:
    units, programs = studio.root / "units", studio.root / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{studio.root}/systemctl\n')
    (programs / "systemctl").chmod(0o755)
    units.mkdir()
    (units / "watchfolder.service").write_text(STRICT.format(source=studio.config, others="/srv/others"))
    studio.environment["PATH"] = f"{programs}:{os.environ['PATH']}"
    program = "from watchfolder.config import installed_unit\n"
    program += f"installed_unit.PLACES = ({str(units)!r},)\n"
    program += "from watchfolder.console import cli\ncli.main()"

    def said() -> list[str]:
        command = [sys.executable, "-c", program, "check", "-c", str(studio.config)]
        done = subprocess.run(command, env=studio.environ(), capture_output=True, text=True, timeout=60, check=False)
        return [line for line in done.stdout.splitlines() if " may not write to " in line]

    told = said()
    assert [line.partition(";")[0] for line in told] == [
        f"FAIL state_dir: the unit watchfolder may not write to {studio.root}/state",
        f"FAIL photos: the unit watchfolder may not write to {studio.root}",
    ]
    for line in told:
        subprocess.run(["sh", "-c", line.partition(", as root: ")[2]], env=studio.environ(), check=True, timeout=10)
    asked = "daemon-reload\nrestart watchfolder\n"
    assert (studio.root / "systemctl").read_text() == asked * 2
    assert said() == []
