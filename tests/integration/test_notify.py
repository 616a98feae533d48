"""Messages through apprise to real servers on this machine, whatever these do; and the heartbeat."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from receiver import Receiver, receiving
from shop import told
from waiting import wait_until

from watchfolder import config
from watchfolder.config import Config
from watchfolder.counters import Counters
from watchfolder.errors import ConfigError
from watchfolder.notify import Alarms, alarms, decide, delivery
from watchfolder.notify.decide import FILE
from watchfolder.notify.delivery import Message
from watchfolder.order import State
from watchfolder.snapshot import Disk, FileGroup, InboxSnapshot, Snapshot

TOKEN = "c4n4ry0f7h3n07ify"  # noqa: S105 - to be searched for
NOW = datetime.now(UTC)
OPEN = {"photos": InboxSnapshot(is_open=True)}
AT_ONCE = 10.0  # for no server that hangs, for a minute, may anybody wait longer; a slow machine does not take so long


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "LASTS_SECONDS", dict.fromkeys(decide.LASTS_SECONDS, 0.2))
    monkeypatch.setattr(decide, "QUIET_SECONDS", 0.2)
    monkeypatch.setattr(delivery, "TRY_AGAIN_SECONDS", (0.1, 0.1, 0.1))
    monkeypatch.setattr(delivery, "TRY_SECONDS", 1.0)
    monkeypatch.setattr(alarms, "EVERY_SECONDS", 0.3)
    monkeypatch.setattr(alarms, "AGAIN_SECONDS", 0.3)
    monkeypatch.setattr(alarms, "LOOK_SECONDS", 0.1)


class Daemon:
    """What tells the alarms what is so."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("inbox", "outbox", "quarantine", "originals", "state"):
            (root / name).mkdir()
        self.counters = Counters(State)
        self.alarms = Alarms(self.counters)

    def config(self, *receivers: Receiver, **settings: object) -> Config:
        urls = [f"json://127.0.0.1:{receiver.port}/{TOKEN}" for receiver in receivers]
        folders = {name: str(self.root / name) for name in ("outbox", "quarantine", "originals")}
        text = repr(
            {"state_dir": str(self.root / "state"), "notify": urls}
            | {"inboxes": {"photos": {"path": str(self.root / "inbox"), **folders}}}
            | settings
        )
        file = self.root / "config.yaml"
        file.write_text(text, encoding="utf-8")
        return config.load(str(file), {"BIZMORI_API_KEY": "sk_live_0123456789"})

    def says(self, *, seconds: float = 0.4, **facts: object) -> None:
        """Say the same for so long, many times, as the loop does."""
        end, is_over = time.monotonic() + seconds, False
        while not is_over:
            is_over = time.monotonic() >= end  # once more then, however long the machine stood still
            told = {"at": NOW, "pid": 1, "version": "1", "started": NOW, "inboxes": OPEN} | facts
            before = time.monotonic()
            self.alarms.see(Snapshot(**told))
            assert time.monotonic() - before < AT_ONCE
            time.sleep(0.02)

    @property
    def notified(self) -> dict[str, int]:
        return self.counters.counts().notifications


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    with closing(daemon.alarms):
        yield daemon


def test_a_refusal_and_its_end_arrive(daemon: Daemon) -> None:
    with receiving() as receiver:
        daemon.alarms.follow(daemon.config(receiver))
        assert daemon.notified == {"sent": 0, "dropped": 0}
        daemon.says(blocked="credits are used up")
        daemon.says()
        receiver.until(2)
        assert ["credits are used up" in text for text in receiver.messages] == [True, False]
        wait_until(lambda: daemon.notified == {"sent": 2, "dropped": 0})


