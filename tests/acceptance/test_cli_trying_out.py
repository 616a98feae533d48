"""What a newcomer starts with: `sandbox`, `demo`, `--version`, and what they say when something is not installed."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO
from urllib.request import Request, urlopen

import pytest
from cli_studio import warm

import watchfolder
from watchfolder.config.sections import SERVICES


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "watchfolder", *arguments]


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "LC_ALL": "C.UTF-8", **more}


def test_without_a_terminal_the_demo_ends_with_the_paths_of_the_delivered(tmp_path: Path) -> None:
    done = subprocess.run(
        command("demo"), env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    heading, headings, delivered = "", [], []
    for line in done.stdout.splitlines():
        if line.startswith("  "):
            delivered.append(Path(line.strip()))
            assert delivered[-1].parts[-3] == heading, "below the name of its service"
        else:
            heading = line.partition(":")[0]
            headings.append(heading)
    assert sorted(set(headings) & {*SERVICES}) == sorted(each for each in headings if each in SERVICES)
    assert all(path.is_file() for path in delivered)
    for service in SERVICES:
        suffixes = {path.suffix for path in delivered if path.parts[-3] == service}
        assert suffixes >= {".jpg", ".png", ".webp", ".tif", ".bmp"}, service
    (root,) = tmp_path.glob("watchfolder-demo-*")
    assert (root / "config.yaml").is_file()
    assert (root / "anti-ai/protected/from an address.jpg").is_file()
    told = json.loads((root / "watermark-extract/checked/landscape 1.jpg.watermark.json").read_text("utf-8"))
    assert told["verdict"] == "detected", "of the very picture that was marked"
    assert told["watermarkText"].startswith("for dpa ")
    assert f"rm -r {root}" in done.stdout
    assert list(tmp_path.glob("watchfolder-sandbox-*")) == []


def test_on_a_terminal_the_demo_serves_its_page_until_ctrl_c_and_leaves_nothing(tmp_path: Path) -> None:
    terminal, theirs = os.openpty()
    with (
        subprocess.Popen(
            command("demo"),
            env=environment(tmp_path),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process,
        os.fdopen(terminal, "r+b", buffering=0) as screen,
    ):
        os.close(theirs)
        told = read_until(screen, "Ctrl-C ends")
        with urlopen(re.findall(r"http://127\.0\.0\.1:[0-9]+/", told)[0], timeout=20) as page:  # noqa: S310
            assert b"watchfolder" in page.read()
        process.send_signal(signal.SIGINT)
        read_until(screen, "is removed")
        process.wait(30)
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_cut_short_leaves_nothing(tmp_path: Path, ending: signal.Signals) -> None:
    with subprocess.Popen(
        command("demo"), env=environment(tmp_path, PYTHONUNBUFFERED="1"), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while "status page" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(ending)
        process.communicate(timeout=30)
    assert process.returncode == 75
    assert list(tmp_path.iterdir()) == []


def test_make_demo_says_what_it_does_and_installs_the_program_alone(tmp_path: Path) -> None:
    makefile = Path(__file__).parents[2] / "Makefile"
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "--file", makefile, f"VENV={tmp_path}/venv", "demo"],
        cwd=makefile.parent,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    first, *rest = done.stdout.splitlines()
    assert first.startswith("echo ")
    assert any("pip install" in line and line.endswith("--editable .") for line in rest)
    assert "[" not in done.stdout  # no extras


def read_until(screen: IO[bytes], words: str) -> str:
    told = b""
    while words.encode() not in told:
        more = screen.read(4096)
        assert more, told
        told += more
    return told.decode()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_tells_how_to_use_it_answers_and_ends_when_told(tmp_path: Path, ending: signal.Signals) -> None:
    with subprocess.Popen(
        command("sandbox", "--port", "0"),
        env=environment(tmp_path, PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = ""
        while "BIZMORI_API_KEY=" not in told:
            line = process.stdout.readline()
            assert line, told
            told += line
        url, key = re.findall(r"base_url: (\S+)", told)[0], re.findall(r"BIZMORI_API_KEY=(\S+)", told)[0]
        request = Request(f"{url}/api/v2/orders?page=1&limit=1", headers={"Authorization": f"Bearer {key}"})  # noqa: S310 - loopback
        with urlopen(request, timeout=10) as answer:  # noqa: S310
            assert answer.status == 200
        process.send_signal(ending)
        process.wait(20)
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_said_plainly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            command("sandbox", "--port", str(taken.getsockname()[1])),
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 75
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_behind_the_sandboxs_output_is_not_called_a_taken_port(tmp_path: Path) -> None:
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run(
            command("sandbox", "--port", "0"),
            env=environment(tmp_path),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 75
    assert done.stderr == "the answer cannot be written: No space left on device\n"


def test_the_sandbox_refuses_a_folder_of_origins_that_is_not_there(tmp_path: Path) -> None:
    done = warm().run(["-m", "watchfolder", "sandbox", "--origins", "missing"], environment(tmp_path), tmp_path, 30)
    assert done.returncode == 2
    assert done.stderr == "--origins: missing is no folder\n"


def test_the_version_is_the_packages_own() -> None:
    done = subprocess.run(command("--version"), capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == f"watchfolder {watchfolder.__version__}\n"


@pytest.mark.parametrize("words", [[], ["run"], ["webhook"], ["webhook", "register"], ["notify", "test"]], ids=" ".join)
def test_h_is_help_everywhere(tmp_path: Path, words: list[str]) -> None:
    done = warm().run(["-m", "watchfolder", *words, "-h"], environment(tmp_path), tmp_path, 30)
    assert done.stdout.startswith(" ".join(["Usage: watchfolder", *words]))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shells_complete_commands(tmp_path: Path, shell: str) -> None:
    asked = {"_WATCHFOLDER_COMPLETE": f"complete_{shell}", "COMP_WORDS": "watchfolder sta", "COMP_CWORD": "1"}
    asked |= {"_TYPER_COMPLETE_ARGS": "watchfolder sta", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = warm().run(["-m", "watchfolder"], environment(tmp_path, **asked), tmp_path, 30)
    assert "status" in done.stdout
    assert "verify" not in done.stdout


def test_a_wrong_option_ends_with_2() -> None:
    done = subprocess.run(command("run", "--twice"), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
