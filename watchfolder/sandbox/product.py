"""What one service of the vendor adds to what all orders share."""

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from flask import Response, jsonify, request
from typing_extensions import override

from watchfolder.sandbox.api import Api, Route, answer
from watchfolder.sandbox.bodies import AntiAiOrder, Confirm, Keyed
from watchfolder.sandbox.options import Caller
from watchfolder.sandbox.orders import InputFile, OrderType, OutputFile, SandboxOrder, now
from watchfolder.sandbox.state import ApiRefusal
from watchfolder.sandbox.storage import Storage

Json = dict[str, object]
_CONFIRMED = {
    "inProgress": "ORDER_ALREADY_CONFIRMED",
    "complete": "ORDER_ALREADY_COMPLETED",
    "failed": "ORDER_ALREADY_FAILED",
}
_Body = TypeVar("_Body", bound=Keyed)


class Product(Generic[_Body]):
    """One service. By default its orders have files to download, and its answers no more than the common fields."""

    order_type: ClassVar[OrderType]
    path: ClassVar[str]  # of the create call
    body: type[_Body]
    conflict: ClassVar[str] = "IDEMPOTENCY_KEY_CONFLICT"  # the code for a key that came with another body
    lack: ClassVar[tuple[int, str]] = (400, "USAGE_NOT_ENOUGH")  # the answer to a create without enough credits
    report_type: ClassVar[str] = ""  # of the reports on its orders; "" if it has none

    def __init__(self, api: Api, storage: Storage) -> None:
        self._api = api
        self._state = api.state
        self._storage = storage

    def routes(self) -> list[Route]:
        start: Route = ("POST", f"{self.path}/confirm", "confirm", self._confirm)
        if self.order_type.is_watermark:
            start = "POST", self.path.replace("v3", "v2"), "create", self._refuse_create
        return [("POST", self.path, "create", self._create), start]

    def _create(self) -> Response:
        body, caller = self._api.body(self.body), self._api.caller()
        with self._state.lock:
            order = self._made(caller, body)
            if order is None:
                files = self.files(body)
                self._state.ask_credits(caller, sum(len(file.texts) for file in files) or 1, *self.lack)
                order = self._state.create(
                    self.order_type, caller, request.get_json(force=True), self.name(body), files
                )
                self._storage.fetch_files(order)
                if all(file.is_uploaded for file in order.files):
                    self._state.start(order, request.environ.get("sandbox.failure"))
        return answer(self.created(order))

    def _made(self, caller: Caller, body: Keyed) -> SandboxOrder | None:
        key = caller.owner, body.idempotency_key
        order = self._state.created.get(key)
        if key in self._state.confirms or (order is not None and order.body != request.get_json(force=True)):
            self._api.note("the idempotency key of another body")
            if order is None or not caller.is_test:
                raise ApiRefusal(409, self.conflict)
        return order

    def _confirm(self) -> Response:
        """Start an order once. What a second confirm is told differs between the services."""
        body = self._api.body(Confirm)
        key = self._api.caller().owner, body.idempotency_key
        with self._state.lock:
            earlier = self._state.confirms.get(key)
            if key in self._state.created or (earlier and earlier.order_id != body.order_id):
                self._api.note("the idempotency key of another call")
                raise ApiRefusal(409, "IDEMPOTENCY_KEY_CONFLICT")
            order = self._api.order(body.order_id, unknown="RESOURCE_NOT_FOUND")
            if order.type is not self.order_type:
                self._api.refuse(f"a confirm of an order that is {order.type}", "ORDER_TYPE_NOT_MATCH")
            if earlier is None:
                self._start(order, key)
        return answer({"orderId": order.order_id, "status": order.status})

    def _start(self, order: SandboxOrder, key: tuple[str, str]) -> None:
        status = order.status
        if order.is_started:
            self._api.note("confirmed before under another idempotency key")
        if status == "expired":
            raise ApiRefusal(400, "ORDER_EXPIRED")
        if order.is_started:
            if order.type is OrderType.AI_DETECTION:  # its answer is the status
                return
            raise ApiRefusal(400, _CONFIRMED[status])
        if not all(file.was_uploaded for file in order.files):
            self._api.note("confirmed before all files were uploaded")
        if not all(file.is_uploaded for file in order.files):
            raise ApiRefusal(400, "ORDER_FILE_NOT_UPLOADED")
        self._state.ask_credits(order.caller, order.credits)
        self._state.confirms[key] = order
        self._state.start(order, request.environ.get("sandbox.failure"))

    def _refuse_create(self) -> tuple[Response, int]:
        self._api.note("a call of v2, which is gone")
        gone = jsonify({"code": "WATERMARK_V2_API_SUNSET"})
        gone.headers["Link"] = '</api/v3/orders>; rel="successor-version"'
        return gone, 410

    def name(self, body: _Body) -> str:
        raise NotImplementedError

    def files(self, body: _Body) -> list[InputFile]:
        raise NotImplementedError

    def created(self, order: SandboxOrder) -> Json:
        told: Json = {"orderId": order.order_id, "orderName": order.name, "status": order.status}
        return told | {"files": [self.slot(file, order) for file in order.files]}

    def slot(self, file: InputFile, order: SandboxOrder) -> Json:
        """Return a file as the v2 calls tell it, with an upload link while the order is pending."""
        if file.address:
            return {"fileId": str(file.file_id), "fileName": file.name, "originalFileUrl": file.address}
        link = {"uploadUrl": self._storage.upload_link(order, file)} if order.status == "pending" else {}
        key = f"input/{order.order_id}/{file.number}"
        return {"fileId": file.file_id, "fileName": file.name, "fileKey": key} | link

    def started(self, order: SandboxOrder) -> None:
        """Prepare the result. All files are there; the caller holds the state's lock."""

    def result(self, order: SandboxOrder) -> Json:
        return {"outputFiles": [self.result_file(output) for output in self._storage.results(order)]}

    def result_file(self, output: OutputFile) -> Json:
        return {"fileId": str(output.output_id), "fileName": output.file.name, "inputFileId": str(output.file.file_id)}

    def listed(self, order: SandboxOrder) -> Json:  # noqa: ARG002 - others look at it
        """Return what the list and the v2 read say besides the common fields."""
        return {}

    def has_report(self, order: SandboxOrder) -> bool:  # noqa: ARG002 - others look at it
        return bool(self.report_type)

    def event(self, order: SandboxOrder) -> Json:
        """Return what a push about a complete order says besides the common fields."""
        link = None if order.is_test else self._storage.archive_link(order)
        return {"fileCount": len(order.files), "downloadUrl": link}


class AntiAi(Product[AntiAiOrder]):
    """Pictures come back marked. A confirm starts the work, or the create call if every file has an address."""

    order_type: ClassVar[OrderType] = OrderType.ANTI_AI
    path: ClassVar[str] = "/api/v2/orders/anti-ai"
    body = AntiAiOrder

    @override
    def name(self, body: AntiAiOrder) -> str:
        return body.order_name or f"anti-ai {now():%Y-%m-%d}"

    @override
    def files(self, body: AntiAiOrder) -> list[InputFile]:
        asked = enumerate(body.files)
        return [InputFile(number, file.file_name, [""], file.original_file_url) for number, file in asked]


Products = Mapping[OrderType, Product[Any]]
