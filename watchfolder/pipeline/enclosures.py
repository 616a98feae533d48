"""What comes to lie beside a finding: keywords, a heatmap, a report. The finding is delivered and recorded before that.

So nothing here delays it, and no failure here counts against the service: what fails is tried again ever more rarely,
for as long as the service keeps the result, and is then given up with a line in the log.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from watchfolder.api import ReportStatus, ReportView, Status, failed_report
from watchfolder.errors import OrderMissing, OrderRetry, Reject, Resync, Retry, WatchfolderError
from watchfolder.events import event
from watchfolder.images import Format
from watchfolder.order import Enclosure, EnclosureKind, Finding, Order, State
from watchfolder.pipeline import timing
from watchfolder.pipeline.context import StepContext
from watchfolder.publish import UnfitSidecar
from watchfolder.services import flow_of

_LIMIT_BYTES = 256 << 20  # far over any heatmap in full size
_MOST_DEATHS = 3
_EXPIRED = "ORDER_EXPIRED"
_NONE_TO_BE_HAD = "REPORT_NOT_AVAILABLE"  # with this verdict there is none: nothing went wrong
_K = EnclosureKind
_PDF = Format.PDF.media_type


def plan_beside(context: StepContext, order: Order) -> tuple[Enclosure, ...]:
    """Return what the inbox wants beside the picture of a recorded order."""
    inbox, findings, file = context.inbox, flow_of(order).findings, order.told
    if findings is None or file is None or file.finding is None:
        return ()
    worth_report = {"always": {file.finding.verdict}, "detected": findings.worth_report}.get(inbox.report, ())
    switches = {_K.KEYWORDS: inbox.xmp, _K.HEATMAP: inbox.heatmaps}
    kinds = [Enclosure(kind=kind) for kind, is_wanted in switches.items() if is_wanted]
    if file.finding.verdict in worth_report:
        if inbox.report_locale in findings.pdf_reports or all(each.media_type != _PDF for each in order.files):
            kinds.append(Enclosure(kind=_K.REPORT, locale=inbox.report_locale))
        else:
            _say_missing(order, _K.REPORT, f"on a PDF there is one in {', '.join(findings.pdf_reports)} alone")
    return tuple(kinds)


def put_beside(context: StepContext, order: Order) -> Order | None:
    """Put beside the picture what is still to come. The order is returned while a report is being made."""
    context.folders.require(context.inbox)
    if order.deaths >= _MOST_DEATHS:
        for enclosure in order.enclosures:
            order = _give_up(context, order, enclosure.kind, f"watchfolder died {_MOST_DEATHS} times over it")
    trouble: WatchfolderError | None = None
    for enclosure in order.enclosures:
        order, failure = _try(context, order, enclosure)
        trouble = trouble or failure
    if trouble is not None:
        raise trouble if isinstance(trouble, Retry) else OrderRetry(trouble.reason, code=trouble.code)
    if order.enclosures:
        return order
    context.journal.forget(order)
    return None


def _try(context: StepContext, order: Order, enclosure: Enclosure) -> tuple[Order, WatchfolderError | None]:
    """Try to put one of them in its place; return the order, and the error if it is to be tried again."""
    try:
        is_put = context.enclosures.is_there(enclosure) or _put(context, order, enclosure)
    except UnfitSidecar as refusal:
        return _give_up(context, order, enclosure.kind, refusal.reason), None
    except WatchfolderError as error:
        if not _is_over(context, order, error):
            return context.journal.newest(order), error
        level = logging.INFO if error.code == _NONE_TO_BE_HAD else logging.WARNING
        return _give_up(context, order, enclosure.kind, error.reason, level), None
    order = context.journal.newest(order)
    return context.journal.note(order.without_enclosure(enclosure.kind)) if is_put else order, None


def _is_over(context: StepContext, order: Order, error: WatchfolderError | None = None) -> bool:
    """Is it refused for good, or is the result gone from the service, or so old that it must be?"""
    is_gone = isinstance(error, OrderMissing) and error.code == _EXPIRED
    is_old = context.journal.clock.since(order.times[State.RECORDED]) > timing.ENCLOSE_SECONDS
    return isinstance(error, Reject) or is_gone or is_old


def _give_up(
    context: StepContext, order: Order, kind: EnclosureKind, reason: str, level: int = logging.WARNING
) -> Order:
    order = context.journal.newest(order)
    _say_missing(order, kind, reason, level)
    return context.journal.note(order.without_enclosure(kind))


def _say_missing(order: Order, kind: EnclosureKind, reason: str, level: int = logging.WARNING) -> None:
    name = order.told.result.delivery if order.told else ""
    facts: dict[str, Any] = {"file": name, "what": str(kind), "reason": reason}
    event("file.not_enclosed", level, order=order.key, inbox=order.inbox, **facts)


def _put(context: StepContext, order: Order, enclosure: Enclosure) -> bool:
    """Return whether it is there: a report may still be being made."""
    if enclosure.kind is _K.REPORT:
        return _put_report(context, order, enclosure)
    if enclosure.kind is _K.HEATMAP:
        context.enclosures.put(order, enclosure, partial(_fetch, context, _heatmap_links(context, order)))
    else:
        context.enclosures.add_keyword(order, f"{order.service}: {_finding(order).verdict}")
    return True


def _heatmap_links(context: StepContext, order: Order) -> Iterator[str]:
    """Yield the link at hand, if there is one, then a new one."""
    memory = context.memory_of(order)
    if memory.heatmap is not None:
        at_hand, memory.heatmap = memory.heatmap, None
        yield at_hand
    order_id, findings = _finding(order).order_id, flow_of(order).findings
    seen = context.ask_once(order_id, lambda: context.service.poll(order_id))
    if seen.status is Status.EXPIRED:
        raise OrderMissing("the service keeps the heatmap no longer", code=_EXPIRED)
    link = findings.heatmap(seen.shown) if findings else None
    if link is None:
        raise OrderRetry("the service shows no heatmap", code="NO_HEATMAP")
    yield link


def _put_report(context: StepContext, order: Order, enclosure: Enclosure) -> bool:
    order, enclosure, report = _asked_for(context, order, enclosure)
    if report.status is ReportStatus.FAILED:
        failure = failed_report(report, enclosure.attempts)
        if isinstance(failure, OrderRetry):
            context.journal.note(order.with_enclosure(enclosure.having(asked_at=None)))
        raise failure
    if report.status is not ReportStatus.COMPLETED:
        if _is_over(context, order):
            raise OrderRetry("the service never made the report", code="NO_REPORT")
        return False
    if report.download is None:
        raise OrderRetry("the service calls the report completed but gives no link", code="NO_REPORT_LINK")
    context.enclosures.put(order, enclosure, partial(_fetch, context, iter([report.download.url])))
    return True


def _asked_for(context: StepContext, order: Order, enclosure: Enclosure) -> tuple[Order, Enclosure, ReportView]:
    """Ask how far the report is, or for the report where nobody has yet: asked for twice, it is the same one."""
    order_id, locale = _finding(order).order_id, enclosure.locale
    if enclosure.asked_at is not None:
        with suppress(Resync):  # it was lost there
            report = context.ask_once(f"{order_id}/{locale}", lambda: context.service.report(order_id, locale))
            return order, enclosure, report
    report = context.service.ask_for_report(order_id, locale)
    asked = enclosure.having(asked_at=context.journal.clock.read(), attempts=enclosure.attempts + 1)
    return context.journal.note(order.with_enclosure(asked)), asked, report


def _fetch(context: StepContext, links: Iterator[str], sink: Callable[[bytes], object]) -> int:
    """Stream what lies behind the first link that is not refused; a refused one has written nothing."""
    refusal = ""
    for url in links:
        fetch = partial(context.service.fetch, url, sink, limit_bytes=_LIMIT_BYTES)
        try:
            return context.transfers.run(context.inbox.name, fetch)
        except Resync as error:
            refusal = error.code
    raise OrderRetry(f"the storage refused the download: {refusal}", code=refusal)


def _finding(order: Order) -> Finding:
    """Return the finding of its picture, perhaps of an earlier order for the same bytes."""
    assert order.told is not None  # noqa: S101 - nothing comes beside any other order
    assert order.told.finding is not None  # noqa: S101
    return order.told.finding
