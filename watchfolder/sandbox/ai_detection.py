"""AI detection: a picture goes in, a verdict comes out, with maps of what it is based on."""

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, ClassVar, NamedTuple

from flask import Blueprint, Response
from PIL import Image, ImageChops, ImageOps
from typing_extensions import override

from watchfolder.sandbox.answers import data
from watchfolder.sandbox.demands import (
    INVALID,
    PICTURES,
    Breach,
    breaches_of_name,
    breaches_of_order_name,
    unknown_fields,
)
from watchfolder.sandbox.orders import OrderType, SandboxOrder, now
from watchfolder.sandbox.product import Json, Product, slot_of
from watchfolder.sandbox.state import NewFile
from watchfolder.sandbox.storage import Made, sample_for

_EXTENSIONS = PICTURES - {"tif"}  # the documents list .tiff alone
_OPTIONS = {"generateHeatmap", "generateOverlay", "generateThumbnail"}
_BY_SUFFIX = {"_ai": 0.98, "_human": 0.02}
_UNNAMED = 0.02
_VERDICTS = ((0.25, "likely_real"), (0.5, "uncertain_real"), (0.75, "uncertain_ai"))
_COPY_EDGE, _THUMBNAIL_EDGE = 1600, 320

_FIELDS = frozenset({"idempotencyKey", "fileName", "orderName", "options"})


class AiDetection(Product):
    type: ClassVar[OrderType] = OrderType.AI_DETECTION
    report_type: ClassVar[str] = "aiDetection"

    @override
    def blueprint(self) -> Blueprint:
        for name, layer in _LAYERS.items():
            self._storage.offer(name, partial(self._drawn, layer=layer))
        return self._api.blueprint(
            "ai-detection",
            [
                ("POST", "/api/v2/orders/ai-detection", "create", self._create),
                ("POST", "/api/v2/orders/ai-detection/confirm", "confirm", self._confirm),
            ],
        )

    def _create(self) -> Response:
        body = self._api.body(_FIELDS, _breaches_of_create)
        name = str(body.get("orderName", f"ai-detection {now():%Y-%m-%d}"))
        order = self._order_of(body, name, [NewFile(body["fileName"])], 1)
        file = slot_of(self._storage, order, order.files[0])
        return data({"orderId": order.order_id, "orderName": order.name, "status": order.status, "file": file})

    def _confirm(self) -> Response:
        return self._api.confirm(self.type, is_repeatable=True)

    @override
    def result(self, order: SandboxOrder) -> Json:
        probability = self._probability(order)
        return {
            "verdict": verdict_of(probability),
            "probability": probability,
            "options": order.choices or None,
            "originalImageUrl": self._storage.made_link(order, "original"),
            **self._maps(order),
        }

    @override
    def listed(self, order: SandboxOrder) -> Json:
        probability = self._probability(order) if order.status == "complete" else None
        return {"probability": probability, "statusCode": verdict_of(probability)}

    @override
    def pushed(self, order: SandboxOrder) -> Json:
        return {"probability": self._probability(order), **self._maps(order)}

    @override
    def thumbnail(self, order: SandboxOrder) -> str | None:
        return self._storage.made_link(order, "thumbnail") if order.choices.get("generateThumbnail") else None

    def _maps(self, order: SandboxOrder) -> Json:
        return {
            f"{name}Url": self._storage.made_link(order, name) if order.choices.get(option) else None
            for name, option in (("heatmap", "generateHeatmap"), ("overlay", "generateOverlay"))
        }

    def _probability(self, order: SandboxOrder) -> float | None:
        (file,) = order.files
        if not order.is_test and file.sha256 in self._state.options.probabilities:
            return self._state.options.probabilities[file.sha256]
        stem = Path(file.name).stem
        return next((value for suffix, value in _BY_SUFFIX.items() if stem.endswith(suffix)), _UNNAMED)

    def _drawn(self, order: SandboxOrder, layer: "_Layer") -> Made:
        """Return a small WebP; while those are not ready, what is no thumbnail is a PNG in full size."""
        image = layer.draw(_picture(order))
        if layer.has_full_size and not self._state.options.has_small_copies:
            return _encoded(image, "png")
        image.thumbnail((layer.longest_edge, layer.longest_edge))
        return _encoded(image, "webp")


def verdict_of(probability: float | None) -> str | None:
    if probability is None:
        return None
    return next((verdict for below, verdict in _VERDICTS if probability < below), "likely_ai")


class _Layer(NamedTuple):
    draw: Callable[[Image.Image], Image.Image]
    longest_edge: int = _COPY_EDGE
    has_full_size: bool = True


def _same(image: Image.Image) -> Image.Image:
    return image


def _heatmap(image: Image.Image) -> Image.Image:
    return ImageOps.colorize(Image.radial_gradient("L").resize(image.size), "red", "navy", mid="yellow")


def _overlay(image: Image.Image) -> Image.Image:
    return ImageChops.blend(image, _heatmap(image), 0.5)


_LAYERS = {
    "original": _Layer(_same),
    "heatmap": _Layer(_heatmap),
    "overlay": _Layer(_overlay),
    "thumbnail": _Layer(_same, _THUMBNAIL_EDGE, has_full_size=False),
}


def _picture(order: SandboxOrder) -> Image.Image:
    """Return what was uploaded; a sample for a test key, which keeps nothing, and where the decoder knows no help."""
    (file,) = order.files
    sample = io.BytesIO(sample_for(file.name))
    try:
        return _decoded(file.path or sample)
    except Exception:  # noqa: BLE001 - Pillow's decoders raise whatever strange bytes lead them to
        return _decoded(sample)


def _decoded(source: Path | IO[bytes]) -> Image.Image:
    with Image.open(source) as image:
        return image.convert("RGB")


def _encoded(image: Image.Image, format_name: str) -> Made:
    encoded = io.BytesIO()
    image.save(encoded, format_name)
    return Made(encoded.getvalue(), f"image/{format_name}")


def _breaches_of_create(body: dict[str, object]) -> Iterator[Breach]:
    yield from breaches_of_name(body.get("fileName"), "the body", _EXTENSIONS)
    yield from breaches_of_order_name(body)
    yield from _breaches_of_options(body.get("options", {}))


def _breaches_of_options(options: object) -> Iterator[Breach]:
    if not isinstance(options, dict):
        yield Breach(INVALID, "options is no object")
        return
    yield from unknown_fields(options, _OPTIONS, "options")
    for name in sorted(_OPTIONS & options.keys()):
        if not isinstance(options[name], bool):
            yield Breach(INVALID, f"options.{name} is neither true nor false")
