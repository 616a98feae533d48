"""Files that hold addresses of pictures: the service fetches them, and each result is named after its address."""

import json
import logging
import plistlib
import time

import pytest
from contents import files_in, sha256, table
from shop import OTHER, PICTURE, Open, Shop, a_list

from watchfolder import disk, history, intake, quota
from watchfolder.disk import Place
from watchfolder.intake import UnderWay
from watchfolder.order import Order, State, Why
from watchfolder.publish import ListPublisher
from watchfolder.quota import Allowance
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample
from watchfolder.services.link_files import read

ADDRESS = "https://img.example.com/a/gr%C3%B6%C3%9Fe%20eins.jpg?token=s3cret"
SECOND = "https://img.example.com/zwei.png"
THIRD = "https://img.example.com/drei?size=large"
NOTHING = UnderWay(0, 0, frozenset(), frozenset())
GONE = "https://img.example.com/gone.jpg"
OPEN = "http://img.example.com/open.jpg"
SHORTCUT = f"[InternetShortcut]\r\nURL={ADDRESS}\r\n".encode()
USUAL = {"kept": {"processing_seconds": 0.2}, "links": True, "duplicates": "reuse"}


ORIGINS = {"origins": {ADDRESS: PICTURE, SECOND: OTHER, THIRD: OTHER}}


def test_the_result_is_named_after_the_address_and_the_link_is_its_original(begin: Open) -> None:
    shop, service = begin(ORIGINS)
    shop.drop("Presse/Strand.url", SHORTCUT)
    shop.to_the_end()

    assert shop.files("outbox") == ["Presse/größe eins.jpg"]
    assert (shop.folder("originals") / "Presse/Strand.url").read_bytes() == SHORTCUT
    assert shop.files("inbox") == shop.files("quarantine") == []
    assert service.paid_files == {sha256(PICTURE): 1}
    assert service.sins == []
    (end,) = history.newest_first(shop.config.state_dir)
    assert [(file.name, file.delivered) for file in end.files] == [("Presse/Strand.url", "Presse/größe eins.jpg")]


def test_links_of_every_kind_travel_in_one_order_apart_from_pictures(begin: Open) -> None:
    shop, service = begin(ORIGINS)
    shop.drop("eins.url", SHORTCUT)
    shop.drop("zwei.webloc", plistlib.dumps({"URL": SECOND}, fmt=plistlib.FMT_BINARY))
    shop.drop("drei.desktop", f"[Desktop Entry]\nType=Link\nURL={THIRD}\n".encode())
    shop.drop("mine.jpg")
    shop.to_the_end()

    assert shop.files("outbox") == ["drei.jpg", "größe eins.jpg", "mine.jpg", "zwei.jpg"]
    assert sorted(len(order.files) for order in service.orders.values()) == [1, 3]
    assert service.sins == []


def test_the_address_that_is_gone_comes_back_alone(begin: Open) -> None:
    shop, service = begin(ORIGINS)
    for number, address in enumerate([ADDRESS, GONE, SECOND, THIRD]):
        shop.drop(f"{number}.url", f"[InternetShortcut]\nURL={address}".encode())
    shop.to_the_end_of_a_doubt()

    assert shop.files("outbox") == ["drei.jpg", "größe eins.jpg", "zwei.jpg"]
    assert shop.files("quarantine") == ["1.url", "1.url.why.txt"]
    told = (shop.folder("quarantine") / "1.url.why.txt").read_text("utf-8")
    assert "fetched from its address" in told
    assert "picture editor" not in told  # a link is none to save anew
    assert service.sins == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (SHORTCUT.replace(b"https", b"http"), "https://"),
        (b"[InternetShortcut]\nURL=https://192.168.1.1/a.jpg?token=s3cret", "internet"),
        (b"[InternetShortcut]\nURL=https://me:s3cret@example.com/a.jpg", "user name"),
        (b"\xff\x00junk" * 100, "cannot be read"),
        (SHORTCUT + b"Icon\r\n 0\r\n", "cannot be read"),  # goes on where there is no value
        (SHORTCUT * 100_000, "too long"),
    ],
)
def test_an_address_that_is_not_taken_is_refused_with_its_reason(begin: Open, content: bytes, reason: str) -> None:
    shop, service = begin()
    shop.drop("bad.url", content)
    shop.to_the_end()

    assert shop.files("quarantine") == ["bad.url", "bad.url.why.txt"]
    told = (shop.folder("quarantine") / "bad.url.why.txt").read_text("utf-8")
    assert reason in told
    assert "s3cret" not in told
    assert service.orders == {}


