"""`check` by root reads the files of the daemon alone as the daemon does, and the command that it names mends it."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cli_studio import KEY, Studio, as_nobody, sandbox

from watchfolder.config import installed_unit
from watchfolder.sandbox import Sandbox

__all__ = ["sandbox"]

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
    assert installed_unit.installed_unit("/etc/watchfolder/config.yaml") is None
    (tmp_path / "watchfolder.service").write_text(UNIT.format(source="/etc/watchfolder/config.yaml"))
    found = installed_unit.installed_unit("/etc/watchfolder/config.yaml")
    assert found == installed_unit.InstalledUnit("watchfolder", "watchfolder", "/var/lib/watchfolder", reads_key=True)
    assert installed_unit.installed_unit("/home/anna/config.yaml") is None
    (tmp_path / "watchfolder.service.d").mkdir()
    (tmp_path / "watchfolder.service.d/user.conf").write_text("[Service]\n# ours\nUser=photos\n")
    found = installed_unit.installed_unit("/etc/watchfolder/config.yaml")
    assert found == installed_unit.InstalledUnit("watchfolder", "photos", "/var/lib/watchfolder", reads_key=True)


def test_an_instance_of_the_template_has_the_configuration_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed_unit, "PLACES", (str(tmp_path),))
    unit = "ExecStart=/opt/watchfolder run -c /etc/watchfolder/%i.yaml\nUser=watchfolder\nStateDirectory=wf-%i\n"
    (tmp_path / "watchfolder@.service").write_text(unit)
    found = installed_unit.installed_unit("/etc/watchfolder/studio.yaml")
    assert found == installed_unit.InstalledUnit(
        "watchfolder@studio", "watchfolder", "/var/lib/wf-studio", reads_key=False
    )
    assert installed_unit.installed_unit("/home/anna/studio.yaml") is None
