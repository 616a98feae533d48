"""The brake, `watchfolder release` and the rehearsal: what came by mistake costs nothing, and one word lets it go."""

import json
import os
import pwd
import shutil
import tempfile
from pathlib import Path

import pytest
import yaml
from cli_studio import PICTURE, Studio, sandbox, studio
from contents import files_in
from waiting import wait_until

from watchfolder.command_line import Advised
from watchfolder.sandbox import Sandbox

__all__ = ["sandbox", "studio"]

BURST = {"burst": {"files": 3, "minutes": 10}}


def copy_an_archive(studio: Studio, count: int = 5) -> None:
    archive = studio.root / "archive"
    archive.mkdir()
    for number in range(count):
        (archive / f"{number}.jpg").write_bytes(PICTURE)
    archive.rename(studio.folder("inbox") / "archive")


def is_held(studio: Studio) -> bool:
    return bool(json.loads(studio.run("status", "--json").stdout)["inboxes"]["photos"]["held"])


def to_release(studio: Studio) -> str:
    return studio.typed.run(Advised.RELEASE, "photos")


def waiting(studio: Studio) -> tuple[int, int]:
    """Return how many files wait, and how many are left alone."""
    told = json.loads(studio.run("status", "--json").stdout)["inboxes"]["photos"]
    return told["waiting"], told["staying"]


def test_an_archive_moved_in_is_held_until_a_person_releases_it(studio: Studio, sandbox: Sandbox) -> None:
    studio.configure(budget=BURST, scan_seconds=3600)  # only a signal makes it look in time
    with studio.daemon():
        copy_an_archive(studio)
        wait_until(lambda: is_held(studio))
        said = studio.run("status").stdout
        assert f"held: 5 new files in 1 minute; {to_release(studio)}" in said.splitlines()[0]
        assert len(files_in(studio.folder("inbox"))) == 5
        assert sandbox.requests_by_operation().get("create", 0) == 0
        done = studio.run("release", "photos")
        assert done.returncode == 0, done.stderr
        assert done.stdout == "photos: let through (5 new files in 1 minute)\n"
        wait_until(lambda: len(files_in(studio.folder("outbox"))) == 5)
        wait_until(lambda: not is_held(studio))
    assert sandbox.sins == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_lets_go_what_the_daemon_of_another_user_holds(sandbox: Sandbox) -> None:
    user = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as reachable:
        Path(reachable).chmod(0o755)
        house = Studio(Path(reachable), sandbox.url)
        house.configure(budget=BURST)
        copy_an_archive(house)
        for path in list(house.root.rglob("*")):
            shutil.chown(path, user.pw_uid, user.pw_gid)
        with house.daemon():
            wait_until(lambda: is_held(house))
            done = house.run("release", "photos")
            assert (done.returncode, done.stderr) == (0, "")
            wait_until(lambda: len(files_in(house.folder("outbox"))) == 5)


def test_an_archive_that_was_taken_away_again_lets_the_next_picture_through(studio: Studio, sandbox: Sandbox) -> None:
    studio.configure(budget=BURST)
    with studio.daemon():
        copy_an_archive(studio)
        wait_until(lambda: is_held(studio))
        (studio.folder("inbox") / "archive").rename(studio.root / "archive")
        wait_until(lambda: not is_held(studio))
        studio.drop("one.jpg")
        wait_until(lambda: files_in(studio.folder("outbox")) == ["one.jpg"])
    assert sandbox.paid == 1


def test_a_link_among_the_files_keeps_nothing_from_being_held(studio: Studio, sandbox: Sandbox) -> None:
    studio.configure(budget={"files_per_day": 1})
    for number in range(5):
        (studio.folder("inbox") / f"{number}").symlink_to("/nowhere")
    studio.drop("a.jpg")
    studio.drop("b.jpg")
    assert studio.run("run", "--once").returncode == 75
    assert sandbox.paid == 1


