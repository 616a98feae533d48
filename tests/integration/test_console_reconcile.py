"""Reading the service's whole list of orders, over real HTTP to the sandbox; and orders of many that were given up."""

import os
import shlex
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from shop import QUICK, Shop, opened

from watchfolder import disk, history
from watchfolder.api import Service
from watchfolder.config import Config
from watchfolder.console.commands import verify
from watchfolder.console.commands.reconcile_books import Books, fetch_all, lines, reconcile
from watchfolder.disk import Place
from watchfolder.order import State
from watchfolder.report import status
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample
from watchfolder.services import named
from watchfolder.services.anti_ai import ANTI_AI

YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def config(top: Path, sandbox: Sandbox, **api: object) -> Config:
    inbox = {"name": "photos"} | {role: str(top / role) for role in ("path", "outbox", "quarantine")}
    section = {"base_url": sandbox.url, "key": sandbox.key, "requests_per_minute": 0} | api
    return Config.model_validate({"api": section, "state_dir": str(top), "inboxes": {"photos": inbox}})


@pytest.fixture
def orders(tmp_path: Path, sandbox: Sandbox) -> int:
    """Make more orders than a page of the list holds, and one that is another program's; return how many are ours."""
    service = Service(config(tmp_path, sandbox).api, transfers=1, stop=threading.Event(), pace=QUICK)
    for _ in range(104):
        service.create(
            ANTI_AI.create_path, ANTI_AI.body(str(uuid.uuid4()), [named("a.jpg")], {"strength": "high"}), ["a.jpg"]
        )
    foreign = ANTI_AI.body(str(uuid.uuid4()), [named("a.jpg")], {"strength": "high"}).replace('"wf-', '"web-wf-')
    service.create(ANTI_AI.create_path, foreign, ["a.jpg"])
    service.close()
    return 104


def test_every_page_is_read_and_only_what_is_ours_is_counted(tmp_path: Path, sandbox: Sandbox, orders: int) -> None:
    books = reconcile(config(tmp_path, sandbox), YESTERDAY)
    assert sandbox.requests_by_operation()["list"] == 2
    assert (books.listed, books.unpaid) == (orders, orders)
    assert not books.undelivered
    assert not books.unknown_there
    assert sandbox.sins == []


def test_the_reading_ends_where_the_orders_are_older_than_was_asked_for(
    tmp_path: Path, sandbox: Sandbox, orders: int
) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    books = reconcile(config(tmp_path, sandbox), later)
    assert sandbox.requests_by_operation()["list"] == 1
    assert books.listed == 0
    assert orders


def test_a_service_that_says_slow_down_is_asked_again(tmp_path: Path, sandbox: Sandbox, orders: int) -> None:
    sandbox.minute_seconds = 1.0
    sandbox.requests_per_minute = 1
    time.sleep(1.1)
    books = reconcile(config(tmp_path, sandbox), YESTERDAY)
    assert books.listed == orders


# --- an order of many that was given up: each of its pictures takes its part up again by itself


@pytest.fixture
def shop(tmp_path: Path, sandbox: Sandbox) -> Iterator[Shop]:
    sandbox.processing_seconds = 0.0
    with ExitStack() as stack:
        shop = stack.enter_context(opened(Shop(tmp_path, sandbox, api={"reads": "v3"})))
        shop.ahead = 20.0  # no first look has to be waited for
        yield shop


def give_up(shop: Shop, sandbox: Sandbox, *names: str, come: int = 0) -> None:
    """Bring a paid order into quarantine that is alive at the service; some of its results came before."""
    for seed, name in enumerate(names):
        shop.drop(name, sample("jpeg", width=40, height=30, seed=seed))
    sandbox.faults.add("link", "answer", status=503, times=None)
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    shop.journal.note(shop.order(), failing_seconds=1e9, not_before=None)
    sandbox.faults.clear()
    sandbox.faults.add("fetch", "truncated", times=len(names) - come)
    shop.work(lambda: shop.files("quarantine"))
    shop.to_the_end()
    sandbox.faults.clear()


def books_of(shop: Shop) -> Books:
    return reconcile(shop.config, YESTERDAY)


def test_an_order_of_many_that_was_given_up_can_still_be_fetched(shop: Shop, sandbox: Sandbox) -> None:
    names = ["-rf.jpg", "it's.jpg", "plain.jpg"]
    give_up(shop, sandbox, *names)
    (lost,) = books_of(shop).undelivered
    assert sorted(lost.files) == names
    command = lost.advice.partition(": watchfolder retry ")[2]
    assert sorted(shlex.split(command)) == [str(shop.folder("quarantine") / name) for name in names]
    for name in names:
        os.rename(shop.folder("quarantine") / name, shop.folder("inbox") / name)
    shop.pass_time(120)
    shop.to_the_end()
    assert shop.files("outbox") == names
    assert sandbox.paid == len(names)
    books = books_of(shop)
    assert (books.listed, books.delivered, books.undelivered, books.unknown_there) == (1, 1, [], [])


