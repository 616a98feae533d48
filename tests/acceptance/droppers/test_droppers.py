"""Whatever program puts a picture into the inbox: it is sent whole or not at all, and in time."""

import concurrent.futures
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from drop_servers import Server, servers
from drop_studio import GRACE_SECONDS, SETTLE_SECONDS, Studio, large, slow, small, studio
from dropping import APPENDIX_BYTES, DROPPERS, TWO_SITTINGS, WITH_A_BRAKE, Drop, dropping, finish, missing, mounted
from waiting import wait_until

pytestmark = pytest.mark.lab
SCAN_SECONDS = 2.0
KILL_SECONDS = 1.5
STALL_SECONDS = SETTLE_SECONDS + 1.5
AT_ONCE = 4
TRIES = 3
EVERYBODY = len(DROPPERS)
SIZES = {"jpg": small, "tif": large}
_seeds = itertools.count(1)


class LateError(AssertionError):
    """A picture was taken later than it must be."""


@dataclass(frozen=True)
class Nas:
    """The servers and the daemon on one inbox."""

    studio: Studio
    servers: Mapping[str, Server]
    written: Path  # where the servers write: the inbox, seen from their side

    def drop(self, name: str, content: bytes, *, is_slow: bool = False, is_finished: bool = True) -> Drop:
        source = self.studio.source(name, content, is_finished=is_finished)
        return Drop(source, name, self.written, self.servers, is_slow=is_slow)

    def check_taken_in_time(self, how: str, name: str, content: bytes, *, stalls_for: float = 0.0) -> None:
        closed = finish(how, self.drop(name, content, is_slow=bool(stalls_for)), stalls_for=stalls_for)
        late = self.studio.taken_after(name, closed) - self.studio.taking_seconds
        self.studio.check_delivered(content)
        self.studio.check_uploads()
        if late > 0:
            raise LateError(f"{name} was taken {late:.2f} s too late")


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
        yield Nas(made, running, made.inbox)


@pytest.fixture(scope="module")
def polling_nas() -> Iterator[Nas]:
    _prepare()
    with studio(watch="polling", scan_seconds=SCAN_SECONDS) as made, servers(made.root, made.inbox) as running:
        yield Nas(made, running, made.inbox)


def _each(hows: Iterable[str], check: Callable[[str], object]) -> None:
    """Let all of them drop side by side, as on a busy share; tell of each that failed.

    Who was late shows once more, without the others, whether that was the daemon or two cores with a dozen programs.
    """
    with concurrent.futures.ThreadPoolExecutor(EVERYBODY) as hands:
        jobs = {how: hands.submit(check, how) for how in hows}
    wrong = {how: fault for how, job in jobs.items() if (fault := job.exception()) is not None}
    late = {how for how, fault in wrong.items() if isinstance(fault, LateError)}
    for how in late:
        if any(_is_in_time(how, check) for _ in range(TRIES)):
            del wrong[how]
    assert wrong == {}


def _is_in_time(how: str, check: Callable[[str], object]) -> bool:
    try:
        check(how)
    except LateError:
        return False
    return True


@pytest.mark.parametrize("how", DROPPERS)
def test_a_picture_of_any_size_is_taken_in_time(nas: Nas, how: str) -> None:
    def check(extension: str) -> None:
        nas.check_taken_in_time(how, f"any-{next(_seeds)}.{extension}", SIZES[extension](next(_seeds)))

    _each(SIZES, check)


def test_a_slow_transfer_that_stalls_is_waited_for(nas: Nas) -> None:
    def check(how: str) -> None:
        nas.check_taken_in_time(how, f"slow-{next(_seeds)}.jpg", slow(next(_seeds)), stalls_for=STALL_SECONDS)

    _each(WITH_A_BRAKE, check)


def test_a_picture_to_which_its_writer_adds_is_waited_for(nas: Nas) -> None:
    def check(how: str) -> None:
        content = small(next(_seeds)) + bytes(APPENDIX_BYTES)
        nas.check_taken_in_time(how, f"motion-{next(_seeds)}.jpg", content)

    _each(TWO_SITTINGS, check)


def test_a_killed_transfer_is_never_sent_and_its_repetition_is(nas: Nas) -> None:
    def check(how: str) -> None:
        name, content = f"killed-{next(_seeds)}.jpg", slow(next(_seeds))
        with dropping(how, nas.drop(name, content, is_slow=True, is_finished=False)) as client:
            time.sleep(KILL_SECONDS)
            assert client.poll() is None, "it was over before it was killed"
            os.killpg(client.pid, signal.SIGKILL)
        time.sleep(SETTLE_SECONDS + GRACE_SECONDS)
        nas.studio.check_uploads()  # its picture is not yet one of the finished
        nas.check_taken_in_time(how, name, content)

    _each(WITH_A_BRAKE, check)


def test_all_of_them_at_once_bring_each_picture_once(nas: Nas) -> None:
    pictures = [small(next(_seeds)) for _ in range(EVERYBODY * AT_ONCE)]
    drops = [nas.drop(f"crowd-{next(_seeds)}.jpg", content) for content in pictures]
    with concurrent.futures.ThreadPoolExecutor(EVERYBODY) as hands:
        list(hands.map(finish, itertools.cycle(DROPPERS), drops))
    for content in pictures:
        nas.studio.check_delivered(content)
    nas.studio.check_uploads()


def test_one_name_over_another_sends_both_pictures(nas: Nas) -> None:
    def check(how: str) -> None:
        name, first, second = f"again-{next(_seeds)}.jpg", small(next(_seeds)), small(next(_seeds))
        finish(how, nas.drop(name, first))
        wait_until(lambda: not (nas.studio.inbox / name).exists(), what="the first is being worked on")
        nas.check_taken_in_time(how, name, second)
        nas.studio.check_delivered(first)

    _each(DROPPERS, check)


def test_a_polling_watch_takes_it_one_scan_later(polling_nas: Nas) -> None:
    def check(how: str) -> None:
        polling_nas.check_taken_in_time(how, f"polled-{next(_seeds)}.jpg", small(next(_seeds)))

    _each(DROPPERS, check)


def test_a_polling_watch_waits_for_a_slow_transfer_that_stalls(polling_nas: Nas) -> None:
    def check(how: str) -> None:
        name, content = f"slow-{next(_seeds)}.jpg", slow(next(_seeds))
        polling_nas.check_taken_in_time(how, name, content, stalls_for=STALL_SECONDS)

    _each(["smbclient", "sftp", "rsync --inplace", "ftp", "cp"], check)


def test_a_mount_without_events_is_polled(tmp_path_factory: pytest.TempPathFactory) -> None:
    _prepare()
    top = tmp_path_factory.mktemp("nas")
    far, near = top / "share" / "inbox", top / "mount"
    far.mkdir(parents=True)
    with servers(top, far) as running, mounted(far, near, running):  # noqa: SIM117
        with studio(watch="auto", scan_seconds=SCAN_SECONDS, inbox=near) as made:
            nas = Nas(made, running, far)

            def check(how: str) -> None:
                is_slow = how == "scp"
                content, stalls_for = (slow, STALL_SECONDS) if is_slow else (small, 0.0)
                nas.check_taken_in_time(how, f"far-{next(_seeds)}.jpg", content(next(_seeds)), stalls_for=stalls_for)

            for how in ("cp", "sftp", "rsync", "scp"):
                _each([how], check)
            assert "fuse.sshfs" in made.log()
