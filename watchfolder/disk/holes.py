"""Which bytes of a file has nobody written?

Some writers set the full size first, and a downloader with several connections fills it in any order. Zeros that were
never written are known to the file system, in one of two ways:

* FIEMAP (ext4, xfs, btrfs…) names every extent, and tells written ones from those that were only reserved
  (fallocate). Where none is missing, all was written, and zeros are meant. But an SMB server reports reserved ones as
  written, too; its answers are known by extents whose offset on the disk is their offset in the file.
* SEEK_HOLE (also tmpfs, ZFS, NFS 4.2) is believed only when it finds a hole: a file system without holes calls
  everything data, and so do ext4 and xfs reserved blocks as soon as anybody has read them, also behind NFS.

Seen on each of them with Linux 6.1.
"""

import fcntl
import os
import struct

_FIEMAP = 0xC020660B  # linux/fiemap.h, as are the numbers below
_SYNC_FIRST = 0x1
_IS_LAST = 0x1
_IS_UNWRITTEN = 0x800
_REQUEST = struct.Struct("=QQIIII")  # start, length, flags, extents found, room for so many
_EXTENT = struct.Struct("=QQQQQIIII")  # offset in the file, on the disk, length, …, flags
_EXTENTS_AT_ONCE = 256


def find_hole(descriptor: int, offset: int) -> int | None:
    """Return where the first byte at or behind `offset` lies that nobody has written: the size where there is none.

    None: none is known, but the file system does not report all of them.
    """
    size = os.fstat(descriptor).st_size
    try:
        found = _first_hole(descriptor, offset, size)
        if found is not None and found < size:  # what was written into reserved blocks, but lies in memory still
            found = _first_hole(descriptor, offset, size, _SYNC_FIRST)
    except OSError:  # no FIEMAP here
        return _ask_for_hole(descriptor, offset, size)
    return found


def _first_hole(descriptor: int, position: int, size: int, flags: int = 0) -> int | None:
    is_told = True
    while position < size:
        answer = bytearray(_REQUEST.size + _EXTENTS_AT_ONCE * _EXTENT.size)
        _REQUEST.pack_into(answer, 0, position, size - position, flags, 0, _EXTENTS_AT_ONCE, 0)
        fcntl.ioctl(descriptor, _FIEMAP, answer)
        count = _REQUEST.unpack_from(answer)[3]
        for at in range(count):
            start, place, length, _, _, about, *_ = _EXTENT.unpack_from(answer, _REQUEST.size + at * _EXTENT.size)
            if start > position or about & _IS_UNWRITTEN:
                return position
            is_told &= place != start or about not in {0, _IS_LAST}
            position = max(position, start + length)
        if not count:
            return position
    return size if is_told else None


def _ask_for_hole(descriptor: int, offset: int, size: int) -> int | None:
    try:
        found = os.lseek(descriptor, offset, os.SEEK_HOLE)
    except OSError:  # no SEEK_HOLE either, or the file has just become shorter
        return None
    return found if found < size else None
