"""The configuration changes while orders are under way: each picture comes home, and none is bought twice."""

import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest
from file_systems import tmpfs
from shop import OTHER, PICTURE, Killed, Open, Shop

from watchfolder import disk
from watchfolder.disk import Place
from watchfolder.order import State
from watchfolder.pipeline import StepContext, timing
from watchfolder.sandbox import Sandbox
from watchfolder.work import WorkFolder


def change(shop: Shop, inbox: str = "photos", **settings: Any) -> None:  # noqa: ANN401 - a YAML's values
    """Go on with another configuration, as after SIGHUP or a start."""
    mine = shop.config.inboxes[inbox].model_copy(update=settings)
    shop.config = shop.config.model_copy(update={"inboxes": {**shop.config.inboxes, inbox: mine}})
    shop.live_again()


def begin_order(shop: Shop, service: Sandbox, state: State, name: str = "sub/a.jpg") -> None:
    """Bring an order so far, and no further."""
    waits = {State.CLAIMED: "create", State.CREATED: "upload", State.UPLOADED: "confirm", State.CONFIRMED: "status"}
    waits[State.COMPLETED] = "link"
    service.faults.add(waits[state], "answer", status=500)
    shop.drop(name)
    shop.work(lambda: shop.has(state) and shop.order().failures)
    service.faults.clear()


def moved(shop: Shop, how: str) -> dict[str, Any]:
    """Return what has changed of an inbox that has another path, or another work folder."""
    folder = shop.folder("elsewhere")
    folder.mkdir(exist_ok=True)
    other = folder / ".watchfolder" if how == "path" else folder
    return {"work": str(other)} | ({"path": str(folder)} if how == "path" else {})


def assert_home(shop: Shop, service: Sandbox, name: str = "sub/a.jpg") -> None:
    assert shop.files("outbox") == shop.files("originals") == [name]
    assert (shop.folder("originals") / name).read_bytes() == PICTURE
    assert shop.files("inbox") == shop.files("quarantine") == []
    assert shop.orders() == ()
    assert {path.name for path in shop.top.rglob(f"{shop.journal.instance}/**/*")} == {"owner.json"}  # nothing hidden
    assert (service.paid, service.sins) == (1, [])


@pytest.mark.parametrize("how", ["path", "work"])
@pytest.mark.parametrize("state", [State.CLAIMED, State.CREATED, State.UPLOADED, State.CONFIRMED, State.COMPLETED])
def test_an_order_follows_its_inbox_to_another_folder(begin: Open, state: State, how: str) -> None:
    shop, service = begin()
    begin_order(shop, service, state)
    change(shop, **moved(shop, how))
    shop.pass_time(3600)
    shop.to_the_end()
    assert_home(shop, service)


def test_the_orders_of_two_inboxes_that_are_swapped_change_places(begin: Open) -> None:
    shop, service = begin(inboxes=("press", "web"))
    service.faults.add("link", "answer", times=2, status=500)
    for name, content in (("press", PICTURE), ("web", OTHER)):
        shop.drop("a.jpg", content, inbox=f"{name}/inbox")
    shop.work(lambda: [each.state for each in shop.orders() if each.failures] == 2 * [State.COMPLETED])
    press, web = shop.config.inboxes["press"], shop.config.inboxes["web"]
    change(shop, "press", path=web.path, work=web.work)
    change(shop, "web", path=press.path, work=press.work)
    shop.pass_time(3600)
    shop.to_the_end()
    for name, content in (("press", PICTURE), ("web", OTHER)):
        assert (shop.folder(f"{name}/originals") / "a.jpg").read_bytes() == content
        assert shop.files(f"{name}/outbox") == ["a.jpg"]
        assert shop.files(f"{name}/inbox") == shop.files(f"{name}/quarantine") == []
    assert (shop.orders(), service.paid, service.sins) == ((), 2, [])


@pytest.mark.parametrize("how", ["renamed", "linked"])
def test_an_order_whose_inbox_has_only_another_path_lies_where_it_lay(begin: Open, how: str) -> None:
    shop, service = begin()
    begin_order(shop, service, State.CONFIRMED)
    elsewhere = shop.folder("elsewhere")
    if how == "renamed":
        shop.folder("inbox").rename(elsewhere)
    else:
        elsewhere.symlink_to("inbox")
    change(shop, path=str(elsewhere), work=str(elsewhere / ".watchfolder"))
    shop.pass_time(3600)
    shop.to_the_end()
    shop.folder("inbox").mkdir(exist_ok=True)
    assert_home(shop, service)


def move_inbox(shop: Shop) -> None:
    """Give the inbox another path, with all that is in it."""
    elsewhere = shop.folder("elsewhere")
    shop.folder("inbox").rename(elsewhere)
    change(shop, path=str(elsewhere), work=str(elsewhere / ".watchfolder"))


@pytest.mark.parametrize(
    ("door", "call", "state"), [(WorkFolder, "make_folder", State.CLAIMING), (StepContext, "record", State.DELIVERED)]
)
def test_an_order_that_has_no_work_folder_goes_with_its_inbox(
    begin: Open, monkeypatch: pytest.MonkeyPatch, door: type, call: str, state: State
) -> None:
    shop, service = begin()
    died = threading.Event()

    def die(*_: object) -> None:
        died.set()
        raise Killed

    shop.drop("sub/a.jpg")
    with monkeypatch.context() as dying, contextlib.suppress(Killed):  # which a step's thread keeps to itself
        dying.setattr(door, call, die)
        shop.work(died.is_set)
    assert shop.order().state is state
    move_inbox(shop)
    shop.pass_time(3600)
    shop.to_the_end()
    shop.folder("inbox").mkdir()
    assert_home(shop, service)


