"""The bytes under examination: exact reads within a budget, so that no file can make us read for ever."""

from collections.abc import Callable
from enum import StrEnum

ReadAt = Callable[[int, int], bytes]
"""(offset, length) → that many bytes, fewer only at the end of the file."""

FindHole = Callable[[int], int | None]
"""offset → where the first byte at or behind it lies that nobody has written; the file's size where there is none.

None: none is known, but the file system does not report all of them.
"""

READS_AT_MOST = 250_000  # a PNG of 2 GB in chunks of 8 KiB, libpng's own size; half a second of system calls
BYTES_AT_MOST = 8 << 20  # of headers and tables: half a million tiles
# What is searched or verified byte by byte: a gigapixel; a fraction of a second, three when every byte is a trap.
SEARCHED_AT_MOST = 512 << 20

BLOCK_BYTES = 64 << 10
# Of zeros on end. A blank JPEG may be coded as zeros: 65,535² pixels in blocks of 64, two bits a block, four colours.
ZEROS_AT_MOST = 64 << 20

PAGE = 4096  # the smallest step in which a file of full size is filled
_EMPTY_PAGE = bytes(PAGE)
_ZEROS = 16  # five pixels; less happens at the end of many a picture (row padding, small numbers, shadows)


class Lack(StrEnum):
    """What is missing of `{label}`, or may be."""

    CUT = "the end of the {label} is missing"
    DAMAGED = "a part of the {label} is missing or damaged"
    UNWRITTEN = "a part of the {label} has not been written: it is empty"
    WITHOUT_PICTURE = "there is no picture in the {label} yet"
    EMPTY_PART = "a part of the {label} is empty and may not have been written yet"
    EMPTY_END = "the {label} may not be filled to its end yet"


class Incomplete(Exception):
    """The picture is not complete; the message says what is missing of `{label}`. Never leaves this package."""


class Source:
    def __init__(self, read_at: ReadAt, size: int, find_hole: FindHole, bytes_at_most: int) -> None:
        self.size = size
        self.doubts = ""  # why this may not be all of `{label}`, in words; the first of several
        self.is_locked = False  # whole, but only for those who have its password
        self._read_at = read_at
        self._reads_left = READS_AT_MOST
        self._bytes_left = bytes_at_most
        self._begin, self._ahead = 0, b""  # the last read, which small ones after it share
        self._find_hole = find_hole
        self._asked, self._hole, self._is_told = 0, -1, False  # between the first two, nothing but written bytes

    def read(self, offset: int, length: int) -> bytes:
        self.require(offset + length)
        self._spend(length)
        if not self._begin <= offset <= offset + length <= self._begin + len(self._ahead):
            self._begin = offset
            self._ahead = self._read_at(offset, max(length, min(PAGE, self.size - offset)))
        found = self._ahead[offset - self._begin : offset - self._begin + length]
        if len(found) != length:  # it was cut shorter while we looked
            raise Incomplete(Lack.CUT)
        return found

    def _spend(self, length: int) -> None:
        self._reads_left -= 1
        self._bytes_left -= length
        if min(self._reads_left, self._bytes_left) < 0:
            raise Incomplete("the end of the {label} cannot be found")

    def require(self, end: int) -> None:
        if end > self.size:
            raise Incomplete(Lack.CUT)

    def doubt(self, reason: str) -> None:
        """Record a reason why the picture may not be all there, although its bytes could be meant that way."""
        self.doubts = self.doubts or reason

    def has_hole(self, start: int, end: int) -> bool:
        """Is a byte from `start` to before `end` known to be one that nobody has written?"""
        if not self._asked <= start <= self._hole:
            self._spend(0)
            found = self._find_hole(start)
            self._is_told = found is not None
            self._asked, self._hole = start, self.size if found is None else found
        return self._hole < min(end, self.size)

    def has_all(self, start: int, end: int) -> bool:
        """Is every byte from `start` to before `end` known to have been written, be it as zero?"""
        return not self.has_hole(start, end) and self._is_told

    def doubt_empty(self, block: bytes, offset: int) -> None:
        """Doubt pages of zeros within compressed data, where only large areas of one colour have them.

        Zeros that are known as written are doubted, too, if they begin or end with a page: a picture's own do so by
        chance in one of 4,096, those of a writer that fills a file with zeros beforehand nearly always.
        """
        for at in range(-offset % PAGE, len(block) - PAGE + 1, PAGE):
            if block.startswith(_EMPTY_PAGE, at):
                has_edge = any(block[max(0, at - 1) : at]) or any(block[at + PAGE : at + PAGE + 1])
                if has_edge or not self.has_all(offset + at, offset + at + PAGE):
                    self.doubt(Lack.EMPTY_PART)

    def check_end(self, end: int) -> None:
        """Judge by the bytes before `end` whether all has been filled in: for formats without an end mark.

        Some writers (Windows Explorer among them) set the full size first and fill it from the front: cut off, they
        leave zeros to the end. Black pixels are zeros, too. The file system may know that they were written. Where it
        does not tell: a writer stops at a page boundary, where black begins by chance in one picture of 4,096. There
        it is Incomplete, elsewhere only doubtful. Fewer than 16 zeros pass unless they reach back to a page boundary;
        so a file filled in whole pages never passes for whole.
        """
        if self.has_all(0, end):
            return
        self._bytes_left = ZEROS_AT_MOST
        start, filled = end, b""
        while start > 0 and not filled:
            length = min(BLOCK_BYTES, start)
            start -= length
            filled = self.read(start, length).rstrip(b"\0")
        start += len(filled)
        zeros = end - start
        if zeros >= _ZEROS and start % PAGE == 0:
            raise Incomplete(Lack.UNWRITTEN)
        if zeros >= min(_ZEROS, (end - 1) % PAGE + 1):
            self.doubt(Lack.EMPTY_END)
