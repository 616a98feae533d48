"""Faults on demand: what a network, a gateway or a bad day of the service does to one request."""

import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.wrappers import Request, Response

from watchfolder.sandbox.pictures import sample
from watchfolder.sandbox.state import SandboxState
from watchfolder.sandbox.storage import Storage
from watchfolder.sandbox.waitress_door import ClientDisconnected, channel_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_BLANK = b" " * (64 * 1024)
_JSON = "application/json"
_PAGE = "<html><head><title>Sandbox gateway</title></head><body><h1>Please sign in</h1></body></html>"
_LOOK_SECONDS = 0.05  # how soon a fault that waits notices that its client has gone, or that the sandbox cut it off
ADMIN = "/_sandbox/"  # where another process adds faults, reads the record and resets
TRAP = f"{ADMIN}trap"  # nobody should follow a redirect to it

PUSH = "push"  # the one operation that the service begins: it tells of the end of an order
PUSH_ACTIONS = ("duplicate", "late", "never", "wrong_signature")
OPERATIONS = frozenset(
    {"any", "create", "upload", "refresh", "confirm", "status", "link", "fetch", "list", "report", "stats", "webhook"}
)


class FaultyCall:
    def __init__(self, app: Flask, environ: "WSGIEnvironment", storage: Storage, state: SandboxState) -> None:
        self._app = app
        self._storage = storage
        self._state = state
        self.environ = environ
        self.path = Request(environ).path

    def work(self) -> Response:
        return Response.from_app(self._app, self.environ)

    def work_with(self, fact: str, value: object) -> Response:
        """Serve it with `fact` in its environ, which its view obeys."""
        self.environ[fact] = value
        return self.work()

    def work_without_order(self) -> Response:
        self._state.forget(self.path.partition("/orders/")[2].partition("/")[0])
        return self.work()

    def cut(self) -> Response:
        """Reset the connection; does not return."""
        # Waitress closes the socket in its own thread once we say that the client is gone; with no time to linger,
        # the kernel then sends a reset instead of an end.
        wire = channel_of(self.environ).socket
        if wire is not None:  # else the client was quicker
            with suppress(OSError):
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ClientDisconnected

    def wait(self, seconds: float) -> None:
        """Wait, but not longer than the client stays and the sandbox runs."""
        left = seconds
        while left > 0:
            time.sleep(min(left, _LOOK_SECONDS))
            if not channel_of(self.environ).connected:
                raise ClientDisconnected
            left -= _LOOK_SECONDS

    def sent_bytes(self) -> bytes:
        """Return what was uploaded for the file that this request fetches."""
        file = self._storage.file_of_link(self.path)
        return file.path.read_bytes() if file and file.path else b""

    def url_of(self, path: str) -> str:
        return self._storage.links.base_url + path


@dataclass(kw_only=True)
class PlannedFault:
    """Happens to `times` requests of `operation`, from the `nth` since it was added."""

    operation: str  # one of OPERATIONS, or PUSH
    does: str  # one of ACTIONS, or of PUSH_ACTIONS
    nth: int = 1
    times: int | None = 1  # None: all from the nth on
    path: str = ""  # only requests whose path holds this, such as a file's name
    status: int | None = None
    code: str = ""  # the API's error code; none: an answer without JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 3600.0  # of a hang, or by which a push is late
    bytes_per_second: float = 1000.0  # of a drip
    size: int | None = None  # of an endless body, which then has an end and announces it
    body: str | None = None  # instead of the usual one, where the fault invents a body
    location: str = ""  # of a redirect; none: a trap that counts as a sin
    seen: int = 0
    befallen: int = 0

    def __post_init__(self) -> None:
        actions = PUSH_ACTIONS if self.operation == PUSH else tuple(ACTIONS)
        for what, word, known in (("operation", self.operation, (*OPERATIONS, PUSH)), ("fault", self.does, actions)):
            if word not in known:
                raise ValueError(f"no such {what}: {word!r}; there are {', '.join(sorted(known))}")

    def is_due(self, operation: str, path: str) -> bool:
        """Is this request to meet the fault? It is counted, so call this once for each."""
        is_meant = self.operation == operation or (self.operation == "any" and operation != PUSH)
        if not is_meant or self.path not in path:
            return False
        self.seen += 1
        return self.seen >= self.nth and (self.times is None or self.befallen < self.times)

    def serve(self, call: FaultyCall) -> Response:
        response = ACTIONS[self.does](self, call)
        response.headers.extend(self.headers)
        return response


