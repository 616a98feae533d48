"""What every request passes first: its record and the fault in store for it; and the admin endpoints beside them."""

import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from flask import Blueprint, Flask, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request, Response

from watchfolder.sandbox.faults import Fault, Faults
from watchfolder.sandbox.orders import now
from watchfolder.sandbox.state import Refusal, RequestRecord, State
from watchfolder.sandbox.storage import Storage
from watchfolder.sandbox.waitress_door import ClientDisconnected, channel_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_ADMIN = "/_sandbox/"
_TRAP = "/_sandbox/trap"
_LOOK_SECONDS = 0.05  # how soon a fault that waits notices that its client has gone, or that the sandbox cut it off


class Front:
    """The WSGI application around the Flask one."""

    def __init__(self, app: Flask, state: State, storage: Storage, faults: Faults) -> None:
        self._app = app
        self._state = state
        self._storage = storage
        self._faults = faults

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["sandbox.is_chunked"] = channel_of(environ).requests[0].chunked
        call = _Call(self._app, environ, self._storage, self._state)
        if call.path.startswith(_ADMIN) and call.path != _TRAP:
            return call.work()(environ, start_response)
        call.operation = self._operation(environ)
        record = RequestRecord(call.operation, now(), str(environ["REQUEST_METHOD"]), call.path)
        self._state.requests.append(record)
        fault = self._faults.take(call.operation, call.path)
        try:
            response = fault.befall(call) if fault else call.work()
        except ClientDisconnected:
            record.status = 0
            raise
        record.status = response.status_code
        is_look = call.operation == "status" or (call.operation == "report" and record.method == "GET")
        if is_look and response.status_code == HTTPStatus.OK and fault is None:
            self._state.looked_at(call.path.partition("/orders/")[2])
        return response(environ, start_response)

    def _operation(self, environ: "WSGIEnvironment") -> str:
        try:
            endpoint, _ = cast("tuple[str, object]", self._app.url_map.bind_to_environ(environ).match())
        except HTTPException:
            return "unknown"
        return endpoint.rpartition(".")[2].partition("_")[0]


class _Call:
    """One request, as a fault sees it."""

    def __init__(self, app: Flask, environ: "WSGIEnvironment", storage: Storage, state: State) -> None:
        self._app = app
        self._environ = environ
        self._storage = storage
        self._state = state
        self.path = Request(environ).path
        self.operation = ""

    def work(self) -> Response:
        return Response.from_app(self._app, self._environ)

    def cut(self) -> Response:
        # Waitress closes the socket in its own thread once we say that the client is gone; with no time to linger,
        # the kernel then sends a reset instead of an end.
        wire = channel_of(self._environ).socket
        if wire is not None:  # else the client was quicker
            with suppress(OSError):
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ClientDisconnected

    def wait(self, seconds: float) -> None:
        left = seconds
        while left > 0:
            time.sleep(min(left, _LOOK_SECONDS))
            if not channel_of(self._environ).connected:
                raise ClientDisconnected
            left -= _LOOK_SECONDS

    def sent_bytes(self) -> bytes:
        file = self._storage.file_behind(self.path)
        return file.path.read_bytes() if file and file.path else b""

    def lose(self) -> None:
        self._environ["sandbox.loss"] = True

    def fail(self, code: str) -> None:
        self._environ["sandbox.failure"] = code

    def forget(self) -> None:
        self._state.forget(self.path.partition("/orders/")[2].partition("/")[0])

    def trap(self) -> str:
        return self._storage.links.base_url + _TRAP


def admin_blueprint(
    reset: Callable[[], None], record: Callable[[], Mapping[str, object]], faults: Faults, state: State
) -> Blueprint:
    admin = Blueprint("admin", __name__, url_prefix="/_sandbox")

    @admin.post("/faults")
    def add_faults() -> tuple[Any, int]:
        body = request.get_json(force=True)
        try:
            for fault in body if isinstance(body, list) else [body]:
                faults.put(Fault(**fault))
        except (TypeError, ValueError) as fault:
            return jsonify({"error": str(fault)}), 400
        return jsonify({}), 200

    @admin.get("/record")
    def show_record() -> Any:  # noqa: ANN401 - Flask's own word for what a view may answer
        return jsonify(record())

    @admin.post("/reset")
    def forget() -> Any:  # noqa: ANN401 - as above
        reset()
        return jsonify({})

    @admin.route("/trap", methods=["GET", "POST", "PUT"])
    def trap() -> tuple[Any, int]:
        key = " and the API key was sent along" if "Authorization" in request.headers else ""
        state.sin(f"{request.method}: a redirect was followed{key}")
        return jsonify({"data": None}), 200

    return admin


def refuse(refusal: Refusal) -> tuple[Any, int]:
    return jsonify({"code": refusal.code}), refusal.status
