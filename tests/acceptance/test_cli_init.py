"""`watchfolder init` by somebody who is not root: everything in one folder. (As root: tests/acceptance/systemd.)"""

import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cli_studio import warm

from watchfolder.config.sections import OF_SERVICES, SERVICES
from watchfolder.sandbox import Sandbox

KEY = "sk_init_0123456789"
NOBODY = 65534
# Everything is imported before root becomes somebody else, who may not be able to read this Python.
PROGRAM = f"""
import os, sys
import encodings.ascii, encodings.idna, encodings.utf_8_sig, getpass
import watchfolder.api, watchfolder.console.commands.check_findings, watchfolder.console.cli as cli
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(*3 * [{NOBODY}])
    os.setresuid(*3 * [{NOBODY}])
sys.argv = ["watchfolder", *sys.argv[1:]]
cli.main()
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(keys=[KEY]) as sandbox:
        yield sandbox


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as reachable:
        Path(reachable).chmod(0o777)
        yield Path(reachable)


def environ(sandbox: Sandbox) -> dict[str, str]:
    plain = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "LC_ALL": "C.UTF-8"}
    return plain | {"WATCHFOLDER__API__BASE_URL": sandbox.url}


def init(home: Path, sandbox: Sandbox, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    done = warm().run(["-c", PROGRAM, "init", *arguments], environ(sandbox), home, 60, text)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def everything(home: Path) -> dict[str, tuple[int, int, int]]:
    found = {
        str(path): path.lstat() for path in home.rglob("*") if path.name not in {".watchfolder-id", "folders.json"}
    }
    return {
        path: (each.st_mode, each.st_uid, 0 if path.endswith("state") else each.st_size) for path, each in found.items()
    }


def test_one_line_makes_all_that_a_run_needs_and_says_how_to_start_it(home: Path, sandbox: Sandbox) -> None:
    done = init(home, sandbox, "--plan", "pro", "--key-file", "-", text=f"{KEY}\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"bin/watchfolder run -c {home}/config.yaml\n")
    written = yaml.safe_load((home / "config.yaml").read_text())
    assert written["api"]["requests_per_minute"] == 300
    assert written["inboxes"]["photos"]["outbox"] == f"{home}/photos/protected"
    assert (home / "api-key").stat().st_mode & 0o777 == 0o600
    assert KEY not in done.stdout + done.stderr + (home / "config.yaml").read_text()


def test_run_again_it_changes_nothing_that_is_there(home: Path, sandbox: Sandbox) -> None:
    init(home, sandbox, "--key-file", "-", text=f"{KEY}\n")
    before = everything(home)
    done = init(
        home, sandbox, "--plan", "enterprise", "--folder", "elsewhere", "--key-file", "-", text="sk_other_123\n"
    )
    assert done.returncode == 0
    assert everything(home) == before
    assert (home / "api-key").read_text() == f"{KEY}\n"
    assert "made " not in done.stdout


@pytest.mark.parametrize("kind", ["link", "folder in one that may not be listed", "folder to be made"])
def test_the_configuration_can_be_written_into_a(kind: str, home: Path, sandbox: Sandbox) -> None:
    above, folder = home / "above", home / "above/config"
    for each in (home / "real", above, *((folder,) if "listed" in kind else ())):
        each.mkdir()
        each.chmod(0o777)
    if kind == "link":
        folder.symlink_to("../real")
    if "listed" in kind:
        above.chmod(0o711)
    config = folder / "config.yaml"
    done = init(home, sandbox, "-c", str(config), "--folder", str(home / "photos"), "--key-file", "-", text=f"{KEY}\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert yaml.safe_load(config.read_text())["inboxes"]["photos"]["path"] == f"{home}/photos/inbox"


def test_without_a_key_it_says_where_to_put_it_and_takes_it_later(home: Path, sandbox: Sandbox) -> None:
    done = init(home, sandbox)
    assert done.returncode == 78
    assert f"put it into {home}/api-key" in done.stdout
    before = everything(home)
    assert init(home, sandbox, "--key-file", "-", text=f"{KEY}\n").returncode == 0
    assert set(everything(home)) - set(before) == {f"{home}/api-key"}


def test_what_is_no_key_is_refused_before_anything_is_made(home: Path, sandbox: Sandbox) -> None:
    done = init(home, sandbox, "--key-file", "-", text="the key is sk_0123456789\n")
    assert done.returncode == 2, done.stdout
    assert "0123456789" not in done.stdout + done.stderr
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"), [(None, "No such file or directory"), (b"sk_0123456789\xfc\n", "'ascii' codec can't decode")]
)
def test_a_key_file_that_cannot_be_read_is_refused_before_anything_is_made(
    home: Path, sandbox: Sandbox, content: bytes | None, words: str
) -> None:
    file = home / "key"
    if content:
        file.write_bytes(content)
    before = everything(home)
    done = init(home, sandbox, "--key-file", str(file))
    assert done.returncode == 2, done.stdout
    assert f"--key-file: {file} cannot be read: {words}" in done.stderr
    assert "0123456789" not in done.stderr
    assert everything(home) == before


def test_on_a_terminal_it_asks_and_does_not_show_the_key(home: Path, sandbox: Sandbox) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "init"],
        env=environ(sandbox),
        cwd=home,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    keys = [("later): ", "no key"), ("later): ", KEY)]  # the prompt whole: what was typed before it is thrown away
    plans = [("Your plan", "yearly"), ("Your plan", "pro")]
    for question, answer in [("Folder", "pictures"), ("Service", "ai-detection"), *keys, *plans]:
        asked = b""
        while question.encode() not in asked and (block := _read(ours)):
            asked += block
        shown += asked
        os.write(ours, f"{answer}\n".encode())
    while block := _read(ours):
        shown += block
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    os.close(ours)
    assert KEY.encode() not in shown + said
    assert b"Your plan" not in said
    written = yaml.safe_load((home / "config.yaml").read_text())
    assert written["inboxes"]["photos"]["path"] == f"{home}/pictures/inbox"
    assert written["inboxes"]["photos"]["service"] == "ai-detection"
    assert written["api"]["requests_per_minute"] == 300


@pytest.mark.parametrize("service", SERVICES)
def test_a_configuration_for_each_service_is_explained_and_passes_the_check(
    home: Path, sandbox: Sandbox, service: str
) -> None:
    done = init(home, sandbox, "--service", service, "--key-file", "-", text=f"{KEY}\n")
    assert done.returncode == 0, done.stdout + done.stderr
    text = (home / "config.yaml").read_text()
    inbox = yaml.safe_load(text)["inboxes"]["photos"]
    assert inbox["service"] == service
    assert {key for key, of in OF_SERVICES.items() if service in of.services} == OF_SERVICES.keys() & inbox.keys()
    assert text.count("#") > len(inbox)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other end is closed
        return b""