class Faults:
    """The planned faults, in the order in which they were added. A request meets one at most; the others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[PlannedFault] = []

    def add(self, operation: str, does: str, **facts: Any) -> PlannedFault:  # noqa: ANN401 - those of a PlannedFault, which checks them
        fault = PlannedFault(operation=operation, does=does, **facts)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def take(self, operation: str, path: str = "") -> PlannedFault | None:
        with self._lock:
            due = [fault for fault in self._faults if fault.is_due(operation, path)]
            if not due:
                return None
            due[0].befallen += 1
            return due[0]


def _answer(fault: PlannedFault, _call: FaultyCall) -> Response:
    body = fault.body or (f'{{"code": "{fault.code}"}}' if fault.code else "")
    return Response(body, fault.status or 500, mimetype=_JSON if body else None)


def _answer_after(fault: PlannedFault, call: FaultyCall) -> Response:
    call.work().close()
    return _answer(fault, call)


def _drop_after(_fault: PlannedFault, call: FaultyCall) -> Response:
    call.work().close()
    return call.cut()


def _wait(fault: PlannedFault, call: FaultyCall) -> Response:
    call.wait(fault.seconds)
    return call.work()


def _wait_after(fault: PlannedFault, call: FaultyCall) -> Response:
    response = call.work()
    try:
        call.wait(fault.seconds)
    except BaseException:  # the client left
        response.close()
        raise
    return response


def _send_slow(fault: PlannedFault, call: FaultyCall) -> Response:
    def parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
        drop = max(1, int(fault.bytes_per_second / 10))
        for chunk in chunks:
            for start in range(0, len(chunk), drop):
                yield chunk[start : start + drop]
                call.wait(drop / fault.bytes_per_second)

    response = call.work()
    return _with_parts(response, parts(response.iter_encoded()))


def _without_end(fault: PlannedFault, _call: FaultyCall) -> Response:
    if fault.size is None:
        return Response(itertools.repeat(_BLANK), fault.status or 200, mimetype=_JSON)
    body = (_BLANK[: fault.size - at] for at in range(0, fault.size, len(_BLANK)))
    return Response(body, fault.status or 200, {"Content-Length": str(fault.size)}, mimetype=_JSON)


def _send_part(fault: PlannedFault, call: FaultyCall) -> Response:
    """Send half of the body: under the whole's length, or under its own right one, as a proxy that lost the rest."""
    response = call.work()
    body = b"".join(response.iter_encoded())
    part = body[: len(body) // 2]
    return _with_parts(response, iter([part])) if fault.does == "wrong_length" else _with_body(response, part)


def _another_picture(_fault: PlannedFault, call: FaultyCall) -> Response:
    """Send a picture, but in another format than the one that was sent."""
    response = call.work()
    other = "png" if response.mimetype != "image/png" else "jpeg"
    return _with_body(response, sample(other, width=64, height=48, seed=1))


def _with_body(response: Response, body: bytes) -> Response:
    response.close()
    return Response(body, response.status, mimetype=response.mimetype)


def _with_parts(response: Response, body: Iterator[bytes]) -> Response:
    """Return the answer with another body, piece by piece; its headers stay, the length among them."""
    changed = Response(body, response.status, response.headers)
    changed.call_on_close(response.close)
    return changed


ACTIONS: Mapping[str, Callable[[PlannedFault, FaultyCall], Response]] = {
    "answer": _answer,  # status and code, nothing done
    "answer_after": _answer_after,  # the same, but the work was done
    "reset_before": lambda _, call: call.cut(),
    "reset_after": _drop_after,
    "hang": _wait,
    "hang_after": _wait_after,
    "drip": _send_slow,
    # a captive portal or a gateway: nothing done, any status
    "html": lambda fault, _: Response(fault.body or _PAGE, fault.status or 200, mimetype="text/html"),
    "other_json": lambda fault, call: _with_body(call.work(), (fault.body or '{"data": {"surprise": [1]}}').encode()),
    "endless": _without_end,
    "redirect": lambda fault, call: Response(
        "", fault.status or 307, {"Location": fault.location or call.url_of(TRAP)}
    ),
    "truncated": _send_part,
    "wrong_length": _send_part,
    "empty": lambda _, call: _with_body(call.work(), b""),
    "another_picture": _another_picture,
    "same_bytes": lambda _, call: _with_body(call.work(), call.sent_bytes()),
    "forget": lambda _, call: call.work_without_order(),  # the order is gone, from this request on
    "lose": lambda _, call: call.work_with("sandbox.loss", value=True),  # an upload is answered well, its bytes gone
    # what starts an order is answered well and paid, the order fails with this code; none: the service tells none
    "fail": lambda fault, call: call.work_with("sandbox.failure", fault.code),
}
