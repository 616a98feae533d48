"""Orders of nothing but addresses: the create is the purchase. It is repeated until it is heard, and buys once."""

import pytest
from contents import sha256
from shop import OTHER, PICTURE, QUICK, Open, Shop, calls, has_failed_once, move_back, shortcut, work_place

from watchfolder.api.transport import Pace
from watchfolder.order import State

FIRST, SECOND = "https://img.example.com/one.jpg", "https://img.example.com/two.jpg"
LATER = 3600.0  # longer than any backoff
PERSISTENT = Pace(attempts=3, first_wait_seconds=0.01, max_wait_seconds=0.02, connect_seconds=5, read_seconds=5)
KEPT = {"look_seconds": 0, "origins": {FIRST: PICTURE, SECOND: OTHER}}
USUAL = {"kept": KEPT, "api": {"reads": "v3"}, "links": True}


def paid_once(*contents: bytes) -> dict[str, int]:
    return {sha256(content): 1 for content in contents}


def test_an_order_of_addresses_needs_no_start_and_no_look_after_its_create(begin: Open) -> None:
    shop, service = begin({"processing_seconds": 0.2})
    shop.ahead = 0.0
    shop.drop("a.url", shortcut(FIRST))
    shop.work(lambda: shop.has(State.CONFIRMED))
    assert calls(service, "status") == 0
    shop.to_the_end()
    assert shop.files("outbox") == ["one.jpg"]
    assert service.requests_by_operation().keys() == {"create", "status", "link", "fetch"}
    assert service.paid_files == paid_once(PICTURE)
    assert service.sins == []


@pytest.mark.parametrize("pace", [QUICK, PERSISTENT], ids=["later", "at once"])
@pytest.mark.parametrize("has_restarted", [False, True])
def test_a_create_whose_answer_is_lost_buys_once(begin: Open, pace: Pace, *, has_restarted: bool) -> None:
    shop, service = begin(pace=pace)
    service.faults.add("create", "reset_after")
    shop.drop("a.url", shortcut(FIRST))
    shop.work(lambda: shop.is_done() or has_failed_once(shop))
    assert all(order.charged for order in shop.orders())
    if has_restarted:
        shop.live_again()
    shop.pass_time(LATER)
    shop.to_the_end()
    assert shop.files("outbox") == ["one.jpg"]
    assert (len(service.orders), calls(service, "create")) == (1, 2)
    assert service.paid_files == paid_once(PICTURE)
    assert service.sins == []


