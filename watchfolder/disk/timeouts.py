"""A dead network mount never answers: ask it from a thread that may be left behind, and others beside it."""

import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

from watchfolder.disk.answers import ANSWER_SECONDS, heard_by
from watchfolder.errors import FolderFault

_T = TypeVar("_T")
_hung: dict[str, threading.Thread] = {}  # folder → who still waits for it: one is enough


class Question(Generic[_T]):
    """Asked when it is made, so that several wait side by side. A folder that still owes an answer is not asked."""

    def __init__(self, question: Callable[[], _T], folder: str) -> None:
        self._question = question
        self._folder = folder
        self._answer: Future[_T] = Future()
        self._heard_at = time.monotonic()
        self._thread = threading.Thread(target=self._ask, name=f"ask-{folder}", daemon=True)
        if not is_hung(folder):
            self._thread.start()

    def answer(self, silent_seconds: float = ANSWER_SECONDS) -> _T:
        """Return what the question returns, or raise what it raises. Raises FolderFault when nothing answers for long.

        Work on a slow folder may take its time: each call of it that comes back is an answer.
        """
        while self._thread.ident is not None:  # it was asked
            left = self._heard_at + silent_seconds - time.monotonic()
            if wait([self._answer], max(0.0, left)).done:
                return self._answer.result()
            if left <= 0:
                _hung[self._folder] = self._thread
                break
        raise FolderFault.at(self._folder, "it does not answer: is the share's server there?", code="ETIMEDOUT")

    def _ask(self) -> None:
        try:
            with heard_by(self._hear):
                self._answer.set_result(self._question())
        except Exception as error:  # noqa: BLE001 - raised again where somebody waits for it
            self._answer.set_exception(error)

    def _hear(self) -> None:
        self._heard_at = time.monotonic()


def answer_of(question: Callable[[], _T], folder: str, silent_seconds: float = ANSWER_SECONDS) -> _T:
    """Return what `question` returns, or raise what it raises. Raises FolderFault when `folder` does not answer."""
    return Question(question, folder).answer(silent_seconds)


def is_hung(path: str) -> bool:
    """Does this folder, or one above it, still owe an answer?"""
    return any(thread.is_alive() and f"{path}/".startswith(f"{folder}/") for folder, thread in _hung.copy().items())


def real_paths(paths: Iterable[str], silent_seconds: float = ANSWER_SECONDS) -> dict[str, str]:
    """Resolve links, side by side; where a folder does not answer, its path counts as written."""
    asked = {path: Question(lambda path=path: os.path.realpath(path), path) for path in paths}  # type: ignore[misc]
    real = {}
    for path, question in asked.items():
        try:
            real[path] = question.answer(silent_seconds)
        except FolderFault:
            real[path] = path
    return real
