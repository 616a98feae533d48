"""What is taken from the inbox, when, and what is left there: a real disk, the clock in the test's hands."""

import json
import logging
import os
import random
import re
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from rights import NOBODY, as_root, nobodys_folder
from shop import OTHER, PICTURE, Shop, opened, told, work_place

from watchfolder import disk, intake
from watchfolder.config import Inbox
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.intake import Action, Decision, UnderWay, explain
from watchfolder.intake.decide import Sighting, decide
from watchfolder.order import Order, State
from watchfolder.pipeline import timing
from watchfolder.sandbox.pictures import sample
from watchfolder.services import named
from watchfolder.services.anti_ai import ANTI_AI

RAW_PICTURE = b"II*\0\x10\0\0\0CR\x02\0" + bytes(5000)
Build = Callable[..., Shop]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(opened(Shop(tmp_path, **{"settle_seconds": 5.0} | settings)))


def names(shop: Shop) -> list[str]:
    return sorted(file.name for order in shop.orders() for file in order.files)


def decision(shop: Shop, name: str) -> Decision:
    answer = explain(shop.intake.inbox, name, time.monotonic() + 100, time.time() + 100)
    assert isinstance(answer, Decision)
    return answer


# --- quiet


@pytest.mark.parametrize("age_seconds", [10 * 365 * 86_400, -10 * 365 * 86_400], ids=["old", "from the future"])
def test_a_file_waits_from_our_first_sight_whatever_its_mtime(build: Build, age_seconds: int) -> None:
    shop = build()
    path = shop.drop("a.jpg")
    os.utime(path, (time.time() - age_seconds,) * 2)
    shop.look(0.0)
    shop.look(4.9)
    assert names(shop) == []
    shop.look(5.0)
    assert names(shop) == ["a.jpg"]
    assert shop.files("inbox") == []


def test_a_change_between_two_looks_starts_the_clock_again(build: Build) -> None:
    shop = build()
    path = shop.drop("a.jpg")
    shop.look(0.0)
    os.utime(path, ns=(1, 1))
    shop.look(5.0)  # the second look sees another mtime, though no event came
    shop.look(9.9)
    assert names(shop) == []
    shop.look(10.0)
    assert names(shop) == ["a.jpg"]


def test_a_file_that_was_empty_at_first_is_taken_once_filled_and_quiet(build: Build) -> None:
    shop = build(scan_seconds=100.0)
    shop.drop("a.jpg", b"")
    shop.look(0.0)
    shop.look(6.0)
    shop.drop("a.jpg")
    shop.intake.nudge("a.jpg")
    shop.look(7.0)
    shop.look(11.9)
    assert names(shop) == []
    shop.look(12.0)
    assert names(shop) == ["a.jpg"]


def test_an_event_starts_the_clock_again(build: Build) -> None:
    shop = build(scan_seconds=100.0)
    shop.drop("a.jpg")
    shop.look(0.0)
    shop.intake.nudge("a.jpg")
    shop.look(4.0)
    shop.look(8.9)
    assert names(shop) == []
    shop.look(9.0)
    assert names(shop) == ["a.jpg"]


def test_an_event_counts_also_when_a_scan_comes_with_it(build: Build) -> None:
    shop = build(scan_seconds=4.0)
    shop.drop("a.jpg")
    shop.look(0.0)
    shop.intake.nudge("a.jpg")
    shop.look(4.0)
    shop.look(5.0)
    assert names(shop) == []


def test_a_touch_of_the_attributes_alone_does_not_start_the_clock_again(build: Build) -> None:
    shop = build()
    path = shop.drop("a.jpg")
    shop.look(0.0)
    os.chmod(path, 0o640)
    shop.look(5.0)
    assert names(shop) == ["a.jpg"]


def test_a_file_that_is_there_at_the_start_comes_through_the_same_wait(build: Build) -> None:
    shop = build(api={"reads": "v3"})
    for number in range(100):
        shop.drop(f"{number}.jpg")
    shop.look(0.0)
    assert names(shop) == []
    shop.look(5.0)
    assert len(names(shop)) == 100
    assert shop.files("inbox") == []


def orders(shop: Shop) -> list[list[str]]:
    return [sorted(file.name for file in order.files) for order in shop.orders()]


def test_a_settled_file_waits_half_a_second_at_most_for_others(build: Build) -> None:
    shop = build(api={"reads": "v3"})
    for number in range(8):  # one every tenth of a second, and a last one long after
        shop.drop(f"{number}.jpg")
        shop.intake.nudge(f"{number}.jpg")
        shop.look(number / 10)
    assert shop.look(5.0) == pytest.approx(5.1)
    shop.look(5.4)
    assert orders(shop) == []
    shop.look(5.51)
    assert orders(shop) == [[f"{number}.jpg" for number in range(6)]]


def test_a_lone_file_waits_for_none(build: Build) -> None:
    shop = build(api={"reads": "v3"})
    shop.drop("a.jpg")
    shop.look(0.0)
    shop.drop("b.jpg")
    shop.intake.nudge("b.jpg")
    shop.look(0.9)
    shop.look(5.0)
    assert orders(shop) == [["a.jpg"]]


def test_what_is_refused_is_no_part_of_an_order_of_many(build: Build) -> None:
    shop = build(api={"reads": "v3"}, max_file_bytes=len(PICTURE) + 1)
    for name in ("a.jpg", "c.jpg"):
        shop.drop(name)
    shop.drop("b.jpg", PICTURE + b"too long")
    shop.look(0.0)
    shop.look(5.0)
    assert sorted(orders(shop)) == [["a.jpg", "c.jpg"], ["b.jpg"]]
    assert [order.why is None for order in shop.orders() if len(order.files) > 1] == [True]


def test_a_file_that_waited_for_room_is_looked_at_again_before_its_claim(build: Build) -> None:
    shop = build(api={"reads": "v3"}, max_files_per_order=1)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        shop.drop(name)
    shop.look(0.0)
    shop.look(5.0)
    assert names(shop) == ["a.jpg"]  # the others wait until that is created
    shop.drop("b.jpg", OTHER + b"rewritten")  # no event tells of it
    (shop.folder("inbox") / "c.jpg").unlink()
    shop.look(10.0)
    shop.journal.advance(shop.order(), State.CREATED, order_id="1")
    shop.look(11.0)
    assert names(shop) == ["a.jpg"]
    shop.look(16.1)
    assert names(shop) == ["a.jpg", "b.jpg"]


