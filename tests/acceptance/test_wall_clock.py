"""The real program while its wall clock is set and its machine sleeps: nothing waits, is given up or paid again."""

import json
import os
import random
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cli_studio import PICTURE, Daemon, Studio
from contents import files_in
from set_clocks import SetClocks
from waiting import wait_until

from watchfolder.sandbox import Sandbox
from watchfolder.sandbox.pictures import sample

pytestmark = pytest.mark.lab
DAY, YEAR = 24 * 3600.0, 365 * 24 * 3600.0
OTHER = sample("jpeg", width=160, height=120, seed=2)


@pytest.fixture
def clocks(tmp_path_factory: pytest.TempPathFactory) -> SetClocks:
    return SetClocks(tmp_path_factory.mktemp("clocks"))


@pytest.fixture
def service() -> Iterator[Sandbox]:
    with Sandbox(processing_seconds=0.1) as sandbox:
        yield sandbox


@pytest.fixture
def studio(tmp_path: Path, service: Sandbox, clocks: SetClocks) -> Studio:
    studio = Studio(tmp_path, service.url)
    studio.environment |= clocks.environment
    return studio


def failures(daemon: Daemon) -> int:
    return daemon.log().count('"order.deferred"')


def sleep(clocks: SetClocks, daemon: Daemon, seconds: float) -> None:
    """Let the machine sleep for so long, and wake."""
    clocks.sleep(seconds)
    daemon.process.send_signal(signal.SIGUSR1)


def assert_delivered(studio: Studio, service: Sandbox, *names: str) -> None:
    wait_until(lambda: files_in(studio.folder("outbox")) == sorted(names))
    assert set(service.paid_files.values()) == {1}
    assert files_in(studio.folder("quarantine")) == []
    assert service.sins == []


@pytest.mark.parametrize("lives", [1, 2])
@pytest.mark.parametrize("ahead", [30 * DAY, YEAR, -YEAR])
def test_a_clock_put_right_after_a_failure_keeps_nothing_waiting(
    studio: Studio, service: Sandbox, clocks: SetClocks, ahead: float, lives: int
) -> None:
    clocks.set_wall(ahead)
    service.faults.add("create", "answer", status=503, times=5)
    studio.drop("a.jpg")
    for life in range(lives):
        with studio.daemon() as daemon:
            wait_until(lambda: life or failures(daemon))  # noqa: B023 - waited for at once
            clocks.set_wall(0.0)
            if life + 1 == lives:
                service.faults.clear()
                sleep(clocks, daemon, 40.0)
                assert_delivered(studio, service, "a.jpg")


@pytest.mark.parametrize("jump", [YEAR, -YEAR])
def test_a_clock_that_is_set_while_an_order_is_under_way_keeps_it_no_longer(
    studio: Studio, service: Sandbox, clocks: SetClocks, jump: float
) -> None:
    service.processing_seconds = 6.0
    with studio.daemon():
        studio.drop("a.jpg")
        wait_until(lambda: any(order.is_confirmed for order in service.orders.values()))
        clocks.set_wall(jump)
        assert_delivered(studio, service, "a.jpg")


def test_six_days_of_sleep_are_not_six_days_of_failing(studio: Studio, service: Sandbox, clocks: SetClocks) -> None:
    give_up_after(studio, hours=1.0)
    service.faults.add("fetch", "truncated", times=2)
    with studio.daemon() as daemon:
        studio.drop("a.jpg")
        wait_until(lambda: failures(daemon) == 1)
        sleep(clocks, daemon, 6 * DAY)
        wait_until(lambda: failures(daemon) == 2 or files_in(studio.folder("quarantine")))
        sleep(clocks, daemon, 80.0)
        assert_delivered(studio, service, "a.jpg")


@pytest.mark.parametrize("jump", [30 * DAY, YEAR, -YEAR])
def test_a_clock_that_is_ahead_for_seconds_has_no_parked_order_paid_again(
    studio: Studio, service: Sandbox, clocks: SetClocks, jump: float
) -> None:
    give_up_after(studio, hours=0.0001)
    failing = service.faults.add("fetch", "truncated", times=None)
    with studio.daemon() as daemon:
        studio.drop("a.jpg")
        wait_until(lambda: failures(daemon))
        failing.times = 0
        studio.drop("b.jpg", OTHER)  # others are served
        wait_until(lambda: files_in(studio.folder("outbox")) == ["b.jpg"])
        failing.times = None
        sleep(clocks, daemon, 40.0)
        wait_until(lambda: "a.jpg" in files_in(studio.folder("quarantine")))
        failing.times = 0
        clocks.set_wall(jump)
        studio.drop("c.jpg", PICTURE + b"c")
        wait_until(lambda: files_in(studio.folder("outbox")) == ["b.jpg", "c.jpg"])
        clocks.set_wall(0.0)
        assert studio.run("retry", "a.jpg").returncode == 0
        assert_delivered(studio, service, "a.jpg", "b.jpg", "c.jpg")


def test_people_are_told_when_the_next_try_is_by_the_clock_as_it_goes_now(
    studio: Studio, service: Sandbox, clocks: SetClocks
) -> None:
    clocks.set_wall(30 * DAY)
    service.faults.add("create", "answer", status=503, times=5)
    studio.drop("a.jpg")
    studio.drop("half.jpg", PICTURE[:-2])
    with studio.daemon() as daemon:
        wait_until(lambda: failures(daemon))
        clocks.set_wall(0.0)

        def told() -> list[datetime]:
            photos = json.loads(studio.run("status", "--json").stdout)["inboxes"]["photos"]
            return [datetime.fromisoformat(photos[name]) for name in ("next_try", "oldest_waiting_since")]

        wait_until(lambda: all(abs(moment - datetime.now(UTC)) < timedelta(minutes=5) for moment in told()))


def test_pictures_are_paid_once_while_the_clock_is_set_all_the_time(
    studio: Studio, service: Sandbox, clocks: SetClocks
) -> None:
    chance = random.Random(4)  # noqa: S311 - a game
    names = [f"{number:02}.jpg" for number in range(24)]
    left = list(names)
    for _ in range(4):
        with studio.daemon() as daemon:
            for name in left[:6]:
                clocks.set_wall(chance.choice([-YEAR, -DAY, -60.0, 0.0, 60.0, DAY, YEAR]))
                studio.drop(name, PICTURE + name.encode())
                wait_until(lambda: not (studio.folder("inbox") / name).exists())  # noqa: B023 - waited for at once
            del left[:6]
            os.kill(daemon.process.pid, signal.SIGKILL)
            daemon.process.wait(30)
    with studio.daemon():
        assert_delivered(studio, service, *names)


def give_up_after(studio: Studio, *, hours: float) -> None:
    with studio.config.open("a", encoding="utf-8") as file:
        file.write(f"give_up_after_hours: {hours}\n")
