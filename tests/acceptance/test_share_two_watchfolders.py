"""Two watchfolders on one share: the second is refused and touches nothing until a person says the first is gone."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_studio import Daemon, Studio
from contents import files_in, sha256
from waiting import wait_until

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

pytestmark = pytest.mark.lab

PICTURES = {f"{number}.jpg": sample("jpeg", width=64, height=48, seed=number) for number in range(5)}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(processing_seconds=3.0, look_seconds=0) as sandbox:
        yield sandbox


@pytest.fixture
def first(tmp_path: Path, sandbox: Sandbox) -> Studio:
    return Studio(tmp_path, sandbox.url)


@pytest.fixture
def second(first: Studio, sandbox: Sandbox) -> Studio:
    """Another machine with the same share: the same folders, its own state and inbox."""
    machine = first.root / "another machine"
    machine.mkdir()
    studio = Studio(machine, sandbox.url)
    paths = {name: str(first.folder(name)) for name in ("outbox", "quarantine", "originals")}
    shared = {"path": str(first.folder("inbox")), **paths, "settle_seconds": 0.2, "scan_seconds": 1}
    studio.configure(inboxes={"shared": shared})
    return studio


def everything_on_the_share(studio: Studio) -> dict[str, str]:
    """Return each file there, also the hidden ones, with its hash."""
    roots = [studio.folder(name) for name in ("inbox", "outbox", "quarantine", "originals")]
    found = [path for root in roots for path in root.rglob("*")]
    return {str(path): sha256(path.read_bytes()) if path.is_file() else "" for path in found}


def drop_all(studio: Studio) -> None:
    for name, content in PICTURES.items():
        studio.drop(name, content)


def die(daemon: Daemon) -> None:
    daemon.process.kill()
    daemon.process.wait()


def expect_all_arrived_once(studio: Studio, sandbox: Sandbox) -> None:
    wait_until(lambda: files_in(studio.folder("originals")) == sorted(PICTURES))
    assert files_in(studio.folder("outbox")) == sorted(PICTURES)
    assert files_in(studio.folder("inbox")) == files_in(studio.folder("quarantine")) == []
    assert sandbox.paid_files == {sha256(content): 1 for content in PICTURES.values()}
    assert sandbox.sins == []


def test_the_second_is_refused_with_host_and_date_and_the_first_goes_on(
    first: Studio, second: Studio, sandbox: Sandbox
) -> None:
    with first.daemon():
        drop_all(first)
        wait_until(lambda: sandbox.paid == len(PICTURES))
        done = second.run("run", "--once")
        assert done.returncode == 75
        assert "another watchfolder works here (host " in done.stdout
        with second.daemon() as refused:
            second.drop("its own.jpg", sample("jpeg", width=64, height=48, seed=9))
            wait_until(lambda: files_in(second.folder("originals")) == ["its own.jpg"])
            wait_until(lambda: files_in(first.folder("originals")) == sorted(PICTURES))
            assert refused.log().count("another watchfolder works here") == 1
    sandbox_has = dict(sandbox.paid_files)
    assert sandbox_has.pop(sha256((second.folder("originals") / "its own.jpg").read_bytes())) == 1
    assert sandbox_has == {sha256(content): 1 for content in PICTURES.values()}


def test_what_a_dead_one_left_under_way_is_not_touched(first: Studio, second: Studio, sandbox: Sandbox) -> None:
    with first.daemon() as daemon:
        drop_all(first)
        wait_until(lambda: sandbox.paid == len(PICTURES))
        die(daemon)
    first.drop("late.jpg")
    before = everything_on_the_share(first)
    for command in (["run", "--once"], ["check"], ["status"], ["explain", str(first.folder("inbox") / "late.jpg")]):
        second.run(*command)
    assert everything_on_the_share(first) == before
    (first.folder("inbox") / "late.jpg").unlink()
    assert first.run("run", "--once").returncode == 0
    expect_all_arrived_once(first, sandbox)


def test_adopting_after_a_lost_state_pays_nothing_again(first: Studio, sandbox: Sandbox) -> None:
    with first.daemon() as daemon:
        drop_all(first)
        wait_until(lambda: sandbox.paid == len(PICTURES))
        die(daemon)
    shutil.rmtree(first.folder("state"))
    first.folder("state").mkdir()
    assert first.run("run", "--once").returncode == 75
    done = first.run("run", "--once", "--adopt")
    assert done.returncode == 0, done.stdout
    expect_all_arrived_once(first, sandbox)


def test_adopting_from_a_living_one_loses_nothing_and_pays_nothing_twice(
    first: Studio, second: Studio, sandbox: Sandbox
) -> None:
    sandbox.processing_seconds = 10.0  # the second has taken over before there is anything to deliver
    with first.daemon():
        drop_all(first)
        wait_until(lambda: sandbox.paid == len(PICTURES))
        assert second.run("run", "--once", "--adopt").returncode == 0
    originals = {path.read_bytes() for path in first.folder("originals").iterdir() if path.suffix == ".jpg"}
    assert originals == set(PICTURES.values())
    assert files_in(first.folder("outbox")) == sorted(PICTURES)
    assert sandbox.paid_files == {sha256(content): 1 for content in PICTURES.values()}


def test_a_reload_takes_over_nothing_though_the_start_was_told_to(first: Studio, second: Studio) -> None:
    with_the_share = second.config.read_text()
    second.configure()
    with first.daemon(), second.daemon("--adopt") as other:
        before = everything_on_the_share(first)
        second.config.write_text(with_the_share)
        other.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "another watchfolder works here" in other.log())
        assert "inbox.adopted" not in other.log()
        assert everything_on_the_share(first) == before
