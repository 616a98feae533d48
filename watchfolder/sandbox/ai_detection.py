"""AI detection: a picture goes in, a verdict comes out, with maps of what it is based on."""

import io
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, ClassVar

from flask import Response
from PIL import Image, ImageChops, ImageOps
from typing_extensions import override

from watchfolder.sandbox.api import Api
from watchfolder.sandbox.bodies import DetectionOrder
from watchfolder.sandbox.orders import InputFile, OrderType, SandboxOrder, now
from watchfolder.sandbox.product import Json, Product
from watchfolder.sandbox.storage import Storage, sample_for

_BY_SUFFIX = {"_ai": 0.98, "_human": 0.02}
_UNNAMED = 0.02  # of a name without such a suffix
_VERDICTS = ((0.25, "likely_real"), (0.5, "uncertain_real"), (0.75, "uncertain_ai"))
_COPY_EDGE, _THUMBNAIL_EDGE = 1600, 320


class AiDetection(Product[DetectionOrder]):
    order_type: ClassVar[OrderType] = OrderType.AI_DETECTION
    path: ClassVar[str] = "/api/v2/orders/ai-detection"
    body = DetectionOrder
    report_type: ClassVar[str] = "aiDetection"

    def __init__(self, api: Api, storage: Storage) -> None:
        super().__init__(api, storage)
        for name in _LAYERS:
            storage.add(name, partial(self._make, name=name))

    @override
    def name(self, body: DetectionOrder) -> str:
        return body.order_name or f"ai-detection {now():%Y-%m-%d}"

    @override
    def files(self, body: DetectionOrder) -> list[InputFile]:
        return [InputFile(0, body.file_name)]

    @override
    def created(self, order: SandboxOrder) -> Json:
        told: Json = {"orderId": order.order_id, "orderName": order.name, "status": order.status}
        return told | {"file": self.slot(order.files[0], order)}

    @override
    def result(self, order: SandboxOrder) -> Json:
        probability = self._probability(order)
        return {
            "verdict": verdict_of(probability),
            "probability": probability,
            "options": order.asked or None,
            "originalImageUrl": self._storage.made_link(order, "original"),
            **self._links(order),
        }

    @override
    def listed(self, order: SandboxOrder) -> Json:
        probability = self._probability(order) if order.status == "complete" else None
        return {"probability": probability, "statusCode": verdict_of(probability)}

    @override
    def event(self, order: SandboxOrder) -> Json:
        return {"probability": self._probability(order), **self._links(order)}

    def _links(self, order: SandboxOrder) -> Json:
        return {
            f"{name}Url": self._storage.made_link(order, name) if order.asked.get(option) else None
            for name, option in (("heatmap", "generateHeatmap"), ("overlay", "generateOverlay"))
        }

    def _probability(self, order: SandboxOrder) -> float | None:
        (file,) = order.files
        if not order.is_test and file.sha256 in self._state.options.probabilities:
            return self._state.options.probabilities[file.sha256]
        stem = Path(file.name).stem
        return next((value for suffix, value in _BY_SUFFIX.items() if stem.endswith(suffix)), _UNNAMED)

    def _make(self, order: SandboxOrder, name: str) -> Response:
        """Return a small WebP, or a PNG in full size while small copies are not ready; a thumbnail is always small."""
        image = _LAYERS[name](_picture(order))
        kind = "webp" if name == "thumbnail" or self._state.options.has_small_copies else "png"
        if kind == "webp":
            edge = _THUMBNAIL_EDGE if name == "thumbnail" else _COPY_EDGE
            image.thumbnail((edge, edge))
        encoded = io.BytesIO()
        image.save(encoded, kind)
        return Response(encoded.getvalue(), mimetype=f"image/{kind}")


def verdict_of(probability: float | None) -> str | None:
    if probability is None:
        return None
    return next((verdict for below, verdict in _VERDICTS if probability < below), "likely_ai")


def _heatmap(image: Image.Image) -> Image.Image:
    return ImageOps.colorize(Image.radial_gradient("L").resize(image.size), "red", "navy", mid="yellow")


_LAYERS: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "original": lambda image: image,
    "heatmap": _heatmap,
    "overlay": lambda image: ImageChops.blend(image, _heatmap(image), 0.5),
    "thumbnail": lambda image: image,
}


def _picture(order: SandboxOrder) -> Image.Image:
    """Return what was uploaded, or a sample where nothing was kept (test keys) or it cannot be decoded."""
    (file,) = order.files
    sample = io.BytesIO(sample_for(file.name))
    try:
        return _opened(file.path or sample)
    except Exception:  # noqa: BLE001 - Pillow's decoders raise whatever strange bytes lead them to
        return _opened(sample)


def _opened(source: Path | IO[bytes]) -> Image.Image:
    with Image.open(source) as image:
        return image.convert("RGB")
