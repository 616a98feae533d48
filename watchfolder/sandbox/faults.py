"""Faults on demand: what a network, a gateway or a bad day of the service does to one request."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from werkzeug.wrappers import Response

from watchfolder.sandbox.pictures import sample

_CHUNK = 64 * 1024
_PAGE = "<html><head><title>Sandbox gateway</title></head><body><h1>Please sign in</h1></body></html>"


class Call(Protocol):
    """The request that a fault befalls."""

    operation: str

    def work(self) -> Response:
        """Have the request served as if nothing were wrong."""

    def cut(self) -> Response:
        """Reset the connection; does not return."""

    def wait(self, seconds: float) -> None:
        """Wait, but not longer than the client stays and the sandbox runs."""

    def sent_bytes(self) -> bytes:
        """Return what was uploaded for the file that this request fetches."""

    def lose(self) -> None:
        """Forget the bytes that this request uploads."""

    def fail(self, code: str) -> None:
        """Have the order that this request starts fail with `code`; none: the service tells none."""

    def forget(self) -> None:
        """Lose the order that this request is about."""

    def trap(self) -> str:
        """Return a URL that nobody should follow a redirect to."""


@dataclass(kw_only=True)
class Fault:
    """Befalls `times` requests of `operation`, the `nth` of them (from when it was added) first."""

    operation: (
        str  # create, upload, refresh, confirm, status, link, fetch, list, report, stats, webhook or any; or push
    )
    does: str  # one of ACTIONS
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
        actions = PUSH_ACTIONS if self.operation == PUSH else ACTIONS
        if self.does not in actions:
            raise ValueError(f"no such fault: {self.does!r}; there are {', '.join(actions)}")
        if self.operation not in OPERATIONS:
            raise ValueError(f"no such operation: {self.operation!r}; there are {', '.join(OPERATIONS)}")

    def is_due(self, operation: str, path: str) -> bool:
        """Count a request; is this fault in store for it?"""
        if self.operation not in (operation, "any") or (operation == PUSH) != (self.operation == PUSH):
            return False
        if self.path not in path:
            return False
        self.seen += 1
        return self.seen >= self.nth and (self.times is None or self.befallen < self.times)

    def befall(self, call: Call) -> Response:
        response = ACTIONS[self.does](self, call)
        response.headers.extend(self.headers)
        return response


class Faults:
    """What is in store, in the order in which it was added. Only one fault befalls a request; the others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(  # noqa: PLR0913 - each is a fact of a fault, given by name
        self,
        operation: str,
        does: str,
        *,
        nth: int = 1,
        times: int | None = 1,
        path: str = "",
        status: int | None = None,
        code: str = "",
        headers: Mapping[str, str] | None = None,
        seconds: float = 3600.0,
        bytes_per_second: float = 1000.0,
        size: int | None = None,
        body: str | None = None,
        location: str = "",
    ) -> Fault:
        fault = Fault(
            operation=operation,
            does=does,
            nth=nth,
            times=times,
            path=path,
            status=status,
            code=code,
            headers=headers or {},
            seconds=seconds,
            bytes_per_second=bytes_per_second,
            size=size,
            body=body,
            location=location,
        )
        self.put(fault)
        return fault

    def put(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def take(self, operation: str, path: str = "") -> Fault | None:
        with self._lock:
            due = [fault for fault in self._faults if fault.is_due(operation, path)]
            for fault in due[:1]:
                fault.befallen += 1
                return fault
        return None


def _answer(fault: Fault, _call: Call) -> Response:
    status = fault.status or 500
    if fault.body is not None:
        return Response(fault.body, status, mimetype="application/json")
    if not fault.code:
        return Response("", status)
    return Response(f'{{"code": "{fault.code}"}}', status, mimetype="application/json")


def _answer_after(fault: Fault, call: Call) -> Response:
    call.work().close()
    return _answer(fault, call)


def _reset_before(_fault: Fault, call: Call) -> Response:
    return call.cut()


def _reset_after(_fault: Fault, call: Call) -> Response:
    call.work().close()
    return call.cut()


def _hang(fault: Fault, call: Call) -> Response:
    call.wait(fault.seconds)
    return call.work()


def _hang_after(fault: Fault, call: Call) -> Response:
    response = call.work()
    try:
        call.wait(fault.seconds)
    except BaseException:  # the client left
        response.close()
        raise
    return response


def _drip(fault: Fault, call: Call) -> Response:
    def drops(chunks: Iterable[bytes]) -> Iterator[bytes]:
        drop = max(1, int(fault.bytes_per_second / 10))
        for chunk in chunks:
            for start in range(0, len(chunk), drop):
                yield chunk[start : start + drop]
                call.wait(drop / fault.bytes_per_second)

    return _with_body_of(call.work(), drops)


def _html(fault: Fault, _call: Call) -> Response:
    return Response(fault.body or _PAGE, fault.status or 200, mimetype="text/html")


def _truncated_json(_fault: Fault, call: Call) -> Response:
    response = call.work()
    body = response.get_data()
    return _replaced(response, body[: len(body) // 2])


def _other_json(fault: Fault, call: Call) -> Response:
    body = fault.body if fault.body is not None else '{"data": {"surprise": [1, 2, 3]}}'
    return _replaced(call.work(), body.encode())


def _endless(fault: Fault, _call: Call) -> Response:
    chunk = b" " * _CHUNK
    if fault.size is None:
        return Response(itertools.repeat(chunk), fault.status or 200, mimetype="application/json")
    whole, rest = divmod(fault.size, _CHUNK)
    body = itertools.chain(itertools.repeat(chunk, whole), [chunk[:rest]])
    headers = {"Content-Length": str(fault.size)}
    return Response(body, fault.status or 200, headers, mimetype="application/json")


def _redirect(fault: Fault, call: Call) -> Response:
    return Response("", fault.status or 307, {"Location": fault.location or call.trap()})


def _truncated(_fault: Fault, call: Call) -> Response:
    """Send half of the body under its own right length: a proxy that lost the rest."""
    response = call.work()
    body = b"".join(response.iter_encoded())
    return _replaced(response, body[: len(body) // 2])


def _wrong_length(_fault: Fault, call: Call) -> Response:
    """Announce the whole length, send half of the body, close the connection."""

    def half(chunks: Iterable[bytes]) -> Iterator[bytes]:
        body = b"".join(chunks)
        yield body[: len(body) // 2]

    return _with_body_of(call.work(), half)


def _empty(_fault: Fault, call: Call) -> Response:
    return _replaced(call.work(), b"")


def _another_picture(_fault: Fault, call: Call) -> Response:
    """Send a picture, but in another format than the one that was sent."""
    response = call.work()
    other = "png" if response.mimetype != "image/png" else "jpeg"
    return _replaced(response, sample(other, width=64, height=48, seed=1))


def _same_bytes(_fault: Fault, call: Call) -> Response:
    return _replaced(call.work(), call.sent_bytes())


def _lose(_fault: Fault, call: Call) -> Response:
    call.lose()
    return call.work()


def _fail(fault: Fault, call: Call) -> Response:
    call.fail(fault.code)
    return call.work()


def _forget(_fault: Fault, call: Call) -> Response:
    call.forget()
    return call.work()


def _replaced(response: Response, body: bytes) -> Response:
    response.close()
    return Response(body, response.status, mimetype=response.mimetype)


def _with_body_of(response: Response, change: Callable[[Iterable[bytes]], Iterator[bytes]]) -> Response:
    changed = Response(change(response.iter_encoded()), response.status, response.headers)
    changed.call_on_close(response.close)
    return changed


ACTIONS: Mapping[str, Callable[[Fault, Call], Response]] = {
    "answer": _answer,  # status and code, nothing done
    "answer_after": _answer_after,  # the same, but the work was done
    "reset_before": _reset_before,
    "reset_after": _reset_after,
    "hang": _hang,
    "hang_after": _hang_after,
    "drip": _drip,
    "html": _html,  # a captive portal or a gateway: nothing done, any status
    "truncated_json": _truncated_json,
    "other_json": _other_json,
    "endless": _endless,
    "redirect": _redirect,
    "truncated": _truncated,
    "wrong_length": _wrong_length,
    "empty": _empty,
    "another_picture": _another_picture,
    "same_bytes": _same_bytes,
    "forget": _forget,  # the order is gone, from this request on
    "lose": _lose,  # an upload is answered well, its bytes are gone
    "fail": _fail,  # what starts an order is answered well and paid, the order fails with this code
}
PUSH = "push"  # the one thing that the service does by itself: it tells of the end of an order
PUSH_ACTIONS = ("duplicate", "late", "never", "wrong_signature")
OPERATIONS = (
    "any",
    "create",
    "upload",
    "refresh",
    "confirm",
    "status",
    "link",
    "fetch",
    "list",
    "report",
    "stats",
    "webhook",
    PUSH,
)
