"""What the commands ask of the account's webhooks, over HTTP: all of them, and the newest of what was pushed."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from sandbox_client import Client, client, data, sandbox
from waiting import wait_until

from watchfolder.api import Webhooks
from watchfolder.config import ApiSection
from watchfolder.errors import Retry
from watchfolder.sandbox import Sandbox

__all__ = ["client", "sandbox"]

PATH = "/api/v2/orders/webhooks"
NOWHERE = "http://127.0.0.1:9/nobody"


@pytest.fixture
def webhooks(sandbox: Sandbox) -> Iterator[Webhooks]:
    webhooks = Webhooks(ApiSection(base_url=sandbox.url, key=SecretStr(sandbox.key), requests_per_minute=0))
    yield webhooks
    webhooks.close()


def test_all_webhooks_of_the_account_are_read_page_by_page(
    client: Client, sandbox: Sandbox, webhooks: Webhooks
) -> None:
    for number in range(201):
        data(client.call("POST", PATH, {"url": f"https://{number}.example.com/"}))
    assert {int(webhook.id) for webhook in webhooks.list_all()} == set(sandbox.webhooks)
    assert sandbox.requests_by_operation()["webhook"] == 201 + 3


def test_a_list_that_never_ends_is_given_up(sandbox: Sandbox, webhooks: Webhooks) -> None:
    page = '{"data": {"webhooks": [], "pagination": {"totalPages": 1000000}}}'
    sandbox.faults.add("webhook", "other_json", body=page, times=None)
    with pytest.raises(Retry):
        webhooks.list_all()
    assert sandbox.requests_by_operation()["webhook"] == 100


def test_of_the_events_the_newest_hundred_are_read(client: Client, sandbox: Sandbox, webhooks: Webhooks) -> None:
    sandbox.push_retry_seconds = ()
    id_ = data(client.call("POST", PATH, {"url": NOWHERE}))["id"]
    for _ in range(130):
        client.confirmed()
    wait_until(lambda: len(sandbox.pushes) == 130)
    events = webhooks.events(str(id_))
    assert [event.status for event in events] == ["FAILED"] * 100
    moments = [event.created_at for event in events if event.created_at]
    assert moments == sorted(moments, reverse=True)
    assert sandbox.requests_by_operation()["webhook"] == 3
