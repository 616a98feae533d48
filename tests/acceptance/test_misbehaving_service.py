"""A service that misbehaves in every way we know, at each of its calls: what follows, and at what price in requests."""

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from misbehaviour_studio import Studio, lived_through, shortened, witnessed

from watchfolder.sandbox import Sandbox
from watchfolder.snapshot import Snapshot

pytestmark = pytest.mark.slow
OPERATIONS = ("create", "upload", "refresh", "confirm", "status", "link", "fetch")

# What the misbehaviour leads to while it lasts, and the number of the operation's requests until then (a call is tried
# twice here before it counts as failed). Then it ends, and the picture is delivered, unless it was quarantined.
OUTCOMES = """
reset before the work|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 1
reset after the work|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 1
400 USAGE_NOT_ENOUGH|blocked 1|deferred 2|blocked 1|blocked 1|blocked 1|blocked 1|deferred 1
400 ORDER_NOT_PENDING|key taken 1|deferred 2|redo 1|redo 1|redo 1|redo 1|deferred 1
400 ORDER_FILE_NOT_UPLOADED|key taken 1|deferred 2|redo 1|redo 1|redo 1|redo 1|deferred 1
400 VALIDATION_FAILED|quarantined 1|deferred 2|quarantined 1|quarantined 1|quarantined 1|quarantined 1|deferred 1
400 UNHEARD_OF|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 1
408|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 1
413|deferred 2|quarantined 1|deferred 2|deferred 2|deferred 2|deferred 2|quarantined 1
401 AUTH_TOKEN_EXPIRED|blocked 1|deferred 3|blocked 1|blocked 1|blocked 1|blocked 1|deferred 2
403 AUTH_FORBIDDEN|blocked 1|deferred 3|blocked 1|blocked 1|blocked 1|blocked 1|deferred 2
404 ORDER_NOT_FOUND|deferred 1|deferred 3|missing 1|redo 1|missing 1|missing 1|deferred 2
409 CONFLICT|key taken 1|deferred 2|deferred 2|redo 1|deferred 2|deferred 2|deferred 1
500 SERVER_INTERNAL_ERROR|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 1
503 with HTML|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 1
200 with HTML|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 1
200 with truncated JSON|deferred 2|delivered 1|deferred 2|deferred 2|deferred 2|deferred 2|deferred 1
200 with other JSON|deferred 2|-|deferred 2|delivered 1|-|deferred 2|-
200 with 1 GiB|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 1
redirect to another host|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 2|deferred 1
"""


def _fault(misbehaviour: str) -> Mapping[str, Any]:
    """Read a line's title: a status and a code, unless it is named here."""
    named: dict[str, dict[str, Any]] = {
        "reset before the work": {"does": "reset_before"},
        "reset after the work": {"does": "reset_after"},
        "503 with HTML": {"does": "html", "status": 503},
        "200 with HTML": {"does": "html"},
        "200 with truncated JSON": {"does": "truncated_json"},
        "200 with other JSON": {"does": "other_json"},
        "200 with 1 GiB": {"does": "endless", "size": 1 << 30},
        "redirect to another host": {"does": "redirect"},
    }
    code, _, word = misbehaviour.partition(" ")
    return named.get(misbehaviour) or {"does": "answer", "status": int(code), "code": word}


def _cells() -> Iterator[Any]:
    for line in OUTCOMES.strip().splitlines():
        misbehaviour, *outcomes = (cell.strip() for cell in line.split("|"))
        for operation, outcome in zip(OPERATIONS, outcomes, strict=True):
            if outcome != "-":
                yield pytest.param(operation, misbehaviour, outcome, id=f"{operation}, {misbehaviour}")


@pytest.fixture(scope="module")
def service() -> Iterator[Sandbox]:
    with Sandbox(processing_seconds=0, look_seconds=0) as sandbox:  # our waits between two looks are shortened, too
        yield sandbox


@pytest.fixture
def sandbox(service: Sandbox) -> Sandbox:
    service.reset()
    return service


@pytest.mark.parametrize(("operation", "misbehaviour", "outcome"), list(_cells()))
def test_a_misbehaviour_leads_to(
    sandbox: Sandbox, tmp_path: Path, operation: str, misbehaviour: str, outcome: str
) -> None:
    faults: list[Mapping[str, Any]] = [{"operation": operation, "times": None, **_fault(misbehaviour)}]
    if operation == "refresh":  # asked for only when the links at hand are refused
        faults.append({"operation": "upload", "does": "answer", "status": 403, "code": "AccessDenied"})
    studio = Studio(tmp_path, sandbox)
    with shortened():
        cell = lived_through(studio, operation, faults)
    assert f"{cell.turn} {cell.requests}" == outcome
    assert sandbox.sins == []
    assert cell.others <= 6 * 3, "what came before and after cost too much"
    if cell.end == "quarantined":
        assert studio.files("quarantine") == {"picture.jpg", "picture.jpg.why.txt"}
        assert sandbox.paid == (operation in {"status", "link", "fetch"})
    else:
        assert studio.files("outbox") == studio.files("originals") == {"picture.jpg"}
        assert sandbox.paid_files == studio.paid_once_each()


def test_an_order_that_expired_before_its_confirmation_is_not_called_paid(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.faults.add("confirm", "answer", status=400, code="ORDER_EXPIRED", times=2)
    studio = Studio(tmp_path, sandbox)
    with shortened(), witnessed(lambda _name, _facts: None) as witness:
        studio.live(lambda _: studio.is_over())
    assert witness.heard["order.rekeyed"] == 1
    assert studio.files("outbox") == {"picture.jpg"}
    assert sandbox.paid_files == studio.paid_once_each()
    assert sandbox.sins == []


REFUSALS = {
    "the key": ("create", 401, "AUTH_TOKEN_INVALID", "the service refuses the API key"),
    "the credits": ("confirm", 400, "USAGE_NOT_ENOUGH", "the plan's credits are used up"),
}


@pytest.mark.parametrize("refused", REFUSALS)
def test_while_blocked_a_hangup_makes_it_try_at_once(sandbox: Sandbox, tmp_path: Path, refused: str) -> None:
    operation, code, word, _ = REFUSALS[refused]
    studio = Studio(tmp_path, sandbox, probe_seconds=3600)
    sandbox.faults.add(operation, "answer", status=code, code=word)
    told: list[Snapshot] = []

    def until(snapshot: Snapshot) -> bool:
        if snapshot.blocked and not told:
            told.append(snapshot)
            os.kill(os.getpid(), signal.SIGHUP)
        return studio.is_over()

    with shortened():
        studio.live(until)
    assert told, "it was never blocked"
    assert studio.files("outbox") == {"picture.jpg"}
    assert sandbox.requests_by_operation()[operation] == 2
    assert sandbox.sins == []
