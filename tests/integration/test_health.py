"""What all read of an inbox: is it open, and do its folders answer?"""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import Shop, opened
from waiting import wait_until

from watchfolder import disk
from watchfolder.errors import FolderFault
from watchfolder.health import InboxHealth


@pytest.fixture
def health(tmp_path: Path) -> Iterator[InboxHealth]:
    with opened(Shop(tmp_path)) as shop:
        yield InboxHealth(shop.intake.inbox)


def questions() -> int:
    """Return how many threads wait for an answer of the inbox's folders."""
    return sum(thread.name == "ask-photos" for thread in threading.enumerate())


def test_a_folder_is_silent_after_ten_seconds_and_no_later(
    health: InboxHealth, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with health.at_work() as began:
        assert [health.tell_silent(began + seconds) for seconds in (9.9, 10.1, 60.0)] == [False, True, False]
        assert health.is_silent
        assert health.reason
        assert caplog.text.count("inbox.silent") == 1
    assert health.tell_silent(began + 60.1)  # the call has come back
    assert not health.is_silent
    assert not health.reason
    assert caplog.text.count("inbox.answers") == 1


def test_whether_folders_answer_is_found_out_without_waiting(health: InboxHealth) -> None:
    assert not health.has_answered()  # nothing was asked before
    wait_until(health.has_answered)


def test_folders_are_asked_though_a_call_still_hangs_there(health: InboxHealth, tmp_path: Path) -> None:
    never = threading.Event()
    try:
        with pytest.raises(FolderFault):
            disk.answer_of(never.wait, str(tmp_path / "inbox"), 0.05)
        wait_until(health.has_answered)  # as after a remount: what hung before that goes on hanging
    finally:
        never.set()


def test_a_question_under_way_is_the_only_one(health: InboxHealth, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr(health, "_look", answers.wait)
    assert [health.has_answered() for _ in range(3)] == [False] * 3
    assert questions() == 1
    answers.set()
    wait_until(health.has_answered)
