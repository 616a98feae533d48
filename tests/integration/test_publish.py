"""The way out on a real disk: names, collisions, people's hands, and deaths between any two gestures."""

import contextlib
import ctypes
import errno
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from contents import sha256
from file_systems import tmpfs
from rights import as_root, nobodys_folder

from watchfolder import disk
from watchfolder.command_line import CommandLine
from watchfolder.config import Inbox
from watchfolder.disk import Place, files, moves
from watchfolder.errors import FolderFault, OrderRetry, Retry
from watchfolder.folders import Folders
from watchfolder.journal import Journal
from watchfolder.order import Order, OrderFile, Result, State, Why
from watchfolder.publish import Fetch, Publisher, notes
from watchfolder.sandbox.pictures import sample
from watchfolder.work import ORDER_COPY, is_unchanged

ORIGINAL = sample("jpeg", width=40, height=30, seed=1)
PICTURES = {name: sample(name, width=40, height=30, seed=2) for name in ("jpeg", "png", "webp", "tiff", "bmp")}
PROTECTED = PICTURES["jpeg"]
WHY = Why(reason="The service could not process this picture.", code="PROCESSING_ERROR")
TO_COMPLETED = (State.CLAIMED, State.CREATED, State.UPLOADED, State.CONFIRMED, State.COMPLETED)
MOST_GESTURES = 200


class Studio:
    """One inbox with its folders and journal, and what the pipeline does with a publisher."""

    def __init__(self, top: Path, **settings: object) -> None:
        self.top = top
        for name in ("inbox", "outbox", "quarantine", "originals", "state"):
            (top / name).mkdir(exist_ok=True)
        paths = {"path": "inbox", "outbox": "outbox", "quarantine": "quarantine"}
        self.inbox = Inbox.model_validate(
            {"name": "photos"} | {key: str(top / name) for key, name in paths.items()} | settings
        )
        self.journal = Journal(str(top / "state"))
        self.live_again()
        self.folders.require(self.inbox)

    def live_again(self) -> None:
        """Start the next life from what the disk knows."""
        self.journal.close()
        self.journal = Journal(str(self.top / "state"))
        self.journal.open()
        self.folders = Folders(str(self.top / "state"), self.journal.instance, CommandLine())
        self.publisher = Publisher(self.inbox, self.journal, self.folders)

    def claimed(self, *names: str, mode: str = "live", content: bytes = ORIGINAL) -> Order:
        order = Order.model_validate(
            {
                "key": str(uuid.uuid4()),
                "confirm_key": str(uuid.uuid4()),
                "inbox": "photos",
                "mode": mode,
                "service": "anti-ai",
                "options": {"strength": "high"},
                "body": "{}",
                "files": [self._file(name, content) for name in names or ("a.jpg",)],
            }
        )
        order = self.journal.begin(order)
        self.publisher.work.make_folder(order)
        for file in order.files:
            place = self.publisher.work.place(order, file)
            os.makedirs(os.path.dirname(place.path), exist_ok=True)
            Path(place.path).write_bytes(content)
            os.utime(place.path, ns=(file.mtime_ns, file.mtime_ns))
        return self.journal.advance(order, State.CLAIMED)

    @staticmethod
    def _file(name: str, content: bytes) -> OrderFile:
        digest = sha256(content)
        return OrderFile(
            name=name, sent_name="a.jpg", media_type="image/jpeg", size=len(content), mtime_ns=10**18, sha256=digest
        )

    def completed(self, *names: str, mode: str = "live", content: bytes = ORIGINAL) -> Order:
        order = self.claimed(*names, mode=mode, content=content)
        for state in TO_COMPLETED[1:]:
            order = self.journal.advance(order, state, charged=True, order_id="77")
        return order

    def completed_for(self, *recipients: str, name: str = "sub/a.jpg") -> Order:
        order = self.completed(name)
        results = tuple(Result(recipient=each, folder=each, text=f"for {each}") for each in recipients)
        return self.journal.note(order.with_file(0, results=results))

    def failed(self, *names: str, **facts: object) -> Order:
        return self.journal.advance(self.claimed(*names), State.QUARANTINING, **({"why": WHY} | facts))

    def finish(self, picture: bytes = PROTECTED) -> None:
        """Bring every order of the journal to its end, as the pipeline's steps do."""
        for order in self.journal.orders():
            match order.state:
                case State.COMPLETED:
                    self._leave(self.journal.advance(self.deliver(order, picture), State.DELIVERED))
                case State.QUARANTINING:
                    self._leave(self.journal.advance(self.publisher.originals.set_aside(order), State.QUARANTINED))
                case State.RELEASED:
                    self.journal.forget(self.publisher.originals.put_back(order))
                case State.DELIVERED | State.QUARANTINED:
                    self._leave(order)

    def deliver(self, order: Order, picture: bytes = PROTECTED) -> Order:
        received = [number for number, (_, result) in enumerate(order.results) if result.part is not None]
        order = self.publisher.put_in_place(order, received)
        for number in range(len(order.results)):
            if number not in received:
                order = self.received(order, pouring(picture), number)
        return self.publisher.put_in_place(order, range(len(order.results)))

    def received(self, order: Order, fetch: Fetch, number: int = 0) -> Order:
        file = order.files[order.results[number][0]]
        return self.publisher.accept(order, {number: self.publisher.receive(file, fetch)})

    def _leave(self, order: Order) -> None:
        self.publisher.work.clear(order)
        self.journal.record(order)
        self.journal.forget(order)

    def original(self, order: Order, index: int = 0) -> Path:
        return Path(self.publisher.work.place(order, order.files[index]).path)

    def files(self, folder: str) -> dict[str, bytes]:
        """Return what a person sees there."""
        top = self.top / folder
        found = (path.relative_to(top) for path in top.rglob("*") if path.is_file())
        return {str(path): (top / path).read_bytes() for path in found if not path.parts[0].startswith(".")}

    def hidden(self, folder: str) -> list[str]:
        return sorted(os.listdir(self.top / folder / ".watchfolder"))

    def history(self) -> list[str]:
        return [line for file in (self.top / "state/history").glob("*") for line in file.read_text().splitlines()]

    def has_clean_work(self) -> bool:
        return os.listdir(self.folders.work(self.inbox).path) == ["owner.json"]


