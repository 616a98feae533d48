"""Asking a folder that may never answer."""

import threading
import time
from pathlib import Path

import pytest

from watchfolder import disk
from watchfolder.disk import Question, answer_of, follow_links
from watchfolder.errors import FolderFault


def test_an_answer_is_passed_on() -> None:
    assert answer_of(lambda: 7, "/share") == 7


def test_a_fault_is_passed_on() -> None:
    def fail() -> None:
        raise FolderFault("full", code="ENOSPC")

    with pytest.raises(FolderFault, match="full"):
        answer_of(fail, "/share")


def test_a_folder_that_does_not_answer_is_left_behind_and_named() -> None:
    never = threading.Event()
    try:
        with pytest.raises(FolderFault, match="/silent: it does not answer"):
            answer_of(never.wait, "/silent", 0.05)
    finally:
        never.set()


def test_a_folder_that_still_owes_an_answer_is_not_asked_again() -> None:
    never, asked = threading.Event(), []
    try:
        with pytest.raises(FolderFault):
            answer_of(never.wait, "/hung", 0.05)
        with pytest.raises(FolderFault, match="/hung: it does not answer"):
            answer_of(lambda: asked.append(1), "/hung")
        assert asked == []
    finally:
        never.set()


def test_a_time_out_of_the_question_itself_is_its_own() -> None:
    def fail() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        answer_of(fail, "/share")


def test_folders_that_do_not_answer_are_waited_for_side_by_side() -> None:
    never = threading.Event()
    try:
        asked = [Question(never.wait, f"/silent/{number}") for number in range(40)]
        began = time.monotonic()
        for question in asked:
            with pytest.raises(FolderFault):
                question.answer(0.5)
        assert time.monotonic() - began < 10, "one after the other takes 20 s"
    finally:
        never.set()


def test_slow_work_is_not_taken_for_a_folder_that_hangs(tmp_path: Path) -> None:
    def work() -> int:
        for _ in range(20):
            time.sleep(0.05)
            list(disk.scan(str(tmp_path)))
        return 7

    assert answer_of(work, str(tmp_path), 0.5) == 7


def test_a_question_that_asks_many_others_is_answered_with_each() -> None:
    def ask() -> int:
        for _ in range(50):
            answer_of(lambda: time.sleep(0.02), "/share/below")
        return 7

    assert answer_of(ask, "/share", 0.5) == 7


def test_what_lies_in_a_folder_that_hangs_is_not_asked_either() -> None:
    never = threading.Event()
    try:
        with pytest.raises(FolderFault):
            answer_of(never.wait, "/dead", 0.05)
        with pytest.raises(FolderFault, match="/dead/inbox: it does not answer"):
            answer_of(lambda: 7, "/dead/inbox")
        assert answer_of(lambda: 7, "/deadline") == 7
        assert follow_links(["/dead/inbox"]) == {"/dead/inbox": "/dead/inbox"}
    finally:
        never.set()


def test_links_are_resolved_where_the_folder_answers(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert follow_links([str(tmp_path / "link")]) == {str(tmp_path / "link"): str(tmp_path / "target")}


def test_who_listens_within_another_takes_nothing_from_it(tmp_path: Path) -> None:
    heard = list[str]()
    with disk.tell_answer(lambda: heard.append("outer")):
        with disk.tell_answer(lambda: heard.append("inner")):
            list(disk.scan(str(tmp_path)))
        assert set(heard) == {"inner", "outer"}
        heard.clear()
        list(disk.scan(str(tmp_path)))
    assert set(heard) == {"outer"}
    heard.clear()
    list(disk.scan(str(tmp_path)))
    assert heard == []
