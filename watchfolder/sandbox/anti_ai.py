"""Anti-AI: pictures come back marked. A confirm starts the work, or the create call if every file has an address."""

from collections.abc import Iterator
from typing import ClassVar

from flask import Blueprint, Response
from typing_extensions import override

from watchfolder.sandbox.answers import data
from watchfolder.sandbox.demands import (
    INVALID,
    PICTURES,
    Breach,
    breaches_of_address,
    breaches_of_list,
    breaches_of_name,
    breaches_of_order_name,
    unknown_fields,
)
from watchfolder.sandbox.orders import OrderType, SandboxOrder, now
from watchfolder.sandbox.product import Json, Product, slot_of, told_output
from watchfolder.sandbox.state import NewFile

_FIELDS = frozenset({"idempotencyKey", "files", "options", "orderName"})


class AntiAi(Product):
    type: ClassVar[OrderType] = OrderType.ANTI_AI

    @override
    def blueprint(self) -> Blueprint:
        return self._api.blueprint(
            "anti-ai",
            [
                ("POST", "/api/v2/orders/anti-ai", "create", self._create),
                ("POST", "/api/v2/orders/anti-ai/confirm", "confirm", self._confirm),
            ],
        )

    def _create(self) -> Response:
        body = self._api.body(_FIELDS, _breaches_of_create)
        files = [NewFile(file["fileName"], [""], file.get("originalFileUrl", "")) for file in body["files"]]
        order = self._order_of(body, str(body.get("orderName", f"anti-ai {now():%Y-%m-%d}")), files, len(files))
        files_told = [slot_of(self._storage, order, file) for file in order.files]
        told = {"orderId": order.order_id, "orderName": order.name, "status": order.status, "files": files_told}
        return data(told)

    def _confirm(self) -> Response:
        return self._api.confirm(self.type)

    @override
    def result(self, order: SandboxOrder) -> Json:
        return {"outputFiles": [told_output(output) for output in self._storage.results(order)]}


def _breaches_of_create(body: dict[str, object]) -> Iterator[Breach]:
    yield from _breaches_of_options(body.get("options", {}))
    yield from breaches_of_list(body.get("files"), _breaches_of_file)
    yield from breaches_of_order_name(body)


def _breaches_of_options(options: object) -> Iterator[Breach]:
    if not isinstance(options, dict):
        yield Breach(INVALID, "options is no object")
        return
    yield from unknown_fields(options, {"strength"}, "options")
    if options.get("strength", "high") not in ("low", "standard", "high"):
        yield Breach(INVALID, "unknown strength")


def _breaches_of_file(file: dict[str, object], where: str) -> Iterator[Breach]:
    yield from unknown_fields(file, {"fileName", "originalFileUrl"}, where)
    yield from breaches_of_name(file.get("fileName"), where, PICTURES)
    yield from breaches_of_address(file, where)
