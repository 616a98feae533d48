"""A dead network mount never answers: ask it from a thread that may be left behind."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from watchfolder.errors import FolderFault

SECONDS: Final = 5.0

_T = TypeVar("_T")


def answer_of(question: Callable[[], _T], folder: str, seconds: float = SECONDS) -> _T:
    """Return what `question` returns, raise what it raises, or FolderFault when `folder` does not answer in time."""
    answer: Future[_T] = Future()

    def ask() -> None:
        try:
            answer.set_result(question())
        except Exception as error:  # noqa: BLE001 - raised again below, where somebody waits for it
            answer.set_exception(error)

    threading.Thread(target=ask, name=f"ask-{folder}", daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        if answer.done():
            raise
        reason = f"{folder}: it does not answer: is the share's server there?"
        raise FolderFault(reason, code="ETIMEDOUT") from None
