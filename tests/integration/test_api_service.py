"""The operations, over real HTTP to the sandbox."""

import hashlib
import io
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from pydantic import SecretStr
from waiting import wait_until

from watchfolder.api import Created, Ended, MovedOn, Pace, Service, Status
from watchfolder.api.service import ASK_FOR_V3_SECONDS
from watchfolder.config import ApiSection
from watchfolder.errors import Blocked, OrderMissing, OrderRetry, Reject, Resync, Retry, Scope, SlowDown
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample
from watchfolder.services import named
from watchfolder.services.anti_ai import ANTI_AI

PICTURE = sample("jpeg", width=64, height=48, seed=3)
QUICK = Pace(total_seconds=5, first_wait_seconds=0.01, max_wait_seconds=0.05)
LIMIT = 10 * 1024 * 1024


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(processing_seconds=0.05, test_processing_seconds=0.05, look_seconds=0) as running:
        yield running


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


Open = Callable[..., Service]


@pytest.fixture
def open_service(sandbox: Sandbox, stop: threading.Event) -> Iterator[Open]:
    opened: list[Service] = []

    def open_one(*, key: str = "", pace: Pace = QUICK, **settings: object) -> Service:
        section = ApiSection.model_validate(
            {"base_url": sandbox.url, "key": SecretStr(key or sandbox.key), "requests_per_minute": 0} | settings
        )
        opened.append(Service(section, transfers=2, stop=stop, pace=pace))
        return opened[-1]

    yield open_one
    for service in opened:
        service.close()


def created_by(service: Service, name: str = "a.jpg") -> tuple[str, Created]:
    key = str(uuid.uuid4())
    return key, service.create(ANTI_AI.create_path, ANTI_AI.body(key, [named(name)], {"strength": "high"}), [name])


def upload(service: Service, created: Created, picture: bytes = PICTURE, md5: bytes | None = None) -> None:
    url = created.slots[0].upload_url
    assert url is not None
    service.upload(url, io.BytesIO(picture), len(picture), "image/jpeg", md5)


def at_once(count: int, call: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_no_more_calls_are_under_way_than_transfers_may_be(sandbox: Sandbox, open_service: Open) -> None:
    service = open_service()
    hang = sandbox.faults.add("list", "hang", seconds=1.0, times=None)
    threads = at_once(6, service.ping)
    until = time.monotonic() + 5
    while hang.befallen < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.3)
    assert hang.befallen == 2
    for thread in threads:
        thread.join(10)
    assert hang.befallen == 6


def test_what_brings_a_picture_home_goes_before_what_begins_a_new_order(sandbox: Sandbox, open_service: Open) -> None:
    order_id = completed_by(open_service())
    service = open_service(requests_per_minute=60, reads="v3")
    for _ in range(4):  # what may be sent at once
        service.links(order_id)
    before = len(sandbox.requests)
    create = at_once(2, lambda: created_by(service))
    while service.limiter.waited_at < 0:
        time.sleep(0.01)
    time.sleep(0.1)
    link = at_once(2, lambda: service.links(order_id))
    for thread in (*create, *link):
        thread.join(20)
    assert [record.operation for record in sandbox.requests[before:]] == ["link", "link", "create", "create"]


def completed_by(service: Service, name: str = "a.jpg") -> str:
    _, created = created_by(service, name)
    upload(service, created, md5=hashlib.md5(PICTURE, usedforsecurity=False).digest())
    service.confirm(ANTI_AI.start_path, str(uuid.uuid4()), created.order_id)
    until = time.monotonic() + 10
    while service.poll(created.order_id).status not in {Status.COMPLETE, Status.FAILED}:
        assert time.monotonic() < until
        threading.Event().wait(0.02)
    return created.order_id


def fetched(service: Service, order_id: str) -> bytes:
    parts: list[bytes] = []
    [link] = service.links(order_id).files
    assert service.fetch(link.url, parts.append, limit_bytes=LIMIT) == sum(map(len, parts))
    return b"".join(parts)


@pytest.mark.parametrize(("dialect", "reads"), [("both", "v3"), ("v2", "v2"), ("v3", "v3")])
def test_a_picture_goes_all_the_way_in_either_dialect(
    sandbox: Sandbox, open_service: Open, dialect: str, reads: str
) -> None:
    sandbox.dialect = dialect  # type: ignore[assignment]  # one of its three words
    service = open_service()

    order_id = completed_by(service)
    delivered = fetched(service, order_id)

    assert delivered.startswith(b"\xff\xd8")
    assert delivered != PICTURE
    assert service.reads == reads
    assert sandbox.paid == 1
    assert sandbox.sins == []


