"""`watchfolder run`: what it says, and the number that it ends with."""

import json
import os
import pty
import pwd
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from cli_studio import KEY, PICTURE, Studio, sandbox, studio
from contents import files_in
from waiting import wait_until

from watchfolder.sandbox import Sandbox

__all__ = ["sandbox", "studio"]


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_of_the_first_second_does_not_end_the_start(studio: Studio, number: signal.Signals) -> None:
    log = studio.root / "daemon.log"
    studio.waits.clear()  # started as people do
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            studio.command("run", "--log-format", "json"), env=studio.environ(), cwd=studio.root, stderr=stderr
        )
    try:
        maps = Path(f"/proc/{process.pid}/maps")
        wait_until(lambda: "pydantic_core" in maps.read_text())  # our own modules are being read
        while "daemon.ready" not in log.read_text() and process.poll() is None:
            process.send_signal(number)
            time.sleep(0.02)
        assert process.poll() is None
        studio.drop("a.jpg")
        wait_until(lambda: files_in(studio.folder("outbox")) == ["a.jpg"])
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.mark.lab
def test_two_inboxes_share_one_plan(studio: Studio, sandbox: Sandbox) -> None:
    folders = {name: str(studio.root / f"other-{name}") for name in ("path", "outbox", "quarantine", "originals")}
    for folder in folders.values():
        Path(folder).mkdir()
    alone = {"max_files_per_order": 1}
    other = {"settle_seconds": 0.2, "duplicates": "again"} | alone | folders
    studio.configure(api={"requests_per_minute": 120, "reads": "v3"}, inboxes={"other": other}, **alone)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        studio.drop(name)
        (studio.root / "other-path" / name).write_bytes(PICTURE)
    done = studio.run("run", "--once")
    assert done.returncode == 0, done.stderr
    times = [record.time for record in sandbox.requests if record.operation not in {"upload", "fetch"}]
    assert len(times) >= 6 * 4
    at_once, longest_at_two_plans = 4, (len(times) - 8) / (2 * 120 / 60)
    seconds = (times[-1] - times[0]).total_seconds()
    assert seconds > 0.75 * (len(times) - at_once) / (120 / 60) > longest_at_two_plans


def test_a_single_run_delivers_everything_says_how_much_and_ends_with_0(studio: Studio, sandbox: Sandbox) -> None:
    studio.drop("one.jpg")
    studio.drop("below/two ü.jpg")
    done = studio.run("run", "--once")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 files delivered, 0 files quarantined.\n"
    assert files_in(studio.folder("outbox")) == ["below/two ü.jpg", "one.jpg"]
    assert sandbox.sins == []


def test_a_single_run_ends_with_1_when_a_file_was_quarantined(studio: Studio) -> None:
    studio.drop("good.jpg")
    studio.drop("bad_fail.jpg")
    done = studio.run("run", "--once")
    assert done.returncode == 1, done.stderr
    assert done.stdout == "1 file delivered, 1 file quarantined.\n"
    assert files_in(studio.folder("quarantine")) == ["bad_fail.jpg", "bad_fail.jpg.why.txt"]


def test_run_once_without_credits_ends_with_75_and_lists_the_rest(studio: Studio, sandbox: Sandbox) -> None:
    sandbox.credits_left = 0
    studio.drop("one.jpg")
    done = studio.run("run", "--once")
    assert done.returncode == 75, done.stderr
    summary, remains, *left = done.stdout.splitlines()
    assert (summary, remains) == ("0 files delivered, 0 files quarantined.", "What remains:")
    assert any("one.jpg" in line for line in left)