def test_who_waits_for_room_asks_again_before_that_is_forgotten(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = build(orders_in_flight=1, scan_seconds=1000.0)
    shop.look(0.0)
    for name in ("a.jpg", "b.jpg"):
        shop.drop(name)
        shop.intake.nudge(name)
        shop.look(5.0)
        shop.look(10.0)
    assert names(shop) == ["a.jpg"]
    assert 10.0 < shop.look(10.0) < 10.0 + timing.WANTS_SECONDS
    monkeypatch.setattr(shop.pipeline.admission._quota, "meet", lambda *_: "a person is asked")
    assert shop.look(10.0) == 1000.0


def test_a_fault_amid_the_decisions_forgets_no_file(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = build(api={"reads": "v3"})
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        shop.drop(name)
    shop.look(0.0)

    def breaks(inbox: Inbox, name: str, sighting: Sighting, now: float) -> Decision:
        if name == "b.jpg":
            raise FolderFault("the share has gone", code="EIO")
        return decide(inbox, name, sighting, now)

    with monkeypatch.context() as patch:
        patch.setattr("watchfolder.intake.inbox.decide", breaks)
        shop.look(5.0)
    assert not shop.intake.health.is_open
    shop.look(6.0)
    shop.look(11.0)
    assert names(shop) == ["a.jpg", "b.jpg", "c.jpg"]


def test_what_a_failing_claim_leaves_there_is_not_met_anew(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = build(api={"reads": "v3"})
    met = list[int]()

    def meet(_inbox: str, new: int, _has_waiting: Callable[[], bool], _found: int) -> None:
        met.append(new)

    monkeypatch.setattr(shop.pipeline.admission._quota, "meet", meet)
    for number in range(3):
        shop.drop(f"{number}.jpg")
    with monkeypatch.context() as patch:
        patch.setattr(shop.journal, "begin", fail)
        for now in range(0, 30, 5):
            shop.look(float(now))
            assert shop.intake.candidates.first_waiting() == 0.0
    assert not shop.intake.health.is_open
    shop.look(30.0)
    shop.look(35.0)
    assert names(shop) == ["0.jpg", "1.jpg", "2.jpg"]
    assert sum(met) == 3


def test_what_waits_longest_is_told_however_many_files_stay(build: Build) -> None:
    shop = build()
    for number in range(1000):
        (shop.folder("inbox") / f"{number}.txt").write_bytes(b"notes")
    for now in (0.0, 5.0, 6.0, 7.0):
        shop.look(now)
    shop.drop("late.jpg")
    shop.look(10.0)
    assert shop.intake.counts(UnderWay.of((), 0.0)) == {"stay": 1000, "wait": 1, "raw": 0, "single": 0}
    assert shop.intake.candidates.first_waiting() == 10.0


def test_what_came_is_counted_once_though_that_cannot_be_written(build: Build) -> None:
    shop = build(budget={"burst": {"files": 2, "minutes": 2}})
    written = shop.folder("state") / "quota.json"
    written.mkdir()  # it cannot be written
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        shop.drop(name)
    for now in (0.0, 5.0, 10.0):
        shop.look(now)
        assert not shop.intake.health.is_open
    written.rmdir()
    shop.look(15.0)
    assert json.loads(written.read_text())["held"] == {"photos": "3 new files in 1 minute"}


def test_what_came_at_once_is_held_though_that_was_long_not_written(build: Build) -> None:
    shop = build(budget={"burst": {"files": 2, "minutes": 2}})
    written = shop.folder("state") / "quota.json"
    written.mkdir()  # it cannot be written
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        shop.drop(name)
    shop.look(0.0)
    shop.look(5.0)
    shop.clock.pass_time(600.0)
    shop.look(605.0)
    assert not shop.intake.health.is_open
    written.rmdir()
    shop.look(610.0)
    shop.look(615.0)
    assert names(shop) == []
    assert json.loads(written.read_text())["held"] == {"photos": "3 new files in 1 minute"}


def test_nothing_is_taken_once_a_step_has_found_that_a_folder_failed(build: Build) -> None:
    shop = build(api={"reads": "v3"})
    shop.drop("a.jpg")
    shop.look(0.0)
    shop.intake.health.report(FolderFault("the share has gone", code="EIO"))
    shop.intake.beat(5.0)
    assert names(shop) == []
    shop.look(6.0)
    assert names(shop) == ["a.jpg"]


def fail(_order: Order) -> None:
    raise FolderFault("the disk is full", code="ENOSPC")


def test_idle_means_that_nothing_settles(build: Build) -> None:
    shop = build()
    shop.drop("a.jpg")
    shop.look(0.0)
    assert not shop.intake.is_idle()
    shop.look(5.0)
    assert shop.intake.is_idle()


# --- closed


@contextmanager
def writer(path: bytes) -> Iterator[None]:
    """Another process that has the file open for writing."""
    code = "import sys; f = open(sys.argv[1], 'ab'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield


def test_a_file_that_another_process_writes_waits_until_it_is_closed(build: Build) -> None:
    shop = build()
    path = shop.drop("a.jpg")
    with writer(path):
        shop.look(0.0)
        shop.look(50.0)
        assert names(shop) == []
        assert shop.intake.candidates.left_waiting(shop.intake.allowance) == {
            "a.jpg": "another program is still writing it"
        }
        assert decision(shop, "a.jpg").answer is Action.WAIT
    shop.look(55.0)
    assert names(shop) == ["a.jpg"]


def test_a_writer_that_comes_amid_the_claim_gets_its_file_back(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = build()
    path = shop.drop("a.jpg")
    shop.look(0.0)
    with ExitStack() as stack:

        def decide_and_be_late(inbox: Inbox, name: str, sighting: Sighting, now: float) -> Decision:
            settled = decide(inbox, name, sighting, now)
            stack.enter_context(writer(path))
            return settled

        monkeypatch.setattr("watchfolder.intake.inbox.decide", decide_and_be_late)
        shop.look(5.0)
        assert shop.order().state is State.RELEASED
        shop.work(lambda: not shop.orders(), takes=False)
        assert shop.files("inbox") == ["a.jpg"]


def test_a_file_that_changes_amid_the_claim_of_many_is_seen_again_at_once(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = build(api={"reads": "v3"}, scan_seconds=1000.0)
    shop.drop("a.jpg")
    changing = shop.drop("b.jpg", OTHER)
    shop.look(0.0)
    move = disk.move

    def move_late(source: Place, target: Place, **options: Any) -> None:  # noqa: ANN401 - whatever it takes
        if source.path == os.fsdecode(changing):
            with open(changing, "ab") as file:
                file.write(b"more")
        move(source, target, **options)

    monkeypatch.setattr(disk, "move", move_late)
    assert shop.look(5.0) == 5.0
    monkeypatch.undo()
    assert names(shop) == ["a.jpg"]
    assert not shop.intake.is_idle()
    assert shop.look(5.0) == 10.0
    shop.look(10.0)
    assert shop.intake.candidates.left_waiting(shop.intake.allowance)["b.jpg"] == "it waits for its turn"


# --- whole


def test_a_cut_picture_waits_and_is_then_refused_as_truncated(build: Build) -> None:
    shop = build(incomplete_seconds=60.0)
    shop.drop("a.jpg", PICTURE[:-100])
    shop.look(0.0)
    shop.look(59.9)
    assert names(shop) == []
    assert "not complete" in shop.intake.candidates.left_waiting(shop.intake.allowance)["a.jpg"]
    shop.look(60.0)
    assert shop.order().why is not None
    shop.work(lambda: shop.files("quarantine"))
    assert shop.files("quarantine") == ["a.jpg", "a.jpg.why.txt"]
    assert "TRUNCATED" in (shop.folder("quarantine") / "a.jpg.why.txt").read_text()


def test_a_picture_whose_rest_comes_late_is_taken_whole(build: Build) -> None:
    shop = build(incomplete_seconds=60.0)
    path = shop.drop("a.jpg", PICTURE[:-100])
    shop.look(0.0)
    shop.look(50.0)
    shop.drop("a.jpg", PICTURE)
    shop.look(59.0)
    shop.look(64.0)
    assert shop.order().why is None
    assert shop.order().size == len(PICTURE)
    assert not os.path.exists(path)


def test_a_black_end_is_taken_only_after_long(build: Build) -> None:
    shop = build(incomplete_seconds=60.0)
    bitmap = sample("bmp", width=64, height=48, seed=1)
    os.truncate(shop.drop("a.bmp", bitmap[:5000]), len(bitmap))
    shop.look(0.0)
    shop.look(59.9)
    assert names(shop) == []
    shop.look(60.0)
    assert shop.order().why is None


def test_a_black_end_that_was_written_is_taken_at_once(build: Build) -> None:
    shop = build()
    black = b"BM" + struct.pack("<IIIIiiHH24x", 0, 0, 54, 40, 100, 100, 1, 24) + bytes(30_000)
    path = shop.drop("night.bmp", black)
    if disk_tells_nothing(path):
        pytest.skip("this file system does not tell of every extent; needs ext4, xfs or btrfs")
    shop.look(0.0)
    shop.look(5.0)
    assert names(shop) == ["night.bmp"]


def disk_tells_nothing(path: bytes) -> bool:
    with open(path, "rb") as file:
        return disk.find_hole(file.fileno(), 0) is None


def test_a_picture_with_a_hole_waits_until_that_is_filled(build: Build) -> None:
    shop = build(scan_seconds=1.0)
    chance = random.Random(1)  # noqa: S311 - a picture, no secret
    data = b"\xff\xd8\xff\xda\0\2" + bytes(chance.choices(range(1, 255), k=64 * 1024)) + b"\xff\xd9"
    path = shop.drop("a.jpg", b"")
    with open(path, "r+b") as file:
        file.write(data[:16_384])
        file.seek(32_768)
        file.write(data[32_768:])
    shop.look(0.0)
    shop.look(6.0)
    shop.look(100.0)
    assert names(shop) == []
    assert decision(shop, "a.jpg").answer is Action.WAIT
    assert "has not been written" in decision(shop, "a.jpg").reason
    with open(path, "r+b") as file:
        file.write(data)
    shop.look(101.0)
    shop.look(107.0)
    assert names(shop) == ["a.jpg"]


def test_a_picture_whose_film_is_still_being_copied_waits_for_it(build: Build) -> None:
    shop = build(scan_seconds=1.0)
    film = struct.pack(">I", 16) + b"ftypmp42\0\0\0\0" + struct.pack(">I", 12) + b"moov" + b"mmmm"
    film += struct.pack(">I", 5008) + b"mdat" + b"\x11" * 5000
    shop.drop("a.jpg", PICTURE + film[:3000])
    shop.look(0.0)
    shop.look(6.0)
    assert names(shop) == []
    assert "may not be complete" in decision(shop, "a.jpg").reason
    shop.drop("a.jpg", PICTURE + film)
    shop.look(7.0)
    shop.look(13.0)
    assert names(shop) == ["a.jpg"]


@pytest.mark.parametrize("is_rewritten", [True, False])
def test_a_file_rewritten_with_its_time_put_back_is_judged_by_what_it_holds_now(
    build: Build,
    is_rewritten: bool,
    tmp_path: Path,
) -> None:
    shop = build(incomplete_seconds=60.0)
    film = struct.pack(">I", 9000) + b"ftypmp42" + b"\x11" * 100
    path = shop.drop("a.jpg", PICTURE + film)
    shop.look(0.0)
    shop.look(5.0)
    assert names(shop) == []
    before = os.stat(path)
    os.link(path, tmp_path / "another link")
    if is_rewritten:
        os.truncate(path, 0)
        (tmp_path / "another link").write_bytes(PICTURE[:-2] + bytes(2 + len(film)))
    else:
        os.chmod(path, 0o600)  # which says no more than that, and must not begin the wait anew
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    shop.look(60.0)
    assert (shop.order().why is not None) == is_rewritten


def test_an_empty_file_waits_for_ever_with_one_warning(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    shop = build(incomplete_seconds=60.0)
    shop.drop("a.jpg", b"")
    for now in range(0, 600, 10):
        shop.look(float(now))
    assert names(shop) == []
    assert [fact["file"] for fact in told(caplog, "file.stays")] == ["a.jpg"]
    assert "empty" in shop.intake.candidates.remarks()["a.jpg"]
    shop.drop("a.jpg")
    shop.look(600.0)
    shop.look(605.0)
    assert names(shop) == ["a.jpg"]


# --- the name, the kind, the place


@pytest.mark.parametrize(
    "name",
    [".hidden.jpg", ".a/b.jpg", "@eaDir/b.jpg", "a.jpg.part", "~$a.jpg", "a.jpg.tmp", "x/.trash/b.jpg", "Thumbs.db"],
)
def test_what_is_not_for_us_is_never_touched(build: Build, name: str) -> None:
    shop = build()
    path = shop.drop(name)
    for now in (0.0, 5.0):
        shop.intake.nudge(name)
        shop.intake.nudge(name.partition("/")[0])
        shop.look(now)
    shop.look(50.0)
    assert names(shop) == []
    assert os.path.exists(path)
    assert isinstance(explain(shop.intake.inbox, name, 0.0, 0.0), str)


@pytest.mark.parametrize("name", [".watchfolder-id", "watermarks.csv", "a.jpg.ai.json", "my_draft.jpg", "a.part"])
def test_only_a_pattern_that_can_be_lifted_to_some_end_is_said_to_be(build: Build, name: str) -> None:
    shop = build(ignore=["*_draft.jpg"])
    said = explain(shop.intake.inbox, name, 0.0, 0.0)
    assert isinstance(said, str)
    assert re.findall(r"'(!.*?)'", said) == (["!*.part"] if name == "a.part" else [])


def test_a_lifted_pattern_is_taken_and_an_added_one_is_not(build: Build) -> None:
    shop = build(ignore=("!*.tmp", "proof-*"))
    shop.drop("a.tmp")
    shop.drop("proof-1.jpg")
    shop.look(0.0)
    shop.look(5.0)
    assert names(shop) == ["a.tmp"]


def test_a_folder_that_was_moved_in_is_looked_through_at_its_one_event(build: Build) -> None:
    shop = build(scan_seconds=1000.0)
    shop.look(0.0)
    shop.drop("shoot.tmp/day 1/a.jpg", inbox="elsewhere")
    os.rename(shop.folder("elsewhere") / "shoot.tmp", shop.folder("inbox") / "shoot.tmp")
    shop.intake.nudge("shoot.tmp")
    shop.look(1.0)
    shop.look(6.0)
    assert names(shop) == ["shoot.tmp/day 1/a.jpg"]


@pytest.mark.parametrize("first", [0.0, 1.0], ids=["by the timer", "by a nudge"])
def test_a_nudge_that_comes_amid_a_scan_brings_another(
    build: Build, monkeypatch: pytest.MonkeyPatch, first: float
) -> None:
    shop = build(scan_seconds=1000.0)
    scan, drops = disk.scan, iter(["a.jpg"])

    def scan_and_be_passed(root: str, *args: Any, **options: Any) -> Iterator[disk.Entry]:  # noqa: ANN401 - whatever it takes
        yield from scan(root, *args, **options)
        for name in drops if root == shop.intake.inbox.path and options.get("is_known") else ():
            shop.drop(name)
            shop.intake.nudge(None)

    if first:
        shop.look(0.0)
        shop.intake.nudge(None)
    monkeypatch.setattr(disk, "scan", scan_and_be_passed)
    assert shop.look(first) == first
    assert not shop.intake.is_idle()
    shop.look(2.0)
    shop.look(7.0)
    assert names(shop) == ["a.jpg"]


def test_sub_folders_are_left_alone_where_so_configured(build: Build) -> None:
    shop = build(recursive=False, scan_seconds=1000.0)
    shop.drop("a.jpg")
    shop.drop("sub/b.jpg")
    shop.look(0.0)
    shop.intake.nudge("sub")
    shop.intake.nudge("sub/b.jpg")
    shop.look(1.0)
    shop.look(6.0)
    assert names(shop) == ["a.jpg"]
    assert "recursive" in str(explain(shop.intake.inbox, "sub/b.jpg", 0.0, 0.0))


def test_links_and_pipes_stay_and_block_nothing(build: Build, tmp_path: Path) -> None:
    shop = build()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(PICTURE)
    inbox = shop.folder("inbox")
    (inbox / "link.jpg").symlink_to(outside / "secret.jpg")
    (inbox / "folder").symlink_to(outside)
    os.mkfifo(inbox / "pipe.jpg")
    shop.look(0.0)
    shop.look(5.0)
    assert names(shop) == []
    assert shop.files("inbox") == ["folder", "link.jpg", "pipe.jpg"]
    assert shop.intake.counts(UnderWay.of((), 0.0))["stay"] == 3
    assert decision(shop, "link.jpg").answer is Action.STAY


def test_a_link_that_is_gone_is_counted_no_more(build: Build) -> None:
    shop = build()
    link = shop.folder("inbox") / "link.jpg"
    link.symlink_to("/nowhere")
    shop.look(0.0)
    assert shop.intake.counts(UnderWay.of((), 0.0))["stay"] == 1
    link.unlink()
    shop.look(100.0)  # a scan's length comes before the next one's time
    assert shop.intake.counts(UnderWay.of((), 0.0)).get("stay", 0) == 0


def test_a_picture_that_is_swapped_for_a_link_is_not_followed(build: Build, tmp_path: Path) -> None:
    shop = build(scan_seconds=100.0)
    path = Path(os.fsdecode(shop.drop("a.jpg")))
    (tmp_path / "secret.jpg").write_bytes(PICTURE)
    shop.look(0.0)
    path.unlink()
    path.symlink_to(tmp_path / "secret.jpg")
    shop.look(5.0)
    assert names(shop) == []
    assert path.is_symlink()


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.jpg", b"%PDF-1.7\n" + bytes(5000), "Save the picture again"),
        ("a.cr2", RAW_PICTURE, "RAW converter"),
        ("a.heic", b"\0\0\0\x18ftypheic" + bytes(5000), ""),
    ],
)
def test_what_cannot_be_protected_goes_to_quarantine_with_advice(
    build: Build, name: str, content: bytes, word: str
) -> None:
    shop = build(raw="quarantine")
    shop.drop(name, content)
    shop.look(0.0)
    shop.look(5.0)
    order = shop.order()
    assert order.why is not None
    assert order.why.code == "FORMAT"
    assert order.why.advice
    assert word in order.why.advice
    shop.work(lambda: shop.files("quarantine"))
    assert (shop.folder("quarantine") / name).read_bytes() == content


@pytest.mark.parametrize("name", ["contract.pdf", "a.cos", "notes.txt"])
def test_what_is_none_of_our_business_stays_and_is_explained(build: Build, name: str) -> None:
    shop = build()
    shop.drop(name, b"%PDF-1.7\n" + bytes(100))
    shop.look(0.0)
    shop.look(5.0)
    assert names(shop) == []
    assert shop.intake.counts(UnderWay.of((), 0.0)) == {"stay": 1, "wait": 0, "raw": 0, "single": 0}
    assert decision(shop, name).reason.startswith("it is no picture")


def test_camera_raw_stays_beside_its_pictures_and_is_counted(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    shop = build()
    shop.drop("card/a.cr2", RAW_PICTURE)
    shop.look(0.0)
    shop.look(5.0)
    shop.drop("card/a.jpg")
    shop.look(10.0)
    shop.look(15.0)
    assert names(shop) == ["card/a.jpg"]
    assert shop.intake.counts(UnderWay.of((), 0.0)) == {"stay": 1, "wait": 0, "raw": 1, "single": 0}
    assert decision(shop, "card/a.cr2").reason == "it is a camera RAW picture (CR2), which stays here (raw: leave)"
    assert told(caplog, "file.stays") == []


def test_a_file_that_is_too_large_is_refused_before_it_is_read(build: Build) -> None:
    shop = build(max_file_bytes=1000)
    shop.drop("a.jpg")
    shop.look(0.0)
    shop.look(5.0)
    order = shop.order()
    assert order.why is not None
    assert order.why.code == "TOO_LARGE"


def test_explain_gives_the_daemons_own_answer(build: Build) -> None:
    shop = build(incomplete_seconds=1000.0)
    for name, content in {"cut.jpg": PICTURE[:-9], "empty.jpg": b"", "x.pdf": b"%PDF-1.7\n"}.items():
        shop.drop(name, content)
    shop.look(0.0)
    shop.look(5.0)
    for name, reason in (
        shop.intake.candidates.left_waiting(shop.intake.allowance) | shop.intake.candidates.remarks()
    ).items():
        assert decision(shop, name).reason == reason
    assert decision(shop, "gone.jpg").answer is Action.GONE


def test_a_slow_look_through_the_quarantine_comes_more_rarely(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, began = build(), list[float]()

    def sweep() -> None:
        began.append(now)
        time.sleep(0.1)

    monkeypatch.setattr(intake.inbox, "_REASONS_SECONDS", 0.0)
    monkeypatch.setattr(shop.intake, "_sweep_reasons", sweep)
    for now in (0.0, 0.5, 0.9, 60.0):
        shop.intake.nudge(None)
        shop.look(now)
    assert began == [0.0, 60.0]


# --- rights


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    with nobodys_folder() as top:
        yield top


def test_an_unreadable_file_is_taken_once_it_may_be_read(as_nobody: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(Shop(as_nobody, settle_seconds=5.0)) as shop:
        path = shop.drop("a.jpg")
        with as_root():
            os.chown(path, 0, 0)
            os.chmod(path, 0o600)
        for now in range(0, 50, 5):
            shop.look(float(now))
        assert names(shop) == []
        (fact,) = told(caplog, "file.stays")
        assert "owner root" in str(fact["reason"])
        assert "0600" in decision(shop, "a.jpg").reason
        with as_root():
            os.chmod(path, 0o644)  # no event that counts
        shop.look(120.0)
        assert names(shop) == ["a.jpg"]


def test_a_folder_of_ours_that_takes_nothing_is_the_one_that_is_named(as_nobody: Path) -> None:
    with opened(Shop(as_nobody, settle_seconds=5.0)) as shop:
        shop.drop("client/a.jpg")
        shop.look(0.0)
        before = os.umask(0o200)
        try:
            shop.look(5.0)
        finally:
            os.umask(before)
        order = shop.order()
        assert order.state is State.RELEASED
        reason = shop.intake.candidates.remarks()["client/a.jpg"]
        folder = f"{order.work}/{order.key}/client"
        assert reason.startswith(f"we may not move it: {folder}: the folder has owner nobody")
        assert reason.endswith("mode 0577 (EACCES)")
        shop.work(lambda: shop.orders() == (), takes=False)
        shop.look(120.0)
        assert names(shop) == ["client/a.jpg"]


def test_a_file_in_the_way_is_looked_at_once_a_minute_however_often_it_changed(as_nobody: Path) -> None:
    with opened(Shop(as_nobody, settle_seconds=2.0, scan_seconds=86_400.0)) as shop:
        path = shop.drop("a.jpg")
        with as_root():
            os.chown(path, 0, 0)
            os.chmod(path, 0o600)

        def looks(now: float, until: float) -> int:
            count = 0
            while now < until:
                now, count = max(now + 0.02, min(shop.look(now), until)), count + 1
            return count

        for change in range(20):
            shop.intake.nudge("a.jpg")
            looks(change * 97.3, (change + 1) * 97.3)
        assert looks(20 * 97.3, 20 * 97.3 + 3600) < 100


def test_a_pair_with_an_unreadable_original_is_taken_once_that_may_be_read(as_nobody: Path) -> None:
    with opened(Shop(as_nobody, settle_seconds=5.0, service="watermark-extract")) as shop:
        shop.drop("a.jpg")
        path = shop.drop("a.original.jpg", OTHER)
        with as_root():
            os.chown(path, 0, 0)
            os.chmod(path, 0o600)
        for now in range(0, 50, 5):
            shop.look(float(now))
        reason = "a.original.jpg cannot be taken with it yet"
        assert shop.intake.candidates.remarks()["a.jpg"] == decision(shop, "a.jpg").reason == reason
        with as_root():
            os.chmod(path, 0o644)  # no event that counts
        shop.look(120.0)
        assert names(shop) == ["a.jpg", "a.original.jpg"]


@pytest.mark.parametrize("role", ["outbox", "originals"])
@pytest.mark.parametrize("closed", ["client", "client/2026"])
def test_a_file_that_cannot_be_delivered_stays_and_costs_nothing(
    as_nobody: Path, caplog: pytest.LogCaptureFixture, role: str, closed: str
) -> None:
    with opened(Shop(as_nobody, settle_seconds=5.0)) as shop:
        folder = shop.folder(role) / closed
        folder.mkdir(parents=True)
        with as_root():
            os.chown(folder, 0, 0)
        shop.drop("client/2026/a.jpg")
        for now in range(0, 50, 5):
            shop.look(float(now))
        assert names(shop) == []
        (fact,) = told(caplog, "file.stays")
        assert str(fact["reason"]).startswith(f"we may not deliver it: {folder} has owner root")
        assert decision(shop, "client/2026/a.jpg").reason == fact["reason"]
        with as_root():
            os.chown(folder, NOBODY, NOBODY)
        shop.look(120.0)
        assert names(shop) == ["client/2026/a.jpg"]


def test_a_copy_that_cannot_be_delivered_keeps_its_picture_and_costs_nothing(as_nobody: Path) -> None:
    watermark = {"recipients": ["dpa", "afp"]}
    with opened(Shop(as_nobody, settle_seconds=5.0, service="watermark-embed", watermark=watermark)) as shop:
        folder = shop.folder("outbox") / "afp"
        folder.mkdir()
        with as_root():
            os.chown(folder, 0, 0)
        shop.drop("client/a.jpg")
        for now in range(0, 50, 5):
            shop.look(float(now))
        assert names(shop) == []
        assert decision(shop, "client/a.jpg").reason.startswith(f"we may not deliver it: {folder} has owner root")
        with as_root():
            os.chown(folder, NOBODY, NOBODY)
        shop.look(120.0)
        assert names(shop) == ["client/a.jpg"]


def test_a_folder_that_somebody_closes_after_our_claim_closes_no_inbox(as_nobody: Path) -> None:
    with opened(Shop(as_nobody, settle_seconds=5.0, empty_folder_seconds=100.0)) as shop:
        shop.drop("client/2026/a.jpg")
        shop.look(0.0)
        shop.look(5.0)
        assert names(shop) == ["client/2026/a.jpg"]
        os.chmod(as_nobody / "inbox/client", 0)
        shop.drop("b.jpg", OTHER)
        for now in (50.0, 60.0, 120.0):
            shop.look(now)
            assert shop.intake.health.is_open
        os.chmod(as_nobody / "inbox/client", 0o700)
        assert shop.intake.candidates.left_waiting(shop.intake.allowance)["b.jpg"] == "it waits for its turn"
        shop.look(300.0)
        assert not (as_nobody / "inbox/client").exists()


def test_a_closed_folder_stays_with_one_line_and_is_forgotten_once_it_opens(
    as_nobody: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(Shop(as_nobody, settle_seconds=5.0)) as shop:
        shop.drop("sub/a.jpg")
        os.chmod(as_nobody / "inbox/sub", 0)
        for now in range(5):
            shop.look(float(now))
        assert "sub" in shop.intake.candidates.remarks()
        assert len(told(caplog, "file.stays")) == 1
        os.chmod(as_nobody / "inbox/sub", 0o700)
        shop.look(10.0)
        assert shop.intake.candidates.remarks() == {}
        shop.look(15.0)
        assert names(shop) == ["sub/a.jpg"]


@pytest.mark.parametrize("mode", [0o755, 0o1777], ids=["not ours to write", "sticky"])
def test_a_file_that_we_may_not_move_stays_and_costs_no_order(
    as_nobody: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    caplog.set_level(logging.INFO, "watchfolder")
    with opened(Shop(as_nobody, settle_seconds=5.0)) as shop:
        path = shop.drop("sub/a.jpg")
        with as_root():
            os.chown(path, 0, 0)
            os.chown(os.path.dirname(path), 0, 0)
            os.chmod(os.path.dirname(path), mode)
        for now in range(0, 300, 5):
            shop.look(float(now))
        assert told(caplog, "order.claiming") == []
        assert len(told(caplog, "file.stays")) == 1
        assert f"{mode:04o}" in shop.intake.candidates.remarks()["sub/a.jpg"]
        assert "may not move" in decision(shop, "sub/a.jpg").reason


SOMEBODY = 54_321  # neither we nor in a group of ours


def _folder_of_umask_022(inbox: Path) -> None:
    os.chmod(inbox / "Anna's day/evening", 0o755)  # noqa: S103 - as umask 022 makes it
    os.chmod(inbox / "Anna's day", 0o755)  # noqa: S103


def _sticky_folder(inbox: Path) -> None:
    os.chmod(inbox / "Anna's day", 0o1777)  # noqa: S103
    os.chmod(inbox / "Anna's day/evening", 0o1777)  # noqa: S103


def _unreadable_folder(inbox: Path) -> None:
    os.chmod(inbox / "Anna's day", 0o700)


def _unreadable_files(inbox: Path) -> None:
    for path in (inbox / "Anna's day", inbox / "Anna's day/evening"):
        os.chmod(path, 0o777)  # noqa: S103
    for path in (inbox / "Anna's day/evening").iterdir():
        os.chmod(path, 0o600)


def _closed_outbox(inbox: Path) -> None:
    for path in (inbox / "Anna's day", inbox / "Anna's day/evening"):
        os.chmod(path, 0o777)  # noqa: S103
    folder = inbox.parent / "outbox/Anna's day"
    folder.mkdir()
    os.chmod(folder, 0o755)  # noqa: S103


def _unchangeable_folder(inbox: Path) -> None:
    (inbox / "Anna's day/evening").chmod(0o777)
    _mark(inbox / "Anna's day/evening")


def _unchangeable_files(inbox: Path) -> None:
    (inbox / "Anna's day/evening").chmod(0o777)
    _mark(*(inbox / "Anna's day/evening").iterdir())


def _mark(*paths: Path) -> None:
    done = subprocess.run(["chattr", "+i", *paths], check=False, capture_output=True, text=True, timeout=30)
    if done.returncode:
        pytest.skip(f"no chattr on this file system: {done.stderr.strip()}")


@pytest.mark.parametrize(
    "close",
    [
        *(_folder_of_umask_022, _sticky_folder, _unreadable_folder, _unreadable_files, _closed_outbox),
        *(_unchangeable_folder, _unchangeable_files),
    ],
)
def test_what_is_said_to_be_typed_lets_the_pictures_be_taken(as_nobody: Path, close: Callable[[Path], None]) -> None:
    with opened(Shop(as_nobody, settle_seconds=5.0)) as shop:
        for number in range(3):
            shop.drop(f"Anna's day/evening/{number}.jpg", PICTURE + bytes(number))
        with as_root():
            for path in (as_nobody / "inbox/Anna's day").rglob("*"):
                os.chown(path, SOMEBODY, SOMEBODY)
            os.chown(as_nobody / "inbox/Anna's day", SOMEBODY, SOMEBODY)
            close(as_nobody / "inbox")
        for now in range(0, 30, 5):
            shop.look(float(now))
        assert names(shop) == []
        (closed,) = shop.intake.candidates.out_of_reach()
        assert closed.files == (0 if close is _unreadable_folder else 3)
        with as_root():
            done = subprocess.run(["sh", "-c", closed.command], check=True, timeout=30, stderr=subprocess.PIPE)
            assert done.stderr == b""
        for now in range(120, 160, 5):
            shop.look(float(now))
        assert can_be_taken(shop, [f"Anna's day/evening/{number}.jpg" for number in range(3)])


def can_be_taken(shop: Shop, wanted: list[str]) -> bool:
    left = set(wanted) - set(names(shop))  # all but one: they wait for its order to be made
    return len(left) < len(wanted) and all(decision(shop, name).answer is Action.TAKE for name in left)


def test_files_in_the_inbox_itself_are_opened_and_the_hidden_folder_is_not(as_nobody: Path) -> None:
    with opened(Shop(as_nobody, settle_seconds=5.0)) as shop:
        for number in range(3):
            path = shop.drop(f"a\n{number}.jpg", PICTURE + bytes(number))
            with as_root():
                os.chown(path, SOMEBODY, SOMEBODY)
                os.chmod(path, 0o600)
        for now in (0.0, 5.0, 10.0):
            shop.look(now)
        (closed,) = shop.intake.candidates.out_of_reach()
        hidden = as_nobody / "inbox/.watchfolder"
        before = hidden.stat().st_mode, hidden.stat().st_gid
        with as_root():
            subprocess.run(["sh", "-c", closed.command], check=True, timeout=30)
        shop.look(120.0)
        assert can_be_taken(shop, [f"a\n{number}.jpg" for number in range(3)])
        assert (hidden.stat().st_mode, hidden.stat().st_gid) == before


# --- after a crash


def claimed(shop: Shop, name: str = "a.jpg") -> Order:
    shop.drop(name)
    shop.look(0.0)
    shop.look(5.0)
    order = shop.order()
    assert order.state is State.CLAIMED
    return order


def test_an_order_whose_entry_was_lost_is_rebuilt_under_its_key_and_body(build: Build) -> None:
    shop = build()
    before = claimed(shop, "sub/ä.jpg")
    shop.lose_entry()
    shop.look(10.0)
    after = shop.order()
    assert (after.key, after.body, after.confirm_key) == (before.key, before.body, before.confirm_key)
    assert after.was_rebuilt
    assert after.state is State.CLAIMED
    assert after.files == before.files


@pytest.mark.parametrize("damage", [b"", b"\0" * 300, b'{"schema": 1, "key'], ids=["empty", "zeros", "half"])
def test_a_torn_entry_is_set_aside_and_rebuilt(build: Build, damage: bytes) -> None:
    shop = build()
    before = claimed(shop)
    shop.close()
    (shop.folder("state") / "journal" / f"{before.key}.json").write_bytes(damage)
    shop.open()
    shop.look(10.0)
    assert shop.order().body == before.body


def test_a_claim_that_died_before_the_rename_is_undone(build: Build) -> None:
    shop = build()
    order = claimed(shop)
    shop.journal.note(order, state=State.CLAIMING)
    os.rename(work_place(shop, order, "a.jpg"), shop.folder("inbox") / "a.jpg")
    shop.live_again()
    shop.look(10.0)
    assert shop.order().state is State.RELEASED
    shop.work(lambda: not shop.orders(), takes=False)
    assert shop.files("inbox") == ["a.jpg"]


def test_a_claim_cut_after_the_rename_is_completed_beside_a_new_file(build: Build) -> None:
    shop = build()
    order = claimed(shop)
    shop.journal.note(order, state=State.CLAIMING)
    shop.live_again()
    shop.drop("a.jpg", OTHER)
    shop.look(10.0)
    assert shop.order().state is State.CLAIMED
    assert work_place(shop, order, "a.jpg").read_bytes() == PICTURE
    assert shop.files("inbox") == ["a.jpg"]


def test_a_claim_whose_file_a_power_cut_left_under_both_names_has_one_again(build: Build) -> None:
    shop = build()
    order = claimed(shop)
    shop.journal.note(order, state=State.CLAIMING)
    os.link(work_place(shop, order, "a.jpg"), shop.folder("inbox") / "a.jpg")
    shop.live_again()
    shop.look(10.0)
    assert shop.order().state is State.CLAIMED
    assert shop.files("inbox") == []


def hostile(order: Order, **changes: object) -> str:
    return json.dumps(json.loads(order.model_dump_json()) | changes)


@pytest.mark.parametrize(
    "kind",
    [
        *("body", "media type", "sent name", "twice", "escape", "key", "of many", "no body", "service", "option"),
        *("copies", "garbage", "huge"),
    ],
)
def test_a_forged_entry_copy_is_not_believed_and_the_file_comes_back(build: Build, kind: str) -> None:
    shop = build()
    order = claimed(shop)
    file = json.loads(order.model_dump_json())["files"][0]
    forged = {
        "body": hostile(order, body=order.body.replace("high", "low")),
        "media type": hostile(order, files=[file | {"media_type": "image/jpeg\r\nX-Evil: 1"}]),
        "sent name": hostile(
            order,
            files=[file | {"sent_name": "../x.jpg"}],
            body=ANTI_AI.body(order.key, [named("x.jpg", sent_name="../x.jpg")], {"strength": "high"}),
        ),
        "twice": hostile(
            order,
            files=[file, file],
            body=ANTI_AI.body(order.key, [named(file["sent_name"])] * 2, {"strength": "high"}),
        ),
        "escape": hostile(order, files=[file | {"name": "../../../outbox/x.jpg"}]),
        "key": hostile(order, key=str(uuid.uuid4())),
        "of many": hostile(
            order,
            of_many=(many := str(uuid.uuid4())),
            body=ANTI_AI.body(many, [named(file["sent_name"]), named("b.jpg")], {"strength": "high"}),
        ),
        "no body": hostile(order, of_many=many, body="{}"),
        "service": hostile(order, service="a newer one"),
        "option": hostile(
            order,
            options={"strength": "none"},
            body=ANTI_AI.body(order.key, [named(file["sent_name"])], {"strength": "none"}),
        ),
        "copies": hostile(
            order,
            files=[file, file | {"name": "b.jpg", "sent_name": "b.jpg"}],
            body=ANTI_AI.body(order.key, [named(file["sent_name"]), named("b.jpg")], {"strength": "high"}),
            reused_from=many,
        ),
        "garbage": "[" * 100_000,
        "huge": " " * (17 << 20),
    }[kind]
    shop.lose_entry()
    work_place(shop, order, ".order.json").write_text(forged)
    shop.look(10.0)
    assert shop.orders() == ()
    assert shop.files("inbox") == ["a.jpg"]
    assert not work_place(shop, order).exists()


def test_a_copy_cannot_claim_that_anything_was_paid_or_where_files_should_go(build: Build) -> None:
    shop = build()
    order = claimed(shop)
    result = {"delivery": "x", "delivered_at": "2026-11-01T00:00:00Z", "recipient": "x", "folder": "x", "text": "x"}
    forged = {"results": [result, result], "sha256": "00"}
    file = json.loads(order.model_dump_json())["files"][0] | forged
    shop.lose_entry()
    copy = hostile(order, files=[file], order_id="1", charged=True, state="claiming", inbox="other")
    work_place(shop, order, ".order.json").write_text(copy)
    shop.look(10.0)
    rebuilt = shop.order()
    assert (rebuilt.order_id, rebuilt.charged, rebuilt.inbox) == (None, False, "photos")
    assert rebuilt.files == order.files


def test_a_stray_in_our_work_folder_comes_back_and_overwrites_nothing(build: Build) -> None:
    shop = build()
    shop.look(0.0)
    stray = shop.folder("inbox") / ".watchfolder" / shop.journal.instance / str(uuid.uuid4()) / "sub"
    stray.mkdir(parents=True)
    (stray / "a.jpg").write_bytes(OTHER)
    shop.drop("sub/a.jpg")
    shop.live_again()
    shop.look(1.0)
    assert shop.files("inbox") == ["sub/a (2).jpg", "sub/a.jpg"]
    assert (shop.folder("inbox") / "sub/a (2).jpg").read_bytes() == OTHER


def test_a_faulty_folder_closes_the_inbox_until_it_is_back(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "watchfolder")
    shop = build()
    shop.drop("a.jpg")
    shop.look(0.0)
    os.rename(shop.folder("outbox"), shop.folder("away"))
    shop.folder("outbox").mkdir()  # the mount point without its share
    for _ in range(3):
        shop.intake.beat(5.0)
        shop.intake.open_again(5.0)
    assert not shop.intake.health.is_open
    assert names(shop) == []
    assert len(told(caplog, "inbox.waits")) == 1
    shop.folder("outbox").rmdir()
    os.rename(shop.folder("away"), shop.folder("outbox"))
    shop.look(10.0)
    assert len(told(caplog, "inbox.back")) == 1
    assert names(shop) == ["a.jpg"]


def test_what_fails_while_the_inbox_is_said_to_be_back_closes_it_again(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "watchfolder")
    shop = build()
    shop.look(0.0)
    shop.intake.health.report(FolderFault("the first", code="EIO"))

    def report_once_more(record: logging.LogRecord) -> bool:
        if record.msg == "inbox.back" and not told(caplog, "inbox.back"):
            shop.intake.health.report(FolderFault("the second", code="EIO"))
        return True

    caplog.handler.addFilter(report_once_more)
    shop.intake.open_again(1.0)
    caplog.handler.removeFilter(report_once_more)
    assert not shop.intake.health.is_open
    shop.intake.open_again(2.0)
    assert shop.intake.health.is_open
    assert [fact["reason"] for fact in told(caplog, "inbox.waits")] == ["the first", "the second"]


@pytest.mark.parametrize(("seconds", "left"), [(0.0, ["mine"]), (86_400.0, ["card", "day 1", "mine"])])
def test_an_emptied_folder_goes_when_its_time_has_come(build: Build, seconds: float, left: list[str]) -> None:
    shop = build(empty_folder_seconds=seconds)
    shop.drop("card/day 1/a.jpg")
    (shop.top / "inbox/mine").mkdir()
    shop.look(0.0)
    shop.look(5.0)
    assert names(shop) == ["card/day 1/a.jpg"]
    folders = (shop.top / "inbox").rglob("[!.]*")
    assert sorted(path.name for path in folders if path.is_dir() and ".watchfolder" not in path.parts) == left


@pytest.mark.parametrize("clock_of_the_server", [1.0, 4e9])
def test_an_emptied_folder_stays_for_as_long_as_somebody_works_in_it(
    build: Build, monkeypatch: pytest.MonkeyPatch, clock_of_the_server: float
) -> None:
    shop = build(empty_folder_seconds=100.0)
    folder = shop.top / "inbox/card"
    shop.drop("card/a.jpg")
    shop.look(0.0)
    shop.look(5.0)
    shop.look(90.0)
    os.utime(folder, (clock_of_the_server,) * 2)  # something came and went
    monkeypatch.setattr(time, "time", lambda: 5e9)
    shop.look(110.0)
    shop.look(200.0)
    assert folder.exists()
    shop.look(215.0)
    assert not folder.exists()


# --- a share that hangs while it is listed


def test_after_a_scan_that_hung_the_next_one_comes_soon(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = build(scan_seconds=30.0)
    real, scan, hung = time.monotonic, disk.scan, [0.0]

    def hanging(*place: Any, **ways: Any) -> Iterator[disk.Entry]:  # noqa: ANN401 - whatever it takes
        hung[0] += 3600.0
        yield from scan(*place, **ways)

    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: real() + hung[0])
        patch.setattr(disk, "scan", hanging)
        assert shop.look(0.0) <= 30.0
    shop.drop("a.jpg")
    shop.look(30.0)
    shop.look(36.0)
    assert names(shop) == ["a.jpg"]


def test_scans_of_a_slow_share_take_a_tenth_of_the_time(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = build(scan_seconds=1.0)
    real, scan, slow = time.monotonic, disk.scan, [0.0]
    for number in range(20):
        shop.drop(f"sub {number}/notes.txt", b"no picture")

    def slowly(*place: Any, **ways: Any) -> Iterator[disk.Entry]:  # noqa: ANN401 - whatever it takes
        for entry in scan(*place, **ways):
            slow[0] += 1.0
            yield entry

    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: real() + slow[0])
        patch.setattr(disk, "scan", slowly)
        shop.look(0.0)
    assert slow[0] >= 20.0
    assert shop.intake._scan_at >= 190.0
