"""Two inboxes in a row: the outbox of the first is the path of the second, and one life serves both."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from contents import files_in
from made_orders import made_file, made_order
from shop import Killed, Shop, opening

from watchfolder import daemon, disk, history
from watchfolder.clock import Moment
from watchfolder.errors import FolderFault
from watchfolder.order import Order, Result, State
from watchfolder.publish.next_inbox import NextInbox
from watchfolder.sandbox import Sandbox
from watchfolder.work import WorkFolder

Row = tuple[Shop, Sandbox]
ROW = ("first", "second")


@pytest.fixture
def row(tmp_path: Path) -> Iterator[Row]:
    with opening(tmp_path) as build:
        yield build(inboxes=ROW, own=in_a_row(tmp_path))


def in_a_row(top: Path) -> dict[str, dict[str, str]]:
    return {"second": {"path": str(top / "first" / "outbox"), "originals": str(top / "second" / "originals")}}


def fail_between_name_and_journal(shop: Shop, patched: pytest.MonkeyPatch, call: str, error: BaseException) -> None:
    """Have the second inbox claim the result as soon as it has its name, and this call of the first one's fail."""
    owner = shop.journal if call == "note" else disk.FsyncBatch
    do, result, failed = getattr(owner, call), shop.folder("first") / "outbox" / "a.jpg", threading.Event()

    def failing(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it takes
        if failed.is_set() or not result.exists():
            return do(*given, **named)
        failed.set()
        claim(shop, "second")
        assert not result.exists()
        raise error

    patched.setattr(owner, call, failing)
    shop.drop("a.jpg", inbox="first/inbox")
    claim(shop, "first")
    shop.work(failed.is_set, takes=False)


def claim(shop: Shop, inbox: str) -> None:
    intake, now = shop.intakes[inbox], time.monotonic() + shop.ahead
    if not intake.health.is_open:
        intake.open_again(now)
    intake.nudge(None)
    deadline = time.monotonic() + 20
    while not shop.journal.orders(inbox):
        assert time.monotonic() < deadline
        intake.beat(time.monotonic() + shop.ahead)


@pytest.mark.parametrize("has_died", [True, False], ids=["death", "error"])
@pytest.mark.parametrize("call", ["sync", "note"])
def test_a_result_that_the_next_inbox_took_at_once_is_delivered_once(
    row: Row, monkeypatch: pytest.MonkeyPatch, call: str, *, has_died: bool
) -> None:
    shop, service = row
    error = Killed() if has_died else FolderFault("state: permission denied", code="EACCES")
    with monkeypatch.context() as patched:
        fail_between_name_and_journal(shop, patched, call, error)
    if has_died:
        shop.live_again()
    shop.pass_time(60)
    go_through(shop)
    assert_went_through(shop, service, "a.jpg")


@pytest.mark.parametrize("call", ["sync", "note"])
def test_it_is_delivered_once_also_when_the_next_inbox_is_done_with_it(
    row: Row, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    shop, service = row
    with monkeypatch.context() as patched:
        fail_between_name_and_journal(shop, patched, call, FolderFault("state: permission denied", code="EACCES"))
    shop.ahead = 0.0
    shop.work(lambda: not shop.journal.orders("second"), takes=False)
    assert [order.inbox for order in shop.orders()] == ["first"]
    shop.live_again()
    shop.pass_time(60)
    go_through(shop)
    assert_went_through(shop, service, "a.jpg")


def test_it_is_delivered_once_also_while_the_next_inbox_writes_of_its_end(
    row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = row
    append = history.append

    def append_of_the_first(state_dir: str, order: Order, **rest: Any) -> None:  # noqa: ANN401 - whatever it takes
        if order.inbox == "second":
            raise FolderFault("history: it cannot be written", code="EIO")
        append(state_dir, order, **rest)

    with monkeypatch.context() as patched:
        patched.setattr(history, "append", append_of_the_first)
        with monkeypatch.context() as once:
            fail_between_name_and_journal(shop, once, "note", FolderFault("state: permission denied", code="EACCES"))
        shop.ahead = 0.0
        shop.work(lambda: [order.state for order in shop.journal.orders("second")] == [State.DELIVERED], takes=False)
        shop.pass_time(60)
        shop.work(lambda: not shop.journal.orders("first"))
    shop.pass_time(60)
    go_through(shop)
    assert_went_through(shop, service, "a.jpg")


@pytest.mark.parametrize("call", ["sync", "note"])
def test_a_result_that_has_its_name_is_not_given_it_again(row: Row, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    shop, service = row
    owner = shop.journal if call == "note" else disk.FsyncBatch
    do, publish, failed = getattr(owner, call), disk.publish_new, threading.Event()
    result = shop.folder("first") / "outbox" / "a.jpg"

    def fail_once(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it takes
        if not failed.is_set() and result.exists():
            failed.set()
            raise FolderFault("outbox: the disk is full", code="ENOSPC")
        return do(*given, **named)

    def publish_late(*given: Any, **named: Any) -> None:  # noqa: ANN401 - whatever it takes
        if failed.is_set() and result.exists():
            claim(shop, "second")
        publish(*given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(owner, call, fail_once)
        patched.setattr(disk, "publish_new", publish_late)
        shop.drop("a.jpg", inbox="first/inbox")
        claim(shop, "first")
        shop.work(failed.is_set, takes=False)
        shop.pass_time(60)
        claim(shop, "first")  # which is closed since the fault; no other is looked into
        shop.work(lambda: not shop.journal.orders("first"), takes=False)
    go_through(shop)
    assert_went_through(shop, service, "a.jpg")


def test_a_backup_by_hard_links_is_not_taken_for_a_delivery(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, service = row
    die_before_the_name(shop, monkeypatch, lambda part: os.link(part.path, shop.top / "backup"))
    shop.live_again()
    go_through(shop)
    assert_went_through(shop, service, "a.jpg")


def test_the_same_result_of_an_earlier_drop_is_not_taken_for_this_one(
    row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = row
    shop.drop("a.jpg", inbox="first/inbox")
    go_through(shop)
    die_before_the_name(shop, monkeypatch)
    shop.live_again()
    go_through(shop)
    assert files_in(shop.folder("second") / "originals") == ["a (2).jpg", "a.jpg"]
    assert service.paid == 4


def die_before_the_name(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, first: Callable[[disk.Place], object] = lambda _part: None
) -> None:
    died = threading.Event()

    def publish_new(part: disk.Place, *_: Any, **__: Any) -> None:  # noqa: ANN401 - whatever it takes
        first(part)
        died.set()
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(disk, "publish_new", publish_new)
        shop.drop("a.jpg", inbox="first/inbox")
        shop.work(died.is_set)


BYTES, OTHER = b"the result", b"its double"
BEFORE, DELIVERED, AFTER = (datetime(2026, 11, 24, hour, tzinfo=UTC) for hour in (8, 9, 10))


class Claim(NamedTuple):
    """What an inbox has claimed. `is_link`: it is the very file whose hidden part may still be there."""

    inbox: str = "second"
    name: str = "a.jpg"
    content: bytes = BYTES
    at: datetime = AFTER
    has_part: bool = False
    is_link: bool = False
    is_hashed: bool = True
    is_gone: bool = False

    def order(self) -> Order:
        sha256 = hashlib.sha256(self.content).hexdigest() if self.is_hashed else None
        file = made_file(self.name, size=len(BYTES), sha256=sha256)
        times = {state: Moment(at=self.at) for state in (State.CLAIMING, State.CLAIMED)}
        times[State.DELIVERED] = Moment(at=AFTER)
        return made_order(file, inbox=self.inbox, state=State.CLAIMED, times=times)


OTHERS = [(claim, False) for claim in (Claim(content=OTHER), Claim(at=BEFORE), Claim(name="b.jpg"), Claim("first"))]


@pytest.mark.parametrize(
    ("claim", "is_taken"),
    [
        (Claim(), True),
        (Claim(is_hashed=False), True),
        (Claim(is_gone=True), True),  # its work folder does not tell any more, its hash does
        (Claim(has_part=True, is_link=True), True),
        (Claim(has_part=True, is_link=True, is_hashed=False), True),
        (Claim(has_part=True), False),  # a copy that somebody put there
        (Claim(has_part=True, is_gone=True), True),
        (Claim(content=OTHER, is_hashed=False), False),
        (Claim(is_hashed=False, is_gone=True), False),
        *OTHERS,
    ],
)
def test_what_the_next_inbox_works_on_is_the_result_if_it_was_claimed_since(
    row: Row, claim: Claim, *, is_taken: bool
) -> None:
    shop, _ = row
    part = shop.folder("first") / "outbox" / "part"
    part.write_bytes(BYTES)
    order, inbox = claim.order(), shop.config.inboxes[claim.inbox]
    shop.journal.enter(order)
    work = WorkFolder(inbox, shop.folders.work(inbox), shop.journal.instance)
    work.make_folder(order)
    claimed = Path(work.place(order, order.files[0]).path)
    if claim.is_link:
        os.link(part, claimed)
    elif not claim.is_gone:
        claimed.write_bytes(claim.content)
    if not claim.has_part:
        part.unlink()
    assert is_taken_by_the_next(shop, part) is is_taken


@pytest.mark.parametrize(("claim", "is_taken"), [(Claim(), True), *OTHERS])
def test_what_the_next_inbox_has_ended_is_the_result_if_it_was_claimed_since(
    row: Row, claim: Claim, *, is_taken: bool
) -> None:
    shop, _ = row
    history.append(shop.journal.state_dir, claim.order().having(state=State.DELIVERED), perhaps_there=False)
    assert is_taken_by_the_next(shop, shop.folder("first") / "outbox" / "part") is is_taken


def is_taken_by_the_next(shop: Shop, part: Path) -> bool:
    """Has the second inbox taken the result that the first one received as `part`?"""
    order = made_order(inbox="first", state=State.COMPLETED, times={State.COMPLETED: Moment(at=DELIVERED)})
    result = Result(part=part.name, delivery="a.jpg", size=len(BYTES), sha256=hashlib.sha256(BYTES).hexdigest())
    following = NextInbox(str(part.parent), shop.config.inboxes.values(), shop.journal, shop.folders)
    return following.has_taken(order, result)


def test_a_single_run_ends_when_the_next_inbox_has_seen_the_last_result(tmp_path: Path) -> None:
    with Sandbox(processing_seconds=0.0) as service:
        shop = Shop(tmp_path, service, inboxes=ROW, own=in_a_row(tmp_path), scan_seconds=600.0)
        shop.close()
        shop.drop("sub/a.jpg", inbox="first/inbox")
        outcome = daemon.run(shop.config, lambda: shop.config, once=True)
        assert (outcome.ending, outcome.snapshot.delivered) == (daemon.Ending.DONE, 2)
        assert_went_through(shop, service, "sub/a.jpg")


def go_through(shop: Shop) -> None:
    """Once for each inbox: at the end of one the next may not have looked yet."""
    for _ in shop.intakes:
        shop.to_the_end()


def assert_went_through(shop: Shop, service: Sandbox, name: str) -> None:
    assert files_in(shop.folder("second") / "outbox") == files_in(shop.folder("second") / "originals") == [name]
    assert files_in(shop.folder("first") / "outbox") == []
    parts = [name for name in files_in(shop.folder("first") / "outbox" / disk.HIDDEN) if "owner.json" not in name]
    assert parts == []
    assert service.paid == 2
    assert service.sins == []