def move_while_away(shop: Shop, service: Sandbox) -> None:
    """Give the inbox another path while the one before, where an order is under way, is not there."""
    begin_order(shop, service, State.CONFIRMED)
    shop.folder("inbox").rename(shop.folder("away"))
    change(shop, **moved(shop, "path"))
    shop.work(lambda: shop.intake.health.fault)


def test_an_inbox_waits_while_its_orders_lie_on_a_share_that_is_away(begin: Open) -> None:
    shop, service = begin()
    move_while_away(shop, service)
    assert "files of orders that are under way lie there" in shop.intake.health.reason
    assert shop.order().state is State.CONFIRMED
    shop.folder("away").rename(shop.folder("inbox"))
    shop.pass_time(3600)
    shop.to_the_end()
    assert_home(shop, service)


def test_an_inbox_goes_on_when_a_person_says_that_its_orders_are_gone(begin: Open) -> None:
    shop, service = begin()
    move_while_away(shop, service)
    command = shop.intake.health.reason.rpartition("mkdir -p ")[2]
    Path(command).mkdir(parents=True)
    shop.pass_time(3600)
    shop.to_the_end()
    assert (shop.files("outbox"), shop.orders(), service.paid) == (["sub/a.jpg"], (), 1)


def die_moving(shop: Shop, monkeypatch: pytest.MonkeyPatch, moves: int) -> None:
    """End a life amid the move of an order's files, after so many of them."""
    move, made = disk.move, list[Place]()

    def dying_move(source: Place, target: Place, **rest: Any) -> None:  # noqa: ANN401 - whatever it takes
        if len(made) == moves:
            raise Killed
        made.append(target)
        move(source, target, **rest)

    change(shop, **moved(shop, "path"))
    monkeypatch.setattr(disk, "move", dying_move)
    with pytest.raises(Killed):
        shop.intake.open_again(0.0)
    monkeypatch.undo()


@pytest.mark.parametrize("is_of_another_disk", [False, True])
@pytest.mark.parametrize("moves", [0, 1])
def test_a_death_amid_that_move_loses_nothing(
    begin: Open, monkeypatch: pytest.MonkeyPatch, moves: int, *, is_of_another_disk: bool
) -> None:
    shop, service = begin()
    begin_order(shop, service, State.CONFIRMED)
    with tmpfs(shop.folder("elsewhere")) if is_of_another_disk else contextlib.nullcontext():
        die_moving(shop, monkeypatch, moves)
        shop.live_again()
        shop.pass_time(3600)
        shop.to_the_end()
        assert_home(shop, service)


def test_half_a_move_is_waited_for_where_the_other_half_is_away(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, service = begin()
    begin_order(shop, service, State.CONFIRMED)
    die_moving(shop, monkeypatch, 1)
    shop.folder("inbox").rename(shop.folder("away"))
    shop.live_again()
    shop.work(lambda: shop.intake.health.fault)
    assert "files of orders that are under way lie there" in shop.intake.health.reason
    shop.folder("away").rename(shop.folder("inbox"))
    shop.pass_time(3600)
    shop.to_the_end()
    assert_home(shop, service)


@pytest.mark.parametrize("state", [State.CLAIMED, State.CONFIRMED, State.COMPLETED])
def test_no_original_is_deleted_because_its_inbox_has_another_service(begin: Open, state: State) -> None:
    shop, service = begin()
    begin_order(shop, service, state)
    change(shop, service="ai-detection", originals=None)
    shop.pass_time(3600)
    shop.to_the_end()
    assert shop.files("outbox") == ["sub/a.jpg"]
    assert shop.files("quarantine") == ["originals/sub/a.jpg"]
    assert (shop.folder("quarantine") / "originals/sub/a.jpg").read_bytes() == PICTURE
    assert (shop.orders(), service.paid) == ((), 1)


def test_an_original_of_a_watermark_is_kept_where_its_inbox_deletes_others_now(begin: Open) -> None:
    shop, service = begin(service="watermark-embed")
    begin_order(shop, service, State.COMPLETED)
    change(shop, service="anti-ai", originals=None)
    shop.pass_time(3600)
    shop.to_the_end()
    assert (shop.folder("quarantine") / "originals/sub/a.jpg").read_bytes() == PICTURE


def test_an_order_waits_for_the_address_at_which_it_was_made(begin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "MISSING_AGAIN_SECONDS", 0.1)
    shop, service = begin()
    begin_order(shop, service, State.CONFIRMED)
    here = shop.config.api
    far = here.model_copy(update={"base_url": "https://api.example.com"})
    shop.journal.note(shop.order(), fingerprint=far.fingerprint)
    with Sandbox(processing_seconds=0.0) as elsewhere:
        api = here.model_copy(update={"base_url": elsewhere.url})
        shop.config = shop.config.model_copy(update={"api": api})
        shop.live_again()
        shop.work(lambda: shop.order().refused_by)
        assert "or at another address" in shop.order().last_error
        assert (shop.order().state, elsewhere.paid) == (State.CONFIRMED, 0)
    shop.config = shop.config.model_copy(update={"api": here})
    shop.live_again()
    shop.pass_time(3600)
    shop.to_the_end()
    assert_home(shop, service)
