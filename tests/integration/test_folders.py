"""Configured folders that come, go, and turn out to be somebody else's."""

import json
import os
import shutil
import stat
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from file_systems import tmpfs

from watchfolder import disk
from watchfolder.command_line import CommandLine
from watchfolder.config import Inbox
from watchfolder.errors import FolderFault
from watchfolder.folders import OWNER, TOKEN, Folders, read_token

MINE = "11111111-1111-4111-8111-111111111111"
THEIRS = "22222222-2222-4222-8222-222222222222"
KEY = "33333333-3333-4333-8333-333333333333"
ROLES = ("inbox", "outbox", "quarantine")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for name in (*ROLES, "state"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def inbox(top: Path) -> Inbox:
    return an_inbox(top)


def an_inbox(top: Path, **settings: object) -> Inbox:
    paths = {"path": "inbox", "outbox": "outbox", "quarantine": "quarantine"}
    return Inbox.model_validate({"name": "photos"} | {key: str(top / name) for key, name in paths.items()} | settings)


def folders(top: Path, instance: str = MINE) -> Folders:
    return Folders(str(top / "state"), instance, CommandLine())


def fault_of(act: Callable[[], object]) -> str:
    with pytest.raises(FolderFault) as caught:
        act()
    return caught.value.code


def token(folder: Path) -> str | None:
    return read_token(str(folder))


# --- tokens


def test_the_first_look_gives_each_folder_a_token_that_stays(top: Path, inbox: Inbox) -> None:
    folders(top).require(inbox)
    first = {role: token(top / role) for role in (*ROLES, "originals")}
    assert None not in first.values()
    assert len(set(first.values())) == 4
    folders(top).require(inbox)
    assert {role: token(top / role) for role in first} == first


@pytest.mark.parametrize("role", ROLES)
def test_a_folder_that_lost_its_token_is_gone_and_nothing_is_written_there(top: Path, inbox: Inbox, role: str) -> None:
    folders(top).require(inbox)
    (top / role).rename(top / "the share")
    (top / role).mkdir()  # the empty mount point
    for ours in (folders(top), folders(top)):
        assert fault_of(lambda ours=ours: ours.require(inbox)) == "NO_TOKEN"  # type: ignore[misc]
    assert os.listdir(top / role) == []


def test_a_share_that_is_unmounted_is_gone_until_it_is_back(top: Path, inbox: Inbox) -> None:
    ours = folders(top)
    with tmpfs(top / "outbox"):
        ours.require(inbox)
        os.rename(top / "outbox" / TOKEN, top / "outbox" / "away")
        assert fault_of(lambda: ours.require(inbox)) == "NO_TOKEN"
        os.rename(top / "outbox" / "away", top / "outbox" / TOKEN)
        ours.require(inbox)
    assert fault_of(lambda: ours.require(inbox)) == "NOT_MOUNTED"
    assert os.listdir(top / "outbox") == []


def test_another_folder_in_its_place_is_refused_until_a_person_accepts_it(top: Path, inbox: Inbox) -> None:
    folders(top).require(inbox)
    (top / "outbox" / TOKEN).write_text(f"{uuid.uuid4()}\n")
    assert fault_of(lambda: folders(top).require(inbox)) == "OTHER_TOKEN"
    with pytest.raises(FolderFault, match=r"watchfolder check --accept .*/outbox"):
        folders(top).require(inbox)
    folders(top).accept(str(top / "outbox"))
    folders(top).require(inbox)


def test_what_a_person_accepted_in_another_process_is_known_at_the_next_look(top: Path, inbox: Inbox) -> None:
    running = folders(top)
    running.require(inbox)
    (top / "outbox" / TOKEN).write_text(f"{uuid.uuid4()}\n")
    assert fault_of(lambda: running.require(inbox)) == "OTHER_TOKEN"
    folders(top).accept(str(top / "outbox"))
    running.require(inbox)
    running.accept(str(top / "inbox"))
    folders(top).require(inbox)  # neither has forgotten what the other remembered


def test_an_empty_folder_is_taken_when_a_person_says_so(top: Path, inbox: Inbox) -> None:
    folders(top).require(inbox)
    (top / "outbox" / TOKEN).unlink()
    folders(top).accept(str(top / "outbox"))
    folders(top).require(inbox)
    assert token(top / "outbox")


@pytest.mark.parametrize("role", ROLES)
def test_a_missing_folder_is_never_made(top: Path, inbox: Inbox, role: str) -> None:
    (top / role).rmdir()
    assert fault_of(lambda: folders(top).require(inbox)) == "ENOENT"
    assert not (top / role).exists()


def test_a_token_of_another_watchfolder_is_shared_not_replaced(top: Path, inbox: Inbox) -> None:
    (top / "outbox" / TOKEN).write_text("theirs\n")
    folders(top).require(inbox)
    assert token(top / "outbox") == "theirs"


@pytest.mark.parametrize("content", [b"", b"\n", b"\0" * 37])
def test_a_token_that_a_power_cut_emptied_is_no_folder_of_ours_until_accepted(
    top: Path, inbox: Inbox, content: bytes
) -> None:
    folders(top).require(inbox)
    (top / "outbox" / TOKEN).write_bytes(content)
    assert fault_of(lambda: folders(top).require(inbox)) == "NO_TOKEN"
    folders(top).accept(str(top / "outbox"))
    folders(top).require(inbox)
    assert len(token(top / "outbox") or "") == 36


def test_a_link_in_the_token_s_place_is_not_followed(top: Path, inbox: Inbox) -> None:
    (top / "secret").write_text("secret")
    (top / "outbox" / TOKEN).symlink_to("../secret")
    with pytest.raises(FolderFault):
        folders(top).require(inbox)
    assert (top / "secret").read_text() == "secret"


@pytest.mark.parametrize("content", [b"", b"[]", b"\0\0", b'{"half'])
def test_a_broken_memory_takes_the_folders_as_they_are(
    top: Path, inbox: Inbox, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    folders(top).require(inbox)
    before = token(top / "outbox")
    (top / "state/folders.json").write_bytes(content)
    folders(top).require(inbox)
    assert token(top / "outbox") == before
    assert "state.unreadable" in caplog.messages


def test_inboxes_that_meet_their_shared_outbox_at_once_agree_on_its_token(top: Path) -> None:
    for attempt in range(20):
        (top / f"out{attempt}").mkdir()
        ours = folders(top)
        start = threading.Barrier(4)

        def meet(
            ours: Folders = ours, path: str = str(top / f"out{attempt}"), start: threading.Barrier = start
        ) -> None:
            start.wait(10)
            ours.require_folder(path)

        threads = [threading.Thread(target=meet) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        folders(top).require_folder(str(top / f"out{attempt}"))
        ours.require_folder(str(top / f"out{attempt}"))
    assert len(json.loads((top / "state/folders.json").read_text())) == 20


# --- originals


def test_the_default_originals_folder_is_made_beside_the_inbox(top: Path, inbox: Inbox) -> None:
    folders(top).require(inbox)
    assert (top / "originals").is_dir()


def test_an_originals_folder_that_was_there_and_is_gone_is_not_made_again(top: Path, inbox: Inbox) -> None:
    folders(top).require(inbox)
    (top / "originals").rename(top / "moved away")
    assert fault_of(lambda: folders(top).require(inbox)) == "ENOENT"
    assert not (top / "originals").exists()


def test_an_originals_folder_of_one_s_own_choice_is_not_made(top: Path) -> None:
    inbox = an_inbox(top, originals=str(top / "elsewhere"))
    assert fault_of(lambda: folders(top).require(inbox)) == "ENOENT"
    assert not (top / "elsewhere").exists()


def test_where_originals_are_deleted_no_folder_is_made(top: Path) -> None:
    folders(top).require(an_inbox(top, originals="delete"))
    assert not (top / "originals").exists()


# --- sole use


def test_the_work_folder_is_ours_alone(top: Path, inbox: Inbox) -> None:
    folders(top).require(inbox)
    work = top / "inbox/.watchfolder"
    assert stat.S_IMODE(work.stat().st_mode) == stat.S_IMODE((work / MINE).stat().st_mode) == 0o700
    assert set(json.loads((work / MINE / OWNER).read_text())) == {"host", "since"}
    assert folders(top).work(inbox).path == str(work / MINE)


def test_a_work_folder_outside_the_inbox_is_used_as_configured(top: Path) -> None:
    inbox = an_inbox(top, work=str(top / "work"))
    folders(top).require(inbox)
    assert (top / "work" / MINE / OWNER).exists()
    assert not (top / "inbox/.watchfolder").exists()


@pytest.mark.parametrize("name", [".watchfolder", f".watchfolder/{MINE}"])
def test_a_work_folder_that_was_exchanged_for_a_link_is_refused(top: Path, inbox: Inbox, name: str) -> None:
    (top / "outside").mkdir()
    (top / "inbox" / name).parent.mkdir(exist_ok=True)
    (top / "inbox" / name).symlink_to(top / "outside")
    with pytest.raises(FolderFault):
        folders(top).require(inbox)
    assert os.listdir(top / "outside") == []


def test_a_work_folder_deeper_in_the_inbox_is_reached_through_no_link_either(top: Path) -> None:
    (top / "outside").mkdir()
    (top / "inbox/.deep").symlink_to(top / "outside")
    with pytest.raises(FolderFault):
        folders(top).require(an_inbox(top, work=str(top / "inbox/.deep/work")))
    assert os.listdir(top / "outside") == []


def a_picture_of_theirs(top: Path) -> Path:
    folders(top / "other", THEIRS).require(an_inbox(top))
    folder = top / "inbox/.watchfolder" / THEIRS / KEY / "sub"
    folder.mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"picture")
    return folder / "a.jpg"


@pytest.fixture
def picture(top: Path) -> Path:
    (top / "other/state").mkdir(parents=True)
    return a_picture_of_theirs(top)


def test_an_inbox_where_another_watchfolder_works_is_refused_and_untouched(
    top: Path, inbox: Inbox, picture: Path
) -> None:
    before = sorted(path for path in (top / "inbox").rglob("*"))
    assert fault_of(lambda: folders(top).require(inbox)) == "OTHER_INSTANCE"
    with pytest.raises(FolderFault, match=rf"host {os.uname().nodename}, since 20.*--adopt"):
        folders(top).require(inbox)
    assert sorted(path for path in (top / "inbox").rglob("*")) == before
    assert picture.read_bytes() == b"picture"


@pytest.mark.parametrize("content", [b"", b"[]", b'{"host": 1}', b"\xff"])
def test_another_watchfolder_is_refused_whatever_it_says_of_itself(
    top: Path, inbox: Inbox, picture: Path, content: bytes
) -> None:
    (picture.parents[2] / OWNER).write_bytes(content)
    assert fault_of(lambda: folders(top).require(inbox)) == "OTHER_INSTANCE"


def in_sole_use(ours: Folders, inbox: Inbox) -> bool:
    try:
        ours.require(inbox)
    except FolderFault as fault:
        assert fault.code == "OTHER_INSTANCE"  # noqa: PT017 - any other is a fault of the test's
        return False
    return True


@pytest.mark.parametrize("first", [MINE, THEIRS])
def test_of_two_that_meet_a_fresh_inbox_in_the_same_instant_one_wins(
    top: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """Let the second come at each call of the first's."""
    (top / "other/state").mkdir(parents=True)
    at, was_met = 0, True
    while was_met:
        at, was_met, count = at + 1, False, 0
        one, other = folders(top, first), folders(top / "other", THEIRS if first == MINE else MINE)

        def meet(call: Callable[..., Any], other: Folders = other, at: int = at) -> Callable[..., Any]:
            def met(*what: object, **how: object) -> object:
                nonlocal count, was_met
                count += 1
                if count == at:
                    was_met = True
                    in_sole_use(other, inbox)
                return call(*what, **how)

            return met

        with monkeypatch.context() as amid:
            for name in ("folders_in", "stat_of", "make_folder", "write_atomically", "remove_empty_folders"):
                amid.setattr(disk, name, meet(getattr(disk, name)))
            in_sole_use(one, inbox)
        uses = [(in_sole_use(one, inbox), in_sole_use(other, inbox)) for _ in range(3)]
        assert uses[1] == uses[2], at
        assert sorted(uses[2]) == [False, True], at
        assert sorted(uses[0]) in ([False, True], [False, False]), at
        shutil.rmtree(top / "inbox/.watchfolder")
    assert at > 5


def test_two_that_meet_fresh_folders_in_the_same_instant_know_them_by_one_token(top: Path, inbox: Inbox) -> None:
    for _ in range(20):
        both = [folders(top), folders(top, "check")]
        barrier = threading.Barrier(2)
        seen: list[str] = []

        def meet(ours: Folders, barrier: threading.Barrier = barrier, seen: list[str] = seen) -> None:
            barrier.wait(20)
            for path in (inbox.path, inbox.outbox, inbox.quarantine):
                ours.require_folder(path)
                seen.append(path)

        threads = [threading.Thread(target=meet, args=(ours,)) for ours in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(seen) == 6
        for ours in (*both, folders(top)):
            ours.require_folder(inbox.path)
        assert set(json.loads((top / "state/folders.json").read_text())) >= {inbox.path, inbox.outbox}
        for path in (inbox.path, inbox.outbox, inbox.quarantine, str(top / "state")):
            shutil.rmtree(path)
            os.mkdir(path)


def test_a_token_that_a_power_cut_left_empty_is_written_anew(top: Path, inbox: Inbox) -> None:
    (top / "inbox" / TOKEN).write_bytes(b"\0" * 37)
    folders(top).require_folder(inbox.path)
    assert token(top / "inbox")


def test_a_look_for_another_takes_a_run_that_has_just_begun_for_our_own(top: Path, inbox: Inbox) -> None:
    ours = folders(top)
    named: list[str] = []

    def is_named() -> str:
        return named[0] if named else ""

    ours.require_no_other(inbox, is_named)
    ours.require(inbox)
    named.append(MINE)
    ours.require_no_other(inbox, is_named)
    assert fault_of(lambda: ours.require_no_other(inbox, lambda: THEIRS)) == "OTHER_INSTANCE"


@pytest.mark.parametrize("role", ["outbox", "quarantine", "originals"])
def test_adoption_sweeps_what_the_old_one_left_hidden(top: Path, inbox: Inbox, picture: Path, role: str) -> None:
    hidden = top / role / ".watchfolder"
    hidden.mkdir(parents=True)
    (hidden / f".wf-{THEIRS[:8]}-0dead0-12345678.tmp").write_bytes(b"a result, half")
    (hidden / ".wf-99999999-0dead0-12345678.tmp").write_bytes(b"another's")
    (top / role / f".wf-{THEIRS[:8]}-0dead0-12345678.tmp").write_bytes(b"half a token")
    assert folders(top).adopt(inbox) == 1
    assert os.listdir(hidden) == [".wf-99999999-0dead0-12345678.tmp"]
    assert not (top / role / f".wf-{THEIRS[:8]}-0dead0-12345678.tmp").exists()
    assert not picture.exists()


def test_adoption_takes_over_the_orders_and_the_inbox(top: Path, inbox: Inbox, picture: Path) -> None:
    (picture.parents[2] / ".wf-state-000000-12345678.tmp").touch()  # a write of theirs that was cut
    ours = folders(top)
    assert ours.adopt(inbox) == 1
    ours.require(inbox)
    work = top / "inbox/.watchfolder"
    assert (work / MINE / KEY / "sub/a.jpg").read_bytes() == b"picture"
    assert os.listdir(work) == [MINE]
    assert stat.S_IMODE((work / MINE).stat().st_mode) == 0o700
    assert ours.adopt(inbox) == 0


def test_an_adoption_that_was_cut_is_finished(
    top: Path, inbox: Inbox, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (picture.parents[2] / str(uuid.uuid4())).mkdir()
    move = disk.move
    moved: list[disk.Place] = []

    def once(source: disk.Place, target: disk.Place, **how: Any) -> None:  # noqa: ANN401 - whatever it takes
        if moved:
            raise KeyboardInterrupt
        moved.append(source)
        move(source, target, **how)

    monkeypatch.setattr(disk, "move", once)
    with pytest.raises(KeyboardInterrupt):
        folders(top).adopt(inbox)
    monkeypatch.undo()
    assert folders(top).adopt(inbox) == 1
    folders(top).require(inbox)
    assert len(list((top / "inbox/.watchfolder" / MINE).glob("*-*"))) == 2


def test_other_things_in_the_work_folder_are_nobody_s_instance(top: Path, inbox: Inbox) -> None:
    (top / "inbox/.watchfolder/lost+found").mkdir(parents=True)
    (top / "inbox/.watchfolder" / THEIRS).touch()
    folders(top).require(inbox)


# --- room


@pytest.mark.parametrize("role", ["outbox", "quarantine", "originals"])
def test_every_destination_must_hold_the_order_twice(top: Path, inbox: Inbox, role: str) -> None:
    with tmpfs(top / role, size="64k"):
        ours = folders(top)
        ours.require(inbox)
        free = disk.room_in(str(top / role)).free
        ours.require_room(inbox, free // 2)
        assert fault_of(lambda: ours.require_room(inbox, free // 2 + 1)) == "ENOSPC"


def test_the_outbox_must_hold_each_copy_twice(top: Path) -> None:
    mark = {"service": "watermark-embed", "watermark": {"recipients": ["dpa", "afp", "Reuters"]}}
    inbox, ours = an_inbox(top, **mark), folders(top)
    with tmpfs(top / "outbox", size="64k"):
        ours.require(inbox)
        most = disk.room_in(inbox.outbox).free // 3 // 2
        assert ours.room_for_order(inbox) == most
        ours.require_room(inbox, most)
        assert fault_of(lambda: ours.require_room(inbox, most + 1)) == "ENOSPC"


def test_a_destination_that_we_may_not_write_to_is_named_with_its_rights(
    top: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders(top).require(inbox)
    monkeypatch.setattr(disk, "may_write", lambda path: path != inbox.quarantine)  # root may write anywhere
    told = r"/quarantine: we may not write there \(owner .*, mode 0\d{3}; as root, run: .*\)"
    with pytest.raises(FolderFault, match=told):
        folders(top).require_room(inbox, 1)


def test_a_destination_that_vanished_is_a_fault_not_a_surprise(top: Path, inbox: Inbox) -> None:
    folders(top).require(inbox)
    (top / "outbox").rename(top / "away")
    with pytest.raises(FolderFault):
        folders(top).require_room(inbox, 1)
