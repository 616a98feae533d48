"""A whole flow in one process with its clocks in the test's hands: real disk, the real sandbox over HTTP."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from contents import files_in
from played_clock import GoingClock, PlayedClock

from watchfolder import disk
from watchfolder.api.transport import Pace
from watchfolder.config import Config, Inbox
from watchfolder.daemon.composition import Composition
from watchfolder.disk import Place
from watchfolder.errors import FolderFault
from watchfolder.intake import Intake
from watchfolder.journal import Journal
from watchfolder.order import Order, State
from watchfolder.pushes import Pushes
from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

PICTURE = sample("jpeg", width=64, height=48, seed=1)
OTHER = sample("jpeg", width=64, height=48, seed=2)
QUICK = Pace(attempts=1, first_wait_seconds=0.01, max_wait_seconds=0.02, connect_seconds=5, read_seconds=5)
NOWHERE = "http://127.0.0.1:9"


class Killed(BaseException):
    """The process ends here: what a test has a call do, and nobody catches."""


class Shop:
    """`ahead` is how far its beats are before its clock: what they wait for has come by then."""

    def __init__(
        self,
        top: Path,
        sandbox: Sandbox | None = None,
        *,
        inboxes: tuple[str, ...] = ("photos",),
        clock: PlayedClock | None = None,
        **settings: Any,  # noqa: ANN401 - a YAML's values
    ) -> None:
        api = {"base_url": sandbox.url if sandbox else NOWHERE, "requests_per_minute": 0, "blocked_probe_seconds": 60.0}
        api |= {"key": sandbox.key if sandbox else "sk_shop_0123456789"} | settings.pop("api", {})
        self._own = settings.pop("own", {})  # by inbox: what it has for itself
        whole = {name: settings.pop(name) for name in ("give_up_after_hours", "orders_in_flight") if name in settings}
        self.top, self.ahead, self.pace = top, 0.0, settings.pop("pace", QUICK)
        settings = {"settle_seconds": 0.0, "scan_seconds": 1.0, "watch": "polling"} | settings
        settings = {"duplicates": "again"} | settings  # most tests drop one picture, over and over
        self.config = Config.model_validate(
            {
                "api": api,
                "state_dir": str(top / "state"),
                "inboxes": {name: self._inbox(name, len(inboxes), settings) for name in inboxes},
                **whole,
            }
        )
        self.clock = clock or GoingClock()
        self.journal = Journal(str(top / "state"), self.clock)
        self.pushes = Pushes()
        self.open()

    def _inbox(self, name: str, count: int, settings: dict[str, Any]) -> Inbox:
        home = self.top if count == 1 else self.top / name
        for folder in ("inbox", "outbox", "quarantine", "originals"):
            (home / folder).mkdir(parents=True, exist_ok=True)
        (self.top / "state").mkdir(exist_ok=True)
        paths = {folder: str(home / folder) for folder in ("outbox", "quarantine")}
        own = self._own.get(name, {})
        return Inbox.model_validate({"name": name, "path": str(home / "inbox"), **paths, **settings, **own})

    def open(self) -> None:
        """Begin a life."""
        self.stop, self.woken = threading.Event(), threading.Event()
        self.journal.open()
        self.parts = Composition(
            self.config,
            self.journal,
            self.pushes,
            self.stop,
            wake=lambda: None,
            wake_inbox=lambda _name: self.woken.set(),
            pace=self.pace,
        )
        self.folders, self.service, self.pipeline = self.parts.folders, self.parts.service, self.parts.pipeline
        self.delivery_index, self.intakes = self.parts.delivery_index, self.parts.intakes
        self.parts.begin()

    def doubt_service(self) -> None:
        """Let the service have failed five orders in a row, none of which is here."""
        self.pipeline.breaker._services["anti-ai"].doubt("", self.clock.elapsed())

    def close(self) -> None:
        """End it as a stop does."""
        self.stop.set()
        assert self.pipeline.wait_for_end(time.monotonic() + 20)
        self.parts.close()
        self.journal.close()

    def live_again(self) -> None:
        self.close()
        self.open()

    def die_over_its_order(self) -> None:
        """Begin a life after one that ended within a step of the only order."""
        self.journal.mark_running(self.order())
        self.live_again()

    def lose_entry(self, order: Order | None = None) -> Order:
        """Begin a life that has but the work folder of this order, or of the only one."""
        order = order or self.order()
        self.close()
        (self.folder("state") / "journal" / f"{order.key}.json").unlink()
        self.open()
        return order

    # --- doing

    @property
    def intake(self) -> Intake:
        return next(iter(self.intakes.values()))

    def look(self, now: float) -> float:
        """Let the one inbox have its beat; the pipeline sleeps."""
        if not self.intake.health.is_open:
            self.intake.open_again(now)
            assert self.intake.health.fault is None, self.intake.health.fault
        due = self.intake.beat(now)
        while self.intake.waits_for_pipeline:  # which finds out, in a thread of its own, what the service can do
            assert self.woken.wait(20)
            self.woken.clear()
            due = self.intake.beat(now)
        return due

    def beat(self, *, takes: bool = True) -> None:
        now = time.monotonic() + self.ahead
        for intake in self.intakes.values() if takes else ():
            if intake.health.is_open or intake.open_again(now) <= now:
                intake.beat(now)
        self.pipeline.beat(self.clock.elapsed() + self.ahead)

    def work(self, until: Callable[[], object], *, seconds: float = 20.0, takes: bool = True) -> None:
        """Beat until it is so, taking new files or not; then let what is under way come to its end.

        A beat waits until no step is under way, so that no state is passed unseen; but not for one that hangs. After
        steps that changed no state it comes later, for what they asked in vain is due again at once.
        """
        deadline = time.monotonic() + seconds
        next_beat, beat_anyway, before, was_at_work = 0.0, 0.0, list[State](), False
        while True:
            now, is_at_work = time.monotonic(), bool(self.pipeline.running())
            may_beat = now > (beat_anyway if is_at_work else next_beat)
            was_at_work |= is_at_work
            if until():
                return self.rest()
            states = [order.state for order in self.orders()]
            assert now < deadline, f"it did not come true: {states}"
            if may_beat and was_at_work and not is_at_work and states == before:
                next_beat, was_at_work = now + IN_VAIN_SECONDS, False
            elif may_beat:
                self.beat(takes=takes)
                beat_anyway, before, was_at_work = now + HANG_SECONDS, states, bool(self.pipeline.running())
            time.sleep(0.005)

    def beat_until(self, is_so: Callable[[], object], *, takes: bool = True) -> None:
        """Beat until it is so, as `work` does; but what hangs goes on hanging, and nothing is waited for."""
        deadline = time.monotonic() + 20
        while not is_so():
            assert time.monotonic() < deadline, [(order.inbox, str(order.state)) for order in self.orders()]
            self.beat(takes=takes)
            time.sleep(0.005)

    def rest(self) -> None:
        deadline = time.monotonic() + 20
        while self.pipeline.running():
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def to_the_end(self, *, seconds: float = 20.0) -> None:
        """Look anew, and work until nothing is left that could move by itself."""
        for intake in self.intakes.values():
            intake.nudge(None)
        self.work(self.is_done, seconds=seconds)

    def to_the_end_of_a_doubt(self) -> None:
        """Work to the end, and let time pass: what fails alone too soon after it failed among others is tried later."""
        deadline = time.monotonic() + 60
        self.intake.nudge(None)
        while not self.is_done():
            assert time.monotonic() < deadline, [str(order.state) for order in self.orders()]
            self.beat()
            self.rest()
            self.pass_time(1.0)

    def is_done(self) -> bool:
        live = [order for order in self.orders() if order.state is not State.QUARANTINED]
        intakes_rest = all(intake.candidates.has_scanned and intake.is_idle() for intake in self.intakes.values())
        unrecorded = any(self.journal.needs_record(order) for order in self.orders())
        return intakes_rest and not live and not unrecorded and not self.pipeline.running()

    def pass_time(self, seconds: float) -> None:
        self.ahead += seconds

    # --- seeing

    def orders(self) -> tuple[Order, ...]:
        return self.journal.orders()

    def order(self) -> Order:
        (order,) = self.orders()
        return order

    def has(self, state: State) -> bool:
        return any(order.state is state for order in self.orders()) and not self.pipeline.running()

    def drop(self, name: str | bytes, content: bytes = PICTURE, *, inbox: str = "inbox") -> bytes:
        path = os.path.join(os.fsencode(self.top / inbox), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def folder(self, name: str) -> Path:
        return self.top / name

    def files(self, folder: str) -> list[str]:
        return files_in(self.top / folder)


def work_place(shop: Shop, order: Order, name: str = "") -> Path:
    return shop.folder("inbox") / ".watchfolder" / shop.journal.instance / order.key / name


def history(shop: Shop) -> list[dict[str, Any]]:
    files = sorted((shop.folder("state") / "history").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def said(shop: Shop, name: str) -> dict[str, Any]:
    """Return what a file in the outbox says beside a picture."""
    found: dict[str, Any] = json.loads((shop.folder("outbox") / name).read_text("utf-8"))
    return found


def calls(service: Sandbox, operation: str) -> int:
    return service.requests_by_operation().get(operation, 0)


def told(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, object]]:
    """Return the facts of each event of this name in the log."""
    return [vars(record)["facts"] for record in caplog.records if record.msg == name]


def has_failed_once(shop: Shop) -> bool:
    return bool(shop.orders()) and shop.orders()[0].failures > 0 and not shop.pipeline.running()


def give_up(shop: Shop, service: Sandbox) -> Order:
    """Bring a paid order into quarantine that is alive at the service: its result never comes whole."""
    service.faults.add("fetch", "truncated", times=None)
    shop.drop("a.jpg")
    shop.work(lambda: shop.has(State.COMPLETED) and shop.order().failures)
    shop.journal.note(shop.order(), failing_seconds=1e9, not_before=None)
    shop.work(lambda: shop.files("quarantine"))
    shop.to_the_end()
    service.faults.clear()
    shop.pipeline.runtimes["photos"].context.asked.clear()  # by now that is long ago
    return shop.order()


def move_back(shop: Shop) -> None:
    """Do what a person does who tries again."""
    for name in shop.files("quarantine"):
        if name.endswith(".why.txt"):
            os.unlink(shop.folder("quarantine") / name)
        else:
            os.rename(shop.folder("quarantine") / name, shop.folder("inbox") / name)


def shortcut(address: str) -> bytes:
    """Return a link file to this address."""
    return f"[InternetShortcut]\r\nURL={address}\r\n".encode()


def a_list(*addresses: str) -> bytes:
    """Return a file of addresses."""
    return "".join(f"{address}\n" for address in addresses).encode()


def closing_a_sub_folder(monkeypatch: pytest.MonkeyPatch, name: str) -> Callable[[], None]:
    """Have the outbox's sub-folder take nothing, as one of somebody else's on a share; return what opens it."""
    publish, is_closed = disk.publish_new, threading.Event()
    is_closed.set()

    def publish_new(part: Place, target: Place, **rest: Any) -> None:  # noqa: ANN401 - whatever it takes
        if is_closed.is_set() and target.folder == name:
            raise FolderFault(f"{target.path}: permission denied", code="EACCES")
        publish(part, target, **rest)

    monkeypatch.setattr(disk, "publish_new", publish_new)
    return is_closed.clear


@contextlib.contextmanager
def opened(shop: Shop) -> Iterator[Shop]:
    """SIGIO is ignored, as the daemon does: without that no lease is asked for."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        yield shop
    finally:
        shop.close()
        signal.signal(signal.SIGIO, before)


Open = Callable[..., tuple[Shop, Sandbox]]
IN_VAIN_SECONDS = 0.05
HANG_SECONDS = 0.5  # a step that takes so long keeps no beat waiting
FRESH = 20.0  # so far ahead, no first look has to be waited for


@contextlib.contextmanager
def opening(top: Path, *, kept: dict[str, Any] | None = None, **usual: Any) -> Iterator[Open]:  # noqa: ANN401 - a YAML's values
    """Give what opens a shop and its service; `kept` are the usual facts of the sandbox, `usual` those of the shop."""
    with contextlib.ExitStack() as stack:

        def build(sandbox: dict[str, Any] | None = None, **settings: Any) -> tuple[Shop, Sandbox]:  # noqa: ANN401
            facts = {"processing_seconds": 0.0} | (kept or {}) | (sandbox or {})
            service = stack.enter_context(Sandbox(**facts))
            shop = stack.enter_context(opened(Shop(top, service, **usual | settings)))
            shop.ahead = FRESH
            return shop, service

        yield build