def test_a_name_that_cannot_be_shown_is_offered_as_a_pattern(shop: Shop, sandbox: Sandbox) -> None:
    give_up(shop, sandbox, "two\nlines.jpg")
    assert books_of(shop).undelivered[0].advice.endswith("/quarantine/two?lines.jpg")
    assert not any("\n" in line for line in lines(books_of(shop)))


def test_what_is_fetched_gets_a_number_where_somebody_takes_its_name_meanwhile(
    shop: Shop, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up(shop, sandbox, "one.jpg")
    put = disk.publish_new

    def put_too_late(part: Place, target: Place, *, owner: str) -> None:
        if target.base == "one.jpg":
            Path(target.path).write_bytes(b"somebody's")
        put(part, target, owner=owner)

    monkeypatch.setattr(disk, "publish_new", put_too_late)
    (folder := tmp_path / "fetched").mkdir()
    (told,) = fetch_all(books_of(shop).undelivered, str(folder), shop.config)
    assert told.endswith(f"fetched: {folder / 'one (2).jpg'}")
    assert (folder / "one.jpg").read_bytes() == b"somebody's"
    assert sorted(path.name for path in folder.glob("*.jpg")) == ["one (2).jpg", "one.jpg"]


def test_what_was_fetched_before_is_not_fetched_beside_it(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> None:
    give_up(shop, sandbox, "one.jpg")
    (folder := tmp_path / "fetched").mkdir()
    for _ in range(2):
        (told,) = fetch_all(books_of(shop).undelivered, str(folder), shop.config)
        assert told.endswith(f"fetched: {folder / 'one.jpg'}")
    assert [path.name for path in folder.iterdir()] == ["one.jpg"]  # and nothing hidden


def test_a_retry_is_offered_for_as_long_as_the_service_has_the_result(shop: Shop, sandbox: Sandbox) -> None:
    give_up(shop, sandbox, "one.jpg")
    shop.journal.note(shop.order(), expires_at=datetime.now(UTC) - timedelta(minutes=1))
    advice = books_of(shop).undelivered[0].advice
    assert advice.endswith(f"while the service keeps it: watchfolder retry {shop.folder('quarantine') / 'one.jpg'}")


@pytest.mark.parametrize("name", ["photos", "others"])
def test_a_retry_that_would_pay_again_is_not_offered_but_the_result_itself_is(
    shop: Shop, sandbox: Sandbox, name: str
) -> None:
    give_up(shop, sandbox, "one.jpg")
    config = shop.config
    weaker = config.inboxes["photos"].model_copy(update={"strength": "low"})
    config = config.model_copy(update={"inboxes": {name: weaker}})
    advice = reconcile(config, YESTERDAY).undelivered[0].advice
    assert "retry" not in advice
    assert "watchfolder reconcile --fetch" in advice


def test_what_is_no_longer_parked_is_told_by_its_receipt_and_can_be_fetched(shop: Shop, sandbox: Sandbox) -> None:
    give_up(shop, sandbox, "one.jpg")
    shop.close()
    (shop.folder("state") / "journal" / f"{shop.order().key}.json").unlink()
    (lost,) = books_of(shop).undelivered
    shop.open()
    assert (lost.files, lost.reason.partition(":")[0]) == (["one.jpg"], "quarantined")
    assert "watchfolder reconcile --fetch" in lost.advice


def test_what_the_service_keeps_no_longer_is_told_and_not_fetched(shop: Shop, sandbox: Sandbox, tmp_path: Path) -> None:
    give_up(shop, sandbox, "one.jpg")
    for order in sandbox._state.orders.values():
        order.retention_days = 0.0
    (lost,) = books_of(shop).undelivered
    assert lost.reason.endswith("; the service no longer keeps the result")
    assert lost.advice.startswith("nothing can be fetched any more")
    assert list(fetch_all([lost], str(tmp_path), shop.config)) == []


def test_a_verdict_that_was_paid_and_lost_stands_in_the_services_list(tmp_path: Path, sandbox: Sandbox) -> None:
    sandbox.processing_seconds = 0.0
    with ExitStack() as stack:
        shop = stack.enter_context(opened(Shop(tmp_path, sandbox, service="ai-detection")))
        shop.ahead = 20.0
        shop.drop("one.jpg")
        shop.to_the_end()
        shutil.rmtree(shop.folder("state") / "history")
        (lost,) = books_of(shop).undelivered
    assert lost.advice.startswith("what was found stands in the service's list of orders")
    assert not lost.is_kept


def test_what_came_before_an_order_was_given_up_has_its_receipt_and_is_counted(shop: Shop, sandbox: Sandbox) -> None:
    give_up(shop, sandbox, "a.jpg", "b.jpg", "c.jpg", come=2)
    there, (lost,) = shop.files("outbox"), [name for name in shop.files("quarantine") if name.endswith(".jpg")]
    told = history.deliveries(shop.journal.orders(), shop.config.state_dir)
    assert sorted(str(each.file.delivered) for each in told) == there
    assert sorted(each.place.name for each in verify.all_delivered(shop.config)) == there
    assert status.read_status(shop.config, datetime.now(UTC)).inboxes["photos"].delivered_today == len(there) == 2
    assert books_of(shop).undelivered[0].files == [lost]