def test_finding_out_the_dialect_costs_no_request_where_v3_is_spoken(sandbox: Sandbox, open_service: Open) -> None:
    service = open_service()
    _, created = created_by(service)

    service.poll(created.order_id)
    service.poll(created.order_id)

    assert sandbox.requests_by_operation()["status"] == 2


def test_finding_out_the_dialect_costs_one_request_where_only_v2_is_spoken(
    sandbox: Sandbox, open_service: Open
) -> None:
    sandbox.dialect = "v2"
    service = open_service()
    _, created = created_by(service)

    service.poll(created.order_id)
    service.poll(created.order_id)

    assert sandbox.requests_by_operation()["status"] == 3


@pytest.mark.parametrize(("dialect", "reads"), [("both", "v3"), ("v2", "v2")])
def test_the_dialect_can_be_asked_for_without_an_order(
    sandbox: Sandbox, open_service: Open, dialect: str, reads: str
) -> None:
    sandbox.dialect = dialect  # type: ignore[assignment]  # one of its three words

    assert open_service().reads == reads


def test_a_passing_404_of_a_gateway_does_not_settle_for_v2(sandbox: Sandbox, open_service: Open) -> None:
    service = open_service()
    _, created = created_by(service)
    sandbox.faults.add("status", "html", status=404, times=2)

    with pytest.raises(Retry):
        service.poll(created.order_id)

    assert service.poll(created.order_id).inputs
    assert service.reads == "v3"


def test_a_server_that_retires_v2_is_asked_for_v3_next(sandbox: Sandbox, open_service: Open) -> None:
    sandbox.dialect = "v2"
    service = open_service()
    _, created = created_by(service)
    service.poll(created.order_id)
    sandbox.dialect = "v3"

    with pytest.raises(Blocked, match="/api/v3/orders/"):
        service.poll(created.order_id)

    assert service.poll(created.order_id).status is Status.PENDING


def test_a_late_answer_of_v2_says_nothing_against_v3(sandbox: Sandbox, open_service: Open) -> None:
    sandbox.dialect = "v2"
    service, other = open_service(), threading.Event()
    _, created = created_by(service)
    service.poll(created.order_id)
    sandbox.faults.add("status", "hang", seconds=1.0)
    asked = sandbox.requests_by_operation()["status"]
    late = threading.Thread(target=service.poll, args=(created.order_id,))
    late.start()
    wait_until(lambda: sandbox.requests_by_operation()["status"] > asked)
    assert late.is_alive()
    sandbox.dialect = "both"
    service.most_files(9, 0.0, other.set, needs_v3=True)
    assert other.wait(20)
    assert service.known_reads == "v3"
    late.join()
    assert service.known_reads == "v3"


def test_v3_is_asked_for_once_an_hour_while_an_inbox_waits_for_it(sandbox: Sandbox, open_service: Open) -> None:
    sandbox.dialect = "v2"
    service = open_service()

    def most_files(now: float, *, is_asked: bool) -> int:
        is_told = threading.Event()
        service.most_files(9, now, is_told.set, needs_v3=True)
        assert is_told.wait(20) if is_asked else not service._is_asking
        return service.most_files(9, now, is_told.set, needs_v3=True)

    assert most_files(0.0, is_asked=True) == 0
    assert service.most_files(9, 0.0, lambda: None, needs_v3=False) == 1
    sandbox.dialect = "both"
    assert most_files(ASK_FOR_V3_SECONDS, is_asked=False) == 0
    assert most_files(ASK_FOR_V3_SECONDS + 1, is_asked=True) == 9


def test_a_forced_dialect_stays(sandbox: Sandbox, open_service: Open) -> None:
    sandbox.dialect = "v3"
    service = open_service(reads="v2")
    _, created = created_by(service)

    for _ in range(2):
        with pytest.raises(Blocked, match="retired"):
            service.poll(created.order_id)
    assert service.reads == "v2"


def test_the_same_key_and_body_give_the_same_order(sandbox: Sandbox, open_service: Open) -> None:
    service, key = open_service(), str(uuid.uuid4())
    body = ANTI_AI.body(key, [named("a.jpg")], {"strength": "high"})

    first, again = (service.create(ANTI_AI.create_path, body, ["a.jpg"]) for _ in range(2))

    assert first.order_id == again.order_id
    assert len(sandbox.orders) == 1


