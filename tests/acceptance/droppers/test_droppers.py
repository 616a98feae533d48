"""Whatever program puts a picture into the inbox: it is sent whole or not at all, and in time."""

import concurrent.futures
import itertools
import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from drop_servers import Server, servers
from drop_studio import SETTLE_SECONDS, Studio, large, slow, small, studio, wait_until
from dropping import DROPPERS, WITH_A_BRAKE, Drop, dropping, finish, missing

pytestmark = pytest.mark.slow
SCAN_SECONDS = 2.0
AT_ONCE = 4
EVERYBODY = len(DROPPERS)
_seeds = itertools.count(1)


@dataclass(frozen=True)
class Nas:
    """The servers and the daemon on one inbox."""

    studio: Studio
    servers: Mapping[str, Server]

    def drop(self, name: str, content: bytes, *, is_slow: bool = False, is_finished: bool = True) -> Drop:
        source = self.studio.source(name, content, is_finished=is_finished)
        return Drop(source, name, self.studio.inbox, self.servers, is_slow=is_slow)

    def check_taken_in_time(self, how: str, name: str, content: bytes, *, is_slow: bool = False) -> None:
        closed = finish(how, self.drop(name, content, is_slow=is_slow))
        assert self.studio.taken_after(name, closed) <= self.studio.taking_seconds
        self.studio.check_delivered(content)
        self.studio.check_uploads()


def _prepare() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can run the servers as a NAS does")
    if packages := missing():
        reason = f"apt-get install {' '.join(packages)}"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


@pytest.fixture(scope="module")
def nas() -> Iterator[Nas]:
    _prepare()
    with studio() as made, servers(made.root, made.inbox) as running:
        yield Nas(made, running)


@pytest.fixture(scope="module")
def polling_nas() -> Iterator[Nas]:
    _prepare()
    with studio(watch="polling", scan_seconds=SCAN_SECONDS) as made, servers(made.root, made.inbox) as running:
        yield Nas(made, running)


@pytest.mark.parametrize("how", DROPPERS)
def test_a_small_and_a_large_picture_are_taken_in_time(nas: Nas, how: str) -> None:
    with concurrent.futures.ThreadPoolExecutor() as hands:
        jobs = [
            hands.submit(nas.check_taken_in_time, how, f"small-{next(_seeds)}.jpg", small(next(_seeds))),
            hands.submit(nas.check_taken_in_time, how, f"large-{next(_seeds)}.tif", large(next(_seeds))),
        ]
        for job in jobs:
            job.result()


@pytest.mark.parametrize("how", WITH_A_BRAKE)
def test_a_slow_transfer_is_waited_for(nas: Nas, how: str) -> None:
    nas.check_taken_in_time(how, f"slow-{next(_seeds)}.jpg", slow(next(_seeds)), is_slow=True)


@pytest.mark.parametrize("how", WITH_A_BRAKE)
def test_a_killed_transfer_is_never_sent_and_its_repetition_is(nas: Nas, how: str) -> None:
    name, content = f"killed-{next(_seeds)}.jpg", slow(next(_seeds))
    with dropping(how, nas.drop(name, content, is_slow=True, is_finished=False)) as client:
        time.sleep(1.5)
        assert client.poll() is None, "it was over before it was killed"
        os.killpg(client.pid, signal.SIGKILL)
    sent = nas.studio.uploads()
    time.sleep(SETTLE_SECONDS + 1.0)
    assert nas.studio.uploads() == sent
    nas.check_taken_in_time(how, name, content)


@pytest.mark.timeout(100)
def test_all_of_them_at_once_bring_each_picture_once(nas: Nas) -> None:
    pictures = {
        (how, f"crowd-{number}-{turn}.jpg"): small(next(_seeds))
        for number, how in enumerate(DROPPERS)
        for turn in range(AT_ONCE)
    }
    drops = {name: (how, nas.drop(name, content)) for (how, name), content in pictures.items()}
    with concurrent.futures.ThreadPoolExecutor(EVERYBODY) as hands:
        list(hands.map(lambda job: finish(*job), drops.values()))
    for content in pictures.values():
        nas.studio.check_delivered(content)
    nas.studio.check_uploads()


@pytest.mark.parametrize("how", DROPPERS)
def test_one_name_over_another_sends_both_pictures(nas: Nas, how: str) -> None:
    name = f"again-{next(_seeds)}.jpg"
    first, second = small(next(_seeds)), small(next(_seeds))
    finish(how, nas.drop(name, first))
    wait_until(lambda: not (nas.studio.inbox / name).exists(), "the first is being worked on")
    nas.check_taken_in_time(how, name, second)
    nas.studio.check_delivered(first)


@pytest.mark.parametrize("how", ["smbclient", "sftp", "rsync", "ftp", "cp"])
def test_a_polling_watch_takes_it_one_scan_later(polling_nas: Nas, how: str) -> None:
    polling_nas.check_taken_in_time(how, f"polled-{next(_seeds)}.jpg", small(next(_seeds)))
