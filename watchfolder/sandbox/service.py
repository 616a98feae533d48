"""The API itself: orders created, confirmed, looked at, listed and linked, as contract.md tells it."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any, NoReturn, cast

from flask import Blueprint, Response, jsonify, request

from watchfolder.sandbox.demands import Breach, breaches_of_confirm, breaches_of_create
from watchfolder.sandbox.failures import failure_of
from watchfolder.sandbox.options import Caller
from watchfolder.sandbox.paging import asked_page
from watchfolder.sandbox.state import InputFile, Refusal, SandboxOrder, State, now
from watchfolder.sandbox.storage import Storage

_CHOICES = {
    "status": ("pending", "inProgress", "complete", "failed", "expired"),
    "type": ("antiAi", "watermarkEmbed", "watermarkExtract", "aiDetection"),
    "channel": ("api", "web"),
}
_ORDER_ID = re.compile(r"[0-9]{1,20}")
_SUCCESSORS = {"status": "/api/v3/orders/{id}", "link": "/api/v3/orders/{id}/download"}


class Service:
    """Each public method is one operation; its name there and in the records is the endpoint's."""

    def __init__(self, state: State, storage: Storage) -> None:
        self._state = state
        self._storage = storage

    def blueprint(self) -> Blueprint:
        api = Blueprint("service", __name__)
        rules: list[tuple[str, str, str, Callable[..., object]]] = [
            ("POST", "/api/v2/orders/anti-ai", "create", self._create),
            ("POST", "/api/v2/orders/anti-ai/confirm", "confirm", self._confirm),
            ("POST", "/api/v2/orders/<order_id>/refresh-urls", "refresh", self._refresh),
            ("GET", "/api/v2/orders", "list", self._list),
            ("GET", "/api/<any(v2, v3):version>/orders/<order_id>", "status", self._status),
            ("GET", "/api/<any(v2, v3):version>/orders/<order_id>/download", "link", self._link),
        ]
        for method, path, endpoint, view in rules:
            api.add_url_rule(path, endpoint, cast("Any", view), methods=[method], provide_automatic_options=False)
        api.before_request(self.admit)
        return api

    # Precedence: who asks, how often, whether the endpoint is served at all; only then the request itself.

    def admit(self) -> tuple[Response, int] | Response | None:
        self._state.admit(self.caller().account)
        version, operation = (request.view_args or {}).get("version"), str(request.endpoint).rpartition(".")[2]
        if version == "v3" and self._state.options.dialect == "v2":
            return Response("<html><body><h1>404 Not Found</h1></body></html>", 404, mimetype="text/html")
        if version == "v2" and self._state.options.dialect == "v3":
            retired = jsonify({"code": "ENDPOINT_RETIRED"})
            successor = _SUCCESSORS[operation].replace("{id}", cast("dict[str, str]", request.view_args)["order_id"])
            retired.headers["Link"] = f'<{successor}>; rel="successor-version"'
            return retired, 410
        return None

    def caller(self) -> Caller:
        authorization = request.headers.get("Authorization")
        if authorization is None:
            self._sin("no Authorization header")
            raise Refusal(401, "AUTH_NOT_AUTHENTICATED")
        scheme, _, key = authorization.partition(" ")
        if scheme != "Bearer" or not key.startswith("sk_"):
            raise Refusal(401, "AUTH_TOKEN_INVALID_FORMAT")
        caller = self._state.options.caller_of(key)
        if caller is None:
            raise Refusal(401, "AUTH_TOKEN_INVALID")
        return caller

    def _create(self) -> Response:
        body = self._body(breaches_of_create)
        caller, files = self.caller(), cast("list[dict[str, str]]", body["files"])
        with self._state.lock:
            key = caller.owner, str(body["idempotencyKey"])
            order = self._state.created.get(key)
            if key in self._state.confirms or (order is not None and order.body != body):
                self._sin("the idempotency key of another body")
                if order is None or not caller.is_test:
                    raise Refusal(409, "IDEMPOTENCY_KEY_CONFLICT")
            if order is not None:
                return _data(self._created(order))
            if any("originalFileUrl" in file for file in files):
                raise Refusal(400, "INVALID_PARAMETER")  # URL mode: this stand-in reaches out to nobody
            if not caller.is_test:
                self._state.ask_credits(len(files))
            order = self._state.create(caller, body, [file["fileName"] for file in files])
        return _data(self._created(order))

    def _confirm(self) -> Response:
        body = self._body(breaches_of_confirm)
        key, owner = str(body["idempotencyKey"]), self.caller().owner
        with self._state.lock:
            earlier = self._state.confirms.get((owner, key))
            if (owner, key) in self._state.created or (earlier and earlier.order_id != body["orderId"]):
                self._sin("the idempotency key of another call")
                raise Refusal(409, "IDEMPOTENCY_KEY_CONFLICT")
            order = self._order(str(body["orderId"]), unknown="RESOURCE_NOT_FOUND")
            if earlier is None:
                self._refuse_confirm(order)
                self._state.confirm(order, key, request.environ.get("sandbox.failure"))
        return _data({"orderId": order.order_id, "status": order.status})

    def _refuse_confirm(self, order: SandboxOrder) -> None:
        if order.is_confirmed:
            self._sin("confirmed before under another idempotency key")
        codes = {
            "pending": "",
            "inProgress": "ORDER_ALREADY_CONFIRMED",
            "complete": "ORDER_ALREADY_COMPLETED",
            "failed": "ORDER_ALREADY_FAILED",
            "expired": "ORDER_EXPIRED",
        }
        code = codes[order.status]
        if code:
            raise Refusal(400, code)
        if not all(file.was_uploaded for file in order.files):
            self._sin("confirmed before all files were uploaded")
        if not all(file.is_uploaded for file in order.files):
            raise Refusal(400, "ORDER_FILE_NOT_UPLOADED")

    def _refresh(self, order_id: str) -> Response:
        order = self._order(order_id)
        if order.status != "pending":
            raise Refusal(400, "ORDER_NOT_PENDING")
        return _data({"orderId": order_id, "files": self._created(order)["files"]})

    def _status(self, version: str, order_id: str) -> Response:
        order = self._order(order_id, version)
        return _data(_summary(order) if version == "v2" else self._details(order))

    def _link(self, version: str, order_id: str) -> Response:
        order = self._order(order_id, version)
        status, expires_at = order.status, order.expires_at
        if status == "expired":
            raise Refusal(400, "ORDER_EXPIRED")
        if version == "v3" and expires_at is None:
            raise Refusal(409, "FILE_RETENTION_UNKNOWN")
        if status != "complete":
            raise Refusal(400, "ORDER_NOT_COMPLETED")
        return self._links_v2(order) if version == "v2" or expires_at is None else self._links_v3(order, expires_at)

    def _links_v2(self, order: SandboxOrder) -> Response:
        if order.is_test:
            raise Refusal(404, "PROCESSED_FILE_NOT_FOUND")
        is_one = len(order.files) == 1
        link = self._storage.result_link(order, order.files[0]) if is_one else self._storage.archive_link(order)
        if self._state.options.dialect == "v2":
            return _data({"downloadUrl": link, "expiresIn": _whole(self._state.options.link_seconds)})
        return _data({"url": link})

    def _links_v3(self, order: SandboxOrder, expires_at: datetime) -> Response:
        files = [
            {"fileId": str(file.output_id), "downloadUrl": self._storage.result_link(order, file)}
            for file in self._results(order)
        ]
        seconds = min(3600, self._state.options.link_seconds, (expires_at - now()).total_seconds())
        archive = self._storage.archive_link(order)
        return _data({"archiveUrl": archive, "files": files, "expiresInSeconds": _whole(seconds)})

    def _list(self) -> Response:
        page = asked_page(10, partial(self._breach, "INVALID_PARAMETER"))
        chosen = {name: request.args.get(name, "all") for name in _CHOICES}
        unknown = request.args.keys() - _CHOICES - {"page", "limit", "keyword"}
        if unknown or any(chosen[name] not in ("all", *words) for name, words in _CHOICES.items()):
            self._breach("INVALID_PARAMETER", "an unknown parameter, or a word for one")
        keyword = request.args.get("keyword", "")
        owner = self.caller().owner
        with self._state.lock:
            orders = [order for order in reversed(self._state.orders.values()) if order.caller.owner == owner]
        found = [
            order
            for order in orders
            if chosen["status"] in ("all", order.status)
            and chosen["type"] in ("all", "antiAi")
            and chosen["channel"] in ("all", "api")
            and (keyword.lower() in order.name.lower() or keyword == order.order_id)
        ]
        pages = {
            "totalItems": len(found),
            "totalPages": page.count(found),
            "currentPage": page.number,
            "itemsPerPage": page.limit,
        }
        return _data({"orders": [_listed(order) for order in page.of(found)], "pageInfo": pages})

    def _order(self, order_id: str, version: str = "v2", unknown: str = "ORDER_NOT_FOUND") -> SandboxOrder:
        """Only v2 tells an order of another account, or of the other kind of key, from one that never was."""
        if version == "v3" and not _ORDER_ID.fullmatch(order_id):
            self._breach("VALIDATION_FAILED", "orderId is not of 1 to 20 digits")
        with self._state.lock:
            order = self._state.orders.get(order_id)
        is_owners = order is not None and order.caller.owner == self.caller().owner
        if order is None or (version == "v3" and not is_owners):
            raise Refusal(404, unknown)
        if not is_owners:
            raise Refusal(403, "ORDER_NOT_OWNER")
        return order

    def _body(self, breaches_of: Callable[[object], Iterator[Breach]]) -> dict[str, object]:
        if request.mimetype != "application/json":
            self._sin("the Content-Type is not application/json")
        body = request.get_json(force=True, silent=True)
        breaches = list(breaches_of(body))
        for breach in breaches:
            self._sin(breach.sin)
        if breaches:
            raise Refusal(400, breaches[0].code)
        return cast("dict[str, object]", body)

    def _breach(self, code: str, sin: str) -> NoReturn:
        self._sin(sin)
        raise Refusal(400, code)

    def _sin(self, text: str) -> None:
        self._state.sin(f"{str(request.endpoint).rpartition('.')[2]} {request.path}: {text}")

    def _results(self, order: SandboxOrder) -> list[InputFile]:
        """Return the files that have a result. A test order that is complete may have none."""
        return order.files if not order.is_test or self._state.options.test_samples else []

    def _created(self, order: SandboxOrder) -> dict[str, object]:
        status = order.status
        files = [
            {"fileId": file.file_id, "fileName": file.name, "fileKey": f"input/{order.order_id}/{file.number}"}
            | ({"uploadUrl": self._storage.upload_link(order, file)} if status == "pending" else {})
            for file in order.files
        ]
        return {"orderId": order.order_id, "orderName": order.name, "status": status, "files": files}

    def _details(self, order: SandboxOrder) -> dict[str, object]:
        summary = _summary(order)
        waits = summary["status"] == "pending"
        inputs = [
            {"fileId": str(file.file_id), "fileName": file.name}
            | ({"uploadUrl": self._storage.upload_link(order, file)} if waits and not file.is_uploaded else {})
            for file in order.files
        ]
        outputs = [
            {"fileId": str(file.output_id), "fileName": file.name, "inputFileId": str(file.file_id)}
            for file in self._results(order)
        ]
        return summary | {
            "retentionDays": None if order.retention_days is None else _whole(order.retention_days),
            "processingDelayed": False,
            "inputFiles": inputs,
            "result": {"outputFiles": outputs} if summary["status"] == "complete" else None,
        }


def _summary(order: SandboxOrder) -> dict[str, object]:
    status = order.status
    return {
        "type": "antiAi",
        "orderId": order.order_id,
        "orderName": order.name,
        "channel": "api",
        "status": status,
        "thumbnailImageUrl": None,
        "createdAt": _instant(order.created_at),
        "updatedAt": _instant(order.updated_at),
        "expiresAt": _instant(order.expires_at) if order.expires_at else None,
        "errors": failure_of(order) if status == "failed" else None,
    }


def _listed(order: SandboxOrder) -> dict[str, object]:
    return _summary(order) | {"fileCount": len(order.files)}


def _whole(number: float) -> float:
    """Return it as the service writes it: without a fraction; times of less than a second, of tests, keep theirs."""
    return int(number) if number >= 1 else number


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _data(data: object) -> Response:
    return jsonify({"data": data})
