"""What every call of the API passes: who asks, how often, about which order, with what body."""

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any, NoReturn, cast

from flask import Blueprint, Response, jsonify, request

from watchfolder.sandbox.answers import data
from watchfolder.sandbox.demands import BreachesOf, breaches_of_body, breaches_of_confirm
from watchfolder.sandbox.options import Caller
from watchfolder.sandbox.orders import OrderType, SandboxOrder
from watchfolder.sandbox.state import Refusal, State

Rule = tuple[str, str, str, Callable[..., object]]
"""Method, path, name of the endpoint, whose first word is the operation in the records, and the view."""

_ORDER_ID = re.compile(r"[0-9]{1,20}")
_SUCCESSORS = {"status": "/api/v3/orders/{id}", "link": "/api/v3/orders/{id}/download"}
_CONFIRMED = {
    "inProgress": "ORDER_ALREADY_CONFIRMED",
    "complete": "ORDER_ALREADY_COMPLETED",
    "failed": "ORDER_ALREADY_FAILED",
}


class Api:
    """Refuses what breaks the contract, and writes it down."""

    def __init__(self, state: State) -> None:
        self.state = state

    def blueprint(self, name: str, rules: Iterable[Rule]) -> Blueprint:
        api = Blueprint(name, __name__)
        for method, path, endpoint, view in rules:
            api.add_url_rule(path, endpoint, cast("Any", view), methods=[method], provide_automatic_options=False)
        api.before_request(self.admit)
        return api

    # Precedence: who asks, how often, whether the endpoint is served at all; only then the request itself.

    def admit(self) -> tuple[Response, int] | Response | None:
        self.state.admit(self.caller().account)
        version, operation = request.path.split("/")[2], str(request.endpoint).rpartition(".")[2]
        if version == "v3" and self.state.options.dialect == "v2":
            return Response("<html><body><h1>404 Not Found</h1></body></html>", 404, mimetype="text/html")
        if version == "v2" and self.state.options.dialect == "v3" and operation in _SUCCESSORS:
            retired = jsonify({"code": "ENDPOINT_RETIRED"})
            successor = _SUCCESSORS[operation].replace("{id}", cast("dict[str, str]", request.view_args)["order_id"])
            retired.headers["Link"] = f'<{successor}>; rel="successor-version"'
            return retired, 410
        return None

    def caller(self) -> Caller:
        authorization = request.headers.get("Authorization")
        if authorization is None:
            self.sin("no Authorization header")
            raise Refusal(401, "AUTH_NOT_AUTHENTICATED")
        scheme, _, key = authorization.partition(" ")
        if scheme != "Bearer" or not key.startswith("sk_"):
            raise Refusal(401, "AUTH_TOKEN_INVALID_FORMAT")
        caller = self.state.options.caller_of(key)
        if caller is None:
            raise Refusal(401, "AUTH_TOKEN_INVALID")
        return caller

    def order(self, order_id: str, version: str = "v2", unknown: str = "ORDER_NOT_FOUND") -> SandboxOrder:
        """Only v2 tells an order of another account, or of the other kind of key, from one that never was."""
        if version == "v3" and not _ORDER_ID.fullmatch(order_id):
            self.refuse("VALIDATION_FAILED", "orderId is not of 1 to 20 digits")
        with self.state.lock:
            order = self.state.orders.get(order_id)
        is_owners = order is not None and order.caller.owner == self.caller().owner
        if order is None or (version == "v3" and not is_owners):
            raise Refusal(404, unknown)
        if not is_owners:
            raise Refusal(403, "ORDER_NOT_OWNER")
        return order

    def body(self, fields: Collection[str], breaches_of: BreachesOf) -> dict[str, Any]:
        if request.mimetype != "application/json":
            self.sin("the Content-Type is not application/json")
        body = request.get_json(force=True, silent=True)
        breaches = list(breaches_of_body(body, fields, breaches_of))
        for breach in breaches:
            self.sin(breach.sin)
        if breaches:
            raise Refusal(400, breaches[0].code)
        return cast("dict[str, Any]", body)

    def created_before(
        self, caller: Caller, body: dict[str, object], conflict: str = "IDEMPOTENCY_KEY_CONFLICT"
    ) -> SandboxOrder | None:
        """Return the order that this key made, if any; the caller holds the state's lock."""
        key = caller.owner, str(body["idempotencyKey"])
        order = self.state.created.get(key)
        if key in self.state.confirms or (order is not None and order.body != body):
            self.sin("the idempotency key of another body")
            if order is None or not caller.is_test:
                raise Refusal(409, conflict)
        return order

    def confirm(self, order_type: OrderType, *, is_repeatable: bool = False) -> Response:
        """Start an order once; where it `is_repeatable`, a second confirm is told how the order stands."""
        body = self.body({"idempotencyKey", "orderId"}, breaches_of_confirm)
        key, owner = str(body["idempotencyKey"]), self.caller().owner
        with self.state.lock:
            earlier = self.state.confirms.get((owner, key))
            if (owner, key) in self.state.created or (earlier and earlier.order_id != body["orderId"]):
                self.sin("the idempotency key of another call")
                raise Refusal(409, "IDEMPOTENCY_KEY_CONFLICT")
            order = self.order(str(body["orderId"]), unknown="RESOURCE_NOT_FOUND")
            if order.type is not order_type:
                self.refuse("ORDER_TYPE_NOT_MATCH", f"a confirm of an order that is {order.type}")
            if earlier is None and not self._is_confirmed(order, is_repeatable=is_repeatable):
                self._refuse_start(order)
                self.state.confirms[owner, key] = order
                self.state.start(order, request.environ.get("sandbox.failure"))
        return data({"orderId": order.order_id, "status": order.status})

    def _is_confirmed(self, order: SandboxOrder, *, is_repeatable: bool) -> bool:
        if order.is_started:
            self.sin("confirmed before under another idempotency key")
        if order.status == "expired":
            raise Refusal(400, "ORDER_EXPIRED")
        if order.is_started and not is_repeatable:
            raise Refusal(400, _CONFIRMED[order.status])
        return order.is_started

    def _refuse_start(self, order: SandboxOrder) -> None:
        if not all(file.was_uploaded for file in order.files):
            self.sin("confirmed before all files were uploaded")
        if not all(file.is_uploaded for file in order.files):
            raise Refusal(400, "ORDER_FILE_NOT_UPLOADED")
        self.state.ask_credits(order.caller, order.price)

    def refuse(self, code: str, sin: str) -> NoReturn:
        self.sin(sin)
        raise Refusal(400, code)

    def sin(self, text: str) -> None:
        self.state.sin(f"{str(request.endpoint).rpartition('.')[2]} {request.path}: {text}")
