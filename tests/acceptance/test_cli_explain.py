"""`watchfolder explain`: one file, wherever it is, and what there is to know about it."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_studio import PICTURE, Studio, quarantined_order

from watchfolder.command_line import Advised
from watchfolder.disk import Place, write_atomically
from watchfolder.history import all_ended
from watchfolder.order import State
from watchfolder.sandbox import Sandbox


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Return a studio in which one picture has been delivered and another one quarantined."""
    with Sandbox(processing_seconds=0.1) as sandbox:
        studio = Studio(tmp_path_factory.mktemp("studio"), sandbox.url)
        studio.drop("below/good ü.jpg")
        studio.drop("bad_fail.jpg")
        assert studio.run("run", "--once").returncode == 1
        yield studio


def explained(studio: Studio, path: str | Path) -> str:
    done = studio.run("explain", str(path))
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def leaving(studio: Studio) -> Iterator[None]:
    """Let another inbox stand in the configuration in place of `photos`."""
    tree = yaml.safe_load(studio.config.read_text(encoding="utf-8"))
    for name in ("path", "outbox", "quarantine", "originals"):
        (studio.root / "others" / name).mkdir(parents=True, exist_ok=True)
        tree["inboxes"]["photos"][name] = str(studio.root / "others" / name)
    tree["inboxes"] = {"others": tree["inboxes"]["photos"]}
    studio.config.write_text(yaml.safe_dump(tree), encoding="utf-8")
    yield
    studio.configure()


def test_a_settled_picture_will_be_taken_but_for_the_daemon_that_does_not_run(studio: Studio) -> None:
    path = studio.drop("new.jpg")
    os.utime(path)
    studio.configure(settle_seconds=0)
    told = explained(studio, path)
    studio.configure()
    assert told.startswith("It is ready to be taken")
    assert "not running" in told


@pytest.mark.parametrize(
    ("path", "end"),
    [
        ("inbox/never taken.jpg", ""),
        ("inbox/below/good ü.jpg", "Delivered "),
        ("outbox/below/good ü.jpg", "Delivered "),
        ("quarantine/bad_fail.jpg", "Quarantined "),
        ("inbox", ""),
    ],
)
def test_a_file_whose_inbox_left_the_configuration_is_told_with_it(studio: Studio, path: str, end: str) -> None:
    with leaving(studio):
        told, foreign = explained(studio, studio.root / path), studio.run("explain", "/srv/a.jpg")
    assert told.startswith("It belongs to an inbox that left the configuration (photos).\n" + end)
    assert "Put these inboxes back into the configuration to go on, then " in told
    assert "lies in no folder of ours. The inboxes are: others" in foreign.stderr


def test_of_two_inboxes_that_left_the_one_whose_folder_it_is_is_told(studio: Studio) -> None:
    entries = []
    for inbox in ("photos", "scans"):
        order = quarantined_order("same.jpg", inbox, last_error=f"{inbox} is slow")
        order = order.having(state=State.CREATED, times={**order.times, State.CREATED: order.times[State.CLAIMING]})
        entries.append(Place(str(studio.folder("state")), f"journal/{order.key}.json"))
        write_atomically(entries[-1], order.model_dump_json().encode())
    with leaving(studio):
        told = explained(studio, studio.folder("inbox") / "same.jpg")
    for entry in entries:
        Path(entry.path).unlink()
    assert told.startswith("It belongs to an inbox that left the configuration (photos).\n")
    assert "photos is slow" in told
    assert "scans" not in told


def test_a_fresh_file_waits(studio: Studio) -> None:
    studio.configure(settle_seconds=3600)
    told = explained(studio, studio.drop("fresh.jpg"))
    studio.configure()
    assert told.startswith("It waits")
    assert "3600 s" in told


def test_a_file_that_another_program_writes_waits(studio: Studio) -> None:
    studio.configure(settle_seconds=0)
    path = studio.drop("written.jpg")
    with path.open("ab"):
        told = explained(studio, path)
    studio.configure()
    assert "still writing" in told


def test_a_name_that_is_left_alone_names_the_pattern(studio: Studio) -> None:
    assert "*.part" in explained(studio, studio.drop("a.jpg.part"))