def test_what_was_ordered_is_delivered_though_its_file_has_changed(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("create", "reset_after")
    shop.drop("a.url", shortcut(FIRST))
    shop.work(lambda: has_failed_once(shop))
    work = work_place(shop, shop.order(), "a.url")
    work.write_bytes(shortcut(SECOND) + b"\r\n")
    shop.pass_time(LATER)
    shop.to_the_end()
    assert shop.files("outbox") == ["one.jpg", "two.jpg"]
    assert service.paid_files == paid_once(PICTURE, OTHER)
    assert service.sins == []


def test_a_clear_no_to_the_first_create_charges_nothing(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("create", "answer", status=429, code="RATE_LIMIT_EXCEEDED")
    shop.drop("a.url", shortcut(FIRST))
    shop.work(lambda: calls(service, "create") == 1)
    assert (shop.order().state, shop.order().charged) == (State.CLAIMED, False)


def test_a_no_after_a_lost_answer_clears_nothing(begin: Open) -> None:
    shop, service = begin(pace=PERSISTENT)
    service.faults.add("create", "reset_after")
    service.faults.add("create", "answer", status=429, code="USAGE_NOT_ENOUGH")
    shop.drop("a.url", shortcut(FIRST))
    shop.work(lambda: calls(service, "create") == 2)
    assert (shop.order().state, shop.order().charged) == (State.CLAIMED, True)
    shop.pass_time(LATER)
    shop.to_the_end()
    assert service.paid_files == paid_once(PICTURE)
    assert len(service.orders) == 1


def test_a_key_that_was_used_before_leads_to_its_order_by_name(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("create", "answer_after", status=409, code="IDEMPOTENCY_KEY_CONFLICT")
    shop.drop("a.url", shortcut(FIRST))
    shop.to_the_end()
    assert shop.files("outbox") == ["one.jpg"]
    assert (len(service.orders), calls(service, "create")) == (1, 1)
    assert service.paid_files == paid_once(PICTURE)


def test_a_second_key_that_was_used_before_as_well_charges_nothing(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("create", "answer", status=409, code="IDEMPOTENCY_KEY_CONFLICT", times=2)
    shop.drop("a.url", shortcut(FIRST))
    shop.work(lambda: has_failed_once(shop))
    assert (shop.order().redos, shop.order().charged, calls(service, "create")) == (1, False, 2)
    shop.pass_time(LATER)
    shop.to_the_end()
    assert shop.files("outbox") == ["one.jpg"]
    assert service.paid_files == paid_once(PICTURE)


def test_one_that_may_have_been_bought_is_not_bought_again_under_another_key(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("create", "reset_before")
    service.faults.add("create", "answer", status=409, code="IDEMPOTENCY_KEY_CONFLICT", times=2)
    shop.drop("a.url", shortcut(FIRST))
    shop.work(lambda: has_failed_once(shop))
    shop.pass_time(LATER)
    shop.to_the_end()
    assert shop.files("quarantine") == ["a.url", "a.url.why.txt"]
    assert "may have been paid" in (shop.folder("quarantine") / "a.url.why.txt").read_text()
    assert service.orders == {}
    move_back(shop)  # as its note says: an address cannot be saved anew
    shop.to_the_end()
    assert shop.files("outbox") == ["one.jpg"]
    assert service.paid_files == paid_once(PICTURE)


@pytest.mark.parametrize("bought", ["anti-ai", "watermark-embed"])
def test_by_another_accounts_key_it_waits_and_is_not_bought_there(begin: Open, bought: str) -> None:
    shop, service = begin(service=bought)
    service.faults.add("create", "reset_after")
    shop.drop("a.url", shortcut(FIRST))
    shop.work(lambda: has_failed_once(shop))
    shop.journal.note(shop.order(), fingerprint="0" * 12)
    service.forget(next(iter(service.orders)))  # this account has no such order
    shop.live_again()
    shop.pass_time(LATER)
    shop.work(lambda: shop.order().refused_by)
    assert "the API key and the address that it was begun with" in shop.order().last_error
    assert (calls(service, "create"), calls(service, "list"), service.orders) == (1, 1, {})


def test_a_key_that_is_refused_itself_says_nothing_of_another_keys_order(begin: Open) -> None:
    shop, service = begin(service="watermark-embed")
    service.faults.add("create", "reset_after")
    shop.drop("a.url", shortcut(FIRST))
    shop.work(lambda: has_failed_once(shop))
    shop.journal.note(shop.order(), fingerprint="0" * 12)
    service.faults.add("list", "answer", times=None, status=401, code="AUTH_TOKEN_INVALID")
    shop.pass_time(LATER)
    shop.work(lambda: shop.pipeline.breaker.refusal)
    assert (shop.order().refused_by, calls(service, "create")) == ("", 1)


@pytest.mark.parametrize("bought", ["anti-ai", "watermark-embed"])
def test_addresses_that_the_service_never_begins_with_are_given_up_and_kept(begin: Open, bought: str) -> None:
    shop, service = begin(service=bought)
    service.faults.add("status", "answer", times=None, status=200, body='{"data": {"status": "pending"}}')
    shop.drop("a.url", shortcut(FIRST))
    shop.work(lambda: calls(service, "status") == 1)
    shop.clock.pass_time(LATER)
    shop.work(lambda: has_failed_once(shop))
    shop.journal.note(shop.order(), failing_seconds=1e9, not_before=None)
    shop.to_the_end()
    assert "calls it pending" in (shop.folder("quarantine") / "a.url.why.txt").read_text()
    service.faults.clear()
    move_back(shop)
    shop.to_the_end()
    assert shop.files("outbox") == ["one.jpg"] + ["watermarks.csv"] * (bought == "watermark-embed")
    assert service.paid_files == paid_once(PICTURE)
    assert service.sins == []


def give_up_on_two(shop: Shop) -> None:
    """Let an order of two addresses, whose create was never answered, fail for longer than it may."""
    shop.drop("a.url", shortcut(FIRST))
    shop.drop("b.url", shortcut(SECOND))
    shop.work(lambda: has_failed_once(shop))
    shop.journal.note(shop.order(), failing_seconds=1e9, not_before=None)
    shop.pass_time(LATER)
    shop.work(lambda: len(shop.files("quarantine")) == 4)
    shop.to_the_end()


def test_addresses_given_up_on_unanswered_are_looked_for_when_they_return(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("create", "reset_after", times=2)
    give_up_on_two(shop)
    assert len(service.orders) == 1
    move_back(shop)
    shop.pass_time(LATER)
    shop.to_the_end()
    assert shop.files("outbox") == ["one.jpg", "two.jpg"]
    assert service.paid_files == paid_once(PICTURE, OTHER)
    assert service.sins == []


def test_addresses_that_were_never_ordered_are_bought_when_they_return_twice(begin: Open) -> None:
    shop, service = begin()
    service.faults.add("create", "reset_before", times=2)
    give_up_on_two(shop)
    assert service.orders == {}
    move_back(shop)
    shop.pass_time(LATER)
    shop.to_the_end()
    assert service.orders == {}
    assert len(shop.files("quarantine")) == 4
    said = (shop.folder("quarantine") / "a.url.why.txt").read_text()
    assert "its order was never answered, and the service lists no wf-" in said
    move_back(shop)
    shop.pass_time(LATER)
    shop.to_the_end()
    assert shop.files("outbox") == ["one.jpg", "two.jpg"]
    assert service.paid_files == paid_once(PICTURE, OTHER)
