"""What others tell the look: that something may have changed, and where."""

import threading


class Nudges:
    """Given from any thread, taken by one. A name is below the inbox; None is anything there."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._told: dict[str | None, bool] = {}  # was it worked on?

    def add(self, name: str | None, *, was_worked_on: bool) -> None:
        with self._guard:
            self._told[name] = was_worked_on or self._told.get(name, False)

    def are_about_anything(self) -> bool:
        with self._guard:
            return None in self._told

    def take(self) -> dict[str, bool]:
        """Return the names with whether somebody worked on the file of that name."""
        with self._guard:
            told, self._told = self._told, {}
        return {name: was_worked_on for name, was_worked_on in told.items() if name is not None}

    def __bool__(self) -> bool:
        return bool(self._told)
