"""Watermark embed: a copy of each file for each text, marked so that extract finds it."""

from collections.abc import Iterator
from typing import ClassVar

from flask import Blueprint, Response
from typing_extensions import override

from watchfolder.sandbox.demands import (
    INVALID,
    MEDIA_TYPES,
    Breach,
    breaches_of_address,
    breaches_of_list,
    breaches_of_name,
    unknown_fields,
)
from watchfolder.sandbox.orders import OrderType, SandboxOrder
from watchfolder.sandbox.product import Json, told_output
from watchfolder.sandbox.state import Mark, NewFile
from watchfolder.sandbox.watermark import Watermark

_TEXTS_PER_FILE = 10
_TEXT_CHARACTERS = 1000

_FIELDS = frozenset({"idempotencyKey", "files"})


class WatermarkEmbed(Watermark):
    type: ClassVar[OrderType] = OrderType.WATERMARK_EMBED

    @override
    def blueprint(self) -> Blueprint:
        return self._api.blueprint(
            "watermark-embed",
            [
                ("POST", "/api/v3/orders/wtr-embed", "create", self._create),
                ("POST", "/api/v2/orders/wtr-embed", "create_v2", self._sunset),
            ],
        )

    def _create(self) -> Response:
        body = self._api.body(_FIELDS, _breaches_of_create)
        files = [
            NewFile(file["fileName"], [mark["text"] for mark in file["watermarks"]], file.get("originalFileUrl", ""))
            for file in body["files"]
        ]
        return self._created(body, files[0].name, files)

    @override
    def started(self, order: SandboxOrder) -> None:
        for output in order.outputs:
            self._state.marks[output.token] = Mark(order.caller.account, output.file.sha256, output.text)

    @override
    def result(self, order: SandboxOrder) -> Json:
        return {"outputFiles": [told_output(output) | {"watermarkText": output.text} for output in order.outputs]}


def _breaches_of_create(body: dict[str, object]) -> Iterator[Breach]:
    yield from breaches_of_list(body.get("files"), _breaches_of_file)


def _breaches_of_file(file: dict[str, object], where: str) -> Iterator[Breach]:
    yield from unknown_fields(file, {"fileName", "watermarks", "originalFileUrl"}, where)
    yield from breaches_of_name(file.get("fileName"), where, MEDIA_TYPES)
    yield from breaches_of_address(file, where)
    yield from _breaches_of_marks(file.get("watermarks"), where)


def _breaches_of_marks(marks: object, where: str) -> Iterator[Breach]:
    if not isinstance(marks, list) or not 1 <= len(marks) <= _TEXTS_PER_FILE:
        yield Breach(INVALID, f"{where}.watermarks is no list of 1 to {_TEXTS_PER_FILE}")
        return
    texts = [_text_of(mark) for mark in marks]
    if not all(isinstance(text, str) and 1 <= len(text) <= _TEXT_CHARACTERS for text in texts):
        yield Breach(INVALID, f"{where}.watermarks holds what is no text of 1 to {_TEXT_CHARACTERS} characters")
    elif any(str(text).strip() != text for text in texts):
        yield Breach(INVALID, f"{where}.watermarks holds a text with space around it")
    elif len(set(texts)) < len(texts):
        yield Breach(INVALID, f"{where}.watermarks holds a text twice")


def _text_of(mark: object) -> object:
    return mark["text"] if isinstance(mark, dict) and mark.keys() == {"text"} else None