def test_a_picture_that_never_becomes_whole_is_told_with_what_to_do(studio: Studio) -> None:
    path = studio.drop("half.jpg", PICTURE[: len(PICTURE) // 2])
    studio.configure(settle_seconds=0, incomplete_seconds=0)
    told = explained(studio, path)
    studio.configure()
    path.unlink()
    assert told.startswith("It will be moved to quarantine: ")
    assert "What to do: " in told


def test_a_document_stays(studio: Studio) -> None:
    studio.configure(settle_seconds=0)
    told = explained(studio, studio.drop("notes.pdf", b"%PDF-1.7 and more"))
    studio.configure()
    assert told.startswith("It stays")


def test_a_relative_path_will_do(studio: Studio) -> None:
    studio.drop("b.jpg.part")
    assert "*.part" in explained(studio, "inbox/b.jpg.part")


def test_a_link_to_the_inbox_leads_there(studio: Studio) -> None:
    studio.drop("c.jpg.part")
    link = studio.root / "shortcut"
    link.symlink_to(studio.folder("inbox"))
    assert "*.part" in explained(studio, link / "c.jpg.part")


@pytest.mark.parametrize("where", ["inbox/below/good ü.jpg", "outbox/below/good ü.jpg", "originals/below/good ü.jpg"])
def test_a_delivered_picture_is_known_by_its_name_wherever_it_is_asked_for(studio: Studio, where: str) -> None:
    told = explained(studio, where)
    assert told.startswith("Delivered ")
    assert str(studio.folder("outbox") / "below/good ü.jpg") in told


def test_a_delivered_picture_is_known_by_its_bytes_when_a_person_has_renamed_it(studio: Studio) -> None:
    renamed = studio.folder("outbox") / "renamed.jpg"
    renamed.write_bytes((studio.folder("outbox") / "below/good ü.jpg").read_bytes())
    assert "below/good ü.jpg" in explained(studio, renamed)


def test_a_file_that_somebody_else_put_into_the_outbox_is_none_of_ours(studio: Studio) -> None:
    foreign = studio.folder("outbox") / "foreign.jpg"
    foreign.write_bytes(b"mine")
    assert "did not put this file here" in explained(studio, foreign)


@pytest.mark.parametrize("name", ["bad_fail.jpg", "bad_fail.jpg.why.txt"])
def test_a_quarantined_picture_tells_why_and_what_to_do(studio: Studio, name: str) -> None:
    told = explained(studio, studio.folder("quarantine") / name)
    assert told.startswith("In quarantine since ")
    assert "What to do: " in told
    assert "watchfolder retry" in told


def test_a_quarantined_picture_whose_note_was_thrown_away_can_go_back(studio: Studio) -> None:
    path = studio.set_aside("lone.jpg")
    (path.parent / "lone.jpg.why.txt").unlink()
    told = explained(studio, path)
    assert ": its note is missing\nTo move it back into the inbox: " in told
    path.unlink()


def test_a_quarantined_picture_is_found_by_the_name_it_had_in_the_inbox(studio: Studio) -> None:
    assert "Quarantined " in explained(studio, "inbox/bad_fail.jpg")


def test_a_picture_in_the_work_folder_shows_its_order(studio: Studio) -> None:
    order = quarantined_order("at work.jpg", order_id="17")
    order = order.having(state=State.CREATED, times={**order.times, State.CREATED: order.times[State.CLAIMING]})
    write_atomically(Place(str(studio.folder("state")), f"journal/{order.key}.json"), order.model_dump_json().encode())
    work = studio.folder("inbox") / ".watchfolder/00000000-0000-4000-8000-000000000000" / order.key
    for path in (work / "at work.jpg", "inbox/at work.jpg"):
        told = explained(studio, path)
        assert "is being uploaded, since " in told
        assert f"wf-{order.key}, at the service 17" in told
    file = order.files[0]
    delivered = file.having(results=(file.result.having(delivered_at=datetime.now(UTC)),))
    now = order.times[State.CLAIMING]
    order = order.having(state=State.COMPLETED, files=(delivered,), times={**order.times, State.COMPLETED: now})
    write_atomically(Place(str(studio.folder("state")), f"journal/{order.key}.json"), order.model_dump_json().encode())
    told = explained(studio, work / "at work.jpg")
    assert told.startswith("It has been delivered, and its original is on the way to its place.\n")


EMBED = {"service": "watermark-embed", "watermark": {"text": "{recipient}", "recipients": ["dpa"]}, "duplicates": None}


@pytest.mark.parametrize(
    ("facts", "sha256", "settings", "words"),
    [
        ({}, hashlib.sha256(PICTURE).hexdigest(), {}, "It is the same picture as one under way"),
        ({}, None, {}, "It may be the same picture as one under way"),
        ({}, "0" * 64, {}, ""),
        ({}, None, {"duplicates": "again"}, ""),
        ({}, None, {"strength": "low"}, ""),
        ({"mode": "test"}, None, {}, ""),
        ({"service": "watermark-embed", "options": {}}, None, EMBED, ""),  # each picture gets texts of its own
    ],
    ids=["same bytes", "not read yet", "other bytes", "again", "another strength", "a test key's", "texts"],
)
def test_a_file_that_waits_for_the_result_of_the_same_picture_names_its_order(
    tmp_path: Path, facts: Mapping[str, Any], sha256: str | None, settings: Mapping[str, Any], words: str
) -> None:
    studio = Studio(tmp_path)
    usual: dict[str, Any] = {"duplicates": "reuse", "settle_seconds": 0}
    studio.configure(**{**usual, **settings})
    order = quarantined_order("first.jpg", **facts)
    times = {State.CLAIMING: order.times[State.CLAIMING], State.CLAIMED: order.times[State.CLAIMING]}
    files = (order.files[0].having(sha256=sha256),)
    order = order.having(state=State.CLAIMED, times=times, files=files, why=None)
    write_atomically(Place(str(studio.folder("state")), f"journal/{order.key}.json"), order.model_dump_json().encode())
    told = explained(studio, studio.drop("second.jpg"))
    assert told.startswith("It is ready to be taken")
    assert ("the same picture" in told, order.name in told) == (bool(words), bool(words))
    assert words in told


def test_a_folder_of_the_inbox_is_summed_up_by_what_its_files_wait_for(studio: Studio) -> None:
    for number in range(5):
        studio.drop(f"wedding/{number}.jpg")
    studio.drop("wedding/list.txt", b"a list")
    studio.drop("wedding/deep/half.jpg.part")
    studio.configure(settle_seconds=3600)
    told = explained(studio, "inbox/wedding").splitlines()
    studio.configure()
    assert told[0] == f"7 files in {studio.folder('inbox')}/wedding:"
    (waiting,) = [line for line in told if "waiting: it changed less than 3600 s ago" in line]
    assert waiting.split()[0] == "6"
    assert waiting.endswith(" and 3 more")
    assert any(line.startswith("  1 left alone: names like *.part") and "deep/half.jpg.part" in line for line in told)
    assert "not running" in told[-1]


def test_of_a_folder_with_very_many_files_some_are_looked_into(studio: Studio) -> None:
    for number in range(3):
        studio.drop(f"many/{number}.jpg")
    studio.waits["console.commands.explain_folder._MOST_FILES"] = 2
    told = explained(studio, "inbox/many")
    del studio.waits["console.commands.explain_folder._MOST_FILES"]
    assert told.startswith("3 files in ")
    assert "\n  1 not looked into\n" in told


def test_the_inbox_itself_and_an_empty_folder_are_folders_as_well(studio: Studio) -> None:
    (studio.folder("inbox") / "empty").mkdir(exist_ok=True)
    assert f"0 files in {studio.folder('inbox')}/empty." in explained(studio, "inbox/empty")
    told = explained(studio, "inbox")
    assert told.splitlines()[0].endswith(f" in {studio.folder('inbox')}:")
    assert ".watchfolder-id" not in told, "it is ours"


def test_a_folder_tells_of_its_files_that_are_under_way_and_what_keeps_them(studio: Studio) -> None:
    order = quarantined_order("trip/1.jpg", last_error="the service is tired")
    order = order.having(state=State.CREATED, times={**order.times, State.CREATED: order.times[State.CLAIMING]})
    entry = Place(str(studio.folder("state")), f"journal/{order.key}.json")
    write_atomically(entry, order.model_dump_json().encode())
    (studio.folder("inbox") / "trip").mkdir(exist_ok=True)
    told = explained(studio, "inbox/trip")
    Path(entry.path).unlink()
    assert "1 file of this folder under way" in told
    assert "1: the last try failed: the service is tired: 1.jpg" in told


def test_the_work_folder_is_told_for_what_it_is(studio: Studio) -> None:
    assert "pictures lie here while they are worked on" in explained(studio, "inbox/.watchfolder")
    work = "inbox/.watchfolder/00000000-0000-4000-8000-000000000000"
    assert "the journal knows no such order" in explained(studio, f"{work}/0/a.jpg")
    (delivered,) = {end.key for end in all_ended([], str(studio.folder("state"))) if end.is_delivered}
    assert "Delivered " in explained(studio, f"{work}/{delivered}/below/good ü.jpg")


def test_a_parked_picture_has_nothing_that_keeps_it(studio: Studio) -> None:
    order = quarantined_order("parked.jpg", state=State.QUARANTINED)
    entry = Place(str(studio.folder("state")), f"journal/{order.key}.json")
    write_atomically(entry, order.model_dump_json().encode())
    told = explained(studio, "inbox/parked.jpg")
    Path(entry.path).unlink()
    assert told.startswith("It is in quarantine, since ")
    assert "But: " not in told


def test_the_quarantine_is_summed_up_by_its_reasons(studio: Studio) -> None:
    for number in range(4):
        studio.set_aside(f"summed up/{number}.jpg")
    told = explained(studio, studio.folder("quarantine") / "summed up")
    assert "4 The service could not process it: " in told
    assert studio.typed.to(Advised.RETRY, f"{studio.folder('quarantine')}/summed up") in told
    (studio.folder("quarantine") / "empty").mkdir()
    assert explained(studio, "quarantine/empty") == f"0 files in {studio.folder('quarantine')}/empty.\n"


@pytest.mark.parametrize("role", ["outbox", "originals"])
def test_a_folder_of_deliveries_tells_which_are_ours(studio: Studio, role: str) -> None:
    for name in ("foreign.jpg", "good ü.jpg.xmp"):
        (studio.folder(role) / "below" / name).write_bytes(b"mine")
    told = explained(studio, f"{role}/below")
    assert "1 put here by watchfolder: good ü.jpg" in told
    assert "1 tables of ours, and what lies beside a picture: good ü.jpg.xmp" in told
    assert "1 not known by this name to the history: foreign.jpg" in told


def test_an_outbox_that_is_the_next_inbox_tells_why_that_one_waits(tmp_path: Path) -> None:
    studio = Studio(tmp_path)
    folders = {"path": "outbox", "outbox": "last", "quarantine": "quarantine", "originals": "kept"}
    studio.configure(inboxes={"next": {role: str(tmp_path / name) for role, name in folders.items()}})
    for folder in ("last", "kept"):
        studio.folder(folder).mkdir()
    picture = studio.folder("outbox") / "a.jpg"
    picture.write_bytes(PICTURE)
    told = studio.run("explain", str(picture)).stdout
    assert "In the inbox next: It " in told
    assert "watchfolder is not running" in told
    whole = studio.run("explain", str(studio.folder("outbox"))).stdout
    assert "In the inbox next: 1 file in " in whole
    assert "watchfolder is not running" in whole


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("inbox", "no file of this name has been taken from this inbox"),
        ("outbox", "There is no such file in outbox, and the history knows none of this name."),
        ("originals", "There is no such file in originals, and the history knows none of this name."),
        ("quarantine", "There is no such file in quarantine."),
    ],
)
def test_a_name_that_nobody_knows(studio: Studio, role: str, words: str) -> None:
    assert words in explained(studio, f"{role}/never.jpg")


def test_a_path_outside_is_answered_with_the_inboxes_that_there_are(studio: Studio) -> None:
    done = studio.run("explain", "/etc/hostname")
    assert done.returncode == 2
    assert str(studio.folder("inbox")) in done.stderr


def test_it_leaves_the_file_as_it_was(studio: Studio) -> None:
    path = studio.drop("same.jpg")
    before = path.stat()
    explained(studio, path)
    after = path.stat()
    assert (after.st_mtime_ns, after.st_ctime_ns, path.read_bytes()) == (
        before.st_mtime_ns,
        before.st_ctime_ns,
        PICTURE,
    )


@pytest.mark.parametrize(("folder", "words"), [("test", "with a test key"), ("originals", "has had another service")])
def test_an_original_that_is_kept_in_quarantine_has_not_failed(studio: Studio, folder: str, words: str) -> None:
    def failed() -> int:
        number: int = json.loads(studio.run("status", "--json").stdout)["inboxes"]["photos"]["quarantined"]
        return number

    before = failed()
    path = studio.folder("quarantine") / folder / "a.jpg"
    path.parent.mkdir()
    path.write_bytes(PICTURE)
    assert words in explained(studio, path)
    assert failed() == before