def test_without_links_such_a_file_stays_and_is_explained(begin: Open) -> None:
    shop, service = begin(links=False)
    shop.drop("Strand.url", SHORTCUT)
    shop.to_the_end()

    assert shop.files("inbox") == ["Strand.url"]
    explained = intake.explain(shop.intake.inbox, "Strand.url", time.monotonic(), time.time() + 60)
    assert not isinstance(explained, str)
    assert "links: true" in explained.reason
    assert shop.intake.counts(NOTHING)["stay"] == 1
    assert service.orders == {}


@pytest.mark.parametrize("is_under_way", [False, True])
def test_the_same_address_is_not_bought_twice_at_one_time_but_later_is_new(begin: Open, is_under_way: bool) -> None:
    shop, service = begin({"origins": {ADDRESS: PICTURE}, "processing_seconds": 1.0})
    shop.drop("eins.url", SHORTCUT)
    if is_under_way:
        shop.work(lambda: shop.has(State.CONFIRMED))
    shop.drop("noch einmal.webloc", plistlib.dumps({"URL": ADDRESS}))
    shop.intake.nudge(None)
    shop.work(lambda: "is under way" in str(shop.intake.candidates.left_waiting(Allowance())))
    shop.work(lambda: shop.has(State.CONFIRMED))
    assert (len(shop.files("inbox")), service.paid) == (1, 1)

    service.origins[ADDRESS] = OTHER  # what lies there later is another picture
    shop.to_the_end()
    assert shop.files("outbox") == ["größe eins (2).jpg", "größe eins.jpg"]
    assert service.paid == 2


