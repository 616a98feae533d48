"""The alarm of the real daemon, received by a real server: what comes, how often, and what never does."""

import contextlib
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from cli_studio import PICTURE, Studio, sandbox
from contents import files_in
from free_ports import free_port
from receiver import Receiver, receiving
from typing_extensions import override
from waiting import wait_until

from watchfolder.sandbox import Sandbox

__all__ = ["sandbox"]

pytestmark = pytest.mark.lab

TOKEN = "c4n4ry0f7h3n07ify"  # noqa: S105 - to be searched for
HASTY = """
import sys
from datetime import timedelta
from watchfolder.console import cli
from watchfolder.notify import alarms, decide, delivery
decide.LASTS_SECONDS = dict.fromkeys(decide.LASTS_SECONDS, 1.0)
decide.QUIET_SECONDS = 4.0
decide._FIRST_LOOK = timedelta(seconds=1)
delivery.TRY_AGAIN_SECONDS = (0.2, 0.2)
alarms.EVERY_SECONDS = alarms.AGAIN_SECONDS = alarms.LOOK_SECONDS = 0.5
sys.argv = ["watchfolder", *sys.argv[1:]]
cli.main()
"""
"""The program with its waits made short."""


class Program(Studio):
    preamble = ""

    @override
    def command(self, *arguments: str) -> list[str]:
        command, *rest = arguments
        if command == "run":
            rest = [*rest, "--log-level", "debug"]
        words = command.split()
        return [sys.executable, "-c", self.preamble + HASTY, *words, "-c", str(self.config), *rest]

    def tell(self, *receivers: Receiver, **settings: object) -> None:
        """Configure these addresses, and more."""
        self.configure(api={"blocked_probe_seconds": 1})
        urls = [f"json://127.0.0.1:{receiver.port}/{TOKEN}" for receiver in receivers]
        tree = yaml.safe_load(self.config.read_text(encoding="utf-8")) | {"notify": urls} | settings
        self.config.write_text(yaml.safe_dump(tree), encoding="utf-8")
        self.config.chmod(0o600)