def test_everything_at_once_is_one_message_in_plain_text(daemon: Daemon) -> None:
    quarantined = (FileGroup(inbox="photos", name="<b>a & b</b>.jpg", reason="It is cut short."),)
    full = {"/srv": Disk(device=1, free_bytes=10**9, total_bytes=10**12)}
    with receiving() as receiver:
        daemon.alarms.follow(daemon.config(receiver))
        daemon.says(blocked="the service refuses the key", quarantined=1, last_quarantined=quarantined, disks=full)
        receiver.until(1)
        (text,) = receiver.messages
        assert "the service refuses the key" in text
        assert "1.0 GB are free" in text
        assert "photos: <b>a & b</b>.jpg: It is cut short" in text


@pytest.mark.parametrize("mood", ["hangs", "drips"])
def test_a_message_service_that_hangs_holds_up_nothing_else(
    daemon: Daemon, mood: "Receiver", caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TRY_SECONDS", 60.0)
    with receiving(mood) as hung, receiving() as well:  # type: ignore[arg-type]  # a literal
        daemon.alarms.follow(daemon.config(hung, well))
        daemon.says(blocked="credits are used up")
        well.until(1)
        hung.until(1)
        wait_until(lambda: daemon.notified["sent"] == 1)
        began = time.monotonic()
        daemon.alarms.close()
        assert time.monotonic() - began < AT_ONCE
        assert told(caplog, "notification.dropped")
        assert daemon.notified == {"sent": 1, "dropped": 1}


def test_a_service_that_drips_is_given_up_after_a_while(daemon: Daemon) -> None:
    with receiving("drips") as dripping:
        daemon.alarms.follow(daemon.config(dripping))
        daemon.says(blocked="credits are used up")
        wait_until(lambda: daemon.notified["dropped"] == 1)
        assert len(dripping.calls) == 1  # nothing more is begun beside a try that never ended


@pytest.mark.parametrize("mood", ["refuses", "breaks"])
def test_a_service_that_is_dead_costs_a_few_tries_and_one_line(
    daemon: Daemon, mood: "Receiver", caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TRY_SECONDS", 20.0)
    with receiving(mood) as receiver:  # type: ignore[arg-type]  # a literal
        daemon.alarms.follow(daemon.config(receiver))
        daemon.says(blocked="credits are used up")
        wait_until(lambda: daemon.notified["dropped"] == 1)
        assert len(receiver.calls) == 4
    (line,) = told(caplog, "notification.dropped")
    assert line["to"] == "notify[0] (json)"


def test_a_message_that_arrives_after_it_was_given_up_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "TRY_SECONDS", 0.1)
    monkeypatch.setattr(delivery, "TRY_AGAIN_SECONDS", (0.6, 0.6))
    calls, became = list[Message](), list[str]()

    def slow(message: Message) -> bool:
        calls.append(message)
        time.sleep(0.3)
        return True

    sender = delivery.MessageQueue("slow", slow, became.append)
    sender.send(Message("a subject", "a body"))
    wait_until(lambda: became)
    sender.stop()
    assert (len(calls), became) == (1, ["sent"])


def test_a_service_that_comes_back_gets_what_it_missed(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "TRY_AGAIN_SECONDS", (0.2,) * 100)
    monkeypatch.setattr(delivery, "TRY_SECONDS", 20.0)
    with receiving("refuses") as receiver:
        daemon.alarms.follow(daemon.config(receiver))
        daemon.says(blocked="credits are used up")
        receiver.until(1)
        receiver.mood = "well"
        wait_until(lambda: daemon.notified == {"sent": 1, "dropped": 0})


def test_a_queue_for_a_hung_service_has_an_end(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "_MOST_AN_HOUR", 1000)
    monkeypatch.setattr(decide, "_HOLD_DOWN", timedelta())
    monkeypatch.setattr(decide, "QUIET_SECONDS", 0.001)
    monkeypatch.setattr(delivery, "TRY_SECONDS", 60.0)
    monkeypatch.setattr(delivery, "TRY_AGAIN_SECONDS", (3600.0,))
    with receiving("hangs") as hung:
        daemon.alarms.follow(daemon.config(hung))
        for number in range(1, 60):
            daemon.says(seconds=0.05, quarantined=number)
        assert daemon.notified["dropped"] >= 5
        assert len(hung.calls) == 1


def test_what_was_told_before_a_restart_is_not_told_again(daemon: Daemon) -> None:
    with receiving() as receiver:
        for _ in range(3):
            with closing(Alarms(daemon.counters)) as daemon.alarms:
                daemon.alarms.follow(daemon.config(receiver))
                daemon.says(blocked="credits are used up", seconds=0.6)
                wait_until(lambda: daemon.notified["sent"] == 1)
        assert len(receiver.calls) == 1


def test_a_state_that_cannot_be_written_keeps_no_message_back(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    with receiving() as receiver:
        daemon.alarms.follow(daemon.config(receiver, state_dir="/proc/nothing/here"))
        daemon.says(blocked="credits are used up")
        receiver.until(1)
    assert len(told(caplog, "alarm.unwritten")) == 1


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"[1]", b'{"told": {"service": 3}}'])
def test_a_memory_that_is_broken_is_forgotten(daemon: Daemon, content: bytes) -> None:
    (daemon.root / "state" / FILE).write_bytes(content)
    with receiving() as receiver:
        daemon.alarms.follow(daemon.config(receiver))
        daemon.says(blocked="credits are used up")
        receiver.until(1)


