"""Reports: a PDF about what was found, one for each order and language."""

from functools import partial

from flask import Response, request

from watchfolder.sandbox.api import Api, Route, answer
from watchfolder.sandbox.bodies import ReportOrder
from watchfolder.sandbox.orders import OrderType, SandboxOrder, now
from watchfolder.sandbox.pictures import sample_pdf
from watchfolder.sandbox.product import Json, Products
from watchfolder.sandbox.state import ApiRefusal, Report
from watchfolder.sandbox.storage import Storage

_LOCALES = ("ko-KR", "en-US", "ja-JP")
_DEFAULT = _LOCALES[0]
_LINK_SECONDS = 300
_UNDER_WAY = ("queued", "processing")


class Reports:
    """Asked for by POST, looked at by GET; both are `report` in the records."""

    def __init__(self, api: Api, storage: Storage, products: Products) -> None:
        self._api = api
        self._state = api.state
        self._storage = storage
        self._products = products
        for locale in _LOCALES:
            storage.add(f"report-{locale}.pdf", partial(_report, locale=locale))

    def routes(self) -> list[Route]:
        return [
            ("POST", "/api/v3/orders/<order_id>/reports", "report", self._ask),
            ("GET", "/api/v3/orders/<order_id>/reports/<locale>", "report", self._show),
        ]

    def _ask(self, order_id: str) -> tuple[Response, int]:
        order = self._api.order(order_id, "v3")
        locale = self._api.body(ReportOrder).locale
        self._refuse_locale(order, locale)
        self._refuse_order(order)
        with self._state.lock:
            report = self._state.reports.get((order_id, locale))
            is_new = report is None or (report.status == "failed" and report.may_retry)
            if report is None or is_new:
                report = self._begin(order, locale, attempt=report.attempt + 1 if report else 1)
            told = "queued" if is_new and report.status in _UNDER_WAY else report.status
        return answer(self._tell(order, report, told)), 202 if told in _UNDER_WAY else 200

    def _begin(self, order: SandboxOrder, locale: str, attempt: int) -> Report:
        failure = request.environ.get("sandbox.failure")
        report = Report(
            locale=locale,
            attempt=attempt,
            seconds=0 if order.is_test else self._state.options.report_seconds,
            failure=None if failure is None else failure or "REPORT_GENERATION_FAILED",
        )
        if order.type is OrderType.WATERMARK_EXTRACT and not order.is_test:
            self._state.ask_credits(order.caller, 1, 429, "PLAN_LIMIT_EXCEEDED")
            self._state.charge(order.caller, "watermarkReport", 0 if report.failure else 1)
        self._state.reports[order.order_id, locale] = report
        return report

    def _show(self, order_id: str, locale: str) -> Response:
        order = self._api.order(order_id, "v3")
        self._refuse_locale(order, locale)
        with self._state.lock:
            report = self._state.reports.get((order_id, locale))
        if report is None:
            raise ApiRefusal(404, "REPORT_NOT_FOUND")
        return answer(self._tell(order, report, report.status))

    def _refuse_locale(self, order: SandboxOrder, locale: str) -> None:
        is_of_pdf = any(file.name.lower().endswith(".pdf") and file.role == "original" for file in order.files)
        if locale not in _LOCALES or (is_of_pdf and locale != _DEFAULT):
            self._api.refuse("a report in a language that there is none in", "REPORT_LOCALE_UNSUPPORTED")
        if order.status == "expired":
            raise ApiRefusal(400, "ORDER_EXPIRED")

    def _refuse_order(self, order: SandboxOrder) -> None:
        product = self._products[order.type]
        if not product.report_type:
            self._api.note(f"a report of an order that is {order.type}")
            raise ApiRefusal(400, "ORDER_TYPE_NOT_MATCH") if order.is_test else ApiRefusal(409, "REPORT_NOT_AVAILABLE")
        if order.status != "complete":
            raise ApiRefusal(400, "ORDER_NOT_COMPLETED") if order.is_test else ApiRefusal(409, "REPORT_NOT_AVAILABLE")
        if not product.has_report(order):
            raise ApiRefusal(409, "REPORT_NOT_AVAILABLE")

    def _tell(self, order: SandboxOrder, report: Report, status: str) -> Json:
        download: Json = {
            "url": self._storage.made_link(order, f"report-{report.locale}.pdf", _LINK_SECONDS),
            "expiresInSeconds": _LINK_SECONDS,
        }
        return {
            "orderId": order.order_id,
            "reportType": self._products[order.type].report_type,
            "locale": report.locale,
            "status": status,
            "download": download if status == "completed" else None,
            "failure": {"code": report.failure, "retryable": report.may_retry} if status == "failed" else None,
        }


def _report(order: SandboxOrder, locale: str) -> Response:
    line = f"SANDBOX: a report on order {order.order_id}, {locale}, {now():%Y-%m-%d}"
    return Response(sample_pdf(line), mimetype="application/pdf")
