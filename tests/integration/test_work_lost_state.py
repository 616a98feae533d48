"""The state directory is lost amid the work: `run --adopt` goes on from the work folder, and nothing comes twice."""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from shop import FRESH, Shop, opened
from waiting import wait_until

from watchfolder.errors import FolderFault
from watchfolder.intake import Claims
from watchfolder.order import Order, OrderFile, State
from watchfolder.pipeline import timing
from watchfolder.publish.originals import OriginalPublisher
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

PICTURES = {f"{number}.jpg": sample("jpeg", width=48, height=36, seed=number) for number in range(4)}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(processing_seconds=0.0, look_seconds=0) as sandbox:
        yield sandbox


def begin(top: Path, sandbox: Sandbox, **settings: Any) -> Shop:  # noqa: ANN401 - an inbox's
    shop = Shop(top, sandbox, **settings)
    shop.ahead = FRESH
    return shop


def drop_all(shop: Shop) -> None:
    for name, content in PICTURES.items():
        shop.drop(name, content)


def change_one_that_is_paid(top: Path, sandbox: Sandbox) -> None:
    """Stop amid a paid order of all pictures; one of them holds other bytes since."""
    with opened(begin(top, sandbox)) as shop:
        drop_all(shop)
        shop.work(lambda: shop.has(State.CONFIRMED))
    (claimed,) = (top / "inbox/.watchfolder").glob("*/*/0.jpg")
    claimed.write_bytes(sample("jpeg", width=48, height=36, seed=9))


def adopt(top: Path, sandbox: Sandbox) -> None:
    """Go on with an empty state directory, to the end."""
    shutil.rmtree(top / "state")
    sandbox.faults.clear()
    with opened(begin(top, sandbox)) as shop:
        assert shop.folders.adopt(next(iter(shop.config.inboxes.values()))) == 1
        shop.to_the_end()


def assert_all_came_once(top: Path, sandbox: Sandbox) -> None:
    for folder in ("outbox", "originals"):
        assert sorted(name for name in os.listdir(top / folder) if name[0] != ".") == sorted(PICTURES)
    for name, content in PICTURES.items():
        assert (top / "originals" / name).read_bytes() == content
    assert os.listdir(top / "outbox/.watchfolder") == []
    assert set(sandbox.paid_files.values()) == {1}
    assert sandbox.sins == []