@pytest.fixture
def studio(tmp_path: Path, sandbox: Sandbox) -> Program:
    return Program(tmp_path, sandbox.url)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def fetched(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def state_of(studio: Studio) -> Mapping[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in studio.folder("state").rglob("*")}


def test_a_refused_key_is_one_message_through_all_restarts_and_its_end_another(
    studio: Program, sandbox: Sandbox, receiver: Receiver
) -> None:
    studio.tell(receiver)
    sandbox.keys = ["sk_another"]
    studio.drop("a.jpg")
    for _ in range(3):
        with studio.daemon():
            receiver.until(1)
            time.sleep(3)
    assert len(receiver.calls) == 1
    assert "the service refuses the API key" in receiver.messages[0]
    with studio.daemon():
        sandbox.keys = None
        receiver.until(2)
        wait_until(lambda: files_in(studio.folder("outbox")) == ["a.jpg"])
        time.sleep(3)
    assert "Unblocked" in receiver.messages[1]
    assert len(receiver.calls) == 2


def test_a_burst_of_bad_pictures_is_one_message(studio: Program, receiver: Receiver) -> None:
    studio.tell(receiver)
    with studio.daemon():
        for number in range(30):
            studio.drop(f"bad\n{number:02}.jpg", b"this is no picture at all" * 20)
        studio.drop("good.jpg")
        receiver.until(1)
        wait_until(lambda: files_in(studio.folder("outbox")) == ["good.jpg"])
        time.sleep(3)
    (text,) = receiver.messages
    assert "30 files went to quarantine" in text
    assert "photos: bad\\n" in text
    assert " and 29 more: " in text
    assert str(studio.folder("quarantine")) in text


def test_an_inbox_that_goes_and_comes_is_told_both_times(studio: Program, receiver: Receiver) -> None:
    studio.tell(receiver)
    with studio.daemon():
        studio.folder("outbox").rename(studio.root / "away")
        receiver.until(1)
        (studio.root / "away").rename(studio.folder("outbox"))
        receiver.until(2)
    gone, back = receiver.messages
    assert "Not available: photos" in gone
    assert "photos is back" in back


def test_disks_that_are_nearly_full_are_told(studio: Program, receiver: Receiver) -> None:
    studio.preamble = "from watchfolder import snapshot as s; s._LOW_BYTES, s._LOW_SHARE = 1 << 62, 1"
    studio.tell(receiver)
    with studio.daemon():
        receiver.until(1)
        time.sleep(3)
    (text,) = receiver.messages
    assert "nearly full" in text
    assert str(studio.root) in text


def test_files_that_wait_too_long_are_told_and_so_is_the_end_of_it(
    studio: Program, sandbox: Sandbox, receiver: Receiver
) -> None:
    sandbox.processing_seconds = 6
    studio.tell(receiver, alarm_after_hours=1 / 3600)
    with studio.daemon():
        studio.drop("a.jpg")
        receiver.until(2)
    assert "1 file under way" in receiver.messages[0]
    assert "delivered again" in receiver.messages[1]


@pytest.mark.parametrize("mood", ["hangs", "refuses"])
def test_a_notification_service_that_is_unwell_delays_neither_work_nor_stop(studio: Program, mood: str) -> None:
    with receiving(mood) as unwell:  # type: ignore[arg-type]  # a literal
        studio.tell(unwell, heartbeat_url=f"http://127.0.0.1:{unwell.port}/{TOKEN}")
        with studio.daemon() as daemon:
            studio.drop("bad.jpg", b"this is no picture at all" * 20)
            wait_until(lambda: any(call.method == "POST" for call in unwell.calls))
            studio.drop("good.jpg")
            wait_until(lambda: files_in(studio.folder("outbox")) == ["good.jpg"], 40)
            began = time.monotonic()
            daemon.process.send_signal(signal.SIGTERM)
            assert daemon.process.wait(30) == 0
            assert time.monotonic() - began < 15


def test_a_heart_beats_while_all_is_well_and_a_reload_follows_the_addresses(
    studio: Program, sandbox: Sandbox, receiver: Receiver
) -> None:
    with receiving() as monitor, receiving() as another:
        studio.tell(receiver, heartbeat_url=f"http://127.0.0.1:{monitor.port}/ping")
        with studio.daemon() as daemon:
            monitor.until(2)
            sandbox.keys = ["sk_another"]
            studio.drop("a.jpg")
            receiver.until(1)
            count = len(monitor.calls)
            time.sleep(2)
            assert len(monitor.calls) <= count + 1
            studio.tell(another, heartbeat_url=f"http://127.0.0.1:{monitor.port}/other")
            daemon.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "config.reloaded" in daemon.log())
            sandbox.keys = None
            another.until(1)
            wait_until(lambda: monitor.calls[-1].path == "/other")
    assert "Unblocked" in another.messages[0]
    assert len(receiver.calls) == 1
    assert all("Authorization" not in call.headers for call in monitor.calls)


def test_an_idle_daemon_writes_nothing_while_its_heart_beats(studio: Program, receiver: Receiver) -> None:
    studio.drop("a.jpg")
    studio.tell(receiver, heartbeat_url=f"http://127.0.0.1:{receiver.port}/ping")
    with studio.daemon():
        wait_until(lambda: files_in(studio.folder("outbox")) == ["a.jpg"])
        time.sleep(3)
        before, beats = state_of(studio), len(receiver.calls)
        time.sleep(5)
        assert state_of(studio) == before
        assert len(receiver.calls) > beats


