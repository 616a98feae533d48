"""What every request passes first: its record and the fault in store for it; and the admin endpoints beside them."""

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, jsonify, request
from werkzeug.exceptions import HTTPException

from watchfolder.sandbox.api import Route, answer, operation_of
from watchfolder.sandbox.faults import TRAP, Faults, FaultyCall
from watchfolder.sandbox.orders import now
from watchfolder.sandbox.state import RequestRecord, SandboxState
from watchfolder.sandbox.storage import Storage
from watchfolder.sandbox.waitress_door import ClientDisconnected, channel_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_ADMIN = "/_sandbox/"


class Front:
    def __init__(self, app: Flask, state: SandboxState, storage: Storage, faults: Faults) -> None:
        self._app = app
        self._state = state
        self._storage = storage
        self._faults = faults

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["sandbox.is_chunked"] = channel_of(environ).requests[0].chunked
        call = FaultyCall(self._app, environ, self._storage, self._state)
        if call.path.startswith(_ADMIN) and call.path != TRAP:
            return call.work()(environ, start_response)
        operation = self._operation(environ)
        record = RequestRecord(operation, now(), str(environ["REQUEST_METHOD"]), call.path)
        self._state.requests.append(record)
        fault = self._faults.take(operation, call.path)
        try:
            response = fault.serve(call) if fault else call.work()
        except ClientDisconnected:
            record.status = 0
            raise
        record.status = response.status_code
        is_look = operation == "status" or (operation == "report" and record.method == "GET")
        if is_look and response.status_code == HTTPStatus.OK and fault is None:
            self._state.note_look(call.path.partition("/orders/")[2])
        return response(environ, start_response)

    def _operation(self, environ: "WSGIEnvironment") -> str:
        try:
            return operation_of(cast("str", self._app.url_map.bind_to_environ(environ).match()[0]))
        except HTTPException:
            return "unknown"


def admin_routes(
    clear: Callable[[], None], record: Callable[[], Mapping[str, object]], faults: Faults, state: SandboxState
) -> list[Route]:
    """Faults, records and a new beginning, for whom another process asks."""

    def add_faults() -> Any:  # noqa: ANN401 - Flask's own word for what a view may answer
        body = request.get_json(force=True)
        try:
            for fault in body if isinstance(body, list) else [body]:
                faults.add(**fault)
        except (TypeError, ValueError) as fault:
            return {"error": str(fault)}, 400
        return {}

    def forget() -> Any:  # noqa: ANN401 - as above
        clear()
        return {}

    def follow() -> Any:  # noqa: ANN401 - as above
        key = " and the API key was sent along" if "Authorization" in request.headers else ""
        state.note(f"{request.method}: a redirect was followed{key}")
        return answer(None)

    return [
        ("POST", f"{_ADMIN}faults", "admin", add_faults),
        ("GET", f"{_ADMIN}record", "admin", lambda: jsonify(record())),
        ("POST", f"{_ADMIN}reset", "admin", forget),
        *((method, TRAP, "trap", follow) for method in ("GET", "POST", "PUT")),
    ]
