"""SIGHUP: what systemd, `status` and the log say before it is still counted after it, and is the truth again."""

import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_studio import KEY, PICTURE, Studio, sandbox, studio
from contents import files_in
from notify_socket import Notified, notified
from typing_extensions import override
from waiting import wait_until

from watchfolder.journal import STATE_MOVED
from watchfolder.report.conditions import STILL_RUNS
from watchfolder.sandbox import Sandbox

__all__ = ["notified", "sandbox", "studio"]

PHOTOSHOP = b"8BPS\0\1" + bytes(4000)
TEST_KEY = "sk_test_studio_0123456789"
COUNTED = "0 waiting, 0 in progress, 0 deferred; since the start 1 delivered, 1 quarantined"


@pytest.mark.parametrize("change", ["nothing", "a setting", "a mistake"])
def test_systemd_s_line_is_the_truth_again_after_a_reload(studio: Studio, notified: Notified, change: str) -> None:
    studio.environment["NOTIFY_SOCKET"] = notified.address
    studio.drop("a.jpg")
    studio.drop("poster.psd", PHOTOSHOP)
    with studio.daemon() as daemon:
        wait_until(lambda: notified.status == COUNTED)
        right = studio.config.read_text()
        wrong = {"a setting": "settle_seconds: 0.3", "a mistake": "settle_seconds: soon"}
        studio.config.write_text(right.replace("settle_seconds: 0.2", wrong.get(change, "settle_seconds: 0.2")))
        said = len(notified.messages)
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "READY=1" in notified.messages[said:])
        assert any(message.startswith("RELOADING=1") for message in notified.messages[said:])
        wait_until(lambda: notified.status.endswith(COUNTED))
        assert "STATUS=stopping" not in notified.messages
        studio.drop("b.jpg", PICTURE + b"b")
        wait_until(lambda: files_in(studio.folder("outbox")) == ["a.jpg", "b.jpg"])
        wait_until(lambda: "2 delivered, 1 quarantined" in notified.status)
    assert notified.status == "stopping"


@dataclass
class Installed(Studio):
    """A studio whose daemon a unit starts, as far as our program can see."""

    @override
    def command(self, *arguments: str) -> list[str]:
        command, *rest = arguments
        places = f"from watchfolder.config import installed_unit; installed_unit.PLACES = ({str(self.root)!r},)"
        run = "import sys; sys.argv[0] = 'watchfolder'; from watchfolder.console import cli; cli.main()"
        return [sys.executable, "-c", f"{places}; {run}", command, "-c", str(self.config), *rest]

    def install(self) -> None:
        lines = f"ExecStart=watchfolder run -c {self.config}\nStateDirectory=../..{self.folder('state')}\n"
        (self.root / "watchfolder.service").write_text(lines)


@pytest.mark.parametrize("is_installed", [True, False])
def test_a_reload_refuses_a_moved_state_and_every_command_says_so(
    tmp_path: Path, sandbox: Sandbox, *, is_installed: bool
) -> None:
    studio = Installed(tmp_path, sandbox.url)
    if is_installed:
        studio.install()
    refusal = STATE_MOVED
    with studio.daemon() as daemon:
        studio.config.write_text(studio.config.read_text().replace(f"{tmp_path}/state", f"{tmp_path}/elsewhere"))
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: '"config.refused"' in daemon.log())
        reloaded = studio.run("check", "--configuration")
        assert (reloaded.returncode, refusal in reloaded.stdout) == (78, True)
        for command in ("status", "history", "verify"):
            told = studio.run(command)
            assert told.returncode == 78
            assert told.stderr.splitlines() == [refusal, STILL_RUNS]
        other = tmp_path / "other.yaml"  # with a state of its own: not the one that runs
        (tmp_path / "elsewhere").mkdir()
        other.write_text(studio.config.read_text())
        assert "is not running" in studio.run("status", "-c", str(other)).stdout


def test_a_reload_refuses_a_key_of_another_kind_and_fails(studio: Studio, sandbox: Sandbox) -> None:
    sandbox.test_processing_seconds = 1000.0
    studio.configure(api={"allow_test_key": True})
    studio.environment = {"WATCHFOLDER__API__KEY_FILE": str(studio.root / "key")}
    key = studio.root / "key"
    key.touch(0o600)
    key.write_text(TEST_KEY)
    studio.drop("a.jpg")
    with studio.daemon() as daemon:
        wait_until(lambda: '"order.confirmed"' in daemon.log())
        assert studio.run("check", "--configuration").returncode == 0
        key.write_text(KEY)
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: '"config.refused"' in daemon.log())
        reloaded = studio.run("check", "--configuration")
        assert (reloaded.returncode, "begun with a test key" in reloaded.stdout) == (78, True)
        wait_until(lambda: "so the one before it still runs" in studio.run("status").stdout)


def test_a_reload_is_no_start(studio: Studio) -> None:
    def started() -> object:
        return json.loads((studio.folder("state") / "status.json").read_bytes())["started"]

    with studio.daemon() as daemon:
        before = started()
        studio.config.write_text(studio.config.read_text().replace("settle_seconds: 0.2", "settle_seconds: 0.3"))
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: daemon.log().count('"daemon.ready"') == 2)
        studio.drop("a.jpg")
        wait_until(lambda: files_in(studio.folder("outbox")) == ["a.jpg"])
        assert started() == before


def test_an_inbox_that_ignores_all_finishes_what_it_has_and_takes_no_more(tmp_path: Path) -> None:
    with Sandbox(processing_seconds=2.0) as sandbox:
        studio = Studio(tmp_path, sandbox.url)
        with studio.daemon() as daemon:
            studio.drop("a.jpg")
            wait_until(lambda: '"order.confirmed"' in daemon.log())
            studio.configure(ignore=["*"])
            daemon.process.send_signal(signal.SIGHUP)
            wait_until(lambda: '"config.reloaded"' in daemon.log())
            stays = studio.drop("sub/b.jpg", PICTURE + b"b")
            wait_until(lambda: files_in(studio.folder("outbox")) == ["a.jpg"])
            assert "It is left alone: names like * are left alone" in studio.run("explain", str(stays)).stdout
            studio.configure()
            daemon.process.send_signal(signal.SIGHUP)
            wait_until(lambda: files_in(studio.folder("outbox")) == ["a.jpg", "sub/b.jpg"])