def test_an_invalid_address_on_reload_leaves_the_old_configuration(studio: Program, receiver: Receiver) -> None:
    studio.tell(receiver)
    with studio.daemon() as daemon:
        studio.tell(notify=[f"tgram://{TOKEN}"])
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "config.refused" in daemon.log())
        studio.drop("bad.jpg", b"this is no picture at all" * 20)
        receiver.until(1)
        assert TOKEN not in daemon.log()


def test_the_addresses_are_nowhere_but_in_the_configuration(studio: Program, receiver: Receiver) -> None:
    port = free_port()
    with receiving("refuses") as unwell:
        heartbeat = f"http://127.0.0.1:{unwell.port}/{TOKEN}"
        studio.tell(receiver, unwell, heartbeat_url=heartbeat, http={"listen": f"127.0.0.1:{port}"})
        said = studio.run("check").stdout
        with studio.daemon() as daemon:
            zero = fetched(port, "/metrics")
            studio.drop("bad.jpg", b"this is no picture at all" * 20)
            receiver.until(1)
            wait_until(lambda: "notification.dropped" in daemon.log() and "heartbeat.unheard" in daemon.log())
            wait_until(lambda: 'notifications_total{outcome="dropped"} 1.0' in fetched(port, "/metrics"))
            said += "".join(fetched(port, path) for path in ("/", "/metrics", "/api/status"))
            said += "".join(studio.run(*command).stdout for command in (["status"], ["status", "--json"]))
            said += _everything_on_disk(studio)
            said += receiver.messages[0]
        said += daemon.log()
        for command in ("notify test", "check", "run"):
            done = studio.run(command, *(["--once"] if command == "run" else []))
            said += done.stdout + done.stderr
    assert 'notifications_total{outcome="sent"} 0.0' in zero
    assert 'notifications_total{outcome="dropped"} 0.0' in zero
    assert TOKEN not in said
    assert "notification.dropped" in said


def _everything_on_disk(studio: Studio) -> str:
    found = []
    for path in studio.root.rglob("*"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes() if path.is_file() and path != studio.config else b"")
    return b"\n".join(found).decode("utf-8", "replace")


def test_a_single_run_sends_nothing(studio: Program, receiver: Receiver) -> None:
    studio.tell(receiver, heartbeat_url=f"http://127.0.0.1:{receiver.port}/ping")
    studio.drop("bad.jpg", b"this is no picture at all" * 20)
    studio.drop("good.jpg", PICTURE)
    assert studio.run("run", "--once").returncode == 1
    assert receiver.calls == []
    assert not (studio.folder("state") / "notify.json").exists()


# The command


def test_a_test_tells_for_each_address_whether_it_took_the_message(studio: Program, receiver: Receiver) -> None:
    with receiving("refuses") as unwell:
        studio.tell(receiver)
        done = studio.run("notify test")
        assert (done.returncode, done.stdout) == (0, "notify[0] (json): sent\n")
        studio.tell(receiver, unwell, receiver)
        done = studio.run("notify test")
    assert done.returncode == 75
    assert done.stdout.splitlines() == ["notify[0] (json): sent", "notify[2] (json): sent"]
    assert "notify[1] (json): not sent" in done.stderr
    assert len(receiver.calls) == 3
    assert "This is a test" in receiver.messages[0]


def test_a_test_without_addresses_or_with_a_wrong_one_says_so(studio: Program) -> None:
    done = studio.run("notify test")
    assert (done.returncode, done.stdout) == (78, "")
    studio.tell(notify=["json://127.0.0.1", f"tgram://{TOKEN}"])
    done = studio.run("notify test")
    assert done.returncode == 78
    assert "notify[1]" in done.stderr
    assert TOKEN not in done.stderr


def test_check_warns_of_addresses_that_others_can_read(studio: Program, receiver: Receiver) -> None:
    studio.tell(receiver)
    assert studio.run("check").returncode == 0
    studio.config.chmod(0o644)
    done = studio.run("check")
    assert done.returncode == 78
    assert f"chmod 640 {studio.config}" in done.stdout
    assert receiver.calls == []
