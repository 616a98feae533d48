"""Watermark extract: a file and its original go in, who it was marked for comes out."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from flask import Blueprint, Response
from typing_extensions import override

from watchfolder.sandbox.demands import (
    INVALID,
    MEDIA_TYPES,
    PICTURES,
    Breach,
    breaches_of_name,
    extension_of,
    unknown_fields,
)
from watchfolder.sandbox.mark import marks_in
from watchfolder.sandbox.orders import Finding, InputFile, OrderType, SandboxOrder
from watchfolder.sandbox.product import Json
from watchfolder.sandbox.state import Mark, NewFile
from watchfolder.sandbox.watermark import Watermark

_TEST_TEXT = "MORI TEST WATERMARK"
_CAPTURES = frozenset({"pdf", "png", "jpg", "jpeg"})  # what may be checked against a PDF

_FIELDS = frozenset({"idempotencyKey", "file"})


class WatermarkExtract(Watermark):
    type: ClassVar[OrderType] = OrderType.WATERMARK_EXTRACT
    report_type: ClassVar[str] = "watermarkDetection"

    @override
    def blueprint(self) -> Blueprint:
        return self._api.blueprint(
            "watermark-extract",
            [
                ("POST", "/api/v3/orders/wtr-extract", "create", self._create),
                ("POST", "/api/v2/orders/wtr-extract", "create_v2", self._sunset),
            ],
        )

    def _create(self) -> Response:
        body = self._api.body(_FIELDS, _breaches_of_create)
        query, original = body["file"]["fileName"], body["file"]["originalFile"]["fileName"]
        files = [NewFile(original, role="original"), NewFile(query, role="query")]
        return self._created(body, query, files)

    @override
    def started(self, order: SandboxOrder) -> None:
        original, query = order.files
        order.finding = _of_a_name(query.name) if order.is_test else self._found(order.caller.account, original, query)

    def _found(self, account: str, original: InputFile, query: InputFile) -> Finding:
        told = self._state.options.detections.get(query.sha256)
        if told is not None:
            return Finding(told)
        if original.is_unsupported or query.is_unsupported:
            return Finding("unsupported")
        before, after = _tokens_in(original), _tokens_in(query)
        self._notice_swap(before, after, query)
        marks = [self._state.marks.get(token) for token in after if token not in before]
        if not marks or any(mark and mark.sha256 != original.sha256 for mark in marks):
            return Finding("undetected")
        return Finding("detected", self._text_of(marks, account))

    def _text_of(self, marks: list[Mark | None], account: str) -> str | None:
        """Return the text, unless another account embedded it or more than one record matches."""
        mark = marks[0]
        if len(marks) > 1 or mark is None or mark.account != account:
            return None
        return mark.text if list(self._state.marks.values()).count(mark) == 1 else None

    def _notice_swap(self, before: list[str], after: list[str], query: InputFile) -> None:
        known = [self._state.marks[token] for token in before if token in self._state.marks]
        if not after and any(mark.sha256 == query.sha256 for mark in known):
            self._api.sin("the original and the file to check were uploaded the wrong way round")

    @override
    def result(self, order: SandboxOrder) -> Json:
        finding = order.finding or Finding("error")
        return {
            "detectionStatus": self._told(finding),
            "watermarkText": finding.text,
            "reportSupported": self.has_report(order),
            "reports": [
                {"locale": locale, "status": report.status}
                for (order_id, locale), report in self._state.reports.items()
                if order_id == order.order_id and not order.is_test
            ],
        }

    @override
    def has_report(self, order: SandboxOrder) -> bool:
        return order.finding is not None and order.finding.status == "detected"

    @override
    def listed(self, order: SandboxOrder) -> Json:
        is_over = order.finding is not None and order.status == "complete"
        return {"statusCode": self._told(order.finding) if order.finding and is_over else None}

    @override
    def pushed(self, order: SandboxOrder) -> Json:
        finding = order.finding or Finding("error")
        is_found = finding.status == "detected"
        info = {"watermarkInfo": {"text": finding.text}} if is_found else {}
        return {"statusCode": self._told(finding), "watermarkFound": is_found, **info}

    def _told(self, finding: Finding) -> str:
        return self._state.options.undetected_word if finding.status == "undetected" else finding.status


def _tokens_in(file: InputFile) -> list[str]:
    return marks_in(file.path) if file.path else []


def _of_a_name(name: str) -> Finding:
    return Finding("detected", _TEST_TEXT) if Path(name).stem.endswith("_detected") else Finding("undetected")


def _breaches_of_create(body: dict[str, object]) -> Iterator[Breach]:
    query = body.get("file")
    original = query.get("originalFile") if isinstance(query, dict) else None
    if not isinstance(query, dict) or not isinstance(original, dict):
        yield Breach(INVALID, "file is no object with an originalFile")
        return
    yield from unknown_fields(query, {"fileName", "originalFile"}, "file")
    yield from unknown_fields(original, {"fileName"}, "file.originalFile")
    names = query.get("fileName"), original.get("fileName")
    for name, where in zip(names, ("file", "file.originalFile"), strict=True):
        yield from breaches_of_name(name, where, MEDIA_TYPES)
    yield from _breaches_of_pair(*(extension_of(name) if isinstance(name, str) else "" for name in names))


def _breaches_of_pair(query: str, original: str) -> Iterator[Breach]:
    if query in MEDIA_TYPES and original in MEDIA_TYPES and query not in (_CAPTURES if original == "pdf" else PICTURES):
        yield Breach(INVALID, f"a {query} is not checked against a {original}")
