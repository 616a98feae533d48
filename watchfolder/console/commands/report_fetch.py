"""Have the service make its report on a picture, wait for it, and fetch it."""

import time
from contextlib import closing

from watchfolder.api import ReportStatus, ReportView, Service, failed_report
from watchfolder.config import Config
from watchfolder.console.commands.reconcile_books import service_of
from watchfolder.errors import OrderMissing, OrderRetry, Reject, Resync, UnknownName
from watchfolder.pipeline import timing
from watchfolder.publish import report_format

_LIMIT_BYTES = 64 << 20
_PATIENCE_SECONDS = 300.0


def fetch_report(order_id: str, locale: str, config: Config) -> bytes:
    """Return the report as a PDF. Raises UnknownName where there is none to be had."""
    with closing(service_of(config)) as service:
        try:
            return _fetch(service, order_id, locale)
        except Reject as refusal:
            raise UnknownName([f"order {order_id}: {refusal.reason}"]) from None
        except OrderMissing as gone:
            if gone.code != "ORDER_EXPIRED":
                service.poll(order_id)  # raises Blocked if it is another account's
            raise UnknownName([f"order {order_id}: {gone.reason}"]) from None


def _fetch(service: Service, order_id: str, locale: str) -> bytes:
    began, attempts, report = time.monotonic(), 1, service.ask_for_report(order_id, locale)
    while report.status is not ReportStatus.COMPLETED or report.download is None:
        is_over = report.status is ReportStatus.FAILED
        if is_over and isinstance(failure := failed_report(report, attempts), Reject):
            raise failure
        age = time.monotonic() - began
        if age > _PATIENCE_SECONDS:
            raise OrderRetry("the service is still making the report: ask again in a few minutes")
        time.sleep(timing.report_wait(age))
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
