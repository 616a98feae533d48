"""What every command owes the shell: results on stdout, words on stderr, quiet when asked, and no colour unasked."""

import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_studio import Studio, as_nobody, sandbox, studio
from contents import files_in
from waiting import wait_until

from watchfolder.sandbox import Sandbox

__all__ = ["sandbox", "studio"]

QUIET: dict[str, tuple[str, ...]] = {
    "run --once": ("run", "--once", "--quiet"),
    "check": ("check", "--quiet"),
    "verify": ("verify", "--quiet"),
    "retry": ("retry", "--all", "-q"),
    "release": ("release", "--all", "-q"),
}


@pytest.mark.parametrize("words", QUIET.values(), ids=QUIET)
def test_quiet_says_nothing_where_nothing_is_wrong(studio: Studio, words: tuple[str, ...]) -> None:
    studio.drop("a.jpg")
    done = studio.run(*words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_quiet_still_says_what_is_wrong(studio: Studio) -> None:
    studio.drop("bad_fail.jpg")
    done = studio.run("run", "--once", "--quiet")
    assert (done.returncode, done.stdout) == (1, "0 files delivered, 1 file quarantined.\n")
    (studio.folder("outbox") / ".watchfolder-id").unlink()
    said = studio.run("check", "--quiet").stdout
    assert "FAIL" in said
    assert "ok " not in said


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", [("status",), ("run", "--once")], ids=" ".join)
def test_a_stream_that_the_caller_has_closed_is_no_crash(studio: Studio, words: tuple[str, ...], closed: str) -> None:
    studio.drop("a.jpg")
    command = ["/bin/sh", "-c", f'"$@" {closed}', "sh", *studio.command(*words)]
    done = subprocess.run(
        command, env=studio.environ(), cwd=studio.root, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert bool(files_in(studio.folder("outbox"))) == (words[0] == "run")


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["plain", "PYTHONUNBUFFERED"])
@pytest.mark.parametrize("words", ["status", "status --json", "check", "run --once", "status --help"])
def test_a_full_disk_behind_stdout_is_said_and_no_crash(studio: Studio, words: str, unbuffered: str) -> None:
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run(
            studio.command(*words.split()),
            env=studio.environ() | {"PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 75
    assert done.stderr.splitlines()[-1] == "the answer cannot be written: No space left on device"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", ["status", "status --json", "check", "retry --all", "status --help"])
def test_a_reader_that_has_gone_ends_a_command_quietly(studio: Studio, words: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = studio.command(*words.split())
        done = subprocess.run(
            command, env=studio.environ(), stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (75, "")


@pytest.mark.parametrize(
    ("who", "number"), [("command", signal.SIGTERM), ("child", signal.SIGKILL)], ids=["told to end", "killed"]
)
def test_a_command_and_the_child_that_does_its_work_end_together(
    studio: Studio, sandbox: Sandbox, who: str, number: signal.Signals
) -> None:
    sandbox.faults.add("list", "hang")
    with subprocess.Popen(studio.command("reconcile"), env=studio.environ(), cwd=studio.root) as command:
        wait_until(lambda: sandbox.requests_by_operation().get("list"))
        child = int(Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text())
        end = os.pidfd_open(child)
        os.kill(child if who == "child" else command.pid, number)
        assert command.wait(20) == -number
        assert select.select([end], [], [], 20)[0] == [end]
        os.close(end)


def test_what_a_run_says_meanwhile_is_on_stderr_and_what_came_of_it_on_stdout(studio: Studio) -> None:
    studio.drop("a.jpg")
    done = studio.run("run", "--once")
    assert done.stdout == "1 file delivered, 0 files quarantined.\n"
    assert "daemon.started" in done.stderr


@pytest.mark.parametrize(
    "words", ["run", "run --once --dry-run", "status", "explain a", "retry --all", "history", "verify", "reconcile"]
)
def test_what_went_wrong_is_on_stderr_alone(studio: Studio, words: str) -> None:
    studio.config.write_text("api: {base_url: nowhere}\n")
    done = studio.run(*words.split())
    assert (done.returncode, done.stdout) == (78, "")
    assert "api.base_url" in done.stderr


@pytest.mark.parametrize(("variable", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_no_color_is_heeded_on_a_terminal(studio: Studio, variable: dict[str, str], *, is_coloured: bool) -> None:
    for words in (("check",), ("status",)):
        shown = on_a_terminal(studio.command(*words), studio.environ() | {"TERM": "xterm"} | variable)
        assert (any(f"\x1b[{colour}m".encode() in shown for colour in ("31", "32", "1;31"))) is is_coloured


def on_a_terminal(command: list[str], environment: dict[str, str]) -> bytes:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        with os.fdopen(theirs, "wb", buffering=0) as terminal:
            process = subprocess.Popen(command, env=environment, stdout=terminal, stderr=terminal)
        shown = b""
        try:
            while more := screen.read(4096):
                shown += more
        except OSError:  # the last one who held the other end has gone
            pass
        process.wait(60)
    return shown


@pytest.fixture
def shared(sandbox: Sandbox) -> Iterator[Studio]:
    """Give a studio whose folders are everybody's and whose state is the daemon's alone."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    with tempfile.TemporaryDirectory() as reachable:
        studio = Studio(Path(reachable), sandbox.url)
        studio.root.chmod(0o755)
        studio.folder("state").chmod(0o700)
        yield studio


@pytest.mark.parametrize(
    "words", [("status",), ("history",), ("verify",), ("retry", "--all"), ("release", "photos")], ids=" ".join
)
def test_who_may_not_read_the_state_is_told_what_they_can_do(shared: Studio, words: tuple[str, ...]) -> None:
    done = as_nobody(shared, *words)
    assert done.returncode == 75
    assert "sudo -u" in done.stderr
    assert "the note beside each picture" in done.stderr
    assert "Traceback" not in done.stderr


def test_who_may_not_move_a_file_back_is_told_for_each_what_they_can_do(shared: Studio) -> None:
    shared.set_aside("a.jpg")
    shared.folder("state").chmod(0o755)
    done = as_nobody(shared, "retry", "a.jpg")
    assert done.returncode == 75
    assert done.stderr.startswith("not moved: ")
    assert "sudo -u" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--configuration",)], ids=["all", "configuration"])
def test_what_a_check_finds_wrong_with_the_configuration_is_a_result(
    shared: Studio, arguments: tuple[str, ...]
) -> None:
    shared.config.write_text("inboxes: {photos: {path: relative}}\n")
    done = shared.run("check", *arguments)
    assert (done.returncode, done.stderr) == (78, "")
    assert all(line.startswith("FAIL ") for line in done.stdout.splitlines())
    assert "inboxes.photos.path: " in done.stdout


@pytest.mark.parametrize("words", [("status",), ("explain", "/srv/a.jpg"), ("history",), ("check",)], ids=" ".join)
def test_who_may_not_read_the_configuration_is_told_so_and_no_other_thing(
    shared: Studio, words: tuple[str, ...]
) -> None:
    shared.config.chmod(0o600)
    done = as_nobody(shared, *words)
    assert done.returncode == 78
    said = done.stdout + done.stderr
    assert f"{shared.config}: cannot be read" in said
    assert "run this as root (sudo)" in said
    assert "is not there" not in said


def test_a_check_by_somebody_else_says_that_it_is_not_the_daemon_s(shared: Studio) -> None:
    done = as_nobody(shared, "check")
    assert done.returncode == 78
    assert "run it with sudo" in done.stderr
    assert "sudo" not in shared.run("check").stderr


def test_people_of_the_group_are_told_of_a_file_what_they_may_know(shared: Studio) -> None:
    path = shared.drop("a.jpg.part")
    assert "*.part" in as_nobody(shared, "explain", str(path)).stdout
    shared.configure(settle_seconds=3600)
    done = as_nobody(shared, "explain", str(shared.drop("a.jpg")))
    assert done.stdout.startswith("It waits")
    assert "sudo" in done.stdout
    assert done.returncode == 0
    elsewhere = as_nobody(shared, "explain", "/etc/hostname")
    assert (elsewhere.returncode, "lies in no folder of ours" in elsewhere.stderr) == (2, True)
