"""What the service made of a picture: received into a hidden file, and verified before anybody sees it."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from watchfolder import disk, images, names
from watchfolder.disk import Place
from watchfolder.errors import OrderRetry
from watchfolder.order import Order, OrderFile, Result
from watchfolder.services.addresses import picture_name

RESULT_LIMIT_BYTES = 2 << 30  # far more than any picture that is sent
TEST_MARK = " (TEST)"
_THERE = frozenset({images.Kind.WHOLE, images.Kind.SUSPECT})

Fetch = Callable[[Callable[[bytes], object]], int]
"""Streams one result into a sink, returns the number of bytes; raises our errors."""


@dataclass(frozen=True, slots=True)
class Received:
    """A result in its hidden file below the outbox: whole, verified and durable, but not journalled yet."""

    part: Place
    size: int
    sha256: str
    format: images.Format

    def remove(self) -> None:
        disk.remove(self.part, durable=False)


def result_format(read_at: images.ReadAt, size: int, *, is_pdf: bool | None = False) -> images.Format:
    """Return the format of a received result. `is_pdf`: was it made of a PDF? None if nobody knows.

    Raises OrderRetry for one that is not whole, for a picture made of a PDF and for a PDF made of a picture.
    """
    verdict = images.judge(read_at, size, "", takes_pdf=is_pdf is not False)
    is_fit = verdict.format is images.Format.PDF or not is_pdf
    if verdict.format is None or verdict.kind not in _THERE or not is_fit:
        what = "PDF" if is_pdf else "picture"
        raise OrderRetry(f"the service delivered something that is no whole {what}", code="RESULT_NOT_WHOLE")
    return verdict.format


def report_format(read_at: images.ReadAt, size: int) -> images.Format:
    """Return the format of a report: a PDF, perhaps locked against changes. Raises OrderRetry for anything else."""
    verdict = images.judge(read_at, size, "", takes_pdf=True)
    is_whole = verdict.kind in _THERE and verdict.format is images.Format.PDF
    if not is_whole and verdict.foreign is not images.LOCKED_PDF:
        raise OrderRetry("the service delivered something that is no whole report", code="REPORT_NOT_WHOLE")
    return images.Format.PDF


def receive(
    sent_sha256: str | None,
    part: Place,
    fetch: Fetch,
    mtime_ns: int | None = None,
    *,
    format_of: Callable[[images.ReadAt, int], images.Format] = result_format,
) -> Received:
    """Download one result into `part`. Raises OrderRetry when it is not whole, or the very bytes that were sent."""
    digest = hashlib.sha256()
    with disk.new_file(part, mtime_ns) as sink:

        def write(block: bytes) -> None:
            digest.update(block)
            sink(block)

        size = fetch(write)
    if digest.hexdigest() == sent_sha256:
        raise OrderRetry("the service delivered the very picture that was sent", code="RESULT_IS_ORIGINAL")
    with disk.open_to_read(part) as read_at:
        return Received(part, size, digest.hexdigest(), format_of(read_at, size))


def part_gone(outbox: str) -> OrderRetry:
    reason = f"{outbox}: another program removes our hidden files there: have it leave {disk.HIDDEN} alone"
    return OrderRetry(reason, code="PART_GONE")


def delivered_name(order: Order, file: OrderFile, result: Result, format_: images.Format) -> str:
    folder, base = os.path.split(os.path.join(result.folder or "", picture_name(file.name, file.address)))
    if os.path.splitext(base)[1].lower() not in images.EXTENSIONS[format_]:
        base = names.with_extension(base, format_.extension)
    if order.mode == "test":
        base = names.with_mark(base, TEST_MARK)
    return os.path.join(folder, base)