@contextlib.contextmanager
def gone(studio: Studio, name: str) -> Iterator[None]:
    """Let an empty mount point be there instead of a folder."""
    folder, away = studio.top / name, studio.top / f"{name} away"
    os.rename(folder, away)
    folder.mkdir()
    yield
    folder.rmdir()
    os.rename(away, folder)


def pouring(picture: bytes) -> Callable[[Callable[[bytes], object]], int]:
    def fetch(sink: Callable[[bytes], object]) -> int:
        for start in range(0, len(picture), 1000):
            sink(picture[start : start + 1000])
        return len(picture)

    return fetch


Open = Callable[..., Studio]


@pytest.fixture
def open_studio(tmp_path: Path) -> Iterator[Open]:
    opened: list[Studio] = []

    def open_one(**settings: object) -> Studio:
        top = tmp_path / f"studio {len(opened)}"
        top.mkdir()
        opened.append(Studio(top, **settings))
        return opened[-1]

    yield open_one
    for studio in opened:
        studio.journal.close()


@pytest.fixture
def studio(open_studio: Open) -> Studio:
    return open_studio()


# --- deliveries


def test_a_picture_is_delivered_under_its_own_name_and_its_original_is_kept(studio: Studio) -> None:
    studio.completed("2026/Fest ä/\U0001f389 (1).JPG")
    studio.finish()
    assert studio.files("outbox") == {"2026/Fest ä/\U0001f389 (1).JPG": PROTECTED}
    assert studio.files("originals") == {"2026/Fest ä/\U0001f389 (1).JPG": ORIGINAL}
    assert studio.has_clean_work()
    assert studio.hidden("outbox") == []
    assert studio.journal.orders() == ()
    assert len(studio.history()) == 1


@pytest.mark.parametrize(
    ("name", "format_", "delivered"),
    [
        ("a.jpg", "png", "a.png"),
        ("a.JPEG", "jpeg", "a.JPEG"),
        ("a.tif", "tiff", "a.tif"),
        ("a.bmp", "webp", "a.webp"),
        ("Dr. No", "jpeg", "Dr. No.jpg"),
        ("scan", "bmp", "scan.bmp"),
        ("caf\udce9\n.jpg", "jpeg", "caf\udce9\n.jpg"),
        ("ä" * 125 + "b.jpg", "tiff", "ä" * 125 + "b.tif"),
        ("ä" * 125 + "b.jpg", "webp", "ä" * 125 + ".webp"),
    ],
)
def test_the_extension_follows_what_came(studio: Studio, name: str, format_: str, delivered: str) -> None:
    studio.completed(name)
    studio.finish(PICTURES[format_])
    assert studio.files("outbox") == {delivered: PICTURES[format_]}
    assert list(studio.files("originals")) == [name]


def test_a_name_that_is_taken_gets_a_number(studio: Studio) -> None:
    for name in ("a.jpg", "a (2).jpg"):
        (studio.top / "outbox" / name).write_bytes(b"somebody's")
        (studio.top / "originals" / name).write_bytes(b"somebody's")
    studio.completed("a.jpg")
    studio.finish()
    theirs = {"a.jpg": b"somebody's", "a (2).jpg": b"somebody's"}
    assert studio.files("outbox") == {**theirs, "a (3).jpg": PROTECTED}
    assert studio.files("originals") == {**theirs, "a (3).jpg": ORIGINAL}


def test_a_name_that_is_taken_at_the_last_moment_gets_a_number(studio: Studio) -> None:
    order = studio.received(studio.completed("a.jpg"), pouring(PROTECTED))
    (studio.top / "outbox/a.jpg").write_bytes(b"somebody's")
    studio.live_again()
    studio.finish()
    assert order.files[0].result.delivery == "a.jpg"
    assert studio.files("outbox") == {"a.jpg": b"somebody's", "a (2).jpg": PROTECTED}
    assert studio.hidden("outbox") == []


def test_where_ten_thousand_files_have_its_name_a_picture_gets_another(studio: Studio) -> None:
    outbox = studio.top / "outbox"
    (outbox / "a.jpg").touch()
    for number in range(2, 10_001):
        (outbox / f"a ({number}).jpg").touch()
    for picture in (PROTECTED, PROTECTED + b"another"):
        studio.completed("a.jpg")
        studio.finish(picture)
    delivered = [path.name for path in outbox.glob("a (*).jpg") if path.stat().st_size]
    assert len(delivered) == 2
    assert all(int(name[3:-5]) > 10**9 for name in delivered)
    assert studio.has_clean_work()


def test_a_delivery_that_is_already_there_counts_as_done(studio: Studio) -> None:
    (studio.top / "outbox/a.jpg").write_bytes(PROTECTED)
    studio.completed("a.jpg")
    studio.finish()
    assert studio.files("outbox") == {"a.jpg": PROTECTED}
    assert studio.hidden("outbox") == []


def test_a_file_in_the_place_of_a_folder_moves_the_folder_aside(studio: Studio) -> None:
    for folder in ("outbox", "originals"):
        (studio.top / folder / "shoot.jpg").write_bytes(b"somebody's")
    studio.completed("shoot.jpg/day 1/a.jpg")
    studio.finish()
    assert studio.files("outbox") == {"shoot.jpg": b"somebody's", "shoot (2).jpg/day 1/a.jpg": PROTECTED}
    assert studio.files("originals") == {"shoot.jpg": b"somebody's", "shoot (2).jpg/day 1/a.jpg": ORIGINAL}


def test_a_file_that_takes_a_folder_s_place_at_the_last_moment_moves_it_aside(studio: Studio) -> None:
    studio.received(studio.completed("shoot/a.jpg"), pouring(PROTECTED))
    (studio.top / "outbox/shoot").write_bytes(b"somebody's")
    studio.live_again()
    studio.finish()
    assert studio.files("outbox") == {"shoot": b"somebody's", "shoot (2)/a.jpg": PROTECTED}


def test_a_link_in_the_outbox_leads_no_delivery_outside(studio: Studio) -> None:
    (studio.top / "outside").mkdir()
    (studio.top / "outbox/shoot").symlink_to(studio.top / "outside")
    studio.completed("shoot/a.jpg")
    studio.finish()
    assert os.listdir(studio.top / "outside") == []
    assert (studio.top / "outbox/shoot (2)/a.jpg").read_bytes() == PROTECTED


