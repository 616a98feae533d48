"""What the service made of a picture: received into a hidden file, and verified before anybody sees it."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from watchfolder import disk, images, names
from watchfolder.disk import Place
from watchfolder.errors import OrderRetry
from watchfolder.order import Order, OrderFile, Result
from watchfolder.services.addresses import called

RESULT_LIMIT_BYTES = 2 << 30  # far over anything sent
TEST_MARK = " (TEST)"

Fetch = Callable[[Callable[[bytes], object]], int]
"""Streams one result into a sink, returns the number of bytes; raises our errors."""


@dataclass(frozen=True, slots=True)
class Received:
    """A result in its hidden file below the outbox: whole, verified and durable, but known to nobody yet."""

    part: Place
    size: int
    sha256: str
    format: images.Format

    def remove(self) -> None:
        disk.remove(self.part, durable=False)


def receive(
    sent_sha256: str | None,
    part: Place,
    fetch: Fetch,
    mtime_ns: int | None = None,
    *,
    takes_pdf: bool = False,
    is_report: bool = False,
) -> Received:
    """Download one result into `part`. Raises OrderRetry when what came is not the whole protected picture."""
    digest = hashlib.sha256()
    with disk.new_file(part, mtime_ns) as sink:

        def write(block: bytes) -> None:
            digest.update(block)
            sink(block)

        size = fetch(write)
    if digest.hexdigest() == sent_sha256:
        raise OrderRetry("the service delivered the very picture that was sent", code="RESULT_IS_ORIGINAL")
    with disk.reading(part) as read_at:
        format_ = whole_format(read_at, size, takes_pdf=takes_pdf, is_report=is_report)
    if format_ is None:
        raise OrderRetry("the service delivered something that is not whole", code="RESULT_NOT_WHOLE")
    return Received(part, size, digest.hexdigest(), format_)


def whole_format(
    read_at: images.ReadAt, size: int, *, takes_pdf: bool, is_report: bool = False
) -> images.Format | None:
    """Return the format of what came; None if it is not whole."""
    verdict = images.inspect(read_at, size, "", takes_pdf=takes_pdf)
    if is_report and verdict.foreign is images.LOCKED_PDF:  # against changes, for all to read
        return images.Format.PDF
    return verdict.format if verdict.kind in {images.Kind.WHOLE, images.Kind.SUSPECT} else None


def require_report(format_: images.Format | None) -> None:
    """Raises OrderRetry for what is no whole PDF."""
    if format_ is not images.Format.PDF:
        raise OrderRetry("the service delivered something that is no whole report", code="REPORT_NOT_WHOLE")


def part_gone(outbox: str) -> OrderRetry:
    reason = f"{outbox}: another program removes our hidden files there: have it leave {disk.HIDDEN} alone"
    return OrderRetry(reason, code="PART_GONE")


def delivered_name(order: Order, file: OrderFile, result: Result, format_: images.Format) -> str:
    folder, base = os.path.split(os.path.join(result.folder or "", called(file.name, file.address)))
    if os.path.splitext(base)[1].lower() not in format_.extensions:
        base = names.with_extension(base, format_.extension)
    if order.mode == "test":
        base = names.marked(base, TEST_MARK)
    return os.path.join(folder, base)
