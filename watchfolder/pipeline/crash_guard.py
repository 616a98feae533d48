"""Orders during whose steps the process died: after two deaths they are tried one at a time, so that the third tells.

A suspect that could not begin now holds nobody up, nor does a step that hangs on a share.
"""

import contextlib
from collections.abc import Callable, Iterable

from watchfolder.errors import FolderFault
from watchfolder.journal import Journal
from watchfolder.order import Order

_SUSPECT_DEATHS = 2


def is_suspect(order: Order) -> bool:
    return order.deaths >= _SUSPECT_DEATHS


class Suspects:
    """Asked by the pipeline's one thread; `running` holds the keys of the orders whose steps are under way."""

    def __init__(self, journal: Journal, is_silent: Callable[[str], bool]) -> None:
        self._journal = journal
        self._is_silent = is_silent

    def begin_turn(self, able: Iterable[Order], running: Iterable[str]) -> bool:
        """Return whether it is the suspects' turn: one is under way, or among those that are `able` to begin.

        What hangs beside a trial, or as one, is excused: a death that comes now says nothing of it.
        """
        under_way = [order for key in running if (order := self._journal.get(key)) is not None]
        hung = [order for order in under_way if self._is_silent(order.inbox)]
        is_trial = any(is_suspect(order) and not self._is_silent(order.inbox) for order in (*able, *under_way))
        if is_trial or any(map(is_suspect, hung)):
            for order in hung:
                with contextlib.suppress(FolderFault):  # at worst one death too many is counted
                    self._journal.clear_running(order.key)
        return is_trial

    def has_to_wait(self, order: Order, running: Iterable[str], *, is_trial: bool) -> bool:
        """May the order not begin, since suspects are tried with nobody beside them, and it is not its turn?"""
        if is_trial != is_suspect(order):
            return True
        if not is_trial:
            return False
        beside = (each for key in running if (each := self._journal.get(key)) is not None)
        return not all(self._is_silent(each.inbox) for each in beside)