@pytest.mark.parametrize("fault", ["reset_before", "reset_after", "html", "truncated", "other_json", "endless"])
@pytest.mark.parametrize("operation", ["create", "confirm", "status", "link", "refresh", "list"])
def test_one_bad_answer_is_made_good_within_the_call(
    sandbox: Sandbox, open_service: Open, operation: str, fault: str
) -> None:
    service = open_service()
    pending = created_by(service)[1].order_id
    complete = completed_by(service)
    if (operation, fault) in {("confirm", "other_json"), ("confirm", "reset_after")}:
        upload(service, Created(order_id=pending, status=Status.PENDING, slots=service.refresh(pending)))
    calls: dict[str, Callable[[], object]] = {
        "create": lambda: created_by(service),
        "confirm": lambda: service.confirm(ANTI_AI.start_path, str(uuid.uuid4()), complete),
        "status": lambda: service.poll(complete),
        "link": lambda: service.links(complete),
        "refresh": lambda: service.refresh(pending),
        "list": lambda: service.find("wf-nothing"),
    }
    sandbox.faults.add(operation, fault)

    if operation == "confirm":
        with pytest.raises(Resync, match="moved on"):
            calls[operation]()
    else:
        calls[operation]()


def test_a_lost_answer_to_create_or_confirm_buys_nothing_twice(sandbox: Sandbox, open_service: Open) -> None:
    service = open_service()
    for operation in ("create", "upload", "confirm"):
        sandbox.faults.add(operation, "reset_after", times=2)

    completed_by(service)

    assert len(sandbox.orders) == 1
    assert sandbox.paid == 1
    assert sandbox.sins == []


def test_a_confirmation_that_was_already_given_sends_us_to_look(sandbox: Sandbox, open_service: Open) -> None:
    sandbox.processing_seconds = 60
    service = open_service()
    _, created = created_by(service)
    upload(service, created)
    service.confirm(ANTI_AI.start_path, str(uuid.uuid4()), created.order_id)

    sandbox.faults.add("confirm", "answer", status=400, code="ORDER_ALREADY_CONFIRMED")

    with pytest.raises(MovedOn):
        service.confirm(ANTI_AI.start_path, str(uuid.uuid4()), created.order_id)


def test_what_is_not_uploaded_is_not_confirmed(open_service: Open) -> None:
    service = open_service()
    _, created = created_by(service)

    with pytest.raises(Resync) as back:
        service.confirm(ANTI_AI.start_path, str(uuid.uuid4()), created.order_id)

    assert back.value.code == "ORDER_FILE_NOT_UPLOADED"


def test_expired_links_are_asked_for_again(sandbox: Sandbox, open_service: Open) -> None:
    service = open_service()
    _, created = created_by(service)
    sandbox.end_links()

    with pytest.raises(Resync) as back:
        upload(service, created)
    assert back.value.code == "AccessDenied"

    upload(service, Created(order_id=created.order_id, status=Status.PENDING, slots=service.refresh(created.order_id)))
    order_id = completed_by(service)
    [link] = service.links(order_id).files
    sandbox.end_links()
    with pytest.raises(Resync):
        service.fetch(link.url, lambda _: None, limit_bytes=LIMIT)


def test_damaged_bytes_are_noticed_by_their_md5(sandbox: Sandbox, open_service: Open) -> None:
    service = open_service()
    _, created = created_by(service)

    with pytest.raises(Retry) as damaged:
        upload(service, created, md5=b"0" * 16)

    assert damaged.value.code == "BadDigest"
    assert sandbox.requests_by_operation()["upload"] == QUICK.attempts


def test_an_order_that_the_service_lost_is_forgotten(sandbox: Sandbox, open_service: Open) -> None:
    service = open_service()
    _, created = created_by(service)
    sandbox.forget(created.order_id)

    with pytest.raises(OrderMissing):
        service.poll(created.order_id)
    for ask in (service.links, service.refresh, partial(service.confirm, ANTI_AI.start_path, str(uuid.uuid4()))):
        with pytest.raises(Ended):
            ask(created.order_id)


def test_an_order_that_one_version_of_the_api_still_knows_is_not_gone(sandbox: Sandbox, open_service: Open) -> None:
    service = open_service()
    order_id = completed_by(service)
    sandbox.faults.add("status", "answer", status=404, code="ORDER_NOT_FOUND")

    with pytest.raises(OrderRetry) as contradiction:
        service.poll(order_id)
    assert contradiction.value.code == "VERSIONS"

    asked = sandbox.requests_by_operation()["status"]
    sandbox.faults.add("status", "answer", status=400, code="ORDER_EXPIRED")
    with pytest.raises(OrderMissing):
        service.poll(order_id)
    assert sandbox.requests_by_operation()["status"] == asked + 1


