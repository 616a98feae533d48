"""`run --wait-for-configuration`: what is missing is said until it is there, and then it works."""

import signal
import subprocess
from collections.abc import Iterator

import pytest
import requests
from cli_studio import KEY, Studio, sandbox, studio
from contents import files_in
from free_ports import free_port
from waiting import wait_until

__all__ = ["sandbox", "studio"]


@pytest.fixture
def waiting(studio: Studio) -> Iterator["subprocess.Popen[bytes]"]:
    """Give a daemon that has an inbox and no key."""
    port = free_port()
    studio.environment = {"WATCHFOLDER__HTTP__LISTEN": f"127.0.0.1:{port}"}
    studio.configure(api={"key_file": str(studio.root / "key")})
    log = studio.root / "log"
    with log.open("wb") as stderr:
        command = studio.command("run", "--wait-for-configuration")
        process = subprocess.Popen(command, env=studio.environ(), cwd=studio.root, stderr=stderr)
        try:
            wait_until(lambda: "page.served" in log.read_text() or process.poll() is not None)
            yield process
        finally:
            process.kill()
            process.wait(30)


def test_it_begins_by_itself_when_what_was_missing_is_there(studio: Studio, waiting: "subprocess.Popen[bytes]") -> None:
    page = f"http://{studio.environment['WATCHFOLDER__HTTP__LISTEN']}"
    assert "api.key_file: " in requests.get(page, timeout=30).text
    health = requests.get(f"{page}/healthz", timeout=30)
    assert (health.status_code, health.text) == (503, "not configured\n")
    assert (studio.root / "log").read_text().count("config.missing") == 1, "once for each fault"
    key = studio.root / "key"
    key.touch(0o600)
    key.write_text(f"{KEY}\n")
    studio.drop("a.jpg")
    wait_until(lambda: files_in(studio.folder("outbox")) == ["a.jpg"])
    waiting.send_signal(signal.SIGTERM)
    assert waiting.wait(30) == 0


def test_a_stop_ends_the_wait_at_once_and_is_no_fault(studio: Studio, waiting: "subprocess.Popen[bytes]") -> None:
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(30) == 0
    assert "daemon.stopped" in (studio.root / "log").read_text()


def test_without_the_option_it_ends_and_says_what_is_wrong(studio: Studio) -> None:
    studio.environment = {}
    studio.configure(api={"key_file": str(studio.root / "key")})
    done = studio.run("run")
    assert done.returncode == 78
    assert "api.key_file: " in done.stderr
