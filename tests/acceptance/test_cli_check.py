"""`watchfolder check`: each answer is found by doing it, and every FAIL says what to do."""

import contextlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_studio import KEY, Studio
from contents import files_in
from installation import steps
from waiting import wait_until

from watchfolder.command_line import Advised
from watchfolder.sandbox import Sandbox

SHM = Path("/dev/shm")  # noqa: S108 - another file system, as most machines have one


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(keys=[KEY]) as sandbox:
        yield sandbox


@pytest.fixture
def studio(tmp_path: Path, sandbox: Sandbox) -> Studio:
    return Studio(tmp_path, sandbox.url)


def failures(studio: Studio, *arguments: str, code: int) -> list[str]:
    done = studio.run("check", *arguments)
    lines = done.stdout.splitlines() + done.stderr.splitlines()
    assert done.returncode == code, lines
    assert all(line.startswith(("ok   ", "FAIL ")) for line in lines)
    return [line for line in lines if line.startswith("FAIL ")]


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_all_is_well(studio: Studio) -> None:
    assert failures(studio, code=0) == []


def test_it_leaves_only_the_tokens(studio: Studio) -> None:
    before = everything_below(studio.root)
    assert failures(studio, code=0) == []
    left = {Path(path).name for path in everything_below(studio.root) - before}
    assert left == {".watchfolder-id", "folders.json"}


def test_it_shows_neither_the_key_nor_a_part_of_it(studio: Studio) -> None:
    done = studio.run("check")
    assert KEY[:12] not in done.stdout + done.stderr


def test_a_folder_that_is_not_there_is_named_and_the_others_are_still_checked(studio: Studio) -> None:
    studio.folder("outbox").rmdir()
    (fault,) = failures(studio, code=78)
    assert str(studio.folder("outbox")) in fault
    assert f"mount its share, or run: mkdir {studio.folder('outbox')}" in fault


def test_the_default_originals_are_left_to_the_first_run(studio: Studio) -> None:
    studio.folder("originals").rmdir()
    assert failures(studio, code=0) == []


def test_no_other_originals_are_made_by_a_run(studio: Studio) -> None:
    named = studio.root / "kept"
    studio.configure(originals=str(named))
    (fault,) = failures(studio, code=78)
    assert f"mount its share, or run: mkdir {named}" in fault


def test_a_folder_that_lost_its_token_is_refused_until_it_is_accepted(studio: Studio) -> None:
    assert failures(studio, code=0) == []
    (studio.folder("outbox") / ".watchfolder-id").unlink()
    (fault,) = failures(studio, code=78)
    outbox = str(studio.folder("outbox"))
    assert studio.typed.run(Advised.ACCEPT, outbox) in fault
    assert not (studio.folder("outbox") / ".watchfolder-id").exists()
    assert failures(studio, "--accept", outbox, code=0) == []
    assert failures(studio, code=0) == []


def test_an_inbox_that_was_accepted_goes_on_in_the_running_daemon(studio: Studio) -> None:
    with studio.daemon() as daemon:
        for name in ("inbox", "outbox", "quarantine", "originals"):
            studio.folder(name).rename(studio.root / f"old {name}")
            studio.folder(name).mkdir()
        studio.drop("a.jpg")
        wait_until(lambda: "inbox.waits" in daemon.log())
        assert failures(studio, "--accept", "photos", code=0) == []
        wait_until(lambda: files_in(studio.folder("outbox")) == ["a.jpg"])


def test_only_configured_folders_can_be_accepted(studio: Studio) -> None:
    (fault,) = failures(studio, "--accept", str(studio.root), code=2)
    assert str(studio.folder("inbox")) in fault
    assert not (studio.root / ".watchfolder-id").exists()


def test_accepting_a_folder_and_reading_only_settings_exclude_each_other(studio: Studio) -> None:
    done = studio.run("check", "--configuration", "--accept", "photos")
    assert done.returncode == 2, done.stdout + done.stderr


def test_every_fault_of_the_configuration_is_a_line(studio: Studio) -> None:
    studio.configure(api={"reads": "v4"}, strength=3)
    assert len(failures(studio, code=78)) == 2


def test_an_address_for_messages_that_cannot_be_used_is_told_and_not_shown(studio: Studio) -> None:
    with studio.config.open("a") as config:
        config.write("notify: ['nosuch://0123456789abcdef']\n")
    studio.config.chmod(0o600)
    done = studio.run("check")
    (line,) = [line for line in done.stdout.splitlines() if "notify" in line]
    assert (done.returncode, line.partition(":")[0]) == (78, "FAIL notify[0]")
    assert "0123456789abcdef" not in done.stdout + done.stderr


def test_a_test_key_that_is_not_allowed_fails(studio: Studio) -> None:
    studio.environment["BIZMORI_API_KEY"] = "sk_test_0123456789"
    studio.configure(api={"base_url": "https://127.0.0.1.invalid"})
    faults = failures(studio, code=78)
    assert any("api.allow_test_key" in fault for fault in faults)
    studio.configure(api={"base_url": "https://127.0.0.1.invalid", "allow_test_key": True})
    assert "ok   key: a test key: what is delivered are sample pictures, marked (TEST)" in studio.run("check").stdout


def test_a_service_that_does_not_answer_is_75(studio: Studio) -> None:
    studio.configure(api={"base_url": "http://127.0.0.1:9"})
    (fault,) = failures(studio, code=75)
    assert fault.startswith("FAIL service: ")