def test_no_query_of_an_address_is_told(begin: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shop, _ = begin({"origins": {SECOND: OTHER}})
    shop.drop("eins.url", SHORTCUT)
    shop.drop("zwei.url", SHORTCUT.replace(ADDRESS.encode(), SECOND.encode()))
    shop.to_the_end_of_a_doubt()

    told = caplog.text + "".join(map(str, [record.__dict__ for record in caplog.records]))
    told += "".join(file.read_text("utf-8") for file in shop.folder("state").rglob("history/*"))
    told += (shop.folder("quarantine") / "eins.url.why.txt").read_text("utf-8")
    assert "zwei.jpg" in told
    assert "s3cret" not in told


LIST = f"""# press pictures
{ADDRESS}
http://me:s3cret@img.example.com/open.jpg?token=s3cret

{GONE}?token=s3cret
{SECOND}
{THIRD}
{SECOND}
"""


def done(shop: Shop, name: str, folder: str = "originals") -> list[dict[str, str]]:
    return table(shop.folder(folder) / name)


def test_each_address_of_a_list_is_delivered_or_comes_back_with_its_reason(begin: Open) -> None:
    shop, service = begin(ORIGINS)
    shop.drop("Presse/Bilder.urls", LIST.encode())
    shop.to_the_end_of_a_doubt()

    assert shop.files("outbox") == ["Presse/drei.jpg", "Presse/größe eins.jpg", "Presse/zwei.jpg"]
    assert shop.files("originals") == ["Presse/Bilder.done.csv", "Presse/Bilder.urls"]
    assert shop.files("quarantine") == ["Presse/Bilder.failed.urls", "Presse/Bilder.failed.urls.why.txt"]
    assert shop.files("inbox") == []
    assert [(line["line"], line["result"]) for line in done(shop, "Presse/Bilder.done.csv")] == [
        ("2", "Presse/größe eins.jpg"),
        ("3", ""),
        ("5", ""),
        ("6", "Presse/zwei.jpg"),
        ("7", "Presse/drei.jpg"),
        ("8", ""),
    ]
    failed = (shop.folder("quarantine") / "Presse/Bilder.failed.urls").read_text("utf-8")
    lines = [line for line in failed.splitlines() if not line.startswith("#")]
    assert "s3cret" not in (shop.folder("originals") / "Presse/Bilder.done.csv").read_text("utf-8")
    assert lines == ["http://me:s3cret@img.example.com/open.jpg?token=s3cret", f"{GONE}?token=s3cret"]
    assert service.sins == []


@pytest.mark.parametrize("name", ["Bilder.failed.urls", "Bilder.failed (2).urls", "Bilder.failed.URLS"])
def test_a_list_of_failed_addresses_that_fails_again_is_not_written_over(begin: Open, name: str) -> None:
    shop, _ = begin(ORIGINS)
    content = a_list(SECOND, OPEN, THIRD)
    shop.drop(name, content)
    shop.to_the_end_of_a_doubt()

    assert shop.files("outbox") == ["drei.jpg", "zwei.jpg"]
    assert (shop.folder("originals") / name).read_bytes() == content
    failed, _why = shop.files("quarantine")
    assert failed.startswith("Bilder.failed")
    assert failed.endswith(".urls")
    assert (shop.folder("quarantine") / failed).read_text("utf-8").splitlines()[1:] == [OPEN]


def test_a_list_that_is_deleted_may_die_at_that_and_its_failures_are_there(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, service = begin(ORIGINS, originals="delete")
    remove, dead = disk.remove, list[str]()

    def dying(place: Place, **rest: bool) -> None:
        remove(place, **rest)
        if place.base == "Bilder.urls" and not dead:
            dead.append(place.name)
            raise RuntimeError

    monkeypatch.setattr(disk, "remove", dying)
    shop.drop("Bilder.urls", a_list(SECOND, OPEN))
    shop.work(lambda: dead)
    shop.live_again()
    shop.pass_time(3600.0)
    shop.to_the_end()

    assert shop.files("quarantine") == ["Bilder.failed.urls", "Bilder.failed.urls.why.txt"]
    assert shop.files("outbox") == ["Bilder.done.csv", "zwei.jpg"]
    assert [name for name in files_in(shop.folder("inbox") / ".watchfolder") if name.endswith("urls")] == []
    assert service.paid == 1


def test_of_a_list_that_is_deleted_the_outbox_tells_what_became_of_each_line(begin: Open) -> None:
    shop, _ = begin(ORIGINS, originals="delete")
    (shop.folder("outbox") / "Presse").mkdir()
    (shop.folder("outbox") / "Presse/Bilder.done.csv").write_text("somebody's own")
    shop.drop("Presse/Bilder.urls", a_list(SECOND, OPEN))
    shop.to_the_end()

    told = done(shop, "Presse/Bilder (2).done.csv", "outbox")
    assert [(line["result"], bool(line["reason"])) for line in told] == [("Presse/zwei.jpg", False), ("", True)]
    assert (shop.folder("outbox") / "Presse/Bilder.done.csv").read_text() == "somebody's own"


def test_a_list_that_is_taken_back_out_of_the_originals_gets_a_table_of_its_own(begin: Open) -> None:
    shop, service = begin(ORIGINS)
    shop.drop("Bilder.urls", a_list(SECOND))
    shop.to_the_end()
    service.origins[SECOND] = PICTURE
    (shop.folder("originals") / "Bilder.urls").rename(shop.folder("inbox") / "Bilder.urls")
    shop.to_the_end()

    assert shop.files("originals") == ["Bilder (2).done.csv", "Bilder (2).urls", "Bilder.done.csv"]
    assert shop.files("outbox") == ["zwei (2).jpg", "zwei.jpg"]
    assert service.paid == 2


def test_a_long_list_of_which_all_failed_can_be_dropped_again(begin: Open) -> None:
    shop, _ = begin()
    addresses = [f"http://img.example.com/{number}.jpg" for number in range(6000)]
    shop.drop("many.urls", "# Füße\n".encode("latin-1") + a_list(SECOND, *addresses))
    shop.to_the_end_of_a_doubt()

    failed = (shop.folder("quarantine") / "many.failed.urls").read_bytes()
    assert [line.address for line in read("many.failed.urls", failed) if line.address != SECOND] == addresses


def numbered(count: int) -> dict[str, bytes | None]:
    """Return so many addresses, each with a picture of its own."""
    return {
        f"https://img.example.com/{number}.jpg": sample("jpeg", width=32, height=24, seed=number)
        for number in range(count)
    }


def test_a_long_list_becomes_several_orders_and_each_address_is_bought_once(begin: Open) -> None:
    origins = numbered(7)
    shop, service = begin({"origins": origins}, max_files_per_order=3)
    shop.drop("many.urls", a_list(*origins))
    shop.to_the_end(seconds=60)

    assert shop.files("outbox") == [f"{number}.jpg" for number in range(7)]
    assert sorted(len(order.files) for order in service.orders.values()) == [1, 3, 3]
    assert set(service.paid_files.values()) == {1}
    assert shop.files("quarantine") == shop.files("inbox") == []
    assert shop.files("originals") == ["many.done.csv", "many.urls"]
    assert [name for name in files_in(shop.folder("inbox") / ".watchfolder") if name.endswith(".url")] == []


def test_a_list_goes_on_after_a_stop_where_it_was(begin: Open) -> None:
    origins = numbered(5)
    shop, service = begin({"origins": origins, "processing_seconds": 0.5}, max_files_per_order=2)
    shop.drop("many.urls", a_list(*origins))
    shop.work(lambda: service.paid >= 2)
    shop.live_again()
    shop.to_the_end(seconds=60)

    assert shop.files("outbox") == [f"{number}.jpg" for number in range(5)]
    assert set(service.paid_files.values()) == {1}
    assert [line["result"] for line in done(shop, "many.done.csv")] == [f"{number}.jpg" for number in range(5)]


def test_of_a_list_whose_entry_is_lost_nothing_is_bought_again(begin: Open) -> None:
    origins = numbered(3)
    shop, service = begin({"origins": origins, "processing_seconds": 0.5}, max_files_per_order=2, orders_in_flight=1)
    shop.drop("many.urls", a_list(*origins))
    shop.work(lambda: service.paid == 2)
    (lost,) = (order for order in shop.orders() if order.is_list)
    shop.lose_entry(lost)
    shop.to_the_end(seconds=60)

    assert service.paid == 2
    assert shop.files("outbox") == ["0.jpg", "1.jpg"]
    assert shop.files("quarantine") == ["many.failed.urls", "many.failed.urls.why.txt"]
    failed = (shop.folder("quarantine") / "many.failed.urls").read_text("utf-8")
    assert "may have been fetched and paid for" in failed
    assert failed.splitlines()[-1] == "https://img.example.com/2.jpg"


def test_a_link_that_vanishes_from_the_work_folder_is_laid_out_again(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    origins = numbered(2)
    shop, service = begin({"origins": origins})
    write_links, laid = ListPublisher.write_links, list[str]()

    def write_links_of_which_one_vanishes(self: ListPublisher, order: Order) -> None:
        write_links(self, order)
        if not laid:
            next((shop.folder("inbox") / ".watchfolder").rglob("many.1.url")).unlink()
        laid.extend(file.name for file in order.files)

    monkeypatch.setattr(ListPublisher, "write_links", write_links_of_which_one_vanishes)
    shop.drop("many.urls", a_list(*origins))
    shop.to_the_end(seconds=60)

    assert laid == ["many.1.url", "many.2.url", "many.1.url"]
    assert shop.files("outbox") == ["0.jpg", "1.jpg"]
    assert set(service.paid_files.values()) == {1}
    assert shop.files("quarantine") == []


def test_a_list_that_a_person_takes_out_of_the_work_folder_ends_by_itself(begin: Open) -> None:
    shop, _ = begin({"origins": numbered(1), "processing_seconds": 3600.0})
    shop.drop("one.urls", a_list(*numbered(1)))
    shop.work(lambda: any(order.state is State.CONFIRMED for order in shop.orders()))
    (shop.folder("inbox") / ".watchfolder" / shop.journal.instance).joinpath(
        next(order.key for order in shop.orders() if order.is_list), "one.urls"
    ).unlink()
    (line,) = (order for order in shop.orders() if order.of_list)
    shop.journal.advance(line, State.QUARANTINING, why=Why(reason="No."))
    shop.to_the_end()
    assert shop.orders() == ()
    end = next(history.newest_first(shop.config.state_dir))
    assert end.reason.startswith("The list was taken out")


def test_a_line_that_is_paid_and_parked_is_taken_up_again_and_not_bought_anew(begin: Open) -> None:
    origins = numbered(1)
    shop, service = begin({"origins": origins, "look_seconds": 0})
    service.faults.add("fetch", "truncated", times=None)
    shop.drop("one.urls", a_list(*origins))
    shop.work(lambda: any(order.state is State.COMPLETED and order.failures for order in shop.orders()))
    (failing,) = (order for order in shop.orders() if order.of_list)
    shop.journal.note(failing, failing_seconds=1e9, not_before=None)
    shop.to_the_end()
    assert shop.files("quarantine") == ["one.failed.urls", "one.failed.urls.why.txt"]

    service.faults.clear()
    shop.live_again()
    (shop.folder("quarantine") / "one.failed.urls").rename(shop.folder("inbox") / "one.failed.urls")
    shop.pass_time(120)
    shop.to_the_end()
    assert shop.files("outbox") == ["0.jpg"]
    assert (service.paid, len(service.orders)) == (1, 1)


def test_a_list_in_which_nothing_is_an_address_goes_to_quarantine_as_it_is(begin: Open) -> None:
    shop, service = begin()
    shop.drop("empty.urls", b"# nothing yet\n\n")
    shop.drop("junk.urls", b"\xff\xfe\x00\x80\n" * 9)
    shop.to_the_end()

    assert shop.files("quarantine") == ["empty.urls", "empty.urls.why.txt", "junk.urls", "junk.urls.why.txt"]
    assert service.orders == {}


# --- the create is what is paid for


def drop_both(shop: Shop) -> None:
    for number, address in enumerate([ADDRESS, SECOND]):
        shop.drop(f"{number}.url", f"[InternetShortcut]\nURL={address}".encode())


def assert_bought_once(shop: Shop, service: Sandbox) -> None:
    assert shop.files("outbox") == ["größe eins.jpg", "zwei.jpg"]
    assert (service.paid, len(service.orders)) == (2, 1)
    assert shop.files("inbox") == shop.files("quarantine") == []
    assert service.sins == []


def test_an_order_of_addresses_is_charged_before_its_create_leaves(begin: Open) -> None:
    shop, service = begin(ORIGINS)
    service.faults.add("create", "hang", seconds=1.0)
    drop_both(shop)
    while not any(request.operation == "create" for request in service.requests):
        shop.beat()
        time.sleep(0.005)
    (entry,) = (shop.folder("state") / "journal").glob("*.json")
    assert json.loads(entry.read_text("utf-8"))["charged"] is True
    shop.to_the_end()
    assert_bought_once(shop, service)


@pytest.mark.parametrize("does", ["reset_after", "truncated", "answer_after"])
@pytest.mark.parametrize("has_restarted", [False, True], ids=["same life", "next life"])
def test_a_create_whose_answer_is_lost_is_repeated_in_the_same_bytes(
    begin: Open,
    does: str,
    has_restarted: bool,
) -> None:
    shop, service = begin(ORIGINS)
    service.faults.add("create", does, status=502)
    drop_both(shop)
    shop.work(lambda: any(order.failures for order in shop.orders()))
    body = shop.order().body
    assert (shop.order().charged, service.paid) == (True, 2)
    if has_restarted:
        shop.live_again()
    shop.pass_time(60)
    shop.work(lambda: not shop.orders() or shop.order().state is not State.CLAIMED)
    assert all(order.body == body for order in shop.orders())
    shop.to_the_end()
    assert_bought_once(shop, service)


@pytest.mark.parametrize(("status", "code"), [(400, "USAGE_NOT_ENOUGH"), (429, "RATE_LIMIT_EXCEEDED")])
def test_a_clear_no_to_the_first_create_takes_the_charge_back(begin: Open, status: int, code: str) -> None:
    shop, service = begin(ORIGINS)
    service.faults.add("create", "answer", times=None, status=status, code=code)
    drop_both(shop)
    shop.work(lambda: service.requests_by_operation().get("create"))
    assert [order.charged for order in shop.orders()] == [False]
    service.faults.clear()
    shop.pipeline.try_again()
    shop.pass_time(60)
    shop.to_the_end()
    assert_bought_once(shop, service)


def test_a_no_after_a_lost_answer_takes_nothing_back(begin: Open) -> None:
    shop, service = begin(ORIGINS)
    service.faults.add("create", "reset_after")
    drop_both(shop)
    shop.work(lambda: any(order.failures for order in shop.orders()))
    service.faults.add("create", "answer", status=400, code="USAGE_NOT_ENOUGH")
    shop.pass_time(60)
    shop.work(lambda: service.requests_by_operation()["create"] == 2)
    assert shop.order().charged
    shop.pipeline.try_again()
    shop.to_the_end()
    assert_bought_once(shop, service)


def test_a_charged_order_whose_links_change_is_not_given_back_and_bought_anew(begin: Open) -> None:
    shop, service = begin(ORIGINS)
    service.faults.add("create", "reset_after")
    drop_both(shop)
    shop.work(lambda: any(order.failures for order in shop.orders()))
    for link in (shop.folder("inbox") / ".watchfolder").rglob("*.url"):
        link.write_bytes(b"somebody was here")
    shop.pass_time(60)
    shop.work(lambda: shop.files("outbox") == ["größe eins.jpg", "zwei.jpg"])
    assert (service.paid, len(service.orders)) == (2, 1)


def test_an_order_of_addresses_whose_entry_is_lost_is_found_by_its_name(begin: Open) -> None:
    shop, service = begin(ORIGINS | {"processing_seconds": 1.0})
    drop_both(shop)
    shop.work(lambda: service.paid == 2)
    shop.close()
    for entry in (shop.folder("state") / "journal").glob("*.json"):
        entry.unlink()
    shop.open()
    shop.to_the_end()
    assert_bought_once(shop, service)


def test_a_copy_with_an_address_that_is_not_public_is_not_believed(begin: Open) -> None:
    shop, service = begin(ORIGINS | {"processing_seconds": 1.0})
    drop_both(shop)
    shop.work(lambda: service.paid == 2)
    shop.close()
    for entry in (shop.folder("state") / "journal").glob("*.json"):
        entry.unlink()
    (copy,) = (shop.folder("inbox") / ".watchfolder").rglob(".order.json")
    copy.write_text(copy.read_text("utf-8").replace("https://img.example.com/zwei", "https://127.0.0.1/zwei"), "utf-8")
    before = len(service.orders)
    shop.open()
    shop.look(time.monotonic() + shop.ahead)
    assert all(file.address.startswith("https://img") for order in shop.orders() for file in order.files)
    assert len(service.orders) == before


def test_an_order_of_addresses_is_never_confirmed_whatever_was_written_down(begin: Open) -> None:
    shop, service = begin(ORIGINS | {"processing_seconds": 1.0})
    shop.drop("one.url", SHORTCUT)
    shop.work(lambda: service.paid == 1)
    order = shop.order()
    shop.close()
    entry = shop.folder("state") / "journal" / f"{order.key}.json"
    told = json.loads(entry.read_text("utf-8"))
    created = {state: told["times"][state] for state in ("claiming", "claimed", "created")}
    entry.write_text(
        json.dumps(told | {"state": "created", "times": created}), "utf-8"
    )  # the death came before the rest
    shop.open()
    shop.to_the_end()
    assert shop.files("outbox") == ["größe eins.jpg"]
    assert "confirm" not in service.requests_by_operation()
    assert service.sins == []


def test_a_list_that_was_let_through_goes_on_at_once_after_a_start(begin: Open) -> None:
    shop, _ = begin(ORIGINS, budget={"files_per_day": 1})
    shop.drop("one.urls", f"{ADDRESS}\n{SECOND}\n".encode())
    shop.work(lambda: any(order.last_error for order in shop.orders()) and len(shop.orders()) == 1)
    assert len(shop.files("outbox")) == 1
    quota.give_word(shop.config.state_dir, "photos")
    shop.live_again()
    shop.to_the_end()
    assert len(shop.files("outbox")) == 2


def test_a_list_that_waits_for_another_order_takes_no_budget_from_pictures(begin: Open) -> None:
    shop, service = begin(ORIGINS, budget={"files_per_day": 4})
    service.faults.add("fetch", "truncated", times=None)
    content = f"{ADDRESS}\n{SECOND}\n".encode()
    shop.drop("one.urls", content)
    shop.work(lambda: any(order.state is State.COMPLETED and order.failures for order in shop.orders()))
    stuck = next(order for order in shop.orders() if order.state is State.COMPLETED)
    shop.journal.put_off(stuck, 4000)
    shop.drop("two.urls", content + b"\n")
    shop.intake.nudge(None)
    shop.work(lambda: sum(order.state is State.LISTED for order in shop.orders()) == 2)
    for _ in range(10):
        shop.beat()
        shop.rest()
        shop.pass_time(3.0)
    shop.drop("mine.jpg", PICTURE + b"mine")
    shop.intake.nudge(None)
    for _ in range(30):
        shop.beat()
        shop.rest()
        shop.pass_time(3.0)
    assert shop.files("inbox") == []