def test_a_single_run_leaves_what_is_held_names_it_and_ends_with_75(studio: Studio, sandbox: Sandbox) -> None:
    studio.configure(budget=BURST)
    copy_an_archive(studio)
    done = studio.run("run", "--once")
    assert done.returncode == 75
    assert f"photos: held: 5 new files in 1 minute; {to_release(studio)}" in done.stdout
    assert sandbox.paid == 0
    let_go = studio.run("release", "--all")
    assert let_go.returncode == 0
    assert "is not running" in let_go.stdout
    assert studio.run("run", "--once").returncode == 0
    assert len(files_in(studio.folder("outbox"))) == 5


def test_a_day_s_budget_sends_that_many_and_keeps_the_others(studio: Studio, sandbox: Sandbox) -> None:
    studio.configure(budget={"files_per_day": 2})
    copy_an_archive(studio)
    assert studio.run("run", "--once").returncode == 75
    assert studio.run("run", "--once").returncode == 75
    assert len(files_in(studio.folder("outbox"))) == 2
    assert sandbox.paid == 2
    assert "today's budget is used up" in studio.run("release", "photos").stdout
    assert studio.run("run", "--once").returncode == 0
    assert len(files_in(studio.folder("outbox"))) == 5


def test_release_knows_its_inboxes_and_says_when_nothing_is_held(studio: Studio) -> None:
    assert studio.run("release", "photos").stdout == "photos: nothing is held\n"
    assert not (studio.folder("state") / "release").exists()
    unknown = studio.run("release", "photo")
    assert unknown.returncode == 2
    assert "photos" in unknown.stderr
    assert studio.run("release").returncode == 2
    assert studio.run("release", "--all", "photos").returncode == 2


def everything_below(root: Path) -> dict[str, tuple[int, int]]:
    found = {str(path): path.lstat() for path in root.rglob("*")}
    return {name: (status.st_mtime_ns, status.st_ctime_ns) for name, status in found.items()}


def test_a_rehearsal_says_what_would_be_sent_and_touches_nothing(studio: Studio, sandbox: Sandbox) -> None:
    studio.configure(api={"requests_per_minute": 5}, max_files_per_order=2)
    copy_an_archive(studio)
    studio.drop("cut.jpg", PICTURE[:-200])
    studio.drop("notes.txt", b"no picture at all, but words")
    before = everything_below(studio.root)
    done = studio.run("run", "--once", "--dry-run")
    assert done.returncode == 0, done.stderr
    first, *_, total, last = done.stdout.splitlines()
    assert first.startswith("photos: 5 files would be sent (")
    assert "orders: 3), 0 quarantined; 1 waiting (not complete, still being written or without" in first
    assert "  An order with a bad picture in it: up to 2 credits more (on_failure: split)." in done.stdout
    assert total.startswith("All together: 5 files, up to 5 credits, about 15 requests, about 3 minutes by")
    assert last == "This was a rehearsal: nothing was sent, moved or paid."
    assert everything_below(studio.root) == before
    assert sum(sandbox.requests_by_operation().values()) == 0


def test_a_rehearsal_of_one_picture_speaks_of_one_credit(studio: Studio) -> None:
    studio.drop("a.jpg")
    assert "All together: 1 file, up to 1 credit, about 5 requests" in studio.run("run", "--once", "--dry-run").stdout


def test_a_rehearsal_tells_that_the_brake_would_hold(studio: Studio) -> None:
    studio.configure(budget=BURST)
    copy_an_archive(studio)
    said = studio.run("run", "--once", "--dry-run").stdout
    assert "photos: 0 of 5 files would be sent (" in said
    assert "But held: 5 new files are more than may come at once" in said
    assert f"{to_release(studio)}; that lets 5 files go" in said
    assert "All together: 0 files, up to 0 credits, about 0 requests" in said
    assert "With what is held let go: 5 files, up to 5 credits, about 5 requests" in said


