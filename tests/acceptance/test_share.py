"""A share that comes and goes: its inbox alone waits, the log says so once, and all that was dropped arrives."""

import json
import pwd
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from cli_studio import Daemon
from share_studio import LOCAL, ROLES, Share, ShareStudio, share_studio, told
from waiting import wait_until

pytestmark = pytest.mark.lab

WAITS, BACK = "inbox.waits", "inbox.back"
SILENT, ANSWERS = "inbox.silent", "inbox.answers"
EVENTS = (WAITS, BACK, SILENT, ANSWERS)
TRANSFERS = 4  # side by side, unless configured otherwise
STAYS_AWAY_SECONDS = 12.0  # a folder that failed is looked at every 5 s
NOBODY = pwd.getpwnam("nobody").pw_uid


@dataclass(frozen=True)
class Fate:
    """What befalls each share, and how it ends; `told` are the one line when it goes and the one when it is back."""

    goes: Callable[[Share], None]
    comes_back: Callable[[Share], None]
    is_network: bool = False
    user: str = "root"
    told: tuple[str, str] = (WAITS, BACK)


def disappear(share: Share) -> None:
    share.unmount()
    share.near.rmdir()


def serve_again(share: Share) -> None:
    share.unmount()
    share.mount()


FATES = {
    "is unmounted": Fate(Share.unmount, Share.mount),
    "disappears": Fate(disappear, Share.mount),
    "turns read-only": Fate(lambda share: share.remount("ro"), lambda share: share.remount("rw")),
    "changes owner": Fate(lambda share: share.own(0), lambda share: share.own(NOBODY), user="nobody"),
    "loses its server": Fate(lambda share: share.send(signal.SIGKILL), serve_again, is_network=True),
    "hangs": Fate(
        lambda share: share.send(signal.SIGSTOP),
        lambda share: share.send(signal.SIGCONT),
        is_network=True,
        told=(SILENT, ANSWERS),
    ),
}


@pytest.mark.parametrize("fate", FATES)
def test_only_the_inbox_of_a_lost_share_waits(fate: str) -> None:
    befalls = FATES[fate]
    with share_studio(is_network=befalls.is_network, user=befalls.user) as studio, studio.studio.daemon() as daemon:
        put_under_way(studio)
        for share in studio.shares.values():
            befalls.goes(share)
        expect_the_others_go_on(studio, daemon, befalls)
        expect_all_arrives(studio, daemon, befalls)


@pytest.mark.parametrize("fate", FATES)
def test_a_start_without_some_shares_serves_the_others(fate: str) -> None:
    befalls = FATES[fate]
    with share_studio(is_network=befalls.is_network, user=befalls.user) as studio:
        with studio.studio.daemon() as daemon:
            put_under_way(studio)
            daemon.process.kill()
            daemon.process.wait()
        for share in studio.shares.values():
            befalls.goes(share)
        with studio.studio.daemon() as daemon:
            expect_the_others_go_on(studio, daemon, befalls)
            expect_all_arrives(studio, daemon, befalls)


def test_an_inbox_that_is_read_only_for_us_alone_says_so_once() -> None:
    befalls = FATES["turns read-only"]
    with share_studio() as studio, studio.studio.daemon() as daemon:
        befalls.goes(studio.shares["inbox"])
        studio.drop("inbox", *(f"{number}.jpg" for number in range(5)))
        wait_until(lambda: told(daemon, WAITS))
        time.sleep(STAYS_AWAY_SECONDS)
        assert told(daemon, WAITS, BACK, "file.stays") == [("inbox", WAITS)]
        assert "read-only" in daemon.log()
        befalls.comes_back(studio.shares["inbox"])
        studio.expect_all_is_well()
        assert told(daemon, WAITS, BACK) == [("inbox", WAITS), ("inbox", BACK)]


def test_a_share_that_hangs_amid_its_downloads_leaves_the_others_their_turn() -> None:
    befalls = FATES["hangs"]
    with share_studio(is_network=True) as studio, studio.studio.daemon() as daemon:
        studio.sandbox.faults.add("fetch", "drip", times=8, bytes_per_second=300)
        studio.drop("outbox", *(f"{number}.jpg" for number in range(8)))
        wait_until(lambda: studio.sandbox.requests_by_operation().get("fetch", 0) >= TRANSFERS)
        befalls.goes(studio.shares["outbox"])
        studio.drop(LOCAL, "here.jpg")
        studio.await_delivery(LOCAL)
        befalls.comes_back(studio.shares["outbox"])
        studio.expect_all_is_well()
        assert told(daemon, SILENT, ANSWERS) == [("outbox", SILENT), ("outbox", ANSWERS)]


def test_nothing_is_written_to_the_mount_point_of_a_lost_share() -> None:
    with share_studio() as studio, studio.studio.daemon() as daemon:
        studio.sandbox.faults.add("fetch", "drip", times=len(ROLES), bytes_per_second=300)
        for inbox in ROLES:
            studio.drop(inbox, "one.jpg")
        wait_until(lambda: studio.sandbox.requests_by_operation().get("fetch", 0) == len(ROLES))
        for share in studio.shares.values():
            share.unmount()
        wait_until(lambda: {inbox for inbox, _ in told(daemon, WAITS)} == set(ROLES))
        time.sleep(STAYS_AWAY_SECONDS)
        assert [path for share in studio.shares.values() for path in share.near.iterdir()] == []
        for share in studio.shares.values():
            share.mount()
        studio.expect_all_arrived()
        expect_no_traceback(daemon)
        assert not {"file.vanished", "order.rebuilt", "order.files_changed"} & set(events_of(daemon))
        daemon.process.terminate()
        daemon.process.wait()
        assert studio.studio.run("run", "--once").returncode == 0  # the next life sweeps what the mount took with it
        studio.expect_nothing_left_over()


def put_under_way(studio: ShareStudio) -> None:
    for inbox in ROLES:
        studio.drop(inbox, "under way.jpg", "under way_fail.jpg")
    wait_until(lambda: studio.sandbox.paid == 2 * len(ROLES))


def expect_the_others_go_on(studio: ShareStudio, daemon: Daemon, befalls: Fate) -> None:
    for inbox in (*ROLES, LOCAL):
        studio.drop(inbox, "meanwhile.jpg")
    studio.await_delivery(LOCAL)
    goes, _ = befalls.told
    wait_until(lambda: {inbox for inbox, _ in told(daemon, goes)} == set(ROLES))
    time.sleep(STAYS_AWAY_SECONDS)
    studio.drop(LOCAL, "later.jpg")
    studio.await_delivery(LOCAL)
    assert sorted(told(daemon, *EVENTS)) == sorted((inbox, goes) for inbox in ROLES)
    if befalls.goes is Share.unmount:
        assert [path for share in studio.shares.values() for path in share.near.iterdir()] == []


def expect_all_arrives(studio: ShareStudio, daemon: Daemon, befalls: Fate) -> None:
    for share in studio.shares.values():
        befalls.comes_back(share)
    for inbox in (*ROLES, LOCAL):
        studio.drop(inbox, "after.jpg")
    studio.expect_all_is_well()
    assert sorted(told(daemon, *EVENTS)) == sorted((inbox, event) for inbox in ROLES for event in befalls.told)
    expect_no_traceback(daemon)


def expect_no_traceback(daemon: Daemon) -> None:
    assert not [line for line in daemon.log().splitlines() if json.loads(line)["exception"]]


def events_of(daemon: Daemon) -> list[str]:
    return [json.loads(line)["event"] for line in daemon.log().splitlines()]
