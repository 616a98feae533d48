"""What others tell the look: that something may have changed, and where."""

import threading


class Nudges:
    """Given from any thread, taken by one. A name is below the inbox; None is anything there."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._told: dict[str, bool] = {}  # was it worked on?
        self._are_about_anything = False

    def add(self, name: str | None, *, was_worked_on: bool) -> None:
        with self._guard:
            if name is None:
                self._are_about_anything = True
            else:
                self._told[name] = was_worked_on or self._told.get(name, False)

    def take_anything(self) -> bool:
        """Return whether everything is to be looked at: a scan that has begun before may have passed it by."""
        with self._guard:
            told, self._are_about_anything = self._are_about_anything, False
        return told

    def take(self) -> dict[str, bool]:
        """Return the names with whether somebody worked on the file of that name."""
        with self._guard:
            told, self._told = self._told, {}
        return told

    def __bool__(self) -> bool:
        return self._are_about_anything or bool(self._told)