def test_where_v2_is_retired_an_unknown_retention_is_waited_for(sandbox: Sandbox, open_service: Open) -> None:
    sandbox.dialect, sandbox.retention_days = "v3", None
    service = open_service()
    order_id = completed_by(service)

    with pytest.raises(OrderRetry) as unknown:
        service.links(order_id, or_of_v2=True)
    assert unknown.value.code == "FILE_RETENTION_UNKNOWN"


def test_an_order_is_found_by_its_name_and_no_other_is(open_service: Open) -> None:
    service = open_service()
    key, created = created_by(service)
    created_by(service)

    found = service.find(f"wf-{key}")

    assert found is not None
    assert (found.order_id, found.status) == (created.order_id, Status.PENDING)
    assert service.find("wf-") is None


def test_an_order_is_found_among_many_by_one_request(sandbox: Sandbox, open_service: Open) -> None:
    service = open_service()
    key, created = created_by(service)
    for _ in range(100):  # as many as a page has
        created_by(service)
    before = len(sandbox.requests)

    found = service.find(f"wf-{key}")

    assert found is not None
    assert found.order_id == created.order_id
    assert [record.operation for record in sandbox.requests[before:]] == ["list"]


def test_an_order_is_found_behind_a_page_of_others_whose_names_hold_its_own(open_service: Open) -> None:
    service = open_service()
    key, created = created_by(service)
    for other in map(str, (uuid.uuid4() for _ in range(100))):
        body = ANTI_AI.body(other, [named("a.jpg")], {"strength": "high"})
        service.create(ANTI_AI.create_path, body.replace(f"wf-{other}", f"wf-{key} (2)"), ["a.jpg"])

    found = service.find(f"wf-{key}")

    assert found is not None
    assert found.order_id == created.order_id


def test_an_order_is_not_looked_for_in_a_list_that_never_ends(sandbox: Sandbox, open_service: Open) -> None:
    page = '{"data": {"orders": [], "pageInfo": {"totalPages": 1000000}}}'
    sandbox.faults.add("list", "other_json", body=page, times=None)

    assert open_service().find("wf-nothing") is None
    assert sandbox.requests_by_operation()["list"] == 10


def test_a_failed_order_says_why(open_service: Open) -> None:
    service = open_service()

    look = service.poll(completed_by(service, "a_fail.jpg"))

    assert look.status is Status.FAILED
    assert look.failure is not None
    assert look.failure.code == "PROCESSING_ERROR"


def test_a_test_key_without_v3_reads_is_rejected_by_name(sandbox: Sandbox, open_service: Open) -> None:
    sandbox.dialect = "v2"
    service = open_service(key=sandbox.test_key)
    order_id = completed_by(service)

    with pytest.raises(Reject, match="test key"):
        service.links(order_id)


def test_a_live_keys_result_that_is_not_there_yet_is_asked_for_again(sandbox: Sandbox, open_service: Open) -> None:
    sandbox.faults.add("link", "answer", status=404, code="PROCESSED_FILE_NOT_FOUND")
    service = open_service(pace=Pace(first_wait_seconds=0.01))
    assert service.links(completed_by(service)).files


def test_a_test_key_gets_its_samples_with_the_v3_reads(sandbox: Sandbox, open_service: Open) -> None:
    sandbox.test_samples = True
    service = open_service(key=sandbox.test_key)

    assert fetched(service, completed_by(service)).startswith(b"\xff\xd8")
    assert sandbox.sins == []


def test_a_refused_key_blocks_everything_and_another_accounts_order_too(sandbox: Sandbox, open_service: Open) -> None:
    _, created = created_by(open_service())
    sandbox.keys = {sandbox.key: "ours", "sk_other": "theirs"}
    sandbox.dialect = "v2"  # which alone says whose an order is

    with pytest.raises(Blocked, match="another account"):
        open_service(key="sk_other").poll(created.order_id)
    with pytest.raises(Blocked) as refused:
        open_service(key="sk_unknown").ping()
    assert refused.value.scope is Scope.EVERYTHING
    open_service().ping()


