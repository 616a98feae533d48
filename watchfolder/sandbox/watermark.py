"""What the two watermark services share: v3 creates, a start without a confirm, the old endpoints that are gone."""

from collections.abc import Sequence
from typing import Any

from flask import Response, jsonify

from watchfolder.sandbox.answers import data, instant
from watchfolder.sandbox.orders import Output, SandboxOrder
from watchfolder.sandbox.product import Product
from watchfolder.sandbox.state import NewFile

_OUTPUT_STATUS = {
    "pending": "pending",
    "inProgress": "processing",
    "complete": "completed",
    "failed": "failed",
    "expired": "completed",
}


class Watermark(Product):
    def _created(self, body: dict[str, Any], name: str, files: Sequence[NewFile]) -> Response:
        """Tell of the order that this body makes or has made."""
        price = sum(len(file.texts) for file in files) or 1
        lack = (429, "PLAN_LIMIT_EXCEEDED")
        order = self._order_of(body, name, files, price, conflict="WATERMARK_V2_CONFLICT", lack=lack)
        status = order.status
        waits = status == "pending"
        slots = [
            {
                "fileId": str(file.file_id),
                "uploadUrl": self._storage.upload_link(order, file) if waits and not file.address else None,
            }
            for file in order.files
        ]
        told: dict[str, object] = {
            "orderId": order.order_id,
            "status": status,
            "processingDelayed": status == "inProgress" and self._state.options.processing_delayed,
            "expiresAt": instant(order.expires_at) if order.expires_at else None,
            "files": slots,
            "outputs": [_created_output(order, output) for output in order.outputs],
            "result": None,
            "reports": [],
        }
        return data(told)

    def _sunset(self) -> tuple[Response, int]:
        self._api.sin("a call of v2, which is gone")
        answer = jsonify({"code": "WATERMARK_V2_API_SUNSET"})
        answer.headers["Link"] = '</api/v3/orders>; rel="successor-version"'
        return answer, 410


def _created_output(order: SandboxOrder, output: Output) -> dict[str, object]:
    """Its `fileId` here is one that no later answer knows."""
    index = sum(other.file is output.file for other in order.outputs[: output.number])
    return {
        "fileId": f"{output.file.file_id}-{index + 1}",
        "inputFileId": str(output.file.file_id),
        "outputIndex": index,
        "watermarkText": output.text,
        "status": _OUTPUT_STATUS[order.status],
        "mediaKind": "pdf" if output.file.name.lower().endswith(".pdf") else "image",
    }
