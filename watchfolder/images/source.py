"""The bytes under examination: exact reads within a budget, so that no file can make us read for ever."""

from collections.abc import Callable
from enum import StrEnum

ReadAt = Callable[[int, int], bytes]
"""(offset, length) → that many bytes, fewer only at the end of the file."""

READS_AT_MOST = 250_000  # a PNG of 2 GB in chunks of 8 KiB, libpng's own size; half a second of system calls
BYTES_AT_MOST = 8 << 20  # of headers and tables: half a million tiles; only the JPEG scan needs more, and asks for it

BLOCK_BYTES = 64 << 10
# Of zeros on end. A blank JPEG may be coded as zeros: 65,535² pixels in blocks of 64, two bits a block, four colours.
ZEROS_AT_MOST = 64 << 20

_ZEROS = 16  # five pixels; less happens at the end of many a picture (row padding, small numbers, shadows)
_PAGE = 4096  # the smallest step in which a file of full size is filled


class Wholeness(StrEnum):
    """How much of a picture is there."""

    WHOLE = "whole"
    SUSPECT = "suspect"  # nothing is missing, but the bytes do not prove it: time must tell (see `Source.examine_tail`)
    PARTIAL = "partial"


class Incomplete(Exception):
    """The picture is not complete; the message says what is missing. Never leaves this package."""


class Source:
    """A file of `size` bytes that calls itself `label`, read through `read_at`."""

    def __init__(self, read_at: ReadAt, size: int, label: str, bytes_at_most: int = BYTES_AT_MOST) -> None:
        self.size = size
        self._read_at = read_at
        self._label = label
        self._reads_left = READS_AT_MOST
        self._bytes_left = bytes_at_most
        self._begin, self._ahead = 0, b""  # the last read, which small ones after it share

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes or raise Incomplete."""
        self.require(offset + length)
        self._reads_left -= 1
        self._bytes_left -= length
        if min(self._reads_left, self._bytes_left) < 0:
            raise Incomplete(f"the end of the {self._label} cannot be found")
        if not self._begin <= offset <= offset + length <= self._begin + len(self._ahead):
            self._begin = offset
            self._ahead = self._read_at(offset, max(length, min(_PAGE, self.size - offset)))
        found = self._ahead[offset - self._begin : offset - self._begin + length]
        if len(found) != length:  # it was cut shorter while we looked
            raise self.cut()
        return found

    def require(self, end: int) -> None:
        """Raise Incomplete unless the file reaches to `end`."""
        if end > self.size:
            raise self.cut()

    def cut(self) -> Incomplete:
        return Incomplete(f"the end of the {self._label} is missing")

    def damaged(self) -> Incomplete:
        return Incomplete(f"a part of the {self._label} is missing or damaged")

    def without_picture(self) -> Incomplete:
        return Incomplete(f"there is no picture in the {self._label} yet")

    def examine_tail(self, end: int) -> Wholeness:
        """Judge by the bytes before `end` whether all has been filled in: for formats without an end mark.

        Some writers (Windows Explorer among them) set the full size first and fill it from the front: cut off, they
        leave zeros to the end. Black pixels are zeros, too. But a writer stops at a page boundary, where black begins
        by chance in one picture of 4,096: there it is Incomplete, elsewhere only suspect. Fewer than 16 zeros pass
        unless they reach back to a page boundary; so a file filled in whole pages never passes for whole.
        """
        self._bytes_left = ZEROS_AT_MOST
        start = self._start_of_zeros(end)
        zeros = end - start
        if zeros >= _ZEROS and start % _PAGE == 0:
            raise Incomplete(f"the rest of the {self._label} has not been written: it is empty")
        return Wholeness.SUSPECT if zeros >= min(_ZEROS, (end - 1) % _PAGE + 1) else Wholeness.WHOLE

    def _start_of_zeros(self, end: int) -> int:
        while end > 0:
            length = min(BLOCK_BYTES, end)
            filled = self.read(end - length, length).rstrip(b"\0")
            end -= length
            if filled:
                return end + len(filled)
        return 0