def test_no_credits_block_purchases_only(sandbox: Sandbox, open_service: Open) -> None:
    sandbox.credits_left = 0

    with pytest.raises(Blocked) as refused:
        created_by(open_service())

    assert refused.value.scope is Scope.PURCHASES


def test_a_429_is_handed_on_with_its_wait_and_holds_every_call(sandbox: Sandbox, open_service: Open) -> None:
    service = open_service(pace=Pace(patience_seconds=0.5))
    sandbox.faults.add("list", "answer", status=429, code="RATE_LIMIT_EXCEEDED", headers={"Retry-After": "30"})
    assert not service.limiter.is_held_back()

    with pytest.raises(SlowDown) as first:
        service.ping()
    with pytest.raises(SlowDown) as second:
        service.ping()

    assert first.value.retry_after_seconds == 30
    assert second.value.retry_after_seconds == pytest.approx(30, abs=2)
    assert service.limiter.is_held_back()
    assert sandbox.requests_by_operation()["list"] == 1


def test_a_configured_limit_keeps_within_the_plan(sandbox: Sandbox, open_service: Open) -> None:
    sandbox.requests_per_minute, sandbox.minute_seconds = 30, 6
    service = open_service(requests_per_minute=300)

    for _ in range(20):
        service.ping()

    assert not service.limiter.is_held_back()


def test_an_answer_is_remembered_only_if_it_was_the_apis_own(sandbox: Sandbox, open_service: Open) -> None:
    service = open_service()
    for does, facts in (("html", {}), ("answer", {"status": 503, "code": "SERVICE_UNAVAILABLE"})):
        sandbox.faults.add("list", does, times=3, **facts)
        with pytest.raises(Retry):
            service.ping()
        assert service.answered_at is None
        sandbox.faults.clear()

    service.ping()
    assert service.answered_at is not None
    assert service.answered_at <= time.monotonic()


def test_nothing_begins_after_stop(sandbox: Sandbox, open_service: Open, stop: threading.Event) -> None:
    service = open_service()
    _, created = created_by(service)
    asked = len(sandbox.requests)
    stop.set()

    for call in (
        service.ping,
        lambda: service.poll(created.order_id),
        lambda: upload(service, created),
        lambda: service.fetch(created.slots[0].upload_url or "", lambda _: None, limit_bytes=1),
    ):
        with pytest.raises(Retry, match="stopping"):
            call()
    assert len(sandbox.requests) == asked


def test_stop_ends_the_wait_between_two_tries_at_once(
    sandbox: Sandbox, open_service: Open, stop: threading.Event
) -> None:
    service = open_service(pace=Pace(first_wait_seconds=60, max_wait_seconds=60))
    sandbox.faults.add("list", "answer", status=503, times=None)
    threading.Timer(0.3, stop.set).start()
    begin = time.monotonic()

    with pytest.raises(Retry, match="stopping"):
        service.ping()

    assert time.monotonic() - begin < 30  # half of the wait
    assert len(sandbox.requests) == 1


def test_a_redirect_is_not_followed(sandbox: Sandbox, open_service: Open) -> None:
    service = open_service()
    order_id = completed_by(service)
    for operation in ("list", "fetch"):
        sandbox.faults.add(operation, "redirect", times=None)

    with pytest.raises(Retry, match="elsewhere"):
        service.ping()
    with pytest.raises(Retry):
        fetched(service, order_id)
    assert sandbox.sins == []


@pytest.mark.parametrize("fault", ["reset_before", "wrong_length"])
def test_a_download_that_breaks_off_is_no_picture_and_not_repeated_here(
    sandbox: Sandbox, open_service: Open, fault: str
) -> None:
    service = open_service()
    order_id = completed_by(service)
    sandbox.faults.add("fetch", fault)

    with pytest.raises(Retry):
        fetched(service, order_id)

    assert sandbox.requests_by_operation()["fetch"] == 1
    assert fetched(service, order_id)


def test_every_id_of_the_sandbox_survives_as_text(sandbox: Sandbox, open_service: Open) -> None:
    key, created = created_by(open_service())

    [order] = sandbox.orders.values()

    assert created.order_id == order.order_id
    assert json.loads(json.dumps(created.order_id)) == order.order_id
    assert order.idempotency_key == key


def test_many_threads_share_one_service(sandbox: Sandbox, open_service: Open) -> None:
    service, done = open_service(), list[bytes]()

    threads = [threading.Thread(target=lambda: done.append(fetched(service, completed_by(service)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(done) == 6
    assert sandbox.paid == 6
    assert sandbox.sins == []