def test_a_single_run_ends_with_75_when_nobody_answers(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    studio.drop("one.jpg")
    done = studio.run("run", "--once")
    assert done.returncode == 75
    assert "one.jpg" in done.stdout


def test_every_fault_of_the_configuration_has_a_line_of_its_own(studio: Studio) -> None:
    studio.configure(api={"request_per_minute": 3}, strength="very high", outbox="outbox")
    done = studio.run("run")
    assert done.returncode == 78
    assert len(done.stderr.splitlines()) == 3
    for fault in ("api.request_per_minute: ", "inboxes.photos.strength: ", "inboxes.photos.outbox: "):
        assert any(line.startswith(fault) for line in done.stderr.splitlines())


def test_a_missing_configuration_ends_with_78_and_says_where_it_was_looked_for(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "watchfolder", "run", "-c", str(tmp_path / "none.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 78
    assert "none.yaml" in done.stderr


def test_a_test_key_at_the_real_service_is_refused_and_told_why(studio: Studio) -> None:
    studio.environment["BIZMORI_API_KEY"] = "sk_test_0123456789"
    studio.configure(api={"base_url": "https://api.example"})
    studio.drop("one.jpg")
    done = studio.run("run", "--once")
    assert done.returncode == 78
    assert "api.allow_test_key" in done.stderr
    assert "sample pictures" in done.stderr
    assert files_in(studio.folder("inbox")) == ["one.jpg"]


def test_a_second_instance_ends_with_69(studio: Studio) -> None:
    with studio.daemon():
        second = studio.run("run")
    assert second.returncode == 69
    assert str(studio.folder("state")) in second.stderr


def test_the_daemon_takes_what_comes_and_ends_with_0_on_sigterm(studio: Studio) -> None:
    with studio.daemon(is_anew=True) as daemon:
        studio.drop("one.jpg")
        wait_until(lambda: files_in(studio.folder("originals")))
    assert daemon.process.returncode == 0
    assert files_in(studio.folder("outbox")) == ["one.jpg"]


def test_a_missing_state_directory_ends_with_75_and_names_it(studio: Studio) -> None:
    studio.folder("state").rmdir()
    done = studio.run("run")
    assert done.returncode == 75
    assert str(studio.folder("state")) in done.stderr


def test_the_key_appears_nowhere_in_the_most_talkative_log(studio: Studio) -> None:
    studio.drop("one.jpg")
    done = studio.run("run", "--once", "--log-format", "json", "--log-level", "debug")
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert "order.delivered" in events
    assert KEY not in done.stdout + done.stderr
    kept = (path.read_bytes() for path in studio.root.rglob("*") if path.is_file())
    assert not any(KEY.encode() in content for content in kept)


def test_a_terminal_shows_a_bar_instead_of_log_lines(studio: Studio) -> None:
    studio.waits.clear()
    studio.drop("one.jpg")
    master, slave = pty.openpty()
    with subprocess.Popen(
        studio.command("run", "--once"),
        env=studio.environ() | {"TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.DEVNULL,
        stderr=slave,
    ) as process:
        os.close(slave)
        shown = read_all(master)
    assert process.returncode == 0
    assert "0/1" in shown
    assert "files" in shown
    assert "order.claimed" not in shown


def read_all(descriptor: int) -> str:
    """Read until the other side has closed its terminal, which Linux tells by EIO."""
    shown = b""
    try:
        while block := os.read(descriptor, 4096):
            shown += block
    except OSError:
        pass
    finally:
        os.close(descriptor)
    return shown.decode()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_acts_as_the_owner_of_the_state_directory(sandbox: Sandbox) -> None:
    user = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as reachable:
        studio = Studio(Path(reachable), sandbox.url, environment={})
        studio.root.chmod(0o755)
        key_file = studio.root / "api-key"
        key_file.write_text(KEY)
        key_file.chmod(0o600)  # root's alone: it is read before root becomes the other
        studio.configure(api={"key_file": str(key_file)})
        for folder in ("inbox", "outbox", "quarantine", "originals", "state"):
            os.chown(studio.folder(folder), user.pw_uid, user.pw_gid)
        os.chown(studio.drop("one_fail.jpg"), user.pw_uid, user.pw_gid)
        before = of_root(studio)
        codes = [studio.run(*words).returncode for words in (["run", "--once"], ["retry", "--all"])]
        assert codes == [1, 0]
        assert files_in(studio.folder("inbox")) == ["one_fail.jpg"]
        assert "chown nobody" in studio.run("check").stdout  # the daemon reads the key again at a reload
        assert of_root(studio) == before
        os.chown(key_file, user.pw_uid, user.pw_gid)
        assert studio.run("check").returncode == 0
        assert of_root(studio) == before - {key_file}


def of_root(studio: Studio) -> set[Path]:
    return {path for path in studio.root.rglob("*") if path.lstat().st_uid == 0}


def packages_of(*modules: str) -> set[str]:
    """Return the packages that a process has loaded when it has imported these modules."""
    program = f"import sys, {', '.join(modules)}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    return set(done.stdout.split())


def test_the_idle_daemon_carries_no_package_that_it_does_not_need() -> None:
    loaded = packages_of("watchfolder.console.cli", "watchfolder.daemon")
    assert "requests" in loaded
    assert not {"rich", "flask", "PIL", "waitress", "prometheus_client", "apprise"} & loaded


def test_a_command_that_asks_no_service_loads_no_client_of_http() -> None:
    assert not {"requests", "urllib3", "ssl"} & packages_of("watchfolder.console.cli")


def test_the_picture_is_sent_as_it_was(studio: Studio, sandbox: Sandbox) -> None:
    studio.drop("one.jpg")
    studio.run("run", "--once")
    assert (studio.folder("originals") / "one.jpg").read_bytes() == PICTURE
    assert sandbox.paid == 1
