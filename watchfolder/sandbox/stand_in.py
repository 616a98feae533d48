"""A stand-in for the BIZ MORI service on this machine: for the demo, the tests and the newcomer.

It keeps to the vendor's contract, and is stricter about clients: every request that broke the contract is in
`Sandbox.sins`. Pictures come back marked, nothing is protected, nothing leaves the machine.
"""

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Self

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from watchfolder.sandbox.ai_detection import AiDetection
from watchfolder.sandbox.api import Api, Route, answer
from watchfolder.sandbox.courier import Courier, PushRecord
from watchfolder.sandbox.faults import ADMIN, TRAP, Faults
from watchfolder.sandbox.front import Front
from watchfolder.sandbox.options import KEY, TEST_KEY, Options
from watchfolder.sandbox.orders import OrderType, SandboxOrder, now
from watchfolder.sandbox.product import AntiAi
from watchfolder.sandbox.reads import Reads
from watchfolder.sandbox.reports import Reports
from watchfolder.sandbox.state import ApiRefusal, RequestRecord, SandboxState
from watchfolder.sandbox.storage import Storage, StorageRefusal
from watchfolder.sandbox.uploads import Uploads
from watchfolder.sandbox.waitress_door import Waitress
from watchfolder.sandbox.watermark import WatermarkEmbed, WatermarkExtract
from watchfolder.sandbox.webhooks import WebhookCalls

_SERVICES = (AntiAi, WatermarkEmbed, WatermarkExtract, AiDetection)


@dataclass(frozen=True)
class OrderRecord:
    order_id: str
    type: str  # antiAi, watermarkEmbed, watermarkExtract, aiDetection
    status: str
    name: str
    files: tuple[str, ...]
    idempotency_key: str
    strength: str  # of Anti-AI
    watermarks: tuple[str, ...]  # the texts, file by file
    is_confirmed: bool  # or started without a confirm
    is_test: bool
    updated_at: datetime  # when it was completed or failed, once it was


