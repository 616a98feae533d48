"""Fetch the service's report on a picture that was delivered with a finding, by the sidecar beside it."""

import json
import os
import re
import time
from contextlib import closing
from dataclasses import dataclass
from typing import get_args

from watchfolder import disk, names
from watchfolder.api import ReportStatus, ReportView, Service, failed_report
from watchfolder.config import Config, ReportLocale
from watchfolder.console.commands.reconcile import service_of
from watchfolder.disk import Place
from watchfolder.errors import OrderMissing, OrderRetry, Reject, Resync, UnknownName
from watchfolder.events import printable
from watchfolder.publish import report_extension, report_format
from watchfolder.services import SIDECARS

LOCALES: tuple[str, ...] = get_args(ReportLocale)
_OWNER = "report"  # signs what is half written
_SIDECAR_BYTES = 1 << 16
_LIMIT_BYTES = 64 << 20
_ORDER_ID = re.compile(r"[0-9]{1,20}")
_PATIENCE_SECONDS = 300.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS, _GROWTH = 2.0, 15.0, 1.5


@dataclass(frozen=True)
class CheckedPicture:
    """A picture, and the order in which something was said of it."""

    place: Place
    order_id: str
    sha256: str

    def report(self, locale: str) -> Place:
        suffix = report_extension(locale)
        return self.place.beside(names.with_end(self.place.base, suffix, disk.name_limit(self.place.root)))

    def has_changed(self) -> bool:
        return disk.stat_of(self.place) is not None and disk.hash_of(self.place) != self.sha256


def named(path: str) -> Place:
    """Raises UnknownName for a path in a folder that is not there."""
    folder, base = os.path.split(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise UnknownName([f"{printable(folder)} is no folder"])
    return Place(folder, base)


def place_of(output: str | None, picture: CheckedPicture, locale: str) -> Place | None:
    """Return where the report goes, None for the standard output. Raises UnknownName where another file is."""
    if output in {None, "-"}:
        return None if output else picture.report(locale)
    place = named(str(output))
    if disk.stat_of(place) is not None:
        raise UnknownName([f"{printable(place.path)}: it is there already"])
    return place


def picture_of(path: str) -> CheckedPicture:
    """Read the sidecar of a picture, or one that is named itself. Raises UnknownName."""
    place = named(path)
    for suffix in SIDECARS:
        picture = place.beside(place.base.removesuffix(suffix))
        sidecar = picture.beside(names.with_end(picture.base, suffix, 255))
        try:
            content = disk.read_bytes(sidecar, _SIDECAR_BYTES)
        except FileNotFoundError:
            continue
        return _read(content, picture, sidecar)
    wanted = " or ".join(f"{printable(place.base)}{suffix}" for suffix in SIDECARS)
    raise UnknownName(
        [f"{printable(path)}: {wanted} is not beside it, and nothing else says which order the report would be of"]
    )


def _read(content: bytes, picture: Place, sidecar: Place) -> CheckedPicture:
    try:
        told = json.loads(content)
        order_id, sha256 = told["orderId"], told["sha256"]
    except (ValueError, TypeError, KeyError, RecursionError):
        order_id = sha256 = None
    if not isinstance(order_id, str) or not _ORDER_ID.fullmatch(order_id) or not isinstance(sha256, str):
        raise UnknownName([f"{printable(sidecar.path)}: it is no sidecar of ours: it names no order"])
    return CheckedPicture(picture, order_id, sha256)


def locale_of(picture: CheckedPicture, config: Config) -> str:
    """Return the language of the outbox that the picture lies in, if it still does."""
    folder, inboxes = picture.place.root, config.inboxes.values()
    real = disk.follow_links({folder, *(inbox.outbox for inbox in inboxes)})
    own = (inbox for inbox in inboxes if f"{real[folder]}/".startswith(f"{real[inbox.outbox]}/"))
    return next((inbox.report_locale for inbox in own), LOCALES[0])


def fetch_report(picture: CheckedPicture, locale: str, config: Config) -> bytes:
    """Return the report as a PDF. Raises UnknownName where there is none to be had."""
    with closing(service_of(config)) as service:
        try:
            return _fetch(service, picture.order_id, locale)
        except Reject as refusal:
            raise UnknownName([f"order {picture.order_id}: {refusal.reason}"]) from None
        except OrderMissing as gone:
            if gone.code != "ORDER_EXPIRED":
                service.poll(picture.order_id)  # it tells another account's order
            raise UnknownName([f"order {picture.order_id}: {gone.reason}"]) from None


def _fetch(service: Service, order_id: str, locale: str) -> bytes:
    until = time.monotonic() + _PATIENCE_SECONDS
    wait, attempts, report = _FIRST_WAIT_SECONDS, 1, service.ask_for_report(order_id, locale)
    while report.status is not ReportStatus.COMPLETED or report.download is None:
        is_over = report.status is ReportStatus.FAILED
        if is_over and isinstance(failure := failed_report(report, attempts), Reject):
            raise failure
        if time.monotonic() > until:
            raise OrderRetry("the service is still making the report: ask again in a few minutes")
        time.sleep(wait)
        wait = min(_LONGEST_WAIT_SECONDS, wait * _GROWTH)
        attempts += is_over
        report = service.ask_for_report(order_id, locale) if is_over else _look_at(service, order_id, locale)
    blocks: list[bytes] = []
    size = service.fetch(report.download.url, blocks.append, limit_bytes=_LIMIT_BYTES)
    content = b"".join(blocks)
    report_format(lambda offset, length: content[offset : offset + length], size)
    return content


def _look_at(service: Service, order_id: str, locale: str) -> ReportView:
    try:
        return service.report(order_id, locale)
    except Resync:
        return service.ask_for_report(order_id, locale)


def write(place: Place, content: bytes) -> None:
    """Raises UnknownName when something is called so already."""
    try:
        disk.write_new(place, content, owner=_OWNER, hidden=False)
    except FileExistsError:
        raise UnknownName([f"{printable(place.path)}: it is there already; name another with --output"]) from None
