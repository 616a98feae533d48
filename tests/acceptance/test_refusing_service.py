"""While key or credits are refused: the real daemon, real signals, and what people, log and systemd are told."""

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from cli_studio import KEY, PICTURE, Daemon, Studio, sandbox
from contents import files_in
from notify_socket import Notified, notified
from waiting import wait_until

from watchfolder.sandbox import Sandbox

__all__ = ["notified", "sandbox"]

pytestmark = pytest.mark.lab
NAMES = ("a.jpg", "b.jpg", "c.jpg")
PROBE_SECONDS = 1.0


@dataclass(frozen=True)
class Refusal:
    operation: str
    begin: Callable[[Sandbox], object]
    end: Callable[[Sandbox], object]
    sentence: str


def _no_more_credits(sandbox: Sandbox) -> None:
    sandbox.faults.add("confirm", "answer", status=400, code="USAGE_NOT_ENOUGH", times=None)


REFUSALS = {
    "the key": Refusal(
        "create",
        lambda sandbox: setattr(sandbox, "keys", ["sk_another"]),
        lambda sandbox: setattr(sandbox, "keys", None),
        "the service refuses the API key: check the key, and whether it has expired (401)",
    ),
    "the credits at the order": Refusal(
        "create",
        lambda sandbox: setattr(sandbox, "credits_left", 0),
        lambda sandbox: setattr(sandbox, "credits_left", None),
        "the plan's credits are used up: buy credits or wait for the next period (400)",
    ),
    "the credits at its confirmation": Refusal(
        "confirm",
        _no_more_credits,
        lambda sandbox: sandbox.faults.clear(),
        "the plan's credits are used up: buy credits or wait for the next period (400)",
    ),
}


@pytest.fixture(params=list(REFUSALS))
def refusal(request: pytest.FixtureRequest, sandbox: Sandbox) -> Refusal:
    refusal = REFUSALS[request.param]
    refusal.begin(sandbox)
    return refusal


def opened(root: Path, sandbox: Sandbox, notified: Notified, **api: object) -> Studio:
    studio = Studio(root, url=sandbox.url)
    studio.environment["NOTIFY_SOCKET"] = notified.address
    studio.configure(api={"base_url": sandbox.url, **api})
    studio.drop(NAMES[0])
    return studio


def times_of(sandbox: Sandbox, operation: str) -> list[datetime]:
    return sorted(record.time for record in sandbox.requests if record.operation == operation)


def told(daemon: Daemon, name: str) -> list[dict[str, object]]:
    lines = map(json.loads, daemon.log().splitlines())
    return [line for line in lines if line["event"] == name]


def test_while_blocked_it_probes_in_turn_says_why_and_goes_on_by_itself(
    sandbox: Sandbox, notified: Notified, refusal: Refusal, tmp_path: Path
) -> None:
    studio = opened(tmp_path, sandbox, notified, blocked_probe_seconds=PROBE_SECONDS)
    with studio.daemon() as daemon:
        wait_until(lambda: notified.status.startswith("Blocked"))
        for number, name in enumerate(NAMES[1:]):
            studio.drop(name, PICTURE + bytes([number]))
        wait_until(lambda: len(times_of(sandbox, refusal.operation)) >= 5)
        page = studio.run("status")
        probes = times_of(sandbox, refusal.operation)
        assert notified.status.startswith(f"Blocked: {refusal.sentence}. Nothing is lost. ")
        assert refusal.sentence in " ".join(page.stdout.split())
        assert files_in(studio.folder("quarantine")) == []
        assert files_in(studio.folder("inbox")) == list(NAMES[1:]), "what cannot go on stays where people see it"
        refusal.end(sandbox)
        wait_until(lambda: files_in(studio.folder("outbox")) == list(NAMES))
        wait_until(lambda: not notified.status.startswith("Blocked"))
        assert len(told(daemon, "service.blocked")) == 1
        assert len(told(daemon, "service.unblocked")) == 1
    gaps = [(later - before).total_seconds() for before, later in pairwise(probes)]
    assert min(gaps) > PROBE_SECONDS * 0.9, gaps  # less the way there and back
    assert set(sandbox.paid_files.values()) == {1}
    assert sandbox.sins == []


def test_a_refused_key_costs_one_request_at_a_time(sandbox: Sandbox, notified: Notified, tmp_path: Path) -> None:
    sandbox.processing_seconds = 3.0
    api = {"base_url": sandbox.url, "blocked_probe_seconds": PROBE_SECONDS}
    studio = opened(tmp_path, sandbox, notified)
    studio.configure(api=api, max_files_per_order=1)
    with studio.daemon():
        for number, name in enumerate(NAMES[1:]):
            studio.drop(name, PICTURE + bytes([number]))
        wait_until(lambda: sandbox.paid == len(NAMES))
        sandbox.keys = ["sk_another"]
        studio.drop("late.jpg", PICTURE + b"late")
        wait_until(lambda: notified.status.startswith("Blocked"))
        before = len(sandbox.requests)
        wait_until(lambda: len(sandbox.requests) >= before + 6)
        times = sorted(record.time for record in sandbox.requests[before:])
        assert files_in(studio.folder("quarantine")) == []
        sandbox.keys = None
        wait_until(lambda: files_in(studio.folder("outbox")) == sorted([*NAMES, "late.jpg"]))
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert min(gaps) > PROBE_SECONDS * 0.9, gaps
    assert set(sandbox.paid_files.values()) == {1}
    assert sandbox.sins == []


def test_a_hangup_while_blocked_tries_once_at_once(
    sandbox: Sandbox, notified: Notified, refusal: Refusal, tmp_path: Path
) -> None:
    studio = opened(tmp_path, sandbox, notified, blocked_probe_seconds=3600)
    with studio.daemon() as daemon:
        wait_until(lambda: notified.status.startswith("Blocked"))
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(times_of(sandbox, refusal.operation)) == 2)
        wait_until(lambda: notified.messages.count("READY=1") == 2)
        assert any(message.startswith("RELOADING=1") for message in notified.messages)
        refusal.end(sandbox)
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: files_in(studio.folder("outbox")) == [NAMES[0]])
        wait_until(lambda: not notified.status.startswith("Blocked"))
    assert len(times_of(sandbox, refusal.operation)) == 3
    assert set(sandbox.paid_files.values()) == {1}
    assert sandbox.sins == []


def test_a_new_key_in_its_file_is_taken_up_on_a_hangup(sandbox: Sandbox, notified: Notified, tmp_path: Path) -> None:
    sandbox.keys = ["sk_new_0123456789"]
    key_file = tmp_path / "api-key"
    key_file.touch(0o600)
    key_file.write_text(KEY)
    studio = opened(tmp_path, sandbox, notified, blocked_probe_seconds=3600, key_file=str(key_file))
    del studio.environment["BIZMORI_API_KEY"]
    with studio.daemon() as daemon:
        wait_until(lambda: notified.status.startswith("Blocked"))
        key_file.write_text("sk_new_0123456789")
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: files_in(studio.folder("outbox")) == [NAMES[0]])
    assert len(times_of(sandbox, "create")) == 2
    assert set(sandbox.paid_files.values()) == {1}