def test_a_rehearsal_of_a_held_inbox_says_what_a_release_would_cost(studio: Studio, sandbox: Sandbox) -> None:
    studio.configure(budget=BURST)
    with studio.daemon():
        copy_an_archive(studio)
        studio.drop("notes.txt", b"no picture at all, but words")
        wait_until(lambda: waiting(studio) == (5, 1))
        assert is_held(studio)
        said = studio.run("run", "--once", "--dry-run").stdout
        assert "photos: 0 of 5 files would be sent" in said
        assert "All together: 0 files, up to 0 credits" in said
        assert "With what is held let go: 5 files, up to 5 credits, about 5 requests" in said
        studio.run("release", "photos")
        wait_until(lambda: len(files_in(studio.folder("outbox"))) == 5)
    assert sandbox.paid == 5


def test_a_rehearsal_heeds_a_word_that_was_given_before_the_start(studio: Studio, sandbox: Sandbox) -> None:
    studio.configure(budget=BURST)
    copy_an_archive(studio)
    assert studio.run("run", "--once").returncode == 75
    assert "they go when it is started" in studio.run("release", "photos").stdout
    assert "All together: 5 files, up to 5 credits" in studio.run("run", "--once", "--dry-run").stdout
    assert studio.run("run", "--once").returncode == 0
    assert sandbox.paid == 5


def test_a_rehearsal_beside_a_daemon_takes_what_waits_for_no_flood(studio: Studio, sandbox: Sandbox) -> None:
    sandbox.faults.add("create", "answer", times=None, status=429, code="USAGE_NOT_ENOUGH")
    studio.configure(budget=BURST)
    studio.drop("first.jpg")
    with studio.daemon() as daemon:
        wait_until(lambda: "service.blocked" in daemon.log())
        for number in range(2):
            studio.drop(f"{number}.jpg", PICTURE + bytes([number]))
        said = studio.run("run", "--once", "--dry-run").stdout
        assert "Already taken and not yet paid: 1 file." in said
        assert "All together: 3 files, up to 3 credits" in said


def test_one_picture_costs_one_credit(studio: Studio) -> None:
    studio.drop("a.jpg")
    assert "1 file, up to 1 credit, about" in studio.run("run", "--once", "--dry-run").stdout


@pytest.mark.parametrize(("budget", "sent"), [({"files_per_day": 4}, 4), ({"burst": {"files": 5, "minutes": 9}}, 0)])
def test_a_rehearsal_heeds_the_budget_of_all_inboxes_together(
    studio: Studio, budget: dict[str, object], sent: int
) -> None:
    other = {"path": str(studio.root / "other"), "settle_seconds": 0.2}
    for role in ("outbox", "quarantine", "originals"):
        (studio.root / f"other {role}").mkdir()
        other[role] = str(studio.root / f"other {role}")
    (studio.root / "other").mkdir()
    studio.configure(inboxes={"other": other})
    tree = yaml.safe_load(studio.config.read_text(encoding="utf-8")) | {"budget": budget}
    studio.config.write_text(yaml.safe_dump(tree), encoding="utf-8")
    for number in range(3):
        studio.drop(f"{number}.jpg", PICTURE + bytes([number]))
        (studio.root / "other" / f"{number}.jpg").write_bytes(PICTURE + bytes([100 + number]))
    said = studio.run("run", "--once", "--dry-run").stdout
    assert f"All together: {sent} files, up to {sent} credits" in said
    assert studio.run("run", "--once").returncode == 75


def test_a_rehearsal_beside_a_share_that_is_away_says_so_and_sends_nothing(studio: Studio) -> None:
    assert studio.run("run", "--once").returncode == 0
    inbox = studio.folder("inbox")
    inbox.rename(studio.root / "unmounted")
    inbox.mkdir()
    studio.drop("one.jpg")
    said = studio.run("run", "--once", "--dry-run").stdout
    assert f"But: {inbox}: not a folder we know (yet): is the share mounted?" in said
    assert "photos: 0 of 1 file would be sent" in said
    assert "All together: 0 files" in said


def test_a_rehearsal_of_the_daemon_is_a_wrong_argument(studio: Studio) -> None:
    assert studio.run("run", "--dry-run").returncode == 2
