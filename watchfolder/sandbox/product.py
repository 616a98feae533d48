"""What one service of the vendor adds to the ways that all orders share."""

from collections.abc import Sequence
from typing import ClassVar

from flask import Blueprint, request

from watchfolder.sandbox.api import Api
from watchfolder.sandbox.options import Caller
from watchfolder.sandbox.orders import InputFile, OrderType, Output, SandboxOrder
from watchfolder.sandbox.state import NewFile
from watchfolder.sandbox.storage import Storage

Json = dict[str, object]


class Product:
    """One service. What it does not say otherwise is: files to download, no more than the common words."""

    type: ClassVar[OrderType]
    report_type: ClassVar[str] = ""  # of reports on it, if there are any

    def __init__(self, api: Api, storage: Storage) -> None:
        self._api = api
        self._state = api.state
        self._storage = storage

    def _order_of(
        self,
        body: dict[str, object],
        name: str,
        files: Sequence[NewFile],
        price: int,
        *,
        conflict: str = "IDEMPOTENCY_KEY_CONFLICT",
        lack: tuple[int, str] = (400, "USAGE_NOT_ENOUGH"),
    ) -> SandboxOrder:
        """Return the order that this body makes or has made; `conflict` and `lack` say why there is none."""
        caller = self._api.caller()
        with self._state.lock:
            order = self._api.created_before(caller, body, conflict)
            if order is None:
                self._state.ask_credits(caller, price, *lack)
                order = self._new_order(caller, body, name, files)
        return order

    def _new_order(self, caller: Caller, body: dict[str, object], name: str, files: Sequence[NewFile]) -> SandboxOrder:
        """Make an order, fetch what has an address, and start it if nothing is left to be uploaded."""
        order = self._state.create(self.type, caller, body, name, files)
        self._storage.fetch_origins(order)
        if all(file.is_uploaded for file in order.files):
            self._state.start(order, request.environ.get("sandbox.failure"))
        return order

    def blueprint(self) -> Blueprint:
        """Return the calls that only this service has."""
        raise NotImplementedError

    def started(self, order: SandboxOrder) -> None:
        """Note what comes of it; its files are there, the caller holds the state's lock."""

    def result(self, order: SandboxOrder) -> Json:
        """Return `result` of the v3 read of a complete order."""
        raise NotImplementedError

    def listed(self, order: SandboxOrder) -> Json:  # noqa: ARG002 - others look at it
        """Return what the list and the v2 read say besides the common fields."""
        return {}

    def has_report(self, order: SandboxOrder) -> bool:  # noqa: ARG002 - others look at it
        """Is there a report on this complete order?"""
        return bool(self.report_type)

    def pushed(self, order: SandboxOrder) -> Json:
        """Return what a push about a complete order says besides the common fields."""
        link = None if order.is_test else self._storage.archive_link(order)
        return {"fileCount": len(order.files), "downloadUrl": link}

    def thumbnail(self, order: SandboxOrder) -> str | None:  # noqa: ARG002 - others look at it
        return None


def told_output(output: Output) -> Json:
    """Return a picture that came out as the v3 read tells it."""
    return {"fileId": str(output.output_id), "fileName": output.file.name, "inputFileId": str(output.file.file_id)}


def slot_of(storage: Storage, order: SandboxOrder, file: InputFile) -> Json:
    """Return a file as the v2 calls tell it: with its upload link while the order waits for it."""
    if file.address:
        return {"fileId": str(file.file_id), "fileName": file.name, "originalFileUrl": file.address}
    link = {"uploadUrl": storage.upload_link(order, file)} if order.status == "pending" else {}
    return {"fileId": file.file_id, "fileName": file.name, "fileKey": f"input/{order.order_id}/{file.number}"} | link
