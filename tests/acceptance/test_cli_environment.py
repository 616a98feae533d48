"""A container's way: no configuration file, everything from environment variables."""

import os
import subprocess
import sys

import pytest
from cli_studio import PICTURE, Studio, sandbox, studio

from watchfolder.config.loading import PLACES
from watchfolder.sandbox import Sandbox

__all__ = ["sandbox", "studio"]

pytestmark = pytest.mark.skipif(os.path.exists(PLACES[1]), reason=f"{PLACES[1]} is there, and would be read")


@pytest.mark.parametrize("share", ["photos", "caf\udce9"], ids=["photos", "any bytes"])
def test_a_picture_is_protected_without_a_configuration_file(studio: Studio, sandbox: Sandbox, share: str) -> None:
    studio.config.unlink()
    names = {"path": "inbox", "outbox": "outbox", "quarantine": "quarantine"}
    folders = {key: studio.root / share / name for key, name in names.items()}
    for folder in folders.values():
        folder.mkdir(parents=True)
    (folders["path"] / "a.jpg").write_bytes(PICTURE)
    settings = {f"INBOXES__PHOTOS__{key.upper()}": str(folder) for key, folder in folders.items()}
    settings |= {
        "API__BASE_URL": sandbox.url,
        "API__REQUESTS_PER_MINUTE": "0",
        "STATE_DIR": str(studio.folder("state")),
    }
    settings |= {"INBOXES__PHOTOS__SETTLE_SECONDS": "0.2"}
    environ = studio.environ() | {f"WATCHFOLDER__{key}": value for key, value in settings.items()}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "watchfolder", *arguments]
        return subprocess.run(
            command, env=environ, cwd=studio.root, capture_output=True, text=True, timeout=60, check=False
        )

    checked = run("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "configuration: from the environment alone: api.base_url, " in checked.stdout
    assert run("run", "--once").returncode == 0
    assert (studio.root / share / "originals" / "a.jpg").read_bytes() == PICTURE
    assert (folders["outbox"] / "a.jpg").exists()
