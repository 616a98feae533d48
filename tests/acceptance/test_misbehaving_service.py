"""A service that misbehaves in every way we know, at each of its calls: what follows, and at what price in requests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from misbehaviour_door import standing
from misbehaviour_studio import HASTY, QUICK, Studio, lived_through, shortened, witnessed
from misbehaviours import OUTCOMES, Case, cases

from watchfolder.api.table import TABLE
from watchfolder.sandbox import Sandbox

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def service() -> Iterator[Sandbox]:
    with Sandbox(processing_seconds=0, look_seconds=0) as sandbox:  # our waits between two looks are shortened, too
        yield sandbox


@pytest.fixture
def sandbox(service: Sandbox) -> Sandbox:
    service.clear()
    return service


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: f"{case.operation}, {case.misbehaviour}")
def test_a_misbehaviour_leads_to(sandbox: Sandbox, tmp_path: Path, case: Case) -> None:
    with ExitStack() as stack:
        studio = Studio(tmp_path, sandbox)
        mend = befallen(stack, studio, case)
        stack.enter_context(shortened(HASTY if case.is_slow else QUICK))
        cell = lived_through(studio, case.operation, mend)
    assert f"{cell.turn} {cell.requests}" == case.outcome
    assert sandbox.sins == []
    assert cell.others <= 6 * 3, "what came before and after cost too much"
    if cell.end == "quarantined":
        assert studio.files("quarantine") == {"picture.jpg", "picture.jpg.why.txt"}
        assert sandbox.paid == (case.operation in {"status", "link", "fetch"})
    else:
        assert studio.files("outbox") == studio.files("originals") == {"picture.jpg"}
        assert sandbox.paid_files == studio.paid_once_each()


def befallen(stack: ExitStack, studio: Studio, case: Case) -> Callable[[], None]:
    """Let the operation misbehave; return what ends that."""
    sandbox = studio.sandbox
    if case.operation == "refresh":  # asked for only when the links at hand are refused
        sandbox.faults.add("upload", "answer", status=403, code="AccessDenied")
    if "door" not in case.fault:
        trap = f"http://localhost:{sandbox.port}/_sandbox/trap"  # another host; who goes there has sinned
        sandbox.faults.add(case.operation, times=None, location=trap, **case.fault)
        return sandbox.faults.clear
    door = stack.enter_context(standing(sandbox.port, case.operation, case.fault["door"]))
    stack.callback(setattr, sandbox._storage.links, "base_url", sandbox.url)
    studio.url = sandbox._storage.links.base_url = door.url  # the storage's links lead through it as well
    return door.behave


def test_an_order_that_expired_before_its_confirmation_is_not_called_paid(sandbox: Sandbox, tmp_path: Path) -> None:
    for operation in ("confirm", "status"):
        sandbox.faults.add(operation, "answer", status=400, code="ORDER_EXPIRED", times=2)
    studio = Studio(tmp_path, sandbox)
    with shortened(), witnessed(lambda _name, _facts: None) as witness:
        studio.live(lambda _: studio.is_over())
    assert witness.heard["order.rekeyed"] == 1
    assert studio.files("outbox") == {"picture.jpg"}
    assert sandbox.paid_files == studio.paid_once_each()
    assert sandbox.sins == []


def test_a_drip_feed_holds_no_worker_for_ever(sandbox: Sandbox, tmp_path: Path) -> None:
    studio = Studio(tmp_path, sandbox, names=("first.jpg", "second.jpg"), workers=1)
    with standing(sandbox.port, "fetch", "drip") as door, ExitStack() as stack:
        stack.callback(setattr, sandbox._storage.links, "base_url", sandbox.url)
        studio.url = sandbox._storage.links.base_url = door.url
        stack.enter_context(shortened(HASTY))
        witness = stack.enter_context(witnessed(lambda _name, _facts: None))
        studio.live(lambda _: witness.heard["order.deferred"] >= 4)  # the one worker came back, again and again
        assert studio.files("outbox") == set()
        door.behave()
        studio.live(lambda _: studio.is_over())
    assert studio.files("outbox") == set(studio.contents)
    assert sandbox.paid_files == studio.paid_once_each()
    assert sandbox.sins == []


def test_every_word_of_the_service_is_in_the_table() -> None:
    words = {word for word in TABLE if isinstance(word, str)}
    assert words - {word for line in OUTCOMES.splitlines() for word in line.split("|")[0].split()} == set()
