"""What was asked for is not there: the arguments are at fault, and nothing was done."""

from collections.abc import Sequence


class UnknownName(Exception):
    """`lines` says which names could not be told, and what lies near."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
