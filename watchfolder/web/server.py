"""The one door to waitress: a few threads of our own, small requests only, and a stop that cuts every connection.

Slow clients take nothing from the others: when too many are connected, the connection that has kept us waiting longest
is closed, first of the address that has most of them. A limit for each address would lock out all who come through one
proxy.
"""

import logging
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from waitress import wasyncore  # type: ignore[import-untyped]  # waitress ships no types
from waitress.adjustments import Adjustments  # type: ignore[import-untyped]  # as above
from waitress.channel import HTTPChannel  # type: ignore[import-untyped]  # as above
from waitress.server import TcpWSGIServer  # type: ignore[import-untyped]  # as above
from waitress.task import ErrorTask, ThreadedTaskDispatcher  # type: ignore[import-untyped]  # as above

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_THREADS = 6
_FEW_THREADS = 2  # for the quick paths, and as many for the slow ones
_STOP_SECONDS = 2.0  # what the end waits for answers under way; a thread that hangs on a share is left behind
_CONNECTIONS: Final = 100
_BUSY_CONNECTIONS = 20  # more, while every one of those is being answered
_WAITING_SECONDS = 20.0  # for the rest of a request, or for the next one
_LOOP_SECONDS = 1.0


class Asked(NamedTuple):
    """What is known of a request before anybody answers it."""

    method: str
    path: str
    address: str  # of the other end: a proxy's, where there is one
    forwarded_for: str  # as that proxy says
    authorization: str


@dataclass(frozen=True)
class Traffic:
    """Which paths are answered by threads of their own, what is held back for how long, and who hears of refusals."""

    quick: Collection[str]  # paths that wait for no others
    slow: str  # prefix of the paths that no others wait for
    hold_back: Callable[[Asked], float]  # seconds
    on_oversized: Callable[[str], None]  # told the path of what is too large to be taken


class _Threads(ThreadedTaskDispatcher):  # type: ignore[misc]  # as above
    """Gives quick and slow paths threads of their own, and has requests wait that are held back."""

    def __init__(self, traffic: Traffic) -> None:
        super().__init__()
        self._traffic = traffic
        self._quick, self._slow = ThreadedTaskDispatcher(), ThreadedTaskDispatcher()
        for dispatcher in (self._quick, self._slow):
            dispatcher.set_thread_count(_FEW_THREADS)
        self.set_thread_count(_THREADS)

    def add_task(self, task: "Channel") -> None:
        request = task.requests[0]
        headers = request.headers
        forwarded_for = headers.get("X_FORWARDED_FOR") or headers.get("X_REAL_IP", "")
        method, authorization = getattr(request, "command", ""), headers.get("AUTHORIZATION", "")
        asked = Asked(method, _path_of(request), task.addr[0], forwarded_for, authorization)
        seconds = self._traffic.hold_back(asked)
        if seconds > 0:
            task.held_until = time.monotonic() + seconds
        else:
            self._start(task)

    def let_go(self, channels: "Collection[Channel]", now: float) -> float:
        """Start what was held back for long enough; return in how many seconds to look again."""
        seconds = _LOOP_SECONDS
        for channel in channels:
            if channel.held_until is not None and channel.held_until > now:
                seconds = min(seconds, channel.held_until - now)
            elif channel.held_until is not None:
                channel.held_until = None
                self._start(channel)
        return seconds

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> bool:  # noqa: FBT001, FBT002 - waitress's
        for dispatcher in (self._quick, self._slow):
            dispatcher.shutdown(cancel_pending, timeout)
        return bool(super().shutdown(cancel_pending, timeout))

    def _start(self, task: "Channel") -> None:
        path = _path_of(task.requests[0])
        if path in self._traffic.quick:
            self._quick.add_task(task)
        elif path.startswith(self._traffic.slow):
            self._slow.add_task(task)
        else:
            super().add_task(task)


def _path_of(request: Any) -> str:  # noqa: ANN401 - waitress ships no types
    return str(getattr(request, "path", ""))  # none where not even the first line could be read


class _Refusal(ErrorTask):  # type: ignore[misc]  # as above
    def execute(self) -> None:
        if self.request.error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            self.channel.server.on_oversized(_path_of(self.request))
        super().execute()


class Channel(HTTPChannel):  # type: ignore[misc]  # as above
    """A connection that knows since when we wait for it; what drips in is not taken for progress."""

    error_task_class = _Refusal
    held_until: float | None = None  # as `waiting_since`: monotonic seconds
    waiting_since = 0.0

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - waitress's own
        self.waiting_since = time.monotonic()
        super().__init__(*arguments, **named)

    @property
    def is_waiting(self) -> bool:
        return self.held_until is not None or not self.requests

    def received(self, data: bytes) -> bool:
        unfinished = self.request
        result = bool(super().received(data))
        if self.request is None or self.request is not unfinished:
            self.waiting_since = time.monotonic()
        return result

    def service(self) -> None:
        super().service()
        self.waiting_since = time.monotonic()


class _Listener(TcpWSGIServer):  # type: ignore[misc]  # as above
    channel_class = Channel
    on_oversized: Callable[[str], None]

    def handle_accept(self) -> None:
        super().handle_accept()
        waiting = [channel for channel in self.active_channels.values() if channel.is_waiting]
        if len(self.active_channels) > _CONNECTIONS and waiting:
            of_address = Counter(channel.addr[0] for channel in waiting)
            max(waiting, key=lambda each: (of_address[each.addr[0]], -each.waiting_since)).handle_close()

    def maintenance(self, now: float) -> None:
        del now  # the wall clock's
        begin = time.monotonic() - _WAITING_SECONDS
        for channel in self.active_channels.values():
            if not channel.requests and channel.waiting_since < begin:
                channel.will_close = True


class Server:
    """Serves `app` from now to `stop`. Raises OSError when the address cannot be had."""

    def __init__(self, app: "WSGIApplication", address: tuple[str, int], traffic: Traffic) -> None:
        logging.getLogger("waitress").setLevel(logging.CRITICAL)  # a bad request is no news for the log
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        listener = socket.create_server(address, family=family)
        self._map: dict[int, Any] = {}
        self._ending = threading.Event()
        self._threads = _Threads(traffic)
        settings = Adjustments(
            sockets=[listener],
            ident=None,
            clear_untrusted_proxy_headers=False,  # that they are there says that a proxy is (`security`)
            max_request_header_size=16 * 1024,
            max_request_body_size=16 * 1024,
            connection_limit=_CONNECTIONS + _BUSY_CONNECTIONS,
            cleanup_interval=5,
        )
        which = (listener.family, listener.type, listener.proto, listener.getsockname())
        self._server = _Listener(
            app,
            map=self._map,
            _sock=listener,
            dispatcher=self._threads,
            adj=settings,
            bind_socket=False,
            sockinfo=which,
        )
        self._server.on_oversized = traffic.on_oversized
        self._loop = threading.Thread(target=self._run, name="page", daemon=True)
        self._loop.start()

    def stop(self) -> None:
        """Cut every connection. May be called from any thread but the page's own."""
        self._ending.set()
        self._server.pull_trigger()
        self._loop.join()
        wasyncore.dispatcher.close(self._server)
        for channel in list(self._server.active_channels.values()):
            channel.handle_close()
        self._threads.shutdown(timeout=_STOP_SECONDS)
        self._server.trigger.close()  # last: a thread pulls it as long as its connection is not closed

    def _run(self) -> None:
        while not self._ending.is_set():
            seconds = self._threads.let_go([*self._server.active_channels.values()], time.monotonic())
            wasyncore.loop(timeout=seconds, use_poll=True, map=self._map, count=1)