def test_a_key_that_the_service_refuses_is_75(studio: Studio) -> None:
    studio.environment["BIZMORI_API_KEY"] = "sk_another_0123456789"
    (fault,) = failures(studio, code=75)
    assert fault.startswith("FAIL service: ")
    assert "key" in fault


def test_a_wrong_folder_weighs_more_than_a_service_that_is_away(studio: Studio) -> None:
    studio.configure(api={"base_url": "http://127.0.0.1:9"})
    studio.folder("outbox").rmdir()
    assert len(failures(studio, code=78)) == 2


@pytest.mark.skipif(not SHM.is_dir(), reason="needs a second file system")
def test_a_work_folder_on_another_file_system_is_refused(studio: Studio) -> None:
    work = Path(tempfile.mkdtemp(dir=SHM))
    try:
        studio.configure(work=str(work))
        (fault,) = failures(studio, code=78)
        assert "another file system" in fault
        assert list(work.iterdir()) == []
        assert files_in(studio.folder("inbox")) == []
    finally:
        shutil.rmtree(work)


def test_a_second_watchfolder_on_the_inbox_is_found(studio: Studio) -> None:
    (studio.folder("inbox") / ".watchfolder/22bcca8b-98bf-49eb-bed7-e9cd69c3893b").mkdir(parents=True)
    (fault,) = failures(studio, code=78)
    assert studio.typed.run_adopt(None) in fault


@pytest.mark.lab
def test_checks_beside_a_first_start_find_no_fault_and_disturb_it_not(tmp_path: Path, sandbox: Sandbox) -> None:
    for number in range(5):
        (tmp_path / str(number)).mkdir()
        studio = Studio(tmp_path / str(number), sandbox.url)
        with contextlib.ExitStack() as stack:
            checks = [
                stack.enter_context(
                    subprocess.Popen(
                        studio.command("check"), env=studio.environ(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
                    )
                )
                for _ in range(2)
            ]
            with studio.daemon() as daemon:
                said = [check.communicate(timeout=60)[0].decode() for check in checks]
                studio.drop("a.jpg")
                wait_until(lambda studio=studio: files_in(studio.folder("outbox")) == ["a.jpg"])  # type: ignore[misc]
                assert "inbox.waits" not in daemon.log()
            for text in said:
                assert "Traceback" not in text
                assert "--adopt" not in text
                assert "--accept" not in text


def test_an_inbox_that_is_polled_needs_no_events(studio: Studio) -> None:
    studio.configure(watch="polling", scan_seconds=7)
    done = studio.run("check")
    assert done.returncode == 0
    assert "every 7 s" in done.stdout


def test_a_running_daemon_is_neither_disturbed_nor_locked_out(studio: Studio) -> None:
    with studio.daemon() as daemon:
        studio.drop("notes.pdf", b"%PDF-1.7 no picture")
        before = daemon.log()
        assert failures(studio, code=0) == []
        assert daemon.process.poll() is None
        assert ".wf-check" not in daemon.log()
        assert "WARNING" not in daemon.log()[len(before) :]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_checks_with_the_rights_of_the_state_directorys_owner(studio: Studio) -> None:
    user = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as reachable:
        root = Path(reachable)
        root.chmod(0o755)
        house = Studio(root, studio.url)
        for name in ("inbox", "outbox", "originals", "state"):
            os.chown(house.folder(name), user.pw_uid, user.pw_gid)
        faults = failures(house, code=78)
        assert len(faults) == 1
        assert "nobody" in faults[0]
        assert "owner root" in faults[0]
        assert str(house.folder("quarantine")) in faults[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_roots_check_leaves_the_inbox_to_the_daemons_user(
    sandbox: Sandbox,
) -> None:
    user = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as reachable:
        root = Path(reachable)
        root.chmod(0o755)
        house = Studio(root, sandbox.url)
        assert failures(house, code=0) == []
        assert "if the daemon is another user" in house.run("check").stdout
        for name in ("inbox", "outbox", "quarantine", "originals", "state"):
            os.chown(house.folder(name), user.pw_uid, user.pw_gid)  # the folders, not what the check left in them
        os.chown(house.drop("one.jpg"), user.pw_uid, user.pw_gid)
        assert house.run("run", "--once").returncode == 0
        assert files_in(house.folder("outbox")) == ["one.jpg"]


@pytest.mark.skipif(shutil.which("setfacl") is None, reason="apt-get install acl")
def test_its_advice_about_folders_that_people_make_works_as_it_stands(studio: Studio) -> None:
    def advice() -> str:
        lines = studio.run("check").stdout.splitlines()
        return next(line for line in lines if "a folder that" in line)

    before = advice()
    assert "cannot be taken" in before
    subprocess.run(["sh", "-ec", before.rpartition("to let it: ")[2]], check=True, timeout=10)
    assert "can be taken, whatever their umask" in advice()
    subprocess.run(["sh", "-ec", "umask 022; mkdir wedding"], cwd=studio.folder("inbox"), check=True, timeout=10)
    assert stat.S_IMODE((studio.folder("inbox") / "wedding").stat().st_mode) == 0o2775


@pytest.mark.skipif(shutil.which("setfacl") is None, reason="apt-get install acl")
def test_the_rights_that_the_install_page_gives_to_the_group_are_seen(studio: Studio) -> None:
    (line,) = (block for block in steps("docs/install/debian.md") if block.startswith("setfacl "))
    told = line.replace("g:photos:", f"g:{os.getegid()}:").replace("/srv/photos", str(studio.root))
    subprocess.run(["sh", "-ec", told], check=True, timeout=10)
    assert "can be taken, whatever their umask" in studio.run("check").stdout
