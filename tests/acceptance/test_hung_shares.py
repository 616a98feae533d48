"""Three shares whose servers are gone: who asks watchfolder is answered in seconds, and gets the prompt back."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from cli_studio import Studio, sandbox, studio
from contents import files_in
from free_ports import free_port
from hung_shares import hung, skip_unless_mountable
from waiting import wait_until

__all__ = ["sandbox", "studio"]

pytestmark = pytest.mark.lab
SECONDS = 3.0
SHARES = ("a", "b", "c")
NOBODY = 65_534


@pytest.fixture
def shared(studio: Studio) -> Studio:
    """Give a studio whose inbox has been used, with three further inboxes on shares of their own."""
    skip_unless_mountable()
    inboxes = {}
    for name in SHARES:
        roles = {role: studio.root / "nas" / name / role for role in ("inbox", "outbox", "quarantine", "originals")}
        for folder in roles.values():
            folder.mkdir(parents=True)
        paths = {"path" if role == "inbox" else role: str(folder) for role, folder in roles.items()}
        inboxes[name] = paths | {"settle_seconds": 0.2, "scan_seconds": 1}
    studio.configure(inboxes=inboxes)
    assert studio.run("check").returncode == 0
    return studio


@pytest.fixture
def dead(shared: Studio) -> Iterator[Studio]:
    with hung(*(shared.root / "nas" / name for name in SHARES)):
        yield shared


def usual_seconds(studio: Studio) -> float:
    """Return what this machine needs for a command at all, now."""
    began = time.monotonic()
    studio.run("--version")
    return time.monotonic() - began


def answer(studio: Studio, *arguments: str) -> str:
    usual = usual_seconds(studio)
    began = time.monotonic()
    done = studio.run(*arguments)
    took = time.monotonic() - began
    assert took < SECONDS + 4 * usual, f"{took:.1f} s, where {usual:.1f} s are usual"
    return done.stdout + done.stderr


def test_status_answers_and_names_the_folders_that_do_not(dead: Studio) -> None:
    faults = json.loads(answer(dead, "status", "--json"))["faults"]
    assert [str(dead.root / "nas" / name / "quarantine") in fault for name, fault in zip(SHARES, faults, strict=True)]
    assert "it does not answer" in answer(dead, "status")
    assert "watchfolder_up" in answer(dead, "status", "--prometheus")


def test_check_answers_for_each_inbox_and_looks_at_the_others_as_ever(dead: Studio) -> None:
    said = answer(dead, "check").splitlines()
    for name in SHARES:
        assert any(line.startswith(f"FAIL {name}: ") and "it does not answer" in line for line in said)
    assert any(line.startswith("ok   photos: changes are told at once") for line in said)
    assert any(line.startswith("ok   service: ") for line in said)


@pytest.mark.parametrize("what", ["a", "nas/a/outbox"])
def test_what_does_not_answer_cannot_be_accepted(dead: Studio, what: str) -> None:
    said = dead.run("check", "--accept", what if what == "a" else str(dead.root / what))
    assert (said.returncode, "it does not answer" in said.stdout) == (75, True)


def test_explain_answers_for_the_dead_and_for_the_living(dead: Studio) -> None:
    assert "it does not answer" in answer(dead, "explain", str(dead.root / "nas/a/inbox/x.jpg"))
    dead.drop("here.jpg")
    assert "whole picture" in answer(dead, "explain", str(dead.folder("inbox") / "here.jpg"))


def test_a_rehearsal_tells_what_is_to_be_had_and_which_inboxes_do_not_answer(dead: Studio) -> None:
    dead.drop("here.jpg")
    said = dead.run("run", "--once", "--dry-run").stdout
    assert said.count("But: ") == said.count("it does not answer") == len(SHARES)
    assert "All together: 1 file," in said


def test_what_was_paid_can_be_fetched_though_inboxes_do_not_answer(dead: Studio) -> None:
    (dead.root / "fetched").mkdir()
    assert "Our orders at the service: " in answer(dead, "reconcile", "--fetch", str(dead.root / "fetched"))


@pytest.mark.parametrize("arguments", [("history",), ("verify",), ("release", "photos"), ("retry", "IMG.jpg")])
def test_the_other_commands_answer_as_well(dead: Studio, arguments: tuple[str, ...]) -> None:
    dead.set_aside("IMG.jpg")
    answer(dead, *arguments)


@pytest.mark.parametrize("arguments", [("explain", "nas/a/inbox/x.jpg"), ("retry", "IMG.jpg"), ("release", "photos")])
def test_root_is_answered_where_the_daemon_is_another_user(dead: Studio, arguments: tuple[str, str]) -> None:
    for path in (dead.folder("state"), *dead.folder("state").rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    command, name = arguments
    answer(dead, command, str(dead.root / name) if "/" in name else name)


@pytest.mark.parametrize("what", ["IMG.jpg", "--all"])
def test_a_picture_is_moved_back_though_other_quarantines_do_not_answer(dead: Studio, what: str) -> None:
    dead.set_aside("IMG.jpg")
    done = dead.run("retry", what)
    assert files_in(dead.folder("quarantine")) == []
    assert "1 file moved back." in done.stdout
    assert done.returncode == (75 if what == "--all" else 0)
    assert done.stderr.count("it does not answer") == (len(SHARES) if what == "--all" else 0)


def test_a_name_that_may_lie_on_a_hung_share_is_not_called_unknown(dead: Studio) -> None:
    done = dead.run("retry", "other.jpg")
    assert done.returncode == 75
    assert "it does not answer" in done.stderr
    assert "no such file" not in done.stderr


def test_the_page_and_its_health_answer_while_pictures_go_on(shared: Studio) -> None:
    port = free_port()
    with shared.config.open("a", encoding="utf-8") as config:
        config.write(f"http:\n  listen: 127.0.0.1:{port}\n")

    def read(path: str) -> str:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answered:
            return str(answered.read().decode("utf-8", "replace"))

    def ask(path: str) -> str:
        began = time.monotonic()
        page = read(path)
        assert time.monotonic() - began < SECONDS + 4 * usual_seconds(shared)
        return page

    def drop(name: str) -> None:
        (Path(shared.root) / "nas" / "a" / "inbox" / name).write_bytes(shared.drop(name).read_bytes())

    with shared.daemon() as daemon:
        drop("before.jpg")
        wait_until(lambda: files_in(shared.root / "nas/a/outbox") == ["before.jpg"])
        wait_until(lambda: "Last deliveries" in ask("/"))
        with hung(*(shared.root / "nas" / name for name in SHARES)):
            shared.drop("after.jpg")
            wait_until(lambda: "after.jpg" in files_in(shared.folder("outbox")))
            for _ in range(3):
                page = ask("/")
                ask("/main")
                ask("/api/status")
            pictures = [part.split('"')[0] for part in page.split('src="')[1:]]
            assert pictures
            for picture in pictures:
                with contextlib.suppress(HTTPError):  # no preview; one that is made takes what the machine takes
                    read(picture)
            ask("/main")
        assert daemon.process.poll() is None


def test_a_share_that_is_mounted_anew_is_there_though_the_old_one_never_answers(shared: Studio) -> None:
    port, nas = free_port(), shared.root / "nas/a"
    with shared.config.open("a", encoding="utf-8") as config:
        config.write(f"http:\n  listen: 127.0.0.1:{port}\n")

    def faults() -> list[str]:
        with urlopen(f"http://127.0.0.1:{port}/api/status", timeout=60) as answered:
            return list(json.load(answered)["faults"])

    with shared.daemon(), hung(nas):
        wait_until(lambda: any(f"{nas}/quarantine: it does not answer" in fault for fault in faults()))
        subprocess.run(["umount", "--lazy", nas], check=True, timeout=60)  # what has asked it waits on
        wait_until(lambda: faults() == [])