def test_an_order_goes_on_without_the_picture_that_changed_at_its_claim(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_as_found = Claims._is_as_found

    def is_another(claims: Claims, order: Order, file: OrderFile) -> bool:
        return file.name != "0.jpg" and is_as_found(claims, order, file)

    with opened(begin(tmp_path, sandbox)) as shop:
        monkeypatch.setattr(Claims, "_is_as_found", is_another)
        drop_all(shop)
        shop.intake.open_again(time.monotonic() + shop.ahead)
        wait_until(lambda: shop.intake.beat(time.monotonic() + shop.ahead) and shop.has(State.CLAIMED))
        assert "0.jpg" not in [file.name for order in shop.orders() for file in order.files]
    monkeypatch.undo()
    adopt(tmp_path, sandbox)
    assert_all_came_once(tmp_path, sandbox)


@pytest.mark.parametrize("are_home", [1, 3])
def test_an_order_some_of_whose_pictures_are_home_brings_the_others(
    tmp_path: Path, sandbox: Sandbox, are_home: int
) -> None:
    sandbox.faults.add("fetch", "truncated", nth=are_home + 1, times=None)
    with opened(begin(tmp_path, sandbox)) as shop:
        drop_all(shop)
        shop.work(lambda: shop.has(State.COMPLETED) and len(shop.files("originals")) == are_home)
    adopt(tmp_path, sandbox)
    assert_all_came_once(tmp_path, sandbox)


def test_what_has_its_name_and_not_yet_its_original_in_place_is_not_named_again(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_originals: OriginalPublisher, order: Order, _indexes: Sequence[int]) -> Order:
        raise FolderFault(f"{order.key}: the disk reports errors", code="EIO")

    with opened(begin(tmp_path, sandbox)) as shop:
        drop_all(shop)
        with monkeypatch.context() as amid:
            amid.setattr(OriginalPublisher, "place", fails)
            shop.work(lambda: shop.files("outbox"))
    adopt(tmp_path, sandbox)
    assert_all_came_once(tmp_path, sandbox)


def test_an_order_that_the_service_never_saw_goes_on_with_what_is_left_of_it(tmp_path: Path, sandbox: Sandbox) -> None:
    sandbox.faults.add("create", "answer", times=None, status=503)
    with opened(begin(tmp_path, sandbox)) as shop:
        drop_all(shop)
        shop.work(lambda: shop.orders() and shop.order().failures)
    (claimed,) = (tmp_path / "inbox/.watchfolder").glob("*/*/0.jpg")
    claimed.rename(tmp_path / "inbox/0.jpg")  # a person takes one back
    adopt(tmp_path, sandbox)
    assert_all_came_once(tmp_path, sandbox)


def test_a_paid_order_is_not_bought_again_because_a_picture_changed(tmp_path: Path, sandbox: Sandbox) -> None:
    change_one_that_is_paid(tmp_path, sandbox)
    adopt(tmp_path, sandbox)
    assert set(sandbox.paid_files.values()) == {1}
    outbox = sorted(name for name in os.listdir(tmp_path / "outbox") if name[0] != ".")
    assert outbox == sorted([*PICTURES, "0 (2).jpg"])


def test_a_paid_order_that_is_listed_late_is_not_bought_again(tmp_path: Path, sandbox: Sandbox) -> None:
    change_one_that_is_paid(tmp_path, sandbox)
    (entry,) = (tmp_path / "state/journal").glob("*.json")
    entry.unlink()
    late = sandbox.faults.add("list", "answer", status=200, body='{"data": {"orders": [], "total": 0}}')
    with opened(begin(tmp_path, sandbox)) as shop:
        shop.to_the_end()
        assert shop.files("outbox") == sorted([*PICTURES, "0 (2).jpg"])
    assert late.befallen
    assert set(sandbox.paid_files.values()) == {1}


def test_a_paid_order_is_not_parted_while_the_service_is_doubted(tmp_path: Path, sandbox: Sandbox) -> None:
    with opened(begin(tmp_path, sandbox)) as shop:
        drop_all(shop)
        shop.work(lambda: shop.has(State.CONFIRMED))
    (entry,) = (tmp_path / "state/journal").glob("*.json")
    entry.unlink()
    with opened(begin(tmp_path, sandbox)) as shop:
        shop.doubt_service()
        shop.to_the_end()
    assert_all_came_once(tmp_path, sandbox)


@pytest.mark.parametrize(
    ("bought", "is_known", "words"),
    [
        ("anti-ai", True, ""),
        (
            "anti-ai",
            False,
            "It may have been paid for: what was known of its order is lost, and the service lists no wf-",
        ),
        ("watermark-embed", False, "Ask the service's support for the order whose key the note beside it has."),
    ],
    ids=["found by its name", "not found by its name", "found by its key alone"],
)
def test_one_picture_of_many_taken_up_again_by_itself_is_not_bought_again(
    tmp_path: Path, sandbox: Sandbox, bought: str, words: str, *, is_known: bool
) -> None:
    sandbox.faults.add("fetch", "truncated", times=None)
    with opened(begin(tmp_path, sandbox, service=bought)) as shop:
        drop_all(shop)
        shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
        shop.journal.note(shop.order(), failing_seconds=1e9, not_before=None)
        shop.work(lambda: len(shop.files("quarantine")) == 2 * len(PICTURES))
        shop.to_the_end()
        for name in ("1.jpg", "2.jpg"):
            os.rename(shop.folder("quarantine") / name, shop.folder("inbox") / name)
        shop.pass_time(120)
        shop.work(lambda: sum(order.state is State.COMPLETED and order.failures > 0 for order in shop.orders()) == 2)
        back = [order.key for order in shop.orders() if order.state is State.COMPLETED]
    for key in back:
        (tmp_path / f"state/journal/{key}.json").unlink()
    sandbox.faults.clear()
    if not is_known:
        sandbox.faults.add("list", "answer", times=None, status=200, body='{"data": {"orders": [], "total": 0}}')
    with opened(begin(tmp_path, sandbox, service=bought)) as shop:
        shop.to_the_end()
        assert shop.files("outbox") == (["1.jpg", "2.jpg"] if is_known else [])
        assert is_known or words in (shop.folder("quarantine") / "1.jpg.why.txt").read_text()
    for name in shop.files("outbox"):
        assert (tmp_path / "originals" / name).read_bytes() == PICTURES[name]
    assert set(sandbox.paid_files.values()) == {1}
    assert len(sandbox.orders) == 1


@pytest.mark.parametrize("count", [1, 4])
def test_a_paid_order_given_up_before_it_was_looked_for_is_not_bought_again(
    tmp_path: Path, sandbox: Sandbox, count: int
) -> None:
    with opened(begin(tmp_path, sandbox)) as shop:
        for name, content in list(PICTURES.items())[:count]:
            shop.drop(name, content)
        shop.work(lambda: shop.has(State.CONFIRMED))
    (entry,) = (tmp_path / "state/journal").glob("*.json")
    entry.unlink()
    sandbox.faults.add("list", "answer", times=None, status=500)
    with opened(begin(tmp_path, sandbox)) as shop:
        shop.work(lambda: shop.orders() and shop.order().failures)
        key = shop.order().key
        shop.journal.note(shop.order(), deaths=3, not_before=None)
        shop.live_again()
        shop.pass_time(timing.SUSPECT_SECONDS)
        shop.work(lambda: len(shop.files("quarantine")) == 2 * count)
        note = (shop.folder("quarantine") / "0.jpg.why.txt").read_text()
        assert "died 3 times" in note
        assert "may have been paid for" in note
        assert f"wf-{key} in the list of the service" in note
        assert "none was made" not in note
    assert set(sandbox.paid_files.values()) == {1}


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_paid_order_that_has_expired_since_is_named_and_not_bought_again(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, *, is_lost: bool
) -> None:
    monkeypatch.setattr(timing, "MISSING_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(timing, "LEAST_BETWEEN_POLLS_SECONDS", 0.1)
    with opened(begin(tmp_path, sandbox)) as shop:
        drop_all(shop)
        shop.work(lambda: shop.has(State.CONFIRMED))
    (entry,) = (tmp_path / "state/journal").glob("*.json")
    if is_lost:
        entry.unlink()
    for order in sandbox.orders.values():
        sandbox._state.orders[order.order_id].retention_days = 0.0
    with opened(begin(tmp_path, sandbox)) as shop:
        shop.work(lambda: shop.files("quarantine"))
        assert "was paid for" in (shop.folder("quarantine") / "0.jpg.why.txt").read_text()
    assert set(sandbox.paid_files.values()) == {1}


@pytest.mark.parametrize("has_another_key", [False, True])
def test_a_paid_order_that_only_another_account_knows_is_not_bought_again(
    tmp_path: Path, sandbox: Sandbox, *, has_another_key: bool
) -> None:
    sandbox.faults.add("status", "answer", times=None, status=503)
    with opened(Shop(tmp_path, sandbox, api={"reads": "v3"})) as shop:
        shop.ahead = FRESH
        drop_all(shop)
        shop.work(lambda: shop.has(State.CONFIRMED) and shop.order().failures)
    shutil.rmtree(tmp_path / "state")
    sandbox.faults.clear()
    key = {"key": "sk_other_0123456789"} if has_another_key else {}
    with opened(Shop(tmp_path, sandbox, api={"reads": "v3"} | key)) as shop:
        shop.ahead = FRESH
        shop.folders.adopt(next(iter(shop.config.inboxes.values())))
        shop.to_the_end()
        kept = [name for name in shop.files("quarantine") if not name.endswith(".why.txt")]
        assert kept == (sorted(PICTURES) if has_another_key else [])
        assert shop.files("outbox") == ([] if has_another_key else sorted(PICTURES))
        assert set(sandbox.paid_files.values()) == {1}
        assert len(sandbox.orders) == 1
        for name in kept:  # this answer pays again
            os.rename(shop.folder("quarantine") / name, shop.folder("inbox") / name)
        shop.to_the_end()
        assert shop.files("outbox") == sorted(PICTURES)


def test_an_order_made_with_a_key_that_came_and_went_is_not_bought_again(tmp_path: Path, sandbox: Sandbox) -> None:
    first, second = {"key": "sk_first_0123456789"}, {"key": "sk_second_0123456789"}
    sandbox.keys = {first["key"]: "me", second["key"]: "somebody else"}
    sandbox.faults.add("create", "answer", times=None, status=503)
    with opened(Shop(tmp_path, sandbox, api={"reads": "v3"} | first)) as shop:
        shop.ahead = FRESH
        drop_all(shop)
        shop.work(lambda: shop.orders() and shop.order().failures)
    sandbox.faults.clear()
    sandbox.faults.add("status", "answer", times=None, status=503)
    with opened(Shop(tmp_path, sandbox, api={"reads": "v3"} | second)) as shop:
        shop.ahead = 3600.0
        shop.work(lambda: shop.has(State.CONFIRMED) and shop.order().failures)
    shutil.rmtree(tmp_path / "state")
    sandbox.faults.clear()
    with opened(Shop(tmp_path, sandbox, api={"reads": "v3"} | first)) as shop:
        shop.ahead = FRESH
        shop.folders.adopt(next(iter(shop.config.inboxes.values())))
        shop.to_the_end()
        assert set(sandbox.paid_files.values()) == {1}
        assert [name for name in shop.files("quarantine") if not name.endswith(".why.txt")] == sorted(PICTURES)
        assert "another API key" in (shop.folder("quarantine") / "0.jpg.why.txt").read_text()
    assert len(sandbox.orders) == 1
