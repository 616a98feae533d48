"""What every request passes first: it is recorded, and meets the fault that is planned for it."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from flask import Flask
from werkzeug.exceptions import HTTPException

from watchfolder.sandbox.api import operation_of
from watchfolder.sandbox.faults import ADMIN, TRAP, Faults, FaultyCall
from watchfolder.sandbox.orders import now
from watchfolder.sandbox.state import RequestRecord, SandboxState
from watchfolder.sandbox.storage import Storage
from watchfolder.sandbox.waitress_door import ClientDisconnected, channel_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Front:
    def __init__(self, app: Flask, state: SandboxState, storage: Storage, faults: Faults) -> None:
        self._app = app
        self._state = state
        self._storage = storage
        self._faults = faults

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["sandbox.is_chunked"] = channel_of(environ).requests[0].chunked
        call = FaultyCall(self._app, environ, self._storage, self._state)
        if call.path.startswith(ADMIN) and call.path != TRAP:
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