@dataclass(kw_only=True)
class Sandbox(Options):
    """Runs while its context is entered. Options may be set while it runs; they hold for what happens from then on."""

    port: int = 0  # 0: a free one

    def __post_init__(self) -> None:
        self.faults = Faults()
        self._state = SandboxState(self)

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="watchfolder-sandbox-"))
        self._storage = Storage(self._state, self._folder)
        self._api = Api(self._state)
        self._products = {service.order_type: service(self._api, self._storage) for service in _SERVICES}
        self._courier = Courier(self._state, self._products, self.faults)
        self._state.on_start = self._start
        try:
            self._server = Waitress(Front(self._app(), self._state, self._storage, self.faults), self.port)
        except BaseException:
            shutil.rmtree(self._folder)
            raise
        self.port = self._server.port
        self._storage.links.base_url = self.url
        self._courier.start()
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
        self._courier.stop()
        shutil.rmtree(self._folder)

    def _start(self, order: SandboxOrder) -> None:
        self._products[order.type].started(order)
        self._courier.started(order)

    def _app(self) -> Flask:
        app = Flask("watchfolder.sandbox", static_folder=None)
        routes: list[Route] = [
            *(route for product in self._products.values() for route in product.routes()),
            *Reads(self._api, self._storage, self._products).routes(),
            *Reports(self._api, self._storage, self._products).routes(),
            *WebhookCalls(self._api, self._courier).routes(),
            *Uploads(self._state, self._storage, self._folder).routes(),
            *self._storage.routes(),
            ("POST", f"{ADMIN}faults", "admin", self._add_faults),
            ("GET", f"{ADMIN}record", "admin", self.record),
            ("POST", f"{ADMIN}reset", "admin", self._forget_all),
            *((method, TRAP, "trap", self._follow) for method in ("GET", "POST", "PUT")),
        ]
        views = {(method, path, f"{operation} {method} {path}"): view for method, path, operation, view in routes}
        app.url_map = _routes(tuple(views))
        app.view_functions.update({endpoint: view for (_, _, endpoint), view in views.items()})
        app.before_request(self._api.let_in)
        app.register_error_handler(ApiRefusal, lambda refusal: ({"code": refusal.code}, refusal.status))
        app.register_error_handler(StorageRefusal, StorageRefusal.answer)
        app.register_error_handler(HTTPException, self._refuse_unknown)
        return app

    def _add_faults(self) -> tuple[dict[str, str], int]:
        body = request.get_json(force=True)
        try:
            for fault in body if isinstance(body, list) else [body]:
                self.faults.add(**fault)
        except (TypeError, ValueError) as error:
            return {"error": str(error)}, 400
        return {}, 200

    def _forget_all(self) -> dict[str, str]:
        self.clear()
        return {}

    def _follow(self) -> Response:
        key = " and the API key was sent along" if "Authorization" in request.headers else ""
        self._state.note(f"{request.method}: a redirect was followed{key}")
        return answer(None)

    def _refuse_unknown(self, refusal: HTTPException) -> HTTPException:
        self._state.note(f"{request.method} {request.path}: {refusal.code} {refusal.name}")
        return refusal

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        return next((key for key in self.keys or () if not key.startswith("sk_test_")), KEY)

    @property
    def test_key(self) -> str:
        return next((key for key in self.keys or () if key.startswith("sk_test_")), TEST_KEY)

    @property
    def sins(self) -> list[str]:
        """Every breach of the contract so far, in words without a key or a signature."""
        return list(self._state.sins)

    @property
    def links(self) -> list[str]:
        """Every link that was given out, its signature or token included: what nobody may ever show."""
        return list(self._storage.links.given)

    @property
    def requests(self) -> list[RequestRecord]:
        return list(self._state.requests)

    def requests_by_operation(self) -> dict[str, int]:
        return dict(Counter(record.operation for record in self.requests))

    @property
    def webhooks(self) -> dict[int, str]:
        """The addresses that are registered, by webhook id, oldest first."""
        with self._state.lock:
            return {webhook.number: webhook.url for webhook in self._state.webhooks.values()}

    @property
    def pushes(self) -> list[PushRecord]:
        return [attempt for event in self._courier.events() for attempt in event.attempts]

    @property
    def orders(self) -> dict[str, OrderRecord]:
        """By order id, oldest first."""
        with self._state.lock:
            return {order.order_id: _record_of(order) for order in self._state.orders.values()}

    @property
    def sent_files(self) -> list[str]:
        """The SHA-256 of each file that was taken in, paid or not."""
        with self._state.lock:
            orders = self._state.orders.values()
            return [file.sha256 for order in orders for file in order.files if file.was_uploaded]

    @property
    def paid(self) -> int:
        """How many credits were taken from live keys and not given back: for a file of Anti-AI one, failed or not."""
        return sum(self.credits.values())

    @property
    def credits(self) -> dict[str, int]:
        """The paid credits by the type of the service; `watermarkReport` for reports on watermarks."""
        return self._state.paid()[0]

    @property
    def paid_failed(self) -> int:
        """How many of the paid credits belong to orders that failed or will fail."""
        with self._state.lock:
            paid = [order for order in self._state.orders.values() if order.is_started and not order.is_test]
            return sum(order.credits for order in paid if order.is_to_fail and not order.is_given_back)

    @property
    def paid_files(self) -> dict[str, int]:
        """How often the bytes with this SHA-256 were paid for, in orders of any kind."""
        return self._state.paid()[1]

    def end_links(self) -> None:
        self._storage.links.valid_since = now()

    def forget(self, order_id: str) -> None:
        self._state.forget(order_id)

    def clear(self) -> None:
        self.faults.clear()
        self._state.clear()
        self._courier.clear()

    def record(self) -> dict[str, object]:
        """Return what GET /_sandbox/record answers."""
        return {
            "sins": self.sins,
            "requests": self.requests,
            "requests_by_operation": self.requests_by_operation(),
            "pushes": self.pushes,
            "orders": self.orders,
            "paid": self.paid,
            "credits": self.credits,
            "paid_failed": self.paid_failed,
            "paid_files": self.paid_files,
        }


def _record_of(order: SandboxOrder) -> OrderRecord:
    return OrderRecord(
        order_id=order.order_id,
        type=order.type,
        status=order.status,
        name=order.name,
        files=tuple(file.name for file in order.files),
        idempotency_key=str(order.body["idempotencyKey"]),
        strength=str(order.asked.get("strength", "high")) if order.type is OrderType.ANTI_AI else "",
        watermarks=tuple(output.text for output in order.outputs if output.text),
        is_confirmed=order.is_started,
        is_test=order.is_test,
        updated_at=order.updated_at,
    )


@cache
def _routes(rules: tuple[tuple[str, str, str], ...]) -> Map:
    """Return the map of (method, path, endpoint); it takes 20 ms to make, and all sandboxes have the same."""
    return Map([Rule(path, methods=[method], endpoint=endpoint) for method, path, endpoint in rules])