def test_nothing_is_written_while_all_is_well(daemon: Daemon) -> None:
    with receiving() as receiver:
        daemon.alarms.follow(daemon.config(receiver))
        daemon.says(seconds=1)
        assert list((daemon.root / "state").iterdir()) == []
        assert receiver.calls == []


def test_a_reload_keeps_the_messages_of_addresses_that_stay(daemon: Daemon) -> None:
    with receiving("refuses") as stays, receiving() as goes, receiving() as comes:
        daemon.alarms.follow(daemon.config(goes, stays))
        daemon.says(blocked="credits are used up")
        goes.until(1)
        daemon.alarms.follow(daemon.config(stays, comes))
        stays.mood = "well"
        daemon.says()
        comes.until(1)
        wait_until(lambda: len(stays.messages) >= 3)
        assert len(goes.calls) == 1
        assert any("credits" in text for text in stays.messages)


def test_without_addresses_there_is_no_thread_and_no_apprise(daemon: Daemon) -> None:
    before = threading.active_count()
    daemon.alarms.follow(daemon.config())
    daemon.says(blocked="credits are used up")
    assert threading.active_count() <= before


def test_the_address_is_in_no_log_no_state_and_no_repr(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with receiving("refuses") as receiver, receiving() as monitor:
        found = daemon.config(receiver, heartbeat_url=f"http://127.0.0.1:{monitor.port}/{TOKEN}")
        monitor.mood = "refuses"
        daemon.alarms.follow(found)
        daemon.says(blocked="credits are used up")
        wait_until(lambda: daemon.notified["dropped"] == 1)
        daemon.says()
        wait_until(lambda: told(caplog, "heartbeat.unheard"))
    assert TOKEN not in caplog.text + repr(found) + str(found) + found.model_dump_json()
    assert all(TOKEN not in str(vars(record)) for record in caplog.records)
    assert TOKEN not in (daemon.root / "state" / FILE).read_text(encoding="utf-8")


# The heartbeat


def beating(daemon: Daemon, monitor: Receiver, **settings: object) -> None:
    daemon.alarms.follow(daemon.config(heartbeat_url=f"http://127.0.0.1:{monitor.port}/ping", **settings))


def test_a_heart_beats_while_all_is_well_and_carries_no_key(daemon: Daemon) -> None:
    with receiving() as monitor:
        beating(daemon, monitor)
        daemon.says(seconds=1.5)
        monitor.until(2)
        assert len(monitor.calls) <= 8
        assert {(call.method, call.path) for call in monitor.calls} == {("GET", "/ping")}
        assert all("Authorization" not in call.headers for call in monitor.calls)


@pytest.mark.parametrize(
    "facts",
    [
        {"blocked": "credits are used up"},
        {"is_stuck": True},
        {"is_down": True},
        {"inboxes": {"photos": InboxSnapshot(fault="gone")}},
    ],
)
def test_it_ceases_when_all_is_not_well(daemon: Daemon, facts: dict[str, object]) -> None:
    with receiving() as monitor:
        daemon.says(seconds=0.1, **facts)
        beating(daemon, monitor)
        daemon.says(seconds=0.8, **facts)
        assert monitor.calls == []
        daemon.says(seconds=0.8)
        monitor.until(1)


def test_a_redirect_is_not_followed(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    with receiving("redirects") as monitor:
        beating(daemon, monitor)
        daemon.says(seconds=1)
        wait_until(lambda: told(caplog, "heartbeat.unheard"))
        assert {call.path for call in monitor.calls} == {"/ping"}
    assert len(told(caplog, "heartbeat.unheard")) == 1


def test_an_outage_of_the_monitor_is_told_once_and_so_is_its_end(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with receiving("refuses") as monitor:
        beating(daemon, monitor)
        daemon.says(seconds=0.1)
        monitor.until(2)
        monitor.mood = "well"
        wait_until(lambda: told(caplog, "heartbeat.heard"))
        monitor.until(len(monitor.calls) + 2)
    assert [len(told(caplog, name)) for name in ("heartbeat.unheard", "heartbeat.heard")] == [1, 1]


def test_an_answer_without_end_is_read_to_a_bound(daemon: Daemon) -> None:
    with receiving("endless") as monitor:
        beating(daemon, monitor)
        daemon.says(seconds=1)
        monitor.until(2)
        assert monitor.sent_bytes < 64 << 20  # what is read, and what the sockets hold; in 20 s it would be far more


@pytest.mark.parametrize("mood", ["hangs", "drips"])
def test_a_monitor_that_hangs_holds_up_nothing(daemon: Daemon, mood: str) -> None:
    with receiving(mood) as monitor:  # type: ignore[arg-type]  # a literal
        beating(daemon, monitor)
        daemon.says(seconds=0.5)
        monitor.until(1)
        assert len(monitor.calls) == 1
        began = time.monotonic()
        daemon.alarms.close()
        assert time.monotonic() - began < AT_ONCE


def test_a_reload_without_an_address_ends_it(daemon: Daemon) -> None:
    with receiving() as monitor:
        beating(daemon, monitor)
        daemon.says(seconds=0.5)
        daemon.alarms.follow(daemon.config())
        count = len(monitor.calls)
        daemon.says(seconds=0.8)
        assert len(monitor.calls) <= count + 1  # the one that was under way


def test_it_goes_through_the_proxy_of_the_configuration(daemon: Daemon) -> None:
    with receiving("refuses") as proxy:
        settings = {"api": {"proxy": f"http://127.0.0.1:{proxy.port}"}}
        daemon.alarms.follow(daemon.config(heartbeat_url="https://monitor.invalid/ping", **settings))
        daemon.says(seconds=0.5)
        proxy.until(1)
        assert {(call.method, call.path) for call in proxy.calls} == {("CONNECT", "monitor.invalid:443")}


# The addresses


def test_an_address_that_apprise_does_not_know_is_told_by_its_place_alone(daemon: Daemon) -> None:
    from watchfolder.console import settings  # noqa: PLC0415

    found = daemon.config(notify=["json://127.0.0.1", f"tgram://{TOKEN}", f"nosuch://{TOKEN}/x"])
    with pytest.raises(ConfigError) as caught:
        settings.read_for_work(found.source, {"BIZMORI_API_KEY": "sk_live_0123456789"})
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["notify[1]", "notify[2]"]
    assert TOKEN not in str(caught.value)
