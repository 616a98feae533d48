"""A service that misbehaves in every way we know, at each of its calls: what follows, and at what price in requests."""

import itertools
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from misbehaviour_studio import HASTY, STEADY, Studio, lived_through, shortened, witnessed

from watchfolder.console import status
from watchfolder.sandbox import Sandbox
from watchfolder.snapshot import Snapshot

pytestmark = pytest.mark.slow
OPERATIONS = ("create", "upload", "refresh", "confirm", "status", "link", "fetch")

# What the misbehaviour leads to while it lasts, and the number of the operation's requests until then (a call is tried
# twice here before it counts as failed). Then it ends, and the picture is delivered, unless it was quarantined.
OUTCOMES = """
@@TABLE@@
"""


def _fault(misbehaviour: str) -> Mapping[str, Any]:
    """Read a line's title: a status and a code, unless it is named here."""
    named: dict[str, dict[str, Any]] = {
        "reset before the work": {"does": "reset_before"},
        "reset after the work": {"does": "reset_after"},
        "hang": {"does": "hang"},
        "hang after the work": {"does": "hang_after"},
        "slow drip": {"does": "drip", "bytes_per_second": 20},
        "429 with Retry-After": {"does": "answer", "status": 429, "headers": {"Retry-After": "1"}},
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


@pytest.mark.parametrize(("operation", "misbehaviour", "outcome"), _cells())
def test_a_misbehaviour_leads_to(
    sandbox: Sandbox, tmp_path: Path, operation: str, misbehaviour: str, outcome: str
) -> None:
    faults: list[Mapping[str, Any]] = [{"operation": operation, "times": None, **_fault(misbehaviour)}]
    if operation == "refresh":  # asked for only when the links at hand are refused
        faults.append({"operation": "upload", "does": "answer", "status": 403, "code": "AccessDenied"})
    studio = Studio(tmp_path, sandbox)
    with shortened(HASTY if misbehaviour.startswith(("hang", "slow")) else STEADY):
        cell = lived_through(studio, operation, faults)
    assert f"{cell.turn} {cell.requests}" == outcome
    assert sandbox.sins == []
    assert cell.others <= 6 * 3, "what came before and after cost too much"
    if cell.turn == "quarantined":
        assert studio.files("quarantine") == {"picture.jpg", "picture.jpg.why.txt"}
        assert sandbox.paid == (operation in {"status", "link"})
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


def test_a_day_without_the_service_costs_few_requests_and_no_picture(sandbox: Sandbox, tmp_path: Path) -> None:
    scale = 10_800  # a day in eight seconds
    hour, day = 3600 / scale, 86_400 / scale
    studio = Studio(tmp_path, sandbox, names=tuple(f"{number}.jpg" for number in range(12)), give_up_after_hours=hour)
    began: list[float] = []
    sandbox.faults.add("any", "reset_before", nth=15, times=None)  # in the middle of things

    def hears(name: str, _facts: Mapping[str, Any]) -> None:
        if name == "order.deferred" and not began:
            began.append(time.monotonic())

    costs: list[int] = []

    def until(_snapshot: Snapshot) -> bool:
        if began and not costs and time.monotonic() > began[0] + day:
            costs.append(len(sandbox.requests) - 14)
            sandbox.faults.clear()
        return studio.is_over()

    waits = {"FIRST_BACKOFF_SECONDS": 30 / scale, "LONGEST_BACKOFF_SECONDS": hour}
    with shortened(**waits), witnessed(hears):
        studio.live(until, seconds=day + 20)
    tries = 9 + 24 / 0.75  # the doublings to an hour, then at most one each three quarters of an hour
    assert 24 <= costs[0] <= 8 * tries * STEADY.attempts  # of the eight orders in flight
    assert studio.files("outbox") == set(studio.names)
    assert studio.files("quarantine") == set()
    assert sandbox.paid_files == studio.paid_once_each()
    assert sandbox.sins == []


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.setblocking(False)  # noqa: FBT003 - the socket's own signature
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield end


REFUSALS = {
    "the key": ("create", 401, "AUTH_TOKEN_INVALID", "the service refuses the API key"),
    "the credits": ("confirm", 400, "USAGE_NOT_ENOUGH", "the plan's credits are used up"),
}


@pytest.mark.parametrize("refused", REFUSALS)
def test_while_blocked_it_probes_seldom_says_why_and_goes_on_by_itself(
    sandbox: Sandbox, tmp_path: Path, systemd: socket.socket, refused: str
) -> None:
    operation, code, word, reason = REFUSALS[refused]
    probe_seconds, probes = 0.8, 3
    (tmp_path / "home").mkdir()
    studio = Studio(tmp_path / "home", sandbox, probe_seconds)
    sandbox.faults.add(operation, "answer", status=code, code=word, times=probes)
    headlines: set[str] = set()
    reasons: list[str] = []

    def hears(name: str, facts: Mapping[str, Any]) -> None:
        if name == "service.blocked":
            reasons.append(facts["reason"])
            studio.drop("later.jpg")  # what comes meanwhile waits

    def until(snapshot: Snapshot) -> bool:
        if snapshot.blocked:
            headlines.add(status.gather(studio.config(), datetime.now(UTC)).headline)
        return studio.is_over()

    with shortened(), witnessed(hears) as witness:
        studio.live(until)
    asked = [record.time for record in sandbox.requests if record.operation == operation][: probes + 1]
    gaps = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert min(gaps) >= timedelta(seconds=probe_seconds * 0.95)
    assert max(gaps) <= timedelta(seconds=probe_seconds + 2)
    between = [record for record in sandbox.requests if asked[0] <= record.time < asked[-1]]
    assert len(between) == probes, "something else was asked while blocked"
    assert [sentence.startswith(reason) for sentence in reasons] == [True]
    assert [f"The service refuses: {reason}" in headline for headline in headlines] == [True]
    assert any(line.startswith(f"STATUS=BLOCKED: {reason}") for line in _said(systemd))
    assert witness.heard["service.unblocked"] == 1
    assert studio.files("outbox") == {"picture.jpg", "later.jpg"}
    assert studio.files("quarantine") == set()
    assert sandbox.paid_files == studio.paid_once_each()
    assert sandbox.sins == []


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


def _said(end: socket.socket) -> list[str]:
    said = []
    while True:
        try:
            said.append(end.recv(4096).decode())
        except BlockingIOError:
            return said