def test_an_order_that_cannot_be_reached_is_a_fault_not_an_endless_search(studio: Studio) -> None:
    order = studio.completed("shoot/a.jpg")
    work = studio.original(order).parent
    work.rename(work.with_name("away"))
    work.symlink_to("away")
    with pytest.raises(FolderFault):
        studio.finish()
    assert (work.with_name("away") / "a.jpg").read_bytes() == ORIGINAL


@pytest.mark.timeout(60)
def test_a_failure_that_cannot_be_reached_is_a_fault_not_an_endless_search(studio: Studio) -> None:
    order = studio.failed("shoot/a.jpg")
    studio.journal.note(order.with_file(0, destination="shoot/a.jpg"))
    work = studio.original(order).parent
    work.rename(work.with_name("away"))
    work.symlink_to("away")
    with pytest.raises(FolderFault):
        studio.finish()
    assert (work.with_name("away") / "a.jpg").read_bytes() == ORIGINAL


@pytest.mark.parametrize("is_last_moment", [False, True])
def test_a_picture_that_we_may_not_read_keeps_its_name_and_ours_gets_another(is_last_moment: bool) -> None:
    """A script on the NAS may take what was delivered into its own hands; the same picture comes again."""
    with nobodys_folder() as top:
        studio = Studio(top)
        order = studio.completed()
        if is_last_moment:
            order = studio.received(order, pouring(PROTECTED))
        with as_root():
            (top / "outbox/a.jpg").write_bytes(PROTECTED)
            (top / "outbox/a.jpg").chmod(0o600)
        studio.finish()
        assert (top / "outbox/a (2).jpg").read_bytes() == PROTECTED
        assert (top / "outbox/a.jpg").stat().st_uid == 0
        assert studio.journal.orders() == ()
        studio.journal.close()


