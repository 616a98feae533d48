"""Asking a folder that may never answer."""

import threading

import pytest

from watchfolder.console.patience import answer_of
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
