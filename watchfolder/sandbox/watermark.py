"""The two watermark services: a copy of each file for each text, and from a copy back to its text."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, TypeVar, cast

from typing_extensions import override

from watchfolder.sandbox.api import instant
from watchfolder.sandbox.bodies import EmbedOrder, ExtractOrder, Keyed
from watchfolder.sandbox.mark import marks_in
from watchfolder.sandbox.orders import Detection, InputFile, OrderType, OutputFile, SandboxOrder
from watchfolder.sandbox.product import Json, Product
from watchfolder.sandbox.state import Embedded

_TEST_TEXT = "MORI TEST WATERMARK"
_OUTPUT_STATUS = {
    "pending": "pending",
    "inProgress": "processing",
    "complete": "completed",
    "failed": "failed",
    "expired": "completed",
}
_Body = TypeVar("_Body", bound=Keyed)


class _Watermark(Product[_Body]):
    """What both share: they are created by v3 and start without a confirm."""

    conflict: ClassVar[str] = "WATERMARK_V2_CONFLICT"
    lack: ClassVar[tuple[int, str]] = (429, "PLAN_LIMIT_EXCEEDED")

    @override
    def created(self, order: SandboxOrder) -> Json:
        return {
            "orderId": order.order_id,
            "status": order.status,
            "processingDelayed": self._state.is_delayed(order),
            "expiresAt": instant(order.ends_at),
            "files": [self.slot(file, order) for file in order.files],
            "outputs": [_created_file(output, order) for output in order.outputs],
            "result": None,
            "reports": [],
        }

    @override
    def slot(self, file: InputFile, order: SandboxOrder) -> Json:
        waits = order.status == "pending" and not file.address
        link = self._storage.upload_link(order, file) if waits else None
        return {"fileId": str(file.file_id), "uploadUrl": link}


def _created_file(output: OutputFile, order: SandboxOrder) -> Json:
    """Return an output as the create call tells it, with a `fileId` that no later answer has."""
    index = sum(other.file is output.file for other in order.outputs[: output.number])
    return {
        "fileId": f"{output.file.file_id}-{index + 1}",
        "inputFileId": str(output.file.file_id),
        "outputIndex": index,
        "watermarkText": output.text,
        "status": _OUTPUT_STATUS[order.status],
        "mediaKind": "pdf" if output.file.name.lower().endswith(".pdf") else "image",
    }


class WatermarkEmbed(_Watermark[EmbedOrder]):
    order_type: ClassVar[OrderType] = OrderType.WATERMARK_EMBED
    path: ClassVar[str] = "/api/v3/orders/wtr-embed"
    body = EmbedOrder

    @override
    def name(self, body: EmbedOrder) -> str:
        return body.files[0].file_name

    @override
    def files(self, body: EmbedOrder) -> list[InputFile]:
        return [
            InputFile(number, file.file_name, [mark.text for mark in file.watermarks], file.original_file_url)
            for number, file in enumerate(body.files)
        ]

    @override
    def started(self, order: SandboxOrder) -> None:
        for output in order.outputs:
            self._state.marks[output.token] = Embedded(order.caller.account, output.file.sha256, output.text)

    @override
    def result_file(self, output: OutputFile) -> Json:
        return super().result_file(output) | {"watermarkText": output.text}


class WatermarkExtract(_Watermark[ExtractOrder]):
    order_type: ClassVar[OrderType] = OrderType.WATERMARK_EXTRACT
    path: ClassVar[str] = "/api/v3/orders/wtr-extract"
    body = ExtractOrder
    report_type: ClassVar[str] = "watermarkDetection"

    @override
    def name(self, body: ExtractOrder) -> str:
        return body.file.file_name

    @override
    def files(self, body: ExtractOrder) -> list[InputFile]:
        original = InputFile(0, body.file.original_file.file_name, role="original")
        return [original, InputFile(1, body.file.file_name, role="query")]

    @override
    def started(self, order: SandboxOrder) -> None:
        original, query = order.files
        if not order.is_test:
            order.detection = self._found(order.caller.account, original, query)
        elif Path(query.name).stem.endswith("_detected"):
            order.detection = Detection("detected", _TEST_TEXT)
        else:
            order.detection = Detection("undetected")

    def _found(self, account: str, original: InputFile, query: InputFile) -> Detection:
        told = self._state.options.detections.get(query.sha256)
        if told is not None:
            return Detection(told)
        if original.is_unsupported or query.is_unsupported:
            return Detection("unsupported")
        before, after = marks_in(cast("Path", original.path)), marks_in(cast("Path", query.path))
        self._check_place(before, after, query)
        marks = [self._state.marks.get(token) for token in after if token not in before]
        if not marks or any(mark and mark.sha256 != original.sha256 for mark in marks):
            return Detection("undetected")
        return Detection("detected", self._text_of(marks, account))

    def _check_place(self, before: list[str], after: list[str], query: InputFile) -> None:
        known = [self._state.marks[token] for token in before if token in self._state.marks]
        if not after and any(mark.sha256 == query.sha256 for mark in known):
            self._api.note("the original and the file to check were uploaded the wrong way round")

    def _text_of(self, marks: Sequence[Embedded | None], account: str) -> str | None:
        """Return the text, unless another account embedded it or more than one record matches."""
        mark = marks[0]
        if len(marks) > 1 or mark is None or mark.account != account:
            return None
        return mark.text if list(self._state.marks.values()).count(mark) == 1 else None

    @override
    def result(self, order: SandboxOrder) -> Json:
        return {
            "detectionStatus": self._status_of(order.detection),
            "watermarkText": order.detection.text,
            "reportSupported": self.has_report(order),
            "reports": [
                {"locale": locale, "status": report.status}
                for (order_id, locale), report in self._state.reports.items()
                if order_id == order.order_id and not order.is_test
            ],
        }

    @override
    def has_report(self, order: SandboxOrder) -> bool:
        return order.detection.status == "detected"

    @override
    def listed(self, order: SandboxOrder) -> Json:
        return {"statusCode": self._status_of(order.detection) if order.status == "complete" else None}

    @override
    def event(self, order: SandboxOrder) -> Json:
        is_found = order.detection.status == "detected"
        info = {"watermarkInfo": {"text": order.detection.text}} if is_found else {}
        return {"statusCode": self._status_of(order.detection), "watermarkFound": is_found, **info}

    def _status_of(self, detection: Detection) -> str:
        return self._state.options.undetected_word if detection.status == "undetected" else detection.status
