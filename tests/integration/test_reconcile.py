"""Reading the service's whole list of orders, over real HTTP to the sandbox, with a plan's rate in mind."""

import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from shop import QUICK

from watchfolder.api import Service, create_body
from watchfolder.config import Config
from watchfolder.console.reconcile import reconcile
from watchfolder.sandbox import Sandbox

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
        service.create(create_body(str(uuid.uuid4()), ["a.jpg"], "high"), ["a.jpg"])
    foreign = create_body(str(uuid.uuid4()), ["a.jpg"], "high").replace('"wf-', '"web-wf-')
    service.create(foreign, ["a.jpg"])
    service.close()
    return 104


def test_every_page_is_read_and_only_what_is_ours_is_counted(tmp_path: Path, sandbox: Sandbox, orders: int) -> None:
    pages: list[tuple[int, int]] = []
    books = reconcile(config(tmp_path, sandbox), YESTERDAY, lambda *page: pages.append(page))
    assert pages == [(1, 2), (2, 2)]
    assert (books.listed, books.unpaid) == (orders, orders)
    assert not books.undelivered
    assert not books.unknown_there
    assert sandbox.sins == []


def test_the_reading_ends_where_the_orders_are_older_than_was_asked_for(
    tmp_path: Path, sandbox: Sandbox, orders: int
) -> None:
    pages: list[tuple[int, int]] = []
    later = datetime.now(UTC) + timedelta(hours=1)
    books = reconcile(config(tmp_path, sandbox), later, lambda *page: pages.append(page))
    assert pages == [(1, 2)]
    assert books.listed == 0
    assert orders


def test_a_service_that_says_slow_down_is_asked_again(tmp_path: Path, sandbox: Sandbox, orders: int) -> None:
    sandbox.minute_seconds = 1.0
    sandbox.requests_per_minute = 1
    time.sleep(1.1)
    books = reconcile(config(tmp_path, sandbox), YESTERDAY)
    assert books.listed == orders
