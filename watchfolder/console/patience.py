"""A dead network mount never answers: ask it from a thread that may be left behind."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from watchfolder.errors import FolderFault

SECONDS: Final = 5.0

_T = TypeVar("_T")
_hung: dict[str, threading.Thread] = {}  # folder → who still waits for it: one is enough


def answer_of(question: Callable[[], _T], folder: str, seconds: float = SECONDS) -> _T:
    """Return what `question` returns, raise what it raises, or FolderFault when `folder` does not answer in time."""
    reason = f"{folder}: it does not answer: is the share's server there?"
    if folder in _hung and _hung[folder].is_alive():
        raise FolderFault(reason, code="ETIMEDOUT")
    answer: Future[_T] = Future()

    def ask() -> None:
        try:
            answer.set_result(question())
        except Exception as error:  # noqa: BLE001 - raised again below, where somebody waits for it
            answer.set_exception(error)

    thread = threading.Thread(target=ask, name=f"ask-{folder}", daemon=True)
    thread.start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        if answer.done():
            raise
        _hung[folder] = thread
        raise FolderFault(reason, code="ETIMEDOUT") from None
