"""What every call of the API passes: who asks, how often, about which order, with what body; and how it is answered."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, NoReturn, TypeVar, cast

from flask import Response, jsonify, request
from pydantic import ValidationError

from watchfolder.sandbox.bodies import CallBody, word_of
from watchfolder.sandbox.options import Caller
from watchfolder.sandbox.orders import SandboxOrder
from watchfolder.sandbox.state import ApiRefusal, SandboxState

Route = tuple[str, str, str, Callable[..., Any]]
"""Method, path, the operation in the records, and the view."""

_ORDER_ID = re.compile(r"[0-9]{1,20}")
_LONGEST_PAGE = 100
_SUCCESSORS = {"status": "/api/v3/orders/{id}", "link": "/api/v3/orders/{id}/download"}
_T = TypeVar("_T")
_Body = TypeVar("_Body", bound=CallBody)


def answer(content: object) -> Response:
    return jsonify({"data": content})


def instant(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_sent(number: float) -> float:
    """Return a number as the service writes it: without a fraction. Tests use times below a second, which keep it."""
    return int(number) if number >= 1 else number


def operation_of(endpoint: str | None) -> str:
    """Return the first word of an endpoint, whose name is operation, method and path."""
    return (endpoint or "").partition(" ")[0]


class ListPage(NamedTuple):
    number: int
    limit: int

    def of(self, entries: Sequence[_T]) -> Sequence[_T]:
        return entries[(self.number - 1) * self.limit : self.number * self.limit]

    def count_all(self, entries: Sequence[object]) -> int:
        """Return how many pages they fill in all."""
        return -(-len(entries) // self.limit)

    def tell(self, entries: Sequence[object]) -> dict[str, int]:
        """Return what the lists of webhooks and events say beside a page; that of orders has other words for it."""
        return {"page": self.number, "limit": self.limit, "total": len(entries), "totalPages": self.count_all(entries)}


class Api:
    """Refuses what breaks the contract, and writes it down."""

    def __init__(self, state: SandboxState) -> None:
        self.state = state

    # Precedence: who asks, how often, whether the endpoint is served at all; only then the request itself.

    def let_in(self) -> tuple[Response, int] | Response | None:
        operation = operation_of(request.endpoint)
        if not request.path.startswith("/api/") or operation in ("", "upload", "fetch"):  # links are their own key
            return None
        self.state.let_in(self.caller().account)
        version = request.path.split("/")[2]
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
            self.note("no Authorization header")
            raise ApiRefusal(401, "AUTH_NOT_AUTHENTICATED")
        scheme, _, key = authorization.partition(" ")
        if scheme != "Bearer" or not key.startswith("sk_"):
            raise ApiRefusal(401, "AUTH_TOKEN_INVALID_FORMAT")
        caller = self.state.options.caller_of(key)
        if caller is None:
            raise ApiRefusal(401, "AUTH_TOKEN_INVALID")
        return caller

    def order(self, order_id: str, version: str = "v2", unknown: str = "ORDER_NOT_FOUND") -> SandboxOrder:
        """Return the caller's order. Only v2 tells one of another account or kind of key from one that never was."""
        if version == "v3" and not _ORDER_ID.fullmatch(order_id):
            self.refuse("orderId is not of 1 to 20 digits")
        with self.state.lock:
            order = self.state.orders.get(order_id)
        is_owners = order is not None and order.caller.owner == self.caller().owner
        if order is None or (version == "v3" and not is_owners):
            raise ApiRefusal(404, unknown)
        if not is_owners:
            raise ApiRefusal(403, "ORDER_NOT_OWNER")
        return order

    def body(self, model: type[_Body]) -> _Body:
        if request.mimetype != "application/json":
            self.note("the Content-Type is not application/json")
        try:
            return model.model_validate_json(request.get_data())
        except ValidationError as error:
            for breach in error.errors():
                self.note(f"{'.'.join(map(str, breach['loc'])) or 'the body'}: {breach['msg']}")
            raise ApiRefusal(400, word_of(error)) from None

    def page(self, default_limit: int, code: str = "VALIDATION_FAILED") -> ListPage:
        def read(name: str, default: int, most: int) -> int:
            text = request.args.get(name, str(default))
            value = int(text) if text.isascii() and text.isdigit() else 0
            if not 1 <= value <= most:
                self.refuse(f"{name} is not from 1 to {most}", code)
            return value

        return ListPage(read("page", 1, 10**9), read("limit", default_limit, _LONGEST_PAGE))

    def refuse(self, sin: str, code: str = "VALIDATION_FAILED") -> NoReturn:
        self.note(sin)
        raise ApiRefusal(400, code)

    def note(self, text: str) -> None:
        self.state.note(f"{operation_of(request.endpoint)} {request.path}: {text}")