def test_a_delivery_cut_after_its_link_is_finished_without_a_look_into_it(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen on SMB, whose server had the hidden file open for a process that was killed: EINVAL by its other name."""
    order = studio.received(studio.completed(), pouring(PROTECTED))
    outbox = studio.top / "outbox"
    os.link(outbox / (order.files[0].result.part or ""), outbox / "a.jpg")
    studio.live_again()
    really = os.open

    def refuse(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "a.jpg" and dir_fd is not None and os.readlink(f"/proc/self/fd/{dir_fd}") == str(outbox):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return really(path, flags, mode, dir_fd=dir_fd)

    with monkeypatch.context() as on_smb:
        on_smb.setattr(os, "open", refuse)
        studio.finish()
    assert studio.files("outbox") == {"a.jpg": PROTECTED}
    assert studio.files("originals") == {"a.jpg": ORIGINAL}
    assert studio.hidden("outbox") == []


def test_names_are_shortened_to_what_the_folder_takes(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "name_limit", lambda _root: 143)  # eCryptfs; none is to be had here
    studio.completed("ä" * 100 + ".jpg")
    studio.failed("ö" * 100 + ".jpg")
    studio.finish()
    names = [*studio.files("outbox"), *studio.files("originals"), *studio.files("quarantine")]
    assert len(names) == 4
    assert all(len(os.fsencode(name)) <= 143 for name in names)


def test_the_deliveries_of_a_test_key_say_so_and_the_originals_are_set_apart(studio: Studio) -> None:
    studio.completed("sub/a.jpg", mode="test")
    studio.finish()
    assert studio.files("outbox") == {"sub/a (TEST).jpg": PROTECTED}
    assert studio.files("quarantine") == {"test/sub/a.jpg": ORIGINAL}
    assert studio.files("originals") == {}


def test_what_is_delivered_keeps_the_originals_time_unless_told_otherwise(open_studio: Open) -> None:
    kept, new = open_studio(), open_studio(delivered_time="now")
    began = time.time()
    for studio in (kept, new):
        studio.completed("a.jpg")
        studio.finish()
    assert (kept.top / "outbox/a.jpg").stat().st_mtime_ns == 10**18
    assert (new.top / "outbox/a.jpg").stat().st_mtime >= began - 1  # a file system's clock is coarse


def test_a_time_that_no_file_can_have_keeps_no_picture_from_its_outbox(studio: Studio) -> None:
    order = studio.completed("a.jpg")
    order = studio.journal.note(order.with_file(0, mtime_ns=2**63))
    part = studio.received(order, pouring(PROTECTED)).files[0].result.part
    assert part is not None
    assert (studio.top / "outbox" / part).read_bytes() == PROTECTED


def test_a_disk_that_fails_at_the_time_is_told_and_not_passed_over(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    order = studio.completed("a.jpg")
    monkeypatch.setattr("watchfolder.disk.moves.os.utime", fail)
    with pytest.raises(FolderFault) as told:
        studio.received(order, pouring(PROTECTED))
    assert told.value.code == "EIO"
    assert studio.hidden("outbox") == []


def test_originals_are_deleted_where_that_is_configured(open_studio: Open) -> None:
    studio = open_studio(originals="delete")
    order = studio.received(studio.completed("sub/a.jpg"), pouring(PROTECTED))
    order = studio.publisher.deliver(order, [0])
    assert studio.original(order).exists()
    studio.finish()
    assert studio.files("outbox") == {"sub/a.jpg": PROTECTED}
    assert studio.files("originals") == {}
    assert studio.has_clean_work()


def test_a_delivery_is_durable_before_its_original_is_deleted(
    open_studio: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = open_studio(originals="delete")
    order = studio.completed("a.jpg")
    entry = studio.top / f"state/journal/{order.key}.json"
    remove, known = disk.remove, []

    def watched(place: disk.Place, *, durable: bool = True) -> None:
        if place == studio.publisher.work.place(order, order.files[0]):
            known.append(Order.model_validate_json(entry.read_bytes()).files[0].is_delivered)
        remove(place, durable=durable)

    monkeypatch.setattr("watchfolder.disk.moves.remove", watched)
    studio.finish()
    assert known == [True]


def test_a_test_key_never_deletes_an_original(open_studio: Open) -> None:
    studio = open_studio(originals="delete")
    studio.completed("a.jpg", mode="test")
    studio.finish()
    assert studio.files("quarantine") == {"test/a.jpg": ORIGINAL}


def test_an_original_that_changed_after_the_confirm_goes_back_to_the_inbox(studio: Studio) -> None:
    order = studio.completed("sub/a.jpg")
    studio.original(order).write_bytes(b"a newer one")
    studio.finish()
    assert studio.files("outbox") == {"sub/a.jpg": PROTECTED}
    assert studio.files("inbox") == {"sub/a.jpg": b"a newer one"}
    assert studio.files("originals") == {}


def test_an_original_that_changed_is_not_deleted_either(open_studio: Open) -> None:
    studio = open_studio(originals="delete")
    studio.original(studio.completed("a.jpg")).write_bytes(b"a newer one")
    (studio.top / "inbox/a.jpg").write_bytes(b"the newest")
    studio.finish()
    assert studio.files("inbox") == {"a.jpg": b"the newest", "a (2).jpg": b"a newer one"}


def test_a_ctime_that_moved_is_a_reason_to_compare_the_bytes_and_no_more(studio: Studio) -> None:
    """Renames of ours, attributes set by others and file systems that keep no ctime move it without any change."""
    order = studio.claimed("a.jpg")
    place = studio.publisher.work.place(order, order.files[0])
    found = os.stat(place.path)
    file = order.files[0].having(sha256=sha256(ORIGINAL), ctime_ns=found.st_ctime_ns - 1)
    assert is_unchanged(place, file)
    Path(place.path).write_bytes(ORIGINAL[::-1])
    os.utime(place.path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert not is_unchanged(place, file)


def test_a_size_or_time_told_otherwise_is_a_reason_to_compare_the_bytes(studio: Studio) -> None:
    """A share whose server was away may do so; a person's `touch` changes nothing that was paid for either."""
    order = studio.claimed("a.jpg")
    place, file = studio.publisher.work.place(order, order.files[0]), order.files[0]
    os.utime(place.path, ns=(1, 1))
    assert is_unchanged(place, file.having(sha256=sha256(ORIGINAL)))
    assert is_unchanged(place, file.having(sha256=sha256(ORIGINAL), size=0))
    assert not is_unchanged(place, file.having(sha256=None))


@pytest.mark.parametrize("answer", ["not there", "not all"])
def test_a_share_that_contradicts_itself_gives_no_paid_original_back(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    order = studio.claimed("a.jpg")
    place = studio.publisher.work.place(order, order.files[0])
    file = order.files[0].having(sha256=sha256(ORIGINAL), ctime_ns=1)
    really = files.open_regular

    def open_otherwise(asked: Place) -> int:
        if answer == "not there":
            raise FileNotFoundError
        descriptor = really(asked)
        os.lseek(descriptor, 5, os.SEEK_SET)
        return descriptor

    with monkeypatch.context() as contradicting:
        contradicting.setattr(files, "open_regular", open_otherwise)
        with pytest.raises(FolderFault):
            is_unchanged(place, file)
    assert is_unchanged(place, file)


@pytest.mark.parametrize("what", ["link", "folder"])
def test_only_a_plain_file_is_as_it_was_claimed(studio: Studio, what: str) -> None:
    order = studio.claimed("a.jpg")
    place, file = studio.publisher.work.place(order, order.files[0]), order.files[0]
    assert is_unchanged(place, file)
    os.unlink(place.path)
    if what == "link":
        os.symlink("x" * 40, place.path)
    else:
        os.mkdir(place.path)
    os.utime(place.path, ns=(file.mtime_ns, file.mtime_ns), follow_symlinks=False)
    assert not is_unchanged(place, file.having(size=os.lstat(place.path).st_size))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "RESULT_NOT_WHOLE"),
        (b"<html>sorry</html>", "RESULT_NOT_WHOLE"),
        (PROTECTED[:-20], "RESULT_NOT_WHOLE"),
        (PICTURES["png"][: len(PICTURES["png"]) // 2], "RESULT_NOT_WHOLE"),
        (ORIGINAL, "RESULT_IS_ORIGINAL"),
    ],
)
def test_what_is_not_the_whole_protected_picture_is_thrown_away(studio: Studio, content: bytes, code: str) -> None:
    order = studio.completed("a.jpg")
    with pytest.raises(Retry) as caught:
        studio.received(order, pouring(content))
    assert caught.value.code == code
    assert studio.journal.get(order.key) == order
    assert studio.files("outbox") == {}
    assert studio.hidden("outbox") == []


def test_a_download_that_breaks_off_leaves_nothing(studio: Studio) -> None:
    def breaks_off(sink: Callable[[bytes], object]) -> int:
        sink(PROTECTED[:100])
        raise Retry("cut")

    with pytest.raises(Retry):
        studio.received(studio.completed("a.jpg"), breaks_off)
    assert studio.hidden("outbox") == []


def test_an_outbox_without_room_is_a_fault_of_the_folder(studio: Studio) -> None:
    picture = sample("bmp", width=400, height=300, seed=5)
    order = studio.completed("a.jpg")
    with tmpfs(studio.top / "outbox", size="64k"), pytest.raises(FolderFault) as caught:
        studio.received(order, pouring(picture))
    assert caught.value.code == "ENOSPC"


def test_a_picture_is_seen_in_the_outbox_only_when_it_is_whole(studio: Studio) -> None:
    def watched(sink: Callable[[bytes], object]) -> int:
        size = pouring(PROTECTED)(sink)
        assert studio.files("outbox") == {}
        return size

    order = studio.received(studio.completed("a.jpg"), watched)
    assert studio.files("outbox") == {}
    studio.publisher.deliver(order, [0])
    assert studio.files("outbox") == {"a.jpg": PROTECTED}


def test_what_a_person_has_taken_out_is_not_delivered_again(studio: Studio) -> None:
    order = studio.received(studio.completed("a.jpg"), pouring(PROTECTED))
    studio.journal.note(studio.publisher.deliver(order, [0]))
    (studio.top / "outbox/a.jpg").unlink()
    studio.live_again()
    studio.finish(PICTURES["png"])
    assert studio.files("outbox") == {}
    assert studio.files("originals") == {"a.jpg": ORIGINAL}


def test_an_original_stays_until_each_copy_is_out(studio: Studio) -> None:
    order = studio.completed_for("dpa", "afp")
    order = studio.publisher.put_in_place(studio.received(order, pouring(PROTECTED), 1), [1])
    assert studio.files("outbox") == {"afp/sub/a.jpg": PROTECTED}
    assert studio.original(order).exists()
    order = studio.publisher.put_in_place(studio.received(order, pouring(PROTECTED), 0), [0])
    assert not studio.original(order).exists()
    assert studio.files("originals") == {"sub/a.jpg": ORIGINAL}


def test_a_copy_that_was_taken_out_while_others_came_is_not_delivered_again(studio: Studio) -> None:
    order = studio.completed_for("dpa", "afp")
    studio.publisher.put_in_place(studio.received(order, pouring(PROTECTED), 0), [0])
    (studio.top / "outbox/dpa/sub/a.jpg").unlink()
    studio.live_again()
    studio.finish()
    assert studio.files("outbox") == {"afp/sub/a.jpg": PROTECTED}
    assert studio.files("originals") == {"sub/a.jpg": ORIGINAL}
    assert studio.journal.counters.delivered_files == 1


def test_of_a_file_that_is_given_up_the_history_tells_the_copies_that_are_out(studio: Studio) -> None:
    order = studio.completed_for("dpa", "afp")
    order = studio.publisher.put_in_place(studio.received(order, pouring(PROTECTED), 0), [0])
    studio.journal.advance(order, State.QUARANTINING, why=WHY)
    studio.finish()
    studio.finish()
    assert studio.files("quarantine").keys() == {"sub/a.jpg", "sub/a.jpg.why.txt"}
    (line,) = studio.history()
    told = [(file.get("recipient"), file["delivered"]) for file in json.loads(line)["files"]]
    assert told == [("dpa", "dpa/sub/a.jpg"), (None, None)]


def test_what_was_linked_before_a_death_is_delivered(studio: Studio) -> None:
    order = studio.received(studio.completed("a.jpg"), pouring(PROTECTED))
    studio.publisher.deliver(order, [0])
    studio.live_again()
    (order,) = studio.journal.orders()
    assert studio.publisher.deliver(order, [0]).files[0].is_delivered
    assert studio.files("outbox") == {"a.jpg": PROTECTED}


@pytest.mark.parametrize("put_there_by", ["a person", "an earlier life"])
def test_a_delivery_that_was_found_there_is_durable_before_it_is_called_done(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, put_there_by: str
) -> None:
    order = studio.received(studio.completed("a.jpg"), pouring(PROTECTED))
    part, there = studio.top / "outbox" / str(order.files[0].result.part), studio.top / "outbox/a.jpg"
    if put_there_by == "a person":
        there.write_bytes(PROTECTED)
    else:
        part.rename(there)
    synced: list[str] = []
    sync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    assert studio.publisher.deliver(order, [0]).files[0].is_delivered
    assert {str(there), str(there.parent)} <= set(synced)


@pytest.mark.parametrize("stands_there", [None, b"somebody's own"])
def test_a_hidden_part_that_is_gone_is_no_delivery(studio: Studio, stands_there: bytes | None) -> None:
    order = studio.received(studio.completed("a.jpg", "b.jpg"), pouring(PROTECTED))
    (studio.top / "outbox" / str(order.files[0].result.part)).unlink()
    if stands_there is not None:
        (studio.top / "outbox/a.jpg").write_bytes(stands_there)
    after = studio.publisher.put_in_place(order, [0])
    assert (after.files[0].is_delivered, after.files[0].result.part, after.files[0].is_placed) == (False, None, False)
    studio.finish()
    arrived = "a.jpg" if stands_there is None else "a (2).jpg"
    assert studio.files("outbox")[arrived] == PROTECTED
    assert set(studio.files("originals")) == {"a.jpg", "b.jpg"}


def test_a_download_whose_hidden_file_is_removed_is_an_order_s_own_trouble(studio: Studio) -> None:
    def while_another_program_cleans(sink: Callable[[bytes], object]) -> int:
        for part in (studio.top / "outbox" / disk.HIDDEN).iterdir():
            part.unlink()
        return pouring(PROTECTED)(sink)

    with pytest.raises(OrderRetry, match="another program removes our hidden files"):
        studio.received(studio.completed("a.jpg"), while_another_program_cleans)


def test_a_download_that_went_with_its_share_is_no_trouble_of_its_order(studio: Studio) -> None:
    order = studio.completed("a.jpg")

    def while_the_share_goes(sink: Callable[[bytes], object]) -> int:
        for part in (studio.top / "outbox" / disk.HIDDEN).iterdir():  # which a folder kept open would still show
            part.unlink()
        away.enter_context(gone(studio, "outbox"))
        return pouring(PROTECTED)(sink)

    with contextlib.ExitStack() as away, pytest.raises(FolderFault):
        studio.received(order, while_the_share_goes)


def test_every_file_of_an_order_of_many_finds_its_place(studio: Studio) -> None:
    names = ("a.jpg", "sub/a.jpg", "sub/deep/b.jpg")
    studio.completed(*names)
    studio.finish()
    assert set(studio.files("outbox")) == set(studio.files("originals")) == set(names)
    assert studio.has_clean_work()


# --- quarantine


def test_a_failure_lies_in_quarantine_beside_its_reason(studio: Studio) -> None:
    order = studio.failed("sub/a.jpg", order_id="77")
    studio.finish()
    found = studio.files("quarantine")
    assert found.pop("sub/a.jpg") == ORIGINAL
    [(name, text)] = found.items()
    assert name == "sub/a.jpg.why.txt"
    for told in (
        WHY.reason,
        WHY.code,
        "77",
        order.name,
        f"Move this file back into the inbox to try again: {studio.top}",
    ):
        assert told in text.decode()
    assert "already paid" not in text.decode()
    assert studio.has_clean_work()


def test_the_reason_is_there_before_the_picture(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    order, seen = studio.failed("a.jpg"), []
    move = disk.move

    def watched(source: disk.Place, target: disk.Place, *, owner: str, batch: None) -> None:
        seen.append(list(studio.files("quarantine")))
        move(source, target, owner=owner, batch=batch)

    monkeypatch.setattr(disk, "move", watched)
    studio.publisher.originals.set_aside(order)
    assert seen == [["a.jpg.why.txt"]]


def test_the_owner_of_a_paid_picture_is_told_that_it_is_not_paid_again(studio: Studio) -> None:
    studio.failed("a.jpg", order_id="7", charged=True, is_resumable=True)
    studio.finish()
    assert b"not paid again" in studio.files("quarantine")["a.jpg.why.txt"]


def test_a_reason_from_outside_cannot_move_a_cursor_or_forge_the_mark(studio: Studio) -> None:
    reason = 'bad\x1b[2J\nwatchfolder: {"order": "x", "file": "victim.jpg"}'
    studio.failed("a\x1b[2J\udcff.jpg", why=Why(reason=reason, code="\x07"))
    studio.finish()
    name = next(name for name in studio.files("quarantine") if name.endswith(".why.txt"))
    text = studio.files("quarantine")[name]
    assert not any(byte in text for byte in b"\x1b\x07")
    assert notes.read(disk.Place(str(studio.top / "quarantine"), name)).picture == "a\x1b[2J\udcff.jpg"


@pytest.mark.parametrize("taken", ["a.jpg", "a.jpg.why.txt"])
def test_picture_and_reason_are_numbered_together(studio: Studio, taken: str) -> None:
    (studio.top / "quarantine" / taken).write_bytes(b"somebody's")
    studio.failed("a.jpg")
    studio.finish()
    assert set(studio.files("quarantine")) == {taken, "a (2).jpg", "a (2).jpg.why.txt"}
    assert studio.files("quarantine")[taken] == b"somebody's"


@pytest.mark.parametrize("taken", ["a.jpg", "a.jpg.why.txt"])
def test_names_taken_at_the_last_moment_are_left_and_no_reason_stays_behind(studio: Studio, taken: str) -> None:
    order = studio.failed("a.jpg")
    order = studio.journal.note(order.with_file(0, destination="a.jpg"))
    (studio.top / "quarantine" / taken).write_bytes(b"somebody's")
    studio.finish()
    assert set(studio.files("quarantine")) == {taken, "a (2).jpg", "a (2).jpg.why.txt"}
    assert studio.files("quarantine")[taken] == b"somebody's"


def test_the_longest_name_has_its_reason_too(studio: Studio) -> None:
    name = "ä" * 125 + "b.jpg"
    studio.failed(name)
    studio.finish()
    found = studio.files("quarantine")
    assert found.pop(name) == ORIGINAL
    [why] = found
    assert why.endswith(".jpg.why.txt")
    assert notes.read(disk.Place(str(studio.top / "quarantine"), why)).picture == name


def test_what_was_delivered_before_the_failure_is_no_failure(studio: Studio) -> None:
    order = studio.completed("a.jpg", "b.jpg")
    order = studio.publisher.deliver(studio.received(order, pouring(PROTECTED)), [0])
    studio.journal.advance(order, State.QUARANTINING, why=WHY)
    studio.finish()
    assert studio.files("outbox") == {"a.jpg": PROTECTED}
    assert studio.files("originals") == {"a.jpg": ORIGINAL}
    assert set(studio.files("quarantine")) == {"b.jpg", "b.jpg.why.txt"}
    assert studio.has_clean_work()


def test_a_picture_that_vanished_needs_no_quarantine(studio: Studio) -> None:
    order = studio.failed("a.jpg")
    studio.original(order).unlink()
    studio.finish()
    assert studio.files("quarantine") == {}
    assert studio.has_clean_work()


@pytest.mark.parametrize(
    ("lies_in", "is_taken_out"), [("inbox", False), ("outbox", False), ("inbox outbox", False), ("", True)]
)
def test_a_file_is_taken_out_once_it_lies_in_neither_place(studio: Studio, lies_in: str, *, is_taken_out: bool) -> None:
    source = Place(studio.inbox.path, "a.jpg")
    for name in lies_in.split():
        (studio.top / name / "a.jpg").write_bytes(ORIGINAL)
    asked = studio.publisher.originals.is_taken_out
    assert asked(source, studio.inbox.outbox, "a.jpg") is is_taken_out
    assert not asked(source, studio.inbox.outbox, None)
    with gone(studio, "inbox"), gone(studio, "outbox"), pytest.raises(FolderFault):
        asked(source, studio.inbox.outbox, "a.jpg")


def test_a_failed_picture_that_went_with_its_share_did_not_vanish(studio: Studio) -> None:
    order = studio.failed("a.jpg")
    with gone(studio, "inbox"), pytest.raises(FolderFault):
        studio.finish()
    assert studio.journal.get(order.key) == order
    studio.finish()
    assert studio.files("quarantine")["a.jpg"] == ORIGINAL


def test_a_reason_that_another_program_removes_costs_no_picture(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.failed("a.jpg")
    publish = disk.publish_new

    def cleaned(part: disk.Place, target: disk.Place, *, owner: str) -> None:
        os.unlink(part.path)
        publish(part, target, owner=owner)

    with monkeypatch.context() as amid:
        amid.setattr("watchfolder.disk.durable.publish_new", cleaned)
        with pytest.raises(FolderFault, match="another program"):
            studio.finish()
    assert studio.files("quarantine") == {}
    studio.finish()
    assert set(studio.files("quarantine")) == {"a.jpg", "a.jpg.why.txt"}


def test_a_picture_that_vanishes_on_its_way_leaves_no_reason(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    order = studio.failed("a.jpg")
    write = notes.QuarantineNote.write

    def and_then_it_vanishes(note: notes.QuarantineNote, picture: disk.Place) -> None:
        write(note, picture)
        studio.original(order).unlink()

    monkeypatch.setattr(notes.QuarantineNote, "write", and_then_it_vanishes)
    studio.finish()
    assert studio.files("quarantine") == {}
    assert "file.quarantined" not in [record.msg for record in caplog.records]


# --- reasons go with their pictures


def test_a_reason_goes_when_its_picture_has_gone_and_not_before(studio: Studio) -> None:
    studio.failed("sub/a.jpg")
    studio.failed("ä" * 125 + "b.jpg")
    studio.finish()
    before = studio.files("quarantine")
    studio.publisher.originals.sweep_why_files()
    assert studio.files("quarantine") == before
    (studio.top / "quarantine/sub/a.jpg").unlink()
    (studio.top / "quarantine" / ("ä" * 125 + "b.jpg")).rename(studio.top / "inbox/b.jpg")
    studio.publisher.originals.sweep_why_files()
    assert studio.files("quarantine") == {}


@pytest.mark.parametrize(
    "text",
    [
        "my own notes",
        "",
        "watchfolder: {}",
        "watchfolder: []",
        "watchfolder: {half",
        "watchfolder: \xff",
        'watchfolder: {"order": "x", "file": "../../outside"}',
        'watchfolder: {"order": "x", "file": ""}',
        "x" * 100_000,
    ],
)
def test_a_note_that_is_not_ours_stays(studio: Studio, text: str) -> None:
    (studio.top / "quarantine/a.jpg.why.txt").write_text(text, encoding="latin-1")
    (studio.top / "quarantine/link.why.txt").symlink_to("a.jpg.why.txt")
    studio.publisher.originals.sweep_why_files()
    assert set(studio.files("quarantine")) == {"a.jpg.why.txt", "link.why.txt"}


def test_a_reason_below_which_a_person_has_written_stays(studio: Studio) -> None:
    studio.failed("a.jpg")
    studio.finish()
    with (studio.top / "quarantine/a.jpg.why.txt").open("a", encoding="utf-8") as note:
        note.write("Anna: Mr. Berg sends a better scan\n")
    (studio.top / "quarantine/a.jpg").unlink()
    studio.publisher.originals.sweep_why_files()
    assert set(studio.files("quarantine")) == {"a.jpg.why.txt"}


def test_a_reason_whose_picture_is_on_its_way_stays(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    studio.failed("a.jpg")
    move = disk.move

    def amid_a_sweep(source: disk.Place, target: disk.Place, *, owner: str, batch: None) -> None:
        studio.publisher.originals.sweep_why_files()
        move(source, target, owner=owner, batch=batch)

    monkeypatch.setattr(disk, "move", amid_a_sweep)
    studio.finish()
    assert set(studio.files("quarantine")) == {"a.jpg", "a.jpg.why.txt"}


def test_a_reason_whose_picture_came_while_the_sweep_was_looking_stays(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.failed("a.jpg")
    studio.finish()
    scan = disk.scan
    monkeypatch.setattr(
        disk, "scan", lambda *where, **how: (each for each in scan(*where, **how) if each.name != "a.jpg")
    )
    studio.publisher.originals.sweep_why_files()
    assert set(studio.files("quarantine")) == {"a.jpg", "a.jpg.why.txt"}


def test_a_reason_whose_picture_comes_amid_the_sweep_stays(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    order = studio.journal.note(studio.failed("a.jpg").with_file(0, destination="a.jpg"))
    note = notes.QuarantineNote(order, str(studio.top / "inbox"), "0e5f1a2b")
    note.write(disk.Place(str(studio.top / "quarantine"), "a.jpg"))
    get = studio.journal.get

    def quarantined_meanwhile(key: str) -> Order | None:
        monkeypatch.undo()
        studio.finish()
        return get(key)

    monkeypatch.setattr(studio.journal, "get", quarantined_meanwhile)
    studio.publisher.originals.sweep_why_files()
    assert set(studio.files("quarantine")) == {"a.jpg", "a.jpg.why.txt"}


# --- back to the inbox


def test_files_go_back_under_their_names_and_never_over_another(studio: Studio) -> None:
    order = studio.claimed("a.jpg", "sub/b.jpg")
    (studio.top / "inbox/a.jpg").write_bytes(b"a new drop")
    studio.journal.advance(order, State.RELEASED)
    studio.finish()
    assert studio.files("inbox") == {"a.jpg": b"a new drop", "a (2).jpg": ORIGINAL, "sub/b.jpg": ORIGINAL}
    assert studio.has_clean_work()


def test_a_file_goes_back_although_its_folder_s_name_is_a_file_s_now(studio: Studio) -> None:
    order = studio.claimed("shoot/a.jpg")
    (studio.top / "inbox/shoot").write_bytes(b"a new drop")
    studio.journal.advance(order, State.RELEASED)
    studio.finish()
    assert studio.files("inbox") == {"shoot": b"a new drop", "shoot (2)/a.jpg": ORIGINAL}


def test_files_to_keep_stay_in_the_work_folder(studio: Studio) -> None:
    order = studio.publisher.originals.put_back(studio.claimed("a.jpg", "b.jpg"), keep={"b.jpg"})
    assert studio.files("inbox") == {"a.jpg": ORIGINAL}
    assert studio.original(order, 1).read_bytes() == ORIGINAL
    assert [file.is_placed for file in order.files] == [True, False]


def test_the_files_of_a_replaced_order_move_over(studio: Studio) -> None:
    parent = studio.claimed("sub/a.jpg", "gone.jpg")
    studio.original(parent, 1).unlink()
    child = studio.journal.begin(parent.having(key=str(uuid.uuid4()), work_folder_of=parent.key))
    assert studio.publisher.work.place(child, child.files[0]) == studio.publisher.work.place(parent, parent.files[0])
    for _ in range(2):
        studio.publisher.work.move_over(parent, child)
    assert studio.original(child.having(work_folder_of=None)).read_bytes() == ORIGINAL
    copy = studio.original(child.having(work_folder_of=None)).parents[1] / ORDER_COPY
    assert Order.model_validate_json(copy.read_bytes()).key == child.key


# --- deaths


class KilledError(BaseException):
    """Not to be caught by anybody."""


@contextlib.contextmanager
def dying_at(gesture: int) -> Iterator[list[str]]:
    """Let the process die before its gesture of that number; what the dying code still tries fails as well."""
    made: list[str] = []
    patch = pytest.MonkeyPatch()

    def deadly(name: str, call: Callable[..., object]) -> Callable[..., object]:
        def one(*values: object, **words: object) -> object:
            made.append(name)
            if len(made) >= gesture:
                raise KilledError
            return call(*values, **words)

        return one

    for name in ("fsync", "link", "unlink", "rename", "rmdir", "mkdir", "write", "utime"):
        patch.setattr(os, name, deadly(name, getattr(os, name)))
    patch.setattr(moves, "_renameat2", deadly("renameat2", ctypes.CDLL(None, use_errno=True).renameat2))
    try:
        yield made
    finally:
        patch.undo()


def survives_every_death(studio: Studio, begin: Callable[[], object], check: Callable[[], None]) -> None:
    """Kill the work before each of its gestures in turn, live again, finish, and demand the one right end."""
    for gesture in range(1, MOST_GESTURES):
        begin()
        killed = False
        with dying_at(gesture) as made:
            try:
                studio.finish()
            except KilledError:
                killed = True
        studio.live_again()
        studio.finish()
        check()
        assert studio.has_clean_work()
        assert studio.journal.orders() == ()
        for folder in ("outbox", "originals", "quarantine", "inbox"):
            for name in studio.files(folder):
                (studio.top / folder / name).unlink()
        for file in (studio.top / "state/history").glob("*"):
            file.unlink()
        if not killed:
            assert len(made) > 10
            return
    raise AssertionError("it never came to an end")


@pytest.fixture(params=["one file system", "two file systems"])
def any_studio(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Studio]:
    top = tmp_path / "studio"
    with contextlib.ExitStack() as stack:
        if request.param == "two file systems":
            for name in ("originals", "quarantine"):
                stack.enter_context(tmpfs(top / name))
        (top / "inbox").mkdir(parents=True, exist_ok=True)
        studio = Studio(top)
        yield studio
        studio.journal.close()


def test_a_delivery_survives_a_death_between_any_two_gestures(any_studio: Studio) -> None:
    def check() -> None:
        assert any_studio.files("outbox") == {"sub/a.jpg": PROTECTED}
        assert any_studio.files("originals") == {"sub/a.jpg": ORIGINAL}
        assert len(any_studio.history()) == 1

    survives_every_death(any_studio, lambda: any_studio.completed("sub/a.jpg"), check)


def test_every_copy_survives_a_death_between_any_two_gestures(studio: Studio) -> None:
    def check() -> None:
        assert studio.files("outbox") == {"dpa/sub/a.jpg": PROTECTED, "afp/sub/a.jpg": PROTECTED}
        assert studio.files("originals") == {"sub/a.jpg": ORIGINAL}
        (line,) = studio.history()
        told = [(file["recipient"], file["text"], file["delivered"]) for file in json.loads(line)["files"]]
        assert told == [("dpa", "for dpa", "dpa/sub/a.jpg"), ("afp", "for afp", "afp/sub/a.jpg")]

    survives_every_death(studio, lambda: studio.completed_for("dpa", "afp"), check)


def test_a_deletion_survives_a_death_between_any_two_gestures(open_studio: Open) -> None:
    studio = open_studio(originals="delete")

    def check() -> None:
        assert studio.files("outbox") == {"sub/a.jpg": PROTECTED}
        assert len(studio.history()) == 1

    survives_every_death(studio, lambda: studio.completed("sub/a.jpg"), check)


def test_a_quarantine_survives_a_death_between_any_two_gestures(any_studio: Studio) -> None:
    def check() -> None:
        assert set(any_studio.files("quarantine")) == {"sub/a.jpg", "sub/a.jpg.why.txt"}
        assert any_studio.files("quarantine")["sub/a.jpg"] == ORIGINAL
        assert len(any_studio.history()) == 1

    survives_every_death(any_studio, lambda: any_studio.failed("sub/a.jpg"), check)


def test_a_release_survives_a_death_between_any_two_gestures(studio: Studio) -> None:
    def begin() -> None:
        studio.journal.advance(studio.claimed("sub/a.jpg"), State.RELEASED)

    def check() -> None:
        assert studio.files("inbox") == {"sub/a.jpg": ORIGINAL}

    survives_every_death(studio, begin, check)


def test_a_changed_original_survives_a_death_between_any_two_gestures(studio: Studio) -> None:
    def begin() -> None:
        studio.original(studio.completed("sub/a.jpg")).write_bytes(b"a newer one")

    def check() -> None:
        assert studio.files("outbox") == {"sub/a.jpg": PROTECTED}
        assert studio.files("inbox") == {"sub/a.jpg": b"a newer one"}
        assert studio.files("originals") == {}

    survives_every_death(studio, begin, check)


# --- a share that goes between two gestures: an empty folder lies in its place


@contextlib.contextmanager
def unmounted(folder: Path) -> Iterator[None]:
    away = folder.with_name("the share")
    folder.rename(away)
    folder.mkdir()
    yield
    assert list(folder.iterdir()) == []
    folder.rmdir()
    away.rename(folder)


def test_no_result_is_called_delivered_when_the_outbox_has_gone(studio: Studio) -> None:
    order = studio.received(studio.completed(), pouring(PROTECTED))
    with unmounted(studio.top / "outbox"), pytest.raises(FolderFault, match="is the share mounted"):
        studio.publisher.deliver(order, [0])
    studio.finish()
    assert studio.files("outbox") == {"a.jpg": PROTECTED}


@pytest.mark.parametrize("settings", [{}, {"originals": "delete"}])
def test_no_original_is_called_vanished_when_the_inbox_has_gone(open_studio: Open, settings: dict[str, str]) -> None:
    studio = open_studio(**settings)
    order = studio.received(studio.completed(), pouring(PROTECTED))
    order = studio.publisher.deliver(order, [0])
    with unmounted(studio.top / "inbox"), pytest.raises(FolderFault, match="is the share mounted"):
        studio.publisher.originals.place(order, [0])
    studio.finish()
    assert studio.files("originals") == ({} if settings else {"a.jpg": ORIGINAL})
    assert studio.has_clean_work()


def test_nothing_is_put_into_the_empty_mount_point_of_the_originals(studio: Studio) -> None:
    order = studio.received(studio.completed(), pouring(PROTECTED))
    order = studio.publisher.deliver(order, [0])
    with unmounted(studio.top / "originals"), pytest.raises(FolderFault, match="is the share mounted"):
        studio.publisher.originals.place(order, [0])
    studio.finish()
    assert studio.files("originals") == {"a.jpg": ORIGINAL}
